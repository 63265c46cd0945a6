//! The control socket: everything that changes something goes through it, and only the daemon's own user can
//! open it (`decisions.md` D28). One JSON document a line, one answer a line.

use crate::published::Published;
pub use plimsoll_core::cycle::Order;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Bytes of one request.
const MAX_REQUEST: u64 = 64 * 1024;
/// People at once.
const MAX_CONNECTIONS: usize = 16;
/// How long a request may take to arrive, and its answer to be made.
const DEADLINE: Duration = Duration::from_secs(30);

/// What may be asked over the socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Every target's status, or one's.
    Status {
        /// `namespace/name`; all without it.
        #[serde(default)]
        target: Option<String>,
    },
    /// A target's newest snapshot.
    Snapshot {
        /// `namespace/name`.
        target: String,
    },
    /// The policies' status and what is wrong with the configuration.
    Daemon,
    /// Do nothing until told otherwise.
    Pause {
        /// `namespace/name`; all without it.
        #[serde(default)]
        target: Option<String>,
        /// Why.
        #[serde(default)]
        why: String,
        /// Who.
        who: String,
    },
    /// Go on.
    Resume {
        /// `namespace/name`; all without it.
        #[serde(default)]
        target: Option<String>,
        /// Who.
        who: String,
    },
    /// Let a plan begin.
    Approve {
        /// `namespace/name`.
        target: String,
        /// The plan's content, word for word as `status` shows it.
        content: String,
        /// Who.
        who: String,
    },
    /// Take the running plan back.
    Cancel {
        /// `namespace/name`.
        target: String,
        /// Who.
        who: String,
    },
    /// Wish for a size.
    Scale {
        /// `namespace/name`.
        target: String,
        /// How many members; absent to leave it to the policies again.
        #[serde(default)]
        members: Option<u32>,
        /// Who.
        who: String,
    },
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// Whether it was done.
    pub ok: bool,
    /// One sentence.
    #[serde(default)]
    pub message: String,
    /// What was asked for.
    #[serde(default)]
    pub body: serde_json::Value,
}

/// An order on its way to the loop.
#[derive(Debug)]
pub struct Request {
    /// `namespace/name`; all without it.
    pub target: Option<String>,
    /// Who.
    pub who: String,
    /// What.
    pub order: Order,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<String, String>>,
}

