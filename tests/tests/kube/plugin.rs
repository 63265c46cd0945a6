//! `kubectl plimsoll` as a person types it: a real kubectl finds it in the path, it asks and orders through a real API
//! server, and a real daemon obeys.

use anyhow::Context as _;
use plimsoll_tests::fixture::{Fixture, From, PATIENCE};
use plimsoll_tests::process::wait_until;
use plimsoll_wire::journal::PlanStatus;
use plimsoll_wire::status::Status;
use serde_json::{Value, json};

/// A person's terminal.
struct Terminal<'a> {
    fixture: &'a Fixture,
    /// A folder of the path with the plugin in it.
    folder: tempfile::TempDir,
}

impl<'a> Terminal<'a> {
    fn of(fixture: &'a Fixture) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::os::unix::fs::symlink(plimsoll_tests::binary(), folder.path().join("kubectl-plimsoll"))?;
        Ok(Self { fixture, folder })
    }

    /// What a command says, and whether it went well.
    fn say(&self, arguments: &str) -> anyhow::Result<(bool, String)> {
        let line = format!("USER=ann kubectl plimsoll {arguments} -n {}", self.fixture.namespace.name());
        let output = self.fixture.shell(&line, Some(self.folder.path()))?;
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        println!("$ kubectl plimsoll {arguments}\n{}", text.concat());
        Ok((output.status.success(), text.concat()))
    }

    /// The same, where it has to go well and to say something.
    fn does(&self, arguments: &str, part: &str) -> anyhow::Result<String> {
        let (well, text) = self.say(arguments)?;
        anyhow::ensure!(well && text.contains(part), "{arguments}: no {part:?} in {text}");
        Ok(text)
    }

    /// The same, where it has to fail and to say why.
    fn fails(&self, arguments: &str, part: &str) -> anyhow::Result<String> {
        let (well, text) = self.say(arguments)?;
        anyhow::ensure!(!well && text.contains(part), "{arguments}: no {part:?} in {text}");
        Ok(text)
    }
}

fn at(size: u32) -> impl Fn(&Status) -> bool {
    move |status: &Status| status.sizes.members == Some(size) && status.plan.is_none()
}

#[test]
fn every_verb_of_the_plugin_is_carried_out_by_a_real_daemon_and_its_failures_say_what_to_do()
-> anyhow::Result<()> {
    Fixture::there(From::Objects, |mut fixture: Fixture| async move {
        before_there_is_anything(&mut fixture).await?;
        wishes(&fixture).await?;
        approvals(&fixture).await?;
        pauses_and_cancels(&fixture).await?;
        nobody_answers(&mut fixture).await?;
        strangers(&fixture)
    })
}

async fn before_there_is_anything(fixture: &mut Fixture) -> anyhow::Result<()> {
    let terminal = Terminal::of(fixture)?;
    terminal.does("status", "There are no targets in the namespace")?;
    terminal.fails("explain db", "there is no StatefulAutoscaler")?;
    terminal.fails("status DB", "is no target")?;
    fixture.namespace.apply(&fixture.document("externalWish: true"))?;
    terminal.does("status", "no daemon has taken it up yet")?;
    terminal.fails("pause db --why lunch", "no daemon has taken up such a target")?;
    drop(terminal);
    fixture.daemon.start()?;
    let seeded = wait_until("the size that wishes begin at", PATIENCE, async || {
        let replicas = fixture.namespace.field("statefulautoscaler/db", ".spec.replicas")?;
        anyhow::ensure!(replicas == "3", "replicas: {replicas:?}");
        Ok(())
    });
    seeded.await.with_context(|| fixture.daemon.tail())
}

async fn wishes(fixture: &Fixture) -> anyhow::Result<()> {
    let terminal = Terminal::of(fixture)?;
    terminal.does("scale db 3", "stands at that size already")?;
    terminal.does("scale db 5", "5 members are wished")?;
    let status = fixture.daemon.until("five members", PATIENCE, at(5)).await?;
    let wish = status.outside.context("no wish")?;
    assert_eq!((wish.members, &*wish.who), (5, "kubectl-plimsoll"));
    let table = terminal.does("status", "TARGET")?;
    assert!(table.contains(&format!("{}/db", fixture.namespace.name())), "{table}");
    terminal.does("status sfa/db", "kubectl-plimsoll wishes for 5 members from outside")?;
    terminal.does("explain db", "The combined wish was 5")?;
    // For programs, whole; of all namespaces, too.
    let text = terminal.does("status -A -o json", "\"autoscaler\"")?;
    let all: Vec<Value> = serde_json::from_str(&text)?;
    let target = format!("{}/db", fixture.namespace.name());
    let ours = all.iter().find(|one| one["target"] == *target).context("not among all")?;
    assert_eq!((&ours["autoscaler"]["replicas"], &ours["plan"]["state"]), (&json!(5), &json!("Done")));
    terminal.does("plan db -o yaml", "state: Done")?;
    Ok(())
}

