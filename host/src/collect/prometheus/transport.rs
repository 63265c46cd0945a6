//! The bounded request: deadline, cap on the body, no redirects, no retries.

use super::config::{CollectError, Credentials, SourceConfig};
use crate::causes;
use crate::collect::definition::Question;
use crate::collect::judge::{Answer, Failure, Reply};
use base64::Engine;
use prometheus_http_query::{Client, Error as QueryError};
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue};
use reqwest::{Certificate, Response};
use std::fmt;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

/// A token or password longer than this is the wrong file.
const MAX_SECRET_BYTES: u64 = 64 << 10;
/// A CA file longer than this is the wrong file.
const MAX_CA_BYTES: u64 = 4 << 20;
/// Of an answer that is an error, this much is read.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// Sends questions to one source.
pub(super) struct Transport {
    config: SourceConfig,
    client: Client,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Transport {
    pub(super) fn new(config: SourceConfig) -> Result<Self, CollectError> {
        crate::tls::install_provider();
        let url = config.checked_url()?;
        let builder = reqwest::Client::builder()
            .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(config.connect_timeout)
            .timeout(config.deadline)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy();
        let builder = match &config.ca_file {
            Some(path) => builder.tls_certs_only(read_ca(&config.name, path)?),
            // Without TLS no certificates are needed, and a machine may have none.
            None if url.scheme() == "http" => builder.tls_certs_only([]),
            None => builder,
        };
        let http = builder
            .build()
            .map_err(|source| CollectError::Client { source_name: config.name.clone(), source })?;
        let client = Client::from(http, url.as_str()).map_err(|error| CollectError::Config {
            source_name: config.name.clone(),
            problem: format!("url: {error}"),
        })?;
        Ok(Self { config, client })
    }

    pub(super) fn deadline(&self) -> Duration {
        self.config.deadline
    }

    /// Sends a question at the wall clock time `asked_ms`. Ends by the deadline, whatever the source does.
    pub(super) async fn exchange(&self, question: &Question, asked_ms: i64) -> Reply {
        let started = Instant::now();
        let exchanged = timeout(self.config.deadline, self.send(question, asked_ms)).await;
        match exchanged {
            Ok(Ok((head, body))) => Reply::Answered(Answer {
                asked_ms,
                took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                status: head.status,
                date_ms: head.date_ms,
                body,
            }),
            Ok(Err((how, detail))) => Reply::Failed { how, detail },
            Err(_) => self.late(),
        }
    }

    fn late(&self) -> Reply {
        Reply::Failed { how: Failure::Deadline, detail: self.shown_deadline() }
    }

    fn shown_deadline(&self) -> String {
        format!("{} ms", self.config.deadline.as_millis())
    }

    async fn send(&self, question: &Question, asked_ms: i64) -> Result<(Head, Vec<u8>), (Failure, String)> {
        let authorization = self.authorization().await.map_err(|detail| (Failure::Credentials, detail))?;
        let sent = self.build(question, asked_ms, authorization).await;
        let mut response = sent.map_err(|error| match &error {
            QueryError::Client(client) => match client.inner() {
                Some(inner) => self.classify(inner),
                None => (Failure::Closed, error.to_string()),
            },
            // The crate says these of a base URL or an answer that it parses itself; neither comes from here.
            QueryError::Prometheus(_) | QueryError::EmptySeriesSelector | QueryError::ParseUrl(_) | _ => {
                (Failure::Closed, error.to_string())
            }
        })?;
        let head = Head::of(&response);
        let body = if head.status == 200 {
            self.body(&mut response, self.config.max_body_bytes).await?
        } else {
            // The status says enough; what can be had of the text explains it.
            self.body(&mut response, MAX_ERROR_BYTES).await.unwrap_or_default()
        };
        Ok((head, body))
    }

    /// Builds the query with the client crate, which hands back the answer unread. `POST`, as long queries do
    /// not fit into every proxy's idea of a URL.
    async fn build(
        &self,
        question: &Question,
        asked_ms: i64,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, QueryError> {
        let end_ms = question.end_ms(asked_ms);
        let timeout_ms = i64::try_from(self.config.deadline.as_millis()).unwrap_or(i64::MAX);
        // Came in 2023 (prometheus#12088); older ones, such as 2.42, ignore it and reach back five minutes for a
        // series that ended without a staleness marker.
        let lookback = format!("{}ms", question.lookback_ms);
        if question.window_ms == 0 {
            let query = self.client.query(&question.query).at(end_ms / 1_000).timeout(timeout_ms);
            let query = query.query("lookback_delta", lookback);
            return match authorization {
                Some(value) => query.header(AUTHORIZATION, value).post_raw().await,
                None => query.post_raw().await,
            };
        }
        let start_s = question.start_ms(end_ms) / 1_000;
        let step = Duration::from_millis(question.step_ms).as_secs_f64();
        let query =
            self.client.query_range(&question.query, start_s, end_ms / 1_000, step).timeout(timeout_ms);
        let query = query.query("lookback_delta", lookback);
        match authorization {
            Some(value) => query.header(AUTHORIZATION, value).post_raw().await,
            None => query.post_raw().await,
        }
    }

    /// Reads chunk by chunk and stops at the cap, whatever the source promised or withheld about the length.
    async fn body(&self, response: &mut Response, cap: usize) -> Result<Vec<u8>, (Failure, String)> {
        let oversized = || (Failure::Oversized, format!("{cap} bytes"));
        if response.content_length().is_some_and(|length| usize::try_from(length).map_or(true, |l| l > cap)) {
            return Err(oversized());
        }
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) > cap => return Err(oversized()),
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(error) if error.is_timeout() => return Err((Failure::Deadline, self.shown_deadline())),
                Err(error) => return Err((Failure::Truncated, root_cause(&error))),
            }
        }
    }

    fn classify(&self, error: &reqwest::Error) -> (Failure, String) {
        let cause = root_cause(error);
        if error.is_connect() {
            return (Failure::Connect, cause);
        }
        if error.is_timeout() {
            return (Failure::Deadline, self.shown_deadline());
        }
        let is_garbage = causes::chain(error)
            .filter_map(|error| error.downcast_ref::<hyper::Error>())
            .any(|error| error.is_parse() || error.is_parse_too_large());
        (if is_garbage { Failure::NotHttp } else { Failure::Closed }, cause)
    }

    async fn authorization(&self) -> Result<Option<HeaderValue>, String> {
        let value = match &self.config.credentials {
            Credentials::None => return Ok(None),
            Credentials::Bearer { file } => format!("Bearer {}", read_secret(file).await?),
            Credentials::Basic { username, password_file } => {
                let pair = format!("{username}:{}", read_secret(password_file).await?);
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
            }
        };
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| "the secret has characters that no header can carry".to_owned())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// What matters of an answer's head.
struct Head {
    status: u16,
    date_ms: Option<i64>,
}

