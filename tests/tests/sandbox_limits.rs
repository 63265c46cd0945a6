//! What a policy may take: the two classes, the bounds of compiling and of an evaluation, the log, and a sandbox that
//! the kernel does not give. The codes name rows of the table of hostile modules in the design.

use plimsoll::policy::{Class, Evaluation, Host, Launch, Limits, Loaded, Rejection, Sandbox};
use plimsoll_tests::guest::{
    answering, assemble, bomb, fails_on_other_snapshots, padded, program, snapshot, wish, write,
};
use plimsoll_tests::library::{answer_of, config, folder, open, put, status, trouble, until, wished};
use plimsoll_wire::Fact;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LOG_BYTES: usize = 64 << 10;

fn host() -> Host {
    Host { launch: config().launch, cache: None }
}

async fn load(module: &[u8], class: Class) -> Result<Loaded, Rejection> {
    host().load_bytes(module, class, Limits::of(class)).await
}

async fn ask(module: &[u8]) -> Evaluation {
    load(module, Class::Compiled).await.expect("a module that loads").evaluate(&snapshot()).await
}

fn kind(loaded: Result<Loaded, Rejection>) -> String {
    loaded.err().map_or_else(|| "loaded".to_owned(), |rejection| rejection.kind().to_owned())
}

/// A program with so many functions that do nothing.
fn functions(count: usize) -> Vec<u8> {
    program(&"(func)".repeat(count), &write(1, 64, 0))
}

#[tokio::test]
async fn what_an_interpreter_needs_is_given_to_its_class_only() {
    let large = padded(&answering(&wish("5")), 9 << 20);
    let vectors = program(
        &format!("(data (i32.const 64) \"{}\")", wish("5").replace('"', "\\22")),
        &format!(
            "(drop (i32x4.extract_lane 0 (i32x4.splat (i32.const 1)))) {}",
            write(1, 64, wish("5").len())
        ),
    );
    for (what, module, refused) in [
        ("nine mebibytes", &large, "TOO_LARGE"),
        ("30 000 functions", &functions(30_000), "TOO_MANY_FUNCTIONS"),
        ("vectors", &vectors, "FEATURE"),
    ] {
        assert_eq!(kind(load(module, Class::Compiled).await), refused, "{what}");
        let loaded = load(module, Class::Interpreter).await.expect(what);
        assert!(loaded.evaluate(&snapshot()).await.result.is_ok() || what == "30 000 functions", "{what}");
    }
    let too_large = padded(&answering(&wish("5")), 33 << 20);
    assert_eq!(kind(load(&too_large, Class::Interpreter).await), "TOO_LARGE");
}

#[tokio::test]
async fn the_manifest_beside_a_module_chooses_its_class() {
    let folder = folder();
    put(folder.path(), "p.wasm", &padded(&answering(&wish("5")), 9 << 20));
    let library = open(folder.path()).await;
    assert_eq!(trouble(&library), "TOO_LARGE");
    put(folder.path(), "p.yaml", b"class: interpreter\n");
    until(&library, "the class", |library| trouble(library).is_empty()).await;
    assert_eq!(wished(&library).await, "5");
}

/// W09: no more is read of a file than its class allows, however large it says that it is.
#[tokio::test]
async fn a_file_of_a_tebibyte_is_refused_by_its_size() {
    let folder = folder();
    let file = std::fs::File::create(folder.path().join("p.wasm")).expect("a file");
    file.set_len(1 << 40).expect("a hole");
    let library = open(folder.path()).await;
    assert_eq!(trouble(&library), "TOO_LARGE");
}

/// W20: valid, and within every bound of the scan.
#[tokio::test]
async fn a_module_that_compiles_for_ever_is_ended() {
    let module = bomb(30);
    assert!(module.len() < 8 << 20, "{}", module.len());
    // A fast machine compiles it within the default of 10 s.
    let mut host = host();
    host.launch.allowances.compiled.compile_cpu_s = 2;
    let limits = Limits::of(Class::Compiled);
    let rejection = host.load_bytes(&module, Class::Compiled, limits).await.err().expect("a bomb");
    assert_eq!(rejection.kind(), "COMPILE_LIMIT", "{rejection}");
}

