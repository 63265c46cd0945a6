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
        "target": { "key": "default/demo", "system": "etcd", "platform": "exec", "mode": "dryrun", "min": 1, "max": 9 },
        "size": {
            "state": "known", "value": 3, "authority": "platform", "ageMs": 10, "observer": "test",
            "observerUpMs": 100_000, "stableMs": 60_000, "reads": 3
        },
        "fingerprint": absent, "epoch": absent, "generation": absent, "owner": absent, "members": absent,
        "vacant": absent, "groups": absent, "operations": absent, "debts": absent,
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
