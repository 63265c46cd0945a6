//! The daemon's end of a policy child: starts it, asks it, bounds its answers in bytes and in time, and kills
//! it when in doubt.

use super::fault::{Failure, Fault, Flaw, Rejection};
use super::frame::{self, Ask, Boot, Confinement, Reply, Role, Sandbox};
use super::limits::{Allowances, Bounds, Class, START_WALL_MS};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};

/// How children are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The binary: this one, unless a test runs another.
    pub program: PathBuf,
    /// Whether a child may run unconfined.
    pub sandbox: Sandbox,
    /// What modules may be and take.
    pub allowances: Allowances,
}

impl Launch {
    /// The bounds of a class, as the owner allows them.
    pub(crate) fn bounds(&self, class: Class) -> Bounds {
        Bounds::allowed(class, &self.allowances.of(class))
    }
}

impl Default for Launch {
    fn default() -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe"),
            sandbox: Sandbox::Required,
            allowances: Allowances::default(),
        }
    }
}

/// What went wrong with a child, as opposed to what it told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It took too long and was killed.
    Wall(Duration),
    /// It ended, by this signal if by one.
    Died { signal: Option<i32>, detail: String },
    /// It broke the protocol and was killed.
    Garbage(String),
    /// It could not be started or confined.
    Start(String),
}

impl Trouble {
    /// As the end of an attempt to load a module, which had so much to compile in.
    pub(crate) fn rejection(&self, allowed: &Allowed) -> Rejection {
        let key = format!("policyHost.{}", allowed.class.word());
        let limit = |detail: String| Rejection::new(Flaw::CompileLimit, detail);
        match self {
            Self::Wall(wall) => limit(format!(
                "takes longer than {wall:?} to compile, four times `{key}.compileCpu`: the machine is too busy, or that is \
                 too little"
            )),
            // The kernel's word for the limit of processor time.
            Self::Died { signal: Some(libc::SIGXCPU), .. } => limit(format!(
                "takes more than {} s of processor time to compile; `{key}.compileCpu` of the daemon's file gives more",
                allowed.cpu_s
            )),
            // A process whose address space is used up aborts.
            Self::Died { signal: Some(libc::SIGABRT), .. } => limit(format!(
                "takes more than {} MiB of memory to compile; {}",
                allowed.space_bytes >> 20,
                if allowed.by_container {
                    "the container's limit leaves no more".to_owned()
                } else {
                    format!(
                        "`{key}.compileMemory` of the daemon's file gives more, a small module less than all of it"
                    )
                }
            )),
            Self::Died { signal: Some(libc::SIGKILL), .. } => Rejection::new(
                Flaw::CompileFailed,
                "the child that compiled it was killed from outside: most likely the machine or the container had no \
                 memory left",
            ),
            Self::Died { detail, .. } => Rejection::new(Flaw::CompileFailed, format!("the child {detail}")),
            Self::Garbage(detail) => {
                Rejection::new(Flaw::CompileFailed, format!("the child answered {detail}"))
            }
            Self::Start(detail) => Rejection::new(Flaw::Sandbox, detail),
        }
    }

    /// As the end of an attempt to load what is compiled.
    pub(crate) fn unloaded(&self) -> Rejection {
        match self {
            Self::Start(detail) => Rejection::new(Flaw::Sandbox, detail),
            Self::Wall(_) | Self::Died { .. } | Self::Garbage(_) => {
                Rejection::new(Flaw::Instantiate, self.failure().detail)
            }
        }
    }

    /// As the end of an evaluation.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Wall(wall) => Failure::new(
                Fault::Wall,
                format!("took longer than {wall:?}; `wallMs` in the manifest beside the module gives more"),
            ),
            Self::Died { detail, .. } => Failure::new(Fault::ChildDied, format!("the child {detail}")),
            Self::Garbage(detail) => Failure::new(Fault::Protocol, format!("the child answered {detail}")),
            Self::Start(detail) => Failure::new(Fault::Sandbox, detail),
        }
    }
}

