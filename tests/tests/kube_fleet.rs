//! Figures of a fleet on a real API server: how much memory the daemon takes with a thousand `StatefulAutoscaler` objects, how
//! soon each of them has a status, and what is asked of the server at rest, by the server's own count. A sample of twenty
//! and a minute and a half in `make test`, in which everything is read anew once where the server is silent; with
//! `PLIMSOLL_LONG=1` a thousand, and an hour, or so many seconds as `PLIMSOLL_REST` says.

use anyhow::Context as _;
use plimsoll_tests::cluster::{Cluster, Namespace};
use plimsoll_tests::daemon::Daemon;
use plimsoll_tests::kube::define;
use plimsoll_tests::process::wait_until;
use plimsoll_tests::requests::Asked;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How many: a fleet of which one daemon is in charge.
const FLEET: usize = 1_000;
/// How many in the short form.
const SAMPLE: usize = 20;
/// Objects in one `kubectl apply`.
const AT_A_TIME: usize = 100;
/// After a direct look the next ones are direct for as long; then what is watched is gone by.
const SETTLED: Duration = Duration::from_secs(100);
/// For a thousand statuses on a busy machine.
const PATIENCE: Duration = Duration::from_secs(900);

#[test]
fn every_autoscaler_of_a_fleet_has_a_status_and_the_daemons_memory_is_told() -> anyhow::Result<()> {
    let fleet = if is_long() { FLEET } else { SAMPLE };
    let cluster = Cluster::shared()?;
    define(&cluster)?;
    let namespace = Namespace::create(&cluster)?;
    for first in (0..fleet).step_by(AT_A_TIME) {
        let some: String = (first..fleet.min(first + AT_A_TIME)).map(one).collect();
        namespace.apply(&some)?;
    }
    cluster.inside(move || {
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(look(namespace, fleet))
    })?
}

fn is_long() -> bool {
    std::env::var("PLIMSOLL_LONG").is_ok()
}

/// How often each is looked at, in seconds.
fn interval() -> u64 {
    if is_long() { 60 } else { 5 }
}

/// A StatefulSet whose pods nobody gives a machine, and its autoscaler: it has its size, and rests.
fn one(number: usize) -> String {
    let mut text = String::new();
    let _ = write!(
        text,
        "apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db-{number}}}
spec:
  serviceName: db
  replicas: 3
  podManagementPolicy: Parallel
  selector: {{matchLabels: {{app: db-{number}}}}}
  template:
    metadata: {{labels: {{app: db-{number}}}}}
    spec: {{schedulerName: nobody, containers: [{{name: db, image: 'plimsoll.test/busybox:1'}}]}}
---
apiVersion: plimsoll.dev/v1alpha1
kind: StatefulAutoscaler
metadata: {{name: db-{number}}}
spec:
  targetRef: {{apiVersion: apps/v1, kind: StatefulSet, name: db-{number}}}
  system: {{kind: etcd, ref: pods}}
  minReplicas: 3
  maxReplicas: 5
  interval: {}s
  policies: [{{name: nobody, module: hold.wasm}}]
---
",
        interval()
    );
    text
}

