//! Turns a reply into series: judges transport, status and JSON before any single signal.

use super::{Fault, excerpt};
use crate::collect::definition::Question;
use prometheus_http_query::response::{Data, Sample};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::OnceLock;

/// Clocks further apart than this make ages meaningless.
pub(super) const MAX_SKEW_MS: i64 = 5_000;
/// The `Date` header has no fraction.
const DATE_GRAIN_MS: i64 = 1_000;

/// What came of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A whole HTTP answer.
    Answered(Answer),
    /// There is no whole answer.
    Failed {
        /// What went wrong.
        how: Failure,
        /// One line for people: what the operating system or a library says.
        detail: String,
    },
}

/// A whole HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When it was asked for, by our wall clock, in milliseconds since 1970.
    pub asked_ms: i64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The HTTP status.
    pub status: u16,
    /// The source's own clock (its `Date` header), in milliseconds since 1970, where it tells.
    pub date_ms: Option<i64>,
    /// What it sent, within the cap on bodies.
    pub body: Vec<u8>,
}

/// Why there is no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection: refused, no route, no such name, TLS.
    Connect,
    /// No whole answer within the deadline.
    Deadline,
    /// What came was not HTTP.
    NotHttp,
    /// The connection ended before the answer's head did.
    Closed,
    /// The connection ended in the middle of the body.
    Truncated,
    /// The body is longer than the cap.
    Oversized,
    /// The credentials could not be read.
    Credentials,
    /// Not asked: it failed several times in a row.
    Pausing,
    /// Not asked: earlier questions have not been answered yet.
    Busy,
}

/// What a source said, in its own terms.
#[derive(Clone, Debug)]
pub(in crate::collect) struct Parsed {
    pub(super) question: Question,
    pub(super) asked_ms: i64,
    pub(super) warnings: Vec<String>,
    pub(super) series: Vec<Series>,
    /// Which series have which value of the label by which the question is shared; made by who needs it first.
    pub(super) index: OnceLock<Index>,
}

/// The places of series by the value of one label.
#[derive(Clone, Debug)]
pub(super) struct Index {
    label: String,
    places: HashMap<String, Vec<usize>>,
}

impl Parsed {
    /// The series with this value of a label, in their order.
    pub(super) fn labelled(&self, label: &str, value: &str) -> Vec<&Series> {
        let index = self.index.get_or_init(|| Index::new(&self.series, label));
        if index.label != label {
            let is_it = |one: &&Series| one.labels.get(label).is_some_and(|own| own == value);
            return self.series.iter().filter(is_it).collect();
        }
        let places = index.places.get(value).map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|place| self.series.get(*place)).collect()
    }
}

impl Index {
    fn new(series: &[Series], label: &str) -> Self {
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, one) in series.iter().enumerate() {
            if let Some(value) = one.labels.get(label) {
                places.entry(value.clone()).or_default().push(place);
            }
        }
        Self { label: label.to_owned(), places }
    }
}

/// One series of an answer, oldest point first.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) labels: HashMap<String, String>,
    /// Time in milliseconds since 1970, and value.
    pub(super) points: Vec<(i64, f64)>,
}

/// What the texts begin with that say nothing about the data. Prometheus 2.48 to 2.53 puts them among its warnings,
/// later ones into `infos`.
const ABOUT_THE_QUERY: &str = "PromQL info:";

