//! Members that are listed, started and stopped by the owner's own commands (`decisions.md` D12, D14).
//!
//! A command is an argument vector of the daemon's file. It reads one JSON document from its standard input
//! and knows `PLIMSOLL_TARGET`, for `add` and `remove` also `PLIMSOLL_PLAN` and `PLIMSOLL_STEP`; nothing that a
//! policy, a target's document or a system said is ever an argument, and no shell is started. The one thing that the
//! owner may have filled in is the target's key, checked to be of names, where an argument is `{target}`, `{namespace}`
//! or `{name}` and nothing else.
//!
//! `list` reads `{"formatVersion":1,"target":"lab/web"}` and answers with every slot that the target has:
//!
//! ```json
//! {"formatVersion": 1,
//!  "members": [{"slot": "e1", "running": true, "incarnation": "boot-7",
//!               "endpoints": {"client": "http://10.0.0.1:2379", "peer": "http://10.0.0.1:2380"},
//!               "domain": "zone-a/host1",
//!               "volume": {"fingerprint": "c1", "memberId": "m1", "tombstoned": false}}],
//!  "vacant": [{"slot": "e4", "endpoints": {}, "domain": "zone-b/host4", "volume": null}]}
//! ```
//!
//! `incarnation` must change when the process or its volume is replaced. `domain` and `volume` may be left out:
//! then they are unknown, and rules that need them defer. A `volume` of `null` says that it is blank. Anything
//! doubtful (an exit code, a time-out, junk, a slot or an address that is there twice) makes the whole listing
//! unknown, never empty.
//!
//! A platform with many targets may have a command that lists all of them at once ([`SharedList`]). It reads
//! `{"formatVersion":1}` and answers `{"formatVersion":1,"targets":{"lab/web":{"members":[],"vacant":[]}}}`.
//!
//! `add` reads `{"formatVersion":1,"target","plan","step","slot","sizeAfter","join"}`, where `join` is what the
//! system's driver says that the member needs, in the system's own words; `remove` reads `memberId` in its place. Both must be idempotent,
//! start members through a service manager or detached (`setsid`, output to a file of their own), and exit with
//! 0 when it is done, with 3 when they refuse and changed nothing, and with anything else when nobody knows.

mod capture;
mod document;
mod guard;
mod listing;
mod process;
mod settings;
mod shared;
mod status;
mod store;

pub use guard::guard_main;
pub use process::Process;
pub use settings::{Command, ExecConfig, ExecError, Listing, argument_problem, argv_for, is_placeholder};
pub use shared::{SharedList, SharedLists};
pub use status::{End, GuardStatus};

use super::Platform;
use crate::actuate::{Pending, Permit};
pub(super) use document::KIND;
use guard::{Job, MAX_JOB, exit, monotonic_ms};
use listing::clip;
use plimsoll_core::observation::{PlatformReport, Reading, Source};
use plimsoll_core::workload::room_of_places;
use plimsoll_wire::fact::{Authority, Fact, Gap};
use plimsoll_wire::journal::{Outcome, PlatformVerb};
use plimsoll_wire::snapshot::{Operation, OperationKind};
use plimsoll_wire::workload::ROOM;
use serde_json::json;
use settings::COMMAND_PATH;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long a command waits for one of an earlier step that still runs. A guard that a killed daemon left
/// behind ends by itself; waiting longer than this is for the next cycle.
const LOCK_WAIT: Duration = Duration::from_secs(30);
/// What a command has beyond its own deadline, for its guard to tell how it ended.
const MARGIN: Duration = Duration::from_secs(40);
/// Bytes of an answer for one target: some hundred bytes for each of a thousand slots.
const MAX_ANSWER: usize = 1024 * 1024;
/// Bytes of a request.
const MAX_REQUEST: usize = 256 * 1024;
/// A list command reads the world each time and has nothing to warm up (EVID-4), so its word is that of
/// an observer who has long been there.
const OBSERVER_UP_MS: u64 = u32::MAX as u64;

/// A platform of the owner's own commands.
#[derive(Debug)]
pub struct Exec {
    name: String,
    config: ExecConfig,
    /// The list that it has in common with others, where one command tells all targets'.
    shared: Option<Arc<SharedList>>,
    state: PathBuf,
    guard: PathBuf,
    source: Source,
    /// The number of the run of a shared list that this target got last; 0 before the first.
    last_run: AtomicU64,
}

/// What a verb asks of a command.
struct Request<'a> {
    command: &'a Command,
    slot: &'a str,
    body: serde_json::Value,
}

impl Platform for Exec {
    fn observe<'a>(&'a self, target: &'a str, direct: bool) -> Pending<'a, PlatformReport> {
        Box::pin(self.read(target, direct))
    }

