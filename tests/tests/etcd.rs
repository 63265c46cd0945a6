//! On real etcd servers on loopback, each test with servers of its own.

#[path = "etcd/bad_input.rs"]
mod bad_input;
#[path = "etcd/driver.rs"]
mod driver;
#[path = "etcd/example.rs"]
mod example;
#[path = "etcd/refusals.rs"]
mod refusals;
#[path = "etcd/secured.rs"]
mod secured;
#[path = "etcd/set_aside.rs"]
mod set_aside;
#[path = "etcd/watch.rs"]
mod watch;
