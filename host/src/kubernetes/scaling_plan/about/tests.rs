use super::About;
use plimsoll_core::profile::ETCD_ON_ORDINALS;
use plimsoll_wire::journal::{
    Answered, Asked, Ended, Intent, Journal, Note, Outcome, PlanState, PlanStatus, Stamp, Subject,
    SystemVerb, Verb,
};
use plimsoll_wire::size::{Leg, Sizes};
use serde_json::json;
use std::collections::BTreeMap;

/// Noon, and some minutes.
fn at(minute: i64) -> Stamp {
    Stamp { boot: "b".into(), mono_ms: 0, wall_ms: 1_800_000_000_000 + minute * 60_000 }
}

fn subject(slot: &str) -> Subject {
    Subject { slot: slot.into(), endpoints: BTreeMap::new(), id: None, incarnation: String::new() }
}

/// A plan for one member in the second of its two units, as far as `phase`.
fn plan(from: u32, to: u32, phase: u32) -> PlanState {
    PlanState {
        id: "shop-db-p1.7".into(),
        decision: "shop-db-d1.6".into(),
        legs: vec![Leg::members(from, to)],
        leg: 0,
        together: 1,
        leaving: Vec::new(),
        joined: Vec::new(),
        price: None,
        fingerprint: "c".to_owned(),
        workload: None,
        base_epoch: "e".to_owned(),
        module: "0123456789abcdef".to_owned(),
        members: Vec::new(),
        victims: Vec::new(),
        status: PlanStatus::Running,
        unit: 1,
        subject: Some(subject("db-4")),
        phase,
        point_of_no_return: false,
        undoing: false,
        why: String::new(),
        started: at(0),
        progressed: at(3),
    }
}

fn journal(plan: Option<PlanState>) -> Journal {
    Journal { target: "shop/db".into(), epoch: 4, plan, ..Journal::default() }
}

fn about(journal: &Journal) -> About {
    About::of(journal, &ETCD_ON_ORDINALS)
}

fn note(who: &str, why: &str, minute: i64) -> Note {
    Note { who: who.to_owned(), why: why.to_owned(), at: at(minute) }
}

#[test]
fn a_running_plan_says_where_it_stands_what_is_to_come_and_what_it_waits_for() {
    let mut journal = journal(Some(plan(3, 5, 2)));
    let report = about(&journal);
    let shown =
        (&*report.state, &*report.change, &*report.phase, &*report.waits_for, &*report.mode, report.epoch);
    assert_eq!(shown, ("Running", "3 → 5", "CatchUp", "the end of catch-up", "Enforce", 4));
    assert_eq!(
        report.message,
        "from 3 to 5 members, Running: member 2 of 2 (db-4), catch-up; waits for the end of catch-up"
    );
    assert_eq!(report.since.map(|since| since.0), Some("2027-01-15T08:03:00Z".to_owned()));
    let running = report.plan.unwrap();
    assert_eq!((&*running.unit, &*running.asked_by), ("2 of 2", "a policy, module 0123456789ab"));
    let steps = [
        "register: done",
        "start: done",
        "catch-up: under way",
        "promote: to come; cannot be taken back from here on",
        "barrier: to come",
        "settle: to come",
    ];
    assert_eq!(running.steps, steps);
    let commands = [
        "kubectl annotate scalingplan/db -n shop --overwrite plimsoll.dev/cancel='shop-db-p1.7'",
        "kubectl annotate scalingplan/db -n shop --overwrite plimsoll.dev/paused='WHO: WHY'",
    ];
    assert_eq!(report.commands, commands);

    let verb = Verb::System(SystemVerb::Promote { member: "m".into() });
    let intent = |outcome| Intent {
        id: "i".into(),
        plan: "shop-db-p1.7".into(),
        unit: 1,
        verb: verb.clone(),
        outcome,
    };
    journal.intent = Some(intent(None));
    assert_eq!(about(&journal).waits_for, "an answer to: give member m its vote");
    journal.intent = Some(intent(Some(Outcome::Applied)));
    assert_eq!(about(&journal).waits_for, "the end of catch-up");
    let asked = Asked { sizes: Sizes::of_members(5), note: note("ann", "", 1) };
    journal.memory.asked = Some(asked);
    assert_eq!(about(&journal).plan.unwrap().asked_by, "ann, for 5 members");
}

