//! Writes events of `events.k8s.io/v1`. A repeated event counts up the one that is there. A bounded rate keeps a target
//! that flutters from filling the server. An event that cannot be written is dropped, which does no harm.

use super::event::Note;
use crate::kubernetes::{ApiServer, Write};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Events that wait to be written; more are dropped. A plan makes five, a fleet's worst minute some hundred.
const QUEUE: usize = 512;
/// Within this the same thing said again is the same event, counted up: as long as Kubernetes' own components take it.
const SERIES: Duration = Duration::from_secs(360);
/// An event is counted up at most this often: its count is the news, not each of its beats.
const COUNT: Duration = Duration::from_secs(30);
/// Events of one object in quick succession; a plan with everything that can go wrong makes a dozen.
const BURST: f64 = 20.0;
/// And for how long each further one is waited for.
const REFILL: Duration = Duration::from_secs(30);
/// What the server takes of a note is 1024 bytes.
const MAX_NOTE: usize = 1_000;

/// Takes notes, and writes them in its own time.
pub(super) struct Recorder(mpsc::Sender<(Arc<Value>, Note)>);

impl Recorder {
    pub(super) fn start(server: Arc<ApiServer>) -> Self {
        let (sender, mut notes) = mpsc::channel::<(Arc<Value>, Note)>(QUEUE);
        let instance = instance();
        tokio::spawn(async move {
            let mut book = Book::new(instance);
            while let Some((object, note)) = notes.recv().await {
                let Some((entry, key)) = book.enter(&object, &note, Instant::now(), jiff::Timestamp::now())
                else {
                    continue;
                };
                let written = match &entry {
                    Entry::New { collection, event } => server.write(Write::Create(collection, event)).await,
                    Entry::Again { path, patch } => server.write(Write::Merge(path, patch)).await,
                };
                if let Err(failure) = written {
                    tracing::debug!("an event was not written: {failure}");
                    book.lost(&key);
                }
            }
        });
        Self(sender)
    }

    /// Nobody waits for an event: what does not fit is dropped.
    pub(super) fn tell(&self, object: &Arc<Value>, notes: Vec<Note>) {
        for note in notes {
            if self.0.try_send((object.clone(), note)).is_err() {
                tracing::debug!("an event was dropped: too many wait");
            }
        }
    }
}

/// What is to be written.
#[derive(Debug, PartialEq)]
enum Entry {
    New { collection: String, event: Value },
    Again { path: String, patch: Value },
}

/// An event that is there.
struct Series {
    path: String,
    count: u64,
    written: Instant,
}

/// What one object may still say.
struct Allowance {
    left: f64,
    at: Instant,
}

/// Which note it is: of which object, and what it says.
type Key = (String, Note);

/// What was said lately.
struct Book {
    instance: String,
    series: BTreeMap<Key, Series>,
    allowances: BTreeMap<String, Allowance>,
    number: u64,
}

impl Book {
    fn new(instance: String) -> Self {
        Self { instance, series: BTreeMap::new(), allowances: BTreeMap::new(), number: 0 }
    }

    /// What is to be written for a note, if anything.
    fn enter(
        &mut self,
        object: &Value,
        note: &Note,
        now: Instant,
        wall: jiff::Timestamp,
    ) -> Option<(Entry, Key)> {
        self.series.retain(|_, series| now.duration_since(series.written) < SERIES);
        let is_full = |allowance: &Allowance| now.duration_since(allowance.at) > REFILL.mul_f64(BURST);
        self.allowances.retain(|_, allowance| !is_full(allowance));
        let uid = object["metadata"]["uid"].as_str()?.to_owned();
        let key = (uid.clone(), note.clone());
        if let Some(series) = self.series.get_mut(&key) {
            series.count += 1;
            if now.duration_since(series.written) < COUNT {
                return None;
            }
            series.written = now;
            let seen = json!({ "count": series.count, "lastObservedTime": micro(wall) });
            let again = Entry::Again { path: series.path.clone(), patch: json!({ "series": seen }) };
            return Some((again, key));
        }
        let allowance = self.allowances.entry(uid).or_insert(Allowance { left: BURST, at: now });
        let refilled = now.duration_since(allowance.at).as_secs_f64() / REFILL.as_secs_f64();
        (allowance.left, allowance.at) = ((allowance.left + refilled).min(BURST), now);
        if allowance.left < 1.0 {
            return None;
        }
        allowance.left -= 1.0;
        self.number += 1;
        let (collection, name, event) = self.event(object, note, wall)?;
        let path = format!("{collection}/{name}");
        self.series.insert(key.clone(), Series { path, count: 1, written: now });
        Some((Entry::New { collection, event }, key))
    }

    /// It was not written: said again it is a new event.
    fn lost(&mut self, key: &Key) {
        self.series.remove(key);
    }

