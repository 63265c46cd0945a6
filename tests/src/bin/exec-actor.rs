//! A daemon in small, to be killed by tests: carries out one `Start` through the exec platform and prints
//! what came of it.
//!
//! Its one argument is a JSON document with what the test chose.

use plimsoll::actuate::Permit;
use plimsoll::platforms::Platform as _;
use plimsoll::platforms::exec::{Command, Exec, ExecConfig, Listing, SharedLists};
use plimsoll_wire::journal::PlatformVerb;
use std::collections::BTreeMap;
use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let text = std::env::args().nth(1).ok_or_else(|| anyhow::anyhow!("one argument: a JSON document"))?;
    let wanted: serde_json::Value = serde_json::from_str(&text)?;
    let field = |name: &str| wanted[name].as_str().unwrap_or_default().to_owned();
    let command = Command {
        argv: vec!["/bin/sh".into(), field("script")],
        timeout: Duration::from_secs(60),
        env: BTreeMap::new(),
    };
    let config = ExecConfig {
        list: Listing::Each(command.clone()),
        add: Some(command.clone()),
        remove: Some(command),
        working_dir: "/".into(),
    };
    let exec =
        Exec::new("actor", config, &SharedLists::default(), field("state"))?.with_guard(field("guard"));
    let permit = Permit {
        target: field("target").into(),
        plan: "p1".into(),
        intent: field("intent").into(),
        epoch: 1,
        deadline: Duration::from_secs(60),
        membership: None,
    };
    let verb = PlatformVerb::Start { slot: "e1".into(), size_after: 1, join: None };
    println!("{}", serde_json::to_string(&exec.act(&permit, &verb).await)?);
    Ok(())
}
