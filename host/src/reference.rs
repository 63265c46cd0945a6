//! The reference of every word that the daemon says to people and programs, printed from the tables that it says them
//! by: `docs/reference.md`, and the rules in `docs/design/rules.md`.

use crate::daemon::EVENT_KINDS;
use crate::kubernetes::stateful_autoscaler::{CONDITIONS, REASONS};
use crate::metrics::{FROZEN, METRICS};
use crate::platforms::{self, Source};
use crate::systems;
use plimsoll_core::change::Moment;
use plimsoll_core::invariant::{Invariant, Severity, all};
use plimsoll_core::reason::{self, Word};
use std::fmt::Write as _;

const HEAD: &str = "# Reference

Every kind of system and platform, and every condition, reason, event and metric with what to do about it. This page is made from the code
(`PLIMSOLL_BLESS=1 cargo test -p plimsoll-tests --test tidy` writes it); change the words beside the definition.
";

/// The page.
#[must_use]
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    systems(&mut page);
    platforms(&mut page);
    conditions(&mut page);
    reasons(&mut page);
    rules(&mut page);
    events(&mut page);
    metrics(&mut page);
    page
}

fn section(page: &mut String, title: &str, words: &str, head: &[&str], rows: &[Vec<String>]) {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    // Writing to a string cannot fail.
    let _ = write!(page, "\n## {title}\n\n{words}\n\n{}|{}\n", line(&head), "---|".repeat(head.len()));
    for row in rows {
        page.push_str(&line(row));
    }
}

fn code(word: &str) -> String {
    format!("`{word}`")
}

/// A sentence in a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn systems(page: &mut String) {
    let yes = |it: bool| if it { "yes" } else { "no" }.to_owned();
    let row = |kind: &&systems::Kind| {
        let places = platforms::KINDS.iter().filter(|place| kind.runs_on(place));
        vec![
            code(kind.word),
            places.map(|place| code(place.word)).collect::<Vec<_>>().join(", "),
            yes((kind.profile)().members_vote),
            yes(kind.data.is_some()),
            kind.reach.as_ref().map(|reach| code(reach.example)).unwrap_or_default(),
            cell(kind.about),
        ]
    };
    let rows: Vec<_> = systems::KINDS.iter().map(row).collect();
    section(
        page,
        "Systems",
        "What data the members hold: `spec.system.kind` of a target, `kind` of an entry of `systems` in the daemon's file.",
        &["kind", "runs on", "members vote", "`returningVolume: setAside`", "an entry", "what it is"],
        &rows,
    );
}

fn platforms(page: &mut String) {
    let row = |kind: &&platforms::Kind| {
        let example = match kind.source {
            Source::File { example, .. } => code(example),
            Source::Workload(_) => String::new(),
        };
        vec![code(kind.word), code(kind.refers), example, cell(kind.about)]
    };
    let rows: Vec<_> = platforms::KINDS.iter().map(row).collect();
    section(
        page,
        "Platforms",
        "Where members run: `spec.targetRef` of a target, an entry of `platforms` in the daemon's file. A workload of \
         Kubernetes stands in the target's document alone.",
        &["kind", "`targetRef.kind`", "an entry", "what it is"],
        &rows,
    );
}

fn conditions(page: &mut String) {
    let rows: Vec<_> = CONDITIONS
        .iter()
        .map(|known| {
            let calls = match known.calls {
                Some(true) => "`True`",
                Some(false) => "`False`",
                None => "",
            };
            let [holds, not] = known.plain;
            vec![
                code(known.kind),
                cell(known.holds),
                calls.to_owned(),
                format!("`{holds}`, `{not}`"),
                cell(known.advice),
            ]
        })
        .collect();
    section(
        page,
        "Conditions",
        "Of a `StatefulAutoscaler`, and in `plimsoll status TARGET`. The reason is the plain one, or one of those below: a phase for `Moving`, a rule's for `AbleToScale` and `Limited`.",
        &["condition", "`True` means", "calls for somebody", "plain reasons", "what to do"],
        &rows,
    );
}

fn reasons(page: &mut String) {
    let row = |word: &Word| vec![code(word.word), cell(word.means), cell(word.advice)];
    let head = ["reason", "meaning", "what to do"];
    let rows: Vec<_> = reason::DECISIONS.iter().map(row).collect();
    let words = "`lastDecision.reason`, if no rule has a finding; else it is the hazard of a rule, below.";
    section(page, "Reasons of decisions", words, &head, &rows);
    let rows: Vec<_> = reason::CONDITIONS.iter().chain(&REASONS).map(row).collect();
    section(
        page,
        "Reasons of conditions",
        "Besides the plain ones and those of decisions and rules.",
        &head,
        &rows,
    );
    let mut rows: Vec<_> = reason::TROUBLES.iter().map(row).collect();
    rows.push(vec![
        code(FROZEN),
        "The target stands still after a defect of Plimsoll; the others go on.".to_owned(),
        "Restart the daemon, and report the message in its log.".to_owned(),
    ]);
    let words = "Problems of Plimsoll itself: the first word of `status.trouble`, and the `kind` of \
                 `plimsoll_troubles_total`. The target holds, and tries again every five seconds.";
    section(page, "Troubles", words, &head, &rows);
}