async fn look(namespace: Namespace, fleet: usize) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let file = format!(
        "apiVersion: plimsoll.dev/v1alpha1
kind: DaemonConfig
http: {{enabled: false}}
kubernetes: {{kubeconfig: {}, namespaces: [{1}], autoscalers: true}}
systems:
  pods: {{kind: etcd, namespaces: [{1}]}}
",
        namespace.cluster().kubeconfig().display(),
        namespace.name()
    );
    let mut daemon = Daemon::in_folder(home.path(), &file, &format!("{}/db-0", namespace.name()))?;
    daemon.start()?;
    let (began, pid) = (Instant::now(), daemon.id().context("the daemon does not run")?);
    let told = wait_until("a status of each", PATIENCE, async || {
        let path = "jsonpath={range .items[*]}{.status.conditions[0].type}{\"\\n\"}{end}";
        let shown = namespace.kubectl(&["get", "statefulautoscalers", "--output", path])?;
        let count = shown.lines().filter(|line| !line.is_empty()).count();
        anyhow::ensure!(count == fleet, "{count} have a status");
        Ok(())
    });
    told.await.with_context(|| daemon.tail())?;
    // Its controller takes longer to make thousands of pods than we to look at them, and what it does is news.
    let made = wait_until("all pods", PATIENCE, async || {
        let shown = namespace.kubectl(&["get", "pods", "--no-headers", "--output", "name"])?;
        anyhow::ensure!(shown.lines().count() == 3 * fleet, "{} pods", shown.lines().count());
        Ok(())
    });
    made.await?;
    println!("{fleet} statuses after {:.0} s", began.elapsed().as_secs_f64());
    println!("before the rest:\n{}", memory(pid)?);
    let rested = at_rest(&namespace, fleet).await;
    println!("after the rest:\n{}", memory(pid)?);
    rested?;
    daemon.kill()?;
    // Their journals would keep the namespace.
    let plans = namespace.kubectl(&["get", "scalingplans", "--output", "name"])?;
    let plans: Vec<&str> = plans.lines().collect();
    let free = ["--type=merge", "--patch", r#"{"metadata":{"finalizers":null}}"#];
    for some in plans.chunks(AT_A_TIME) {
        namespace.kubectl(&[&["patch"][..], some, &free[..]].concat())?;
    }
    Ok(())
}

fn memory(pid: u32) -> anyhow::Result<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let lines: Vec<&str> = status.lines().filter(|line| line.starts_with("Vm")).collect();
    Ok(lines.join("\n"))
}

/// What every autoscaler's conditions say, and since when: one that turns is news, and a status is written.
fn conditions(namespace: &Namespace) -> anyhow::Result<BTreeSet<String>> {
    let path = "jsonpath={range .items[*]}{.metadata.name}{range .status.conditions[*]}\
                {\" \"}{.type}={.status},{.reason},{.lastTransitionTime}{end}{\"\\n\"}{end}";
    let shown = namespace.kubectl(&["get", "statefulautoscalers", "--output", path])?;
    let of_one = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        let name = words.next().unwrap_or_default();
        words.map(|condition| format!("{condition} of {name}")).collect::<Vec<_>>()
    };
    Ok(shown.lines().flat_map(of_one).collect())
}

/// How many conditions are what they were not, by what they say now.
fn turned(before: &BTreeSet<String>, after: &BTreeSet<String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for condition in after.difference(before) {
        let what = condition.rsplit_once(',').map_or(condition.as_str(), |(what, _since)| what);
        *counts.entry(what.to_owned()).or_default() += 1;
    }
    counts
}

/// At rest nothing is asked again and again, and nothing is written without news: what is left is that a watch ends and begins
/// anew, that each journal is written once an hour, and what the cluster's own parts ask.
async fn at_rest(namespace: &Namespace, fleet: usize) -> anyhow::Result<()> {
    tokio::time::sleep(SETTLED).await;
    let usual = if is_long() { 3_600 } else { 90 };
    let window = Duration::from_secs(std::env::var("PLIMSOLL_REST").map_or(Ok(usual), |said| said.parse())?);
    let before = Asked::of(namespace.cluster())?;
    let told = conditions(namespace)?;
    anyhow::ensure!(told.len() >= fleet, "{} conditions", told.len());
    tokio::time::sleep(window).await;
    for (what, count) in turned(&told, &conditions(namespace)?) {
        println!("{count:>6} turned to {what}");
    }
    let since = Asked::of(namespace.cluster())?.since(&before);
    print!("{since}");
    let total = since.calls();
    let (targets, hours) = (f64::from(u32::try_from(fleet)?), window.as_secs_f64() / 3_600.0);
    let each = f64::from(u32::try_from(total)?) / targets / hours;
    println!(
        "{total} requests beside watches in {window:?} for {fleet} targets: {each:.1} a target and hour"
    );
    // Every target was looked at several times meanwhile: had one look asked anything, it would be more than this.
    let looks = u64::try_from(fleet)? * window.as_secs() / interval();
    anyhow::ensure!(total * 4 < looks, "{total} requests for {looks} looks");
    Ok(())
}