    fn stamp(&self, _: u64) -> Pending<'_, Result<(), String>> {
        // The lock of each target's guard keeps others away, on this machine; there is no lease beside it.
        Box::pin(async { Ok(()) })
    }

    fn verb_deadline(&self, verb: &PlatformVerb) -> Duration {
        let command = match verb {
            PlatformVerb::Start { .. } => &self.config.add,
            PlatformVerb::Stop { .. } => &self.config.remove,
        };
        // The guard ends the command at its own deadline; ours is later, so that we hear of it. Where there is no
        // command, the refusal takes no time.
        command.as_ref().map_or(Duration::ZERO, |command| command.timeout) + MARGIN
    }

    fn act<'a>(&'a self, permit: &'a Permit, verb: &'a PlatformVerb) -> Pending<'a, Outcome> {
        Box::pin(self.carry_out(permit, verb))
    }
}

impl Exec {
    /// A platform whose locks and statuses lie under `state`, a folder of the daemon's own. Targets refer to it by its name.
    ///
    /// # Errors
    /// When the configuration is wrong, with all problems.
    pub fn new(
        name: &str,
        config: ExecConfig,
        lists: &SharedLists,
        state: impl Into<PathBuf>,
    ) -> Result<Self, ExecError> {
        let mut problems = config.problems();
        let state = state.into();
        if !state.is_absolute() {
            problems.push("the state folder must be an absolute path".to_owned());
        }
        if !problems.is_empty() {
            return Err(ExecError { name: name.to_owned(), problems });
        }
        let source = Source::new(Authority::Platform, format!("exec/{name}"), OBSERVER_UP_MS);
        let shared = match &config.list {
            Listing::Each(_) => None,
            Listing::All { command, keep } => Some(lists.of(command, &config.working_dir, *keep)),
        };
        Ok(Self {
            name: name.to_owned(),
            config,
            shared,
            state,
            // Also right after the file was replaced by an upgrade: it is the program that runs.
            guard: PathBuf::from("/proc/self/exe"),
            source,
            last_run: AtomicU64::new(0),
        })
    }

    /// The same with another program whose `exec-guard` mode is the guard, for callers that are not `plimsoll`.
    #[must_use]
    pub fn with_guard(mut self, program: impl Into<PathBuf>) -> Self {
        self.guard = program.into();
        self
    }

    /// What the `list` command says now, and which commands of ours still run. Unless it is `direct`, what a list for all
    /// targets has said a moment ago will do; it tells its age.
    async fn read(&self, target: &str, direct: bool) -> PlatformReport {
        if let Err(why) = self.admit(target) {
            return report(Err((Gap::Error, why.clone())), Reading::gap(Gap::Error, why));
        }
        // Looked at before and after: a command that ended meanwhile may be missing from the list.
        let before = self.operations(target).await;
        let listing = self.list(target, direct).await;
        let after = self.operations(target).await;
        let operations = match (before, after) {
            (Ok(before), Ok(after)) => self.source.tells(if before.is_empty() { after } else { before }),
            (Err(error), _) | (_, Err(error)) => {
                Reading::gap(Gap::Error, format!("reading the statuses of commands: {error}"))
            }
        };
        report(listing, operations)
    }

    async fn list(&self, target: &str, direct: bool) -> Result<(listing::Listing, Source), (Gap, String)> {
        let program = self.config.list.command().program();
        let junk = |what: String| (Gap::Unparsable, format!("{} {what}", listing::no_listing(program)));
        match &self.shared {
            None => {
                let command = self.config.list.command();
                let bytes = self.ask(command, target).await?;
                let listing = listing::decode(&bytes, &self.source).map_err(junk)?;
                Ok((listing, self.source.clone()))
            }
            Some(shared) => {
                let (run, age) = shared.ask(direct, self.last_run.load(Ordering::Relaxed)).await;
                self.last_run.store(run.number(), Ordering::Relaxed);
                let source = self.source.clone().aged(ms(age));
                let listing = listing::judge(run.of(target, program)?, &source);
                Ok((listing.map_err(|what| junk(format!("{target}: {what}")))?, source))
            }
        }
    }

    async fn ask(&self, command: &Command, target: &str) -> Result<Vec<u8>, (Gap, String)> {
        let argv = argv_for(&command.argv, target).map_err(|why| (Gap::Error, why))?;
        let mut env = command.env.clone();
        env.insert("PLIMSOLL_TARGET".to_owned(), target.to_owned());
        let call = capture::Call {
            argv: &argv,
            env,
            working_dir: &self.config.working_dir,
            timeout: command.timeout,
        };
        let request = json!({ "formatVersion": 1, "target": target }).to_string();
        let answer = capture::capture(&call, request.as_bytes(), MAX_ANSWER).await;
        answer.map_err(|failure| (failure.gap(), format!("list command {} {failure}", command.program())))
    }

