//! Where a server is reached, out of the endpoints that the platform gives.

use plimsoll_wire::snapshot::Endpoints;

/// Where a server is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    /// The name that its certificate has to bear, where that is not the host: the IP of a pod becomes another pod's.
    pub(super) server_name: Option<String>,
}

impl Endpoint {
    /// Whether nothing on the way to it leaves this machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// How the addresses of one kind of system are written.
#[derive(Debug)]
pub(super) struct Addresses {
    /// What may stand before the host.
    pub(super) schemes: &'static [&'static str],
    /// The port where none is given.
    pub(super) port: u16,
}

impl Addresses {
    /// Where the daemon reaches a server: `client`, as the platform gives it.
    pub(super) fn client(&self, endpoints: &Endpoints) -> Result<Endpoint, String> {
        let text = endpoints.get("client").ok_or("the platform gives no `client` endpoint for this place")?;
        let (host, port) = self.read(text)?;
        let server_name = endpoints.get("serverName").map(|name| name.trim_matches(['[', ']']).to_owned());
        Ok(Endpoint { host, port, server_name })
    }

    /// Where the other members reach a server: `peer`, and `client` where there is none.
    pub(super) fn peer(&self, endpoints: &Endpoints) -> Result<(String, u16), String> {
        let text = endpoints.get("peer").or_else(|| endpoints.get("client"));
        self.read(text.ok_or("the platform gives neither a `peer` nor a `client` endpoint for this place")?)
    }

    /// Host and port out of `host`, `host:port` or `scheme://host:port`.
    fn read(&self, text: &str) -> Result<(String, u16), String> {
        let bare = text.trim();
        let bare = self
            .schemes
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
        let port = port.map_or(Ok(self.port), str::parse).map_err(|_| wrong())?;
        let is_part = |char: char| char.is_ascii_alphanumeric() || ".-_:".contains(char);
        if host.is_empty() || !host.chars().all(is_part) {
            return Err(wrong());
        }
        Ok((host.to_owned(), port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATABASES: Addresses = Addresses { schemes: &["db://"], port: 5432 };

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("127.0.0.1:5441", "127.0.0.1", 5441),
            ("db-0.db.lab.svc", "db-0.db.lab.svc", 5432),
            ("db://db:5433/", "db", 5433),
            ("[fd00::1]:5432", "fd00::1", 5432),
        ] {
            assert_eq!(DATABASES.read(text), Ok((host.to_owned(), port)), "{text}");
        }
        for text in ["", ":5432", "a:b", "a:99999", "a b:1", "user@db:1", "[::1", "db:1/x?y=z"] {
            assert!(DATABASES.read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn members_reach_each_other_where_the_platform_says() {
        let both = Endpoints::from([("client".into(), "a:1".into()), ("peer".into(), "b:2".into())]);
        assert_eq!(DATABASES.peer(&both), Ok(("b".to_owned(), 2)));
        let one = Endpoints::from([("client".into(), "a:1".into())]);
        assert_eq!(DATABASES.peer(&one), Ok(("a".to_owned(), 1)));
        assert!(DATABASES.peer(&Endpoints::new()).is_err());
    }
}