impl Head {
    fn of(response: &Response) -> Self {
        Self { status: response.status().as_u16(), date_ms: date_ms(response.headers()) }
    }
}

fn date_ms(headers: &HeaderMap) -> Option<i64> {
    let text = headers.get(DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp().as_millisecond())
}

/// The last error of a chain, which names what the operating system or the library met. The outer ones repeat
/// the URL.
fn root_cause(error: &reqwest::Error) -> String {
    match causes::chain(error).skip(1).last() {
        Some(cause) => cause.to_string(),
        None => "no cause given".to_owned(),
    }
}

async fn read_secret(path: &Path) -> Result<String, String> {
    let failed = |problem: &str| format!("{}: {problem}", path.display());
    let file = tokio::fs::File::open(path).await.map_err(|error| failed(&error.to_string()))?;
    let mut text = String::new();
    let read = file.take(MAX_SECRET_BYTES + 1).read_to_string(&mut text).await;
    read.map_err(|error| failed(&error.to_string()))?;
    match text.trim() {
        _ if text.len() as u64 > MAX_SECRET_BYTES => Err(failed("is too long for a secret")),
        "" => Err(failed("is empty")),
        secret => Ok(secret.to_owned()),
    }
}

fn read_ca(source_name: &str, path: &Path) -> Result<Vec<Certificate>, CollectError> {
    use std::io::Read;
    let unread =
        |source| CollectError::CaFile { source_name: source_name.to_owned(), path: path.to_owned(), source };
    let mut pem = Vec::new();
    let file = std::fs::File::open(path).map_err(unread)?;
    file.take(MAX_CA_BYTES).read_to_end(&mut pem).map_err(unread)?;
    let certificates = Certificate::from_pem_bundle(&pem)
        .map_err(|source| CollectError::Client { source_name: source_name.to_owned(), source })?;
    if certificates.is_empty() {
        let problem = format!("caFile: {} holds no certificate in PEM", path.display());
        return Err(CollectError::Config { source_name: source_name.to_owned(), problem });
    }
    Ok(certificates)
}
