//! Talking to one broker: frames with bounds, versions that both sides know, and what an answer means.

use super::{Access, Mechanism, scram};
use crate::systems::address::Endpoint;
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Buf as _, Bytes, BytesMut};
use kafka_protocol::error::ParseResponseErrorCode as _;
use kafka_protocol::messages::{
    ApiVersionsRequest, RequestHeader, ResponseHeader, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes, VersionRange};
use plimsoll_wire::journal::Outcome;
use ring::rand::SecureRandom as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// The longest answer that is taken: one about twenty thousand partitions has a tenth of it.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// The longest message that is passed on; the journal keeps no more.
const MESSAGE_BYTES: usize = 1024;
/// The name under which brokers count our requests.
const CLIENT: StrBytes = StrBytes::from_static_str("plimsoll");
/// The version of the first question of all, which every broker since 1.0 answers.
const FIRST: VersionRange = VersionRange { min: 0, max: 3 };

/// A stream to a broker, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection to one broker.
pub(super) struct Session {
    stream: Box<dyn Stream>,
    /// What the broker understands, by the numbers of its requests.
    known: BTreeMap<i16, VersionRange>,
    next: i32,
    deadline: Instant,
}

/// Why a request has no answer that helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It was not sent, or the broker refused it: nothing changed.
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

/// What an error code says, in Kafka's own words; none where it says that all is well.
pub(super) fn refusal(code: i16, message: Option<&StrBytes>) -> Option<Failure> {
    let error = code.err()?;
    let more = message
        .filter(|message| !message.is_empty())
        .map(|message| format!(": {}", message.as_str()))
        .unwrap_or_default();
    let words = clipped(&format!("{error:?} ({code}){more}"));
    // The broker gave up waiting for the controller, and what it passed on may still be done.
    const UNSURE: [i16; 4] = [-1, 7, 13, 56];
    Some(if UNSURE.contains(&code) { Failure::Unknown(words) } else { Failure::Refused(words) })
}

impl Session {
    /// Connects and logs in; new each time, since what was opened to an address says nothing about who listens there now.
    pub(super) async fn open(access: &Access, at: &Endpoint, deadline: Instant) -> Result<Self, String> {
        match tokio::time::timeout_at(deadline, connect(access, at, deadline)).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(error)) => Err(clipped(&format!("{error:#}"))),
            Err(_) => Err("no connection in time".to_owned()),
        }
    }

    /// Sends one request, once, and waits for the answer.
    pub(super) async fn ask<R: Request>(&mut self, request: &R) -> Result<R::Response, Failure> {
        self.ask_since(request, 0).await
    }

    /// The same in a version that is not too old for what is asked.
    pub(super) async fn ask_since<R: Request>(
        &mut self,
        request: &R,
        least: i16,
    ) -> Result<R::Response, Failure> {
        let ours = VersionRange { min: least.max(R::VERSIONS.min), max: R::VERSIONS.max };
        let known = self.known.get(&R::KEY).map(|known| known.intersect(&ours));
        let Some(version) = known.filter(|range| !range.is_empty()).map(|range| range.max) else {
            let words = format!("the broker does not answer request {} in version {least} or later", R::KEY);
            return Err(Failure::Refused(words));
        };
        let deadline = self.deadline;
        match tokio::time::timeout_at(deadline, self.exchange(request, version)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Unknown("no answer before the deadline".to_owned())),
        }
    }

    /// A connection on which an exchange has failed is of no use any more: the next answer would be another's.
    async fn exchange<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response, Failure> {
        self.next = self.next.wrapping_add(1);
        let frame =
            frame(request, version, self.next).map_err(|error| Failure::Refused(format!("{error:#}")))?;
        let lost =
            |error: std::io::Error| Failure::Unknown(clipped(&format!("the connection broke: {error}")));
        self.stream.write_all(&frame).await.map_err(lost)?;
        self.stream.flush().await.map_err(lost)?;
        let length = usize::try_from(self.stream.read_i32().await.map_err(lost)?).unwrap_or(usize::MAX);
        if length > MOST_BYTES {
            let words = format!("the broker sends {length} bytes at once; {MOST_BYTES} are taken");
            return Err(Failure::Unknown(words));
        }
        let mut answer = BytesMut::zeroed(length);
        self.stream.read_exact(&mut answer).await.map_err(lost)?;
        unframe::<R>(answer.freeze(), version, self.next)
            .map_err(|error| Failure::Unknown(clipped(&format!("the answer is not understood: {error:#}"))))
    }

    /// Learns what the broker understands.
    async fn greet(&mut self) -> anyhow::Result<()> {
        self.known.insert(ApiVersionsRequest::KEY, FIRST);
        let request = ApiVersionsRequest::default()
            .with_client_software_name(CLIENT)
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let answer = self.ask(&request).await.map_err(|failure| anyhow::anyhow!(failure.words()))?;
        if let Some(failure) = refusal(answer.error_code, None) {
            anyhow::bail!(failure.words());
        }
        let range = |min, max| VersionRange { min, max };
        self.known = answer
            .api_keys
            .iter()
            .map(|api| (api.api_key, range(api.min_version, api.max_version)))
            .collect();
        Ok(())
    }

    async fn log_in(&mut self, mechanism: Mechanism, user: &str, password: &str) -> anyhow::Result<()> {
        let handshake =
            SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism.word()));
        let answer =
            self.ask_since(&handshake, 1).await.map_err(|failure| anyhow::anyhow!(failure.words()))?;
        if let Some(failure) = refusal(answer.error_code, None) {
            let others: Vec<&str> = answer.mechanisms.iter().map(StrBytes::as_str).collect();
            anyhow::bail!("{}: the broker takes {}", failure.words(), others.join(", "));
        }
        let Some((login, first)) = scram::Login::begin(mechanism, user, &nonce()?) else {
            return self.authenticate(&format!("\0{user}\0{password}")).await.map(drop);
        };
        let challenge = self.authenticate(&first).await?;
        let proof = login.prove(password, &challenge).map_err(anyhow::Error::msg)?;
        let answer = self.authenticate(&proof.message).await?;
        anyhow::ensure!(
            proof.is_answered_by(&answer),
            "the broker does not prove that it knows the password"
        );
        Ok(())
    }

    async fn authenticate(&mut self, message: &str) -> anyhow::Result<String> {
        let request =
            SaslAuthenticateRequest::default().with_auth_bytes(Bytes::copy_from_slice(message.as_bytes()));
        let answer = self.ask(&request).await.map_err(|failure| anyhow::anyhow!(failure.words()))?;
        if let Some(failure) = refusal(answer.error_code, answer.error_message.as_ref()) {
            anyhow::bail!(failure.words());
        }
        Ok(std::str::from_utf8(&answer.auth_bytes)?.to_owned())
    }
}

