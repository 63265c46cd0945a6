//! On real Kafka brokers on loopback, each test with brokers of its own.

#[path = "kafka/driver.rs"]
mod driver;
#[path = "kafka/subject.rs"]
mod subject;
