//! On real PostgreSQL servers on loopback, each test with servers of its own.

#[path = "postgres/driver.rs"]
mod driver;
#[path = "postgres/example.rs"]
mod example;
#[path = "postgres/lies.rs"]
mod lies;
#[path = "postgres/secured.rs"]
mod secured;
#[path = "postgres/subject.rs"]
mod subject;
