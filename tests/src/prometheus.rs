//! A real Prometheus that scrapes an exporter whose numbers the test sets.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How often waiting looks.
const POLL: Duration = Duration::from_millis(50);

/// Waits until `look` gives something, and fails with what it saw last when that takes too long.
///
/// # Errors
/// When `limit` is over.
pub async fn wait_until<T, F>(what: &str, limit: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = std::result::Result<T, String>>,
{
    let end = Instant::now() + limit;
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(seen) if Instant::now() > end => bail!("{what}: not within {limit:?}; last seen: {seen}"),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

/// A port of loopback that was free a moment ago.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").context("looking for a free port")?.local_addr()?.port())
}

/// An HTTP server that shows a page of metrics which the test can change at any time.
#[derive(Debug)]
pub struct Exporter {
    port: u16,
    page: Arc<Mutex<String>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Starts one with this page (the Prometheus text format).
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(page: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("starting an exporter")?;
        let port = listener.local_addr()?.port();
        let page = Arc::new(Mutex::new(page.to_owned()));
        let ended = Arc::new(AtomicBool::new(false));
        let (shown, ending) = (page.clone(), ended.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::SeqCst) {
                    return;
                }
                let body = shown.lock().map(|page| page.clone()).unwrap_or_default();
                // A scraper that went away is its own affair.
                let _ = stream.and_then(|stream| show(stream, &body));
            }
        });
        Ok(Self { port, page, ended, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Shows another page from now on.
    pub fn set(&self, page: &str) {
        if let Ok(mut shown) = self.page.lock() {
            page.clone_into(&mut shown);
        }
    }

    /// Stops listening; scrapes are refused when this returns.
    pub fn stop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread, which sees that it has ended and closes the listener.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop();
    }
}

fn show(mut stream: TcpStream, body: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut reader = BufReader::new(stream.try_clone()?.take(16 << 10));
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A Prometheus of its own: own data, own port, logs in files. Ends with the value.
#[derive(Debug)]
pub struct PrometheusServer {
    port: u16,
    dir: TempDir,
    child: Option<Child>,
    flags: Vec<String>,
}

impl PrometheusServer {
    /// Starts one that scrapes these ports twice a second, each as the job `exporter`. `extra` is added to its
    /// configuration at the top level.
    ///
    /// # Errors
    /// When it cannot be started, for example because the Debian package `prometheus` is missing.
    pub fn start(scraped: &[u16], extra: &str) -> Result<Self> {
        Self::start_with(scraped, extra, &[], |_| Ok(()))
    }

    /// Like [`Self::start`], with further flags, in which `DIR` stands for its folder, which `prepare` can fill.
    ///
    /// # Errors
    /// As [`Self::start`], and what `prepare` fails with.
    pub fn start_with(
        scraped: &[u16],
        extra: &str,
        flags: &[&str],
        prepare: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let dir = tempfile::tempdir().context("a folder for Prometheus")?;
        let targets: Vec<String> = scraped.iter().map(|port| format!("'127.0.0.1:{port}'")).collect();
        let config = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\nscrape_configs:\n- job_name: exporter\n  static_configs: [{{targets: [{}]}}]\n{extra}\n",
            targets.join(", ")
        );
        std::fs::write(dir.path().join("prometheus.yml"), config)?;
        prepare(dir.path())?;
        let shown_dir = dir.path().display().to_string();
        let flags = flags.iter().map(|flag| flag.replace("DIR", &shown_dir)).collect();
        let mut server = Self { port: free_port()?, dir, child: None, flags };
        server.resume()?;
        Ok(server)
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder: `prometheus.yml`, `data`, `log`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts it again on the same port with the data that it left. Returns before it listens.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn resume(&mut self) -> Result<()> {
        let dir = self.dir.path();
        let log = || File::options().create(true).append(true).open(dir.join("log"));
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", self.data().display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(log()?)
            .stderr(log()?)
            .spawn()
            .context("starting prometheus (install the Debian package `prometheus`)")?;
        self.child = Some(child);
        Ok(())
    }

    /// Ends it with `SIGTERM` and waits until it is gone.
    ///
    /// # Errors
    /// When it does not end within ten seconds; it is killed then.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let ended = async {
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
            let end = Instant::now() + Duration::from_secs(10);
            while child.try_wait()?.is_none() {
                if Instant::now() > end {
                    bail!("prometheus did not end; see {}", self.dir.path().join("log").display());
                }
                tokio::time::sleep(POLL).await;
            }
            Ok(())
        };
        let ended = ended.await;
        end(&mut child);
        ended
    }

    /// Removes all that it has stored. Only while it is stopped.
    ///
    /// # Errors
    /// When it runs, or its data cannot be removed.
    pub fn wipe(&self) -> Result<()> {
        if self.child.is_some() {
            bail!("stop prometheus before its data is wiped");
        }
        std::fs::remove_dir_all(self.data()).context("wiping the data of prometheus")
    }

    /// What it wrote, for messages of failing tests.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

impl Drop for PrometheusServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
    }
}

/// Kills and reaps; of one that has ended already nothing is left to do.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
