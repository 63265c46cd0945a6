//! Writes to an etcd cluster, remembers what was acknowledged, and reads it all back at the end.

use clap::Parser;
use plimsoll_tests::load::{Load, Profile};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Writes to an etcd cluster, remembers what was acknowledged, and reads it all back at the end.
///
/// Ends with 0 when every acknowledged write was found again, with 1 when one was lost.
#[derive(Parser)]
struct Options {
    /// The members' addresses for clients, separated by commas; members that are yet to come may be given.
    #[arg(long, value_delimiter = ',', required = true)]
    endpoints: Vec<String>,
    /// How the load changes.
    #[arg(long, value_enum, default_value = "ramp")]
    profile: Shape,
    /// Writes a second when it is low.
    #[arg(long, default_value_t = 20)]
    low: u32,
    /// Writes a second when it is high.
    #[arg(long, default_value_t = 400)]
    high: u32,
    /// How long, in seconds.
    #[arg(long, default_value_t = 240)]
    seconds: u64,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Shape {
    /// High all the time.
    Steady,
    /// Low, high, low, high.
    Ramp,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let profile = match options.profile {
        Shape::Steady => Profile::Steady,
        Shape::Ramp => Profile::Ramp,
    };
    let whole = Duration::from_secs(options.seconds);
    // A run of its own prefix, so that an earlier run's keys are not taken for this one's.
    let prefix = format!("plimsoll-load/{}", std::process::id());
    let load = Load::start(&options.endpoints, &prefix, 0);
    let started = Instant::now();
    let mut before = 0;
    while started.elapsed() < whole {
        let rate = profile.rate(started.elapsed(), whole, options.low, options.high);
        load.set_rate(rate);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = load.acknowledged();
        println!(
            "{:>5} s  wanted {rate:>6}/s  acknowledged {:>6}/s  all {now:>9}  failed {}",
            started.elapsed().as_secs(),
            now - before,
            load.failed(),
        );
        before = now;
    }
    let acknowledged = load.finish().await;
    let lost = acknowledged.lost(&options.endpoints).await?;
    println!("acknowledged writes: {}", acknowledged.len());
    println!("acknowledged writes lost: {}", lost.len());
    for key in lost.iter().take(20) {
        println!("  {key}");
    }
    Ok(if lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
