//! `plimsoll crd`.

use super::{Exit, output, yaml};
use crate::config::spec_schema;
use crate::kubernetes::{scaling_plan, stateful_autoscaler};

/// Prints the definitions of our Kubernetes resources, made from the very types that read and write them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  plimsoll crd | kubectl apply -f -")]
pub(super) struct Crd {}

impl Crd {
    #[expect(clippy::unused_self, reason = "commands are called alike")]
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        let all = [stateful_autoscaler::definition(spec_schema()), scaling_plan::definition()];
        output::print(&all.map(|definition| yaml::document(&definition)).join("---\n"))?;
        Ok(Exit::Fine)
    }
}
