//! `StatefulAutoscaler` objects of a real API server as the daemon's targets: their documents, status, events, orders
//! and wishes. The members are the simulator's, so that plans take seconds; everything else is as in production.

use anyhow::Context as _;
use plimsoll_tests::cluster::Namespace;
use plimsoll_tests::document::hasty;
use plimsoll_tests::fixture::{Fixture, From, PATIENCE, document};
use plimsoll_tests::process::wait_until;
use plimsoll_wire::journal::PlanStatus;
use plimsoll_wire::status::Status;
use serde_json::Value;

fn busy() -> String {
    let policy = "  policies:
    - {name: load, module: target-utilization.wasm, settings: {signal: utilization, target: 0.001, type: Value}}
  behavior: {scaleUp: {stabilizationWindowSeconds: 0, policies: [{type: Members, value: 4, periodSeconds: 1}]}}
";
    document("dryrun", &(policy.to_owned() + &hasty([""; 0])))
}

fn wished() -> String {
    document("enforce", &format!("  externalWish: true\n{}", hasty(["approveScaleIn: true"])))
}

/// A condition of the object: its status, and its reason with its message.
fn condition(object: &Value, kind: &str) -> (String, String) {
    let conditions = object["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let found = conditions.iter().find(|one| one["type"] == kind).cloned().unwrap_or_default();
    let word = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (word("status"), format!("{} {}", word("reason"), word("message")))
}

fn ready(object: &Value) -> bool {
    condition(object, "Ready").0 == "True"
        && object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

#[test]
fn an_object_is_a_target_and_its_status_says_what_is_decided_and_what_is_wrong_with_it() -> anyhow::Result<()>
{
    Fixture::there(From::Objects, |mut rig| async move {
        rig.daemon.start()?;
        rig.namespace.apply(&busy())?;
        let decided =
            |object: &Value| ready(object) && object["status"]["lastDecision"]["finalDesiredReplicas"] == 5;
        let object = rig.shows("a decision in the status", decided).await?;
        assert_eq!(object["status"]["replicas"], 3, "{:#}", object["status"]);

        // What only the daemon can know is wrong; the old document stays in force.
        rig.namespace.apply(&busy().replace("name: playground", "name: elsewhere"))?;
        let refused = |object: &Value| {
            let (status, why) = condition(object, "Ready");
            status == "False"
                && why.starts_with("InvalidSpec ")
                && why.contains("is not among the `platforms` open")
        };
        let object = rig.shows("the problem in the status", refused).await?;
        assert_eq!(object["status"]["observedGeneration"], object["metadata"]["generation"]);
        assert_eq!(object["status"]["replicas"], 3, "the old one goes on: {:#}", object["status"]);
        let last = rig.daemon.status()?.last_decision.context("a decision")?.id;
        let on = |status: &Status| status.last_decision.as_ref().is_some_and(|now| now.id != last);
        rig.daemon.until("another decision of the old document", PATIENCE, on).await?;
        rig.tells("InvalidSpec", "is not among the `platforms`").await?;
        rig.namespace.apply(&busy())?;
        rig.shows("that it is mended", ready).await?;

        // A namespace that is not the daemon's is none of its business.
        let elsewhere = Namespace::create(rig.namespace.cluster())?;
        elsewhere.apply(&busy())?;
        nothing_is_written_while_nothing_happens(&rig).await?;
        assert_eq!(elsewhere.field("statefulautoscaler/db", ".status")?, "");
        assert!(rig.daemon.status_of(&format!("{}/db", elsewhere.name())).is_err());

        rig.namespace.kubectl(&["delete", "statefulautoscaler", "db"])?;
        wait_until("the target is gone", PATIENCE, async || {
            anyhow::ensure!(rig.daemon.status().is_err(), "it is still there");
            Ok(())
        })
        .await
    })
}

/// Ten decisions that say the same leave the object as it is.
async fn nothing_is_written_while_nothing_happens(rig: &Fixture) -> anyhow::Result<()> {
    let at_rest = |object: &Value| object["status"]["lastDecision"]["reason"] == "AtSize";
    rig.shows("that all is as wished", at_rest).await?;
    let mut seen = std::collections::BTreeSet::new();
    let mut versions = std::collections::BTreeSet::new();
    wait_until("ten decisions", PATIENCE, async || {
        let last = rig.daemon.status()?.last_decision.context("a decision")?;
        anyhow::ensure!(last.reason == "AtSize", "{}", last.reason);
        seen.insert(last.id.to_string());
        if seen.len() > 2 {
            versions.insert(rig.object()?["metadata"]["resourceVersion"].to_string());
        }
        anyhow::ensure!(seen.len() > 12, "{} so far", seen.len());
        Ok(())
    })
    .await?;
    assert_eq!(versions.len(), 1, "a target that rests was written: {versions:?}");
    Ok(())
}

#[test]
fn wishes_and_orders_written_on_objects_are_obeyed_once_and_answered() -> anyhow::Result<()> {
    Fixture::there(From::Objects, |mut rig| async move {
        rig.daemon.start()?;
        rig.namespace.apply(&wished())?;
        // What `scale` needs to answer at all: the size that there is, by us, and no wish of anybody's.
        let seeded = |object: &Value| ready(object) && object["spec"]["replicas"] == 3;
        rig.shows("the size that wishes begin at", seeded).await?;
        assert_eq!(rig.daemon.status()?.outside, None);
        let scale = |size: u32| {
            rig.namespace.kubectl(&["scale", "statefulautoscaler/db", &format!("--replicas={size}")])
        };
        scale(5)?;
        let reached = |status: &Status| status.sizes.members == Some(5) && status.plan.is_none();
        let status = rig.daemon.until("five members", PATIENCE, reached).await?;
        assert_eq!(status.outside.map(|wish| (wish.members, wish.who)), Some((5, "kubectl".to_owned())));
        let shown = |object: &Value| {
            let status = &object["status"];
            status["replicas"] == 5 && status["externalWish"]["manager"] == "kubectl"
        };
        rig.shows("who wished it", shown).await?;
        rig.tells("ExternalWish", "kubectl wishes for 5 members").await?;
        rig.tells("PlanDone", "from 3 to 5 members").await?;

        others_apply_their_part_and_nobody_fights(&rig).await?;

        // A scale-in waits for a person, who says so on the object.
        scale(3)?;
        let waits = |object: &Value| object["status"]["plan"]["approval"].is_string();
        let object = rig.shows("what is to be approved", waits).await?;
        let content = object["status"]["plan"]["approval"].as_str().context("no content")?;
        let approval = format!("plimsoll.dev/approve={content}");
        rig.namespace.kubectl(&["annotate", "statefulautoscaler/db", "plimsoll.dev/approve=everything"])?;
        rig.tells("OrderRefused", "the plan has changed").await?;
        rig.namespace.kubectl(&["annotate", "--overwrite", "statefulautoscaler/db", &approval])?;
        rig.tells("OrderObeyed", "kubectl-annotate wrote approve").await?;
        let back = |status: &Status| status.sizes.members == Some(3) && status.plan.is_none();
        let status = rig.daemon.until("three members", PATIENCE, back).await?;
        assert_eq!(status.history.last().map(|plan| plan.status), Some(PlanStatus::Done));

        scale(5)?;
        a_pause_on_the_plan_holds_it_and_its_end_lets_it_go_on(&rig).await
    })
}

/// The same document by another manager with server-side apply, as Argo CD or Flux do it.
async fn others_apply_their_part_and_nobody_fights(rig: &Fixture) -> anyhow::Result<()> {
    let before = rig.object()?;
    let file = rig.daemon.home().join("autoscaler.yaml");
    let document = wished().replace("name: db}", &format!("name: db, namespace: {}}}", rig.namespace.name()));
    std::fs::write(&file, document)?;
    let path = file.to_string_lossy().into_owned();
    let manager = "--field-manager=gitops";
    rig.namespace.kubectl(&["apply", "--server-side", "--force-conflicts", manager, "-f", &path])?;
    rig.namespace.kubectl(&["apply", "--server-side", manager, "-f", &path])?;
    let after = rig.object()?;
    assert_eq!(after["spec"]["replicas"], 5);
    assert_eq!(after["status"], before["status"]);
    Ok(())
}

async fn a_pause_on_the_plan_holds_it_and_its_end_lets_it_go_on(rig: &Fixture) -> anyhow::Result<()> {
    let moves = |status: &Status| status.plan.as_ref().is_some_and(|plan| plan.subject.is_some());
    rig.daemon.until("a plan with a member under way", PATIENCE, moves).await?;
    rig.namespace.kubectl(&["annotate", "scalingplan/db", "plimsoll.dev/paused=disk swap"])?;
    let paused = |status: &Status| status.paused.is_some();
    let status = rig.daemon.until("the pause", PATIENCE, paused).await?;
    let note = status.paused.context("a pause")?;
    assert_eq!((&*note.who, &*note.why), ("kubectl-annotate", "disk swap"));
    let id = status.plan.context("the plan ended before it was paused")?.id;
    rig.namespace.kubectl(&["annotate", "scalingplan/db", "plimsoll.dev/paused-"])?;
    rig.daemon.until("the end of the pause", PATIENCE, |status| status.paused.is_none()).await?;

    // The object goes in the middle of the plan: what can be taken back is, what cannot is finished.
    rig.namespace.kubectl(&["delete", "statefulautoscaler", "db"])?;
    wait_until("the target has left", PATIENCE, async || {
        anyhow::ensure!(rig.daemon.status().is_err(), "it is still there");
        Ok(())
    })
    .await?;
    let text = rig.namespace.kubectl(&["get", "scalingplan/db", "--output", "json"])?;
    let journal: Value = serde_json::from_str::<Value>(&text)?["status"]["journal"].take();
    assert_eq!(journal["plan"], Value::Null);
    let ended = journal["history"].as_array().and_then(|history| history.last()).context("no history")?;
    assert_eq!(ended["id"].as_str(), Some(&*id));
    assert!(matches!(ended["endedAt"]["members"].as_u64(), Some(3 | 5)), "{ended:#}");
    Ok(())
}
