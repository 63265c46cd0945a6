//! A real PostgreSQL in the pods of a StatefulSet, in a namespace of the test's own.

use super::places::{Place, Places};
use super::{session, values};
use crate::chart::printed_by;
use crate::cluster::Namespace;
use crate::daemon::Daemon;
use crate::document::{self, Document};
use crate::example::example;
use crate::kube::follower::FollowedPods;
use crate::process::wait_until;
use anyhow::Context as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Pods take their time on a busy machine; a wait ends as soon as it can.
pub const PATIENCE: Duration = Duration::from_secs(240);

const PORT: u16 = 5432;
const TABLES: &str = "CREATE TABLE kept (id bigint PRIMARY KEY, value text NOT NULL);
     CREATE TABLE page (id int PRIMARY KEY, value text NOT NULL);
     INSERT INTO page SELECT id, repeat('x', 100) FROM generate_series(1, 1000) AS id";

/// The PostgreSQL, with what follows its pods. It goes with its namespace.
#[derive(Debug)]
pub struct PostgresPods {
    pods: FollowedPods,
}

impl PostgresPods {
    /// Packs the image, and starts a primary with a standby that confirms its commits.
    ///
    /// # Errors
    /// When they do not come up; a user's cluster takes no image from us.
    pub async fn start(namespace: Namespace) -> anyhow::Result<Self> {
        let pods = FollowedPods::of(namespace, "postgres")?;
        let namespace = pods.namespace();
        let image = pods.home().join("postgres.tar");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        printed_by(Command::new(root.join("cluster/postgres-image.sh")).arg(&image), "")
            .context("packing the image")?;
        namespace.cluster().load(&image)?;
        std::fs::remove_file(&image)?;
        let start = format!("--from-file=start={}", root.join("data/cluster/postgres-start").display());
        let roles = format!("--from-file=roles.sql={}", example("postgres/roles.sql").display());
        namespace.kubectl(&["create", "configmap", "postgres", &start, &roles])?;
        namespace.apply(include_str!("../../data/cluster/postgres.yaml"))?;
        let rig = Self { pods };
        rig.followers("postgres-0", 1).await?;
        let primary = session(&rig.place("postgres-0")?, "app").await?;
        primary.batch_execute(TABLES).await?;
        Ok(rig)
    }