    async fn operations(&self, target: &str) -> io::Result<Vec<Operation>> {
        let running = |status: &GuardStatus| Operation {
            id: status.intent.clone(),
            kind: OperationKind::Command,
            owner: format!("plan/{}", status.plan),
            scope: status.slot.clone(),
            progress_permille: Fact::NotApplicable,
        };
        let store = self.store(target);
        let last = blocking(move || {
            store.trim_outputs()?;
            store.last()
        })
        .await?;
        Ok(last.iter().filter(|status| status.running).map(running).collect())
    }

    /// The stored statuses of a target's commands, oldest first, with whether each still runs.
    ///
    /// # Errors
    /// When they cannot be read: then nobody knows what still runs.
    pub async fn pending(&self, target: &str) -> io::Result<Vec<GuardStatus>> {
        let store = self.store(target);
        blocking(move || store.all()).await
    }

    /// What came of an intent, for a daemon that was not there when its command ended; `None` while the
    /// command runs.
    pub async fn outcome_of(&self, target: &str, intent: &str) -> Option<Outcome> {
        let store = self.store(target);
        let wanted = intent.to_owned();
        let stored = blocking(move || match store.last()? {
            Some(last) if last.intent == wanted => Ok(Some(last)),
            Some(_) | None => store.load(&wanted),
        })
        .await;
        match stored {
            Ok(Some(status)) => status.outcome(),
            Ok(None) => Some(unknown("no command of this step is on record")),
            Err(error) => Some(unknown(format!("reading the status of the command: {error}"))),
        }
    }

    /// Carries out `Start` or `Stop` by its command under a guard. Waits for the end of the command, but no
    /// longer than the permit; the guard ends the command then, and the outcome is unknown.
    async fn carry_out(&self, permit: &Permit, verb: &PlatformVerb) -> Outcome {
        let job = match self.job(permit, verb) {
            Ok(job) => job,
            Err(message) => return refused(message),
        };
        match tokio::time::timeout(permit.deadline, self.run_guard(&job)).await {
            Ok(outcome) => outcome,
            Err(_) => unknown(format!(
                "{} had not ended when the permit of {} ms did",
                job.argv.first().map_or("", String::as_str),
                permit.deadline.as_millis()
            )),
        }
    }

    fn job(&self, permit: &Permit, verb: &PlatformVerb) -> Result<Job, String> {
        self.admit(&permit.target)?;
        for (what, id) in [("plan", &permit.plan), ("intent", &permit.intent)] {
            if !is_id(id) {
                return Err(format!("the {what}'s id {} cannot be handed to a command", clip(id)));
            }
        }
        let request = self.request(permit, verb)?;
        if !listing::is_slot_name(request.slot) {
            return Err(format!("{} is not the name of a slot", clip(request.slot)));
        }
        let body = request.body.to_string();
        if body.len() > MAX_REQUEST {
            return Err(format!("the request has {} bytes, at most {MAX_REQUEST} are sent", body.len()));
        }
        let now = monotonic_ms();
        let permit_ms = ms(permit.deadline);
        Ok(Job {
            state: self.state.clone(),
            target: permit.target.to_string(),
            plan: permit.plan.to_string(),
            intent: permit.intent.to_string(),
            slot: request.slot.to_owned(),
            verb: verb.kind().to_owned(),
            argv: argv_for(&request.command.argv, &permit.target)?,
            env: environment(request.command, permit),
            working_dir: self.config.working_dir.clone(),
            request: body,
            timeout_ms: ms(request.command.timeout),
            // A command that got the lock at the very end would be ended before it could do anything.
            lock_until_ms: now.saturating_add(ms(LOCK_WAIT).min(permit_ms / 2)),
            permit_until_ms: now.saturating_add(permit_ms),
            daemon_pid: rustix::process::getpid().as_raw_pid(),
        })
    }

    fn request<'a>(&'a self, permit: &Permit, verb: &'a PlatformVerb) -> Result<Request<'a>, String> {
        let mut body = json!({
            "formatVersion": 1,
            "target": &*permit.target,
            "plan": &*permit.plan,
            "step": &*permit.intent,
        });
        let (command, slot, size_after) = match verb {
            PlatformVerb::Start { slot, size_after, join } => {
                body["join"] = join.as_ref().map_or(serde_json::Value::Null, |join| join.payload.clone());
                (self.command(&self.config.add, "start", "add")?, slot, size_after)
            }
            PlatformVerb::Stop { slot, member, size_after } => {
                body["memberId"] = json!(&**member);
                (self.command(&self.config.remove, "stop", "remove")?, slot, size_after)
            }
        };
        body["slot"] = json!(&**slot);
        body["sizeAfter"] = json!(size_after);
        Ok(Request { command, slot, body })
    }