#[test]
fn a_plan_that_waits_for_a_person_shows_what_is_approved_and_how() {
    let waits = PlanState {
        status: PlanStatus::AwaitingApproval,
        unit: 0,
        subject: None,
        victims: vec!["it's".into()],
        ..plan(5, 3, 0)
    };
    let report = about(&journal(Some(waits)));
    assert_eq!((&*report.state, &*report.waits_for), ("AwaitingApproval", "a person's approval"));
    let running = report.plan.unwrap();
    let content = "cluster c from 5 to 3 removing [it's] by module 0123456789abcdef at e";
    assert_eq!(running.approval.as_deref(), Some(content));
    assert_eq!(running.steps[1], "deregister: to come; cannot be taken back from here on");
    assert_eq!(running.steps.last().map(|step| &**step), Some("then one more member, in the same way"));
    let quoted = content.replace('\'', r"'\''");
    let command =
        format!("kubectl annotate scalingplan/db -n shop --overwrite plimsoll.dev/approve='{quoted}'");
    assert_eq!(report.commands[0], command);
    // What is too long for an order is not offered as one.
    let many = (0..2_000).map(|number| number.to_string().into()).collect();
    let waits = PlanState { status: PlanStatus::AwaitingApproval, victims: many, ..plan(5, 3, 0) };
    let running = about(&journal(Some(waits))).plan.unwrap();
    assert_eq!((running.approval, running.victims.len()), (None, 32));
}

#[test]
fn held_paused_and_taken_back_are_told_with_who_and_why() {
    let held = PlanState { status: PlanStatus::Held, why: "no quorum".to_owned(), ..plan(3, 5, 2) };
    let report = about(&journal(Some(held)));
    assert_eq!((&*report.state, &*report.waits_for), ("Held", "no quorum"));
    let mut paused = journal(Some(plan(3, 5, 2)));
    paused.memory.paused = Some(note("ann", "disk swap", 5));
    paused.memory.answered = vec![Answered {
        place: "plan/paused".to_owned(),
        verb: "pause".to_owned(),
        text: "disk swap".to_owned(),
        note: note("ann", "shop/db is paused", 5),
        obeyed: true,
    }];
    let report = about(&paused);
    assert_eq!((&*report.state, &*report.waits_for), ("Paused", "the end of the pause by ann: disk swap"));
    assert_eq!(report.orders, ["pause by ann was obeyed at 2027-01-15T08:05:00Z: shop/db is paused"]);
    let resume = format!("plimsoll.dev/resume='{}'", at(5).wall_ms);
    assert!(
        report.commands.last().is_some_and(|command| command.ends_with(&resume)),
        "{:?}",
        report.commands
    );
    let stopping = PlanState { status: PlanStatus::Stopping, undoing: true, ..plan(3, 5, 2) };
    let report = about(&journal(Some(stopping)));
    assert_eq!((&*report.state, &*report.phase), ("Stopping", "Undo"));
    assert_eq!(report.plan.unwrap().steps, ["undo: under way; the member is taken back"]);
}

#[test]
fn after_its_end_it_says_how_and_an_equal_journal_is_told_in_equal_bytes() {
    assert_eq!(about(&journal(None)).state, "NoPlan");
    let mut ended = journal(None);
    ended.memory.ghost.members = Some(4);
    ended.history = vec![Ended {
        id: "p".into(),
        legs: vec![Leg::members(3, 5)],
        ended_at: Sizes::of_members(3),
        status: PlanStatus::Aborted,
        why: "cancelled by ann".to_owned(),
        at: at(9),
    }];
    let report = about(&ended);
    assert_eq!(
        (&*report.state, &*report.change, &*report.phase, &*report.mode),
        ("Aborted", "3 → 5", "", "DryRun")
    );
    assert_eq!(
        report.message,
        "no plan is under way; the last one, from 3 to 5 members, ended at 3: cancelled by ann"
    );
    assert_eq!(json!(about(&ended)).to_string(), json!(about(&ended.clone())).to_string());
}
