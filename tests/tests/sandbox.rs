//! Hostile modules and guests (the codes name rows of the table in the design), each in the confined child that
//! the daemon would use, and a native probe in the guest's place.

use plimsoll::policy::{Class, Evaluation, Host, Launch, Limits, Loaded, Rejection, Sandbox};
use plimsoll_tests::guest::{answering, assemble, counting, program, snapshot, wish, write};
use plimsoll_wire::proposal::Answer;
use std::sync::Arc;
use tokio::task::JoinSet;

fn host() -> Host {
    let launch =
        Launch { program: plimsoll_tests::binary(), sandbox: Sandbox::Required, ..Launch::default() };
    Host { launch, cache: None }
}

async fn load(module: &[u8]) -> Result<Loaded, Rejection> {
    host().load_bytes(module, Class::Compiled, Limits::of(Class::Compiled)).await
}

async fn ask(module: &[u8]) -> Evaluation {
    load(module).await.expect("a module that loads").evaluate(&snapshot()).await
}

fn verdict(evaluation: &Evaluation) -> String {
    match &evaluation.result {
        Ok(Answer::Proposal(proposal)) => format!("members {:?}", proposal.sizes.members),
        Ok(Answer::Refusal { refusal }) => format!("refusal {}", refusal.reason.code),
        Err(failure) => failure.kind().to_owned(),
    }
}

#[tokio::test]
async fn a_program_reads_a_snapshot_and_writes_a_proposal() {
    let evaluation = ask(&answering(&wish("5"))).await;
    assert_eq!(verdict(&evaluation), "members Some(5)", "{evaluation:?}");
    assert_eq!(evaluation.module.len(), 64);
    assert!(evaluation.fuel > 0);
}

#[tokio::test]
async fn a_native_probe_in_the_guests_place_is_refused_everywhere() {
    let boot = r#"{"role":"probe","class":"compiled","sandbox":"required","spaceBytes":1073741824,"cpuS":5,"moduleBytes":8388608}"#;
    let output = tokio::process::Command::new(plimsoll_tests::binary())
        .args(["policy-child", boot])
        .env_clear()
        .output()
        .await
        .expect("the probe runs");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    let report: serde_json::Value = serde_json::from_str(&text).expect("a report");
    let attempts = report["attempts"].as_object().expect("attempts");
    assert!(attempts.len() >= 15, "{text}");
    for (attempt, errno) in attempts {
        assert!([1, 11, 13].contains(&errno.as_i64().expect("a number")), "{attempt} gave {errno}");
    }
    if rustix::process::geteuid().is_root() {
        assert_eq!(report["confinement"]["user"], "65534", "{text}");
    }
    assert_eq!(report["confinement"]["seccomp"], true);
    assert_eq!(report["confinement"]["noNewPrivileges"], true);
    assert_ne!(report["confinement"]["landlock"], "none");
}