async fn approvals(fixture: &Fixture) -> anyhow::Result<()> {
    let terminal = Terminal::of(fixture)?;
    terminal.fails("approve db", "nothing waits for approval")?;
    terminal.does("scale db 3", "3 members are wished")?;
    fixture.plan_shows("that it waits", |about| about["state"] == "AwaitingApproval").await?;
    terminal.does("plan db", "deregister: to come; cannot be taken back from here on")?;
    let shown = terminal.does("approve db", "To approve exactly this:")?;
    terminal.fails("approve db 0123", "the digest is not that of what waits now")?;
    let digest = shown.split("sha256 ").nth(1).and_then(|rest| rest.split_whitespace().next());
    terminal.does(&format!("approve db {}", digest.context("no digest")?), "is approved")?;
    let status = fixture.daemon.until("three members", PATIENCE, at(3)).await?;
    assert_eq!(status.history.last().map(|plan| plan.status), Some(PlanStatus::Done));
    Ok(())
}

async fn pauses_and_cancels(fixture: &Fixture) -> anyhow::Result<()> {
    let terminal = Terminal::of(fixture)?;
    terminal.fails("resume db", "is not paused as a whole")?;
    terminal.fails("cancel db", "has no running plan")?;
    terminal.does("scale db 5 --wait=false", "the wish is written")?;
    let runs = |status: &Status| status.plan.is_some();
    fixture.daemon.until("a plan", PATIENCE, runs).await?;
    terminal.does("pause db --why 'disk swap'", "is paused")?;
    let note = fixture.daemon.status()?.paused.context("no pause")?;
    assert_eq!((&*note.who, &*note.why), ("kubectl-plimsoll", "ann: disk swap"));
    terminal.does("pause db --why 'disk swap'", "is paused")?;
    terminal.does("status db", "paused by kubectl-plimsoll")?;
    terminal.does("plan db", "paused by kubectl-plimsoll: ann: disk swap; from 3 to 5 members")?;
    terminal.does("cancel db", "plan")?;
    // What is wished from outside still stands, and would be planned again.
    terminal.does("scale db --clear", "the wish is taken away")?;
    terminal.does("resume db", "goes on")?;
    let ended = |status: &Status| status.plan.is_none() && status.paused.is_none();
    let status = fixture.daemon.until("its end", PATIENCE, ended).await?;
    let last = status.history.last().context("no plan ended")?;
    assert!(last.why.contains("cancelled by kubectl-plimsoll"), "{last:?}");
    // A pause over the socket, and one in the document.
    fixture.daemon.order(json!({ "verb": "pause", "why": "lunch" }))?;
    fixture.plan_shows("the pause", |about| about["state"] == "Paused").await?;
    terminal.does("resume db", "goes on")?;
    fixture.namespace.kubectl(&["annotate", "statefulautoscaler/db", "plimsoll.dev/paused=bob: tea"])?;
    let held = |status: &Status| status.conditions.iter().any(|one| one.kind == "Paused" && one.status);
    fixture.daemon.until("the document's pause", PATIENCE, held).await?;
    terminal.does("resume db", "the pause in its document is taken away")?;
    fixture.daemon.until("its end", PATIENCE, |status| !held(status)).await?;
    // The same words again are another pause.
    terminal.does("pause db --why 'disk swap'", "is paused")?;
    terminal.does("resume db", "goes on")?;
    Ok(())
}

async fn nobody_answers(fixture: &mut Fixture) -> anyhow::Result<()> {
    fixture.daemon.kill()?;
    let terminal = Terminal::of(fixture)?;
    let text = terminal.fails("pause db --why night --timeout 2", "no daemon has answered within 2 s")?;
    assert!(text.contains("plimsoll.dev/paused-"), "{text}");
    // With a lease as daemons leave it, it is told who has it.
    let lease = terminal.folder.path().join("lease.yaml");
    let manifest = "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: plimsoll}, spec: {holderIdentity: pod-a}}";
    std::fs::write(&lease, manifest)?;
    let lease = lease.to_string_lossy();
    fixture.namespace.kubectl(&["apply", "--server-side", "--field-manager=plimsoll", "-f", &lease])?;
    let holds = format!("pod-a holds the lease {}/plimsoll", fixture.namespace.name());
    terminal.fails("pause db --why night --timeout 1", &holds)?;
    drop(terminal);
    // What was written is obeyed by whoever leads next.
    fixture.daemon.start()?;
    fixture.daemon.until("the pause", PATIENCE, |status| status.paused.is_some()).await?;
    Ok(())
}

/// Whoever has no rights, and whoever goes to the wrong place.
fn strangers(fixture: &Fixture) -> anyhow::Result<()> {
    let terminal = Terminal::of(fixture)?;
    terminal.fails("status --context nowhere", "hint: look at `--kubeconfig`")?;
    terminal.fails("status --kubeconfig /nowhere", "/nowhere")?;
    let file = terminal.folder.path().join("nobody");
    let file = file.display();
    let make = format!(
        "set -e; cp \"$KUBECONFIG\" {file}; token=$(kubectl create token default -n {}); \
         kubectl --kubeconfig {file} config set-credentials nobody --token=\"$token\"; \
         kubectl --kubeconfig {file} config set-context --current --user=nobody",
        fixture.namespace.name()
    );
    let made = fixture.shell(&make, None)?;
    anyhow::ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for verb in ["status", "plan db", "pause db --why x", "scale db 5"] {
        let text = terminal.fails(&format!("{verb} --kubeconfig {file}"), "you may not")?;
        assert!(text.contains(":default"), "{text}");
    }
    Ok(())
}