    fn event(&self, object: &Value, note: &Note, wall: jiff::Timestamp) -> Option<(String, String, Value)> {
        let metadata = &object["metadata"];
        let (namespace, of) = (metadata["namespace"].as_str()?, metadata["name"].as_str()?);
        let content = format!("{} {} {wall} {note:?}", self.instance, self.number);
        let mut name = format!("{of}.");
        for byte in Sha256::digest(content.as_bytes()).iter().take(8) {
            let _ = write!(name, "{byte:02x}");
        }
        let event = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": { "namespace": namespace, "name": name },
            "eventTime": micro(wall),
            "type": if note.warning { "Warning" } else { "Normal" },
            "action": note.action,
            "reason": note.reason,
            "note": clipped(&note.text),
            "regarding": {
                "apiVersion": object["apiVersion"], "kind": object["kind"],
                "namespace": namespace, "name": of, "uid": metadata["uid"],
            },
            "reportingController": "plimsoll.dev/daemon",
            "reportingInstance": self.instance,
        });
        Some((format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"), name, event))
    }
}

/// Which daemon this is: the machine's name, in a pod the pod's.
fn instance() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "plimsoll".to_owned() } else { name.to_owned() }
}

fn micro(wall: jiff::Timestamp) -> String {
    format!("{wall:.6}")
}

fn clipped(text: &str) -> String {
    if text.len() <= MAX_NOTE {
        return text.to_owned();
    }
    let end = (0..MAX_NOTE).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(uid: &str) -> Value {
        json!({
            "apiVersion": "plimsoll.dev/v1alpha1", "kind": "StatefulAutoscaler",
            "metadata": { "namespace": "shop", "name": "db", "uid": uid },
        })
    }

    fn note(text: &str) -> Note {
        super::super::event::decision(true, "QuorumAtRisk", text)
    }

    fn wall() -> jiff::Timestamp {
        jiff::Timestamp::from_second(1_800_000_000).unwrap_or_default()
    }

    #[test]
    fn the_same_thing_again_counts_up_and_something_else_is_another_event() {
        let mut book = Book::new("host".to_owned());
        let now = Instant::now();
        let (first, _) = book.enter(&object("u"), &note("one is down"), now, wall()).expect("an event");
        let Entry::New { collection, event } = first else { panic!("not new: {first:?}") };
        assert_eq!(collection, "/apis/events.k8s.io/v1/namespaces/shop/events");
        assert_eq!((&event["type"], &event["reason"]), (&json!("Warning"), &json!("QuorumAtRisk")));
        assert_eq!(
            (&event["regarding"]["uid"], &event["eventTime"]),
            (&json!("u"), &json!("2027-01-15T08:00:00.000000Z"))
        );
        assert_eq!(book.enter(&object("u"), &note("one is down"), now + COUNT / 2, wall()), None);
        let (again, _) =
            book.enter(&object("u"), &note("one is down"), now + COUNT, wall()).expect("a count");
        let Entry::Again { path, patch } = again else { panic!("not counted: {again:?}") };
        assert_eq!(path, format!("{collection}/{}", event["metadata"]["name"].as_str().unwrap_or_default()));
        assert_eq!(patch["series"]["count"], 3);
        let other = book.enter(&object("u"), &note("two are down"), now, wall());
        assert!(matches!(other, Some((Entry::New { .. }, _))));
        let other = book.enter(&object("v"), &note("one is down"), now, wall());
        assert!(matches!(other, Some((Entry::New { .. }, _))));
        let later = book.enter(&object("u"), &note("one is down"), now + COUNT + SERIES, wall());
        assert!(matches!(later, Some((Entry::New { .. }, _))));
    }

    #[test]
    fn one_that_was_lost_is_said_anew() {
        let mut book = Book::new("host".to_owned());
        let now = Instant::now();
        let (_, key) = book.enter(&object("u"), &note("a"), now, wall()).expect("an event");
        book.lost(&key);
        assert!(matches!(book.enter(&object("u"), &note("a"), now, wall()), Some((Entry::New { .. }, _))));
    }

    #[test]
    fn an_object_that_flutters_is_heard_at_a_bounded_rate_and_others_beside_it() {
        let mut book = Book::new("host".to_owned());
        let now = Instant::now();
        let heard = |book: &mut Book, from: u32, at: Instant| {
            let one =
                |number: &u32| book.enter(&object("u"), &note(&number.to_string()), at, wall()).is_some();
            (from..from + 100).filter(one).count()
        };
        assert_eq!(heard(&mut book, 0, now), 20);
        assert_eq!(heard(&mut book, 100, now + REFILL), 1);
        assert!(book.enter(&object("v"), &note("x"), now + REFILL, wall()).is_some());
        assert_eq!(heard(&mut book, 200, now + REFILL * 1_000), 20);
        assert!(book.series.len() <= 20 && book.allowances.len() <= 2);
    }

    #[test]
    fn a_long_note_is_cut_to_what_the_server_takes() {
        let cut = clipped(&"é".repeat(2_000));
        assert!(cut.len() <= 1_024 && cut.ends_with('…'), "{}", cut.len());
        assert_eq!(clipped("short"), "short");
    }
}