fn rules(page: &mut String) {
    let rows: Vec<_> = all()
        .map(|rule| {
            vec![
                code(rule.kind),
                format!("[{}](design/rules.md#{})", rule.id, rule.id.to_lowercase()),
                effect(rule).to_owned(),
                moments(rule),
                cell(rule.protects),
                cell(rule.advice),
            ]
        })
        .collect();
    section(
        page,
        "Rules",
        "The reason is the hazard that a rule found. Each finding says what the rule saw, with its own next step; this table has what holds in general.",
        &["reason", "rule", "it", "asked before", "protects", "what to do"],
        &rows,
    );
}

fn effect(rule: &Invariant) -> &'static str {
    match rule.severity {
        Severity::Clamp => "cuts",
        Severity::Defer => "puts off",
        Severity::Evidence => "puts off; refuses before destruction",
        Severity::Deny => "refuses",
    }
}

fn moments(rule: &Invariant) -> String {
    let word = |moment: &Moment| match moment {
        Moment::Admission => "admission",
        Moment::Step => "step",
        Moment::Destroy => "destruction",
    };
    rule.moments.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// What the rules of a family are about, in the order of the catalogue.
const FAMILIES: [(&str, &str); 12] = [
    (
        "EVID",
        "Evidence: act only on facts that are known, fresh, complete and settled, and that somebody other than the victim reports.",
    ),
    ("IDENT", "Identity: the object that is acted on is the one that was checked, and one actor acts on it."),
    (
        "QUORUM",
        "Quorum: in every state on the way each group has a live majority, under the old and the new configuration.",
    ),
    (
        "RED",
        "Redundancy: no step makes the last good copy unreachable, or leaves fewer copies than the group needs.",
    ),
    ("LEAD", "Leadership: it is moved, and seen to have moved, before its holder goes."),
    ("DRAIN", "Draining: steps keep their order, and one member leaves at a time."),
    (
        "CAP",
        "Capacity: the members that stay can hold and serve what they are given, and a new one has a place.",
    ),
    ("MUTEX", "Mutual exclusion: one operation at a time, ours or anybody's."),
    ("HEALTH", "Health: nothing is changed while the system itself raises an alarm."),
    ("STEP", "Steps: small ones, with pauses between them."),
    ("FLOOR", "Bounds: what the owner, the copies and the votes ask for."),
    ("SHARD", "Shards: each has an owner, none is between two, and no owner goes with what it owns."),
];

/// The rules with their anchors, a table a family: the middle of `docs/design/rules.md`.
#[must_use]
pub fn catalogue() -> String {
    let mut page = String::new();
    for (family, about) in FAMILIES {
        let rows: Vec<_> = all()
            .filter(|rule| rule.id.split('-').next() == Some(family))
            .map(|rule| {
                vec![
                    format!("<a id=\"{}\"></a>{}", rule.id.to_lowercase(), rule.id),
                    code(rule.kind),
                    effect(rule).to_owned(),
                    moments(rule),
                    cell(rule.protects),
                ]
            })
            .collect();
        section(&mut page, family, about, &["rule", "hazard", "it", "asked before", "protects"], &rows);
    }
    page
}

fn events(page: &mut String) {
    let row = |kind: &crate::daemon::EventKind| {
        let weight = if kind.warning { "Warning" } else { "Normal" };
        vec![code(kind.reason), weight.to_owned(), cell(kind.when), cell(kind.advice)]
    };
    let rows: Vec<_> = EVENT_KINDS.iter().map(row).collect();
    section(
        page,
        "Events",
        "About a `StatefulAutoscaler` (`kubectl events --for statefulautoscaler/NAME`). A decision with another reason than the one before is an event too, with that reason.",
        &["reason", "type", "when", "what to do"],
        &rows,
    );
}

fn metrics(page: &mut String) {
    let rows: Vec<_> = METRICS
        .iter()
        .map(|metric| {
            let labels: Vec<_> = metric.labels.iter().map(|label| code(label)).collect();
            vec![
                code(metric.name),
                metric.kind().to_owned(),
                metric.unit.to_owned(),
                labels.join(", "),
                cell(metric.help),
                cell(metric.advice),
            ]
        })
        .collect();
    section(
        page,
        "Metrics",
        "At `/metrics`. An unknown value has no sample; it is never zero. A family has at most 4096 series; a counter's further series are counted under the label value `other`.",
        &["metric", "type", "unit", "labels", "meaning", "what to do"],
        &rows,
    );
}