/// What becomes of a module that is bad to look at.
#[expect(clippy::too_many_lines, reason = "a table of modules")]
#[tokio::test]
async fn bad_modules_are_refused_by_name() {
    let good = answering(&wish("3"));
    let with = |fields: &str| program(fields, "nop");
    let export = "(memory (export \"memory\") 1) (func (export \"_start\"))";
    let nested = |open: &str, close: &str, depth: usize| {
        with(&format!("(func (local i32 i32 i32 i32) {}{})", open.repeat(depth), close.repeat(depth)))
    };
    let many = |item: &str, count: usize| with(&item.repeat(count));
    let big_function =
        |item: &str, count: usize| with(&format!("(func (result i32) (i32.const 0) {})", item.repeat(count)));
    let mut noise = b"\0asm\x01\0\0\0".to_vec();
    noise.extend((0..1_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8));
    let mut custom = b"\0asm\x01\0\0\0".to_vec();
    custom.extend([0_u8, 2, 1, b'x'].repeat(100_000));
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("W01 empty", vec![], "MALFORMED"),
        ("W01 one byte", vec![0], "MALFORMED"),
        ("W01 half the magic", b"\0asm\x01\0\0".to_vec(), "MALFORMED"),
        ("W02 ELF", b"\x7fELF\x02\x01\x01\0\0\0\0\0".to_vec(), "MALFORMED"),
        ("W02 HTML", b"<!doctype html><title>404</title>".to_vec(), "MALFORMED"),
        ("W02 gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(), "MALFORMED"),
        ("W03 noise", noise, "MALFORMED"),
        ("W04 component of another world", assemble("(component)"), "CONTRACT"),
        ("W05 text", b"(module)".to_vec(), "MALFORMED"),
        ("W08 one byte too many", vec![0; (8 << 20) + 1], "TOO_LARGE"),
        ("W10 tiny sections", custom, "TOO_MANY_SECTIONS"),
        ("W12 nested loops", nested("(loop ", ")", 2_000), "NESTING"),
        ("W12 just too many loops", nested("(loop ", ")", 65), "NESTING"),
        ("W13 nested blocks", nested("(block ", ")", 1_001), "NESTING"),
        ("W14 additions", big_function("(i32.add (i32.const 1))", 100_000), "FUNCTION_TOO_LARGE"),
        (
            "W15 branches",
            with(&format!("(func (block {}))", "(br_if 0 (i32.const 1))".repeat(100_000))),
            "FUNCTION_TOO_LARGE",
        ),
        ("W16 functions", many("(func)", 30_000), "TOO_MANY_FUNCTIONS"),
        (
            "W18 br_table",
            with(&format!("(func (block (br_table {} (i32.const 0))))", "0 ".repeat(300_000))),
            "FUNCTION_TOO_LARGE",
        ),
        ("W19 locals", with(&format!("(func (local {}))", "i32 ".repeat(50_000))), "TOO_MANY_LOCALS"),
        (
            "W19 loops over locals",
            with(&format!(
                "(func (local {}) {}{})",
                "i32 ".repeat(4_000),
                "(loop ".repeat(20),
                ")".repeat(20)
            )),
            "NESTING",
        ),
        ("W22 segments", many("(data (i32.const 0) \"\")", 60_000), "TOO_MANY_SEGMENTS"),
        ("W23 data out of range", with("(data (i32.const 0xfffffff0) \"0123456789abcdef\")"), "INSTANTIATE"),
        (
            "W23 elements out of range",
            with("(table 1 funcref) (elem (i32.const 9) func $f) (func $f)"),
            "INSTANTIATE",
        ),
        (
            "W24 memory",
            assemble(&format!("(module (memory (export \"m\") 65536) {})", "(func (export \"_start\"))")),
            "MEMORY_LIMIT",
        ),
        ("W28 table", with("(table 10000000 funcref)"), "TABLE_LIMIT"),
        ("W29 two memories", with("(memory 1)"), "FEATURE"),
        (
            "W29 memory64",
            assemble("(module (memory (export \"memory\") i64 1) (func (export \"_start\")))"),
            "FEATURE",
        ),
        (
            "W29 shared",
            assemble("(module (memory (export \"memory\") 1 1 shared) (func (export \"_start\")))"),
            "FEATURE",
        ),
        ("W29 vectors", with("(func (drop (v128.const i64x2 0 0)))"), "FEATURE"),
        ("W29 tail call", with("(func $f (return_call $f))"), "FEATURE"),
        ("W29 exceptions", with("(tag) (func (throw 0))"), "FEATURE"),
        ("W29 GC", with("(type (struct (field i32)))"), "FEATURE"),
        (
            "W29 page size",
            assemble("(module (memory (export \"memory\") 1 (pagesize 1)) (func (export \"_start\")))"),
            "FEATURE",
        ),
        ("W31 loop in start", with("(func $s (loop (br 0))) (start $s)"), "INSTANTIATE"),
        ("W31 trap in start", with("(func $s unreachable) (start $s)"), "INSTANTIATE"),
        (
            "W38 unknown module",
            assemble(&format!("(module (import \"env\" \"exec\" (func)) {export})")),
            "IMPORT",
        ),
        (
            "W38 unknown WASI",
            assemble(&format!("(module (import \"wasi_snapshot_preview1\" \"proc_exec\" (func)) {export})")),
            "IMPORT",
        ),
        (
            "W38 WASI threads",
            assemble(&format!("(module (import \"wasi\" \"thread-spawn\" (func)) {export})")),
            "IMPORT",
        ),
        (
            "W39 wrong signature",
            assemble(&format!("(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func)) {export})")),
            "IMPORT",
        ),
        (
            "W39 wrong kind",
            assemble(&format!(
                "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (global i32)) {export})"
            )),
            "IMPORT",
        ),
        (
            "W40 memory wanted",
            assemble("(module (import \"env\" \"memory\" (memory 1)) (func (export \"_start\")))"),
            "IMPORT",
        ),
        ("W41 no start", assemble("(module (memory (export \"memory\") 1))"), "EXPORT"),
        (
            "W41 start is a global",
            assemble(
                "(module (memory (export \"memory\") 1) (global (export \"_start\") i32 (i32.const 0)))",
            ),
            "EXPORT",
        ),
        (
            "W41 start has a result",
            assemble(
                "(module (memory (export \"memory\") 1) (func (export \"_start\") (result i32) (i32.const 0)))",
            ),
            "EXPORT",
        ),
        ("W41 no memory", assemble("(module (func (export \"_start\")))"), "EXPORT"),
        ("component: unknown import", assemble("(component (import \"secret\" (func)))"), "IMPORT"),
        ("good, cut in two", good[..good.len() / 2].to_vec(), "MALFORMED"),
    ];
    for (what, bytes, kind) in cases {
        let rejection = load(&bytes).await.err();
        assert_eq!(rejection.as_ref().map(Rejection::kind), Some(kind), "{what}: {rejection:?}");
    }
}

