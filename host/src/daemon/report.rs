//! Writes to the objects that targets come from: status, events, and the size that was found where a wish may be
//! written. Nothing waits for these writes and nothing is decided by them; a write that fails is sent later or never.
//! Only the leader writes.

mod event;
mod record;

pub use event::{EVENT_KINDS, Kind};

use super::cluster::{Cluster, Watches};
use super::executor::Tools;
use crate::kubernetes::scaling_plan::{GROUP, VERSION};
use crate::kubernetes::stateful_autoscaler::{ExternalWish, Moment, PLURAL, Seen, Status};
use crate::kubernetes::{ApiServer, Claim, Failure, Write, wish};
use crate::machine::Clock;
use crate::published::Published;
use crate::view::Autoscaler;
use plimsoll_wire::status as wire;
use record::Recorder;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How often it is looked whether there is news: often enough that a person who watches sees it happen.
const PACE: Duration = Duration::from_millis(250);
/// The least time between two writes of one object's status: a plan's steps are published as they come, and a target that
/// flutters costs a write a second and no more.
const BETWEEN: Duration = Duration::from_secs(1);
/// The same after a write that failed: forbidden stays forbidden for a while.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// Writes at a time: a fleet's first statuses are written within seconds, and the server's other clients hardly notice.
const WRITERS: usize = 8;
/// How long nothing is worked out again where nothing has changed: a text that was held back for its numbers alone is
/// written when its time has come.
const SETTLED: Duration = Duration::from_secs(15);
/// How long the answer counts which pods a workload has. It changes only when the workload is recreated.
const SELECTOR_AGE: Duration = Duration::from_secs(600);

/// What is known of one object's writing.
#[derive(Default)]
struct Written {
    uid: String,
    /// What was written last, and in which version of the object it is.
    status: Option<(Status, String)>,
    status_due: Option<Instant>,
    seed_due: Option<Instant>,
    selector: Option<String>,
    selector_due: Option<Instant>,
    /// The target's status when events were last made of it.
    announced: Option<Arc<wire::Status>>,
    refused: Option<String>,
    /// The policies that went back to an earlier version for it, as far as that was announced.
    rolled_back: Vec<String>,
    /// From what nothing was due, and until when that holds.
    settled: Option<(Known, Instant)>,
}

/// What a status is made of.
struct Known {
    autoscaler: Arc<Autoscaler>,
    object: Arc<Value>,
    target: Option<Arc<wire::Status>>,
    unbuilt: Option<String>,
}

impl Known {
    /// Whether nothing was published and nothing was seen since.
    fn is_still(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.object, &other.object)
            && self.target.as_ref().map(Arc::as_ptr) == other.target.as_ref().map(Arc::as_ptr)
            && (&self.autoscaler, &self.unbuilt) == (&other.autoscaler, &other.unbuilt)
    }
}

/// One thing to write or to read.
enum Job {
    Status(Box<Status>),
    Seed(u32),
    Selector(String),
}

/// What came of it.
#[expect(clippy::large_enum_variant, reason = "it is handed over once and dropped")]
enum Came {
    Status(Result<(Status, String), Failure>),
    Seed(Result<(), Failure>),
    Selector(Result<Option<String>, Failure>),
}

/// The writer.
pub(super) struct Reporter {
    server: Arc<ApiServer>,
    autoscalers: Arc<Watches>,
    published: Published,
    clock: Clock,
    leading: watch::Receiver<bool>,
    recorder: Recorder,
    written: BTreeMap<Arc<str>, Written>,
}

