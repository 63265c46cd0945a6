//! The world: an API server with a StatefulSet, its controller, and the simulator's quorum group in its pods; and what
//! is done to the daemon at one of its writes.
#![allow(clippy::unwrap_used, reason = "a test may end here")]

use super::evidence::{Entry, Evidence, What, Write, number};
use super::objects::workload;
use super::perturbation::{Case, Perturbation};
use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt as _;
use plimsoll::kubernetes::ApiServer;
use plimsoll::testing::objects::{Objects, Received, Reply, respond};
use plimsoll_core::observation::SystemReport;
use plimsoll_sim::faults::FaultSetup;
use plimsoll_sim::load::{Load, Shape};
use plimsoll_sim::platform::{PlatformSetup, Volumes};
use plimsoll_sim::quorum::QuorumSetup;
use plimsoll_sim::sim::{Setup, Sim, WorldSetup};
use plimsoll_wire::journal::{Intent, Journal, Outcome};
use plimsoll_wire::snapshot::{Now, Role, Signal, SignalState};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

pub(crate) const WORKLOAD: &str = "/apis/apps/v1/namespaces/shop/statefulsets/db";
pub(crate) const PLAN: &str = "/apis/plimsoll.dev/v1alpha1/namespaces/shop/scalingplans/db-main";
/// For how long views are old, and after how long a late write arrives: longer than the daemon rests after trouble,
/// shorter than a plan takes.
const FAULT_MS: u64 = 7_000;
/// How long the controller takes.
const CONTROLLER_MS: u64 = 500;
/// For how long signals are bad: long enough for several decisions.
const BAD_SIGNALS_MS: u64 = 120_000;

pub(crate) struct Cluster {
    case: Case,
    pub(crate) store: Objects,
    /// What there was before the last write.
    before: Objects,
    pub(crate) sim: Sim,
    log: Vec<Entry>,
    writes: usize,
    life: u32,
    stale_until_ms: u64,
    late: Option<(u64, usize, Received)>,
    /// When the fault was over.
    calm_ms: u64,
    crash: Arc<Notify>,
    /// When the controller looks next, where there is something to look at.
    controller_ms: Option<u64>,
}

/// What becomes of a write: what is answered, and the version that it made where it was carried out.
struct Fate {
    reply: Option<Reply>,
    version: Option<u64>,
}

impl Cluster {
    pub(crate) fn new(case: Case) -> Self {
        let platform = PlatformSetup {
            slots: 7,
            running: usize::try_from(case.from).unwrap(),
            boot_ms: 2_000,
            boot_spread_ms: 0,
            // As claims that are retained.
            volumes: Volumes::Keep,
            ..PlatformSetup::default()
        };
        let quorum = QuorumSetup { platform, data_bytes: 200_000_000, ..QuorumSetup::default() };
        let sim = Sim::new(Setup {
            seed: 7,
            world: WorldSetup::Quorum(quorum),
            load: Load::new(Shape::Constant(600)),
            faults: FaultSetup::None,
            sample_ms: 15_000,
            window_ms: 60_000,
        });
        let mut store = Objects::default();
        store.put(WORKLOAD, workload(case.from));
        let mut cluster = Self {
            case,
            before: store.clone(),
            store,
            calm_ms: sim.now_ms(),
            sim,
            log: Vec::new(),
            writes: 0,
            life: 0,
            stale_until_ms: 0,
            late: None,
            crash: Arc::default(),
            controller_ms: None,
        };
        for machine in 0..3 {
            let zone = json!({ "topology.kubernetes.io/zone": format!("zone-{machine}") });
            let object = json!({ "metadata": { "name": format!("machine-{machine}"), "labels": zone } });
            cluster.store.put(&format!("/api/v1/nodes/machine-{machine}"), object);
        }
        for ordinal in 0..case.from {
            cluster.create_pod(ordinal);
        }
        cluster.show_pods();
        cluster
    }

    pub(crate) fn now(&self) -> Now {
        self.sim.now()
    }

    /// Woken when the daemon dies.
    pub(crate) fn crash(&self) -> Arc<Notify> {
        self.crash.clone()
    }

    /// The daemon is started.
    pub(crate) fn born(&mut self) {
        self.life += 1;
    }

    fn note(&mut self, what: What) {
        self.log.push(Entry { at_ms: self.sim.now_ms(), life: self.life, what });
    }

    pub(crate) fn decided(&mut self, reason: String) {
        self.note(What::Decided(reason));
    }

    pub(crate) fn writes(&self) -> usize {
        self.writes
    }

    /// Lets time pass, and the controller work where there is something to do.
    pub(crate) fn advance(&mut self, to_ms: u64) {
        while self.sim.now_ms() < to_ms {
            let controller_ms = self.controller_ms.unwrap_or(u64::MAX);
            let late_ms = self.late.as_ref().map_or(u64::MAX, |(at_ms, ..)| *at_ms);
            let next_ms = to_ms.min(controller_ms).min(late_ms).max(self.sim.now_ms() + 1);
            self.sim.advance(next_ms);
            if late_ms <= next_ms {
                self.land();
            }
            if controller_ms <= next_ms {
                self.controller_ms = None;
                self.reconcile();
            }
        }
    }

