//! `policy eval` and `policy inspect`, on guests written by hand.

use crate::lab::Lab;
use plimsoll_tests::guest::{answering, program, snapshot, wish};

fn lines(count: usize) -> String {
    let line = serde_json::to_string(&snapshot()).expect("JSON");
    format!("{line}\n").repeat(count)
}

#[test]
fn eval_writes_one_canonical_answer_a_line() {
    let lab = Lab::new();
    lab.write("five.wasm", answering(&wish("5")));
    let module = lab.path("five.wasm").to_string_lossy().into_owned();
    let output = lab.feed(&["policy", "eval", "--module", &module], &lines(2));
    let line = "{\"sizes\":{\"members\":5},\"reason\":{\"code\":\"Test\",\"message\":\"by hand\"}}\n";
    assert_eq!((output.code, output.out, output.err.as_str()), (0, line.repeat(2), ""));
}

/// A guest that keeps its snapshot's own bytes' count as state cannot be written shortly; one that answers with a
/// state and traps when it is handed that state back can: it looks for the byte `Z` in its input.
fn remembers() -> Vec<u8> {
    let answer = r#"{"reason":{"code":"First"},"state":"Z"}"#;
    let again = r#"{"reason":{"code":"Again"}}"#;
    let bytes = |text: &str| text.bytes().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    program(
        &format!("(data (i32.const 64) \"{}\") (data (i32.const 256) \"{}\")", bytes(answer), bytes(again)),
        &format!(
            "(local $at i32) (local $end i32) (local $found i32)
             (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 100000))
             (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
             (local.set $at (i32.const 1024))
             (local.set $end (i32.add (i32.const 1024) (i32.load (i32.const 8))))
             (block $done (loop $next
               (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
               (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 90)) (then (local.set $found (i32.const 1))))
               (local.set $at (i32.add (local.get $at) (i32.const 1)))
               (br $next)))
             (if (local.get $found)
               (then (i32.store (i32.const 0) (i32.const 256)) (i32.store (i32.const 4) (i32.const {})))
               (else (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const {}))))
             (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))",
            again.len(),
            answer.len()
        ),
    )
}

#[test]
fn eval_hands_state_from_line_to_line() {
    let lab = Lab::new();
    lab.write("remembers.wasm", remembers());
    let module = lab.path("remembers.wasm").to_string_lossy().into_owned();
    let output = lab.feed(&["policy", "eval", "--module", &module], &lines(3));
    assert_eq!(output.code, 0, "{output:?}");
    let codes: Vec<String> = output
        .out
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["reason"]["code"]
                .as_str()
                .expect("a code")
                .to_owned()
        })
        .collect();
    // The second answer keeps no state, so the third is a first again.
    assert_eq!(codes, ["First", "Again", "First"]);
}

#[test]
fn a_failed_evaluation_is_a_line_and_the_next_goes_on() {
    let lab = Lab::new();
    lab.write("traps.wasm", program("", "unreachable"));
    let module = lab.path("traps.wasm").to_string_lossy().into_owned();
    let input = format!("not a snapshot\n{}", lines(1));
    let output = lab.feed(&["policy", "eval", "--module", &module], &input);
    assert_eq!(output.code, 2, "{output:?}");
    let told: Vec<serde_json::Value> =
        output.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(told.len(), 2, "{output:?}");
    assert_eq!(
        (&told[0]["failure"]["kind"], &told[1]["failure"]["kind"]),
        (&"INPUT".into(), &"GUEST".into())
    );
    assert!(
        told[0]["failure"]["detail"].as_str().is_some_and(|detail| detail.starts_with("line 1: ")),
        "{told:?}"
    );
}

#[test]
fn a_bad_module_gets_one_line_that_tells_the_next_step() {
    let lab = Lab::new();
    let good = answering(&wish("5"));
    let with = |text: &str| plimsoll_tests::guest::assemble(&format!("(module {text})"));
    for (bytes, said, next) in [
        (Vec::new(), "MALFORMED: the file is empty", "build a WASI program"),
        (b"\0as".to_vec(), "MALFORMED: the file ends after 3 bytes", "build a WASI program"),
        (
            b"<!DOCTYPE html><title>404</title>".to_vec(),
            "MALFORMED: this is a web page",
            "build a WASI program",
        ),
        (b"\x7fELF\x02\x01\x01\0".to_vec(), "MALFORMED: this is a program for Linux", "build a WASI program"),
        (b"\x1f\x8b\x08\0\0".to_vec(), "MALFORMED: this is packed with gzip", "build a WASI program"),
        (b"\n (module)".to_vec(), "MALFORMED: this is WebAssembly as text", "build a WASI program"),
        (b"\xff\xfe\0\x01junk".to_vec(), "MALFORMED: this is not WebAssembly", "build a WASI program"),
        (b"\0asm\x07\0\0\0".to_vec(), "MALFORMED: unknown binary version: 0x7", "build a WASI program"),
        (good[..good.len() / 2].to_vec(), "MALFORMED: ", "at byte "),
        (vec![0; (8 << 20) + 1], "TOO_LARGE: ", "class interpreter"),
        (with("(import \"env\" \"exec\" (func))"), "IMPORT: imports env.exec", "WASI and `log`"),
        (with("(memory (export \"memory\") 1)"), "EXPORT: ", "main function"),
        (
            with("(memory (export \"memory\") 1 1 shared) (func (export \"_start\"))"),
            "FEATURE: ",
            "switch the proposal off",
        ),
    ] {
        lab.write("bad.wasm", &bytes);
        let module = lab.path("bad.wasm").to_string_lossy().into_owned();
        let inspected = lab.run(&["policy", "inspect", &module]);
        let evaluated = lab.feed(&["policy", "eval", "--module", &module], "");
        assert_eq!((inspected.code, evaluated.code), (2, 1), "{inspected:?}");
        for told in [&inspected.err, &evaluated.err] {
            assert_eq!(told.lines().count(), 1, "{told}");
            assert!(told.contains(said) && told.contains(next), "{told}");
            assert!(!told.contains("expected=") && !told.contains("  "), "{told}");
        }
    }
}