impl Reporter {
    /// Begins to write, for as long as the daemon runs; where no target comes from the cluster, there is nothing to.
    pub(super) fn start(
        tools: &Tools,
        cluster: &Cluster,
        published: &Published,
        leading: watch::Receiver<bool>,
    ) {
        let (Some(server), Some(autoscalers)) = (tools.kubernetes.clone(), cluster.autoscalers()) else {
            return;
        };
        let mut reporter = Self {
            recorder: Recorder::start(server.clone()),
            server,
            autoscalers,
            published: published.clone(),
            clock: tools.clock.clone(),
            leading,
            written: BTreeMap::new(),
        };
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PACE).await;
                if *reporter.leading.borrow() {
                    reporter.pass().await;
                } else {
                    // Another daemon leads and writes meanwhile; what we wrote counts no more.
                    reporter.written.clear();
                }
            }
        });
    }

    async fn pass(&mut self) {
        let (view, objects) = (self.published.get(), self.autoscalers.sight().objects);
        let mut rolled_back = self.published.rolled_back();
        self.written.retain(|name, _| view.autoscalers.contains_key(name));
        let mut jobs: Vec<(Arc<str>, Arc<Value>, Job)> = Vec::new();
        let now = (Instant::now(), self.clock.now().wall_ms);
        for (name, autoscaler) in view.autoscalers.iter() {
            let Some(object) = objects.get(&**name) else { continue };
            if object["metadata"]["uid"].as_str() != Some(&autoscaler.uid) {
                continue;
            }
            let written = self.written.entry(name.clone()).or_default();
            if written.uid != autoscaler.uid {
                *written = Written { uid: autoscaler.uid.clone(), ..Written::default() };
            }
            self.recorder.tell(object, news(written, autoscaler, view.targets.get(name)));
            self.recorder.tell(object, set_back(written, rolled_back.remove(name).unwrap_or_default()));
            let known = Known {
                autoscaler: autoscaler.clone(),
                object: object.clone(),
                target: view.targets.get(name).cloned(),
                unbuilt: view.unbuilt.get(name).cloned(),
            };
            let due = written.due(known, now);
            jobs.extend(due.into_iter().map(|job| (name.clone(), object.clone(), job)));
        }
        let mut jobs = jobs.into_iter();
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < WRITERS
                && let Some((name, object, job)) = jobs.next()
            {
                let server = self.server.clone();
                under_way.spawn(async move { (name, carry_out(&server, &object, job).await) });
            }
            match under_way.join_next().await {
                None => return,
                Some(Ok((name, came))) => self.note(&name, came),
                // It has ended without a word, and is due again.
                Some(Err(error)) => tracing::error!(%error, "writing to a StatefulAutoscaler"),
            }
        }
    }

    fn note(&mut self, name: &Arc<str>, came: Came) {
        let Some(written) = self.written.get_mut(name) else { return };
        let now = Instant::now();
        let failed = |what: &str, failure: &Failure| {
            tracing::warn!(target = %name, "{what}: {failure}");
            Some(now + AFTER_FAILURE)
        };
        match came {
            Came::Status(Ok(status)) => {
                (written.status, written.status_due) = (Some(status), Some(now + BETWEEN))
            }
            Came::Status(Err(failure)) => written.status_due = failed("writing its status", &failure),
            Came::Seed(Ok(())) => written.seed_due = Some(now + AFTER_FAILURE),
            // Somebody was faster: their value is a wish.
            Came::Seed(Err(Failure::Conflict { .. })) => written.seed_due = Some(now + AFTER_FAILURE),
            Came::Seed(Err(failure)) => {
                written.seed_due = failed("writing the size that wishes begin at", &failure)
            }
            Came::Selector(Ok(selector)) => {
                (written.selector, written.selector_due) = (selector, Some(now + SELECTOR_AGE));
            }
            Came::Selector(Err(failure)) => {
                written.selector_due = failed("reading which pods are its members", &failure);
            }
        }
    }
}

/// What is new since the last look, which this becomes. At the first look nothing is: what was before is not ours to
/// tell again.
fn news(
    written: &mut Written,
    autoscaler: &Autoscaler,
    target: Option<&Arc<wire::Status>>,
) -> Vec<event::Note> {
    let mut notes = Vec::new();
    if autoscaler.refused != written.refused {
        written.refused.clone_from(&autoscaler.refused);
        notes.extend(autoscaler.refused.iter().map(|why| event::note(event::INVALID_SPEC, why)));
    }
    let Some(target) = target else { return notes };
    let before = written.announced.replace(target.clone());
    if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, target)) {
        notes.extend(event::between(&before, target));
    }
    notes
}

/// The policies that have gone back to an earlier version since the last report. What was so before a restart is reported
/// again: the people who look after the target should know.
fn set_back(written: &mut Written, now: Vec<String>) -> Vec<event::Note> {
    let news = now.iter().filter(|line| !written.rolled_back.contains(line));
    let notes = news.map(|line| event::note(event::POLICY_ROLLED_BACK, line)).collect();
    written.rolled_back = now;
    notes
}