    pub(crate) fn touch(&mut self) {
        self.controller_ms.get_or_insert(self.sim.now_ms() + CONTROLLER_MS);
    }

    fn land(&mut self) {
        let Some((_, entry, call)) = self.late.take() else { return };
        if let Reply::Json(200 | 201, _) = self.store.answer(&call) {
            self.note(What::Landed(entry));
            self.touch();
        }
        self.calm_ms = self.sim.now_ms();
    }

    // The API server.

    /// What is answered; none when nobody is there any more to hear it.
    fn answer(&mut self, call: &Received) -> Option<Reply> {
        if call.method == "GET" {
            return Some(self.read(call));
        }
        self.writes += 1;
        let whole = call.path.clone();
        let (path, part) = match whole.rsplit_once('/') {
            Some((path, part @ ("status" | "scale"))) => (path.to_owned(), part.to_owned()),
            Some(_) | None => (whole, String::new()),
        };
        let object = self.store.get(&path).cloned().unwrap_or_default();
        let before = self.store.clone();
        let entry = self.log.len();
        let fate = self.carry_out(call, entry);
        let created = &call.body["metadata"]["name"];
        let path = if call.method == "POST" { format!("{path}/{}", created.as_str().unwrap()) } else { path };
        self.note(What::Write(Box::new(Write {
            method: call.method.clone(),
            path,
            part,
            body: call.body.clone(),
            before: object,
            version: fate.version,
            answered: matches!(fate.reply, Some(Reply::Json(..))),
            signals: self.signals_are_good(),
        })));
        self.before = before;
        if fate.version.is_some() {
            self.touch();
        }
        self.after_write();
        fate.reply
    }

    fn read(&mut self, call: &Received) -> Reply {
        let stale = self.sim.now_ms() < self.stale_until_ms;
        let reply = if stale { self.before.answer(call) } else { self.store.answer(call) };
        let path = call.path.split('?').next().unwrap_or_default().to_owned();
        match &reply {
            Reply::Json(200, object) if object["items"].is_null() => {
                let version = number(&object["metadata"]["resourceVersion"]);
                self.note(What::Read { path, version });
            }
            Reply::Json(404, _) => self.note(What::Read { path, version: None }),
            Reply::Json(..)
            | Reply::Later(_)
            | Reply::Text(..)
            | Reply::Hang
            | Reply::Reset
            | Reply::Torn(..)
            | Reply::Endless => {}
        }
        reply
    }

    /// What was planned for this write, or for the next one.
    fn fault(&self) -> Option<Perturbation> {
        self.case.fault.filter(|(_, at)| *at == self.writes).map(|(fault, _)| fault)
    }

    /// The view grows old right before a write: with the write before it.
    fn after_write(&mut self) {
        if self.case.fault == Some((Perturbation::StaleView, self.writes + 1)) {
            self.stale_until_ms = self.sim.now_ms() + FAULT_MS;
            self.calm_ms = self.stale_until_ms;
        }
    }

    fn carry_out(&mut self, call: &Received, entry: usize) -> Fate {
        let fault = self.fault();
        if fault.is_some() {
            self.calm_ms = self.calm_ms.max(self.sim.now_ms());
        }
        let silent = Reply::Torn(200, "");
        let denied = |reply| Fate { reply: Some(reply), version: None };
        match fault {
            None | Some(Perturbation::StaleView) => self.apply(call),
            Some(Perturbation::CrashBefore) => {
                self.die();
                Fate { reply: None, version: None }
            }
            Some(Perturbation::CrashAfter) => {
                let version = self.apply(call).version;
                self.die();
                Fate { reply: None, version }
            }
            Some(Perturbation::HiddenPod) => {
                let fate = self.apply(call);
                self.replace_highest_pod();
                fate
            }
            Some(Perturbation::HiddenEdit) => {
                let fate = self.apply(call);
                self.edit_and_back();
                fate
            }
            Some(Perturbation::Unanswered) => Fate { reply: Some(silent), ..self.apply(call) },
            Some(Perturbation::Lost) => denied(silent),
            Some(Perturbation::Late) => {
                self.late = Some((self.sim.now_ms() + FAULT_MS, entry, call.clone()));
                self.calm_ms = self.sim.now_ms() + FAULT_MS;
                denied(silent)
            }
            Some(Perturbation::Conflict) => denied(Reply::status(409, "the object has been modified")),
            Some(Perturbation::Busy) => denied(Reply::status(429, "too many requests")),
            Some(Perturbation::Trouble) => denied(Reply::status(500, "etcdserver: leader changed")),
        }
    }

    fn apply(&mut self, call: &Received) -> Fate {
        let reply = self.store.answer(call);
        let version = match &reply {
            Reply::Json(200 | 201, object) => number(&object["metadata"]["resourceVersion"]),
            Reply::Json(..)
            | Reply::Later(_)
            | Reply::Text(..)
            | Reply::Hang
            | Reply::Reset
            | Reply::Torn(..)
            | Reply::Endless => None,
        };
        Fate { reply: Some(reply), version }
    }

