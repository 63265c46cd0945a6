//! What a decision costs in a real daemon: many targets on the built-in simulator, one policy, one signal that a real
//! Prometheus answers for all of them at once. Printed and never asserted.
//!
//! `bench_decisions [--targets N] [--seconds S] [--interval S] [--program FILE]`; without a program, the one beside this.

use anyhow::{Context, Result, bail, ensure};
use plimsoll_tests::daemon::shipped;
use plimsoll_tests::etcd::http_get;
use plimsoll_tests::process::Process;
use plimsoll_tests::prometheus::{Exporter, PrometheusServer, free_port};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long all targets may take to decide for the first time, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(600);

struct Arguments {
    targets: u32,
    seconds: u64,
    interval_s: u32,
    program: PathBuf,
}

fn arguments() -> Result<Arguments> {
    let program = plimsoll_tests::binary();
    let mut parsed = Arguments { targets: 1_000, seconds: 60, interval_s: 5, program };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} wants a value"))?;
        match word.as_str() {
            "--targets" => parsed.targets = value.parse()?,
            "--seconds" => parsed.seconds = value.parse()?,
            "--interval" => parsed.interval_s = value.parse()?,
            "--program" => parsed.program = value.into(),
            other => bail!("unknown option {other}"),
        }
    }
    Ok(parsed)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = arguments()?;
    let folder = tempfile::tempdir()?;
    let exporter = Exporter::start(&page(arguments.targets))?;
    let prometheus = PrometheusServer::start(&[exporter.port()], "")?;
    let port = free_port()?;
    write(folder.path(), &arguments, &prometheus.url(), port)?;
    let mut command = Command::new(&arguments.program);
    command.args(["run", "--config"]).arg(folder.path().join("plimsoll.yaml"));
    let daemon = Process::start(&mut command, &folder.path().join("daemon.log"))?;
    println!(
        "{} targets, one decision each {} s, process {}",
        arguments.targets,
        arguments.interval_s,
        daemon.id()
    );
    let begun = Instant::now();
    let wanted = u64::from(arguments.targets) * 2;
    loop {
        let made = decisions(port).await.unwrap_or(0);
        if made >= wanted {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "{made} decisions in {PATIENCE:?}:\n{}", daemon.tail());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    measure(daemon.id(), port, Duration::from_secs(arguments.seconds)).await
}

async fn measure(daemon: u32, port: u16, time: Duration) -> Result<()> {
    let (decided, before) = (decisions(port).await?, Spent::of(daemon)?);
    tokio::time::sleep(time).await;
    // The processor time first: to tell the metrics of a thousand targets costs some.
    let (after, decided) = (Spent::of(daemon)?, decisions(port).await? - decided);
    let each = |ticks: [u64; 2], since: [u64; 2]| {
        let ms = |at: usize| {
            let used = ticks[at].saturating_sub(since[at]) as f64 * 1000.0;
            used / rustix::param::clock_ticks_per_second() as f64 / decided as f64
        };
        (ms(0), ms(1))
    };
    println!("{decided} decisions in {time:?}; milliseconds of processor time a decision:");
    let (mut user, mut system) = (0.0, 0.0);
    for (what, now, then) in
        [("daemon", after.daemon, before.daemon), ("policy's children", after.children, before.children)]
    {
        let (own, kernel) = each(now, then);
        println!("  {what:<18} {:.3} ({own:.3} its own, {kernel:.3} of the kernel)", own + kernel);
        user += own;
        system += kernel;
    }
    println!("  {:<18} {:.3} ({user:.3} its own, {system:.3} of the kernel)", "together", user + system);
    Ok(())
}

/// Processor time, in ticks: its own and the kernel's.
struct Spent {
    daemon: [u64; 2],
    children: [u64; 2],
}

impl Spent {
    fn of(daemon: u32) -> Result<Self> {
        let mut spent = Self { daemon: [0; 2], children: [0; 2] };
        for entry in std::fs::read_dir("/proc")? {
            let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
            let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            // The name, the second field, may hold anything.
            let fields: Vec<&str> = stat.rsplit_once(") ").context("an odd line")?.1.split(' ').collect();
            let number = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
            let used = [number(11), number(12)];
            if pid == daemon {
                spent.daemon = used;
            } else if number(1) == u64::from(daemon) {
                spent.children = [spent.children[0] + used[0], spent.children[1] + used[1]];
            }
        }
        Ok(spent)
    }
}

/// How many decisions the daemon has made, by its own count.
async fn decisions(port: u16) -> Result<u64> {
    let page = http_get(&format!("http://127.0.0.1:{port}/metrics")).await?;
    let lines = page.lines().filter(|line| line.starts_with("plimsoll_decisions_total{"));
    Ok(lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>() as u64)
}

fn page(targets: u32) -> String {
    (0..targets).fold(String::new(), |mut page, number| {
        let _ = writeln!(page, "load{{target=\"t{number}\"}} {}", 20 + number % 10);
        page
    })
}

fn write(home: &Path, arguments: &Arguments, prometheus: &str, port: u16) -> Result<()> {
    for folder in ["policies", "targets", "state"] {
        std::fs::create_dir_all(home.join(folder))?;
    }
    std::fs::copy(shipped("target-utilization.wasm"), home.join("policies/target-utilization.wasm"))
        .context("`make policies` builds it")?;
    let file = format!(
        "apiVersion: plimsoll.dev/v1alpha1
kind: DaemonConfig
interval: {}s
http: {{listen: \"127.0.0.1:{port}\"}}
log: {{level: warn}}
sources:
  main: {{kind: prometheus, url: \"{prometheus}\"}}
platforms:
  worlds: {{kind: sim, seed: 11}}
",
        arguments.interval_s
    );
    std::fs::write(home.join("plimsoll.yaml"), file)?;
    for number in 0..arguments.targets {
        std::fs::write(home.join(format!("targets/t{number}.yaml")), document(number))?;
    }
    Ok(())
}

fn document(number: u32) -> String {
    format!(
        "apiVersion: plimsoll.dev/v1alpha1
kind: StatefulAutoscaler
metadata: {{name: t{number}}}
spec:
  targetRef: {{apiVersion: plimsoll.dev/v1alpha1, kind: Sim, name: worlds}}
  system: {{kind: sim-quorum}}
  minReplicas: 3
  maxReplicas: 5
  mode: enforce
  policies:
    - {{name: load, module: target-utilization.wasm, settings: {{signal: load, target: 10}}}}
  signals:
    - {{name: load, source: main, query: \"sum by (target) (load)\", batchBy: target, window: 5m, step: 15s}}
"
    )
}
