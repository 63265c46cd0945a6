//! How the members of any system are reached: one set of settings for all kinds. It stands in the daemon's file, never in
//! a target's document (D12).

use anyhow::Context as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long one member may take to answer, where the owner says nothing. Well below the shortest step of the loop, well
/// above an election (a second by most systems' defaults).
pub const READ_DEADLINE: Duration = Duration::from_secs(2);
/// The longest file with a password that is read.
const PASSWORD_BYTES: usize = 4096;

/// How the members of one system are reached. Their addresses come from the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// A PEM file with the authorities' certificates; with it, TLS is used.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key.
    pub identity: Option<ClientIdentity>,
    /// A user and the file with the password.
    pub login: Option<Login>,
    /// How long one member may take to answer a reading, everything included.
    pub deadline: Duration,
    /// Where members are reached that are pods, by purpose, with blanks to be filled in.
    pub endpoints: BTreeMap<String, String>,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            ca_file: None,
            identity: None,
            login: None,
            deadline: READ_DEADLINE,
            endpoints: BTreeMap::new(),
        }
    }
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The PEM file with the certificate.
    pub cert_file: PathBuf,
    /// The PEM file with the key.
    pub key_file: PathBuf,
}

/// A user and the file with the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub username: String,
    /// The file with the password; white space at its end is ignored.
    pub password_file: PathBuf,
}

impl Login {
    /// The password. It is read at each use, so that a rotated one is taken up.
    ///
    /// # Errors
    /// When the file cannot be read, or is too long for a password.
    pub fn password(&self) -> anyhow::Result<String> {
        let path = &self.password_file;
        let text = std::fs::read_to_string(path).with_context(|| reading("passwordFile", path))?;
        anyhow::ensure!(
            text.len() <= PASSWORD_BYTES,
            "`passwordFile` {} is longer than 4 KiB",
            path.display()
        );
        Ok(text.trim_end().to_owned())
    }
}

/// The files of a connection, read.
#[derive(Debug)]
pub struct Pems {
    /// The authorities' certificates.
    pub ca: Vec<u8>,
    /// Our certificate and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Connection {
    /// The certificates, read at each use, so that rotated ones are taken up; none where TLS is not used.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn pems(&self) -> anyhow::Result<Option<Pems>> {
        let Some(ca) = &self.ca_file else { return Ok(None) };
        let read = |key, path: &Path| std::fs::read(path).with_context(|| reading(key, path));
        let identity = match &self.identity {
            Some(identity) => {
                Some((read("certFile", &identity.cert_file)?, read("keyFile", &identity.key_file)?))
            }
            None => None,
        };
        Ok(Some(Pems { ca: read("caFile", ca)?, identity }))
    }

    /// What TLS is set up with; none where TLS is not used. The files are read at each use.
    ///
    /// # Errors
    /// When a file cannot be read, or does not hold what it should.
    pub fn tls(&self) -> anyhow::Result<Option<rustls::ClientConfig>> {
        self.pems()?.as_ref().map(tls).transpose()
    }
}

fn tls(pems: &Pems) -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(&pems.ca).context("`caFile`")? {
        roots.add(certificate).context("`caFile`")?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let Some((chain, key)) = &pems.identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(chain).context("`certFile`")?;
    let key = PrivateKeyDer::from_pem_slice(key).context("`keyFile`")?;
    Ok(builder.with_client_auth_cert(chain, key)?)
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    anyhow::ensure!(!found.is_empty(), "it holds no certificate");
    Ok(found)
}

fn reading(key: &str, path: &Path) -> String {
    format!("reading `{key}` {}", path.display())
}

/// How a kind of system is reached.
#[derive(Debug)]
pub struct Reach {
    /// An entry of `systems` in the daemon's file, for the reference.
    pub example: &'static str,
    /// What its members listen for. The first is what the daemon itself connects to.
    pub purposes: &'static [Purpose],
}

/// One thing that a member listens for.
#[derive(Debug)]
pub struct Purpose {
    /// The key of its address: `client`, `peer`.
    pub word: &'static str,
    /// What an address begins with: without TLS and with it.
    pub schemes: [&'static str; 2],
    /// The usual port.
    pub port: u16,
    /// Whether the address must outlive its pod, as one has to that other members remember.
    pub lasting: bool,
}
