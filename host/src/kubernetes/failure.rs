//! Decides what an answer of the API server means, one row of the table of faults after the other. Pure.

use serde_json::Value;
use std::time::Duration;

/// The most bytes that are kept of what a server says.
const MAX_MESSAGE: usize = 1024;

/// Why there is no answer to build on. All but [`Failure::Unknown`] say for certain that nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// There is no such object.
    #[error("not found: {message}")]
    NotFound {
        /// In the server's words.
        message: String,
    },
    /// The object changed since it was read, is another one, or is there already. It is observed again and never
    /// sent again as it is.
    #[error("conflict: {message}")]
    Conflict {
        /// In the server's words.
        message: String,
    },
    /// We may not do this. That says nothing about what is there: forbidden is not empty.
    #[error("forbidden: {message}; hint: give the daemon's identity this right")]
    Forbidden {
        /// In the server's words.
        message: String,
    },
    /// The server does not know us.
    #[error("unauthorized: {message}; hint: renew the daemon's credentials")]
    Unauthorized {
        /// In the server's words.
        message: String,
    },
    /// The server has too much to do.
    #[error("too many requests: {message}")]
    Busy {
        /// For how long it wants to be left alone.
        retry_after: Option<Duration>,
        /// In the server's words.
        message: String,
    },
    /// A webhook, a policy or a quota said no.
    #[error("denied: {message}")]
    Denied {
        /// In the server's words.
        message: String,
    },
    /// The server does not take the request as it is.
    #[error("invalid: {message}")]
    Invalid {
        /// In the server's words.
        message: String,
    },
    /// The read has to start over: a page of the list has expired.
    #[error("expired: {message}")]
    Expired {
        /// In the server's words.
        message: String,
    },
    /// The server has not yet seen what another one has told us.
    #[error("the server is behind: {message}")]
    Behind {
        /// In the server's words.
        message: String,
    },
    /// Nothing was sent.
    #[error("not sent: {message}")]
    NotSent {
        /// Why.
        message: String,
    },
    /// Nobody knows: a time-out, a lost connection, a server in trouble, an answer that is none. A write may have
    /// been carried out, or may be yet.
    #[error("unknown: {message}")]
    Unknown {
        /// What happened.
        message: String,
    },
}

impl Failure {
    /// The stable word for metrics, records and docs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not-found",
            Self::Conflict { .. } => "conflict",
            Self::Forbidden { .. } => "forbidden",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Busy { .. } => "busy",
            Self::Denied { .. } => "denied",
            Self::Invalid { .. } => "invalid",
            Self::Expired { .. } => "expired",
            Self::Behind { .. } => "behind",
            Self::NotSent { .. } => "not-sent",
            Self::Unknown { .. } => "unknown",
        }
    }

    pub(super) fn unknown(message: impl AsRef<str>) -> Self {
        Self::Unknown { message: clipped(message.as_ref()) }
    }

    pub(super) fn not_sent(message: impl AsRef<str>) -> Self {
        Self::NotSent { message: clipped(message.as_ref()) }
    }
}

/// One answer as it came over the wire.
pub(super) struct Answered<'a> {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: &'a [u8],
}

/// What an answer means.
pub(super) fn of_answer(answered: &Answered) -> Result<Value, Failure> {
    let document: Option<Value> = serde_json::from_slice(answered.body).ok();
    if (200..300).contains(&answered.status) {
        // Carried out, and yet nobody can say what: the object is read.
        return document
            .filter(Value::is_object)
            .ok_or_else(|| Failure::unknown("an answer that is no object"));
    }
    let status = document.unwrap_or_default();
    let said = status["message"].as_str().map_or_else(|| String::from_utf8_lossy(answered.body), Into::into);
    let message = clipped(&format!("{}: {said}", answered.status));
    let refused_by_admission = is_denial(&said);
    Err(match answered.status {
        401 => Failure::Unauthorized { message },
        403 if refused_by_admission || is_policy(&said) => Failure::Denied { message },
        403 => Failure::Forbidden { message },
        // Without a name it is the kind that is not known there, which says nothing about objects.
        404 if status["details"]["name"].is_string() => Failure::NotFound { message },
        409 => Failure::Conflict { message },
        410 => Failure::Expired { message },
        429 => Failure::Busy { retry_after: answered.retry_after, message },
        400..=499 if refused_by_admission => Failure::Denied { message },
        // The request was cut short on its way or took too long: some of it may have been understood.
        408 => Failure::Unknown { message },
        400..=499 => Failure::Invalid { message },
        504 if is_too_new(&status) => Failure::Behind { message },
        _ => Failure::Unknown { message },
    })
}

/// Webhooks choose their own status; these words are put before theirs by the API server.
fn is_denial(said: &str) -> bool {
    (said.starts_with("admission webhook ") || said.contains("ValidatingAdmissionPolicy '"))
        && said.contains("denied")
}