/// What becomes of a guest that is bad to run.
#[expect(clippy::too_many_lines, reason = "a table of modules")]
#[tokio::test]
async fn bad_guests_cost_one_decision() {
    let run = |body: &str| program("", body);
    let flood = |descriptor: u32| {
        let call = write(descriptor, 0, 65_000);
        run(&format!("(loop $again {call} (br $again))"))
    };
    let proposal = |text: &str| answering(text);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("W30 loops for ever", run("(loop (br 0))"), "FUEL"),
        (
            "W25 memory.grow ends with -1",
            program(
                "",
                &format!(
                    "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (i32.store (i32.const 64) (i32.const 0x7d7b)) {}",
                    write(1, 64, 2)
                ),
            ),
            "DECODE",
        ),
        (
            "W25 a gibibyte",
            run("(if (i32.eq (memory.grow (i32.const 16384)) (i32.const -1)) (then unreachable))"),
            "GUEST",
        ),
        (
            "W26 memory.grow by -1",
            run("(if (i32.eq (memory.grow (i32.const -1)) (i32.const -1)) (then unreachable))"),
            "GUEST",
        ),
        (
            "W27 table.grow",
            program(
                "(table $t 1 funcref)",
                "(if (i32.eq (table.grow $t (ref.null func) (i32.const 100000000)) (i32.const -1)) (then unreachable))",
            ),
            "FUEL",
        ),
        (
            "tables are memory: 200 of 200 000 elements",
            program(
                &format!("(func $no unreachable) {}", (0..100).map(|n| format!("(table $t{n} 1 funcref)")).collect::<String>()),
                &(0..100)
                    .map(|n| format!("(if (i32.eq (table.grow $t{n} (ref.null func) (i32.const 60000)) (i32.const -1)) (then unreachable))"))
                    .collect::<String>(),
            ),
            "GUEST",
        ),
        ("W33 recursion", program("(func $f (call $f))", "(call $f)"), "STACK"),
        (
            "W34 wide frames",
            program(
                &format!(
                    "(func $f (param i64) (result i64) (local {}) {} (call $f (local.get 0)) {})",
                    "i64 ".repeat(1_000),
                    (1..1_000)
                        .map(|i| format!("(local.set {i} (i64.add (local.get 0) (i64.const {i})))"))
                        .collect::<String>(),
                    (1..1_000).map(|i| format!("(i64.add (local.get {i}))")).collect::<String>()
                ),
                "(drop (call $f (i64.const 1)))",
            ),
            "STACK",
        ),
        (
            "W34 recursion through a table",
            program(
                "(type $t (func)) (table 2 funcref) (elem (i32.const 0) $a $b) (func $a (call_indirect (type $t) (i32.const 1))) (func $b (call_indirect (type $t) (i32.const 0)))",
                "(call $a)",
            ),
            "STACK",
        ),
        (
            "W35 memory.fill",
            run(
                "(drop (memory.grow (i32.const 200))) (loop (memory.fill (i32.const 0) (i32.const 7) (i32.const 13000000)) (br 0))",
            ),
            "FUEL",
        ),
        (
            "W35 memory.copy",
            run(
                "(drop (memory.grow (i32.const 200))) (loop (memory.copy (i32.const 0) (i32.const 16) (i32.const 13000000)) (br 0))",
            ),
            "FUEL",
        ),
        ("W36 unreachable", run("unreachable"), "GUEST"),
        ("W36 division by zero", run("(drop (i32.div_s (i32.const 1) (i32.const 0)))"), "GUEST"),
        ("W36 overflow", run("(drop (i32.trunc_f64_s (f64.const nan)))"), "GUEST"),
        ("W36 bad indirect call", program("(table 1 funcref)", "(call_indirect (i32.const 0))"), "GUEST"),
        ("W36 out of bounds", run("(drop (i32.load (i32.const -4)))"), "GUEST"),
        ("exit status", run("(call $exit (i32.const 3))"), "EXIT"),
        ("no answer", run("nop"), "DECODE"),
        ("no answer, exit 0", run("(call $exit (i32.const 0))"), "DECODE"),
        ("W44 pointer out of range", run(&write(1, 0xffff_fff0, 32)), "BAD_POINTER"),
        ("W44 length that wraps", run(&write(1, 64, 0xffff_ffff)), "BAD_POINTER"),
        (
            "W44 vectors out of range",
            run("(drop (call $write (i32.const 1) (i32.const -8) (i32.const 2) (i32.const 8)))"),
            "BAD_POINTER",
        ),
        (
            "W44 result out of range",
            run("(drop (call $write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const -2)))"),
            "BAD_POINTER",
        ),
        ("W47 ten mebibytes", flood(1), "RESULT_TOO_LARGE"),
        ("W48 not UTF-8", program("(data (i32.const 64) \"\\ff\\fe{}\")", &write(1, 64, 4)), "DECODE"),
        ("W49 deep", proposal(&"[".repeat(60_000)), "DECODE"),
        ("W49 twice", proposal(r#"{"reason":{"code":"A"},"reason":{"code":"B"}}"#), "DECODE"),
        ("W50 NaN", proposal(&wish("NaN")), "DECODE"),
        ("W50 infinite", proposal(&wish("Infinity")), "DECODE"),
        ("W50 text", proposal(&wish("\"3\"")), "DECODE"),
        ("W50 negative", proposal(&wish("-1")), "OUT_OF_RANGE"),
        ("W50 part of a member", proposal(&wish("3.5")), "OUT_OF_RANGE"),
        ("W50 huge", proposal(&wish("1e308")), "OUT_OF_RANGE"),
        ("W50 2^53+1", proposal(&wish("9007199254740993")), "OUT_OF_RANGE"),
        ("W50 zero is for the invariants", proposal(&wish("0")), "members Some(0)"),
        ("W50 a thousand is for the invariants", proposal(&wish("1000")), "members Some(1000)"),
        (
            "W57 calls of the host",
            run("(loop (drop (call $write (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 8))) (br 0))"),
            "HOSTCALL_BUDGET",
        ),
        (
            "W57 random bytes",
            run("(loop (drop (call $random (i32.const 64) (i32.const 60000))) (br 0))"),
            "HOSTCALL_BUDGET",
        ),
        ("log flood", flood(2), "HOSTCALL_BUDGET"),
        ("W58 log from nowhere", run(&write(2, 0, 0xffff_ffff)), "BAD_POINTER"),
        (
            "W63 state",
            proposal(&format!(r#"{{"reason":{{"code":"A"}},"state":"{}"}}"#, "s".repeat(17_000))),
            "STATE",
        ),
        ("refusal", proposal(r#"{"refusal":{"reason":{"code":"NoSignal"}}}"#), "refusal NoSignal"),
    ];
    for (what, bytes, expected) in cases {
        let evaluation = ask(&bytes).await;
        assert_eq!(verdict(&evaluation), expected, "{what}: {evaluation:?}");
        let logged: usize = evaluation.log.iter().map(String::len).sum();
        assert!(logged <= 5 * (64 << 10), "{what} logged {logged} bytes");
    }
    println!("this process: {} KiB resident at most", peak_kib());
}

/// The daemon's side of all this must stay small.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

#[tokio::test]
async fn a_good_module_cut_at_any_byte_is_refused() {
    let good = answering(&wish("3"));
    for length in (0..good.len()).step_by(good.len() / 40) {
        assert!(load(&good[..length]).await.is_err(), "{length} bytes were accepted");
    }
}

#[tokio::test]
async fn a_flipped_bit_is_refused_or_behaves() {
    let good = answering(&wish("3"));
    for index in (0..good.len() * 8).step_by(good.len() * 8 / 60) {
        let mut flipped = good.clone();
        flipped[index / 8] ^= 1 << (index % 8);
        if let Ok(loaded) = load(&flipped).await {
            let evaluation = loaded.evaluate(&snapshot()).await;
            assert_ne!(evaluation.module, plimsoll_tests::sha256(&good));
            assert!(
                !["CHILD_DIED", "PROTOCOL", "WALL"].contains(&verdict(&evaluation).as_str()),
                "{evaluation:?}"
            );
        }
    }
}

#[tokio::test]
async fn fuel_to_the_last_unit_is_enough() {
    let module = counting(&wish("3"));
    let used = ask(&module).await.fuel;
    let mut verdicts = Vec::new();
    for fuel in [used, used / 2] {
        let limits = Limits { fuel, ..Limits::of(Class::Compiled) };
        let loaded = host().load_bytes(&module, Class::Compiled, limits).await.expect("it loads");
        verdicts.push(verdict(&loaded.evaluate(&snapshot()).await));
    }
    assert_eq!(verdicts, ["members Some(3)", "FUEL"]);
}

#[tokio::test]
async fn nothing_survives_an_evaluation() {
    // Counts in a global and in memory, and wishes the sum: always the same.
    let module = program(
        "(global $count (mut i32) (i32.const 0)) (data (i32.const 64) \"{\\22sizes\\22:{\\22members\\22:0},\\22reason\\22:{\\22code\\22:\\22A\\22}}\")",
        &format!(
            "(global.set $count (i32.add (global.get $count) (i32.const 1)))
             (i32.store (i32.const 900) (i32.add (i32.load (i32.const 900)) (i32.const 1)))
             (i32.store8 (i32.const 84) (i32.add (i32.const 48) (i32.add (global.get $count) (i32.load (i32.const 900)))))
             {}",
            write(1, 64, 45)
        ),
    );
    let loaded = load(&module).await.expect("it loads");
    for _ in 0..3 {
        assert_eq!(verdict(&loaded.evaluate(&snapshot()).await), "members Some(2)");
    }
}

/// Targets that one policy serves, all of which ask it at the same moment.
const FLEET: usize = 1_000;

#[tokio::test]
async fn a_fleet_that_asks_at_once_is_answered_one_after_the_other() {
    let loaded = Arc::new(load(&answering(&wish("5"))).await.expect("it loads"));
    let mut asked = JoinSet::new();
    for _ in 0..FLEET {
        let loaded = loaded.clone();
        asked.spawn(async move { verdict(&loaded.evaluate(&snapshot()).await) });
    }
    assert_eq!(asked.join_all().await, vec!["members Some(5)"; FLEET]);
}

#[tokio::test]
async fn a_policy_that_cannot_keep_up_holds_those_that_would_wait_too_long() {
    // Never ends, and has the fuel to go on until the child is killed.
    let limits = Limits { fuel: Limits::ceiling().fuel, ..Limits::of(Class::Compiled) };
    let module = program("", "(loop $for_ever (br $for_ever))");
    let loaded = Arc::new(host().load_bytes(&module, Class::Compiled, limits).await.expect("it loads"));
    let mut asked = JoinSet::new();
    for _ in 0..12 {
        let loaded = loaded.clone();
        asked.spawn(async move { loaded.evaluate(&snapshot()).await });
    }
    let evaluations = asked.join_all().await;
    let busy = evaluations.iter().filter(|it| verdict(it) == "BUSY").count();
    let ended = evaluations.iter().filter(|it| ["WALL", "FUEL"].contains(&&*verdict(it))).count();
    assert!(busy > 0 && ended > 0 && busy + ended == evaluations.len(), "{evaluations:#?}");
}

#[tokio::test]
async fn the_same_snapshot_gives_the_same_answer_fuel_and_chance() {
    // Logs random bytes; they come from the snapshot.
    let module =
        program("", &format!("(drop (call $random (i32.const 64) (i32.const 32))) {}", write(2, 64, 32)));
    let loaded = load(&module).await.expect("it loads");
    let first = loaded.evaluate(&snapshot()).await;
    let second = loaded.evaluate(&snapshot()).await;
    assert_eq!((&first.log, first.fuel), (&second.log, second.fuel));
    let mut other = snapshot();
    other.now.mono_ms += 1;
    assert_ne!(loaded.evaluate(&other).await.log, first.log);
}

#[tokio::test]
async fn a_guests_log_cannot_forge_a_line() {
    let text = "ok\\0a\\1b[31mverdict: ALLOW\\e2\\80\\ae";
    let module = program(&format!("(data (i32.const 64) \"{text}\")"), &write(2, 64, 25));
    let evaluation = ask(&module).await;
    assert_eq!(evaluation.log, ["ok", "\\u{1b}[31mverdict: ALLOW\\u{202e}"]);
}

#[tokio::test]
async fn a_program_that_is_no_policy_child_is_refused() {
    let launch = Launch { program: "/bin/cat".into(), sandbox: Sandbox::Required, ..Launch::default() };
    let host = Host { launch, cache: None };
    let rejection =
        host.load_bytes(&answering(&wish("3")), Class::Compiled, Limits::of(Class::Compiled)).await.err();
    assert_eq!(rejection.as_ref().map(Rejection::kind), Some("SANDBOX"), "{rejection:?}");
}
