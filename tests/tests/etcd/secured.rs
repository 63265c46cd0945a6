//! The etcd driver with TLS and with etcd's authentication, against real members.

use anyhow::Context as _;
use plimsoll::systems::System as _;
use plimsoll::systems::connection::{ClientIdentity, Connection, Login};
use plimsoll::systems::etcd::Etcd;
use plimsoll_core::observation::{PlatformReport, Reading, Slot, Source, SystemReport};
use plimsoll_tests::etcd::{PATIENCE, Rig, connect};
use plimsoll_tests::process::{Ports, Process, wait_until};
use plimsoll_wire::fact::{Authority, Gap};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// A platform with one slot.
fn platform(client: &str, peer: &str) -> PlatformReport {
    let source = Source::new(Authority::Platform, "test", 0);
    let endpoints =
        BTreeMap::from([("client".to_owned(), client.to_owned()), ("peer".to_owned(), peer.to_owned())]);
    let slot = Slot {
        slot: "e1".into(),
        endpoints,
        running: true,
        incarnation: "1".to_owned(),
        domain: Reading::default(),
        marker: Reading::default(),
    };
    PlatformReport { slots: source.tells(vec![slot]), ..PlatformReport::default() }
}

/// The reason why nothing was read, and the words with it.
fn missing(report: &SystemReport) -> Option<(&Gap, &str)> {
    match &report.fingerprint {
        Reading::Gap { reason, detail } => Some((reason, detail)),
        Reading::Value { .. } | Reading::NotApplicable => None,
    }
}

fn openssl(folder: &Path, arguments: &str) -> anyhow::Result<()> {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .context("running openssl")?;
    anyhow::ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// An authority `<name>-ca`, and a certificate of its for these names, usable on both ends.
fn certificates(folder: &Path, name: &str, names: &str) -> anyhow::Result<()> {
    std::fs::write(folder.join("extensions"), format!("subjectAltName={names}\n"))?;
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        folder,
        &format!("req -x509 {key} -days 2 -subj /CN={name}-ca -keyout {name}-ca.key -out {name}-ca.pem"),
    )?;
    openssl(folder, &format!("req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr"))?;
    openssl(
        folder,
        &format!(
            "x509 -req -in {name}.csr -CA {name}-ca.pem -CAkey {name}-ca.key -CAcreateserial -days 2 \
             -extfile extensions -out {name}.pem"
        ),
    )
}

/// The names of whoever is reached by its address.
const THIS_MACHINE: &str = "IP:127.0.0.1,DNS:localhost";

