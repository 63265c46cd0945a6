//! What an evaluation costs: in the confined child, in this process with the host's settings, and with bare
//! wasmtime. For `make bench`; the daemon never calls it, for it runs guests unconfined.

use super::fault::{Failure, Fault};
use super::frame::Contract;
use super::guest::{Guest, Settings};
use super::limits::{Class, Limits};
use super::offline::Host;
use plimsoll_wire::Snapshot;
use std::time::Instant;

/// Microseconds of one evaluation with a fresh instance: the median of many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// wasmtime with its defaults: no fuel, no limits, images of memory.
    pub bare_us: f64,
    /// The same with fuel counted: what a bound on a guest costs in wasmtime itself.
    pub fuel_us: f64,
    /// The host's engine, limits and accounting, without the process.
    pub host_us: f64,
    /// All of it as the daemon sees it: the snapshot written, sent, evaluated, the answer read.
    pub child_us: f64,
    /// Units of fuel.
    pub fuel: u64,
}

/// Measures one trusted module. The in-process ways take turns, so that all see the same machine.
///
/// # Errors
/// When the module cannot be loaded or gives no answer.
pub async fn compare(
    host: &Host,
    module: &[u8],
    snapshot: &Snapshot,
    rounds: usize,
) -> Result<Cost, Failure> {
    let failed = |detail: String| Failure::new(Fault::Instantiate, detail);
    let class = Class::Compiled;
    let loaded =
        host.load_bytes(module, class, Limits::of(class)).await.map_err(|r| failed(r.to_string()))?;
    let contract = loaded.inspection().contract.unwrap_or(Contract::Program);
    let guest =
        |settings| Guest::in_process(module, contract, settings).map_err(|e| failed(format!("{e:#}")));
    let (bare, fueled, ours) = (guest(Settings::Bare)?, guest(Settings::Fuel)?, guest(Settings::Ours)?);
    let input = plimsoll_wire::canonical(snapshot).map_err(|error| failed(error.to_string()))?;
    let (mut bare_us, mut fuel_us, mut host_us, mut child_us) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut fuel = 0;
    for _ in 0..rounds {
        bare_us.push(time(&bare, &input, snapshot)?);
        fuel_us.push(time(&fueled, &input, snapshot)?);
        host_us.push(time(&ours, &input, snapshot)?);
    }
    for _ in 0..rounds {
        let evaluation = loaded.evaluate(snapshot).await;
        evaluation.result?;
        fuel = evaluation.fuel;
        #[expect(clippy::cast_precision_loss, reason = "a figure to print")]
        child_us.push(evaluation.wall_us as f64);
    }
    Ok(Cost {
        bare_us: median(bare_us),
        fuel_us: median(fuel_us),
        host_us: median(host_us),
        child_us: median(child_us),
        fuel,
    })
}

fn time(guest: &Guest, input: &[u8], snapshot: &Snapshot) -> Result<f64, Failure> {
    let input = input.to_vec();
    let began = Instant::now();
    guest.evaluate(input, snapshot.now.wall_ms, Limits::of(Class::Compiled).fuel).result?;
    Ok(began.elapsed().as_secs_f64() * 1e6)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
