//! TLS and a password, with the role that the documentation describes.

use crate::subject::{Subject, detail};
use plimsoll::systems::System as _;
use plimsoll::systems::connection::{Connection, Login};
use plimsoll_tests::driven::Driven as _;
use plimsoll_tests::postgres::{Rig, put};
use plimsoll_wire::journal::SystemVerb;
use std::path::PathBuf;

struct Secrets {
    ca: PathBuf,
    password: PathBuf,
}

/// A certificate authority, a certificate for the members' address in every data directory, and the role's password.
async fn secure(rig: &Rig, slots: &[&str]) -> anyhow::Result<Secrets> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key)?;
    let issuer = rcgen::Issuer::new(params, key);
    let own_key = rcgen::KeyPair::generate()?;
    let own = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&own_key, &issuer)?;
    let secrets = Secrets { ca: rig.home().join("ca.pem"), password: rig.home().join("password") };
    std::fs::write(&secrets.ca, authority.pem())?;
    std::fs::write(&secrets.password, "a 'secret'\n")?;
    rig.order("p1", &["ALTER ROLE plimsoll PASSWORD 'a ''secret'''"]).await?;
    for slot in slots {
        put(&rig.data(slot).join("server.crt"), &own.pem())?;
        put(&rig.data(slot).join("server.key"), &own_key.serialize_pem())?;
        let rules = "hostssl all plimsoll 127.0.0.1/32 scram-sha-256\nhost all plimsoll 127.0.0.1/32 reject\n\
                     host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n";
        put(&rig.data(slot).join("pg_hba.conf"), rules)?;
        rig.order(slot, &["ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"]).await?;
    }
    Ok(secrets)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_no_superuser_reads_and_acts_over_tls_with_a_password() -> anyhow::Result<()> {
    let rig = Rig::start(2, 3).await?;
    let secrets = secure(&rig, &["p1", "p2"]).await?;
    assert_eq!(rig.ask("p1", "SELECT rolsuper FROM pg_roles WHERE rolname = 'plimsoll'").await?, "f");
    let login = Login { username: "plimsoll".to_owned(), password_file: secrets.password.clone() };
    let config =
        Connection { ca_file: Some(secrets.ca.clone()), login: Some(login), ..Connection::default() };
    let subject = Subject::with(rig, config.clone());
    subject.serving("p2").await?;
    subject.grow("p3").await?;
    subject.applied(SystemVerb::Cordon { member: "p3".into() }).await?;
    subject.rig.remove("p3")?;
    subject.applied(SystemVerb::PayDebt { member: "p3".into(), kind: "replication-slot".to_owned() }).await?;
    let ssl = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'plimsoll' AND NOT ssl";
    assert_eq!(subject.rig.ask("p1", ssl).await?, "0");

    // Another authority's members are nobody's.
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
    std::fs::write(&secrets.ca, other.cert.pem())?;
    let why = detail(&subject.observe().await?.members);
    assert!(why.contains("p1: ") && why.contains("certificate"), "{why}");
    std::fs::write(&secrets.password, "wrong")?;
    let open = Subject::with(subject.rig, Connection { ca_file: None, ..config });
    let why = detail(&open.observe().await?.members);
    assert!(why.contains("rejects connection"), "{why}");
    Ok(())
}

#[tokio::test]
async fn a_password_goes_nowhere_in_the_clear() -> anyhow::Result<()> {
    let rig = Rig::prepare(1)?;
    std::fs::write(rig.home().join("password"), "secret")?;
    let login = Login { username: "plimsoll".to_owned(), password_file: rig.home().join("password") };
    let config = Connection { login: Some(login), ..Connection::default() };
    let subject = Subject::with(rig, config);
    let mut platform = subject.platform()?;
    let mut vacant = platform.vacant.value().expect("one place").first().expect("p1").clone();
    vacant.endpoints.insert("client".to_owned(), "192.0.2.1:5432".to_owned());
    let source = plimsoll_core::observation::Source::new(plimsoll_wire::fact::Authority::Platform, "rig", 0);
    platform.slots = source.tells(vec![plimsoll_core::observation::Slot {
        slot: vacant.slot,
        endpoints: vacant.endpoints,
        running: true,
        incarnation: "1".to_owned(),
        domain: vacant.domain,
        marker: vacant.marker,
    }]);
    platform.vacant = source.tells(Vec::new());
    let why = detail(&subject.driver.observe(&platform).await.members);
    assert!(why.contains("`passwordFile` needs `caFile`"), "{why}");
    Ok(())
}