/// What is shipped is taken with the numbers that are shipped, which are the same in every build.
#[tokio::test]
async fn every_example_policy_is_taken_by_default() {
    let bin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bin");
    let mut taken = 0;
    for folder in ["policies", "guests"] {
        let entries = std::fs::read_dir(bin.join(folder)).expect("scripts/build-policies.sh makes it");
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.extension().is_none_or(|extension| extension != "wasm") {
                continue;
            }
            let is_python = path.file_stem().is_some_and(|name| name == "per-member-python");
            let class = if is_python { Class::Interpreter } else { Class::Compiled };
            let loaded = host().load_file(&path, class).await;
            assert_eq!(kind(loaded), "loaded", "{}", path.display());
            taken += 1;
        }
    }
    assert!(taken >= 7, "{taken}");
}

#[tokio::test]
async fn a_refusal_names_the_key_that_gives_more() {
    let mut host = host();
    host.launch.allowances.compiled.compile_cpu_s = 1;
    let limits = Limits::of(Class::Compiled);
    let rejection = host.load_bytes(&bomb(30), Class::Compiled, limits).await.err().expect("too slow");
    assert!(rejection.detail.contains("`policyHost.compiled.compileCpu`"), "{rejection}");
    let mut host = Host { launch: config().launch, cache: None };
    host.launch.allowances.compiled.compile_bytes = 120 << 20;
    let rejection = host.load_bytes(&bomb(30), Class::Compiled, limits).await.err().expect("too large");
    assert!(rejection.detail.contains("`policyHost.compiled.compileMemory`"), "{rejection}");
    let rejection =
        host.load_bytes(&vec![0; 9 << 20], Class::Compiled, limits).await.err().expect("too long");
    assert!(rejection.detail.contains("`policyHost.compiled.moduleSize`"), "{rejection}");
    let Err(failure) = ask(&program("", "(loop (br 0))")).await.result else { panic!("it ended") };
    assert!(failure.detail.contains("`fuel`"), "{failure}");
}

/// It reads nothing while it compiles, and so would not see its pipe closed.
#[tokio::test]
async fn a_child_that_compiles_ends_with_whoever_started_it() {
    let file = folder();
    let module = file.path().join("bomb.wasm");
    std::fs::write(&module, bomb(30)).expect("a file");
    let mut parent = tokio::process::Command::new(plimsoll_tests::binary())
        .args(["policy", "inspect"])
        .arg(&module)
        .current_dir(file.path())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let id = parent.id().expect("a process id");
    let compiling = || {
        let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        let children =
            threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
        children.collect::<String>().split_whitespace().next().map(str::to_owned)
    };
    let child = poll(compiling).await;
    // It has to have begun: what is read is then no pipe's end.
    let busy = || {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
        let ticks: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(11)?.parse().ok()?;
        (ticks > 20).then_some(())
    };
    poll(busy).await;
    parent.kill().await.expect("it is killed");
    poll(|| {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(')').map_or("X", |(_, rest)| rest.trim()).chars().next();
        matches!(state, Some('X' | 'Z')).then_some(())
    })
    .await;
}

