//! What was wanted lately, kept in the policy's `state` from one evaluation to the next.
//!
//! Of the wishes in a window only those can ever matter again that no later one exceeds: the state stays small
//! whatever the window. A lost state, and one of another boot, counts as "the present size was wanted until
//! now": waits begin again, they never get shorter.
//!
//! A wish stands until the next one. Where evaluations are further apart than the window, the last wish has
//! therefore stood in all of it, and two in a row have to agree. Only a silence, more than twice as long as the
//! evaluations were apart before it, begins the window again: what was wanted in it nobody knows.

use crate::Snapshot;

/// Which layout the text has.
const VERSION: &str = "2";

/// The most wishes that are kept for each direction.
const MOST: usize = 64;

/// A gap of so many times the usual one is a silence: one evaluation may be missed.
const SILENCE: u64 = 2;

/// When, in milliseconds since boot, how many members were wanted.
type Wish = (u64, u32);

/// The wishes that still matter, oldest first.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recall {
    /// How far apart the last two evaluations were, in milliseconds; 0 where that is not known.
    usual_ms: u64,
    /// When the last evaluation was, if there was one.
    last_ms: Option<u64>,
    /// For growing: each smaller than those after it.
    up: Vec<Wish>,
    /// For shrinking: each greater than those after it.
    down: Vec<Wish>,
}

impl Recall {
    /// Reads what [`Recall::write`] wrote; what cannot be read is lost.
    #[must_use]
    pub fn read(text: Option<&str>, input: &Snapshot) -> Self {
        text.and_then(|text| parse(text, input)).unwrap_or_default()
    }

    /// The state to keep, in one line.
    #[must_use]
    pub fn write(&self, input: &Snapshot) -> String {
        let (now_ms, boot) = (input.now.mono_ms, &input.now.boot);
        let usual_ms = match self.last_ms {
            // The same moment once more is no evaluation of its own.
            Some(last_ms) if last_ms == now_ms => self.usual_ms,
            Some(last_ms) => now_ms - last_ms,
            None => 0,
        };
        format!("{VERSION};{now_ms};{usual_ms};{};{};{boot}", join(&self.up), join(&self.down))
    }

    /// The least that was wanted in the window.
    pub fn least(&mut self, now_ms: u64, window_ms: u64, goal: u32, wanted: u32) -> u32 {
        let otherwise = self.standing(&self.up, now_ms, goal);
        extreme(&mut self.up, now_ms, window_ms, otherwise, wanted, |earlier, later| earlier >= later)
    }

    /// The most that was wanted in the window.
    pub fn most(&mut self, now_ms: u64, window_ms: u64, goal: u32, wanted: u32) -> u32 {
        let otherwise = self.standing(&self.down, now_ms, goal);
        extreme(&mut self.down, now_ms, window_ms, otherwise, wanted, |earlier, later| earlier <= later)
    }

    /// What stood until now where nothing was wished in the window: the last wish, or after a silence the goal.
    fn standing(&self, wishes: &[Wish], now_ms: u64, goal: u32) -> Wish {
        let longest_ms = self.usual_ms.saturating_mul(SILENCE);
        let last = wishes.last().filter(|(at_ms, _)| now_ms - at_ms <= longest_ms);
        (now_ms, last.map_or(goal, |(_, members)| *members))
    }
}

/// Adds the present wish and gives the first that counts, which is the extreme one.
fn extreme(
    wishes: &mut Vec<Wish>,
    now_ms: u64,
    window_ms: u64,
    otherwise: Wish,
    wanted: u32,
    is_settled_by: impl Fn(u32, u32) -> bool,
) -> u32 {
    wishes.retain(|(at_ms, _)| now_ms - at_ms < window_ms);
    if window_ms == 0 {
        return wanted;
    }
    if wishes.is_empty() {
        wishes.push(otherwise);
    }
    while wishes.pop_if(|(_, earlier)| is_settled_by(*earlier, wanted)).is_some() {}
    wishes.push((now_ms, wanted));
    if wishes.len() > MOST {
        // The two oldest become one, the more careful number at the later time.
        let (_, oldest) = wishes.remove(0);
        wishes[0].1 = oldest;
    }
    wishes[0].1
}

fn join(wishes: &[Wish]) -> String {
    let parts: Vec<String> = wishes.iter().map(|(at_ms, members)| format!("{at_ms}={members}")).collect();
    parts.join(",")
}

fn parse(text: &str, input: &Snapshot) -> Option<Recall> {
    let mut parts = text.splitn(6, ';');
    let mut next = || parts.next();
    let (version, last, usual, up, down, boot) = (next()?, next()?, next()?, next()?, next()?, next()?);
    let (last_ms, usual_ms) = (number(last)?, number(usual)?);
    let now_ms = input.now.mono_ms;
    if version != VERSION || boot != &*input.now.boot || last_ms > now_ms {
        return None;
    }
    let (up, down) = (wishes(up, now_ms)?, wishes(down, now_ms)?);
    Some(Recall { usual_ms, last_ms: Some(last_ms), up, down })
}

fn wishes(text: &str, now_ms: u64) -> Option<Vec<Wish>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let mut wishes = Vec::new();
    for part in text.split(',') {
        let (at_ms, members) = part.split_once('=')?;
        let (at_ms, members) = (number(at_ms)?, u32::try_from(number(members)?).ok()?);
        if at_ms > now_ms || wishes.len() == MOST {
            return None;
        }
        wishes.push((at_ms, members));
    }
    Some(wishes)
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
