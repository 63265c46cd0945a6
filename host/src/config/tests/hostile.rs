//! Input that nobody wrote in good faith, or that is not text at all.

use super::{DAEMON, read_daemon, read_targets};
use crate::config::{EXAMPLE_TARGET, load_targets};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_give_problems_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..2_048)) {
        let (loaded, _) = read_targets(&bytes);
        prop_assert!(loaded.targets.is_empty());
    }

    #[test]
    fn arbitrary_yaml_letters_give_problems_or_nothing(text in "[-a-c:\\[\\]{}&*!|>'\"%@`#,? \\n\\t0-9.~]{0,400}") {
        let (loaded, _) = read_targets(text.as_bytes());
        prop_assert!(loaded.targets.is_empty());
        prop_assert!(read_daemon(&text).is_err());
    }

    /// A good document with one piece replaced is refused with a problem, or it is still a document.
    #[test]
    fn a_damaged_document_is_used_whole_or_not_at_all(
        start in 0..EXAMPLE_TARGET.len(),
        len in 0..64_usize,
        patch in "[-a-z0-9:\\[\\]{}&*!|>'\" \\n\\t.%]{0,16}",
    ) {
        let end = (start + len).min(EXAMPLE_TARGET.len());
        let text = format!("{}{patch}{}", &EXAMPLE_TARGET[..start], &EXAMPLE_TARGET[end..]);
        let (loaded, problems) = read_targets(text.as_bytes());
        prop_assert!(loaded.targets.len() <= 1 || text.contains("---"));
        prop_assert!(loaded.broken.is_empty() != !problems.is_empty());
    }

    /// Whatever the text of a value, what comes of it lies within the hard bounds.
    #[test]
    fn no_text_takes_a_limit_beyond_its_bounds(text in "[0-9.]{1,8}(ms|s|m|h|d|%|)") {
        let wait = |key: &str| {
            let body = EXAMPLE_TARGET.replace(&format!("    {key}: "), &format!("    {key}: {text} #"));
            read_targets(body.as_bytes()).0.targets.pop().map(|target| target.safety)
        };
        if let Some(safety) = wait("hold") {
            prop_assert!((1_000..=86_400_000).contains(&safety.hold_ms));
        }
        if let Some(safety) = wait("headroom") {
            prop_assert!((50..=900).contains(&safety.headroom_permille));
        }
        if let Some(safety) = wait("cooldownIn") {
            prop_assert!((1_000..=604_800_000).contains(&safety.cooldown_in_ms));
        }
    }
}

#[test]
fn an_alias_bomb_is_refused_at_its_first_line() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..40 {
        let before = level - 1;
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(", ")));
    }
    let (loaded, problems) = read_targets(bomb.as_bytes());
    assert!(loaded.targets.is_empty());
    assert!(problems.starts_with("orders.yaml:1: a0: anchors (`&name`) are not read"), "{problems}");
    assert!(read_daemon(&bomb).is_err());
}

#[test]
fn a_megabyte_of_anchor_is_refused_in_a_short_line() {
    let text = format!("a: &{} 1\n", "x".repeat(1_000_000));
    let (_, problems) = read_targets(text.as_bytes());
    assert!(problems.contains("anchors (`&name`) are not read"));
    assert!(problems.len() < 2_000, "{}", problems.len());
}

#[test]
fn a_file_that_only_begins_like_a_document_is_refused() {
    let cut = &DAEMON[..DAEMON.len() / 2];
    assert!(read_daemon(cut).is_err());
    assert_eq!(
        read_daemon("").unwrap_err(),
        "plimsoll.yaml: is empty (begin with what `plimsoll check --print-defaults` prints)"
    );
    assert_eq!(
        read_daemon("- a\n").unwrap_err(),
        "plimsoll.yaml:1: must be a map (write `key: value` lines below it, indented)"
    );
}

#[test]
fn pipes_and_links_out_of_the_directory_are_refused_and_the_others_are_read() {
    let outside = tempfile::tempdir().expect("a directory");
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(outside.path().join("secret.yaml"), "password: hunter2\n").expect("written");
    std::os::unix::fs::symlink(outside.path().join("secret.yaml"), dir.path().join("b.yaml"))
        .expect("linked");
    let pipe = dir.path().join("c.yaml");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .expect("a pipe");
    std::fs::write(dir.path().join(".a.yaml.swp"), "half a docu").expect("written");
    std::fs::write(dir.path().join("README"), "not for us").expect("written");
    std::fs::write(dir.path().join("d.yaml"), EXAMPLE_TARGET).expect("written");
    let loaded = load_targets(dir.path(), &super::daemon());
    assert_eq!(loaded.targets.len(), 1);
    let said: Vec<String> = loaded.problems.iter().map(|problem| problem.message.clone()).collect();
    assert_eq!(said, ["is a link that leads out of the directory", "is not a regular file"]);
}
