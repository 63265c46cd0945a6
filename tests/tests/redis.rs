//! On real Redis servers on loopback, each test with a cluster of its own.

#[path = "redis/driver.rs"]
mod driver;
#[path = "redis/subject.rs"]
mod subject;