/// The API's envelope. The client crate has one too, but it is private and drops the warnings.
#[derive(Deserialize)]
struct Envelope {
    status: String,
    data: Option<Data>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

/// What stands around the data. A clustered store says there, beside its answer or in it, that it is not whole.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    status: String,
    #[serde(default, rename = "isPartial")]
    is_partial: Value,
    #[serde(default)]
    data: Option<DataHead>,
    #[serde(default, rename = "errorType")]
    kind: String,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct DataHead {
    #[serde(default, rename = "isPartial")]
    is_partial: Value,
}

impl Head {
    /// Whether the source says that parts are missing; a word that is not known says so too.
    fn tells_of_missing_parts(&self) -> bool {
        let tells = |said: &Value| !matches!(said, Value::Null | Value::Bool(false));
        tells(&self.is_partial) || self.data.as_ref().is_some_and(|data| tells(&data.is_partial))
    }
}

/// Reads a reply as far as that can be done for all signals that share it.
pub(in crate::collect) fn read_reply(question: &Question, reply: &Reply) -> Result<Parsed, Fault> {
    let answer = match reply {
        Reply::Answered(answer) => answer,
        Reply::Failed { how, detail } => return Err(failure(*how, detail)),
    };
    if answer.status != 200 {
        return Err(refused(answer));
    }
    // Before the body: by clocks that disagree, its times mean nothing.
    check_clock(answer)?;
    let envelope = parse(&answer.body)?;
    let data = envelope.data.ok_or_else(|| Fault::malformed("the answer says success and has no data"))?;
    Ok(Parsed {
        question: question.clone(),
        asked_ms: answer.asked_ms,
        warnings: envelope.warnings.unwrap_or_default(),
        series: series(question, data)?,
        index: OnceLock::new(),
    })
}

fn failure(how: Failure, detail: &str) -> Fault {
    let shown = excerpt(detail.as_bytes());
    match how {
        Failure::Connect => Fault::unavailable(format!("no connection: {shown}")),
        Failure::Deadline => Fault::unavailable(format!("no whole answer within the deadline of {shown}")),
        Failure::Closed => Fault::unavailable(format!("the connection ended without an answer: {shown}")),
        Failure::Credentials => Fault::unavailable(format!("credentials: {shown}")),
        Failure::Pausing => Fault::unavailable(format!("not asked after repeated failures: {shown}")),
        Failure::Busy => Fault::unavailable(format!("not asked, earlier questions are still open: {shown}")),
        Failure::NotHttp => Fault::malformed(format!("the answer is not HTTP: {shown}")),
        Failure::Truncated => Fault::malformed(format!("the answer ends in the middle: {shown}")),
        Failure::Oversized => Fault::malformed(format!(
            "the answer is longer than {shown}; select fewer series or make the step longer"
        )),
    }
}

fn refused(answer: &Answer) -> Fault {
    let status = answer.status;
    let said = match serde_json::from_slice::<Head>(&answer.body) {
        Ok(said) if !said.error.is_empty() => excerpt(format!("{}: {}", said.kind, said.error).as_bytes()),
        Ok(_) | Err(_) => excerpt(&answer.body),
    };
    let hint = match status {
        300..=399 => "redirects are not followed; name the final URL in the daemon's file",
        400 | 422 => "see the query",
        401 | 403 => "see the credentials in the daemon's file",
        404 => "see the URL in the daemon's file",
        _ => "",
    };
    let parts = [format!("HTTP {status}"), said, hint.to_owned()];
    let shown: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Fault::unavailable(shown.join("; "))
}

/// Points of a query carry the times that we asked for, so a source whose clock runs ahead would pass off old
/// values as fresh ones. Its `Date` shows that.
fn check_clock(answer: &Answer) -> Result<(), Fault> {
    let Some(date_ms) = answer.date_ms else { return Ok(()) };
    let latest = answer.asked_ms.saturating_add_unsigned(answer.took_ms).saturating_add(MAX_SKEW_MS);
    let earliest = answer.asked_ms.saturating_sub(MAX_SKEW_MS + DATE_GRAIN_MS);
    if (earliest..=latest).contains(&date_ms) {
        return Ok(());
    }
    let off_s = date_ms.saturating_sub(answer.asked_ms) / 1_000;
    Err(Fault {
        state: plimsoll_wire::snapshot::SignalState::Skewed,
        detail: format!("the source's clock is {off_s} s off ours; synchronise the clocks"),
    })
}

fn parse(body: &[u8]) -> Result<Envelope, Fault> {
    // Where serde would also take a list of the fields in order, the API never sends one.
    if body.trim_ascii_start().first() != Some(&b'{') {
        let shown = excerpt(body);
        return Err(Fault::malformed(format!("not an answer of the Prometheus API, it begins: {shown}")));
    }
    let head = serde_json::from_slice::<Head>(body);
    if let Ok(said) = &head
        && said.status == "error"
    {
        let shown = excerpt(format!("{}: {}", said.kind, said.error).as_bytes());
        return Err(Fault::unavailable(format!("the source reports an error: {shown}")));
    }
    let mut envelope: Envelope = serde_json::from_slice(body).map_err(|error| {
        let (error, shown) = (excerpt(error.to_string().as_bytes()), excerpt(body));
        Fault::malformed(format!("not an answer of the Prometheus API: {error}; it begins: {shown}"))
    })?;
    if envelope.status != "success" {
        let shown = excerpt(envelope.status.as_bytes());
        return Err(Fault::malformed(format!("unknown status {shown:?}")));
    }
    let warnings = envelope.warnings.get_or_insert_default();
    warnings.retain(|text| !text.trim_start().starts_with(ABOUT_THE_QUERY));
    // Where its head cannot be read, nobody can say that it is whole.
    if head.map_or(true, |said| said.tells_of_missing_parts()) {
        warnings.push("its answer is not whole (isPartial)".to_owned());
    }
    Ok(envelope)
}

fn series(question: &Question, data: Data) -> Result<Vec<Series>, Fault> {
    let all: Vec<Series> = match (data, question.window_ms) {
        (Data::Vector(vector), 0) => vector
            .into_iter()
            .map(|one| one.into_inner())
            .map(|(labels, at)| Series::new(labels, &[at]))
            .collect(),
        (Data::Scalar(sample), 0) => vec![Series::new(HashMap::new(), &[sample])],
        (Data::Matrix(matrix), 1..) => matrix
            .into_iter()
            .map(|one| one.into_inner())
            .map(|(labels, at)| Series::new(labels, &at))
            .collect(),
        (Data::Matrix(_), 0) => {
            return Err(Fault::malformed(
                "the result is a matrix, wanted one value; take rate() or last_over_time()",
            ));
        }
        (Data::Vector(_) | Data::Scalar(_), 1..) => {
            return Err(Fault::malformed("the result is not a matrix, though a window was asked for"));
        }
    };
    match all.iter().find(|one| !one.is_ascending()) {
        Some(one) => Err(Fault::malformed(format!("points of {} are out of order", one.shown()))),
        None => Ok(all),
    }
}

impl Series {
    fn new(labels: HashMap<String, String>, samples: &[Sample]) -> Self {
        // The cast saturates, and a time out of range is then refused as one from the future or from long ago.
        #[expect(clippy::cast_possible_truncation, reason = "saturates")]
        let points =
            samples.iter().map(|at| ((at.timestamp() * 1_000.0).round() as i64, at.value())).collect();
        Self { labels, points }
    }

    fn is_ascending(&self) -> bool {
        self.points.is_sorted_by(|a, b| a.0 < b.0)
    }

    /// The labels for people, sorted.
    pub(super) fn shown(&self) -> String {
        let mut labels: Vec<String> =
            self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        labels.sort_unstable();
        excerpt(format!("{{{}}}", labels.join(",")).as_bytes())
    }
}
