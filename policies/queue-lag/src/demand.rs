//! What is watched, and how many members it asks for.

use crate::backlog::{Figures, Flow, Seen, is_busy};
use crate::capacity::Capacity;
use plimsoll_policy_sdk::behavior::Pace;
use plimsoll_policy_sdk::figures::{decimal, usable};
use plimsoll_policy_sdk::lag::{CONSUMER_LAG, Consumers};
use plimsoll_policy_sdk::snapshot::{Signal, SignalState};
use plimsoll_policy_sdk::{Fact, Refusal, Settings, Snapshot, refusal};
use serde_json::{Value, json};

/// Members take records off the queue: more of them than partitions have nothing to do.
const CONSUMERS: &str = "consumers";
/// Members hold the queue.
const BROKERS: &str = "brokers";

/// Quotients of decimal numbers miss whole numbers by a hair; this much is not demand.
const HAIR: f64 = 1e-9;
/// No system has more members; what asks for more is clamped by the owner's maximum anyway.
const MOST: f64 = 1_000_000.0;
/// What was read longer ago is not known.
const STALE_MS: u64 = 60_000;

/// The settings.
pub(crate) struct Demand<'a> {
    source: Source<'a>,
    catch_up_ms: u64,
    per_member: Option<f64>,
    members_are: &'static str,
    pub(crate) window_ms: u64,
}

/// Where the figures come from.
enum Source<'a> {
    Group { group: &'a str, topic: &'a str },
    Signals { lag: &'a str, arriving: &'a str },
}

/// How many members are wanted, and the sentence that says why.
pub(crate) struct Wanted {
    pub(crate) members: u32,
    pub(crate) message: String,
}

pub(crate) fn schema() -> Value {
    let duration = |default: &str, about: &str| json!({"type": "string", "pattern": "^[0-9]{1,6}[smh]$", "default": default, "description": about});
    let text = |about: &str| json!({"type": "string", "minLength": 1, "description": about});
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "group": text("the group of consumers whose offsets the data system tells; instead of lag and arriving"),
            "topic": text("only this topic of the group; all of them without it"),
            "lag": text("the name of a signal: records that wait, a sum over all partitions"),
            "arriving": text("the name of a signal: records a second that are written"),
            "catchUp": duration("5m", "the time in which everything that waits is to be handled, from 1s to 24h"),
            "perMember": {
                "type": "number",
                "exclusiveMinimum": 0,
                "description": "records a second that a member handles; learned while records wait, if absent"
            },
            "membersAre": {
                "enum": [CONSUMERS, BROKERS],
                "default": CONSUMERS,
                "description": "consumers: no more than there are partitions; brokers: they hold the queue"
            },
            "window": duration("2m", "over how long rates are measured, from 1s to 24h")
        },
        "oneOf": [{"required": ["group"]}, {"required": ["lag", "arriving"]}]
    })
}

impl<'a> Demand<'a> {
    /// Reads the settings.
    pub(crate) fn of(input: &'a Snapshot) -> Result<Self, Refusal> {
        let mut settings = Settings::of(input);
        let (group, topic) = (settings.text("group", Some("")), settings.text("topic", Some("")));
        let (lag, arriving) = (settings.text("lag", Some("")), settings.text("arriving", Some("")));
        let catch_up_ms = settings.duration_ms("catchUp", 300_000);
        let per_member = settings.number("perMember");
        let members_are = settings.word("membersAre", &[CONSUMERS, BROKERS]);
        let window_ms = settings.duration_ms("window", 120_000);
        let source = match (group, lag, arriving) {
            ("", lag, arriving) if !lag.is_empty() && !arriving.is_empty() && topic.is_empty() => {
                Some(Source::Signals { lag, arriving })
            }
            (group, "", "") if !group.is_empty() => Some(Source::Group { group, topic }),
            _ => None,
        };
        if source.is_none() {
            settings
                .wrong("group", "there, with or without topic, or else both of the signals lag and arriving");
        }
        settings.finish()?;
        let Some(source) = source else { return Err(refusal("BadSettings", "nothing is watched")) };
        Ok(Self { source, catch_up_ms, per_member, members_are, window_ms })
    }