#[test]
fn inspect_tells_what_a_module_is_or_why_it_is_no_policy() {
    let lab = Lab::new();
    lab.write("five.wasm", answering(&wish("5")));
    lab.write("junk.wasm", "junk");
    let inspect = |name: &str, format: &str| {
        lab.run(&["policy", "inspect", &lab.path(name).to_string_lossy(), "-o", format])
    };
    let good = inspect("five.wasm", "json");
    assert_eq!(good.code, 0, "{good:?}");
    let told: serde_json::Value = serde_json::from_str(&good.out).expect("JSON");
    assert_eq!(told["digest"].as_str().map(str::len), Some(64));
    assert!(inspect("five.wasm", "table").out.contains("digest: "));
    let bad = inspect("junk.wasm", "table");
    assert_eq!((bad.code, bad.out.as_str()), (2, ""));
    assert!(bad.err.starts_with("DIR/junk.wasm is no policy: MALFORMED"), "{bad:?}");
    let bad = inspect("junk.wasm", "json");
    let told: serde_json::Value = serde_json::from_str(&bad.out).expect("JSON");
    assert_eq!((bad.code, &told["rejection"]["flaw"]), (2, &"MALFORMED".into()));
    let missing = lab.run(&["policy", "eval", "--module", "/nowhere.wasm"]);
    assert_eq!(missing.code, 1);
    assert!(missing.err.starts_with("error: /nowhere.wasm: UNREADABLE"), "{missing:?}");
}

/// As the daemon has it: the manifest beside the module, and what the daemon's file allows.
#[test]
fn inspect_and_eval_take_a_module_as_it_is_placed() {
    let lab = Lab::new();
    lab.write("p.wasm", answering(&wish("5")));
    let module = lab.path("p.wasm").to_string_lossy().into_owned();
    let inspect = || lab.run(&["policy", "inspect", &module]);
    assert_eq!(inspect().code, 0);
    lab.write("p.yaml", format!("sha256: \"{}\"\n", "0".repeat(64)));
    let refused = inspect();
    assert!(refused.code == 2 && refused.err.contains("DIGEST: the manifest asks for"), "{refused:?}");
    lab.write("p.yaml", "fule: 3\n");
    let refused = lab.feed(&["policy", "eval", "--module", &module], "");
    assert!(refused.code == 1 && refused.err.contains("MANIFEST: unknown field `fule`"), "{refused:?}");
    std::fs::remove_file(lab.path("p.yaml")).expect("it is there");

    lab.write("p.wasm", plimsoll_tests::guest::padded(&answering(&wish("5")), 70 << 10));
    let head = "apiVersion: plimsoll.dev/v1alpha1\nkind: DaemonConfig\n";
    lab.write("plimsoll.yaml", format!("{head}policyHost: {{compiled: {{moduleSize: 64Ki}}}}\n"));
    let refused = inspect();
    assert!(refused.code == 2 && refused.err.contains("`policyHost.compiled.moduleSize`"), "{refused:?}");
    lab.write(
        "plimsoll.yaml",
        format!("{head}policyHost: {{compiled: {{moduleSize: 64Ki}}, interpreterModules: [p.wasm]}}\n"),
    );
    let taken = inspect();
    assert_eq!(taken.code, 0, "{taken:?}");
    lab.write("plimsoll.yaml", format!("{head}policyHots: {{}}\n"));
    let refused = inspect();
    assert!(refused.code == 1 && refused.err.contains("policyHots"), "{refused:?}");
}

#[test]
fn a_fifo_is_no_module_and_is_not_waited_for() {
    let lab = Lab::new();
    let path = lab.path("p.wasm");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).expect("a FIFO");
    let refused = lab.run(&["policy", "inspect", &path.to_string_lossy()]);
    assert!(refused.code == 2 && refused.err.contains("NOT_REGULAR"), "{refused:?}");
}
