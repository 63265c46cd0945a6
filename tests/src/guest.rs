//! Guests written by hand, and the snapshot that they are asked with.

use plimsoll_wire::Snapshot;

/// A healthy target of three members, with one signal.
///
/// # Panics
/// Never: the document is fixed.
#[must_use]
pub fn snapshot() -> Snapshot {
    let absent = serde_json::json!({ "state": "not-applicable" });
    let document = serde_json::json!({
        "formatVersion": plimsoll_wire::FORMAT_VERSION,
        "now": { "monoMs": 5_000, "wallMs": 1_800_000_000_000_i64, "boot": "b" },
        "target": { "key": "default/demo", "system": "etcd", "platform": "exec", "mode": "dryrun",
                    "bounds": { "members": { "min": 1, "max": 9 } } },
        "profile": plimsoll_wire::profile::Profile::default(),
        "sizes": { "members": {
            "state": "known", "value": 3, "authority": "platform", "ageMs": 10, "observer": "test",
            "observerUpMs": 100_000, "stableMs": 60_000, "reads": 3
        } },
        "fingerprint": absent, "epoch": absent, "generation": absent, "owner": absent, "members": absent,
        "vacant": absent, "groups": absent, "shards": absent, "operations": absent, "debts": absent,
        "signals": { "load": { "state": "ok", "ageMs": 1_000, "samples": [
            { "atMs": 1_799_999_990_000_i64, "value": 0.5 }, { "atMs": 1_800_000_000_000_i64, "value": 0.9 }
        ] } }
    });
    serde_json::from_value(document).expect("the snapshot of the tests")
}

/// A program that writes this answer and ends.
#[must_use]
pub fn answering(answer: &str) -> Vec<u8> {
    program(&format!("(data (i32.const 64) \"{}\")", escape(answer.as_bytes())), &write(1, 64, answer.len()))
}

/// A program that counts to a hundred thousand, and then writes this answer.
#[must_use]
pub fn counting(answer: &str) -> Vec<u8> {
    program(
        &format!("(data (i32.const 64) \"{}\")", escape(answer.as_bytes())),
        &format!(
            "(local $i i32)
             (loop (br_if 0 (i32.lt_u
                (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))
             {}",
            write(1, 64, answer.len())
        ),
    )
}

/// An answer that wishes so many members.
#[must_use]
pub fn wish(members: &str) -> String {
    format!(r#"{{"sizes":{{"members":{members}}},"reason":{{"code":"Test","message":"by hand"}}}}"#)
}

/// A program with these fields of a module and this body of `_start`; one page of memory.
#[must_use]
pub fn program(fields: &str, body: &str) -> Vec<u8> {
    module(&format!("(memory (export \"memory\") 2) {fields} (func (export \"_start\") {body})"))
}

/// A module that may call the host's `fd_write`, `fd_read` and `proc_exit`.
///
/// # Panics
/// When the text is not WebAssembly.
#[must_use]
pub fn module(fields: &str) -> Vec<u8> {
    assemble(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            {fields})"#
    ))
}

/// Text to binary.
///
/// # Panics
/// When the text is not WebAssembly.
#[must_use]
pub fn assemble(text: &str) -> Vec<u8> {
    match wat::parse_str(text) {
        Ok(bytes) => bytes,
        Err(error) => panic!("{error}\n{text:.2000}"),
    }
}

/// Instructions that write `length` bytes at `at` to a descriptor; they use the first 16 bytes of memory.
#[must_use]
pub fn write(descriptor: u32, at: usize, length: usize) -> String {
    format!(
        "(i32.store (i32.const 0) (i32.const {at})) (i32.store (i32.const 4) (i32.const {length}))
         (drop (call $write (i32.const {descriptor}) (i32.const 0) (i32.const 1) (i32.const 8)))"
    )
}

fn escape(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}

/// A program that writes this answer when it is asked with [`snapshot`], and else does `otherwise`.
///
/// # Panics
/// Never: the document is fixed.
#[must_use]
pub fn fails_on_other_snapshots(answer: &str, otherwise: &str) -> Vec<u8> {
    let length = serde_json::to_vec(&snapshot()).expect("JSON").len();
    program(
        &format!("(data (i32.const 64) \"{}\")", escape(answer.as_bytes())),
        &format!(
            "(i32.store (i32.const 0) (i32.const 4096)) (i32.store (i32.const 4) (i32.const 100000))
             (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
             (if (i32.ne (i32.load (i32.const 8)) (i32.const {length})) (then {otherwise}))
             {}",
            write(1, 64, answer.len())
        ),
    )
}

/// The same module with so many bytes more, in a section that means nothing.
#[must_use]
pub fn padded(module: &[u8], bytes: usize) -> Vec<u8> {
    let mut content = vec![4];
    content.extend(b"fill");
    content.resize(content.len() + bytes, 0);
    let mut padded = module.to_vec();
    section(&mut padded, 0, &content);
    padded
}

/// A valid program that compiles for ever: so many functions, each within every bound of the scan and with as many
/// live values over as many loops as that allows.
#[must_use]
pub fn bomb(functions: usize) -> Vec<u8> {
    const LOOPS: usize = 64;
    const LOCALS: usize = 312;
    let mut body = vec![1];
    number(&mut body, LOCALS);
    body.push(0x7f);
    body.extend([0x03, 0x40].repeat(LOOPS));
    for step in 0..27_000_usize {
        // local.get a, local.get b, i32.add, local.set c
        for (code, local) in [(0x20, step * 7), (0x20, step * 131 + 1)] {
            body.push(code);
            number(&mut body, local % LOCALS);
        }
        body.extend([0x6a, 0x21]);
        number(&mut body, (step * 17 + 5) % LOCALS);
    }
    // br_if 0 out of the innermost keeps every loop alive.
    body.extend([0x20, 0, 0x0d, 0]);
    body.extend([0x0b].repeat(LOOPS + 1));
    let mut code = Vec::new();
    number(&mut code, functions);
    for _ in 0..functions {
        number(&mut code, body.len());
        code.extend(&body);
    }
    let mut kinds = Vec::new();
    number(&mut kinds, functions);
    kinds.resize(kinds.len() + functions, 0);
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(&mut module, 1, &[1, 0x60, 0, 0]);
    section(&mut module, 3, &kinds);
    section(&mut module, 5, &[1, 0, 1]);
    section(&mut module, 7, b"\x02\x06memory\x02\x00\x06_start\x00\x00");
    section(&mut module, 10, &code);
    module
}

fn section(module: &mut Vec<u8>, id: u8, content: &[u8]) {
    module.push(id);
    number(module, content.len());
    module.extend(content);
}

/// A number as WebAssembly writes it: seven bits a byte, the lowest first.
fn number(bytes: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
