//! TLS and a password, with the user that the documentation describes.

use crate::subject::{Subject, cordon, detail, uncordon};
use plimsoll::systems::System as _;
use plimsoll::systems::connection::{Connection, Login};
use plimsoll_core::observation::{PlatformReport, Slot, Source};
use plimsoll_tests::driven::Driven as _;
use plimsoll_tests::redis::Rig;
use plimsoll_wire::fact::Authority;
use std::path::PathBuf;

const PASSWORD: &str = "a 'secret'";
/// What the user of `docs/redis.md` may do.
const RIGHTS: [&str; 8] =
    ["+select", "+info", "+cluster", "+config|get", "+config|set", "+migrate", "+restore-asking", "+asking"];

struct Secrets {
    ca: PathBuf,
    password: PathBuf,
}

/// A certificate authority, a port with TLS on every node, and the user with its password.
async fn secure(rig: &mut Rig, slots: &[&str]) -> anyhow::Result<(Secrets, Vec<u16>)> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key)?;
    let issuer = rcgen::Issuer::new(params, key);
    let own_key = rcgen::KeyPair::generate()?;
    let own = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&own_key, &issuer)?;
    let secrets = Secrets { ca: rig.home().join("ca.pem"), password: rig.home().join("password") };
    let at = |name: &str| rig.home().join(name).to_string_lossy().into_owned();
    let (ca, certificate, private) = (at("ca.pem"), at("server.crt"), at("server.key"));
    std::fs::write(&ca, authority.pem())?;
    std::fs::write(&certificate, own.pem())?;
    std::fs::write(&private, own_key.serialize_pem())?;
    std::fs::write(&secrets.password, format!("{PASSWORD}\n"))?;
    let mut ports = Vec::new();
    for slot in slots {
        let port = rig.take_port()?;
        let tls = [
            "CONFIG",
            "SET",
            "tls-cert-file",
            &certificate,
            "tls-key-file",
            &private,
            "tls-ca-cert-file",
            &ca,
            "tls-auth-clients",
            "no",
            "tls-port",
            &port.to_string(),
        ];
        rig.ask::<()>(slot, &tls).await?;
        let password = format!(">{PASSWORD}");
        let user = [&["ACL", "SETUSER", "plimsoll", "on", &password, "~*"], &RIGHTS[..]].concat();
        rig.ask::<()>(slot, &user).await?;
        ports.push(port);
    }
    Ok((secrets, ports))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_few_rights_reads_and_acts_over_tls_with_a_password() -> anyhow::Result<()> {
    let mut rig = Rig::start(3, 6)?;
    let (secrets, ports) = secure(&mut rig, &["p1", "p2", "p3", "p4", "p5", "p6"]).await?;
    let login = Login { username: "plimsoll".to_owned(), password_file: secrets.password.clone() };
    let config =
        Connection { ca_file: Some(secrets.ca.clone()), login: Some(login), ..Connection::default() };
    let mut subject = Subject::with(rig, config.clone());
    subject.clients = ports;
    subject.observe_until("all is read", |report| report.shards.value().is_some()).await?;
    let (giver, taker) = (subject.rig.id("p1").await?, subject.rig.id("p3").await?);
    subject.applied(cordon(&giver)).await?;
    subject.rig.fill(7, 9, 10).await?;
    subject.rig.ask::<()>("p3", &["CLUSTER", "SETSLOT", "7", "IMPORTING", &giver]).await?;
    subject.rig.ask::<()>("p1", &["CLUSTER", "SETSLOT", "7", "MIGRATING", &taker]).await?;
    // The keys move, and the nodes log in to each other.
    subject.applied(uncordon(&giver)).await?;
    let left: u64 = subject.rig.ask("p1", &["CLUSTER", "COUNTKEYSINSLOT", "7"]).await?;
    assert_eq!((left, subject.rig.keys(7).await?), (0, 9));

    std::fs::write(&secrets.password, "wrong")?;
    let why = detail(&subject.observe().await?.members);
    assert!(why.contains("no node answers"), "{why}");
    // Another authority's nodes are nobody's.
    std::fs::write(&secrets.password, PASSWORD)?;
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
    std::fs::write(&secrets.ca, other.cert.pem())?;
    let why = detail(&subject.observe().await?.members);
    assert!(why.contains("certificate"), "{why}");
    Ok(())
}

#[tokio::test]
async fn a_password_goes_nowhere_in_the_clear() -> anyhow::Result<()> {
    let rig = Rig::prepare(1)?;
    std::fs::write(rig.home().join("password"), "secret")?;
    let login = Login { username: "plimsoll".to_owned(), password_file: rig.home().join("password") };
    let subject = Subject::with(rig, Connection { login: Some(login), ..Connection::default() });
    let source = Source::new(Authority::Platform, "rig", 0);
    let slot = Slot {
        slot: "p1".into(),
        endpoints: [("client".to_owned(), "192.0.2.1:6379".to_owned())].into(),
        running: true,
        incarnation: "1".to_owned(),
        domain: source.tells("a".to_owned()),
        marker: plimsoll_core::observation::Reading::default(),
    };
    let platform = PlatformReport { slots: source.tells(vec![slot]), ..PlatformReport::default() };
    let why = detail(&subject.driver.observe(&platform).await.members);
    assert!(why.contains("`passwordFile` needs `caFile`"), "{why}");
    Ok(())
}
