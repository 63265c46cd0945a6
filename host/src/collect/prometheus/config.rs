//! What the daemon's file says of a source.

use std::path::PathBuf;
use std::time::Duration;

/// Slower than this is of no use to a cycle.
pub const MAX_DEADLINE: Duration = Duration::from_secs(30);
/// More than this is never one target's signal.
const MAX_BODY_BYTES: usize = 16 << 20;

/// A source, as the daemon's file describes it (`decisions.md` D12: URLs and credentials live only there).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// The name that targets use.
    pub name: String,
    /// Its base URL, `http` or `https`; `/api/v1/...` is appended.
    pub url: String,
    /// Who we are to it.
    pub credentials: Credentials,
    /// The only certificates trusted for it, in PEM; without it the system's. Read once, when the source is built.
    pub ca_file: Option<PathBuf>,
    /// For a connection to stand.
    pub connect_timeout: Duration,
    /// For a whole answer, connecting included.
    pub deadline: Duration,
    /// Bytes of an answer's body, at most.
    pub max_body_bytes: usize,
}

/// Who we are to a source. Files are read for every request, so that a rotated secret is taken up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody.
    #[default]
    None,
    /// The holder of a token.
    Bearer {
        /// A file with the token, white space around it ignored.
        file: PathBuf,
    },
    /// A user with a password.
    Basic {
        /// The user.
        username: String,
        /// A file with the password, white space around it ignored.
        password_file: PathBuf,
    },
}

impl SourceConfig {
    /// A source with the defaults: 2 s to connect, 5 s in all, 1 MiB, no credentials, the system's certificates.
    #[must_use]
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            credentials: Credentials::None,
            ca_file: None,
            connect_timeout: Duration::from_secs(2),
            deadline: Duration::from_secs(5),
            max_body_bytes: 1 << 20,
        }
    }

    /// Warnings for `check`: what works and should not stay so.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let is_plain = self.url.starts_with("http://");
        let host = self.url.trim_start_matches("http://").split(['/', ':']).next().unwrap_or_default();
        let is_local = matches!(host, "127.0.0.1" | "localhost" | "[");
        if is_plain && !is_local && self.credentials != Credentials::None {
            return vec![format!("source {}: credentials go to {host} in the clear; use https", self.name)];
        }
        Vec::new()
    }

    /// The URL in the form that the client takes, if all of this can be used.
    pub(super) fn checked_url(&self) -> Result<reqwest::Url, CollectError> {
        let refuse = |problem: String| CollectError::Config { source_name: self.name.clone(), problem };
        let url = reqwest::Url::parse(self.url.trim_end_matches('/'))
            .map_err(|error| refuse(format!("url: {error}; write it like http://127.0.0.1:9090")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("url: must begin with http:// or https://".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("url: holds credentials; put them into a file and name it".to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("url: must end with the path".to_owned()));
        }
        if self.deadline.is_zero() || self.deadline > MAX_DEADLINE || self.connect_timeout.is_zero() {
            return Err(refuse(format!(
                "deadline: must be above 0 and at most {} s",
                MAX_DEADLINE.as_secs()
            )));
        }
        if !(1..=MAX_BODY_BYTES).contains(&self.max_body_bytes) {
            return Err(refuse(format!("maxBodyBytes: must be between 1 and {MAX_BODY_BYTES}")));
        }
        Ok(url)
    }
}

/// Why a source cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// What the daemon's file says cannot be used.
    #[error("source {source_name}: {problem}")]
    Config {
        /// Which source.
        source_name: String,
        /// Which key, what is wrong, what to do.
        problem: String,
    },
    /// The CA file cannot be read.
    #[error("source {source_name}: reading its caFile {}", path.display())]
    CaFile {
        /// Which source.
        source_name: String,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The HTTP client cannot be built, often because of a certificate.
    #[error("source {source_name}: building its HTTP client")]
    Client {
        /// Which source.
        source_name: String,
        /// Why.
        source: reqwest::Error,
    },
}

impl CollectError {
    /// The stable word for metrics, records and docs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Config { .. } => "source-config",
            Self::CaFile { .. } => "source-ca-file",
            Self::Client { .. } => "source-client",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_cannot_be_a_source() {
        for (url, word) in [
            ("127.0.0.1:9090", "url"),
            ("ftp://host/", "http"),
            ("http://me:secret@host", "credentials"),
            ("http://host/?a=b", "path"),
            ("", "url"),
        ] {
            let refused = SourceConfig::new("main", url).checked_url().expect_err(url).to_string();
            assert!(refused.contains(word) && !refused.contains("secret"), "{url}: {refused}");
        }
    }

    #[test]
    fn refuses_limits_beyond_the_ceilings() {
        let mut config = SourceConfig::new("main", "http://host");
        config.deadline = Duration::from_secs(31);
        assert!(config.checked_url().is_err());
        let mut config = SourceConfig::new("main", "http://host");
        config.max_body_bytes = MAX_BODY_BYTES + 1;
        assert!(config.checked_url().is_err());
    }

    #[test]
    fn warns_of_credentials_in_the_clear() {
        let with = |url: &str| SourceConfig {
            credentials: Credentials::Bearer { file: PathBuf::from("token") },
            ..SourceConfig::new("main", url)
        };
        assert_eq!(with("http://metrics.example:9090/").warnings().len(), 1);
        assert_eq!(with("https://metrics.example").warnings(), Vec::<String>::new());
        assert_eq!(with("http://127.0.0.1:9090").warnings(), Vec::<String>::new());
        assert_eq!(SourceConfig::new("main", "http://metrics.example").warnings(), Vec::<String>::new());
    }

    #[test]
    fn takes_a_url_with_a_path_and_a_slash() {
        let url = SourceConfig::new("main", "https://host/prometheus/").checked_url().expect("a good URL");
        assert_eq!(url.as_str(), "https://host/prometheus");
    }
}
