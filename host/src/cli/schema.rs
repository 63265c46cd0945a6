//! `plimsoll schema`.

use super::{Exit, output};
use clap::ValueEnum;
use plimsoll_wire::journal::Journal;
use plimsoll_wire::record::Record;
use plimsoll_wire::status::Status;
use plimsoll_wire::{Answer, Snapshot};

/// Prints the JSON Schema of a document, made from the very types that read and write it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  plimsoll schema snapshot > snapshot.schema.json")]
pub(super) struct Schema {
    /// Which document.
    #[arg(value_enum)]
    document: Document,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Document {
    /// What policies see, the judge judges and `plan --from` reads.
    Snapshot,
    /// What a policy answers.
    Proposal,
    /// A record of the audit log.
    Record,
    /// What is kept to resume.
    Journal,
    /// What a target does and why.
    Status,
}

impl Schema {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        let schema = match self.document {
            Document::Snapshot => schemars::schema_for!(Snapshot),
            Document::Proposal => schemars::schema_for!(Answer),
            Document::Record => schemars::schema_for!(Record),
            Document::Journal => schemars::schema_for!(Journal),
            Document::Status => schemars::schema_for!(Status),
        };
        output::print(&output::json(&schema)?)?;
        Ok(Exit::Fine)
    }
}
