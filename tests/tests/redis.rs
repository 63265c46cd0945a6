//! On real Redis servers on loopback, each test with a cluster of its own.

#[path = "redis/driver.rs"]
mod driver;
#[path = "redis/example.rs"]
mod example;
#[path = "redis/lies.rs"]
mod lies;
#[path = "redis/open.rs"]
mod open;
#[path = "redis/secured.rs"]
mod secured;
#[path = "redis/subject.rs"]
mod subject;
