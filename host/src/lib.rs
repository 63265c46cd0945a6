//! Plimsoll, an autoscaler for systems that hold data: everything that does I/O around `plimsoll-core`.
//!
//! The modules stand in the order in which a decision passes through them.

// A build without some kinds leaves what only they would use.
#![cfg_attr(
    not(all(feature = "etcd", feature = "kubernetes", feature = "postgres")),
    allow(dead_code, unreachable_code)
)]

pub(crate) mod causes;
pub mod config;
pub mod disk;
pub mod kubernetes;
pub mod leadership;
pub mod machine;
pub mod tls;
pub mod tombstone;
pub(crate) mod yaml;

pub mod collect;
pub mod policy;

pub mod actuate;
pub mod platforms;
pub mod systems;

pub mod audit;

pub mod api;
pub mod cli;
pub mod daemon;
pub mod metrics;
pub mod published;
pub mod reference;
pub mod view;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
