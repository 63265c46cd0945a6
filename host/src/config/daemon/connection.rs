//! How the members of a system are reached, of whatever kind it is.

use crate::systems::connection::{ClientIdentity, Connection, Login, Purpose, READ_DEADLINE, Reach};
use crate::yaml::problem::{Sink, quote};
use crate::yaml::raw::{Any, Field, Map, Scalar, raw};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

raw! {
    struct RawConnection {
        ca_file: Scalar = "caFile",
        cert_file: Scalar = "certFile",
        key_file: Scalar = "keyFile",
        username: Scalar = "username",
        password_file: Scalar = "passwordFile",
        deadline: Scalar = "deadline",
        endpoints: Any = "endpoints",
    }
}

/// The least and the most that one member's answer may take. What takes longer is no all-clear: `safety.directAge` would
/// call it old.
const DEADLINES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(15)];

/// The key of the name that a member's certificate has to bear.
const SERVER_NAME: &str = "serverName";

/// What may stand in an address, to be filled in for each member.
const BLANKS: [&str; 5] = ["ip", "pod", "ordinal", "service", "namespace"];
/// Those that tell members apart.
const TELLING: [&str; 3] = ["ip", "pod", "ordinal"];
/// Those that do so for as long as the member is there: an address goes with its pod.
const LASTING: [&str; 2] = ["pod", "ordinal"];

/// The name of a pod of a StatefulSet, under its governing service: whatever address it has.
const STABLE_NAME: &str = "{pod}.{service}.{namespace}.svc";

pub(super) fn connection(map: &Map<'_>, reach: &Reach, base: &Path, sink: &mut Sink) -> Connection {
    let raw = RawConnection::pick(map, sink);
    let identity = together(&raw, [("certFile", &raw.cert_file), ("keyFile", &raw.key_file)], sink);
    let login = together(&raw, [("username", &raw.username), ("passwordFile", &raw.password_file)], sink);
    if identity.is_some() && raw.ca_file.is_absent() {
        let hint = "name the authority that the servers' certificates come from";
        sink.add(&raw.at.child("caFile"), "is missing beside `certFile`", hint);
    }
    let file = |scalar: &Scalar, sink: &mut Sink| base.join(scalar.text(sink));
    let [least, most] = DEADLINES;
    Connection {
        ca_file: raw.ca_file.path(base, sink),
        identity: identity
            .map(|[cert, key]| ClientIdentity { cert_file: file(cert, sink), key_file: file(key, sink) }),
        login: login
            .map(|[user, password]| Login { username: user.text(sink), password_file: file(password, sink) }),
        deadline: raw.deadline.wait(READ_DEADLINE, least..=most, sink),
        endpoints: endpoints(&raw, reach, sink),
    }
}

/// Two values that mean nothing without each other.
fn together<'a>(
    raw: &RawConnection,
    pair: [(&str, &'a Field<Scalar>); 2],
    sink: &mut Sink,
) -> Option<[&'a Scalar; 2]> {
    let [(first, one), (second, other)] = pair;
    if one.is_absent() != other.is_absent() {
        let (missing, there) = if one.is_absent() { (first, second) } else { (second, first) };
        let hint = format!("`{there}` means nothing without it");
        sink.add(&raw.at.child(missing), format!("is missing beside `{there}`"), hint);
    }
    Some([one.get()?, other.get()?])
}

/// Where members are reached in pods, unless something else is written: by the pod's own address, which goes with the pod,
/// or by the name that outlives it, where other members remember it. With TLS it is that name, too, which a member's
/// certificate has to bear: an address becomes another pod's, a name does not (`decisions.md` D13).
fn endpoints(raw: &RawConnection, reach: &Reach, sink: &mut Sink) -> BTreeMap<String, String> {
    let secure = !raw.ca_file.is_absent();
    let written = raw.endpoints.get().and_then(|any| Map::of(&any.node, any.at.clone(), sink));
    let mut written = written.unwrap_or_else(Map::empty);
    let words: Vec<_> = reach.purposes.iter().map(|purpose| purpose.word).chain([SERVER_NAME]).collect();
    written.refuse_unknown(&words, sink);
    let mut found = BTreeMap::new();
    for purpose in reach.purposes {
        let telling = if purpose.lasting { &LASTING[..] } else { &TELLING[..] };
        let address = template(&written.field(purpose.word, sink), telling, sink);
        found.insert(purpose.word.to_owned(), address.unwrap_or_else(|| usual(purpose, secure)));
    }
    let field = written.field(SERVER_NAME, sink);
    let name = template(&field, &TELLING, sink);
    if let Some(field) = field.get()
        && !secure
    {
        sink.add(&field.at, "is given without `caFile`", "without TLS nobody proves a name");
    }
    // An address by name is proved as it is.
    let ours = reach.purposes.first().and_then(|purpose| found.get(purpose.word));
    let by_address = secure && ours.is_some_and(|address| address.contains("{ip}"));
    let name = name.or_else(|| by_address.then(|| STABLE_NAME.to_owned()));
    found.extend(name.map(|name| (SERVER_NAME.to_owned(), name)));
    found
}

fn usual(purpose: &Purpose, secure: bool) -> String {
    let [plain, safe] = purpose.schemes;
    let scheme = if secure { safe } else { plain };
    let host = if purpose.lasting { STABLE_NAME } else { "{ip}" };
    format!("{scheme}{host}:{}", purpose.port)
}

/// An address with blanks, of which one must tell members apart.
fn template(field: &Field<Scalar>, telling: &[&str], sink: &mut Sink) -> Option<String> {
    let scalar = field.get()?;
    let text = scalar.text(sink);
    let mut rest = text.as_str();
    let mut blanks = Vec::new();
    while let Some((_, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        blanks.push(name);
        rest = after;
    }
    let known = BLANKS.map(|blank| format!("{{{blank}}}")).join(", ");
    if rest.contains(['{', '}']) || blanks.iter().any(|blank| !BLANKS.contains(blank)) {
        sink.add(
            &scalar.at,
            format!("{} has a blank that is not known", quote(&text)),
            format!("known: {known}"),
        );
    } else if !blanks.iter().any(|blank| telling.contains(blank)) {
        let words = telling.iter().map(|blank| format!("`{{{blank}}}`")).collect::<Vec<_>>().join(" or ");
        sink.add(
            &scalar.at,
            format!("{} is the same for all members", quote(&text)),
            format!("put {words} into it"),
        );
    }
    Some(text)
}