    fn die(&self) {
        self.crash.notify_one();
    }

    // The data system.

    /// A call to the group; none when the daemon died at it.
    pub(crate) fn call(&mut self, intent: &Intent, epoch: u64) -> Option<Outcome> {
        self.writes += 1;
        let unknown = || Some(Outcome::Unknown { message: "no answer within the deadline".to_owned() });
        let fault = self.fault();
        let sent = !matches!(
            fault,
            Some(Perturbation::CrashBefore | Perturbation::Lost | Perturbation::Busy | Perturbation::Trouble)
        );
        let outcome = if sent {
            self.sim.act(&intent.verb, &format!("plan/{}", intent.plan)).outcome
        } else {
            Outcome::Refused { message: "it did not arrive".to_owned() }
        };
        let applied = outcome == Outcome::Applied;
        self.touch();
        self.note(What::Call { intent: Box::new(intent.clone()), epoch, applied });
        if fault.is_some() {
            self.calm_ms = self.calm_ms.max(self.sim.now_ms());
        }
        self.after_write();
        match fault {
            Some(Perturbation::CrashBefore | Perturbation::CrashAfter) => {
                self.die();
                None
            }
            // A system's own call that is late is one that was carried out and not answered.
            Some(Perturbation::Unanswered | Perturbation::Late | Perturbation::Lost) => unknown(),
            Some(Perturbation::HiddenPod) => {
                self.replace_highest_pod();
                Some(outcome)
            }
            Some(Perturbation::HiddenEdit) => {
                self.edit_and_back();
                Some(outcome)
            }
            Some(
                Perturbation::StaleView | Perturbation::Conflict | Perturbation::Busy | Perturbation::Trouble,
            )
            | None => Some(outcome),
        }
    }

    /// What the group says of itself, and the signals.
    pub(crate) fn system(&mut self, direct: bool) -> (SystemReport, BTreeMap<String, Signal>) {
        let seen = self.sim.observe(direct);
        let mut signals = seen.signals;
        if !self.signals_are_good() {
            signals.values_mut().for_each(|signal| {
                signal.state = self.case.signals;
                signal.samples.clear();
            });
        }
        (seen.system, signals)
    }

    fn signals_are_good(&self) -> bool {
        self.case.signals == SignalState::Ok
            || self.sim.now_ms() >= plimsoll_sim::sim::ORIGIN_MS + BAD_SIGNALS_MS
    }

    // The end.

    /// The journal as it is stored.
    pub(crate) fn journal(&self) -> Option<Journal> {
        serde_json::from_value(self.store.get(PLAN)?["status"]["journal"].clone()).ok()
    }

    /// Whether the group has the size, and no plan is left.
    pub(crate) fn is_done(&self) -> bool {
        let rests = self.journal().is_some_and(|journal| journal.plan.is_none());
        rests && self.replicas() == self.case.to && self.voters() == self.case.to
    }

    fn replicas(&self) -> u32 {
        let size = self.store.get(WORKLOAD).unwrap()["spec"]["replicas"].as_u64().unwrap();
        u32::try_from(size).unwrap()
    }

    fn voters(&self) -> u32 {
        let report = self.sim.world().system_report(self.sim.now_ms());
        let members = report.members.value().map_or(&[][..], Vec::as_slice);
        let votes =
            members.iter().filter(|it| it.roles.value().is_some_and(|roles| roles.contains(&Role::Voter)));
        u32::try_from(votes.count()).unwrap()
    }

    pub(crate) fn evidence(&self, bounds: (u32, u32), interval_ms: u64) -> Evidence {
        Evidence {
            log: self.log.clone(),
            harms: self.sim.oracle().findings().to_vec(),
            wish: self.case.to,
            replicas: self.replicas(),
            voters: self.voters(),
            plan: self.journal().and_then(|journal| journal.plan),
            bounds,
            calm_ms: self.calm_ms,
            end_ms: self.sim.now_ms(),
            interval_ms,
        }
    }
}

/// The server as the daemon knows it: without a wire between them, so that no real time passes.
pub(crate) fn server(cluster: &Arc<Mutex<Cluster>>) -> ApiServer {
    let cluster = cluster.clone();
    let handler = move |request: axum::extract::Request| {
        let cluster = cluster.clone();
        async move {
            let (head, body) = request.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            let call = Received {
                method: head.method.to_string(),
                path: head.uri.to_string(),
                kind: head.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap()).to_owned(),
                body: serde_json::from_slice(&bytes).unwrap_or_default(),
            };
            let reply = cluster.lock().unwrap().answer(&call);
            match reply {
                Some(reply) => {
                    respond(reply).unwrap_or_else(|_| axum::response::Response::new(Body::empty()))
                }
                // Nobody is there any more to hear it.
                None => std::future::pending().await,
            }
        }
    };
    ApiServer::over(Router::new().fallback(handler))
}
