//! What waits, what arrives and what is handled: from a queue's offsets, remembered from one evaluation to the next, or from
//! signals.

use plimsoll_policy_sdk::Snapshot;

/// What a queue looks like now.
pub(crate) struct Seen<'a> {
    pub(crate) figures: Figures,
    /// How many consumers can have something to do; none where nobody knows.
    pub(crate) partitions: Option<u32>,
    /// Whether a figure is only a part of the truth.
    pub(crate) partial: bool,
    /// The signals that were read.
    pub(crate) signals: Vec<&'a str>,
}

/// The figures of a queue.
pub(crate) enum Figures {
    /// Offsets, as the queue itself counts: rates follow from two of them.
    Offsets { written: u64, committed: u64 },
    /// Rates, as signals tell them.
    Flow(Flow),
}

/// Records that wait, and records a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Flow {
    pub(crate) waiting: f64,
    pub(crate) arriving: f64,
    /// What was handled lately while no member was idle; none where some may have been.
    pub(crate) at_most: Option<f64>,
}

/// When, in milliseconds since boot, how many records had been written and committed.
type Count = (u64, u64, u64);

/// The most counts that are kept: with one every 15 seconds, eight minutes.
const MOST: usize = 32;
/// Below this a difference says more about the moment of asking than about the queue.
const LEAST_MS: u64 = 10_000;

/// Records that wait for so many seconds keep every member at work.
const BUSY_S: f64 = 10.0;

/// Whether so many waiting records leave no member idle.
pub(crate) fn is_busy(waiting: f64, handled: f64) -> bool {
    handled > 0.0 && waiting >= BUSY_S * handled
}

/// The counts of the window, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    counts: Vec<Count>,
}

impl Backlog {
    /// Reads what [`Backlog::write`] wrote; of another boot, or unreadable, it is lost, and rates begin again.
    pub(crate) fn read(text: Option<&str>, input: &Snapshot) -> Self {
        text.and_then(|text| parse(text, input)).unwrap_or_default()
    }

    /// The counts in one line.
    pub(crate) fn write(&self, input: &Snapshot) -> String {
        let counts: Vec<String> = self
            .counts
            .iter()
            .map(|(at, written, committed)| format!("{at}={written}={committed}"))
            .collect();
        format!("{};{}", counts.join(","), input.now.boot)
    }

    /// Adds what is seen now. Offsets that went back are another topic, or a group that was reset: rates begin again.
    pub(crate) fn note(&mut self, input: &Snapshot, seen: &Seen, window_ms: u64) {
        let Figures::Offsets { written, committed } = seen.figures else { return };
        let now_ms = input.now.mono_ms;
        if self.counts.last().is_some_and(|last| written < last.1 || committed < last.2) {
            self.counts.clear();
        }
        self.counts.retain(|(at, ..)| *at < now_ms && now_ms - at <= window_ms);
        self.counts.push((now_ms, written, committed));
        if self.counts.len() > MOST {
            self.counts.remove(0);
        }
    }

    /// What waits and how fast it changes.
    ///
    /// # Errors
    /// Why nobody can say yet, as a code and a sentence.
    pub(crate) fn flow(&self, seen: &Seen) -> Result<Flow, (&'static str, String)> {
        let (written, committed) = match seen.figures {
            Figures::Flow(flow) => return Ok(flow),
            Figures::Offsets { written, committed } => (written, committed),
        };
        let first = self.counts.first().copied().unwrap_or_default();
        let last = self.counts.last().copied().unwrap_or_default();
        let took_ms = last.0 - first.0;
        if took_ms < LEAST_MS {
            let why = format!("offsets have been seen for {took_ms} ms; a rate takes {LEAST_MS} ms");
            return Err(("RateUnknown", why));
        }
        let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 * 1_000.0 / took_ms as f64;
        let waiting = written.saturating_sub(committed) as f64;
        Ok(Flow { waiting, arriving: rate(first.1, last.1), at_most: self.at_most() })
    }

    /// The rate of the last interval, where records waited at both of its ends: a group that was just rebalanced, or that
    /// commits from time to time, is no measure.
    fn at_most(&self) -> Option<f64> {
        let [.., from, to] = &*self.counts else { return None };
        let took_ms = (to.0 - from.0) as f64;
        let waited = from.1.saturating_sub(from.2).min(to.1.saturating_sub(to.2));
        let handled = to.2.saturating_sub(from.2) as f64 * 1_000.0 / took_ms;
        is_busy(waited as f64, handled).then_some(handled)
    }
}

fn parse(text: &str, input: &Snapshot) -> Option<Backlog> {
    let (counts, boot) = text.split_once(';')?;
    if boot != &*input.now.boot || counts.is_empty() {
        return None;
    }
    let one = |part: &str| -> Option<Count> {
        let mut parts = part.splitn(3, '=').map(|number| number.parse::<u64>().ok());
        Some((parts.next()??, parts.next()??, parts.next()??))
    };
    let counts: Vec<Count> = counts.split(',').take(MOST).map(one).collect::<Option<_>>()?;
    let in_order = counts.is_sorted_by(|one, other| one.0 < other.0);
    let is_past = counts.last().is_some_and(|last| last.0 <= input.now.mono_ms);
    (in_order && is_past).then_some(Backlog { counts })
}
