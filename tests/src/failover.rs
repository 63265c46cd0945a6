//! Two daemons on one etcd in pods, each behind a wire of its own to the API server that a test can cut. What was sent
//! before the cut stays in the wire and arrives when it is mended, however late.

use crate::daemon::Daemon;
use crate::kube::EtcdPods;
use crate::process::{signal, wait_until};
use anyhow::Context as _;
use plimsoll_wire::record::Body;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A wire to a server.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    whole: Arc<watch::Sender<bool>>,
}

impl Wire {
    /// Lays a wire to an address such as `10.0.0.1:443`, from where this is called.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn to(address: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let whole = Arc::new(watch::Sender::new(true));
        let (address, shared) = (address.to_owned(), whole.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (address, shared) = (address.clone(), shared.clone());
                tokio::spawn(async move {
                    // Nobody is told that a wire is cut: it is silent.
                    if shared.subscribe().wait_for(|whole| *whole).await.is_err() {
                        return;
                    }
                    let Ok(far) = TcpStream::connect(&address).await else { return };
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    tokio::spawn(carry(near_in, far_out, shared.subscribe()));
                    carry(far_in, near_out, shared.subscribe()).await;
                });
            }
        });
        Ok(Self { port, whole })
    }

    /// From now on nothing comes through, in either direction.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Everything comes through again, beginning with what was under way.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

/// Carries what comes, while the wire is whole, until one end is closed.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut whole: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        // It was cut while this was on its way.
        if whole.wait_for(|whole| *whole).await.is_err() || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    // Nobody hears of an end over a wire that is cut.
    let _ = whole.wait_for(|whole| *whole).await;
    let _ = to.shutdown().await;
}

/// Two daemons, of which one leads.
#[derive(Debug)]
pub struct Pair {
    daemons: [Daemon; 2],
    wires: [Wire; 2],
    patience: Duration,
}

impl Pair {
    /// Starts both, and waits until one leads and has decided, and the other one has looked.
    ///
    /// # Errors
    /// When they do not come to that.
    pub async fn start(etcd: &EtcdPods, patience: Duration) -> anyhow::Result<Self> {
        let server = server(etcd.namespace().cluster().kubeconfig())?;
        let (one, two) = (Wire::to(&server).await?, Wire::to(&server).await?);
        let daemon = |name: &str, wire: &Wire| -> anyhow::Result<Daemon> {
            let kubeconfig = wired(etcd.namespace().cluster().kubeconfig(), wire, etcd.home(), name)?;
            etcd.daemon_of_several(name, &kubeconfig)
        };
        let daemons = [daemon("plimsoll-a", &one)?, daemon("plimsoll-b", &two)?];
        let mut pair = Self { daemons, wires: [one, two], patience };
        for daemon in &mut pair.daemons {
            daemon.start()?;
        }
        let leader = pair.leader().await?;
        let decided = pair.daemons[leader]
            .until("the first decision", patience, |status| status.last_decision.is_some());
        decided.await?;
        let other = pair.daemons[1 - leader].until("what the follower sees", patience, |status| {
            status.follows.is_some() && status.sizes.members.is_some()
        });
        other.await?;
        Ok(pair)
    }

    /// One of them.
    #[must_use]
    pub fn daemon(&self, which: usize) -> &Daemon {
        &self.daemons[which]
    }

    /// One of them, to be killed and started.
    pub fn daemon_mut(&mut self, which: usize) -> &mut Daemon {
        &mut self.daemons[which]
    }

