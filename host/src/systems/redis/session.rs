//! Talking to one node: a connection with bounds, commands, and what an answer means.

use super::Access;
use super::reading::{ASKED, Answers, Raw, SECTIONS, Side, fields, side};
use crate::systems::address::Endpoint;
use crate::systems::metered::{Allowance, Metered};
use anyhow::Context as _;
use plimsoll_wire::journal::Outcome;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, ProtocolVersion, RedisConnectionInfo};
use rustls::pki_types::ServerName;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// The longest answer to one command; the view of a cluster of a thousand nodes has a tenth of it.
const MOST_BYTES: usize = 2 * 1024 * 1024;
/// The longest message that is passed on; the journal keeps no more.
const MESSAGE_BYTES: usize = 1024;

/// One session with one node.
pub(super) struct Session {
    client: MultiplexedConnection,
    allowance: Allowance,
    task: tokio::task::JoinHandle<()>,
    deadline: Instant,
}

/// Why a command has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The node refused it: nothing changed.
    Refused(String),
    /// Nobody knows.
    Unknown(String),
}

impl Failure {
    pub(super) fn words(self) -> String {
        match self {
            Self::Refused(words) | Self::Unknown(words) => words,
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Refused(message) => Outcome::Refused { message },
            Self::Unknown(message) => Outcome::Unknown { message },
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    /// Connects; new each time, since what was opened to an address says nothing about who listens there now.
    pub(super) async fn open(access: &Access, at: &Endpoint, deadline: Instant) -> Result<Self, String> {
        match tokio::time::timeout_at(deadline, connect(access, at)).await {
            Ok(Ok((client, allowance, task))) => Ok(Self { client, allowance, task, deadline }),
            Ok(Err(error)) => Err(clipped(&format!("{error:#}"))),
            Err(_) => Err("no connection in time".to_owned()),
        }
    }

    /// A session with one node and no other: the server on its other end has this id for as long as it lasts.
    pub(super) async fn with(
        access: &Access,
        at: &Endpoint,
        id: &str,
        deadline: Instant,
    ) -> Result<Self, String> {
        let session = Self::open(access, at, deadline).await?;
        let found: String = session.ask(&words(&["CLUSTER", "MYID"])).await.map_err(Failure::words)?;
        if found.trim() == id {
            return Ok(session);
        }
        Err(format!("node {found} answers at {}:{}, not {id}", at.host, at.port))
    }

    /// Carries out one command, once.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        self.allowance.renew(MOST_BYTES);
        let mut client = self.client.clone();
        match tokio::time::timeout_at(self.deadline, command.query_async(&mut client)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(meaning(&error)),
            Err(_) => Err(Failure::Unknown("no answer before the deadline".to_owned())),
        }
    }

    /// A command that is answered with `OK`, or refused.
    pub(super) async fn order(&self, command: &[&str]) -> Result<(), Failure> {
        self.ask::<()>(&words(command)).await
    }

    /// Its side of replication at this moment.
    pub(super) async fn side(&self) -> Result<Side, String> {
        let info: String = self.ask(&words(&["INFO", "replication"])).await.map_err(Failure::words)?;
        side(&fields(&info))
    }
}

/// A command of these words.
pub(super) fn words(words: &[&str]) -> Cmd {
    let mut command = Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command
}

/// Reads one node.
pub(super) async fn read(access: &Access, at: &Endpoint) -> Result<Answers, String> {
    let session = Session::open(access, at, Instant::now() + access.connection.deadline).await?;
    let ask = async |command: &[&str]| -> Result<String, String> {
        session.ask(&words(command)).await.map_err(Failure::words)
    };
    let mut get = words(&["CONFIG", "GET"]);
    let mut info = words(&["INFO"]);
    for name in ASKED {
        get.arg(name);
    }
    for section in SECTIONS {
        info.arg(section);
    }
    let settings: BTreeMap<String, String> = session.ask(&get).await.map_err(Failure::words)?;
    let raw = Raw {
        id: ask(&["CLUSTER", "MYID"]).await?,
        nodes: ask(&["CLUSTER", "NODES"]).await?,
        cluster: ask(&["CLUSTER", "INFO"]).await?,
        info: session.ask(&info).await.map_err(Failure::words)?,
        settings,
    };
    raw.read()
}

/// What a server refuses it has not begun. When the connection ends on the way, nobody knows.
fn meaning(error: &redis::RedisError) -> Failure {
    if !matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) {
        return Failure::Unknown(clipped(&error.to_string()));
    }
    let code = error.code().unwrap_or("ERR");
    Failure::Refused(clipped(&format!("{code} {}", error.detail().unwrap_or_default())))
}

/// A message, cut to what the journal keeps.
pub(super) fn clipped(text: &str) -> String {
    text.get(..text.floor_char_boundary(MESSAGE_BYTES)).unwrap_or_default().to_owned()
}

type Connected = (MultiplexedConnection, Allowance, tokio::task::JoinHandle<()>);

async fn connect(access: &Access, at: &Endpoint) -> anyhow::Result<Connected> {
    let tls = access.connection.tls()?;
    let mut info =
        RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
    if let Some(login) = &access.connection.login {
        anyhow::ensure!(
            tls.is_some() || at.is_loopback(),
            "`passwordFile` needs `caFile`: without TLS, whoever is on the way to {} could read the password",
            at.host
        );
        info = info.set_username(&login.username).set_password(login.password()?);
    }
    let stream = TcpStream::connect((at.host.as_str(), at.port)).await?;
    stream.set_nodelay(true)?;
    let allowance = Allowance::default();
    allowance.renew(MOST_BYTES);
    let stream = Metered::within(stream, allowance.clone());
    // The deadline is ours.
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    let Some(tls) = tls else {
        let (client, driver) = MultiplexedConnection::new_with_config(&info, stream, config).await?;
        return Ok((client, allowance, tokio::spawn(driver)));
    };
    let name = at.server_name.as_deref().unwrap_or(&at.host);
    let name = ServerName::try_from(name.to_owned()).context("the server's name")?;
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await?;
    let (client, driver) = MultiplexedConnection::new_with_config(&info, stream, config).await?;
    Ok((client, allowance, tokio::spawn(driver)))
}