fn nonce() -> anyhow::Result<String> {
    let mut bytes = [0; 24];
    let random = ring::rand::SystemRandom::new();
    random.fill(&mut bytes).ok().context("the system gives no random numbers")?;
    Ok(BASE64.encode(bytes))
}

/// A request as it goes over the wire.
fn frame<R: Request>(request: &R, version: i16, number: i32) -> anyhow::Result<BytesMut> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(number)
        .with_client_id(Some(CLIENT));
    let mut body = BytesMut::new();
    header.encode(&mut body, R::header_version(version))?;
    request.encode(&mut body, version)?;
    let mut frame = BytesMut::with_capacity(body.len() + 4);
    frame.extend_from_slice(&i32::try_from(body.len())?.to_be_bytes());
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// What a frame without its length says; an answer to another request is none.
fn unframe<R: Request>(mut frame: Bytes, version: i16, number: i32) -> anyhow::Result<R::Response> {
    let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version))?;
    anyhow::ensure!(header.correlation_id == number, "it is the answer to another request");
    let answer = R::Response::decode(&mut frame, version)?;
    anyhow::ensure!(!frame.has_remaining(), "it is longer than it should be");
    Ok(answer)
}

/// A message, cut to what the journal keeps, in one line.
pub(super) fn clipped(text: &str) -> String {
    let text = text.get(..text.floor_char_boundary(MESSAGE_BYTES)).unwrap_or_default();
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

async fn connect(access: &Access, at: &Endpoint, deadline: Instant) -> anyhow::Result<Session> {
    let tls = access.connection.tls()?;
    let stream = TcpStream::connect((at.host.as_str(), at.port)).await?;
    stream.set_nodelay(true)?;
    let is_private = tls.is_some() || is_loopback(&at.host);
    let stream: Box<dyn Stream> = match tls {
        Some(tls) => {
            let name = at.server_name.clone().unwrap_or_else(|| at.host.clone());
            let name = rustls::pki_types::ServerName::try_from(name)?;
            Box::new(tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, stream).await?)
        }
        None => Box::new(stream),
    };
    let mut session = Session { stream, known: BTreeMap::new(), next: 0, deadline };
    session.greet().await?;
    if let Some(login) = &access.connection.login {
        let mechanism = access.settings.mechanism;
        anyhow::ensure!(
            is_private || mechanism != Mechanism::Plain,
            "`mechanism: plain` needs `caFile`: without TLS, whoever listens on the way to {} reads the password",
            at.host
        );
        session.log_in(mechanism, &login.username, &login.password()?).await.context("logging in")?;
    }
    Ok(session)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::MetadataRequest;

    fn answer(number: i32, tail: &[u8]) -> Bytes {
        let mut frame = BytesMut::new();
        frame.extend_from_slice(&number.to_be_bytes());
        // Version 0 of `ApiVersions`: no error, and no requests.
        frame.extend_from_slice(&[0, 0, 0, 0, 0, 0]);
        frame.extend_from_slice(tail);
        frame.freeze()
    }

    #[test]
    fn an_answer_to_another_request_is_none() {
        assert!(unframe::<ApiVersionsRequest>(answer(7, &[]), 0, 7).is_ok());
        assert!(unframe::<ApiVersionsRequest>(answer(6, &[]), 0, 7).is_err());
        assert!(unframe::<ApiVersionsRequest>(answer(7, &[1]), 0, 7).is_err(), "more than an answer");
        assert!(unframe::<ApiVersionsRequest>(answer(7, &[]).slice(..6), 0, 7).is_err(), "half an answer");
    }

    #[test]
    fn a_request_says_what_it_is_and_how_long() {
        let frame = frame(&MetadataRequest::default().with_topics(None), 12, 9).expect("it can be said");
        let (length, rest) = frame.split_at(4);
        assert_eq!(u32::from_be_bytes(length.try_into().expect("four bytes")) as usize, rest.len());
        assert_eq!(rest.get(..8), Some(&[0, 3, 0, 12, 0, 0, 0, 9][..]), "its number, its version and ours");
    }

    #[test]
    fn a_refusal_is_in_the_words_of_kafka() {
        assert_eq!(refusal(0, None), None);
        let words = StrBytes::from_static_str("No reassignment\nis in progress.");
        let refused = refusal(85, Some(&words)).expect("an error").words();
        assert_eq!(refused, "NoReassignmentInProgress (85): No reassignment is in progress.");
        assert!(matches!(refusal(7, None), Some(Failure::Unknown(_))), "the controller may have done it");
    }
}