/// Listens on the socket.
///
/// # Errors
/// When the socket cannot be made.
pub fn listen(path: &Path, orders: mpsc::Sender<Request>, published: Published) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // A socket that a killed daemon left behind; the journals' lock has shown that no other daemon lives.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // Made under a mask, so that there is no moment at which others could open it.
    let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(mask);
    let listener = listener?;
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    tokio::spawn(async move {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (orders, published) = (orders.clone(), published.clone());
                    tokio::spawn(async move {
                        let served = tokio::time::timeout(DEADLINE, serve(stream, orders, published)).await;
                        if let Ok(Err(error)) = served {
                            tracing::debug!(%error, "control connection");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting on the control socket");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    });
    Ok(())
}

async fn serve(
    stream: UnixStream,
    orders: mpsc::Sender<Request>,
    published: Published,
) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(MAX_REQUEST)).read_line(&mut line).await?;
    let response = match serde_json::from_str::<Ask>(&line) {
        Ok(ask) => answer(ask, orders, &published).await,
        Err(error) => {
            Response { ok: false, message: format!("request: {error}"), body: serde_json::Value::Null }
        }
    };
    let mut bytes = serde_json::to_vec(&response).unwrap_or_default();
    bytes.push(b'\n');
    write.write_all(&bytes).await
}

async fn answer(ask: Ask, orders: mpsc::Sender<Request>, published: &Published) -> Response {
    let (target, who, order) = match ask {
        Ask::Status { target } => return status(target.as_deref(), published),
        Ask::Snapshot { target } => {
            return match published.get().snapshots.get(&*target) {
                Some(snapshot) => body(&**snapshot),
                None => refuse(format!("there is no snapshot of {target} yet")),
            };
        }
        Ask::Daemon => return daemon(published),
        Ask::Pause { target: None, why, who } => {
            let keys = published.get().targets.keys().cloned().collect();
            return to_all(keys, &who, &Order::Pause { why }, &orders).await;
        }
        Ask::Resume { target: None, who } => {
            let view = published.get();
            let paused = view.targets.iter().filter(|(_, status)| status.paused.is_some());
            return to_all(paused.map(|(key, _)| key.clone()).collect(), &who, &Order::Resume, &orders).await;
        }
        Ask::Pause { target, why, who } => (target, who, Order::Pause { why }),
        Ask::Resume { target, who } => (target, who, Order::Resume),
        Ask::Approve { target, content, who } => (Some(target), who, Order::Approve { content }),
        Ask::Cancel { target, who } => (Some(target), who, Order::Cancel),
        Ask::Scale { target, members, who } => (Some(target), who, Order::Scale { members }),
    };
    let (reply, replied) = oneshot::channel();
    if orders.send(Request { target, who, order, reply }).await.is_err() {
        return refuse("the daemon is stopping".to_owned());
    }
    match replied.await {
        Ok(Ok(message)) => Response { ok: true, message, body: serde_json::Value::Null },
        Ok(Err(message)) => refuse(message),
        Err(_) => refuse("the daemon did not answer; see `plimsoll status`".to_owned()),
    }
}

/// Hands an order to many targets at once, and then waits for each of them to say what came of it.
async fn to_all(keys: Vec<Arc<str>>, who: &str, order: &Order, orders: &mpsc::Sender<Request>) -> Response {
    let mut replies = Vec::with_capacity(keys.len());
    for key in keys {
        let (reply, replied) = oneshot::channel();
        let request =
            Request { target: Some(key.to_string()), who: who.to_owned(), order: order.clone(), reply };
        if orders.send(request).await.is_err() {
            return refuse("the daemon is stopping".to_owned());
        }
        replies.push((key, replied));
    }
    // Together they may take what one may take: the rest of the connection's time is for the answer.
    let deadline = tokio::time::Instant::now() + DEADLINE.mul_f32(0.8);
    let mut results = Vec::with_capacity(replies.len());
    for (key, replied) in replies {
        let (ok, message) = match tokio::time::timeout_at(deadline, replied).await {
            Ok(Ok(Ok(message))) => (true, message),
            Ok(Ok(Err(message))) => (false, message),
            Ok(Err(_)) | Err(_) => (false, "has not answered in time; see `plimsoll status`".to_owned()),
        };
        results.push(serde_json::json!({ "target": key, "ok": ok, "message": message }));
    }
    let message = if results.is_empty() { "there is nothing to do".to_owned() } else { String::new() };
    Response { ok: true, message, body: serde_json::Value::Array(results) }
}

fn refuse(message: String) -> Response {
    Response { ok: false, message, body: serde_json::Value::Null }
}

fn body<T: Serialize>(value: &T) -> Response {
    match serde_json::to_value(value) {
        Ok(body) => Response { ok: true, message: String::new(), body },
        Err(error) => refuse(error.to_string()),
    }
}

fn status(target: Option<&str>, published: &Published) -> Response {
    let view = published.get();
    match target {
        None => body(&view.targets.values().collect::<Vec<_>>()),
        Some(name) => match view.targets.get(name) {
            Some(status) => body(&[status]),
            None => {
                if let Some(why) = view.unbuilt.get(name) {
                    return refuse(format!("{name} cannot be run: {why}"));
                }
                let known: Vec<&str> = view.targets.keys().map(|key| &**key).collect();
                refuse(format!("there is no target {name}; known: {}", known.join(", ")))
            }
        },
    }
}

fn daemon(published: &Published) -> Response {
    let view = published.get();
    body(&serde_json::json!({
        "policies": published.policies(),
        "problems": view.problems,
        "lease": view.standing,
    }))
}
