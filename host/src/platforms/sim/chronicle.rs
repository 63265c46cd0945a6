//! The calls made to a simulated world, in order, in a file that is replaced as a whole.

use crate::disk::{self, Disk, RealDisk, ReplaceError};
use plimsoll_wire::FORMAT_VERSION;
use plimsoll_wire::journal::Verb;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// Calls of one world: a thousand plans, and a few seconds to live through them again.
const MAX_CALLS: usize = 10_000;
/// Bytes of a file: a call has a few hundred.
const MAX_BYTES: u64 = 16 << 20;

/// The file of one world.
#[derive(Debug)]
pub(super) struct Chronicle {
    disk: RealDisk,
    name: String,
    content: Content,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Content {
    format_version: u32,
    world: String,
    seed: u64,
    began_wall_ms: i64,
    calls: Vec<Call>,
}

/// One verb that was carried out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Call {
    /// On the world's clock, from its beginning.
    pub(super) at_ms: u64,
    pub(super) owner: String,
    pub(super) verb: Verb,
}

impl Chronicle {
    /// The chronicle of a world: the one that is there, or a new one where there is none of this world.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is none.
    pub(super) fn open(file: &Path, world: &str, seed: u64, wall_ms: i64) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no file"));
        };
        let disk = RealDisk::make(folder).map_err(|error| at(folder, &error))?;
        let name = name.to_string_lossy().into_owned();
        let found = match disk.read(&name, MAX_BYTES) {
            Ok(bytes) => Some(read(&bytes).map_err(|error| at(file, &error))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(at(file, &error)),
        };
        if let Some(content) = found {
            if content.world == world && content.seed == seed {
                return Ok(Self { disk, name, content });
            }
            tracing::warn!(file = %file.display(), "another world or seed is asked for: a new world begins");
        }
        let content = Content {
            format_version: FORMAT_VERSION,
            world: world.to_owned(),
            seed,
            began_wall_ms: wall_ms,
            calls: Vec::new(),
        };
        let chronicle = Self { disk, name, content };
        chronicle.keep().map_err(|error| at(file, &error))?;
        Ok(chronicle)
    }

    /// What was done, oldest first.
    pub(super) fn calls(&self) -> &[Call] {
        &self.content.calls
    }

    /// When the world began, in milliseconds since 1970.
    pub(super) fn began_wall_ms(&self) -> i64 {
        self.content.began_wall_ms
    }

    /// Adds what is about to be done, durably.
    ///
    /// # Errors
    /// When it may not last; then it must not be done.
    pub(super) fn add(&mut self, call: Call) -> io::Result<()> {
        if self.content.calls.len() >= MAX_CALLS {
            let place = self.disk.place(&self.name);
            let hint =
                format!("{MAX_CALLS} calls are all that it remembers; stop the daemon and remove {place}");
            return Err(io::Error::other(hint));
        }
        self.content.calls.push(call);
        self.keep().inspect_err(|_| drop(self.content.calls.pop()))
    }

    fn keep(&self) -> io::Result<()> {
        let bytes = serde_json::to_vec(&self.content)?;
        match disk::replace(&self.disk, &self.name, &bytes) {
            Ok(()) => Ok(()),
            Err(ReplaceError::Before(error)) => Err(error),
            // It stands there, and so it counts; what a power loss may take is then unknown, as anywhere.
            Err(ReplaceError::Unknown(error)) => {
                tracing::warn!(%error, file = self.disk.place(&self.name), "a simulated world may not last");
                Ok(())
            }
        }
    }
}

fn read(bytes: &[u8]) -> io::Result<Content> {
    let content: Content = serde_json::from_slice(bytes)?;
    if content.format_version != FORMAT_VERSION {
        let problem = format!("formatVersion {} is not known", content.format_version);
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(content)
}

/// An error with its place and what to do.
fn at(place: &Path, error: &io::Error) -> io::Error {
    let place = place.display();
    let problem = format!("the simulated world {place} cannot be used: {error}; remove it to begin another");
    io::Error::new(error.kind(), problem)
}
