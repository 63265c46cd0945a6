//! Appends lines to the log, one at a time. A line counts only once it is durable.

use super::chain::{self, Content, Head};
use super::event::Event;
use super::finding::{Finding, Problem};
use super::walk::{Segment, Walked, lines, read_segment, segment_name};
use super::{AuditConfig, AuditError, Outside};
use crate::disk::{Disk, DiskFile};
use plimsoll_wire::FORMAT_VERSION;
use std::io;
use std::sync::Arc;

/// Where the next line goes.
enum Place {
    /// Into this segment.
    Open(Open),
    /// Into a segment that is to be made.
    Closed(Closed),
    /// Nowhere any more: what was acknowledged is gone.
    Corrupt(Finding),
}

struct Open {
    number: u32,
    file: Box<dyn DiskFile>,
    id: u64,
    length: u64,
}

/// What the newest segment was like when it was closed.
struct Closed {
    /// 0 in a new log.
    number: u32,
    length: u64,
    /// Why it was closed without a seal, or what went wrong since.
    failed: Option<String>,
    /// Whether a segment after it was begun and failed: its file may be there and counts for nothing.
    begun: bool,
}

/// The writing end. It knows nothing of records, only of lines.
pub(super) struct Writer {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) config: AuditConfig,
    pub(super) outside: Outside,
    pub(super) head: Head,
    /// Which log it is.
    pub(super) log: String,
    /// Sealed segments that are there, oldest first.
    pub(super) sealed: Vec<Segment>,
    place: Place,
}

impl Writer {
    /// Goes on after the newest of `segments`.
    ///
    /// # Errors
    /// When it cannot be opened, or what is in it cannot be made to last.
    pub(super) fn after(
        disk: Arc<dyn Disk>,
        (config, outside): (AuditConfig, Outside),
        walked: Walked,
    ) -> Result<Self, AuditError> {
        let Walked { mut segments, head, log, .. } = walked;
        // A log without a line yet.
        let log = if head.is_none() { (outside.new_log)().map_err(AuditError::Unnamed)? } else { log };
        let head = head.unwrap_or(Head::NONE);
        let newest = segments.last().cloned();
        let place = match newest {
            Some(newest) if !newest.sealed => {
                segments.pop();
                let name = segment_name(newest.number);
                let open = reopen(disk.as_ref(), &newest)
                    .map_err(|source| AuditError::NotDurable { place: disk.place(&name), source })?;
                Place::Open(open)
            }
            newest => {
                let (number, length) = newest.map_or((0, 0), |segment| (segment.number, segment.length));
                Place::Closed(Closed { number, length, failed: None, begun: false })
            }
        };
        Ok(Self { disk, config, outside, head, log, sealed: segments, place })
    }

    /// Whether the next append has to begin a segment first because something failed.
    pub(super) fn failed(&self) -> Option<String> {
        match &self.place {
            Place::Open(_) => None,
            Place::Closed(closed) => closed.failed.clone(),
            Place::Corrupt(finding) => Some(finding.to_string()),
        }
    }

    /// Makes sure that there is a segment with room for `bytes` more. Says whether one was sealed for it.
    pub(super) fn make_room(&mut self, bytes: usize) -> Result<bool, AuditError> {
        self.begin()?;
        let Place::Open(open) = &self.place else { return Ok(false) };
        let most = self.config.segment_bytes.clamp(1 << 10, 1 << 30);
        if open.length == 0 || open.length + bytes as u64 <= most {
            return Ok(false);
        }
        let number = open.number;
        self.write(Content::Event, &json(&Event::Sealed { segment: number })?)?;
        if let Place::Open(open) = &self.place {
            let length = open.length;
            let wall_ms = (self.outside.wall_ms)();
            self.sealed.push(Segment { number, last: self.head, length, sealed: true, wall_ms });
            self.place = Place::Closed(Closed { number, length, failed: None, begun: false });
        }
        self.begin()?;
        Ok(true)
    }

    /// Writes a line of the log's own.
    pub(super) fn event(&mut self, event: &Event) -> Result<Head, AuditError> {
        let body = json(event)?;
        self.make_room(body.len() + 256)?;
        self.write(Content::Event, &body)
    }

    /// Writes a line into the open segment, durably.
    pub(super) fn write(&mut self, content: Content, body: &[u8]) -> Result<Head, AuditError> {
        let (line, head) = self.line(content, body)?;
        let Place::Open(open) = &mut self.place else {
            return Err(self.not_durable(io::Error::other("no segment is open")));
        };
        let (number, length) = (open.number, open.length);
        match add(self.disk.as_ref(), open, &line) {
            Ok(()) => {
                open.length += line.len() as u64;
                self.head = head;
                Ok(head)
            }
            Err(source) => {
                // This descriptor is never used again, whatever it would say next.
                let failed = Some(source.to_string());
                self.place = Place::Closed(Closed { number, length, failed, begun: false });
                Err(self.not_durable(source))
            }
        }
    }

    fn line(&self, content: Content, body: &[u8]) -> Result<(Vec<u8>, Head), AuditError> {
        let moment = jiff::Timestamp::from_millisecond((self.outside.wall_ms)())
            .map_err(|error| AuditError::Unwritable { problem: error.to_string() })?;
        let (line, head) = chain::build(self.head, &format!("{moment:.3}"), content, body);
        if line.len() > chain::MAX_LINE {
            return Err(AuditError::TooLong { bytes: line.len(), limit: chain::MAX_LINE });
        }
        Ok((line, head))
    }

