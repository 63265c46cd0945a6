//! Reads a log from its first line to its last. This is the one reader of the log's structure: opening, reading and
//! verifying use it.

use super::chain::{self, Content, Hash, Head, Link};
use super::event::Event;
use super::finding::{Finding, Problem};
use crate::disk::Disk;
use std::io;

/// Far above what a segment may have: a bound for what is read at once.
const MAX_SEGMENT: u64 = 2 << 30;

/// The file of a segment.
pub(super) fn segment_name(number: u32) -> String {
    format!("audit-{number:08}.jsonl")
}

/// The segments that are there, oldest first.
pub(super) fn segment_numbers(disk: &dyn Disk) -> io::Result<Vec<u32>> {
    let mut numbers: Vec<u32> = disk
        .list("")?
        .iter()
        .filter_map(|name| {
            let number = name.strip_prefix("audit-")?.strip_suffix(".jsonl")?.parse().ok()?;
            (segment_name(number) == *name).then_some(number)
        })
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn read_segment(disk: &dyn Disk, number: u32) -> io::Result<Vec<u8>> {
    disk.read(&segment_name(number), MAX_SEGMENT)
}

/// One line of a segment.
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: u64,
    pub(super) offset: u64,
    /// Without its end.
    pub(super) bytes: &'a [u8],
    /// Whether it has an end.
    pub(super) ended: bool,
    /// Whether nothing comes after it.
    pub(super) last: bool,
}

pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut offset = 0;
    bytes.split_inclusive(|byte| *byte == b'\n').zip(1..).map(move |(whole, number)| {
        let stripped = whole.strip_suffix(b"\n");
        let start = offset;
        offset += whole.len();
        Line {
            number,
            offset: start as u64,
            bytes: stripped.unwrap_or(whole),
            ended: stripped.is_some(),
            last: offset == bytes.len(),
        }
    })
}

pub(super) fn event_of(link: &Link<'_>) -> Option<Event> {
    match link.content {
        Content::Event => serde_json::from_slice(link.body).ok(),
        Content::Record => None,
    }
}

fn first_link(bytes: &[u8]) -> Option<Link<'_>> {
    let line = lines(bytes).next().filter(|line| line.ended)?;
    chain::check(line.bytes).ok()
}

/// How many bytes of segment `number` count, when the segment after it says so.
pub(super) fn acknowledged(number: u32, next: Option<&[u8]>) -> Option<u64> {
    match next.and_then(first_link).as_ref().and_then(event_of) {
        Some(Event::Gap { segment, length, .. }) if segment == number => Some(length),
        Some(_) | None => None,
    }
}

/// Whether a newest segment is only the beginning of its first line: a crash came while it was made.
fn is_stillborn(bytes: &[u8]) -> bool {
    first_link(bytes).is_none() && lines(bytes).next().is_none_or(|line| line.last)
}

/// A line of a sound shape.
pub(super) struct Seen<'a, 'b> {
    pub(super) segment: u32,
    pub(super) line: u64,
    pub(super) link: &'b Link<'a>,
}

/// What is known of a segment.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) number: u32,
    /// Its last line.
    pub(super) last: Head,
    /// Its bytes that count.
    pub(super) length: u64,
    pub(super) sealed: bool,
    /// When its last line was written, in milliseconds since 1970; a time that cannot be read counts as new.
    pub(super) wall_ms: i64,
}

/// A half-written line at the end of the log.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    pub(super) segment: u32,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

/// The time of a line in milliseconds since 1970. One that cannot be read counts as new: nothing is removed for it.
pub(super) fn wall_ms(time: &[u8]) -> i64 {
    let text = std::str::from_utf8(time).unwrap_or_default();
    text.parse::<jiff::Timestamp>().map_or(i64::MAX, |time| time.as_millisecond())
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) segments: Vec<Segment>,
    pub(super) tails: Vec<Tail>,
    pub(super) findings: Vec<Finding>,
    pub(super) lines: u64,
    /// The first line's sequence, and what it says was before it.
    pub(super) first: Option<(u64, Hash)>,
    /// The last line.
    pub(super) head: Option<Head>,
    /// Which log it is, as its segments say; empty in one that was begun before logs had a name.
    pub(super) log: String,
    /// The last retired segment and its last line.
    pub(super) retired: Option<(u32, Head)>,
    /// Records before this may lack their snapshots.
    pub(super) snapshots_before: u64,
}

/// Goes through the whole log and shows every sound line to `visit`.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn walk(disk: &dyn Disk, visit: &mut dyn FnMut(&Seen<'_, '_>)) -> io::Result<Walked> {
    let numbers = segment_numbers(disk)?;
    let mut walker = Walker { disk, visit, out: Walked::default() };
    let mut following = match numbers.first() {
        Some(first) => Some(read_segment(disk, *first)?),
        None => None,
    };
    for (index, number) in numbers.iter().enumerate() {
        let Some(bytes) = following.take() else { break };
        following = match numbers.get(index + 1) {
            Some(next) => Some(read_segment(disk, *next)?),
            None => None,
        };
        if let Some(previous) = index.checked_sub(1).and_then(|before| numbers.get(before)) {
            walker.numbered(*previous, *number);
        }
        let next_is_newest = index + 2 == numbers.len();
        walker.segment(*number, &bytes, following.as_deref(), next_is_newest);
    }
    if let Some(oldest) = numbers.first() {
        walker.begins(*oldest);
    }
    Ok(walker.out)
}

