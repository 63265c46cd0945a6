//! `cargo run --release -p plimsoll-tests --example policy_bench [MODULE.wasm ...]`
//!
//! What one evaluation with a fresh instance costs in Plimsoll, against bare wasmtime doing the same call in the
//! same run. Without arguments it measures a module written by hand.

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
        launch: Launch { program: plimsoll_tests::binary(), sandbox: Sandbox::Required },
        cache: None,
    };
    println!("{:>9} {:>9} {:>6} {:>9} {:>10}  module", "bare us", "host us", "ratio", "child us", "fuel");
    for (name, module) in modules {
        let cost = bench::compare(&host, &module, &guest::snapshot(), ROUNDS).await?;
        let ratio = cost.host_us / cost.bare_us;
        println!(
            "{:9.1} {:9.1} {ratio:6.2} {:9.1} {:10}  {name}",
            cost.bare_us, cost.host_us, cost.child_us, cost.fuel
        );
    }
    Ok(())
}
