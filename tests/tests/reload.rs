//! The policy directory with real files: whole changes take over between two evaluations, everything else
//! leaves the version that runs in place and says why.

use plimsoll::policy::{Library, LibraryConfig};
use plimsoll_tests::guest::{
    answering, bomb, counting, fails_on_other_snapshots, module, program, snapshot, wish,
};
use plimsoll_tests::library::{answer_of, config, folder, open, put, status, trouble, until, wished};
use plimsoll_wire::{Fact, Snapshot};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_changed_module_takes_over_and_a_broken_one_does_not() {
    let folder = folder();
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    let library = open(folder.path()).await;
    assert_eq!(wished(&library).await, "3");
    let first = status(&library).module;

    put(folder.path(), "p.wasm", &answering(&wish("5")));
    until(&library, "the second version", |library| status(library).module != first).await;
    assert_eq!(wished(&library).await, "5");
    let second = status(&library).module;

    for (broken, kind) in [
        (b"<html>404</html>".to_vec(), "MALFORMED"),
        (module("(import \"env\" \"exec\" (func)) (memory (export \"memory\") 1)"), "IMPORT"),
        (program("", "unreachable"), "TRIAL"),
        (program("(func $f (loop (br 0))) (start $f)", "nop"), "INSTANTIATE"),
    ] {
        put(folder.path(), "p.wasm", &broken);
        until(&library, kind, |library| trouble(library) == kind).await;
        assert_eq!(wished(&library).await, "5", "after {kind}");
        assert_eq!(status(&library).module, second, "after {kind}");
    }

    put(folder.path(), "p.wasm", &answering(&wish("7")));
    until(&library, "the repair", |library| trouble(library).is_empty()).await;
    assert_eq!(wished(&library).await, "7");
}

#[tokio::test]
async fn a_half_written_module_is_never_taken() {
    let folder = folder();
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    let library = open(folder.path()).await;
    assert_eq!(wished(&library).await, "3");
    let next = answering(&wish("4"));
    let (head, tail) = next.split_at(next.len() / 2);
    let mut file = std::fs::File::create(folder.path().join("p.wasm")).expect("a file");
    std::io::Write::write_all(&mut file, head).expect("the first half");
    until(&library, "the refusal of one half", |library| trouble(library) == "MALFORMED").await;
    assert_eq!(wished(&library).await, "3");
    std::io::Write::write_all(&mut file, tail).expect("the second half");
    drop(file);
    until(&library, "the whole", |library| trouble(library).is_empty()).await;
    assert_eq!(wished(&library).await, "4");
}

#[tokio::test]
async fn a_mounted_config_map_is_swapped_whole() {
    let folder = folder();
    let version = |name: &str, size: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).expect("a version");
        std::fs::write(path.join("p.wasm"), answering(&wish(size))).expect("a module");
    };
    version("..2026_01", "3");
    symlink("..2026_01", folder.path().join("..data")).expect("a link");
    symlink("..data/p.wasm", folder.path().join("p.wasm")).expect("a link");
    let library = open(folder.path()).await;
    assert_eq!(wished(&library).await, "3");
    let first = status(&library).module;

    version("..2026_02", "6");
    symlink("..2026_02", folder.path().join("..data_tmp")).expect("a link");
    std::fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).expect("the swap");
    std::fs::remove_dir_all(folder.path().join("..2026_01")).expect("the old version goes");
    until(&library, "the swapped version", |library| status(library).module != first).await;
    assert_eq!(wished(&library).await, "6");
}