struct Walker<'a> {
    disk: &'a dyn Disk,
    visit: &'a mut dyn FnMut(&Seen<'_, '_>),
    out: Walked,
}

impl Walker<'_> {
    fn found(&mut self, segment: u32, line: Option<u64>, problem: Problem) {
        self.out.findings.push(Finding { place: self.disk.place(&segment_name(segment)), line, problem });
    }

    fn numbered(&mut self, previous: u32, number: u32) {
        if number != previous + 1 {
            self.found(number, None, Problem::MissingSegments { from: previous + 1, to: number - 1 });
        }
    }

    fn segment(&mut self, number: u32, bytes: &[u8], next: Option<&[u8]>, next_is_newest: bool) {
        let mut counted = bytes;
        let gap = acknowledged(number, next);
        if let Some(length) = gap {
            match usize::try_from(length).ok().and_then(|length| bytes.get(..length)) {
                Some(part) => counted = part,
                None => {
                    let found = bytes.len() as u64;
                    self.found(number, None, Problem::CutShort { acknowledged: length, found });
                }
            }
        }
        let nothing_after = next.is_none_or(|next| next_is_newest && is_stillborn(next));
        let mut segment = Segment {
            number,
            last: self.out.head.unwrap_or(Head::NONE),
            length: counted.len() as u64,
            sealed: false,
            wall_ms: i64::MAX,
        };
        for line in lines(counted) {
            match chain::check(line.bytes) {
                Ok(link) if line.ended => {
                    segment.sealed = self.accept(number, line.number, &link);
                    segment.last = link.head;
                    segment.wall_ms = wall_ms(link.time);
                }
                Ok(_) | Err(_) if nothing_after && line.last => {
                    segment.length = line.offset;
                    let bytes = counted.get(line.offset as usize..).unwrap_or_default().to_vec();
                    self.found(number, Some(line.number), Problem::Torn { bytes: bytes.len() as u64 });
                    self.out.tails.push(Tail { segment: number, offset: line.offset, bytes });
                }
                Ok(_) => self.altered(number, line.number, "its end is missing"),
                Err(why) => self.altered(number, line.number, why),
            }
        }
        if !nothing_after && gap.is_none() && !segment.sealed {
            self.found(number, None, Problem::Unsealed);
        }
        self.out.segments.push(segment);
    }

    fn altered(&mut self, segment: u32, line: u64, why: &'static str) {
        self.found(segment, Some(line), Problem::Altered { why });
    }

    /// Takes a line whose bytes are sound into the chain; says whether it is a seal.
    fn accept(&mut self, segment: u32, line: u64, link: &Link<'_>) -> bool {
        match self.out.head {
            None => self.out.first = Some((link.head.sequence, link.prev)),
            Some(head) if link.prev != head.hash || link.head.sequence != head.sequence + 1 => {
                let (expected, found) = (head.sequence + 1, link.head.sequence);
                self.found(segment, Some(line), Problem::Broken { expected, found });
            }
            Some(_) => {}
        }
        self.out.head = Some(link.head);
        self.out.lines += 1;
        (self.visit)(&Seen { segment, line, link });
        match event_of(link) {
            Some(Event::Sealed { .. }) => return true,
            Some(Event::Retired { through, last }) => {
                if let Ok(last) = last.parse::<Head>() {
                    self.out.retired = Some((through, last));
                    self.out.snapshots_before = self.out.snapshots_before.max(last.sequence + 1);
                }
            }
            Some(Event::RetiredSnapshots { before }) => {
                self.out.snapshots_before = self.out.snapshots_before.max(before);
            }
            Some(Event::Opened { log, .. } | Event::Gap { log, .. }) => self.out.log = log,
            Some(Event::Recovered { .. } | Event::Halted { .. } | Event::Resumed {}) | None => {}
        }
        false
    }

    /// Whether the log begins where it may: at the first line of all, or behind what was retired.
    fn begins(&mut self, oldest: u32) {
        let retired = self.out.retired.map_or(0, |(through, _)| through);
        if oldest > retired + 1 {
            self.found(oldest, None, Problem::MissingSegments { from: retired + 1, to: oldest - 1 });
        }
        let before = match self.out.retired {
            Some((through, last)) if through + 1 == oldest => last,
            // Retired and not removed yet: nothing is known of what came before, and nothing is missing.
            Some((through, _)) if through >= oldest && oldest > 1 => return,
            Some(_) | None if oldest == 1 => Head::NONE,
            Some(_) | None => return,
        };
        if let Some((sequence, prev)) = self.out.first
            && (prev != before.hash || sequence != before.sequence + 1)
        {
            let expected = before.sequence + 1;
            self.found(oldest, Some(1), Problem::Broken { expected, found: sequence });
        }
    }
}
