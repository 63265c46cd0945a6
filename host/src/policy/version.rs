//! One version of one policy: a digest, its compiled code, and the child that runs it.

use super::answer;
use super::artefact::{self, Artefact};
use super::fault::{Failure, Fault, Flaw, Rejection};
use super::frame::{Ask, Contract, Reply, Role};
use super::limits::{ANSWER_BYTES, Class, EVALUATE_SPACE_BYTES, LOAD_WALL_MS, Limits, SNAPSHOT_BYTES};
use super::process::{Launch, Process, Trouble, unexpected};
use super::scan::Inspection;
use plimsoll_wire::Snapshot;
use plimsoll_wire::proposal::Answer;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard, Semaphore};

/// Evaluations that may wait for one version: as many targets may ask it at the same moment.
const QUEUE: usize = 4_096;
/// How long one waits for its turn: when nothing came of it by then, the version cannot keep up, and the target holds.
const TURN: Duration = Duration::from_secs(10);

/// What came of asking a policy once.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// SHA-256 of the module that was asked, in hex; empty if none was.
    pub module: String,
    /// Units of fuel that it used.
    pub fuel: u64,
    /// Microseconds from the question to the answer, waiting and process hop included.
    pub wall_us: u64,
    /// Microseconds inside the child: a fresh instance and its run.
    pub guest_us: u64,
    /// What it logged, printable, a line each.
    pub log: Vec<String>,
    /// Names of fields of the answer that mean nothing.
    pub ignored: Vec<String>,
    /// The answer, or why there is none: then the target holds.
    pub result: Result<Answer, Failure>,
}

impl Evaluation {
    pub(crate) fn failed(module: &str, failure: Failure) -> Self {
        Self {
            module: module.to_owned(),
            fuel: 0,
            wall_us: 0,
            guest_us: 0,
            log: Vec::new(),
            ignored: Vec::new(),
            result: Err(failure),
        }
    }
}

/// One version of a policy, ready to be asked.
pub(crate) struct Version {
    pub inspection: Inspection,
    contract: Contract,
    class: Class,
    pub limits: Limits,
    launch: Launch,
    artefact: Artefact,
    /// The child, while it is idle and well. An evaluation takes it out and puts it back only after a
    /// whole answer, so that an evaluation that is dropped half-way takes its child with it.
    seat: Mutex<Option<Process>>,
    queue: Semaphore,
}

impl Version {
    /// Scans, compiles, loads and, for a component, asks for its description.
    pub(crate) async fn load(
        launch: &Launch,
        class: Class,
        limits: Limits,
        module: &[u8],
        cache: Option<&Path>,
    ) -> Result<Self, Rejection> {
        let first = Self::attempt(launch, class, limits, module, cache).await;
        match (first, cache) {
            (Err(rejection), Some(folder)) if rejection.flaw == Flaw::Artefact => {
                artefact::forget(folder, &super::child::digest(module), class);
                Self::attempt(launch, class, limits, module, cache).await
            }
            (result, _) => result,
        }
    }

    async fn attempt(
        launch: &Launch,
        class: Class,
        limits: Limits,
        module: &[u8],
        cache: Option<&Path>,
    ) -> Result<Self, Rejection> {
        let (inspection, artefact) = artefact::compile(launch, class, &limits, module, cache).await?;
        let contract = inspection.contract.unwrap_or(Contract::Program);
        let mut version = Self {
            inspection,
            contract,
            class,
            limits,
            launch: launch.clone(),
            artefact,
            seat: Mutex::new(None),
            queue: Semaphore::new(QUEUE),
        };
        let mut child = version.start().await?;
        if contract == Contract::Component {
            version.inspection.manifest = Some(describe(&mut child, &limits).await?);
        }
        version.seat = Mutex::new(Some(child));
        Ok(version)
    }

