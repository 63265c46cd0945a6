//! The lease on the API server: a `Lease` of `coordination.k8s.io` that names the leader. Its times are for people only: no
//! decision compares the clocks of two machines.

use crate::kubernetes::{ApiServer, Failure, Write};
use plimsoll_core::lease::{Action, Heard, Holder, Record};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The mark of a lease that its holder gave back. A lease that merely has no holder may have been edited by hand, and
/// its holder may not know yet.
const RELEASED: &str = "plimsoll.dev/released";

/// One lease on an API server.
#[derive(Debug)]
pub(super) struct LeaseObject {
    server: Arc<ApiServer>,
    namespace: String,
    name: String,
    /// How long one read or write may take.
    within: Duration,
    /// What it says of itself: its holder's duration.
    duration: Duration,
    /// As it was last seen. What others put on it stays.
    last: Option<Value>,
}

impl LeaseObject {
    /// A lease that is neither read nor made yet. Each call ends `within`.
    #[must_use]
    pub(super) fn new(
        server: Arc<ApiServer>,
        namespace: &str,
        name: &str,
        duration: Duration,
        within: Duration,
    ) -> Self {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Self { server, namespace, name, within, duration, last: None }
    }

    /// Reads or writes the lease once, at this time of day in microseconds since 1970. A wait sends nothing. Returns what
    /// was heard, and what went wrong in words.
    pub(super) async fn ask(&mut self, action: &Action, wall_us: i64) -> (Heard, Option<String>) {
        let asked = match action {
            Action::Wait { .. } => return (Heard::Nothing, None),
            Action::Read => self.read().await,
            Action::Create { holder } => self.create(holder, wall_us).await,
            Action::Replace { version, holder } => self.replace(version, holder, wall_us).await,
        };
        match asked {
            Ok(heard) => (heard, None),
            Err(why) => (Heard::Unanswered, Some(why)),
        }
    }

    async fn read(&mut self) -> Result<Heard, String> {
        let read = self.in_time(self.server.read(&self.path())).await;
        match read {
            Ok(object) => Ok(Heard::Read(Some(self.keep(object)?))),
            Err(Failure::NotFound { .. }) => {
                self.last = None;
                Ok(Heard::Read(None))
            }
            Err(failure) => Err(failure.to_string()),
        }
    }

    async fn create(&mut self, holder: &Holder, wall_us: i64) -> Result<Heard, String> {
        let blank = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "namespace": self.namespace, "name": self.name },
        });
        let body = written(blank, holder, self.duration, wall_us);
        let collection = self.collection();
        match self.in_time(self.server.write_lease(Write::Create(&collection, &body))).await {
            Ok(object) => Ok(Heard::Written(self.keep(object)?)),
            Err(Failure::Conflict { .. }) => Ok(Heard::Refused),
            Err(failure) => Err(failure.to_string()),
        }
    }

    async fn replace(&mut self, version: &str, holder: &Holder, wall_us: i64) -> Result<Heard, String> {
        let last = self.last.clone().filter(|last| last["metadata"]["resourceVersion"] == *version);
        let last = last.ok_or("the lease was not read in the version that is to be replaced")?;
        let body = written(last, holder, self.duration, wall_us);
        let path = self.path();
        match self.in_time(self.server.write_lease(Write::Replace(&path, &body))).await {
            Ok(object) => Ok(Heard::Written(self.keep(object)?)),
            Err(Failure::Conflict { .. }) => Ok(Heard::Refused),
            Err(Failure::NotFound { .. }) => Ok(Heard::Gone),
            Err(failure) => Err(failure.to_string()),
        }
    }

    async fn in_time<F: Future<Output = Result<Value, Failure>>>(&self, call: F) -> Result<Value, Failure> {
        match tokio::time::timeout(self.within, call).await {
            Ok(answer) => answer,
            Err(_) => {
                Err(Failure::Unknown { message: format!("no answer within {} ms", self.within.as_millis()) })
            }
        }
    }

    fn keep(&mut self, object: Value) -> Result<Record, String> {
        let record = record(&object)?;
        self.last = Some(object);
        Ok(record)
    }

    fn collection(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace)
    }

    fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }
}

/// What an object says.
fn record(object: &Value) -> Result<Record, String> {
    let version = object["metadata"]["resourceVersion"].as_str().filter(|version| !version.is_empty());
    let version = version.ok_or("the lease has no resourceVersion")?;
    let spec = &object["spec"];
    let holder = match spec["holderIdentity"].as_str().filter(|holder| !holder.is_empty()) {
        Some(holder) => Holder::Process(Arc::from(holder)),
        None if object["metadata"]["annotations"][RELEASED] == "true" => Holder::Released,
        None => Holder::Nobody,
    };
    let seconds = spec["leaseDurationSeconds"].as_u64().unwrap_or(0);
    Ok(Record { version: Arc::from(version), holder, duration_ms: seconds.saturating_mul(1_000) })
}

