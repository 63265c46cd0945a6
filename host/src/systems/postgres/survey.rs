//! The answers of all members to one reading, and the addresses at which they gave them.

use super::reading::Answers;
use plimsoll_wire::snapshot::Endpoints;
use std::sync::Arc;

/// One reading of all members.
#[derive(Clone, Debug, Default)]
pub(super) struct Survey {
    /// One for each place in use, in no particular order.
    pub(super) answers: Vec<Answer>,
}

/// What one place answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The platform's name of the place.
    pub(super) place: Arc<str>,
    pub(super) endpoints: Endpoints,
    /// What was read, or why nothing was.
    pub(super) reading: Result<Answers, String>,
}

/// Where a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    /// The name that its certificate has to bear, where that is not the host: the IP of a pod becomes another pod's.
    pub(super) server_name: Option<String>,
}

impl Endpoint {
    /// Where the daemon reaches a server: `client`, as the platform gives it.
    pub(super) fn of(endpoints: &Endpoints) -> Result<Self, String> {
        let text = endpoints.get("client").ok_or("the platform gives no `client` endpoint for this place")?;
        let (host, port) = address(text)?;
        let server_name = endpoints.get("serverName").map(|name| name.trim_matches(['[', ']']).to_owned());
        Ok(Self { host, port, server_name })
    }
}

/// Where the other members reach a server: `peer`, and `client` where there is none.
pub(super) fn peer(endpoints: &Endpoints) -> Result<(String, u16), String> {
    let text = endpoints.get("peer").or_else(|| endpoints.get("client"));
    address(text.ok_or("the platform gives neither a `peer` nor a `client` endpoint for this place")?)
}

/// Host and port out of `host`, `host:port` or `postgresql://host:port`.
fn address(text: &str) -> Result<(String, u16), String> {
    let bare = text.trim();
    let bare = ["postgresql://", "postgres://", "tcp://"]
        .iter()
        .find_map(|scheme| bare.strip_prefix(scheme))
        .unwrap_or(bare)
        .trim_end_matches('/');
    let wrong = || format!("the endpoint {text:?} is no `host:port`");
    let (host, port) = match bare.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            (host, rest.strip_prefix(':'))
        }
        None => match bare.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (bare, None),
        },
    };
    let port = port.map_or(Ok(5432), str::parse).map_err(|_| wrong())?;
    let is_part = |char: char| char.is_ascii_alphanumeric() || ".-_:".contains(char);
    if host.is_empty() || !host.chars().all(is_part) {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

/// The name under which the member of a place replicates: its replication slot and its `application_name`. None where the
/// place's name cannot be made one.
pub(super) fn name_of(place: &str) -> Option<String> {
    let letter = |char: char| match char {
        'a'..='z' | '0'..='9' | '_' => Some(char),
        'A'..='Z' => Some(char.to_ascii_lowercase()),
        '-' | '.' => Some('_'),
        _ => None,
    };
    let name: Option<String> = place.chars().map(letter).collect();
    name.filter(|name| (1..=63).contains(&name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("127.0.0.1:5441", "127.0.0.1", 5441),
            ("db-0.db.lab.svc", "db-0.db.lab.svc", 5432),
            ("postgresql://db:5433/", "db", 5433),
            ("[fd00::1]:5432", "fd00::1", 5432),
        ] {
            assert_eq!(address(text), Ok((host.to_owned(), port)), "{text}");
        }
        for text in ["", ":5432", "a:b", "a:99999", "a b:1", "user@db:1", "[::1", "db:1/x?y=z"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn members_reach_each_other_where_the_platform_says() {
        let both = Endpoints::from([("client".into(), "a:1".into()), ("peer".into(), "b:2".into())]);
        assert_eq!(peer(&both), Ok(("b".to_owned(), 2)));
        let one = Endpoints::from([("client".into(), "a:1".into())]);
        assert_eq!(peer(&one), Ok(("a".to_owned(), 1)));
        assert!(peer(&Endpoints::new()).is_err());
    }

    #[test]
    fn a_place_has_a_name_that_a_replication_slot_may_have() {
        assert_eq!(name_of("db-0.Lab"), Some("db_0_lab".to_owned()));
        assert_eq!(name_of("p2"), Some("p2".to_owned()));
        for place in ["", "a/b", "ä", &"a".repeat(64)] {
            assert_eq!(name_of(place), None, "{place}");
        }
    }
}
