//! `plimsoll set-aside`: runs in a pod before its member starts, and sets aside the data of a member that was removed
//! for good.

use super::{Exit, output};
use crate::machine;
use crate::systems::{self, Data, Identity};
use crate::tombstone::{self, Said};
use anyhow::Context as _;
use clap::builder::PossibleValuesParser;
use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The file beside the data that has its name.
const NAME_FILE: &str = ".plimsoll-data";
/// No name is longer.
const MAX_NAME: usize = 64;

/// Sets the data of a removed member aside, before the next member starts on its volume.
///
/// For an init container of the pods of a StatefulSet, without credentials or network. Data whose tombstone names it is
/// renamed; everything else, and a first boot or a restart above all, passes untouched. Nothing is deleted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  plimsoll set-aside --system etcd --data-dir /var/lib/etcd --tombstones /tombstones

What was done is written to the standard error, and for Kubernetes to the termination message.
It fails only where the data directory cannot be read or written.")]
pub(super) struct SetAside {
    /// Whose data it is.
    #[arg(long, value_parser = PossibleValuesParser::new(words()))]
    system: String,
    /// The member's data directory.
    #[arg(long, value_name = "FOLDER")]
    data_dir: PathBuf,
    /// Where the `ConfigMap` plimsoll-tombstones is mounted (`optional: true`).
    #[arg(long, value_name = "FOLDER")]
    tombstones: PathBuf,
    /// Where the pod's termination message goes.
    #[arg(long, value_name = "FILE", default_value = "/dev/termination-log")]
    message: PathBuf,
}

/// The systems whose data tells whose it is.
fn words() -> Vec<&'static str> {
    systems::KINDS.iter().filter(|kind| kind.data.is_some()).map(|kind| kind.word).collect()
}

/// What to do with what was found. Pure.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// Nobody's data is here: what comes has a new name.
    Blank,
    /// It stays; without a name it is given one.
    Stays(Option<String>, String),
    /// It is a removed member's, by this key.
    SetAside(String),
}

fn decide(found: &Identity, name: Option<&str>, tombstone: impl Fn(&str) -> Option<String>) -> Decision {
    let (cluster, member) = match found {
        Identity::Blank => return Decision::Blank,
        Identity::Unclear(why) => {
            return Decision::Stays(None, format!("whose data it is cannot be told: {why}"));
        }
        Identity::Of { cluster, member } => (cluster, member),
    };
    let data = format!("the data of member {member} of cluster {cluster}");
    let Some(key) = tombstone::key(cluster, member) else {
        return Decision::Stays(None, format!("{data}, which can have no tombstone"));
    };
    let Some(text) = tombstone(&key) else {
        return Decision::Stays(Some(key), format!("{data}, which was not removed"));
    };
    let names = tombstone::read(&text).map(|tombstone| tombstone.data).unwrap_or_default();
    match name {
        Some(name) if names.contains(name) => Decision::SetAside(key),
        Some(_) | None => {
            // A cluster that is founded again has the same ids.
            Decision::Stays(
                Some(key),
                format!("{data}; there is a tombstone for its ids, which names other data"),
            )
        }
    }
}

impl SetAside {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        let kind = systems::KINDS.iter().find(|kind| kind.word == self.system);
        let data = kind.and_then(|kind| kind.data.as_ref()).context("no such system")?;
        let name = self.name()?;
        let tombstone = |key: &str| std::fs::read_to_string(self.tombstones.join(key)).ok();
        let said = match decide(&(data.identity)(&self.data_dir), name.as_deref(), tombstone) {
            Decision::Blank => {
                output::complain("no data yet: nothing to set aside");
                Said { data: self.give_name()?, member: None, set_aside: None }
            }
            Decision::Stays(member, why) => {
                output::complain(&format!("{why}: it stays as it is"));
                Said { data: name.map_or_else(|| self.give_name(), Ok)?, member, set_aside: None }
            }
            Decision::SetAside(key) => {
                let aside = self.set_aside(data, &key)?;
                output::complain(&format!("member {key} was removed: its data is set aside in {aside}"));
                Said { data: self.give_name()?, member: None, set_aside: Some(aside) }
            }
        };
        // Without it the next scale-in waits; a member that could not start would be worse.
        if let Err(error) = std::fs::write(&self.message, serde_json::to_vec(&said)?) {
            output::complain(&format!("{}: {error}", self.message.display()));
        }
        Ok(Exit::Fine)
    }

    /// What the data is called, as far as it was named.
    fn name(&self) -> anyhow::Result<Option<String>> {
        let path = self.data_dir.join(NAME_FILE);
        match std::fs::read_to_string(&path) {
            Ok(name) => Ok(Some(name.trim().to_owned()).filter(|it| !it.is_empty() && it.len() <= MAX_NAME)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Gives the data that is here, or that is to come, a name of its own.
    fn give_name(&self) -> anyhow::Result<String> {
        let name = machine::uuid().context("asking the kernel for a name")?;
        // As etcd itself would make it.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.data_dir);
        made.with_context(|| self.data_dir.display().to_string())?;
        let (new, path) = (self.data_dir.join(format!("{NAME_FILE}.new")), self.data_dir.join(NAME_FILE));
        let write = || {
            let mut file = File::create(&new)?;
            writeln!(file, "{name}")?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            sync(&self.data_dir)
        };
        write().with_context(|| path.display().to_string())?;
        Ok(name)
    }

    /// Renames the data. An earlier one of the same member stays too.
    fn set_aside(&self, data: &Data, key: &str) -> anyhow::Result<String> {
        let from = self.data_dir.join(data.folder);
        let plain = format!("{}.removed-{key}", data.folder);
        let mut aside = plain.clone();
        for number in 2_u32.. {
            if std::fs::symlink_metadata(self.data_dir.join(&aside)).is_err() {
                break;
            }
            aside = format!("{plain}-{number}");
        }
        let renamed = std::fs::rename(&from, self.data_dir.join(&aside)).and_then(|()| sync(&self.data_dir));
        renamed.with_context(|| format!("setting {} aside", from.display()))?;
        Ok(aside)
    }
}

/// Makes what was renamed in a folder last.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end here")]
mod tests {
    use super::*;

    const STONE: &str = r#"{"pod":"db-3","claims":["c"],"data":["mine"]}"#;

    fn of(found: &Identity, name: Option<&str>, stone: Option<&str>) -> Decision {
        decide(found, name, |key| stone.filter(|_| key == "c1.a").map(str::to_owned))
    }

    fn member(member: &str) -> Identity {
        Identity::Of { cluster: "c1".to_owned(), member: member.to_owned() }
    }

    #[test]
    fn only_data_that_its_members_tombstone_names_is_set_aside() {
        assert_eq!(of(&member("a"), Some("mine"), Some(STONE)), Decision::SetAside("c1.a".to_owned()));
        let stays = [
            of(&member("a"), Some("mine"), None),
            of(&member("a"), Some("mine"), Some("by hand")),
            // Founded again with the same names: the same ids, other data.
            of(&member("a"), Some("another"), Some(STONE)),
            of(&member("a"), None, Some(STONE)),
            of(&member("b"), Some("mine"), Some(STONE)),
            of(&Identity::Unclear("torn".to_owned()), Some("mine"), Some(STONE)),
        ];
        for decision in stays {
            assert!(matches!(decision, Decision::Stays(..)), "{decision:?}");
        }
        assert_eq!(of(&Identity::Blank, Some("mine"), Some(STONE)), Decision::Blank);
    }
}
