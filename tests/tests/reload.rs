//! The policy directory with real files: whole changes take over between two evaluations, everything else
//! leaves the version that runs in place and says why.

use plimsoll::policy::{Library, LibraryConfig};
use plimsoll_tests::guest::{answering, counting, fails_on_other_snapshots, module, program, snapshot, wish};
use plimsoll_tests::library::{config, folder, open, put, status, told, trouble, until, wished};
use std::os::unix::fs::symlink;
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

#[tokio::test]
async fn a_version_that_fails_in_a_row_gives_way_to_the_last_good_one() {
    let folder = folder();
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    let library = open(folder.path()).await;
    assert_eq!(wished(&library).await, "3");
    let good = status(&library).module;
    // It passes the trial on the snapshot that was seen, and fails on any other.
    put(folder.path(), "p.wasm", &fails_on_other_snapshots(&wish("8"), "unreachable"));
    until(&library, "the treacherous version", |library| status(library).module != good).await;
    let mut other = snapshot();
    other.size = plimsoll_wire::Fact::NotApplicable;
    let other = Arc::new(other);
    for _ in 0..3 {
        assert_eq!(told(&library.evaluate("p", Arc::clone(&other)).await), "GUEST");
    }
    assert_eq!(status(&library).module, good);
    assert_eq!(trouble(&library), "ROLLED_BACK");
    assert_eq!(wished(&library).await, "3");
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
    assert_eq!(told(&loaded.evaluate(&snapshot()).await), "CHILD_DIED");
    assert_eq!(told(&loaded.evaluate(&snapshot()).await), "3");
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
