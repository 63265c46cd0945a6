//! The summary at the end of the demo.

use super::teller::Figures;
use plimsoll_sim::sim::Summary;
use std::collections::BTreeMap;
use std::path::Path;

/// The day in figures.
pub(super) struct Ending<'a> {
    pub(super) seed: u64,
    pub(super) figures: &'a Figures,
    pub(super) guarded: &'a Summary,
    /// The same day without a guard; absent when it was not run to its end.
    pub(super) unguarded: Option<&'a Summary>,
    pub(super) moved_bytes: u64,
    pub(super) kills: u64,
    /// Where the records are.
    pub(super) recorded: Option<&'a Path>,
}

/// Lines to print. The last one is the one that matters.
pub(super) fn lines(ending: &Ending<'_>) -> Vec<String> {
    let Ending { figures, guarded, .. } = ending;
    let mut lines = vec![
        "─── the day in figures ───".to_owned(),
        format!("decisions                   {}", figures.decisions),
        format!("plans                       {}", listed(&figures.plans)),
        format!("calls on the world          {}", guarded.calls),
        format!("data moved                  {} GB", ending.moved_bytes / 1_000_000_000),
        format!(
            "objective violated          {} s (seconds in which less than 99 % was served)",
            guarded.violated_ms / 1_000
        ),
        format!("daemon kills survived       {}", ending.kills),
        format!("refused or put off          {}", listed(&figures.refusals)),
        format!("acknowledged writes         {}", guarded.acknowledged),
        format!(
            "the oracle's findings       because of Plimsoll: {}; by themselves: {}",
            found(&guarded.ours),
            found(&guarded.nature)
        ),
    ];
    if let Some(unguarded) = ending.unguarded {
        lines.push(format!(
            "the same day without guard  {} acknowledged writes lost; {}; objective violated {} s",
            unguarded.lost_by_us,
            found(&unguarded.ours),
            unguarded.violated_ms / 1_000
        ));
    }
    lines.push(String::new());
    lines.push("look at next:".to_owned());
    lines.extend(next(ending.recorded, ending.seed));
    lines.push(String::new());
    lines.push(format!("acknowledged writes lost: {}", guarded.lost_by_us));
    lines
}

fn next(recorded: Option<&Path>, seed: u64) -> Vec<String> {
    let Some(folder) = recorded else {
        return vec![
            format!(
                "  plimsoll demo --fast --seed {seed} --record DIR   the same day, with every record kept in DIR"
            ),
            "  plimsoll explain --dir DIR/audit --last 20    decisions in sentences".to_owned(),
            "  README.md, examples/etcd                      the same loop on a real cluster".to_owned(),
        ];
    };
    let folder = folder.display();
    vec![
        format!("  plimsoll explain --dir {folder}/audit --last 20"),
        format!("  plimsoll plan --from {folder}/member-failed.json --to 3"),
        format!("  plimsoll audit verify {folder}/audit"),
        "  README.md, examples/etcd: the same loop on a real cluster".to_owned(),
    ]
}

fn listed(counts: &BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return "none".to_owned();
    }
    let mut all: Vec<(&String, &u64)> = counts.iter().collect();
    all.sort_by_key(|(word, count)| (std::cmp::Reverse(**count), (*word).clone()));
    all.iter().map(|(word, count)| format!("{word} {count}")).collect::<Vec<_>>().join(", ")
}

fn found(counts: &BTreeMap<&'static str, u64>) -> String {
    if counts.is_empty() {
        return "nothing".to_owned();
    }
    counts.iter().map(|(word, count)| format!("{word} {count}")).collect::<Vec<_>>().join(", ")
}