    /// Sends one of them a signal.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, which: usize, sent: Signal) -> anyhow::Result<()> {
        signal(self.daemons[which].id().context("the daemon does not run")?, sent)
    }

    /// Its wire.
    #[must_use]
    pub fn wire(&self, which: usize) -> &Wire {
        &self.wires[which]
    }

    /// Which one leads, once one does and only one says so.
    ///
    /// # Errors
    /// When none does in time.
    pub async fn leader(&self) -> anyhow::Result<usize> {
        wait_until("a leader", self.patience, async || {
            let leads = [self.leads(0), self.leads(1)];
            match leads {
                [true, false] => Ok(0),
                [false, true] => Ok(1),
                _ => anyhow::bail!(
                    "who leads: {leads:?}\n{}\n{}",
                    self.daemons[0].tail(),
                    self.daemons[1].tail()
                ),
            }
        })
        .await
    }

    /// Whether one of them says that it leads; one that does not answer does not.
    #[must_use]
    pub fn leads(&self, which: usize) -> bool {
        self.standing(which).is_ok_and(|standing| standing["leads"] == json!(true))
    }

    /// How one of them stands, in its own words.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn standing(&self, which: usize) -> anyhow::Result<Value> {
        let about = self.daemons[which].ask(&json!({ "verb": "daemon" }))?;
        about.get("lease").cloned().context("it tells of no lease")
    }

    /// Waits until one of them leads, or does not.
    ///
    /// # Errors
    /// When that does not come to be.
    pub async fn until_it_leads(&self, which: usize, wanted: bool) -> anyhow::Result<()> {
        wait_until(&format!("{which} leads: {wanted}"), self.patience, async || {
            let standing = self.standing(which)?;
            anyhow::ensure!(standing["leads"] == json!(wanted), "{standing}");
            Ok(())
        })
        .await
    }

    /// What both daemons' own logs say of who acted when: no epoch's effects come after a later epoch's. Says how many effects
    /// there were.
    ///
    /// # Errors
    /// When a log cannot be read, or two daemons acted.
    pub fn one_actor(&self) -> anyhow::Result<usize> {
        let mut acts = Vec::new();
        for (which, daemon) in self.daemons.iter().enumerate() {
            for record in daemon.records()? {
                if let Body::Intent { intent, .. } = &record.body {
                    acts.push((epoch(&intent.id)?, which, record.now.mono_ms, intent.id.clone()));
                }
            }
        }
        // By the clock of the machine that both are on.
        acts.sort_by_key(|(_, _, at_ms, _)| *at_ms);
        for pair in acts.windows(2) {
            let ((before, first, ..), (after, second, ..)) = (&pair[0], &pair[1]);
            anyhow::ensure!(before <= after, "an effect of an epoch that was over: {pair:?} in {acts:?}");
            anyhow::ensure!(before < after || first == second, "two daemons in one epoch: {pair:?}");
        }
        Ok(acts.len())
    }
}

/// The epoch that an intent was made in, which its id tells people.
fn epoch(intent: &str) -> anyhow::Result<u64> {
    let (_, rest) = intent.rsplit_once("-i").context("an odd id of an intent")?;
    Ok(rest.split('.').next().unwrap_or_default().parse()?)
}

/// The API server's address in a kubeconfig, as it stands there, and what stands before it.
fn address(text: &str) -> anyhow::Result<(&str, &str)> {
    let (before, rest) = text.split_once("server:").context("no address in the kubeconfig")?;
    let end = rest.trim_start().split(|it: char| it.is_whitespace() || ",}".contains(it)).next();
    Ok((before, end.unwrap_or_default()))
}

fn server(kubeconfig: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(kubeconfig)?;
    let (_, address) = address(&text)?;
    let bare = address.trim_matches('"').trim_start_matches("https://").trim_end_matches('/');
    Ok(if bare.contains(':') { bare.to_owned() } else { format!("{bare}:443") })
}

/// The same kubeconfig with the wire in between. The server's name stays what its certificate says.
fn wired(kubeconfig: &Path, wire: &Wire, home: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let (text, server) = (std::fs::read_to_string(kubeconfig)?, server(kubeconfig)?);
    let (before, old) = address(&text)?;
    let beside = if before.trim_end().ends_with(['{', ',']) { ", " } else { "\n    " };
    let host = server.split(':').next().unwrap_or_default();
    let new = format!("\"https://127.0.0.1:{}\"{beside}tls-server-name: \"{host}\"", wire.port);
    let file = home.join(format!("{name}.kubeconfig"));
    std::fs::write(&file, text.replacen(old, &new, 1))?;
    Ok(file)
}
