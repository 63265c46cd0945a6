//! Answers of a healthy cluster for tests: `p1` leads, the others follow and confirm by `ANY 1`.

use super::lsn::Lsn;
use super::reading::{Answers, Follower, Keep, Own, Side};
use super::survey::{Answer, Survey};
use plimsoll_core::observation::{PlatformReport, Reading, Slot, Source, VacantSlot};
use plimsoll_wire::fact::Authority;
use plimsoll_wire::snapshot::Endpoints;

/// What is on the primary's disk.
pub(super) const FLUSHED: Lsn = Lsn(0x300_0000);
pub(super) const SYSTEM: &str = "7713902985488125784";

pub(super) fn endpoints(number: u16) -> Endpoints {
    [("client", 5400), ("peer", 5500)]
        .map(|(purpose, base)| (purpose.to_owned(), format!("h{number}:{}", base + number)))
        .into()
}

/// Places `p1` to `p<used>` in use, the next one vacant.
pub(super) fn platform(used: u16) -> PlatformReport {
    let source = Source::new(Authority::Platform, "test", 0);
    let slots = (1..=used).map(|number| Slot {
        slot: format!("p{number}").into(),
        endpoints: endpoints(number),
        running: true,
        incarnation: "1".to_owned(),
        domain: Reading::default(),
        marker: Reading::default(),
    });
    let vacant = VacantSlot {
        slot: format!("p{}", used + 1).into(),
        endpoints: endpoints(used + 1),
        domain: Reading::default(),
        marker: Reading::default(),
    };
    PlatformReport {
        slots: source.tells(slots.collect()),
        vacant: source.tells(vec![vacant]),
        ..PlatformReport::default()
    }
}

fn own(side: Side, conninfo: Option<&str>) -> Own {
    Own {
        system: SYSTEM.to_owned(),
        up_ms: 60_000,
        side,
        names: String::new(),
        read_only: false,
        pending: 0,
        conninfo: conninfo.map(str::to_owned),
    }
}

pub(super) fn follower(number: u16) -> Follower {
    Follower {
        pid: i64::from(number),
        name: format!("p{number}"),
        state: "streaming".to_owned(),
        flushed: Some(FLUSHED),
        replayed: Some(FLUSHED),
        reply_ms: Some(10),
    }
}

pub(super) fn keep(number: u16) -> Keep {
    Keep {
        name: format!("p{number}"),
        physical: true,
        temporary: false,
        pid: Some(i64::from(number)),
        restart: Some(FLUSHED),
        wal: Some("reserved".to_owned()),
    }
}

/// A primary and standbys, `members` in all.
pub(super) fn healthy(members: u16) -> Survey {
    let mut primary = own(Side::Primary { flushed: FLUSHED, timeline: 3 }, None);
    let names: Vec<String> = (2..=members).map(|number| format!("p{number}")).collect();
    primary.names = format!("ANY 1 ({})", names.join(", "));
    let mut answers = vec![answer(
        1,
        Answers {
            version: 15,
            own: primary,
            followers: (2..=members).map(follower).collect(),
            keeps: (2..=members).map(keep).collect(),
        },
    )];
    for number in 2..=members {
        let side = Side::Standby { replayed: Some(FLUSHED), replays: true, timeline: Some(3) };
        let conninfo = format!("user=repl application_name=p{number} host=h1 port=5501");
        let own = own(side, Some(&conninfo));
        answers.push(answer(number, Answers { version: 15, own, followers: Vec::new(), keeps: Vec::new() }));
    }
    Survey { answers }
}

fn answer(number: u16, reading: Answers) -> Answer {
    Answer { place: format!("p{number}").into(), endpoints: endpoints(number), reading: Ok(reading) }
}

/// What a member answered, to be changed.
pub(super) fn of(survey: &mut Survey, number: usize) -> &mut Answers {
    survey.answers[number - 1].reading.as_mut().expect("it answers")
}

/// A member that does not answer.
pub(super) fn silence(survey: &mut Survey, number: usize) {
    survey.answers[number - 1].reading = Err("connection refused".to_owned());
}

/// The primary has stopped streaming to a member.
pub(super) fn cut(survey: &mut Survey, number: u16) {
    let primary = of(survey, 1);
    primary.followers.retain(|row| row.pid != i64::from(number));
    for keep in primary.keeps.iter_mut().filter(|keep| keep.name == format!("p{number}")) {
        keep.pid = None;
    }
}

/// A standby follows another one and not the primary, by slots on both.
pub(super) fn cascade(survey: &mut Survey, number: u16, above: u16) {
    cut(survey, number);
    let upstream = of(survey, usize::from(above));
    upstream.followers.push(follower(number));
    upstream.keeps.push(keep(number));
    let conninfo = format!("application_name=p{number} host=h{above} port={}", 5500 + above);
    of(survey, usize::from(number)).own.conninfo = Some(conninfo);
}

/// The primary has been fenced at its last position.
pub(super) fn fence(survey: &mut Survey) {
    of(survey, 1).own.read_only = true;
}

/// `p2` has taken over from a fenced `p1`, and the others follow it.
pub(super) fn handed_over(members: u16) -> Survey {
    let mut survey = healthy(members);
    fence(&mut survey);
    of(&mut survey, 1).followers.clear();
    of(&mut survey, 1).keeps.iter_mut().for_each(|keep| keep.pid = None);
    let next = of(&mut survey, 2);
    next.own.side = Side::Primary { flushed: FLUSHED, timeline: 4 };
    let others: Vec<String> = (3..=members).map(|number| format!("p{number}")).collect();
    next.own.names = format!("ANY 1 ({})", others.join(", "));
    next.followers = (3..=members).map(follower).collect();
    next.keeps = (3..=members).map(keep).collect();
    for number in 3..=usize::from(members) {
        of(&mut survey, number).own.side =
            Side::Standby { replayed: Some(FLUSHED), replays: true, timeline: Some(4) };
        of(&mut survey, number).own.conninfo = Some(format!("application_name=p{number} host=h2 port=5502"));
    }
    survey
}
