use super::{Seen, Status};
use plimsoll_wire::journal::{PlanState, PlanStatus, Stamp};
use plimsoll_wire::proposal::Reason;
use plimsoll_wire::record::{Judgement, PolicyAnswer, Verdict, Violation, Wish, Wisher};
use plimsoll_wire::size::{Bounds, Leg, Sizes};
use plimsoll_wire::snapshot::Mode;
use plimsoll_wire::status::{Condition, LastDecision, Status as Target};

const NOON: i64 = 1_800_000_000_000;

fn condition(kind: &str, status: bool, reason: &str) -> Condition {
    Condition { kind: kind.to_owned(), status, reason: reason.to_owned(), message: String::new() }
}

/// Five members, three wished, put off for `wait` seconds more.
fn target(decision: u32, wait: u32) -> Target {
    let violation = Violation {
        rule: "STEP-3".to_owned(),
        kind: "Cooldown".to_owned(),
        verdict: Verdict::Defer,
        detail: format!("{wait} s to go"),
        unknown: false,
        hint: String::new(),
    };
    let answer = PolicyAnswer {
        from: Wisher::Policy("load".to_owned()),
        module: String::new(),
        sizes: Sizes::of_members(3),
        reason: Reason { code: "Idle".to_owned(), message: "little to do".to_owned() },
        failed: false,
        fuel: u64::from(decision),
    };
    let last = LastDecision {
        id: decision.to_string().into(),
        wall_ms: NOON,
        answers: vec![answer],
        wish: Wish {
            sizes: Sizes::of_members(3),
            from: Wisher::Policy("load".to_owned()),
            rule: "the largest".to_owned(),
        },
        decided: Sizes::of_members(5),
        reason: "Cooldown".to_owned(),
        judgement: Judgement {
            verdict: Verdict::Defer,
            sizes: Sizes::of_members(5),
            violations: vec![violation],
        },
    };
    Target {
        target: "default/orders".into(),
        system: "etcd".to_owned(),
        platform: "StatefulSet default/orders".to_owned(),
        mode: Mode::Enforce,
        bounds: Bounds::of_members(3, 7),
        sizes: Sizes::of_members(5),
        ghost: Sizes::default(),
        last_decision: Some(last),
        plan: None,
        phase: String::new(),
        moving: None,
        waiting_for: String::new(),
        approval: None,
        paused: None,
        outside: None,
        orders: Vec::new(),
        history: Vec::new(),
        trouble: None,
        follows: None,
        conditions: vec![
            condition("Ready", true, "Observed"),
            condition("AbleToScale", false, "Cooldown"),
            condition("Limited", false, ""),
            condition("Moving", false, ""),
        ],
    }
}

fn seen(wall_ms: i64) -> Seen {
    Seen { generation: Some(7), wall_ms, ..Seen::default() }
}

fn stands(status: &Status, kind: &str) -> (String, String, String) {
    let found = status.conditions.iter().find(|one| one.kind == kind);
    let found = found.unwrap_or_else(|| panic!("no condition {kind}"));
    (found.status.clone(), found.reason.clone(), found.last_transition_time.0.clone())
}

fn words(status: &str, reason: &str, time: &str) -> (String, String, String) {
    (status.to_owned(), reason.to_owned(), time.to_owned())
}

#[test]
fn a_decision_is_told_in_the_words_of_kubernetes() {
    let status = Status::of(Some(&target(1, 90)), &seen(NOON), None);
    assert_eq!(status.observed_generation, Some(7));
    assert_eq!(status.message, "5 members stay, 3 were wished: Cooldown: 90 s to go");
    let last = status.last_decision.clone().expect("a decision");
    let sizes = (last.current_replicas, last.raw_desired_replicas, last.final_desired_replicas);
    assert_eq!(sizes, (Some(5), Some(3), Some(5)));
    assert_eq!((last.direction.as_str(), last.time.0.as_str()), ("None", "2027-01-15T08:00:00Z"));
    assert_eq!(last.wishes[0].replicas, Some(3));
    assert_eq!(
        (&*last.constraints_applied[0].rule, &*last.constraints_applied[0].effect),
        ("STEP-3", "Defer")
    );
    let kinds: Vec<&str> = status.conditions.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(kinds, ["Ready", "Active", "AbleToScale", "Limited", "Moving"]);
    assert_eq!(stands(&status, "Limited"), words("False", "WithinBounds", "2027-01-15T08:00:00Z"));
    assert_eq!(stands(&status, "Active"), words("True", "Enforce", "2027-01-15T08:00:00Z"));
}

/// A write a second for a number in a text would wear the API server out.
#[test]
fn the_same_news_is_written_once_and_a_number_in_a_text_after_a_while() {
    let first = Status::of(Some(&target(1, 90)), &seen(NOON), None);
    let same = Status::of(Some(&target(2, 90)), &seen(NOON + 5_000_000), Some(&first));
    assert_eq!(same, first, "another decision that says the same");
    let counted = Status::of(Some(&target(2, 85)), &seen(NOON + 5_000), Some(&first));
    assert_eq!(counted, first, "five seconds less to wait");
    let later = Status::of(Some(&target(9, 7)), &seen(NOON + 700_000), Some(&first));
    assert_eq!(later.message, "5 members stay, 3 were wished: Cooldown: 7 s to go");
    assert_eq!(later.updated.0, "2027-01-15T08:11:40Z");
    let again = Status::of(Some(&target(10, 6)), &seen(NOON + 701_000), Some(&later));
    assert_eq!(again, later, "it is young again");
}