#[tokio::test]
async fn only_regular_files_inside_the_directory_are_read() {
    let (folder, outside) = (folder(), folder());
    std::fs::write(outside.path().join("x.wasm"), answering(&wish("9"))).expect("a module");
    let at = |name: &str| folder.path().join(name);
    symlink(outside.path().join("x.wasm"), at("absolute.wasm")).expect("a link");
    let parent = format!("../{}/x.wasm", outside.path().file_name().expect("a name").to_string_lossy());
    symlink(parent, at("parent.wasm")).expect("a link");
    symlink("loop.wasm", at("loop.wasm")).expect("a link");
    symlink("/dev/zero", at("device.wasm")).expect("a link");
    std::fs::create_dir(at("folder.wasm")).expect("a directory");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("fifo.wasm"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .expect("a FIFO");
    std::fs::write(at("bad name\n\u{1b}[31m.wasm"), b"").expect("a file");
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    let library = open(folder.path()).await;
    assert_eq!(wished(&library).await, "3");
    let kinds: Vec<_> = library
        .status()
        .iter()
        .map(|status| (status.name.clone(), status.trouble.as_ref().map_or("", |t| t.rejection.kind())))
        .collect();
    let refused = ["absolute", "device", "fifo", "folder", "loop", "p", "parent"]
        .map(|name| (name.to_owned(), if name == "p" { "" } else { "NOT_REGULAR" }));
    assert_eq!(kinds, refused);
    let skipped = library.skipped();
    assert_eq!(skipped.len(), 1);
    assert!(skipped[0].0.starts_with("bad name\\n\\u{1b}[31m"), "{skipped:?}");
}

/// The snapshot of another target.
fn of_target(key: &str, known: bool) -> Arc<Snapshot> {
    let mut snapshot = snapshot();
    snapshot.target.key = key.into();
    if !known {
        snapshot.sizes.members = Fact::NotApplicable;
    }
    Arc::new(snapshot)
}

/// A library in which a version serves `default/demo` and was rolled back for `default/left`; and the digests of the
/// version before and of this one.
async fn rolled_back(folder: &Path, settings: LibraryConfig) -> (Library, String, String) {
    put(folder, "p.wasm", &answering(&wish("3")));
    let library = Library::open(folder, settings).await.expect("a library");
    for key in ["default/demo", "default/left"] {
        assert_eq!(answer_of(&library.evaluate("p", of_target(key, true)).await), "3");
    }
    let good = status(&library).module.expect("a version");
    // It answers the snapshots that were seen, other targets' as well, and fails on any other.
    put(folder, "p.wasm", &fails_on_other_snapshots(&wish("8"), "unreachable"));
    until(&library, "the treacherous version", |library| status(library).module.as_ref() != Some(&good))
        .await;
    for _ in 0..3 {
        assert_eq!(answer_of(&library.evaluate("p", of_target("default/left", false)).await), "GUEST");
        assert_eq!(
            answer_of(&library.evaluate("p", of_target("default/demo", true)).await),
            "8",
            "it serves this one"
        );
    }
    let bad = status(&library).module.expect("a version");
    (library, good, bad)
}

fn assert_rolled_back(library: &Library, good: &str, bad: &str) {
    let status = status(library);
    assert_eq!((status.module.as_deref(), trouble(library)), (Some(bad), "ROLLED_BACK"));
    let [(target, back)] = status.rolled_back.iter().collect::<Vec<_>>().try_into().expect("one target");
    assert_eq!((&**target, back.module.as_deref()), ("default/left", Some(good)));
    assert!(back.why.starts_with("3 failures in a row, the last one GUEST"), "{}", back.why);
}

async fn decides_as_rolled_back(library: &Library) {
    assert_eq!(answer_of(&library.evaluate("p", of_target("default/left", false)).await), "3");
    assert_eq!(answer_of(&library.evaluate("p", of_target("default/demo", true)).await), "8");
}

#[tokio::test]
async fn a_version_that_fails_one_target_gives_way_for_that_target_alone() {
    let folder = folder();
    let (library, good, bad) = rolled_back(folder.path(), config()).await;
    assert_rolled_back(&library, &good, &bad);
    decides_as_rolled_back(&library).await;

    put(folder.path(), "p.wasm", &answering(&wish("5")));
    until(&library, "the repair", |library| trouble(library).is_empty()).await;
    for key in ["default/left", "default/demo"] {
        assert_eq!(answer_of(&library.evaluate("p", of_target(key, false)).await), "5");
    }
}

#[tokio::test]
async fn a_rollback_is_remembered_by_the_next_daemon_until_the_file_changes() {
    let (folder, memory) = (folder(), folder());
    let settings = LibraryConfig { memory: Some(memory.path().join("policies")), ..config() };
    let (library, good, bad) = rolled_back(folder.path(), settings.clone()).await;
    drop(library);

    let library = Library::open(folder.path(), settings.clone()).await.expect("a library");
    assert_rolled_back(&library, &good, &bad);
    decides_as_rolled_back(&library).await;
    drop(library);

    // What is put there while nobody runs goes the same way as ever, beside what ran before.
    put(folder.path(), "p.wasm", b"no module");
    let library = Library::open(folder.path(), settings.clone()).await.expect("a library");
    assert_eq!(trouble(&library), "MALFORMED");
    decides_as_rolled_back(&library).await;
    drop(library);

    put(folder.path(), "p.wasm", &answering(&wish("5")));
    let library = Library::open(folder.path(), settings).await.expect("a library");
    assert_eq!(trouble(&library), "");
    assert_eq!(answer_of(&library.evaluate("p", of_target("default/left", false)).await), "5");
}

#[tokio::test]
async fn a_module_that_failed_its_trial_is_not_taken_after_a_restart() {
    let (folder, memory) = (folder(), folder());
    let settings = LibraryConfig { memory: Some(memory.path().join("policies")), ..config() };
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    let library = Library::open(folder.path(), settings.clone()).await.expect("a library");
    assert_eq!(wished(&library).await, "3");
    put(folder.path(), "p.wasm", &program("", "unreachable"));
    until(&library, "the trial", |library| trouble(library) == "TRIAL").await;
    drop(library);
    let library = Library::open(folder.path(), settings).await.expect("a library");
    assert_eq!(trouble(&library), "TRIAL");
    assert_eq!(wished(&library).await, "3");
}

#[tokio::test]
async fn a_directory_that_is_swapped_is_watched_like_the_one_before() {
    let outer = folder();
    let (here, away) = (outer.path().join("policies"), outer.path().join("away"));
    for (folder, size) in [(&here, "3"), (&away, "4")] {
        std::fs::create_dir(folder).expect("a folder");
        put(folder, "p.wasm", &answering(&wish(size)));
    }
    // Nothing is found by looking again: events alone tell.
    let settings = LibraryConfig { rescan: Duration::from_secs(3_600), ..config() };
    let library = Library::open(&here, settings).await.expect("a library");
    assert_eq!(wished(&library).await, "3");
    let old = outer.path().join("old");
    std::fs::rename(&here, &old).expect("it goes");
    std::fs::rename(&away, &here).expect("another comes");
    for size in ["4", "5"] {
        if size == "5" {
            put(&here, "p.wasm", &answering(&wish(size)));
        }
        let digest = plimsoll_tests::sha256(&answering(&wish(size)));
        until(&library, size, |library| status(library).module.as_ref() == Some(&digest)).await;
        assert_eq!(wished(&library).await, size);
    }
}

/// A target names `p`, and nobody the bombs.
#[tokio::test]
async fn what_a_target_names_does_not_wait_for_what_takes_all_its_time() {
    let (folder, cache) = (folder(), folder());
    for name in ["a", "b", "c"] {
        put(folder.path(), &format!("{name}.wasm"), &bomb(30));
    }
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    let mut settings = LibraryConfig { cache: Some(cache.path().to_owned()), ..config() };
    settings.launch.allowances.compiled.compile_cpu_s = 2;
    let library = Library::begin(folder.path(), settings.clone()).expect("a library");
    assert!(library.status().iter().all(|status| status.module.is_none()), "nobody waited for them");
    library.name_users([("p".to_owned(), ["default/demo".into()].into())].into());
    until(&library, "the policy", |library| {
        library.status().iter().any(|it| it.name == "p" && it.module.is_some())
    })
    .await;
    let refused = |library: &Library| {
        let kinds = library.status().into_iter().filter_map(|it| it.trouble).map(|it| it.rejection.kind());
        kinds.filter(|kind| *kind == "COMPILE_LIMIT").count()
    };
    assert_eq!(refused(&library), 0, "the bombs are still being compiled");
    assert_eq!(wished(&library).await, "3");
    until(&library, "the refusals", |library| refused(library) == 3).await;
    drop(library);

    // A child that cannot be started: what is refused again is known, not compiled.
    settings.launch.program = "/bin/false".into();
    std::fs::remove_file(folder.path().join("p.wasm")).expect("it is there");
    let library = Library::open(folder.path(), settings).await.expect("a library");
    assert_eq!(refused(&library), 3, "{:?}", library.status());
    let detail = library.status()[0].trouble.clone().expect("a trouble").rejection.detail;
    assert!(detail.contains("policyHost.compiled.compileCpu"), "{detail}");
}

#[tokio::test]
async fn compiled_code_of_modules_that_are_gone_is_bounded() {
    let (folder, cache) = (folder(), folder());
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    for number in 0..100 {
        std::fs::write(cache.path().join(format!("{number:064x}-compiled-1-0.code")), b"code")
            .expect("a file");
    }
    let config = LibraryConfig { cache: Some(cache.path().to_owned()), ..config() };
    let library = Library::open(folder.path(), config.clone()).await.expect("a library");
    assert_eq!(wished(&library).await, "3");
    let module = status(&library).module.expect("a digest");
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(cache.path()).expect("the cache");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(names().len(), 64 + 1);
    assert!(names().iter().any(|name| name.starts_with(&module)), "what runs stays");
}

#[tokio::test]
async fn the_manifest_sets_limits_and_pins_the_digest() {
    let folder = folder();
    put(
        folder.path(),
        "p.yaml",
        b"sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"\n",
    );
    put(folder.path(), "p.wasm", &counting(&wish("3")));
    let library = open(folder.path()).await;
    assert_eq!(trouble(&library), "DIGEST");
    assert_eq!(wished(&library).await, "NOT_LOADED");
    put(folder.path(), "p.yaml", b"fuel: 1000\n");
    // It was asked for once, in vain: that snapshot is its trial.
    until(&library, "too little fuel", |library| trouble(library) == "TRIAL").await;
    put(folder.path(), "p.yaml", b"fule: 1\n");
    until(&library, "the misspelt key", |library| trouble(library) == "MANIFEST").await;
    std::fs::remove_file(folder.path().join("p.yaml")).expect("it is there");
    until(&library, "no manifest", |library| trouble(library).is_empty()).await;
    assert_eq!(wished(&library).await, "3");
}

#[tokio::test]
async fn a_module_that_goes_away_keeps_running() {
    let folder = folder();
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    let library = open(folder.path()).await;
    assert_eq!(wished(&library).await, "3");
    std::fs::remove_file(folder.path().join("p.wasm")).expect("it is there");
    until(&library, "the report", |library| trouble(library) == "MISSING").await;
    assert_eq!(wished(&library).await, "3");
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    until(&library, "its return", |library| trouble(library).is_empty()).await;
}

#[tokio::test]
async fn compiled_code_is_taken_from_the_cache_unless_it_was_altered() {
    let (folder, cache) = (folder(), folder());
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    let config = LibraryConfig { cache: Some(cache.path().to_owned()), ..config() };
    let names = || -> Vec<_> {
        let entries = std::fs::read_dir(cache.path()).expect("the cache");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let library = Library::open(folder.path(), config.clone()).await.expect("a library");
    assert_eq!(wished(&library).await, "3");
    let [file] = names().try_into().expect("one file");
    drop(library);
    // Another bit in the code: the child refuses it, and it is made anew.
    let mut code = std::fs::read(&file).expect("the file");
    let middle = code.len() / 3;
    code[middle] ^= 1;
    std::fs::write(&file, &code).expect("the file");
    let library = Library::open(folder.path(), config).await.expect("a library");
    assert_eq!(wished(&library).await, "3");
    assert_eq!(names(), std::slice::from_ref(&file));
    assert_ne!(std::fs::read(&file).expect("the file"), code);
}

#[tokio::test]
async fn a_storm_of_changes_ends_with_the_last_one() {
    let folder = folder();
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    let library = open(folder.path()).await;
    for size in 0..300 {
        put(folder.path(), "p.wasm", &answering(&wish(&(size % 7 + 1).to_string())));
        if size % 50 == 0 {
            assert_ne!(wished(&library).await, "NOT_LOADED");
        }
    }
    put(folder.path(), "p.wasm", &answering(&wish("42")));
    let last = plimsoll_tests::sha256(&answering(&wish("42")));
    until(&library, "the last", |library| status(library).module.as_ref() == Some(&last)).await;
    assert_eq!(wished(&library).await, "42");
}

#[tokio::test]
async fn a_child_that_is_killed_costs_one_decision() {
    let host = plimsoll::policy::Host { launch: config().launch, cache: None };
    let module = answering(&wish("3"));
    let limits = plimsoll::policy::Limits::of(plimsoll::policy::Class::Compiled);
    let loaded = host.load_bytes(&module, plimsoll::policy::Class::Compiled, limits).await.expect("it loads");
    let id = loaded.child_id().await.expect("an idle child");
    let id = rustix::process::Pid::from_raw(id.cast_signed()).expect("a process id");
    rustix::process::kill_process(id, rustix::process::Signal::KILL).expect("the child is killed");
    assert_eq!(answer_of(&loaded.evaluate(&snapshot()).await), "CHILD_DIED");
    assert_eq!(answer_of(&loaded.evaluate(&snapshot()).await), "3");
}

#[tokio::test]
async fn an_evaluation_that_is_given_up_does_not_confuse_the_next() {
    let folder = folder();
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    let library = open(folder.path()).await;
    for _ in 0..20 {
        let ask = library.evaluate("p", Arc::new(snapshot()));
        let _ = tokio::time::timeout(Duration::from_micros(80), ask).await;
    }
    assert_eq!(wished(&library).await, "3");
}
