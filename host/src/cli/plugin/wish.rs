//! A size wished from outside, at the autoscaler's `spec.replicas`.

use super::super::output::{self, line};
use super::super::progress::Progress;
use super::Exit;
use super::client::{Client, Kind, MANAGER, Target};
use super::order::{Wait, silence};
use crate::kubernetes::{stateful_autoscaler, wish};
use anyhow::bail;
use plimsoll_core::count::count;
use serde_json::{Value, json};

/// It is one answer beside those of the policies, and passes every rule; it stands until it is taken away.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kubectl plimsoll scale etcd 5
  kubectl plimsoll scale etcd --clear")]
pub(super) struct Scale {
    /// The target: the name of its StatefulAutoscaler.
    #[arg(value_name = "TARGET")]
    target: String,
    /// How many members.
    #[arg(value_name = "N", required_unless_present = "clear", conflicts_with = "clear")]
    members: Option<u32>,
    /// Take the wish away: leave the size to the policies again.
    #[arg(long)]
    clear: bool,
    #[command(flatten)]
    wait: Wait,
}

impl Scale {
    pub(super) async fn run(&self, client: &Client) -> anyhow::Result<Exit> {
        let target = client.target(&self.target)?;
        let object = client.get(Kind::Autoscaler, &target).await?;
        if object["spec"]["externalWish"] != true {
            bail!(
                "{target} takes no wishes from outside; next: `externalWish: true` in its spec, if that is what its owner wants"
            );
        }
        // Where the daemon's own value stands, the same number is no write and so no wish.
        if self.members.is_some_and(|members| object["spec"]["replicas"] == members)
            && wish::wish(&object).is_none()
        {
            output::print(&format!("{target} stands at that size already, and nothing else is wished\n"))?;
            return Ok(Exit::Fine);
        }
        let members = self.members;
        client
            .change(Kind::Autoscaler, &target, |object| {
                // What the daemon puts there when a wish is gone is not another's, and there is nothing to clear.
                let is_so = match members {
                    Some(members) => object["spec"]["replicas"] == members,
                    None => wish::wish(object).is_none(),
                };
                (!is_so).then(|| json!({ "spec": { "replicas": members } }))
            })
            .await?;
        let _progress = Progress::begin("waiting for the daemon");
        self.wait_for(client, &target).await
    }

    async fn wait_for(&self, client: &Client, target: &Target) -> anyhow::Result<Exit> {
        let Some(deadline) = self.wait.until() else {
            output::print(&format!("{target}: the wish is written\n"))?;
            return Ok(Exit::Fine);
        };
        let members = self.members;
        let seen = move |object: &Value| {
            let wish = &object["status"]["externalWish"];
            match members {
                Some(members) => wish["replicas"] == members,
                None => wish.is_null() || wish["manager"] != MANAGER,
            }
        };
        let taken = client.until(Kind::Autoscaler, target, deadline, |object| seen(object).then_some(()));
        if taken.await?.is_none() {
            bail!("{}", silence(client, target, self.wait).await);
        }
        // What became of it: a plan for it, a decision about it, or the size that it asks for.
        let came = move |object: &Value| {
            let status = &object["status"];
            let Some(members) = members else { return Some(object.clone()) };
            let reached = status["replicas"] == members || status["plan"]["to"] == members;
            (reached || status["lastDecision"]["rawDesiredReplicas"] == members).then(|| object.clone())
        };
        let object = client.until(Kind::Autoscaler, target, deadline, came).await?;
        let what = members.map_or_else(
            || "the wish is taken away".to_owned(),
            |members| format!("{} are wished", count(members, "member")),
        );
        let message = match object {
            Some(object) => object["status"]["message"].as_str().unwrap_or_default().to_owned(),
            None => "nothing has been decided about it yet".to_owned(),
        };
        output::print(&format!("{target}: {what}; {}\n", line(&message)))?;
        let kind = stateful_autoscaler::KIND.to_lowercase();
        output::print(&format!("next: kubectl get {kind}/{} -n {} -w\n", target.name, target.namespace))?;
        Ok(Exit::Fine)
    }
}