    /// A command that changes something, where the owner has given one.
    fn command<'a>(
        &self,
        command: &'a Option<Command>,
        verb: &str,
        key: &str,
    ) -> Result<&'a Command, String> {
        command.as_ref().ok_or_else(|| {
            format!(
                "exec platform {} cannot {verb} members: it has no `{key}` command in the daemon's file",
                self.name
            )
        })
    }

    async fn run_guard(&self, job: &Job) -> Outcome {
        let document = match serde_json::to_vec(job) {
            Ok(bytes) if (bytes.len() as u64) < MAX_JOB => bytes,
            Ok(_) => return refused("the job is too large for a guard"),
            Err(error) => return refused(format!("writing the job: {error}")),
        };
        let mut guard = match spawn_guard(&self.guard) {
            Ok(guard) => guard,
            Err(error) => return refused(format!("the guard could not be started: {error}")),
        };
        if let Some(mut stdin) = guard.stdin.take()
            && let Err(error) = stdin.write_all(&document).await
        {
            // Not read to the end means not begun: a torn job is none. Its own words tell why.
            tracing::warn!(target = job.target, intent = job.intent, %error, "the guard did not read its job");
        }
        let mut said = Vec::new();
        if let Some(stderr) = guard.stderr.take() {
            let _ = stderr.take(1024).read_to_end(&mut said).await;
        }
        let said = clip(String::from_utf8_lossy(&said).trim());
        let code = match guard.wait().await {
            Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()),
            Err(error) => return unknown(format!("waiting for the guard: {error}")),
        };
        match code {
            Some(exit::STORED) => self.stored(job).await,
            Some(exit::BUSY) => unknown("a command of an earlier step still runs; this one was not begun"),
            Some(exit::NOT_BEGUN) => refused(format!("the command was not begun: {said}")),
            Some(exit::REPEATED) => unknown(said),
            Some(exit::NOT_STORED) => unknown(said),
            Some(_) | None => unknown(format!("the guard ended without a word on the command {said}")),
        }
    }

    async fn stored(&self, job: &Job) -> Outcome {
        match self.outcome_of(&job.target, &job.intent).await {
            Some(outcome) => outcome,
            None => unknown("the guard ended without storing how the command ended"),
        }
    }

    fn admit(&self, target: &str) -> Result<(), String> {
        if !is_id(target) {
            return Err(format!("the target's name {} cannot be handed to a command", clip(target)));
        }
        Ok(())
    }

    fn store(&self, target: &str) -> Store {
        Store::new(&self.state, target)
    }
}

fn spawn_guard(program: &Path) -> io::Result<tokio::process::Child> {
    tokio::process::Command::new(program)
        .arg("exec-guard")
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(false)
        .spawn()
}

fn environment(command: &Command, permit: &Permit) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([("PATH".to_owned(), COMMAND_PATH.to_owned())]);
    env.extend(command.env.clone());
    for (name, value) in [
        ("PLIMSOLL_TARGET", &permit.target),
        ("PLIMSOLL_PLAN", &permit.plan),
        ("PLIMSOLL_STEP", &permit.intent),
    ] {
        env.insert(name.to_owned(), value.to_string());
    }
    env
}

fn report(
    listing: Result<(listing::Listing, Source), (Gap, String)>,
    operations: Reading<Vec<Operation>>,
) -> PlatformReport {
    // A list command tells what is; it has no wish of its own that it could lag behind.
    let generation = Reading::NotApplicable;
    match listing {
        Ok((listing, source)) => PlatformReport {
            facts: [room_of_places(&source, listing.vacant.len())].into(),
            slots: source.tells(listing.slots),
            vacant: source.tells(listing.vacant),
            generation,
            operations,
        },
        Err((reason, why)) => PlatformReport {
            slots: Reading::gap(reason.clone(), why.clone()),
            facts: [(ROOM.to_owned(), Reading::gap(reason.clone(), why.clone()))].into(),
            vacant: Reading::gap(reason, why),
            generation,
            operations,
        },
    }
}

/// Whether a name of ours may be in an environment and in a message.
fn is_id(id: &str) -> bool {
    (1..=512).contains(&id.len()) && !id.chars().any(char::is_control)
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn refused(message: impl Into<String>) -> Outcome {
    Outcome::Refused { message: cut(message.into()) }
}

fn unknown(message: impl Into<String>) -> Outcome {
    Outcome::Unknown { message: cut(message.into()) }
}

/// Outcomes carry at most 1 KiB.
fn cut(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(1024));
    message
}

async fn blocking<T: Send + 'static>(read: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}
