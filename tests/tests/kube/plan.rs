//! `ScalingPlan` for people, on a real API server: `kubectl describe` and `kubectl get` tell what a plan does, and what
//! is annotated there is obeyed, also where the target is a file.

use anyhow::Context as _;
use plimsoll_tests::fixture::{Fixture, From, PATIENCE};
use plimsoll_wire::journal::PlanStatus;
use plimsoll_wire::status::Status;
use serde_json::{Value, json};

fn describe(fixture: &Fixture) -> anyhow::Result<String> {
    fixture.namespace.kubectl(&["describe", "scalingplan", "db"])
}

/// A command that the object itself shows, given as it stands there.
fn follow(fixture: &Fixture, about: &Value, order: &str) -> anyhow::Result<()> {
    let commands = about["commands"].as_array().map_or(&[][..], Vec::as_slice);
    let part = format!("plimsoll.dev/{order}=");
    let command = commands.iter().filter_map(Value::as_str).find(|command| command.contains(&part));
    let output = fixture.shell(command.with_context(|| format!("no {order} among {commands:?}"))?, None)?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn a_plan_is_readable_and_approved_paused_and_cancelled_on_its_object_where_the_target_is_a_file()
-> anyhow::Result<()> {
    Fixture::there(From::Files, |mut fixture: Fixture| async move {
        let document = fixture.document("policies: [{name: nobody, module: hold.wasm}]");
        fixture.daemon.write_target("db", &document)?;
        fixture.daemon.start()?;
        fixture.plan_shows("that there is no plan", |about| about["state"] == "NoPlan").await?;
        grows_with_a_pause(&fixture).await?;
        shrinks_when_it_is_approved(&fixture).await?;
        is_cancelled(&fixture).await?;
        nobody_believes_what_is_written_by_hand(&fixture).await
    })
}

async fn grows_with_a_pause(fixture: &Fixture) -> anyhow::Result<()> {
    fixture.daemon.order(json!({ "verb": "scale", "members": 5 }))?;
    let moves = |status: &Status| status.plan.as_ref().is_some_and(|plan| plan.subject.is_some());
    fixture.daemon.until("a member under way", PATIENCE, moves).await?;
    fixture.namespace.kubectl(&["annotate", "scalingplan/db", "plimsoll.dev/paused=ann: disk swap"])?;
    let about = fixture.plan_shows("the pause", |about| about["state"] == "Paused").await?;
    assert_eq!((&about["change"], &about["mode"]), (&json!("3 → 5"), &json!("Enforce")), "{about:#}");
    assert_eq!(about["plan"]["askedBy"], "a test, for 5 members", "{about:#}");
    let text = describe(fixture)?;
    println!("{text}");
    for part in [
        "Waits For:",
        "the end of the pause by kubectl-annotate: ann: disk swap",
        "3 → 5",
        "promote: to come; cannot be taken back from here on",
        "then one more member, in the same way",
        "kubectl annotate scalingplan/db",
        "Epoch:",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let table = fixture.namespace.kubectl(&["get", "scalingplans"])?;
    println!("{table}");
    let target = format!("{}/db", fixture.namespace.name());
    for part in ["TARGET", "CHANGE", "PHASE", "STATE", "WAITS FOR", "AGE", &target, "3 → 5", "Paused"] {
        assert!(table.contains(part), "no {part:?} in {table}");
    }
    // While nothing happens nothing is written.
    let version = || Ok::<_, anyhow::Error>(fixture.plan()?["metadata"]["resourceVersion"].clone());
    let (before, reads) = (version()?, fixture.daemon.status()?);
    let later = |status: &Status| status.last_decision != reads.last_decision || status.paused.is_some();
    fixture.daemon.until("another look", PATIENCE, later).await?;
    assert_eq!(version()?, before);
    fixture.namespace.kubectl(&["annotate", "scalingplan/db", "plimsoll.dev/paused-"])?;
    let done = |about: &Value| about["state"] == "Done" && about["plan"].is_null();
    let about = fixture.plan_shows("the end", done).await?;
    assert_eq!(about["lastPlan"]["endedAt"], 5, "{about:#}");
    let text = describe(fixture)?;
    assert!(text.contains("no plan is under way; the last one, from 3 to 5 members, ended at 5"), "{text}");
    Ok(())
}

async fn shrinks_when_it_is_approved(fixture: &Fixture) -> anyhow::Result<()> {
    fixture.daemon.order(json!({ "verb": "scale", "members": 3 }))?;
    let waits = |about: &Value| about["state"] == "AwaitingApproval";
    let about = fixture.plan_shows("that it waits for a person", waits).await?;
    let content = about["plan"]["approval"].as_str().context("no content")?;
    assert!(content.contains(" from 5 to 3 removing ["), "{content}");
    follow(fixture, &about, "approve")?;
    let done = |status: &Status| status.sizes.members == Some(3) && status.plan.is_none();
    let status = fixture.daemon.until("three members", PATIENCE, done).await?;
    assert_eq!(status.history.last().map(|plan| plan.status), Some(PlanStatus::Done));
    let obeyed =
        |about: &Value| about["orders"][0].as_str().is_some_and(|order| order.contains("was obeyed"));
    let about = fixture.plan_shows("what was answered", obeyed).await?;
    println!("{:#}", about["orders"]);
    Ok(())
}

/// A pause over the socket is ended, and the plan given up, by what the object shows.
async fn is_cancelled(fixture: &Fixture) -> anyhow::Result<()> {
    fixture.daemon.order(json!({ "verb": "scale", "members": 5 }))?;
    let runs = |status: &Status| status.plan.is_some();
    fixture.daemon.until("a plan", PATIENCE, runs).await?;
    fixture.daemon.order(json!({ "verb": "pause", "why": "lunch" }))?;
    let about = fixture.plan_shows("the pause", |about| about["state"] == "Paused").await?;
    follow(fixture, &about, "cancel")?;
    let given_up = |about: &Value| {
        about["orders"].as_array().is_some_and(|orders| {
            orders
                .iter()
                .filter_map(Value::as_str)
                .any(|order| order.starts_with("cancel by kubectl-annotate was obeyed"))
        })
    };
    let about = fixture.plan_shows("that it is given up", given_up).await?;
    follow(fixture, &about, "resume")?;
    let ended = |about: &Value| about["state"] == "Aborted";
    let about = fixture.plan_shows("its end", ended).await?;
    let why = about["lastPlan"]["why"].as_str().unwrap_or_default();
    assert!(why.contains("cancelled by kubectl-annotate"), "{about:#}");
    Ok(())
}

async fn nobody_believes_what_is_written_by_hand(fixture: &Fixture) -> anyhow::Result<()> {
    let edit = r#"{"status":{"about":{"state":"Running","message":"all is lost","epoch":99}}}"#;
    let patch = ["patch", "scalingplan", "db", "--subresource=status", "--type=merge", "--patch", edit];
    fixture.namespace.kubectl(&patch)?;
    // It goes on, and its next write says what is true.
    fixture.daemon.order(json!({ "verb": "scale", "members": null }))?;
    fixture.daemon.order(json!({ "verb": "pause", "why": "the end" }))?;
    let about = fixture.plan_shows("the truth", |about| about["state"] == "Paused").await?;
    assert_eq!(about["epoch"], 1, "{about:#}");
    assert_eq!(fixture.daemon.status()?.trouble, None);
    Ok(())
}