/// The object as it is to be from then on, with everything that others put on it. Its version and uid go with it: the
/// server refuses it when either is not so any more.
fn written(mut object: Value, holder: &Holder, duration: Duration, wall_us: i64) -> Value {
    let before = object["spec"].clone();
    let is_same = matches!(holder, Holder::Process(us) if before["holderIdentity"] == **us);
    let time = micro_time(wall_us);
    // Counted for people, as others do; a lease that is recreated begins at zero, so it is no epoch.
    let changes = before["leaseTransitions"].as_i64().unwrap_or(0);
    let (name, changes) = match holder {
        Holder::Process(us) => (us.to_string(), changes.saturating_add(i64::from(!is_same))),
        Holder::Nobody | Holder::Released => (String::new(), changes),
    };
    let acquired = if is_same { before["acquireTime"].clone() } else { json!(time) };
    object["spec"] = json!({
        "holderIdentity": name,
        // Rounded up: others wait for as long as it says.
        "leaseDurationSeconds": duration.as_millis().div_ceil(1_000),
        "acquireTime": acquired,
        "renewTime": time,
        "leaseTransitions": changes.min(i64::from(i32::MAX)),
    });
    if !object["metadata"]["annotations"].is_object() {
        object["metadata"]["annotations"] = json!({});
    }
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        match holder {
            Holder::Released => annotations.insert(RELEASED.to_owned(), json!("true")),
            Holder::Nobody | Holder::Process(_) => annotations.remove(RELEASED),
        };
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        // The server keeps its own.
        metadata.remove("managedFields");
    }
    object
}

/// As Kubernetes writes it: six digits behind the point, or it is refused.
fn micro_time(wall_us: i64) -> String {
    format!("{:.6}", jiff::Timestamp::from_microsecond(wall_us).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_US: i64 = 1_764_253_569_120_000;

    fn process(name: &str) -> Holder {
        Holder::Process(Arc::from(name))
    }

    fn object(version: &str, spec: Value, annotations: Value) -> Value {
        json!({ "metadata": { "resourceVersion": version, "annotations": annotations }, "spec": spec })
    }

    #[test]
    fn tells_who_holds_it_and_whether_it_was_given_back() {
        let read =
            |spec: Value, annotations: Value| record(&object("7", spec, annotations)).map(|it| it.holder);
        assert_eq!(read(json!({ "holderIdentity": "a_1" }), Value::Null), Ok(process("a_1")));
        assert_eq!(read(json!({ "holderIdentity": "" }), Value::Null), Ok(Holder::Nobody));
        assert_eq!(read(Value::Null, Value::Null), Ok(Holder::Nobody));
        let given_back = json!({ RELEASED: "true" });
        assert_eq!(read(json!({ "holderIdentity": "" }), given_back.clone()), Ok(Holder::Released));
        // A holder is a holder, whatever is left of an earlier one.
        assert_eq!(read(json!({ "holderIdentity": "a_1" }), given_back), Ok(process("a_1")));
        assert!(record(&json!({ "spec": {} })).is_err());
        let long = record(&object("7", json!({ "leaseDurationSeconds": 30 }), Value::Null));
        assert_eq!(long.map(|it| it.duration_ms), Ok(30_000));
        let odd = record(&object("7", json!({ "leaseDurationSeconds": -3 }), Value::Null));
        assert_eq!(odd.map(|it| it.duration_ms), Ok(0));
    }

    #[test]
    fn writes_every_time_anew_and_keeps_what_others_put_there() {
        let before = json!({
            "metadata": {
                "resourceVersion": "7", "uid": "u", "labels": { "team": "data" },
                "annotations": { RELEASED: "true", "note": "ours" }, "managedFields": [1],
            },
            "spec": { "holderIdentity": "", "leaseTransitions": 4 },
        });
        let taken = written(before, &process("a_1"), Duration::from_millis(2_500), DAY_US);
        let expected = json!({
            "metadata": {
                "resourceVersion": "7", "uid": "u", "labels": { "team": "data" }, "annotations": { "note": "ours" },
            },
            "spec": {
                "holderIdentity": "a_1", "leaseDurationSeconds": 3, "leaseTransitions": 5,
                "acquireTime": "2025-11-27T14:26:09.120000Z", "renewTime": "2025-11-27T14:26:09.120000Z",
            },
        });
        assert_eq!(taken, expected);
        let renewed = written(taken.clone(), &process("a_1"), Duration::from_secs(3), DAY_US + 1_000_000);
        assert_eq!(renewed["spec"]["acquireTime"], taken["spec"]["acquireTime"]);
        assert_eq!(renewed["spec"]["renewTime"], "2025-11-27T14:26:10.120000Z");
        assert_eq!(renewed["spec"]["leaseTransitions"], 5);
        let left = written(renewed, &Holder::Released, Duration::from_secs(3), DAY_US);
        assert_eq!(record(&left).map(|it| it.holder), Ok(Holder::Released));
        let taken = written(left, &process("b_1"), Duration::from_secs(3), DAY_US);
        assert_eq!(record(&taken).map(|it| it.holder), Ok(process("b_1")));
        assert_eq!(taken["spec"]["leaseTransitions"], 6);
    }
}