    /// Where it is.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        self.pods.namespace()
    }

    /// A daemon for it, between two and four members, whom only a person gives wishes; nothing is started. To be started
    /// where the cluster can be reached.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn daemon(&self) -> anyhow::Result<Daemon> {
        let (namespace, kubeconfig) = (self.namespace().name(), self.namespace().cluster().kubeconfig());
        let file = format!(
            "apiVersion: plimsoll.dev/v1alpha1
kind: DaemonConfig
interval: 2s
http: {{enabled: false}}
kubernetes: {{kubeconfig: {}, namespaces: ['*']}}
systems:
  pods: {{kind: postgres, namespaces: ['*'], deadline: 5s}}
",
            kubeconfig.display()
        );
        let daemon = self.pods.daemon("plimsoll", &file)?;
        daemon.write_target("postgres", &document(namespace))?;
        Ok(daemon)
    }

    /// Where a pod's member is reached, while it has an address.
    ///
    /// # Errors
    /// When it has none.
    pub fn place(&self, pod: &str) -> anyhow::Result<Place> {
        let all = Places::from(self).now();
        all.into_iter().find(|place| place.name == pod).with_context(|| format!("{pod} has no address"))
    }

    /// The one value that a question to a pod's member gives, as its superuser.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ask(&self, pod: &str, question: &str) -> anyhow::Result<String> {
        let client = session(&self.place(pod)?, "postgres").await?;
        Ok(values(&client, question).await?.into_iter().next().unwrap_or_default())
    }

    /// Carries out statements at a pod's member as its superuser.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub async fn order(&self, pod: &str, statements: &[&str]) -> anyhow::Result<()> {
        let client = session(&self.place(pod)?, "postgres").await?;
        for statement in statements {
            client.batch_execute(statement).await.with_context(|| format!("{pod}: {statement}"))?;
        }
        Ok(())
    }

    /// Waits until so many standbys follow a primary.
    ///
    /// # Errors
    /// When they do not; with the end of each pod's log.
    pub async fn followers(&self, primary: &str, wanted: usize) -> anyhow::Result<()> {
        let follow = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        let what = format!("{wanted} follow {primary}");
        let all = wait_until(&what, PATIENCE, async || {
            let count = self.ask(primary, follow).await?;
            anyhow::ensure!(count == wanted.to_string(), "{count} follow");
            Ok(())
        });
        all.await.with_context(|| self.pods.tails())
    }

    /// A switchover as a person does it: the primary ends cleanly and comes back as a standby, the next one is promoted, and all
    /// follow it.
    ///
    /// # Errors
    /// When a step of it fails.
    pub async fn take_over(&self, from: &str, next: &str, all: &[&str]) -> anyhow::Result<()> {
        let conninfo = |pod: &str| {
            let (name, namespace) = (name_of(pod), self.namespace().name());
            format!(
                "user=replicator application_name={name} host={next}.postgres.{namespace}.svc port={PORT}"
            )
        };
        let files = format!(
            "cd /var/lib/postgresql/data/cluster && touch standby.signal && printf '%s\\n' \"primary_conninfo = '{}'\" \
             \"primary_slot_name = '{}'\" >>postgresql.auto.conf && kill -INT 1",
            conninfo(from),
            name_of(from)
        );
        self.namespace().kubectl(&["exec", from, "--", "sh", "-c", &files])?;
        // When it is back, it had ended, and its last words had reached everybody.
        wait_until("the primary is back as a standby", PATIENCE, async || {
            let answer = self.ask(from, "SELECT pg_is_in_recovery()").await?;
            anyhow::ensure!(answer == "t", "it takes writes still");
            Ok(())
        })
        .await?;
        let others: Vec<&str> = all.iter().copied().filter(|pod| *pod != next).collect();
        for pod in &others {
            let make = format!("SELECT pg_create_physical_replication_slot('{}', true)", name_of(pod));
            self.order(next, &[&make]).await?;
        }
        let names: Vec<String> = others.iter().map(|pod| name_of(pod)).collect();
        let names = format!("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 ({})'", names.join(", "));
        self.order(next, &[&names, "SELECT pg_reload_conf()", "SELECT pg_promote(true, 60)"]).await?;
        for pod in others.iter().filter(|pod| **pod != from) {
            let set = format!("ALTER SYSTEM SET primary_conninfo = '{}'", conninfo(pod));
            self.order(pod, &[&set, "SELECT pg_reload_conf()"]).await?;
        }
        self.followers(next, others.len()).await?;
        // What the one before kept for its followers would keep log for ever.
        let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active";
        self.order(from, &[drop]).await
    }
}

impl From<&PostgresPods> for Places {
    fn from(rig: &PostgresPods) -> Self {
        let addresses = rig.pods.addresses();
        Self::told_by(move || {
            let place = |(name, host)| Place { name, host, port: PORT };
            addresses().into_iter().map(place).collect()
        })
    }
}

/// The name under which the member of a pod replicates.
fn name_of(pod: &str) -> String {
    pod.replace('-', "_")
}

fn document(namespace: &str) -> String {
    let document = Document {
        named: &format!("name: postgres, namespace: {namespace}"),
        target: "apiVersion: apps/v1, kind: StatefulSet, name: postgres",
        system: "kind: postgres, ref: pods",
        bounds: (2, 4),
        mode: "enforce",
    };
    document.with(&(document::NOBODY.to_owned() + &document::hasty(["syncSpare: 0"])))
}
