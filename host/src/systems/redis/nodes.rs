//! Reads `CLUSTER NODES`: one node's view of the whole cluster. What is malformed makes the view unreadable; nothing is guessed.

use std::collections::BTreeMap;

/// How many slots every Redis Cluster has.
pub(super) const SLOTS: u16 = 16_384;
/// The largest cluster that is read: Redis itself recommends at most a thousand nodes.
const MOST_NODES: usize = 2_000;

/// A node's view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// Who says so.
    pub(super) me: String,
    /// Every node that it knows by its lasting id, itself among them.
    pub(super) nodes: BTreeMap<String, Node>,
    /// How many nodes it has met and does not know yet.
    pub(super) handshakes: usize,
    /// The slots that it is giving or taking.
    pub(super) open: Vec<Open>,
}

/// A node, as another one knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Where it says that it is. It names a node that is silent, and is never connected to.
    pub(super) host: String,
    pub(super) port: u16,
    /// Its port for the cluster's own messages.
    pub(super) bus: u16,
    /// Whom it replicates; none for a master.
    pub(super) master: Option<String>,
    /// Whether the masters have agreed that it has failed.
    pub(super) failed: bool,
    /// Of a master, the epoch of its slots.
    pub(super) epoch: u64,
    pub(super) slots: Slots,
}

/// A slot on its way, as one of the two ends tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Open {
    pub(super) slot: u16,
    pub(super) way: Way,
}

/// Which end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// Given to this node.
    To(String),
    /// Taken from this node.
    From(String),
}

/// Slots, as ranges in order that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Slots(Vec<(u16, u16)>);

impl Slots {
    /// These slots, in any order.
    pub(super) fn of(ranges: impl IntoIterator<Item = (u16, u16)>) -> Self {
        let mut sorted: Vec<(u16, u16)> = ranges.into_iter().collect();
        sorted.sort_unstable();
        let mut joined: Vec<(u16, u16)> = Vec::new();
        for (first, last) in sorted {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                Some(_) | None => joined.push((first, last)),
            }
        }
        Self(joined)
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, slot: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    }

    /// Every slot, in order.
    pub(super) fn each(&self) -> impl DoubleEndedIterator<Item = u16> + '_ {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }
}

impl View {
    /// Reads an answer.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.len() > MOST_NODES {
            return Err(format!("CLUSTER NODES has {} lines, {MOST_NODES} are the most", lines.len()));
        }
        let mut me = None;
        let mut view = Self { me: String::new(), nodes: BTreeMap::new(), handshakes: 0, open: Vec::new() };
        for text in lines {
            let line = Line::parse(text).ok_or_else(|| unreadable(text))?;
            // Its id is made up until it has answered.
            if line.is("handshake") {
                view.handshakes += 1;
                continue;
            }
            if line.is("myself") {
                view.open = line.open().ok_or_else(|| unreadable(text))?;
                if me.replace(line.id.to_owned()).is_some() {
                    return Err("CLUSTER NODES has two nodes that are `myself`".to_owned());
                }
            }
            let node = line.node().ok_or_else(|| unreadable(text))?;
            if view.nodes.insert(line.id.to_owned(), node).is_some() {
                return Err(format!("CLUSTER NODES has node {} twice", line.id));
            }
        }
        view.me = me.ok_or("CLUSTER NODES has no node that is `myself`")?;
        view.claims_each_slot_once()?;
        Ok(view)
    }

    fn claims_each_slot_once(&self) -> Result<(), String> {
        let all = Slots::of(self.nodes.values().flat_map(|node| node.slots.0.iter().copied()));
        let sum: u64 = self.nodes.values().map(|node| node.slots.count()).sum();
        if all.count() == sum { Ok(()) } else { Err("CLUSTER NODES has a slot twice".to_owned()) }
    }

    /// What it says of itself.
    pub(super) fn own(&self) -> Option<&Node> {
        self.nodes.get(&self.me)
    }
}

fn unreadable(line: &str) -> String {
    let shown: String = line.chars().filter(|char| !char.is_control()).take(120).collect();
    format!("CLUSTER NODES has a line that cannot be read: {shown}")
}

/// One line: id, address, flags, master, two times, epoch, link, slots.
struct Line<'a> {
    id: &'a str,
    address: &'a str,
    flags: Vec<&'a str>,
    master: Option<&'a str>,
    epoch: u64,
    rest: Vec<&'a str>,
}

impl<'a> Line<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(' ');
        let id = parts.next().filter(|id| is_id(id))?;
        let (address, flags, master) = (parts.next()?, parts.next()?, parts.next()?);
        let epoch = parts.nth(2)?.parse().ok()?;
        parts.next()?;
        let master = (master != "-").then_some(master);
        if master.is_some_and(|master| !is_id(master)) {
            return None;
        }
        Some(Self { id, address, flags: flags.split(',').collect(), master, epoch, rest: parts.collect() })
    }

    fn is(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    fn node(&self) -> Option<Node> {
        let (host, port, bus) = address(self.address)?;
        let replica = self.is("slave") || self.is("replica");
        // One of the two: what is neither is not known well enough to be counted.
        if replica == self.is("master") || replica != self.master.is_some() {
            return None;
        }
        let ranges = self.rest.iter().filter(|part| !part.starts_with('['));
        let slots = Slots::of(ranges.map(|part| range(part)).collect::<Option<Vec<_>>>()?);
        Some(Node {
            host,
            port,
            bus,
            master: self.master.map(str::to_owned),
            failed: self.is("fail"),
            epoch: self.epoch,
            slots,
        })
    }

    fn open(&self) -> Option<Vec<Open>> {
        let marks = self.rest.iter().filter(|part| part.starts_with('['));
        let mut open = marks.map(|part| mark(part)).collect::<Option<Vec<_>>>()?;
        open.sort();
        Some(open)
    }
}

/// `ip:port@bus`, and behind a comma a host name and more.
fn address(text: &str) -> Option<(String, u16, u16)> {
    let text = text.split(',').next()?;
    let (reached, bus) = text.split_once('@')?;
    let (host, port) = reached.rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?, bus.parse().ok()?))
}

/// `7` or `7-12`.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
    (first <= last && last < SLOTS).then_some((first, last))
}

/// `[7->-id]` or `[7-<-id]`.
fn mark(text: &str) -> Option<Open> {
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    let (slot, way) = match (inside.split_once("->-"), inside.split_once("-<-")) {
        (Some((slot, to)), None) => (slot, Way::To(to.to_owned())),
        (None, Some((slot, from))) => (slot, Way::From(from.to_owned())),
        (Some(_), Some(_)) | (None, None) => return None,
    };
    let other = match &way {
        Way::To(other) | Way::From(other) => other,
    };
    let slot = slot.parse::<u16>().ok().filter(|slot| *slot < SLOTS)?;
    is_id(other).then_some(Open { slot, way })
}

/// Forty hexadecimal digits.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