    /// What the queue looks like now.
    pub(crate) fn seen(&self, input: &'a Snapshot) -> Result<Seen<'a>, Refusal> {
        match self.source {
            Source::Group { group, topic } => of_group(input, group, topic),
            Source::Signals { lag, arriving } => self.of_signals(input, lag, arriving),
        }
    }

    fn of_signals(&self, input: &'a Snapshot, lag: &'a str, arriving: &'a str) -> Result<Seen<'a>, Refusal> {
        let (waits, comes) = (signal(input, lag)?, signal(input, arriving)?);
        let since = input.now.wall_ms.saturating_sub_unsigned(self.window_ms);
        let samples = |name: &str, signal: &'a Signal| {
            let recent: Vec<_> = signal.samples.iter().filter(|sample| sample.at_ms >= since).collect();
            match recent.iter().all(|sample| sample.value.is_finite() && sample.value >= 0.0) {
                true if recent.is_empty() => {
                    Err(refusal("StaleMetrics", format!("signal {name} has no sample in the window")))
                }
                true => Ok(recent),
                false => {
                    Err(refusal("InvalidMetrics", format!("signal {name} has a sample that is no amount")))
                }
            }
        };
        let (waits, comes) = ((samples(lag, waits)?, waits.state), (samples(arriving, comes)?, comes.state));
        let mean = comes.0.iter().fold(0.0, |sum, sample| sum + sample.value) / comes.0.len() as f64;
        let slope = match (waits.0.first(), waits.0.last()) {
            (Some(first), Some(last)) if last.at_ms > first.at_ms => {
                (last.value - first.value) * 1_000.0 / (last.at_ms - first.at_ms) as f64
            }
            _ => 0.0,
        };
        let waiting = waits.0.last().map_or(0.0, |sample| sample.value);
        let handled = mean - slope;
        let waited = waits.0.iter().map(|sample| sample.value).fold(f64::INFINITY, f64::min);
        let flow = Flow { waiting, arriving: mean, at_most: is_busy(waited, handled).then_some(handled) };
        let partial = [waits.1, comes.1].contains(&SignalState::Partial);
        Ok(Seen { figures: Figures::Flow(flow), partitions: None, partial, signals: vec![lag, arriving] })
    }

    /// The smallest number of members that handles what arrives and works off in time what waits.
    ///
    /// # Errors
    /// Why nobody can say yet, as a code and a sentence.
    pub(crate) fn wanted(
        &self,
        input: &Snapshot,
        flow: &Flow,
        (capacity, partitions): (&Capacity, Option<u32>),
        size: u32,
        pace: &Pace,
    ) -> Result<Wanted, (&'static str, String)> {
        let each = self.per_member.unwrap_or_else(|| capacity.now(input));
        if each <= 0.0 {
            let why = "how much a member handles is not known: records have to wait for a while, or `perMember` be set";
            return Err(("CapacityUnknown", why.to_owned()));
        }
        let catch_up_s = self.catch_up_ms as f64 / 1_000.0;
        let needed = flow.arriving + flow.waiting / catch_up_s;
        let exact = needed / each;
        let ratio = exact / f64::from(size.max(1));
        let tolerated =
            size > 0 && ratio <= 1.0 + pace.up.tolerance + HAIR && ratio >= 1.0 - pace.down.tolerance - HAIR;
        let mut members = if tolerated { size } else { (exact - HAIR).ceil().clamp(1.0, MOST) as u32 };
        let (waiting, arriving, each) = (decimal(flow.waiting), decimal(flow.arriving), decimal(each));
        let mut message = format!(
            "{waiting} records wait and {arriving} a second arrive; to catch up in {} s takes {} a second, and a member \
             handles {each}: asks for {members}, there are {size}",
            decimal(catch_up_s),
            decimal(needed)
        );
        if let Some(most) = partitions.filter(|most| self.members_are == CONSUMERS && *most < members) {
            members = most.max(1);
            message.push_str(&format!("; more than {members} consumers have no partition"));
        }
        Ok(Wanted { members, message })
    }
}

fn signal<'a>(input: &'a Snapshot, name: &str) -> Result<&'a Signal, Refusal> {
    let Some(signal) = input.signals.get(name) else {
        return Err(refusal("NoMetrics", format!("the target has no signal {name}")));
    };
    usable(name, signal)?;
    Ok(signal)
}

/// The offsets of a group, as the data system tells them.
fn of_group<'a>(input: &'a Snapshot, group: &str, topic: &str) -> Result<Seen<'a>, Refusal> {
    let told = match input.facts.get(CONSUMER_LAG) {
        None | Some(Fact::NotApplicable) => {
            return Err(refusal("MetricsUnavailable", "this data system tells no offsets of consumers"));
        }
        Some(Fact::Unknown { reason, detail }) => {
            let why = format!("the offsets of consumers are not known: {} {detail}", reason.kind());
            return Err(refusal("MetricsUnavailable", why.trim_end()));
        }
        Some(Fact::Known(known)) if known.age_ms > STALE_MS => {
            return Err(refusal(
                "StaleMetrics",
                format!("the offsets of consumers are {} ms old", known.age_ms),
            ));
        }
        Some(Fact::Known(known)) => &known.value,
    };
    let all: Consumers = serde_json::from_value(told.clone()).map_err(|why| {
        refusal("InvalidMetrics", format!("the offsets of consumers cannot be read: {why}"))
    })?;
    let own =
        || all.groups.iter().filter(|one| one.group == group && (topic.is_empty() || one.topic == topic));
    if own().next().is_none() {
        if all.left_out > 0 || all.unknown > 0 {
            let why = format!(
                "nothing is known of group {group}: {} groups were not looked at, of {} the ends of partitions are not known",
                all.left_out, all.unknown
            );
            return Err(refusal("MetricsUnavailable", why));
        }
        let on = if topic.is_empty() { String::new() } else { format!(" on topic {topic}") };
        return Err(refusal("NoMetrics", format!("no group {group} has committed an offset{on}")));
    }
    let written = own().fold(0_u64, |sum, one| sum.saturating_add(one.written));
    // A commit beyond the end is one of a topic that was made anew: nothing waits of it.
    let committed = own().fold(0_u64, |sum, one| sum.saturating_add(one.committed.min(one.written)));
    let partitions = own().fold(0_u32, |sum, one| sum.saturating_add(one.partitions));
    let figures = Figures::Offsets { written, committed };
    Ok(Seen { figures, partitions: Some(partitions), partial: false, signals: Vec::new() })
}