/// What a child had to compile in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    pub class: Class,
    pub cpu_s: u64,
    pub space_bytes: u64,
    /// Whether it is the container that allows no more.
    pub by_container: bool,
}

/// A running child. Dropping it kills it.
pub(crate) struct Process {
    child: tokio::process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(crate) confinement: Confinement,
}

impl Process {
    /// Starts a child and waits until it says that it is confined.
    pub(crate) async fn start(
        launch: &Launch,
        role: Role,
        class: Class,
        space_bytes: u64,
        cpu_s: Option<u64>,
    ) -> Result<Self, Trouble> {
        let bounds = launch.bounds(class);
        let module_bytes = bounds.module_bytes;
        let boot = Boot { role, class, sandbox: launch.sandbox, space_bytes, cpu_s, module_bytes };
        let mut child = spawn(launch, &boot)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Trouble::Start("the child has no pipes".to_owned()));
        };
        let output = BufReader::with_capacity(64 << 10, output);
        let confinement = Confinement {
            user: String::new(),
            no_new_privileges: false,
            landlock: String::new(),
            seccomp: false,
            limits: Vec::new(),
        };
        let mut process = Self { child, input, output, confinement };
        let wall = Duration::from_millis(START_WALL_MS);
        let reply = match tokio::time::timeout(wall, process.head(0)).await {
            Ok(Ok((reply, _))) => reply,
            Ok(Err(error)) => return Err(Trouble::Start(format!("starting a policy child: {error}"))),
            Err(_) => return Err(Trouble::Start("a policy child did not start in time".to_owned())),
        };
        if let Reply::Unconfined { step, detail } = reply {
            let hint = "the kernel must offer it, or the daemon's file must say `sandbox: best-effort`";
            return Err(Trouble::Start(format!("cannot confine policies: {step}: {detail}; {hint}")));
        }
        let Reply::Ready { confinement } = reply else { return Err(unexpected(&reply)) };
        warn_of_root(&confinement);
        process.confinement = confinement;
        Ok(process)
    }

    /// Asks and waits for the answer; its body has at most `most` bytes.
    ///
    /// After any error the child is of no further use: the caller drops it.
    pub(crate) async fn ask(
        &mut self,
        ask: &Ask,
        body: &[u8],
        wall: Duration,
        most: u64,
    ) -> Result<(Reply, Vec<u8>), Trouble> {
        let exchange = async {
            self.send(ask, body).await?;
            let (reply, length) = self.head(most).await?;
            let mut bytes = Vec::new();
            let got = (&mut self.output).take(length).read_to_end(&mut bytes).await?;
            if got as u64 == length { Ok((reply, bytes)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        };
        let end = tokio::time::timeout(wall, exchange).await;
        self.settle(end, wall).await
    }

    /// Asks with a body that is read from a file piece by piece, so that it need not be held.
    pub(crate) async fn ask_file(
        &mut self,
        ask: &Ask,
        file: &Arc<File>,
        length: u64,
        wall: Duration,
    ) -> Result<Reply, Trouble> {
        let exchange = async {
            self.input.write_all(&frame::prefix(ask, length)?).await?;
            let mut sent = 0;
            while sent < length {
                let piece = read_piece(file, sent, length - sent).await?;
                self.input.write_all(&piece).await?;
                sent += piece.len() as u64;
            }
            self.input.flush().await?;
            Ok(self.head(0).await?.0)
        };
        let end = tokio::time::timeout(wall, exchange).await;
        self.settle(end, wall).await
    }

    /// Asks, and writes the answer's body to `sink`, so that it need not be held.
    pub(crate) async fn ask_into(
        &mut self,
        ask: &Ask,
        body: &[u8],
        wall: Duration,
        most: u64,
        sink: &mut (impl tokio::io::AsyncWrite + Unpin),
    ) -> Result<(Reply, u64), Trouble> {
        let exchange = async {
            self.send(ask, body).await?;
            let (reply, length) = self.head(most).await?;
            let got = tokio::io::copy(&mut (&mut self.output).take(length), sink).await?;
            sink.flush().await?;
            if got == length { Ok((reply, length)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        };
        let end = tokio::time::timeout(wall, exchange).await;
        self.settle(end, wall).await
    }

    async fn send(&mut self, ask: &Ask, body: &[u8]) -> io::Result<()> {
        // In one piece: a child that is woken by the head alone only waits again.
        let mut bytes = frame::prefix(ask, body.len() as u64)?;
        bytes.extend_from_slice(body);
        self.input.write_all(&bytes).await?;
        self.input.flush().await
    }

    async fn head(&mut self, most: u64) -> io::Result<(Reply, u64)> {
        let mut prefix = [0; 12];
        self.output.read_exact(&mut prefix).await?;
        let (head, body) = frame::lengths(prefix, most)?;
        let mut bytes = vec![0; head];
        self.output.read_exact(&mut bytes).await?;
        Ok((serde_json::from_slice(&bytes)?, body))
    }

    async fn settle<T>(
        &mut self,
        end: Result<io::Result<T>, tokio::time::error::Elapsed>,
        wall: Duration,
    ) -> Result<T, Trouble> {
        let error = match end {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => {
                let _ = self.child.start_kill();
                return Err(Trouble::Wall(wall));
            }
        };
        let broken = matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe);
        if !broken {
            let _ = self.child.start_kill();
            return Err(Trouble::Garbage(error.to_string()));
        }
        // It has closed its pipe; give it a moment to be seen dead.
        match tokio::time::timeout(Duration::from_secs(1), self.child.wait()).await {
            Ok(Ok(status)) => {
                let detail = match status.signal() {
                    Some(signal) => format!("was ended by signal {signal}"),
                    None => format!("ended with status {}", status.code().unwrap_or(-1)),
                };
                Err(Trouble::Died { signal: status.signal(), detail })
            }
            Ok(Err(_)) | Err(_) => {
                let _ = self.child.start_kill();
                Err(Trouble::Died { signal: None, detail: "closed its pipe".to_owned() })
            }
        }
    }

    /// The child's process id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

/// Says once that children stay root: the other walls stand.
fn warn_of_root(confinement: &Confinement) {
    static TOLD: Once = Once::new();
    if confinement.user.starts_with("root") {
        TOLD.call_once(|| {
            tracing::warn!(
                why = confinement.user,
                "policies run as root in their sandbox; run the daemon as another user"
            );
        });
    }
}

const PIECE_BYTES: u64 = 256 << 10;

async fn read_piece(file: &Arc<File>, at: u64, left: u64) -> io::Result<Vec<u8>> {
    let file = Arc::clone(file);
    let read = move || {
        let mut piece = vec![0; usize::try_from(left.min(PIECE_BYTES)).unwrap_or(0)];
        file.read_exact_at(&mut piece, at).map(|()| piece)
    };
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

/// The reply to something else.
pub(crate) fn unexpected(reply: &Reply) -> Trouble {
    let word = match reply {
        Reply::Ready { .. } => "ready",
        Reply::Unconfined { .. } => "unconfined",
        Reply::Compiled { .. } => "compiled",
        Reply::Rejected { .. } => "rejected",
        Reply::Loaded => "loaded",
        Reply::Described { .. } => "described",
        Reply::Evaluated { .. } => "evaluated",
    };
    Trouble::Garbage(format!("`{word}` to another question"))
}

fn spawn(launch: &Launch, boot: &Boot) -> Result<tokio::process::Child, Trouble> {
    let boot = serde_json::to_string(boot).map_err(|error| Trouble::Start(error.to_string()))?;
    Command::new(&launch.program)
        .args([OsString::from("policy-child"), OsString::from(boot)])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Trouble::Start(format!("starting {}: {error}", launch.program.display())))
}
