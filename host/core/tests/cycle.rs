//! The cycle, one behaviour a test: the production `step` at a desk where every effect is carried out, broken or kept
//! back as the test wants it; and what it makes of the object that a platform scales.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "cycle/age.rs"]
mod age;
#[path = "cycle/ahead.rs"]
mod ahead;
#[path = "cycle/approval.rs"]
mod approval;
#[path = "cycle/beside.rs"]
mod beside;
#[path = "cycle/cancel.rs"]
mod cancel;
#[path = "cycle/desk.rs"]
mod desk;
#[path = "cycle/durable.rs"]
mod durable;
#[path = "cycle/ghost.rs"]
mod ghost;
#[path = "cycle/late.rs"]
mod late;
#[path = "cycle/lone.rs"]
mod lone;
#[path = "cycle/ordinal.rs"]
mod ordinal;
#[path = "cycle/patience.rs"]
mod patience;
#[path = "cycle/pause.rs"]
mod pause;
#[path = "cycle/reason.rs"]
mod reason;
#[path = "cycle/role.rs"]
mod role;
#[path = "cycle/shards.rs"]
mod shards;
#[path = "cycle/together.rs"]
mod together;
#[path = "cycle/unit.rs"]
mod unit;
#[path = "cycle/wish.rs"]
mod wish;
#[path = "cycle/workload.rs"]
mod workload;
#[path = "cycle/written.rs"]
mod written;