    /// A child that has loaded this version.
    async fn start(&self) -> Result<Process, Rejection> {
        // The artefact stands in memory twice while it is loaded.
        let artefact_bytes = self.launch.bounds(self.class).artefact_bytes;
        let space_bytes = EVALUATE_SPACE_BYTES + self.limits.memory_bytes + 2 * artefact_bytes;
        let mut child = Process::start(&self.launch, Role::Evaluate, self.class, space_bytes, None)
            .await
            .map_err(|trouble| trouble.unloaded())?;
        let ask =
            Ask::Load { contract: self.contract, sha256: self.artefact.sha256.clone(), limits: self.limits };
        let wall = Duration::from_millis(LOAD_WALL_MS);
        let reply = child.ask_file(&ask, &self.artefact.file, self.artefact.length, wall).await;
        match reply {
            Ok(Reply::Loaded) => Ok(child),
            Ok(Reply::Rejected { rejection }) => Err(Rejection::new(rejection.flaw, rejection.detail)),
            Ok(other) => Err(unexpected(&other).unloaded()),
            // Code is run here for the first time: a start function that never ends, too much memory.
            Err(Trouble::Wall(_) | Trouble::Died { .. } | Trouble::Garbage(_)) => {
                Err(Rejection::new(Flaw::Instantiate, "the child died while making a first instance"))
            }
            Err(trouble @ Trouble::Start(_)) => Err(trouble.unloaded()),
        }
    }

    /// SHA-256 of the module, in hex.
    pub(crate) fn digest(&self) -> &str {
        &self.inspection.digest
    }

    /// The process id of the idle child, for tests that kill it.
    pub(crate) async fn child_id(&self) -> Option<u32> {
        self.seat.lock().await.as_ref().and_then(Process::id)
    }

    /// Asks once. Never hangs and never fails: whatever goes wrong is a value.
    pub(crate) async fn evaluate(&self, snapshot: &Snapshot) -> Evaluation {
        let began = Instant::now();
        let mut evaluation = match self.ask(snapshot).await {
            Ok(evaluation) => evaluation,
            Err(failure) => Evaluation::failed(self.digest(), failure),
        };
        evaluation.wall_us = micros(began.elapsed());
        evaluation
    }

    async fn ask(&self, snapshot: &Snapshot) -> Result<Evaluation, Failure> {
        let mut seat = self.turn().await?;
        // Those that wait hold no copy of their snapshots.
        let input = plimsoll_wire::canonical(snapshot)
            .map_err(|error| Failure::new(Fault::Input, format!("writing the snapshot: {error}")))?;
        if input.len() > SNAPSHOT_BYTES {
            return Err(Failure::new(Fault::Input, format!("the snapshot has {} bytes", input.len())));
        }
        let mut child = match seat.take() {
            Some(child) => child,
            None => {
                self.start().await.map_err(|rejection| Failure::new(Fault::Sandbox, rejection.to_string()))?
            }
        };
        let ask = Ask::Evaluate { wall_ms: snapshot.now.wall_ms, fuel: self.limits.fuel };
        let wall = Duration::from_millis(self.limits.wall_ms);
        let answer = child.ask(&ask, &input, wall, ANSWER_BYTES as u64).await;
        let (reply, bytes) = answer.map_err(|trouble| trouble.failure())?;
        let Reply::Evaluated { fuel, guest_us, log, failure } = reply else {
            return Err(unexpected(&reply).failure());
        };
        *seat = Some(child);
        let log = log.iter().map(|line| super::fault::one_line(line, super::limits::LOG_BYTES)).collect();
        let (result, ignored) = match failure {
            Some(failure) => (Err(Failure::new(failure.fault, failure.detail)), Vec::new()),
            None => match answer::decode(&bytes) {
                Ok((answer, ignored)) => (Ok(answer), ignored),
                Err(failure) => (Err(failure), Vec::new()),
            },
        };
        Ok(Evaluation { module: self.digest().to_owned(), fuel, wall_us: 0, guest_us, log, ignored, result })
    }

    /// The child, or its empty seat, when it is our turn.
    async fn turn(&self) -> Result<MutexGuard<'_, Option<Process>>, Failure> {
        let busy = |why: String| Failure::new(Fault::Busy, why);
        let _place =
            self.queue.try_acquire().map_err(|_| busy(format!("{QUEUE} evaluations wait already")))?;
        let turn = tokio::time::timeout(TURN, self.seat.lock()).await;
        turn.map_err(|_| {
            let waiting = QUEUE - self.queue.available_permits();
            busy(format!("no turn within {} s, {waiting} evaluations wait", TURN.as_secs()))
        })
    }
}

async fn describe(child: &mut Process, limits: &Limits) -> Result<serde_json::Value, Rejection> {
    let wall = Duration::from_millis(limits.wall_ms);
    let reply = child.ask(&Ask::Describe, &[], wall, 0).await.map_err(|trouble| trouble.unloaded())?.0;
    if let Reply::Rejected { rejection } = reply {
        return Err(Rejection::new(rejection.flaw, rejection.detail));
    }
    let Reply::Described { manifest } = reply else { return Err(unexpected(&reply).unloaded()) };
    Ok(manifest)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
