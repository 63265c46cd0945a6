//! What tests against real systems are made of: processes, real servers, load that remembers what was
//! acknowledged, and a watcher that judges a cluster without any of the product's code.

pub mod audit;
pub mod chart;
pub mod cluster;
pub mod daemon;
pub mod document;
pub mod driven;
pub mod etcd;
pub mod example;
pub mod failover;
pub mod fixture;
pub mod guest;
pub mod installed;
pub mod kafka;
pub mod kube;
pub mod library;
pub mod load;
pub mod metrics_api;
pub mod moment;
pub mod outage;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod pursuit;
pub mod redis;
pub mod requests;
pub mod watch;
pub mod witnesses;

use std::path::PathBuf;

/// The `plimsoll` binary that was built with these tests.
///
/// # Panics
/// When it has not been built: it belongs to another package, so Cargo does not build it by itself.
#[must_use]
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    // target/PROFILE/deps/TEST-HASH, target/PROFILE/examples/NAME, or target/PROFILE/NAME for a benchmark
    let mut folders = [2, 1].into_iter().filter_map(|up| test.ancestors().nth(up));
    let found = folders.find_map(|folder| Some(folder.join("plimsoll")).filter(|path| path.is_file()));
    found.unwrap_or_else(|| {
        panic!("there is no plimsoll beside {}: run `cargo build -p plimsoll` first", test.display())
    })
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
