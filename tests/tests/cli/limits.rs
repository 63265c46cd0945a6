//! What the owner says about policies in the daemon's file is what they are loaded with.

use crate::lab::Lab;
use plimsoll_tests::guest::{answering, module, wish};

/// The daemon's file of the lab with this about policies.
fn with_policy_host(lab: &Lab, text: &str) {
    lab.configure();
    let daemon = std::fs::read_to_string(lab.path("plimsoll.yaml")).expect("the daemon's file");
    lab.write("plimsoll.yaml", format!("{daemon}policyHost: {text}\n"));
}

/// What `check` says, and how it ends.
fn checked(lab: &Lab) -> (i32, String) {
    let output = lab.run(&["check"]);
    (output.code, output.out)
}

#[test]
fn a_module_is_as_large_and_takes_as_much_memory_as_its_owner_allows() {
    let lab = Lab::new();
    with_policy_host(&lab, "{compiled: {moduleSize: 64Ki, memory: 1Mi}}");
    // A custom section of 100 KiB: the name `x`, and zeros.
    let mut large = answering(&wish("5"));
    large.extend([0, 0x82, 0xa0, 0x06, 1, b'x']);
    large.extend(vec![0; 100 << 10]);
    lab.write("policies/five.wasm", &large);
    let (code, out) = checked(&lab);
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("class compiled allows 65536"), "{out}");
    lab.write("policies/five.wasm", module("(memory (export \"memory\") 32) (func (export \"_start\"))"));
    let (code, out) = checked(&lab);
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("MEMORY_LIMIT"), "{out}");
    with_policy_host(&lab, "{compiled: {moduleSize: 256Ki, memory: 2Mi}}");
    lab.write("policies/five.wasm", &large);
    assert_eq!(checked(&lab), (0, String::new()));
    lab.write("policies/five.wasm", module("(memory (export \"memory\") 32) (func (export \"_start\"))"));
    assert_eq!(checked(&lab), (0, String::new()));
}

#[test]
fn a_module_is_an_interpreter_where_its_owner_says_so() {
    let lab = Lab::new();
    with_policy_host(&lab, "{}");
    // Vector instructions are for interpreters only.
    let vectors = "(memory (export \"memory\") 2) (func (export \"_start\") (drop (v128.const i64x2 1 2)))";
    lab.write("policies/five.wasm", module(vectors));
    let (code, out) = checked(&lab);
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("FEATURE"), "{out}");
    let listed = "{interpreterModules: [five.wasm]}";
    with_policy_host(&lab, listed);
    lab.write("policies/five.wasm", module(vectors));
    assert_eq!(checked(&lab), (0, String::new()));
    // The manifest beside a module is nearer to it than the daemon's file.
    lab.write("policies/five.yaml", "class: compiled\n");
    let (code, out) = checked(&lab);
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("FEATURE"), "{out}");
}
