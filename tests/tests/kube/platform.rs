//! The platform `kube` on a real API server and a real controller: what the server itself checks of our writes.

use plimsoll::actuate::Permit;
use plimsoll::kubernetes::{Access, ApiServer, Scalable};
use plimsoll::platforms::kube::{ACT_DEADLINE, Kube, KubeConfig};
use plimsoll_core::observation::{PlatformReport, Reading};
use plimsoll_tests::cluster::Namespace;
use plimsoll_tests::kube::in_cluster;
use plimsoll_tests::process::wait_until;
use plimsoll_wire::journal::{Outcome, PlatformVerb};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Pods take their time on a busy machine; a wait ends as soon as it can.
const PATIENCE: Duration = Duration::from_secs(120);

const WORKLOAD: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - {name: db, image: "plimsoll.test/busybox:1", imagePullPolicy: IfNotPresent, command: [sleep, "1000000"]}
"#;

async fn kube(namespace: &Namespace, kubeconfig: PathBuf) -> anyhow::Result<Kube> {
    let server = ApiServer::open(Access { kubeconfig: Some(kubeconfig), context: None }).await?;
    let endpoints = BTreeMap::from([("client".to_owned(), "http://{ip}:80".to_owned())]);
    let config = KubeConfig {
        namespace: namespace.name().to_owned(),
        workload: "db".to_owned(),
        kind: Scalable::stateful_set(),
        endpoints,
        set_aside: false,
    };
    Ok(Kube::new(Arc::new(server), config))
}

async fn as_administrator(namespace: &Namespace) -> anyhow::Result<Kube> {
    kube(namespace, namespace.cluster().kubeconfig().to_owned()).await
}

fn permit(epoch: u64) -> Permit {
    Permit {
        target: "x/db".into(),
        plan: "p".into(),
        intent: "i".into(),
        epoch,
        deadline: ACT_DEADLINE,
        membership: None,
    }
}

fn start(slot: &str, size_after: u32) -> PlatformVerb {
    PlatformVerb::Start { slot: slot.into(), size_after, join: None }
}

fn stop(slot: &str, size_after: u32) -> PlatformVerb {
    PlatformVerb::Stop { slot: slot.into(), member: "m".into(), size_after }
}

fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Applied => "applied".to_owned(),
        Outcome::Refused { message } => format!("refused: {message}"),
        Outcome::Unknown { message } => format!("unknown: {message}"),
    }
}

/// Waits until exactly so many members are there, all of them at work and everything acted on.
async fn rests_at(kube: &Kube, size: usize) -> anyhow::Result<PlatformReport> {
    wait_until(&format!("{size} members at rest"), PATIENCE, async || {
        let report = kube.read(true).await;
        let slots = report.slots.value().map_or(&[][..], Vec::as_slice);
        let at_work = slots.iter().filter(|slot| slot.running).count();
        let acted =
            report.generation.value().is_some_and(|generation| generation.spec == generation.observed);
        anyhow::ensure!(slots.len() == size && at_work == size && acted, "{report:?}");
        Ok(report)
    })
    .await
}

fn size(namespace: &Namespace) -> anyhow::Result<String> {
    namespace.field("statefulset/db", ".spec.replicas")
}

#[test]
fn the_real_controller_starts_and_stops_the_highest_ordinal_under_our_stamp() -> anyhow::Result<()> {
    in_cluster(|namespace: Namespace| async move {
        namespace.apply(WORKLOAD)?;
        let kube = as_administrator(&namespace).await?;
        let report = rests_at(&kube, 2).await?;
        let slots = report.slots.value().map_or(&[][..], Vec::as_slice);
        let pod = |field: &str| namespace.field("pod/db-1", field);
        assert_eq!(slots[1].incarnation, pod(".metadata.uid")?);
        assert_eq!(slots[1].endpoints["client"], format!("http://{}:80", pod(".status.podIP")?));
        let domain = slots[1].domain.value().cloned().unwrap_or_default();
        assert!(domain.ends_with(&pod(".spec.nodeName")?), "{domain}");
        let vacant = report.vacant.value().map_or(&[][..], Vec::as_slice);
        assert_eq!(&*vacant[0].slot, "db-2");
        assert!(vacant[0].marker.value().is_some_and(|marker| marker.fingerprint.is_empty()));

        assert_eq!(
            words(&kube.act(&permit(5), &stop("db-0", 1)).await),
            "refused: with 1 members it would be db-1, not db-0"
        );
        assert_eq!(kube.act(&permit(5), &start("db-2", 3)).await, Outcome::Applied);
        assert_eq!(size(&namespace)?, "3");
        assert_eq!(namespace.field("statefulset/db", r".metadata.annotations.plimsoll\.dev/epoch")?, "5");
        rests_at(&kube, 3).await?;
        let deposed = words(&kube.act(&permit(4), &stop("db-2", 2)).await);
        assert!(deposed.contains("another daemon has taken over (epoch 5, ours is 4)"), "{deposed}");
        assert_eq!(size(&namespace)?, "3");

        let policy = r#"{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenScaled":"Delete"}}}"#;
        namespace.kubectl(&["patch", "statefulset", "db", "--type=merge", "--patch", policy])?;
        rests_at(&kube, 3).await?;
        let lossy = words(&kube.act(&permit(5), &stop("db-2", 2)).await);
        assert!(lossy.contains("data would be deleted"), "{lossy}");
        let policy = policy.replace("Delete", "Retain");
        namespace.kubectl(&["patch", "statefulset", "db", "--type=merge", "--patch", &policy])?;
        rests_at(&kube, 3).await?;
        assert_eq!(kube.act(&permit(6), &stop("db-2", 2)).await, Outcome::Applied);
        rests_at(&kube, 2).await.map(drop)
    })
}