/// Looks again and again until there is something, for a minute at most: nothing tells of other processes.
async fn poll<T>(look: impl Fn() -> Option<T>) -> T {
    let found = async {
        loop {
            match look() {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("it comes")
}

/// W13, W17, W11, W42: at a bound, and odd but harmless.
#[tokio::test]
async fn modules_at_a_bound_are_told_from_those_beyond_it() {
    let blocks =
        |depth: usize| program(&format!("(func {}{})", "(block ".repeat(depth), ")".repeat(depth)), "nop");
    let constants = |count: usize| {
        let (push, drop) = ("i32.const 1 ".repeat(count), "drop ".repeat(count));
        program(&format!("(func {push}{drop})"), "nop")
    };
    let mut named = answering(&wish("3"));
    // A name section that is not UTF-8 and paints on a terminal.
    named.extend([0, 12, 4]);
    named.extend(b"name\x00\xff\xfe\x1b[2J");
    let exposed = program(
        "(global (export \"g\") (mut i32) (i32.const 1)) (table (export \"__indirect_function_table\") 1 funcref)",
        "nop",
    );
    for (what, module, expected) in [
        ("W13 blocks at the bound", blocks(1_000 - 1), "loaded"),
        ("W13 one more", blocks(1_000 + 1), "NESTING"),
        ("W17 constants on the stack", constants(10_000), "loaded"),
        ("W17 more than a function may have", constants(1_000_000), "FUNCTION_TOO_LARGE"),
        ("W11 names", named, "loaded"),
        ("W42 exports that nobody reads", exposed, "loaded"),
    ] {
        assert_eq!(kind(load(&module, Class::Compiled).await), expected, "{what}");
    }
}

/// W39: one import twice is one function twice.
#[tokio::test]
async fn an_import_that_stands_twice_is_the_same_function() {
    let import = "(import \"wasi_snapshot_preview1\" \"sched_yield\" (func (result i32)))";
    let module = assemble(&format!(
        "(module {import} {import} (memory (export \"memory\") 1) (func (export \"_start\") (drop (call 0)) (drop (call 1))))"
    ));
    assert_eq!(answer_of(&ask(&module).await), "DECODE", "it ran and wrote nothing");
}

/// The wall clock ends what fuel would end much later (W32: for one input only), and the next evaluation has a new
/// child.
#[tokio::test]
async fn an_evaluation_that_takes_too_long_is_killed_and_costs_one_decision() {
    let module = fails_on_other_snapshots(&wish("3"), "(loop (br 0))");
    let limits =
        Limits { fuel: Limits::ceiling().fuel * 1_000, wall_ms: 1_000, ..Limits::of(Class::Compiled) };
    let loaded = host().load_bytes(&module, Class::Compiled, limits).await.expect("it loads");
    let mut other = snapshot();
    other.sizes.members = Fact::NotApplicable;
    assert_eq!(answer_of(&loaded.evaluate(&snapshot()).await), "3");
    let child = loaded.child_id().await;
    assert_eq!(answer_of(&loaded.evaluate(&other).await), "WALL");
    assert_eq!(loaded.child_id().await, None, "its child is gone");
    assert_eq!(answer_of(&loaded.evaluate(&snapshot()).await), "3");
    assert_ne!(loaded.child_id().await, child);
}

/// W57: the answer itself is a call too.
#[tokio::test]
async fn ten_thousand_calls_of_the_host_are_allowed_and_no_more() {
    let calls = |count: u32| {
        let text = wish("3");
        let data: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
        program(
            &format!("(data (i32.const 64) \"{data}\")"),
            &format!(
                "(local $left i32) (local.set $left (i32.const {count}))
                 (loop $again
                   (drop (call $write (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 8)))
                   (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                 {}",
                write(1, 64, text.len())
            ),
        )
    };
    assert_eq!(answer_of(&ask(&calls(9_999)).await), "3");
    assert_eq!(answer_of(&ask(&calls(10_000)).await), "HOSTCALL_BUDGET");
}

#[tokio::test]
async fn a_log_is_cut_after_64_kibibytes_or_a_thousand_lines_and_says_so() {
    let logging = |bytes: usize, fill: u8| {
        program(
            "",
            &format!(
                "(memory.fill (i32.const 64) (i32.const {fill}) (i32.const {bytes})) {}",
                write(2, 64, bytes)
            ),
        )
    };
    let cut = "[log cut at 65536 bytes or 1000 lines]";
    let whole = ask(&logging(LOG_BYTES, b'x')).await.log;
    assert_eq!(whole, ["x".repeat(LOG_BYTES)]);
    let more = ask(&logging(LOG_BYTES + 1, b'x')).await.log;
    assert_eq!(more, ["x".repeat(LOG_BYTES), cut.to_owned()]);
    let lines = ask(&logging(1_000, b'\n')).await.log;
    assert_eq!(lines, vec![String::new(); 1_000]);
    let more = ask(&logging(1_001, b'\n')).await.log;
    assert_eq!((more.len(), more.last().map(String::as_str)), (1_001, Some(cut)));
}

/// W59: each log is within its bound, and there are many.
#[tokio::test]
async fn full_logs_in_every_evaluation_are_left_out_after_a_while() {
    let flood = program(
        "",
        &format!(
            "(memory.fill (i32.const 64) (i32.const 120) (i32.const {LOG_BYTES})) {}",
            write(2, 64, LOG_BYTES)
        ),
    );
    let folder = folder();
    put(folder.path(), "p.wasm", &flood);
    let library = open(folder.path()).await;
    let began = Instant::now();
    let (mut logged, mut asked) = (0, 0);
    for _ in 0..48 {
        let evaluation = library.evaluate("p", Arc::new(snapshot())).await;
        logged += evaluation.log.iter().map(String::len).sum::<usize>();
        asked += LOG_BYTES;
    }
    // What a policy earns in the meantime: 50 MiB a day, 607 bytes a second.
    let earned = usize::try_from(began.elapsed().as_secs() + 1).expect("a short time") * 607;
    assert!(logged >= 1 << 20 && logged <= (1 << 20) + LOG_BYTES + earned, "{logged} of {asked} bytes");
    assert!(asked >= 3 << 20);
}

/// A program in the place of the child.
fn launcher(folder: &Path, script: &str) -> Launch {
    let path = folder.join("launcher");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    Launch { program: path, sandbox: Sandbox::Required, ..Launch::default() }
}

/// The hard limit of address space is lower than what a child takes for itself, and the right to raise it is gone.
fn unconfinable(folder: &Path) -> Launch {
    let child = plimsoll_tests::binary();
    let script = format!(
        "ulimit -v 250000; [ \"$(id -u)\" = 0 ] || exec {0} \"$@\"\nexec setpriv --bounding-set=-sys_resource {0} \"$@\"",
        child.display()
    );
    launcher(folder, &script)
}

#[tokio::test]
async fn a_child_that_cannot_be_confined_runs_nothing_unless_that_was_chosen() {
    let folder = folder();
    let module = answering(&wish("3"));
    let launch = unconfinable(folder.path());
    let limits = Limits::of(Class::Compiled);
    let strict = Host { launch: launch.clone(), cache: None };
    let rejection = strict.load_bytes(&module, Class::Compiled, limits).await.err().expect("no sandbox");
    assert_eq!(rejection.kind(), "SANDBOX");
    assert!(rejection.detail.starts_with("cannot confine policies: as: "), "{rejection}");
    assert!(rejection.detail.contains("sandbox: best-effort"), "{rejection}");
    let lenient = Host { launch: Launch { sandbox: Sandbox::BestEffort, ..launch }, cache: None };
    let loaded = lenient.load_bytes(&module, Class::Compiled, limits).await.expect("what the kernel has");
    assert_eq!(answer_of(&loaded.evaluate(&snapshot()).await), "3");
}

/// W21: what the child says is not believed.
#[tokio::test]
async fn a_child_that_talks_nonsense_or_dies_is_an_answer_too() {
    let folder = folder();
    for (what, script) in [
        ("nonsense", "head -c 100000 /dev/urandom; sleep 5"),
        (
            "a length of 2^64",
            "printf '\\002\\000\\000\\000\\377\\377\\377\\377\\377\\377\\377\\377{}'; sleep 5",
        ),
        ("its input", "exec cat"),
        ("nothing", "exit 0"),
        ("a signal", "kill -SEGV $$"),
    ] {
        let host = Host { launch: launcher(folder.path(), script), cache: None };
        let loaded =
            host.load_bytes(&answering(&wish("3")), Class::Compiled, Limits::of(Class::Compiled)).await;
        assert_eq!(kind(loaded), "SANDBOX", "{what}");
    }
}

/// W70.
#[tokio::test]
async fn a_directory_of_thousands_is_looked_at_in_part_and_says_so() {
    let folder = folder();
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    for number in 0..1_500 {
        std::fs::write(folder.path().join(format!("{number}.txt")), b"").expect("a file");
    }
    let library = open(folder.path()).await;
    let skipped = library.skipped();
    assert!(skipped.iter().any(|(_, rejection)| rejection.kind() == "TOO_MANY"), "{skipped:?}");
}

/// W74.
#[tokio::test]
async fn a_directory_that_goes_away_leaves_the_policies_that_run() {
    let outer = folder();
    let (here, away) = (outer.path().join("policies"), outer.path().join("away"));
    std::fs::create_dir(&here).expect("a folder");
    put(&here, "p.wasm", &answering(&wish("3")));
    let settings = plimsoll::policy::LibraryConfig { rescan: Duration::from_millis(100), ..config() };
    let library = plimsoll::policy::Library::open(&here, settings).await.expect("a library");
    assert_eq!(wished(&library).await, "3");
    std::fs::rename(&here, &away).expect("it goes");
    until(&library, "the loss", |library| library.directory().is_some()).await;
    assert_eq!(wished(&library).await, "3");
    std::fs::rename(&away, &here).expect("it comes back");
    until(&library, "the return", |library| library.directory().is_none()).await;
    assert_eq!((wished(&library).await.as_str(), trouble(&library)), ("3", ""));
}

/// W73: the version that is being asked is stopped half-way, another takes over, and the first ends its answer.
#[tokio::test]
async fn an_evaluation_ends_on_the_version_that_it_began_with() {
    let folder = folder();
    put(folder.path(), "p.yaml", b"wallMs: 10000\n");
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    let library = Arc::new(open(folder.path()).await);
    let first = status(&library).module.expect("a digest");
    let child = evaluating_child();
    rustix::process::kill_process(child, rustix::process::Signal::STOP).expect("the child stands still");
    let asking = tokio::spawn({
        let library = Arc::clone(&library);
        async move { library.evaluate("p", Arc::new(snapshot())).await }
    });
    // It has been asked once its snapshot is the next version's trial.
    tokio::task::yield_now().await;
    put(folder.path(), "p.wasm", &answering(&wish("5")));
    until(&library, "the next version", |library| status(library).module.as_ref() != Some(&first)).await;
    assert!(!asking.is_finished(), "the first version is still being asked");
    rustix::process::kill_process(child, rustix::process::Signal::CONT).expect("the child goes on");
    let evaluation = asking.await.expect("an evaluation");
    assert_eq!((answer_of(&evaluation).as_str(), &evaluation.module), ("3", &first));
    assert_eq!(wished(&library).await, "5");
}

/// The one child of this test's thread that evaluates: tests of this file run in threads of one process, and the
/// library starts its children where it was opened.
fn evaluating_child() -> rustix::process::Pid {
    let path = format!("/proc/self/task/{}/children", rustix::thread::gettid().as_raw_nonzero());
    let children = std::fs::read_to_string(path).expect("procfs");
    let evaluates = |id: &&str| {
        let line = std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.contains("\"role\":\"evaluate\"")
    };
    let found: Vec<&str> = children.split_whitespace().filter(evaluates).collect();
    let [id] = found.as_slice() else { panic!("one child, not {found:?}") };
    rustix::process::Pid::from_raw(id.parse().expect("a number")).expect("a process id")
}