/// What is forbidden by a quota or a standard and not for want of a right: only the latter says "cannot".
fn is_policy(said: &str) -> bool {
    said.contains(" is forbidden: ") && !said.contains(" cannot ")
}

fn is_too_new(status: &Value) -> bool {
    let causes = status["details"]["causes"].as_array().map_or(&[][..], Vec::as_slice);
    causes.iter().any(|cause| cause["reason"] == "ResourceVersionTooLarge")
}

/// Foreign text for a message: escaped and cut.
pub(super) fn clipped(text: &str) -> String {
    let mut out = String::new();
    for part in text.trim().chars() {
        if out.len() + part.len_utf8() > MAX_MESSAGE {
            out.push('…');
            break;
        }
        if part.is_control() { out.extend(part.escape_default()) } else { out.push(part) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn meaning(status: u16, body: &str) -> Result<Value, Failure> {
        of_answer(&Answered { status, retry_after: Some(Duration::from_secs(2)), body: body.as_bytes() })
    }

    fn kind(status: u16, message: &str) -> &'static str {
        meaning(status, &json!({ "kind": "Status", "message": message }).to_string()).unwrap_err().kind()
    }

    #[test]
    fn an_unknown_kind_is_not_a_missing_object() {
        let body = json!({ "reason": "NotFound", "message": "no such object", "details": { "name": "db" } });
        assert_eq!(meaning(404, &body.to_string()).unwrap_err().kind(), "not-found");
        assert_eq!(meaning(404, "404 page not found").unwrap_err().kind(), "invalid");
        assert_eq!(kind(404, "the server could not find the requested resource"), "invalid");
    }

    #[test]
    fn every_row_of_the_table_has_its_meaning() {
        let rbac = "statefulsets.apps \"db\" is forbidden: User \"plimsoll\" cannot patch resource \"statefulsets/scale\"";
        let quota = "pods \"db-3\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=3";
        let webhook = "admission webhook \"shrink.plimsoll.dev\" denied the request: wish it elsewhere";
        let policy = "statefulsets.apps \"db\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no";
        let rows = [
            (400, "nonsense", "invalid"),
            (400, webhook, "denied"),
            (401, "Unauthorized", "unauthorized"),
            (403, rbac, "forbidden"),
            (403, "", "forbidden"),
            (403, quota, "denied"),
            (403, webhook, "denied"),
            (403, policy, "denied"),
            (405, "no", "invalid"),
            (408, "slow", "unknown"),
            (409, "the object has been modified", "conflict"),
            (410, "The provided continue parameter is too old", "expired"),
            (415, "no", "invalid"),
            (422, "spec.replicas: Invalid value", "invalid"),
            (422, policy, "denied"),
            (429, "slow down", "busy"),
            (302, "elsewhere", "unknown"),
            (500, "failed calling webhook", "unknown"),
            (502, "bad gateway", "unknown"),
            (503, "etcdserver: leader changed", "unknown"),
            (504, "request did not complete", "unknown"),
        ];
        let got: Vec<_> =
            rows.iter().map(|(status, message, _)| (*status, *message, kind(*status, message))).collect();
        assert_eq!(got, rows);
    }

    #[test]
    fn a_page_of_a_proxy_is_told_from_an_answer_and_never_taken_for_one() {
        assert_eq!(meaning(200, "<html>login</html>").unwrap_err().kind(), "unknown");
        assert_eq!(meaning(200, "[]").unwrap_err().kind(), "unknown");
        assert_eq!(meaning(200, r#"{"kind":"Pod""#).unwrap_err().kind(), "unknown");
        assert_eq!(meaning(403, "<html>").unwrap_err().kind(), "forbidden");
        assert_eq!(meaning(201, r#"{"a":1}"#).unwrap(), json!({ "a": 1 }));
    }

    #[test]
    fn a_server_that_is_behind_is_told_from_one_that_is_slow() {
        let body = json!({ "reason": "Timeout", "message": "Too large resource version: 9, current: 7",
            "details": { "causes": [{ "reason": "ResourceVersionTooLarge" }] } });
        assert_eq!(meaning(504, &body.to_string()).unwrap_err().kind(), "behind");
    }

    #[test]
    fn what_a_server_says_is_cut_and_cannot_forge_lines() {
        let long = format!("admission webhook \"x\" denied the request: a\nb {}", "é".repeat(2000));
        let Err(Failure::Denied { message }) = meaning(403, &json!({ "message": long }).to_string()) else {
            panic!("not a denial");
        };
        assert!(message.len() <= MAX_MESSAGE + '…'.len_utf8() && message.contains("a\\nb"), "{message}");
        assert!(message.ends_with('…'), "{message}");
    }
}