#[test]
fn what_changes_is_written_at_once_and_only_what_turned_has_a_new_time() {
    let first = Status::of(Some(&target(1, 90)), &seen(NOON), None);
    let mut grown = target(2, 90);
    grown.sizes.members = Some(6);
    let status = Status::of(Some(&grown), &seen(NOON + 1_000), Some(&first));
    assert_eq!(status.replicas, Some(6));
    let mut turned = target(1, 90);
    turned.conditions[1].status = true;
    turned.conditions[1].reason = "Admitted".to_owned();
    let status = Status::of(Some(&turned), &seen(NOON + 1_000), Some(&first));
    assert_eq!(stands(&status, "AbleToScale"), words("True", "Admitted", "2027-01-15T08:00:01Z"));
    assert_eq!(stands(&status, "Ready"), words("True", "Observed", "2027-01-15T08:00:00Z"));
    let newer = Seen { generation: Some(8), ..seen(NOON + 1_000) };
    assert_ne!(Status::of(Some(&target(1, 90)), &newer, Some(&first)), first, "the document was looked at");
}

#[test]
fn a_refused_document_says_so_and_what_was_accepted_goes_on() {
    let refused = Seen { refused: Some("spec.mode: `enforec` is not known".to_owned()), ..seen(NOON) };
    let never = Status::of(None, &refused, None);
    assert_eq!(never.message, "the document is refused: spec.mode: `enforec` is not known");
    assert_eq!(never.conditions.len(), 1);
    assert_eq!(stands(&never, "Ready"), words("False", "InvalidSpec", "2027-01-15T08:00:00Z"));
    let before = Status::of(Some(&target(1, 90)), &seen(NOON), None);
    let after = Status::of(Some(&target(1, 90)), &refused, Some(&before));
    assert!(after.message.ends_with("; what was accepted before goes on"), "{}", after.message);
    assert_eq!(after.conditions.iter().filter(|one| one.kind == "Ready").count(), 1);
    assert_eq!(after.last_decision, before.last_decision);
}

#[test]
fn nothing_is_known_before_the_first_decision() {
    let mut young = target(1, 90);
    young.last_decision = None;
    let status = Status::of(Some(&young), &seen(NOON), None);
    assert_eq!(stands(&status, "AbleToScale"), words("Unknown", "NothingDecided", "2027-01-15T08:00:00Z"));
    assert_eq!(status.message, "5 members; nothing is decided yet");
}

/// The journal cannot be read: whether a plan is held is not known, and nothing is admitted.
#[test]
fn nothing_is_called_safe_while_the_daemon_is_in_trouble() {
    let mut troubled = target(1, 90);
    troubled.last_decision = None;
    let trouble = Condition {
        kind: String::new(),
        status: false,
        reason: "Trouble".to_owned(),
        message: "JournalNotRead: the journal was edited".to_owned(),
    };
    troubled.trouble = Some(trouble.message.clone());
    troubled.conditions =
        ["AbleToScale", "Safe"].map(|kind| Condition { kind: kind.to_owned(), ..trouble.clone() }).to_vec();
    let status = Status::of(Some(&troubled), &seen(NOON), None);
    assert_eq!(stands(&status, "AbleToScale"), words("False", "Trouble", "2027-01-15T08:00:00Z"));
    assert_eq!(stands(&status, "Safe"), words("Unknown", "Trouble", "2027-01-15T08:00:00Z"));
    assert!(
        status.conditions.iter().filter(|one| one.kind != "Active").all(|one| one.message == trouble.message)
    );
}

#[test]
fn a_plan_says_how_far_it_is_and_what_is_to_be_approved() {
    let mut moving = target(1, 90);
    moving.plan = Some(PlanState {
        id: "p1".into(),
        decision: "1".into(),
        legs: vec![Leg::members(5, 3)],
        leg: 0,
        together: 1,
        leaving: Vec::new(),
        joined: Vec::new(),
        price: None,
        fingerprint: "f".to_owned(),
        workload: None,
        base_epoch: "e".to_owned(),
        module: String::new(),
        members: Vec::new(),
        victims: vec!["a".into(), "b".into()],
        status: PlanStatus::AwaitingApproval,
        unit: 0,
        subject: None,
        phase: 0,
        point_of_no_return: false,
        undoing: false,
        why: String::new(),
        started: Stamp { wall_ms: NOON, ..Stamp::default() },
        progressed: Stamp { wall_ms: NOON, ..Stamp::default() },
    });
    moving.phase = "move-leaders".to_owned();
    moving.waiting_for = "a person's approval".to_owned();
    moving.approval = Some("cluster f from 5 to 3".to_owned());
    let status = Status::of(Some(&moving), &seen(NOON), None);
    assert_eq!(status.message, "from 5 to 3 members, move-leaders, waits for a person's approval");
    let plan = status.plan.expect("a plan");
    assert_eq!(plan.summary, "5 → 3, AwaitingApproval, MoveLeaders");
    assert_eq!(plan.approval.as_deref(), Some("cluster f from 5 to 3"));
}

#[test]
fn every_condition_of_the_core_is_in_the_table() {
    for condition in target(1, 90).conditions {
        assert!(super::CONDITIONS.iter().any(|known| known.kind == condition.kind), "{}", condition.kind);
    }
}