/// A member with the certificate `ours`, which wants the same of its clients; its addresses for clients and members.
fn start(folder: &Path) -> anyhow::Result<(Process, String, String)> {
    let mut ports = Ports::reserve()?;
    let (client, peer) = (ports.take()?, ports.take()?);
    let (client, peer) = (format!("https://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let mut command = Command::new("etcd");
    command
        .args(["--name", "e1", "--data-dir", "data", "--initial-cluster", &format!("e1={peer}")])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--cert-file", "ours.pem", "--key-file", "ours.key"])
        .args(["--client-cert-auth", "--trusted-ca-file", "ours-ca.pem"])
        .current_dir(folder);
    Ok((Process::start(&mut command, &folder.join("log"))?, client, peer))
}

/// What a client of that member has.
fn ours(folder: &Path) -> Connection {
    Connection {
        ca_file: Some(folder.join("ours-ca.pem")),
        identity: Some(identity(folder, "ours")),
        ..Connection::default()
    }
}

fn identity(folder: &Path, name: &str) -> ClientIdentity {
    let file = |end: &str| folder.join(format!("{name}.{end}"));
    ClientIdentity { cert_file: file("pem"), key_file: file("key") }
}

/// The same platform, whose slot has to prove a name.
fn named(client: &str, peer: &str, name: &str) -> PlatformReport {
    let mut report = platform(client, peer);
    if let Reading::Value { value, .. } = &mut report.slots {
        for slot in value {
            slot.endpoints.insert("serverName".to_owned(), name.to_owned());
        }
    }
    report
}

/// A pod's certificate bears its stable name and no address. Whoever has its address now has to prove that name.
#[tokio::test]
async fn a_member_proves_its_stable_name_whatever_its_address() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    certificates(folder.path(), "ours", "DNS:etcd-0.etcd.shop.svc")?;
    let (server, client, peer) = start(folder.path())?;
    let driver = Etcd::new(ours(folder.path()));
    let read = wait_until("a reading by the stable name", PATIENCE, async || {
        let report = driver.observe(&named(&client, &peer, "etcd-0.etcd.shop.svc")).await;
        anyhow::ensure!(missing(&report).is_none(), "{report:#?}");
        Ok(())
    });
    read.await.with_context(|| server.tail())?;

    let another = driver.observe(&named(&client, &peer, "etcd-1.etcd.shop.svc")).await;
    assert!(matches!(missing(&another), Some((Gap::Error, _))), "another pod at its address: {another:#?}");
    let by_address = driver.observe(&platform(&client, &peer)).await;
    assert!(matches!(missing(&by_address), Some((Gap::Error, _))), "an address is proved: {by_address:#?}");
    Ok(())
}

#[tokio::test]
async fn reads_over_tls_with_the_right_certificates_only() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    certificates(folder.path(), "ours", THIS_MACHINE)?;
    certificates(folder.path(), "other", THIS_MACHINE)?;
    let (server, client, peer) = start(folder.path())?;
    let path = |name: &str| Some(folder.path().join(name));
    let right = ours(folder.path());
    let driver = Etcd::new(right.clone());
    // An endpoint without a scheme is `https` where there is a `ca`.
    let bare = client.trim_start_matches("https://");
    for endpoint in [client.as_str(), bare] {
        let read = wait_until("a reading over TLS", PATIENCE, async || {
            let report = driver.observe(&platform(endpoint, &peer)).await;
            anyhow::ensure!(missing(&report).is_none(), "{report:#?}");
            Ok(())
        });
        read.await.with_context(|| server.tail())?;
    }

    let wrong = [
        ("nothing", Connection::default()),
        ("no certificate of the client", Connection { identity: None, ..right.clone() }),
        (
            "a certificate of the client that is not trusted",
            Connection { identity: Some(identity(folder.path(), "other")), ..right.clone() },
        ),
        ("another authority for the server", Connection { ca_file: path("other-ca.pem"), ..right.clone() }),
        ("a file that is not there", Connection { ca_file: path("absent.pem"), ..right }),
    ];
    for (what, config) in wrong {
        let report = Etcd::new(config).observe(&platform(&client, &peer)).await;
        let missing = missing(&report);
        assert!(matches!(missing, Some((Gap::Error, detail)) if !detail.is_empty()), "{what}: {missing:?}");
    }
    Ok(())
}

#[tokio::test]
async fn reads_with_the_right_password_only() -> anyhow::Result<()> {
    let rig = Rig::start(1, 1).await?;
    let endpoint = rig.endpoint("e1")?;
    let auth = connect(std::slice::from_ref(&endpoint)).await?.auth_client();
    auth.clone().user_add("root", "secret", None).await?;
    auth.clone().user_grant_role("root", "root").await?;
    auth.clone().auth_enable().await?;

    let password_file = rig.home().join("password");
    std::fs::write(&password_file, "secret\n")?;
    let config = Connection {
        login: Some(Login { username: "root".to_owned(), password_file: password_file.clone() }),
        ..Connection::default()
    };
    let platform = platform(&endpoint, "http://127.0.0.1:1");
    let driver = Etcd::new(config);
    let report = driver.observe(&platform).await;
    assert_eq!(missing(&report), None);

    // The file is read again each time.
    std::fs::write(&password_file, "wrong\n")?;
    let report = driver.observe(&platform).await;
    assert_eq!(
        missing(&report),
        Some((
            &Gap::Error,
            "no member answered: e1: etcdserver: authentication failed, invalid user ID or password"
        ))
    );
    // Without a user the state is told, the membership is not.
    let report = Etcd::new(Connection::default()).observe(&platform).await;
    assert!(matches!(missing(&report), Some((Gap::Partial { got: 0, want: 1 }, _))), "{report:#?}");
    Ok(())
}
