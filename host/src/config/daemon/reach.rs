//! The sources, platforms and systems of the daemon's file: whom the daemon may ask, and what it may run.

use super::connection::{RawConnection, connection};
use super::{Namespaces, Platform, System};
use crate::collect::{Credentials, MAX_DEADLINE, SourceConfig};
use crate::platforms::{self, ReadSettings, Source};
use crate::systems::{self, connection::Reach};
use crate::yaml::problem::{Sink, quote};
use crate::yaml::raw::{Any, Field, List, Map, Scalar, raw};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

raw! {
    struct RawSource {
        kind: Scalar = "kind",
        url: Scalar = "url",
        deadline: Scalar = "deadline",
        token_file: Scalar = "tokenFile",
        ca_file: Scalar = "caFile",
        namespaces: List<Scalar> = "namespaces",
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// The keys that every platform and every system has.
const COMMON: [&str; 2] = ["kind", "namespaces"];

/// Whose documents may use something: those of `default` where nothing is said.
pub(super) fn namespaces(field: &Field<List<Scalar>>, sink: &mut Sink) -> Namespaces {
    let Some(list) = field.get() else { return Namespaces::Only(BTreeSet::from(["default".to_owned()])) };
    if list.items.is_empty() {
        sink.add(&list.at, "allows no namespace", "name one, or write `[\"*\"]` for all");
    }
    if list.items.iter().any(|item| item.text == "*") {
        return Namespaces::All;
    }
    Namespaces::Only(list.items.iter().map(|item| item.name(sink)).collect())
}

pub(super) fn source(name: &str, raw: &RawSource, base: &Path, sink: &mut Sink) -> super::Source {
    if let Some(kind) = raw.kind.get() {
        kind.choice(&[("prometheus", ())], (), sink);
    }
    let url = raw.url.required(&raw.at, "url", "write it like `http://127.0.0.1:9090`", sink);
    let address = url.map(|url| address(url, sink)).unwrap_or_default();
    let usual = SourceConfig::new(name, address);
    let token = raw.token_file.path(base, sink);
    super::Source {
        config: SourceConfig {
            // Prometheus itself gives up after two minutes; a cycle cannot wait for that long.
            deadline: raw.deadline.wait(usual.deadline, SECOND / 10..=MAX_DEADLINE, sink),
            credentials: token.map_or(Credentials::None, |file| Credentials::Bearer { file }),
            ca_file: raw.ca_file.path(base, sink),
            ..usual
        },
        namespaces: namespaces(&raw.namespaces, sink),
    }
}

/// The address of a Prometheus, without a slash at its end.
fn address(scalar: &Scalar, sink: &mut Sink) -> String {
    let text = scalar.text(sink);
    match reqwest::Url::parse(&text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
            let message = format!("{} is neither http nor https", quote(&text));
            sink.add(&scalar.at, message, "write it like `http://127.0.0.1:9090`");
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            // The text is not repeated: it has a password in it.
            let hint = "name a file with a bearer token in `tokenFile` instead";
            sink.add(&scalar.at, "has credentials in the address", hint);
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            sink.add(
                &scalar.at,
                format!("{} has a query", quote(&text)),
                "leave out everything from `?` or `#` on",
            );
        }
        Ok(_) => {}
        Err(_) => {
            // What stands before an `@` may be a password.
            let message = match text.rsplit_once('@') {
                Some((_, host)) => format!("{} is not an address", quote(&format!("…@{host}"))),
                None => format!("{} is not an address", quote(&text)),
            };
            sink.add(&scalar.at, message, "write it like `http://127.0.0.1:9090`");
        }
    }
    text.trim_end_matches('/').to_owned()
}

/// A kind of platform that stands in the daemon's file, with its keys and their reader.
type Listed = (&'static platforms::Kind, &'static [&'static str], ReadSettings);

fn listed_platforms() -> impl Iterator<Item = Listed> + Clone {
    platforms::KINDS.iter().filter_map(|kind| match kind.source {
        Source::File { keys, read, .. } => Some((*kind, keys, read)),
        Source::Workload(_) => None,
    })
}

pub(super) fn platform(name: &str, raw: &Any, base: &Path, sink: &mut Sink) -> Option<Platform> {
    let mut map = Map::of(&raw.node, raw.at.clone(), sink)?;
    let (kind, keys, read) =
        chosen(&map, listed_platforms().map(|listed| (listed.0.word, listed)).collect(), sink)?;
    let others = listed_platforms().map(|(kind, keys, _)| (kind.word, keys));
    own_keys(&mut map, &[&COMMON, keys], "platform", others, sink);
    Some(Platform {
        name: name.to_owned(),
        namespaces: namespaces(&map.field("namespaces", sink), sink),
        kind,
        settings: read(&map, base, sink),
    })
}

fn reached_systems() -> impl Iterator<Item = (&'static systems::Kind, &'static Reach)> + Clone {
    systems::KINDS.iter().filter_map(|kind| Some((*kind, kind.reach.as_ref()?)))
}

pub(super) fn system(name: &str, raw: &Any, base: &Path, sink: &mut Sink) -> Option<System> {
    let mut map = Map::of(&raw.node, raw.at.clone(), sink)?;
    if let Some(kind) = map.field::<Scalar>("kind", &mut Sink::new("")).get()
        && systems::LEFT_OUT.contains(&&*kind.text)
    {
        let message = format!("this program was built without {}", quote(&kind.text));
        sink.add(&kind.at, message, "build the whole one: `make build`");
        return None;
    }
    let (kind, reach) = chosen(&map, reached_systems().map(|one| (one.0.word, one)).collect(), sink)?;
    let others = reached_systems().map(|(kind, _)| (kind.word, kind.keys));
    own_keys(&mut map, &[&COMMON, RawConnection::KEYS, kind.keys], "system", others, sink);
    Some(System {
        name: name.to_owned(),
        namespaces: namespaces(&map.field("namespaces", sink), sink),
        kind,
        connection: connection(&map, reach, base, sink),
        settings: (kind.read)(&map, sink),
    })
}

/// What the key `kind` chooses.
fn chosen<T: Copy>(map: &Map<'_>, words: Vec<(&str, T)>, sink: &mut Sink) -> Option<T> {
    let field: Field<Scalar> = map.field("kind", sink);
    let one_of = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    let word = field.required(&map.at, "kind", &format!("one of: {one_of}"), sink)?;
    let words: Vec<_> = words.into_iter().map(|(word, value)| (word, Some(value))).collect();
    word.choice(&words, None, sink)
}

/// Reports keys that this kind does not have; of one that another kind has it says so.
fn own_keys(
    map: &mut Map<'_>,
    known: &[&[&'static str]],
    what: &str,
    others: impl Iterator<Item = (&'static str, &'static [&'static str])> + Clone,
    sink: &mut Sink,
) {
    let elsewhere = |key: &str| {
        let (word, _) = others.clone().find(|(_, keys)| keys.contains(&key))?;
        Some(format!("belongs to a {what} of the kind `{word}`"))
    };
    map.refuse_but(&known.concat(), elsewhere, sink);
}