#[test]
fn of_daemons_that_act_at_once_one_is_heard_and_none_goes_too_far() -> anyhow::Result<()> {
    in_cluster(|namespace: Namespace| async move {
        namespace.apply(WORKLOAD)?;
        let mut ready = Vec::new();
        for epoch in 1..=6 {
            let kube = as_administrator(&namespace).await?;
            rests_at(&kube, 2).await?;
            ready.push((epoch, kube));
        }
        let mut acting = tokio::task::JoinSet::new();
        for (epoch, kube) in ready {
            acting.spawn(async move { (epoch, kube.act(&permit(epoch), &start("db-2", 3)).await) });
        }
        let mut heard = 0;
        while let Some(done) = acting.join_next().await {
            let (epoch, outcome) = done?;
            println!("epoch {epoch}: {}", words(&outcome));
            assert!(!matches!(outcome, Outcome::Unknown { .. }), "{epoch}: {outcome:?}");
            heard += usize::from(outcome == Outcome::Applied);
        }
        assert!(heard > 0);
        assert_eq!(size(&namespace)?, "3");
        Ok(())
    })
}

#[test]
fn a_workload_that_was_made_anew_is_not_acted_on_before_it_was_seen() -> anyhow::Result<()> {
    in_cluster(|namespace: Namespace| async move {
        namespace.apply(WORKLOAD)?;
        let kube = as_administrator(&namespace).await?;
        rests_at(&kube, 2).await?;
        namespace.kubectl(&["delete", "statefulset", "db", "--cascade=orphan"])?;
        assert!(words(&kube.act(&permit(1), &start("db-2", 3)).await).contains("not found"));
        namespace.apply(WORKLOAD)?;
        let recreated = words(&kube.act(&permit(1), &start("db-2", 3)).await);
        assert!(recreated.contains("recreated"), "{recreated}");
        // The controller adopts the orphans; until then they are nobody's members.
        rests_at(&kube, 2).await?;
        assert_eq!(kube.act(&permit(1), &start("db-2", 3)).await, Outcome::Applied);
        Ok(())
    })
}

#[test]
fn without_rights_nothing_is_taken_for_empty_and_with_them_given_back_all_is_seen() -> anyhow::Result<()> {
    in_cluster(|namespace: Namespace| async move {
        namespace.apply(WORKLOAD)?;
        rests_at(&as_administrator(&namespace).await?, 2).await?;
        namespace.kubectl(&["create", "serviceaccount", "daemon"])?;
        let token = namespace.kubectl(&["create", "token", "daemon"])?;
        let view = namespace.kubectl(&["config", "view", "--raw", "--output", "json"])?;
        let mut kubeconfig: Value = serde_json::from_str(&view)?;
        for user in kubeconfig["users"].as_array_mut().into_iter().flatten() {
            user["user"] = json!({ "token": token.trim() });
        }
        let home = tempfile::tempdir()?;
        std::fs::write(home.path().join("kubeconfig"), kubeconfig.to_string())?;
        let kube = kube(&namespace, home.path().join("kubeconfig")).await?;
        let account = format!("--serviceaccount={}:daemon", namespace.name());
        let grant = |role: &str, verbs: &str, resource: &str| {
            namespace.kubectl(&["create", "role", role, verbs, resource])?;
            namespace.kubectl(&["create", "rolebinding", role, &format!("--role={role}"), &account]).map(drop)
        };
        let blind = kube.read(true).await;
        assert!(
            matches!(&blind.slots, Reading::Gap { detail, .. } if detail.contains("forbidden")),
            "{blind:?}"
        );
        grant("look", "--verb=get,patch", "--resource=statefulsets.apps")?;
        grant("list", "--verb=list", "--resource=pods")?;
        let half = rests_at(&kube, 2).await?;
        let vacant = half.vacant.value().map_or(&[][..], Vec::as_slice);
        assert!(
            matches!(&vacant[0].marker, Reading::Gap { detail, .. } if detail.contains("forbidden")),
            "{vacant:?}"
        );
        let slots = half.slots.value().map_or(&[][..], Vec::as_slice);
        assert!(
            matches!(&slots[0].domain, Reading::Gap { detail, .. } if detail.contains("forbidden")),
            "{slots:?}"
        );
        let refused = words(&kube.act(&permit(1), &start("db-2", 3)).await);
        assert!(refused.contains("scaling the StatefulSet: forbidden"), "{refused}");
        assert_eq!(size(&namespace)?, "2");
        grant("scale", "--verb=patch", "--resource=statefulsets.apps/scale")?;
        let applied = wait_until("the right to scale counts", PATIENCE, async || {
            let outcome = kube.act(&permit(1), &start("db-2", 3)).await;
            anyhow::ensure!(outcome == Outcome::Applied, words(&outcome));
            Ok(())
        });
        applied.await?;
        assert_eq!(size(&namespace)?, "3");
        Ok(())
    })
}
