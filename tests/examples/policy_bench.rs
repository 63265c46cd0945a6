//! `cargo run --release -p plimsoll-tests --example policy_bench [MODULE.wasm ...]`
//!
//! What one evaluation with a fresh instance costs in Plimsoll, against bare wasmtime doing the same call in the
//! same run: once with its defaults, which nothing ends, and once with fuel, which bounds a guest as ours are bounded. Without arguments it measures a module written by hand.

use plimsoll::policy::{Host, Launch, Sandbox, bench};
use plimsoll_tests::guest;

const ROUNDS: usize = 500;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut modules = Vec::new();
    for path in std::env::args().skip(1) {
        modules.push((path.clone(), std::fs::read(path)?));
    }
    if modules.is_empty() {
        modules.push(("by hand".to_owned(), guest::counting(&guest::wish("3"))));
    }
    let host = Host {
        launch: Launch { program: plimsoll_tests::binary(), sandbox: Sandbox::Required, ..Launch::default() },
        cache: None,
    };
    println!(
        "{:>9} {:>9} {:>9} {:>7} {:>7} {:>9} {:>10}  module",
        "bare us", "+fuel us", "host us", "/bare", "/+fuel", "child us", "fuel"
    );
    for (name, module) in modules {
        let cost = bench::compare(&host, &module, &guest::snapshot(), ROUNDS).await?;
        let (to_bare, to_fuel) = (cost.host_us / cost.bare_us, cost.host_us / cost.fuel_us);
        println!(
            "{:9.1} {:9.1} {:9.1} {to_bare:7.2} {to_fuel:7.2} {:9.1} {:10}  {name}",
            cost.bare_us, cost.fuel_us, cost.host_us, cost.child_us, cost.fuel
        );
    }
    Ok(())
}
