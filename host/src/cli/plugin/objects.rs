//! Targets as the cluster's objects show them: the autoscaler's status, and the plan in words. A target of a file has a
//! plan and no autoscaler; one that was refused has an autoscaler and no plan.

use super::client::{Client, Kind, Target};
use crate::kubernetes::scaling_plan::About;
use crate::kubernetes::stateful_autoscaler::Status;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A target as the cluster tells of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    /// `namespace/name`.
    pub(super) target: String,
    /// `off`, `dryrun` or `enforce`, as the document says; empty where the document is a file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) mode: String,
    /// The status of its autoscaler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) autoscaler: Option<Status>,
    /// Its plan in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) plan: Option<About>,
}

impl Shown {
    /// All targets of the namespace, or of all of them.
    pub(super) async fn all(client: &Client, everywhere: bool) -> anyhow::Result<Vec<Self>> {
        let mut all: BTreeMap<String, Self> = BTreeMap::new();
        for kind in [Kind::Autoscaler, Kind::Plan] {
            for object in client.list(kind, everywhere).await? {
                let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
                let target = format!("{}/{}", text("namespace"), text("name"));
                all.entry(target.clone())
                    .or_insert_with(|| Self { target, ..Self::default() })
                    .take(kind, &object)?;
            }
        }
        Ok(all.into_values().collect())
    }

    /// One target.
    pub(super) async fn one(client: &Client, target: &Target) -> anyhow::Result<Self> {
        let mut shown = Self { target: target.to_string(), ..Self::default() };
        let autoscaler = client.find(Kind::Autoscaler, target).await?;
        let plan = client.find(Kind::Plan, target).await?;
        if autoscaler.is_none() && plan.is_none() {
            // Its words are those for what is missing first.
            client.get(Kind::Autoscaler, target).await?;
        }
        for (kind, object) in [(Kind::Autoscaler, autoscaler), (Kind::Plan, plan)] {
            if let Some(object) = object {
                shown.take(kind, &object)?;
            }
        }
        Ok(shown)
    }

    fn take(&mut self, kind: Kind, object: &Value) -> anyhow::Result<()> {
        let read = |value: &Value| format!("{} {} says {value}", kind.name(), self.target);
        match kind {
            Kind::Autoscaler => {
                object["spec"]["mode"].as_str().unwrap_or("dryrun").clone_into(&mut self.mode);
                self.autoscaler = part(&object["status"]).with_context(|| read(&object["status"]))?;
            }
            Kind::Plan => {
                let about = &object["status"]["about"];
                self.plan = part(about).with_context(|| read(about))?;
            }
        }
        Ok(())
    }
}

/// A part of an object, where it has one.
fn part<'a, T: Deserialize<'a>>(value: &'a Value) -> anyhow::Result<Option<T>> {
    if value.is_null() {
        return Ok(None);
    }
    T::deserialize(value).map(Some).context("that is not understood; is the plugin of the daemon's version?")
}
