//! What tests against real systems are made of: processes, real servers, load that remembers what was
//! acknowledged, and a watcher that judges a cluster without any of the product's code.

pub mod audit;
pub mod chart;
pub mod cluster;
pub mod daemon;
pub mod etcd;
pub mod failover;
pub mod guest;
pub mod installed;
pub mod kube;
pub mod library;
pub mod load;
pub mod metrics_api;
pub mod moment;
pub mod outage;
pub mod playground;
pub mod process;
pub mod prometheus;
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
    // target/PROFILE/deps/TEST-HASH, or target/PROFILE/examples/NAME
    let folder = test.ancestors().nth(2).expect("a target directory");
    let path = folder.join("plimsoll");
    assert!(path.is_file(), "{} is missing: run `cargo build -p plimsoll` first", path.display());
    path
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