impl Written {
    /// What is to be written or read for an object now.
    fn due(&mut self, known: Known, now: (Instant, i64)) -> Vec<Job> {
        let still = |(before, until): &(Known, Instant)| now.0 < *until && before.is_still(&known);
        if self.settled.as_ref().is_some_and(still) {
            return Vec::new();
        }
        let jobs = due(self, &known, now);
        let waits = [self.status_due, self.seed_due].into_iter().flatten().any(|at| at > now.0);
        self.settled = (jobs.is_empty() && !waits).then(|| (known, now.0 + SETTLED));
        jobs
    }
}

/// The same, worked out.
fn due(written: &Written, known: &Known, (now, wall_ms): (Instant, i64)) -> Vec<Job> {
    let is_due = |at: Option<Instant>| at.is_none_or(|at| at <= now);
    let Known { autoscaler, object, target, unbuilt } = known;
    let target = target.as_deref();
    let unbuilt = unbuilt.as_ref().map(|why| format!("it cannot be run: {why}"));
    let refused = autoscaler.refused.clone().or(unbuilt);
    let mut jobs = Vec::new();
    if let Some(path) =
        autoscaler.scale.clone().filter(|_| autoscaler.external_wish && is_due(written.selector_due))
    {
        jobs.push(Job::Selector(path));
    }
    let size = target.filter(|target| target.plan.is_none()).and_then(|target| target.sizes.members);
    if let Some(members) = size.filter(|_| autoscaler.external_wish && wish::is_blank(object))
        && is_due(written.seed_due)
    {
        jobs.push(Job::Seed(members));
    }
    if !is_due(written.status_due) || (target.is_none() && refused.is_none()) {
        return jobs;
    }
    let before = before(written, object);
    let seen = Seen {
        generation: autoscaler.generation,
        refused,
        selector: written.selector.clone(),
        external_wish: target.and_then(|target| target.outside.as_ref()).map(external),
        wall_ms,
    };
    let status = Status::of(target, &seen, before.as_ref());
    if before.as_ref() != Some(&status) {
        jobs.push(Job::Status(Box::new(status)));
    }
    jobs
}

fn external(wish: &wire::OutsideWish) -> ExternalWish {
    let time = (!wish.when.is_empty()).then(|| Moment(wish.when.clone()));
    ExternalWish { replicas: wish.members, manager: wish.who.clone(), time }
}

/// The status as it stands: what the watch shows, unless it is older than what was written.
fn before(written: &Written, object: &Value) -> Option<Status> {
    // Versions of one kind of objects in one server may be compared, as numbers; anything else is not known.
    let number = |version: &str| version.parse::<u64>().ok();
    let shown = object["metadata"]["resourceVersion"].as_str().and_then(number);
    if let Some((status, version)) = &written.status
        && number(version).zip(shown).is_some_and(|(ours, shown)| shown < ours)
    {
        return Some(status.clone());
    }
    serde_json::from_value(object.get("status")?.clone()).ok()
}

async fn carry_out(server: &ApiServer, object: &Value, job: Job) -> Came {
    let metadata = &object["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text(&metadata["namespace"]), text(&metadata["name"]));
    let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}");
    match job {
        Job::Seed(members) => {
            let seed = wish::seed(object, members);
            Came::Seed(server.write(Write::Apply(&path, &seed, Claim::Ask)).await.map(drop))
        }
        Job::Selector(path) => Came::Selector(server.read(&path).await.map(|scale| {
            scale["status"]["selector"]
                .as_str()
                .filter(|selector| !selector.is_empty())
                .map(ToOwned::to_owned)
        })),
        Job::Status(status) => {
            let body = json!({
                "apiVersion": object["apiVersion"],
                "kind": object["kind"],
                "metadata": {
                    "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"],
                },
                "status": &*status,
            });
            let wrote = server.write(Write::Apply(&format!("{path}/status"), &body, Claim::Take)).await;
            Came::Status(wrote.map(|object| (*status, text(&object["metadata"]["resourceVersion"]))))
        }
    }
}
