//! Talking to one server: a connection with bounds, statements, and what an answer means.

use super::Access;
use super::reading::{self, Answers, Row, Side};
use super::statement::{self, Guard};
use crate::systems::address::Endpoint;
use crate::systems::metered::Metered;
use plimsoll_wire::journal::Outcome;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::Severity;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Error, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

/// All that one session may be sent; a reading of a thousand rows has less than a tenth of it.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// The longest message that is passed on; the journal keeps no more.
const MESSAGE_BYTES: usize = 1024;
/// For how long standbys are given to confirm what was on the primary's disk when the reading began.
const CONFIRM: Duration = Duration::from_millis(500);
/// How long another session of this daemon's kind is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How often a server is asked again.
pub(super) const PAUSE: Duration = Duration::from_millis(25);
/// Nothing of the database that we are in is looked up by name, and a literal is what it says.
const OPTIONS: &str = "-c search_path=pg_catalog -c standard_conforming_strings=on -c statement_timeout=60s";

/// One session with one server.
pub(super) struct Session {
    client: Client,
    task: tokio::task::JoinHandle<()>,
    deadline: Instant,
}

/// Why a statement has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server refused it: nothing changed.
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
            Ok(Ok((client, task))) => Ok(Self { client, task, deadline }),
            Ok(Err(error)) => Err(clipped(&format!("{error:#}"))),
            Err(_) => Err("no connection in time".to_owned()),
        }
    }

    /// A session with the server that a guard is for, as the only daemon that changes anything there.
    pub(super) async fn guarded(
        access: &Access,
        at: &Endpoint,
        guard: &Guard,
        deadline: Instant,
    ) -> Result<Self, String> {
        let session = Self::open(access, at, deadline).await?;
        // A session of ours that has just ended holds it for a moment longer.
        let end = deadline.min(Instant::now() + LOCK_WAIT);
        while session.value(statement::LOCK).await.map_err(Failure::words)? != "true" {
            if Instant::now() + PAUSE >= end {
                return Err("another daemon is changing this server".to_owned());
            }
            tokio::time::sleep(PAUSE).await;
        }
        if session.rows(&statement::check(guard)).await.map_err(Failure::words)?.is_empty() {
            return Err(MOVED_ON.to_owned());
        }
        Ok(session)
    }

    /// Carries out one statement, once.
    pub(super) async fn rows(&self, statement: &str) -> Result<Vec<Row>, Failure> {
        match tokio::time::timeout_at(self.deadline, self.client.simple_query(statement)).await {
            Ok(Ok(messages)) => Ok(messages.into_iter().filter_map(row).collect()),
            Ok(Err(error)) => Err(meaning(&error)),
            Err(_) => Err(Failure::Unknown("no answer before the deadline".to_owned())),
        }
    }

    /// The one value that a statement gives.
    pub(super) async fn value(&self, statement: &str) -> Result<String, Failure> {
        let rows = self.rows(statement).await?;
        let value = rows.first().and_then(|row| row.get("value")).cloned();
        value.ok_or_else(|| Failure::Unknown("the server gave no value".to_owned()))
    }

    /// Sets a parameter for good, and waits until it is in force.
    pub(super) async fn set(&self, parameter: &str, value: &str) -> Result<(), Failure> {
        self.rows(&statement::set(parameter, value)).await?;
        // From here on a refusal leaves something behind.
        let unsure = |failure: Failure| Failure::Unknown(failure.words());
        self.rows(statement::RELOAD).await.map_err(unsure)?;
        while self.value(&statement::show(parameter)).await.map_err(unsure)? != value {
            if Instant::now() + PAUSE >= self.deadline {
                let words = format!(
                    "{parameter} is set and not in force: the server's command line or file overrides it"
                );
                return Err(Failure::Unknown(words));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}

/// What is said when a statement found another server than it was for.
pub(super) const MOVED_ON: &str = "the server is not in the state any more in which it was read";

/// Reads one server.
pub(super) async fn read(access: &Access, at: &Endpoint) -> Result<Answers, String> {
    let within = access.connection.deadline;
    let session = Session::open(access, at, Instant::now() + within).await?;
    let ask = async |statement: &str| session.rows(statement).await.map_err(Failure::words);
    let version = reading::version(&ask(reading::VERSION).await?)?;
    let own = reading::own(&ask(&reading::own_question(version)).await?)?;
    let keeps = reading::keeps(&ask(reading::SLOTS).await?)?;
    let begun = Instant::now();
    // What was on the primary's disk a moment ago is asked for: whoever keeps up has confirmed it by then.
    let followers = loop {
        let followers = reading::followers(&ask(reading::FOLLOWERS).await?)?;
        let behind = match own.side {
            Side::Primary { flushed, .. } => followers.iter().any(|row| {
                row.state == "streaming" && (row.flushed < Some(flushed) || row.replayed < Some(flushed))
            }),
            Side::Standby { .. } => false,
        };
        if !behind || begun.elapsed() >= CONFIRM.min(within / 2) {
            break followers;
        }
        tokio::time::sleep(PAUSE).await;
    };
    Ok(Answers { version, own, followers, keeps })
}

/// Sends one statement that names its own condition, once.
pub(super) async fn send(access: &Access, at: &Endpoint, statement: &str, deadline: Instant) -> Outcome {
    let session = match Session::open(access, at, deadline).await {
        Ok(session) => session,
        Err(why) => return super::call::not_sent(&why),
    };
    match session.rows(statement).await {
        Ok(rows) if rows.is_empty() => Outcome::Refused { message: MOVED_ON.to_owned() },
        Ok(_) => Outcome::Applied,
        Err(failure) => failure.outcome(),
    }
}

fn row(message: SimpleQueryMessage) -> Option<Row> {
    let SimpleQueryMessage::Row(row) = message else { return None };
    let columns = row.columns().iter().enumerate();
    let value = |(index, column): (usize, &tokio_postgres::SimpleColumn)| {
        Some((column.name().to_owned(), row.try_get(index).ok().flatten()?.to_owned()))
    };
    Some(columns.filter_map(value).collect())
}

/// A server's `ERROR` took back what the statement did; when a session ends on the way, nobody knows.
fn meaning(error: &Error) -> Failure {
    let words = words(error);
    match error.as_db_error().and_then(tokio_postgres::error::DbError::parsed_severity) {
        Some(Severity::Error) => Failure::Refused(words),
        Some(_) | None => Failure::Unknown(words),
    }
}

fn words(error: &Error) -> String {
    match error.as_db_error() {
        Some(server) => clipped(server.message()),
        None => {
            let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
            clipped(&format!("{error}{}", cause.unwrap_or_default()))
        }
    }
}

/// A message, cut to what the journal keeps.
fn clipped(text: &str) -> String {
    text.get(..text.floor_char_boundary(MESSAGE_BYTES)).unwrap_or_default().to_owned()
}

async fn connect(access: &Access, at: &Endpoint) -> anyhow::Result<(Client, tokio::task::JoinHandle<()>)> {
    let tls = access.connection.tls()?;
    let mut settings = tokio_postgres::Config::new();
    settings.dbname(&access.settings.database).application_name("plimsoll").options(OPTIONS);
    match &access.connection.login {
        None => settings.user(&access.settings.role),
        Some(login) => {
            anyhow::ensure!(
                tls.is_some() || at.is_loopback(),
                "`passwordFile` needs `caFile`: without TLS, whoever answers at {} could ask for the password in the clear",
                at.host
            );
            settings.user(&login.username).password(login.password()?)
        }
    };
    let stream = TcpStream::connect((at.host.as_str(), at.port)).await?;
    stream.set_nodelay(true)?;
    let stream = Metered::new(stream, MOST_BYTES);
    let plain = |error: Error| anyhow::anyhow!(words(&error));
    if let Some(tls) = tls {
        let name = at.server_name.as_deref().unwrap_or(&at.host);
        let mut tls = MakeRustlsConnect::new(tls);
        let tls = MakeTlsConnect::<Metered<TcpStream>>::make_tls_connect(&mut tls, name)?;
        settings.ssl_mode(SslMode::Require);
        let (client, connection) = settings.connect_raw(stream, tls).await.map_err(plain)?;
        return Ok((client, tokio::spawn(async move { drop(connection.await) })));
    }
    settings.ssl_mode(SslMode::Disable);
    let (client, connection) = settings.connect_raw(stream, NoTls).await.map_err(plain)?;
    Ok((client, tokio::spawn(async move { drop(connection.await) })))
}