    /// Begins a segment unless one is open.
    fn begin(&mut self) -> Result<(), AuditError> {
        let closed = match &mut self.place {
            Place::Open(_) => return Ok(()),
            Place::Corrupt(finding) => return Err(AuditError::Corrupt { finding: finding.clone() }),
            Place::Closed(closed) => closed,
        };
        let (last, length, failed) = (closed.number, closed.length, closed.failed.clone());
        let begun = std::mem::replace(&mut closed.begun, true);
        if failed.is_some() {
            self.recheck(last, length)?;
        }
        let number = last + 1;
        let log = self.log.clone();
        let first = match failed {
            Some(why) if last > 0 => {
                Event::Gap { format_version: FORMAT_VERSION, log, segment: last, length, why }
            }
            Some(_) | None => {
                let seal = if last == 0 { String::new() } else { self.head.hash.to_string() };
                Event::Opened { format_version: FORMAT_VERSION, log, seal }
            }
        };
        let (line, head) = self.line(Content::Event, &json(&first)?)?;
        match start(self.disk.as_ref(), number, begun, &line) {
            Ok(open) => {
                if failed_after(&first) && !self.sealed.iter().any(|segment| segment.number == last) {
                    let (number, last, wall_ms) = (last, self.head, (self.outside.wall_ms)());
                    self.sealed.push(Segment { number, last, length, sealed: true, wall_ms });
                }
                self.place = Place::Open(open);
                self.head = head;
                Ok(())
            }
            Err(source) => {
                if let Place::Closed(closed) = &mut self.place {
                    closed.failed = Some(source.to_string());
                }
                Err(self.not_durable(source))
            }
        }
    }

    /// After an error the kernel may have dropped pages: what was acknowledged is read again and compared.
    fn recheck(&mut self, number: u32, length: u64) -> Result<(), AuditError> {
        if number == 0 {
            return Ok(());
        }
        let bytes = read_segment(self.disk.as_ref(), number).map_err(|source| self.not_durable(source))?;
        let found = bytes.len() as u64;
        let place = self.disk.place(&segment_name(number));
        let corrupt = |line, problem| Finding { place, line, problem };
        let finding = match usize::try_from(length).ok().and_then(|length| bytes.get(..length)) {
            None => corrupt(None, Problem::CutShort { acknowledged: length, found }),
            Some(acknowledged) => match self.compare(acknowledged) {
                Ok(()) => return Ok(()),
                Err((line, why)) => corrupt(Some(line), Problem::Altered { why }),
            },
        };
        self.place = Place::Corrupt(finding.clone());
        Err(AuditError::Corrupt { finding })
    }

    fn compare(&self, acknowledged: &[u8]) -> Result<(), (u64, &'static str)> {
        let mut at: Option<Head> = None;
        let mut number = 0;
        for line in lines(acknowledged) {
            number = line.number;
            let link = chain::check(line.bytes).map_err(|why| (number, why))?;
            if at.is_some_and(|head| head.hash != link.prev) {
                return Err((number, "it does not follow the line before it"));
            }
            at = Some(link.head);
        }
        match at {
            Some(head) if head == self.head => Ok(()),
            None if acknowledged.is_empty() => Ok(()),
            Some(_) | None => Err((number, "it is not the last record that was acknowledged")),
        }
    }

    pub(super) fn not_durable(&self, source: io::Error) -> AuditError {
        AuditError::NotDurable { place: self.disk.place(""), source }
    }
}

fn failed_after(first: &Event) -> bool {
    matches!(first, Event::Gap { .. })
}

fn json(event: &Event) -> Result<Vec<u8>, AuditError> {
    serde_json::to_vec(event).map_err(|error| AuditError::Unwritable { problem: error.to_string() })
}

fn reopen(disk: &dyn Disk, segment: &Segment) -> io::Result<Open> {
    let mut file = disk.open_end(&segment_name(segment.number))?;
    // A daemon that was killed may have left its last line in memory only.
    file.sync()?;
    disk.sync_folder("")?;
    let stat = file.stat()?;
    Ok(Open { number: segment.number, file, id: stat.id, length: stat.length })
}

fn start(disk: &dyn Disk, number: u32, begun: bool, first: &[u8]) -> io::Result<Open> {
    let name = segment_name(number);
    if begun {
        disk.remove(&name)?;
    }
    let file = disk.create(&name)?;
    let id = file.stat()?.id;
    let mut open = Open { number, file, id, length: 0 };
    add(disk, &mut open, first)?;
    open.length = first.len() as u64;
    disk.sync_folder("")?;
    Ok(open)
}

/// One write, then one sync. The file must be the one that we know, of the length that we know: whoever
/// moves or truncates it (a log rotation) would make us write into nothing.
fn add(disk: &dyn Disk, open: &mut Open, line: &[u8]) -> io::Result<()> {
    let named = disk.stat(&segment_name(open.number))?;
    match named {
        Some(stat) if stat.id == open.id && stat.length == open.length => {}
        Some(_) => return Err(io::Error::other("the segment was changed by somebody else")),
        None => return Err(io::Error::other("the segment was moved or removed by somebody else")),
    }
    let taken = open.file.append(line)?;
    if taken != line.len() {
        // What stops a write half-way is a full disk; the next segment says that this line does not count.
        let problem = format!("{taken} of {} bytes were written", line.len());
        return Err(io::Error::new(io::ErrorKind::StorageFull, problem));
    }
    open.file.sync()
}
