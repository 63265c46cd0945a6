//! What tests against real systems are made of: processes, real servers, load that remembers what was
//! acknowledged, and a watcher that judges a cluster without any of the product's code.

pub mod etcd;
pub mod load;
pub mod process;
pub mod prometheus;
pub mod watch;
