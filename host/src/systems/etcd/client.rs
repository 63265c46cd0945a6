//! Talking to one member: connections, deadlines, and what an answer to a call means.

use super::call::Call;
use super::endpoint::Endpoint;
use super::outcome;
use super::survey::{List, Registered, Status};
use crate::systems::connection::{Connection, Pems};
use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, MemberAddOptions, TlsOptions};
use plimsoll_wire::journal::Outcome;
use std::time::Duration;
use tokio::time::Instant;

/// The one key that the driver touches: read for linearizable reads, written by the barrier. Where etcd's
/// authentication is on, the user needs it.
pub(super) const BARRIER_KEY: &str = "plimsoll.dev/barrier";

/// Reads one member at its own endpoint: its state and, at the same time, the membership.
pub(super) async fn read(
    connection: &Connection,
    endpoint: &Endpoint,
    within: Duration,
) -> (Result<Status, String>, Result<List, String>) {
    let deadline = Instant::now() + within;
    let client = match tokio::time::timeout_at(deadline, connect(connection, endpoint)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return both(outcome::clipped(&format!("{error:#}"))),
        Err(_) => return both("no connection in time".to_owned()),
    };
    // Both at once: a learner answers the first only, a member without its majority too.
    let status = tokio::time::timeout_at(deadline, status(client.clone()));
    let list = tokio::time::timeout_at(deadline, list(client));
    let (status, list) = tokio::join!(status, list);
    (within_deadline(status), within_deadline(list))
}

fn both(failure: String) -> (Result<Status, String>, Result<List, String>) {
    (Err(failure.clone()), Err(failure))
}

fn within_deadline<T>(answer: Result<Result<T, Error>, tokio::time::error::Elapsed>) -> Result<T, String> {
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(words(&error)),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

async fn status(client: Client) -> Result<Status, Error> {
    let answer = client.maintenance_client().status().await?;
    let header = answer.header().ok_or_else(headless)?;
    Ok(Status {
        cluster: header.cluster_id(),
        member: header.member_id(),
        leader: answer.leader(),
        term: answer.raft_term(),
        committed: answer.raft_index(),
        applied: answer.raft_applied_index(),
        db_bytes: u64::try_from(answer.db_size()).unwrap_or(0),
        version: answer.version().to_owned(),
        errors: answer.errors().to_vec(),
    })
}

/// The member list comes out of the member's own memory, however old that is. The linearizable read before
/// it, on the same connection, makes the member catch up with everything that was committed until then.
async fn list(client: Client) -> Result<List, Error> {
    client.kv_client().get(BARRIER_KEY, None).await?;
    let answer = client.cluster_client().member_list().await?;
    let header = answer.header().ok_or_else(headless)?;
    let members = answer
        .members()
        .iter()
        .map(|member| Registered {
            id: member.id(),
            name: member.name().to_owned(),
            peer_urls: member.peer_urls().to_vec(),
            learner: member.is_learner(),
        })
        .collect();
    Ok(List { cluster: header.cluster_id(), member: header.member_id(), members })
}

fn headless() -> Error {
    Error::Internal("an answer without a header".to_owned())
}

/// Sends one call, once.
pub(super) async fn send(
    connection: &Connection,
    endpoint: &Endpoint,
    call: &Call,
    deadline: Instant,
) -> Outcome {
    let client = match tokio::time::timeout_at(deadline, connect(connection, endpoint)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return super::call::not_sent(&outcome::clipped(&format!("{error:#}"))),
        Err(_) => return super::call::not_sent("no connection in time"),
    };
    match tokio::time::timeout_at(deadline, carry_out(client, call)).await {
        Ok(Ok(())) => Outcome::Applied,
        Ok(Err(error)) => meaning(&error),
        Err(_) => Outcome::Unknown { message: "no answer before the deadline".to_owned() },
    }
}

async fn carry_out(client: Client, call: &Call) -> Result<(), Error> {
    match call {
        Call::AddLearner { peer_url } => {
            let options = MemberAddOptions::new().with_is_learner();
            client.cluster_client().member_add([peer_url.clone()], Some(options)).await?;
        }
        Call::Promote { member } => {
            client.cluster_client().member_promote(*member).await?;
        }
        Call::MoveLeader { to } => {
            client.maintenance_client().move_leader(*to).await?;
        }
        Call::Remove { member } => {
            client.cluster_client().member_remove(*member).await?;
        }
        Call::Barrier { value } => barrier(&client, value).await?,
    }
    Ok(())
}

/// One write that a majority commits, and one read that proves it.
async fn barrier(client: &Client, value: &str) -> Result<(), Error> {
    let written = client.kv_client().put(BARRIER_KEY, value, None).await?;
    let read = client.kv_client().get(BARRIER_KEY, None).await?;
    let written = written.header().ok_or_else(headless)?.revision();
    let read = read.header().ok_or_else(headless)?.revision();
    if read < written {
        return Err(Error::Internal(format!("read revision {read} after writing revision {written}")));
    }
    Ok(())
}

/// What an error says about the world.
fn meaning(error: &Error) -> Outcome {
    match error {
        Error::GRpcStatus(status) => outcome::of_status(i32::from(status.code()), &words(error)),
        // Found by the client itself before anything was sent.
        Error::InvalidArgs(_) | Error::InvalidUri(_) => super::call::not_sent(&words(error)),
        Error::IoError(_)
        | Error::TransportError(_)
        | Error::WatchError(_)
        | Error::Utf8Error(_)
        | Error::LeaseKeepAliveError(_)
        | Error::ElectError(_)
        | Error::InvalidMetadataValue(_)
        | Error::EndpointError(_)
        | Error::EndpointsNotManaged
        | Error::Internal(_) => Outcome::Unknown { message: words(error) },
    }
}

/// The server's words where it has said some.
fn words(error: &Error) -> String {
    if let Error::GRpcStatus(status) = error
        && !status.message().is_empty()
    {
        return outcome::clipped(status.message());
    }
    outcome::clipped(&error.to_string())
}

/// A connection to one member, new each time: what was opened to an address says nothing about who listens
/// there now, and a connection that lost its peer would hold a call until its deadline.
async fn connect(connection: &Connection, endpoint: &Endpoint) -> anyhow::Result<Client> {
    let address = endpoint.address.as_str();
    anyhow::ensure!(!address.is_empty(), "the platform gives no `client` endpoint for this slot");
    let secure = connection.ca_file.is_some() && !address.starts_with("http://");
    let mut options = ConnectOptions::new();
    if secure && let Some(pems) = connection.pems()? {
        options = options.with_tls(tls(pems, endpoint.server_name.as_deref()));
    }
    if let Some(login) = &connection.login {
        options = options.with_user(&login.username, login.password()?);
    }
    let url = match (address.contains("://"), secure) {
        (true, _) => address.to_owned(),
        (false, true) => format!("https://{address}"),
        (false, false) => format!("http://{address}"),
    };
    Client::connect([url], Some(options)).await.map_err(|error| anyhow::anyhow!(words(&error)))
}

fn tls(pems: Pems, name: Option<&str>) -> TlsOptions {
    let mut options = TlsOptions::new().ca_certificate(Certificate::from_pem(pems.ca));
    if let Some(name) = name {
        options = options.domain_name(name);
    }
    if let Some((cert, key)) = pems.identity {
        options = options.identity(Identity::from_pem(cert, key));
    }
    options
}
