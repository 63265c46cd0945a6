//! Stores snapshots under the digest of their bytes.

use super::chain::Hash;
use crate::disk::{self, Disk};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::collections::BTreeSet;
use std::io::{self, Read, Write};

/// The folder of all snapshots.
pub(super) const FOLDER: &str = "blobs";
const ENDING: &str = ".json.gz";

/// The most canonical bytes of a snapshot: a thousand members take about two million.
const MAX_SNAPSHOT: u64 = 16 << 20;

fn folder(digest: Hash) -> String {
    let digits = digest.to_string();
    format!("{FOLDER}/{}", &digits[..2])
}

pub(super) fn name(digest: Hash) -> String {
    format!("{}/{digest}{ENDING}", folder(digest))
}

/// Keeps `bytes` and returns once they last: their digest and how many bytes they take on the disk.
/// `folders` remembers which folders' names are sure to last.
///
/// # Errors
/// When they are too many, or are not known to last.
pub(super) fn store(
    disk: &dyn Disk,
    bytes: &[u8],
    folders: &mut BTreeSet<String>,
) -> io::Result<(Hash, u64)> {
    if bytes.len() as u64 > MAX_SNAPSHOT {
        let problem = format!("a snapshot of {} bytes is longer than {MAX_SNAPSHOT}", bytes.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    let digest = Hash::of(bytes);
    let (folder, name) = (folder(digest), name(digest));
    if let Some(stat) = disk.stat(&name)?
        && load(disk, digest).is_ok()
    {
        // It may have been put there by a call that failed before its name was sure to last.
        disk.sync_folder(&folder)?;
        return Ok((digest, stat.length));
    }
    if !folders.contains(&folder) {
        disk.make_folder(&folder)?;
        disk.sync_folder(FOLDER)?;
        folders.insert(folder);
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    let compressed = encoder.finish()?;
    disk::replace(disk, &name, &compressed).map_err(disk::ReplaceError::into_io)?;
    Ok((digest, compressed.len() as u64))
}

/// Why a snapshot cannot be had.
#[derive(Debug)]
pub(super) enum Unavailable {
    Missing,
    Altered(String),
    Unreadable(io::Error),
}

/// The bytes with this digest.
pub(super) fn load(disk: &dyn Disk, digest: Hash) -> Result<Vec<u8>, Unavailable> {
    let compressed = match disk.read(&name(digest), MAX_SNAPSHOT) {
        Ok(compressed) => compressed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unavailable::Missing),
        Err(error) => return Err(Unavailable::Unreadable(error)),
    };
    let mut bytes = Vec::new();
    let mut decoder = GzDecoder::new(compressed.as_slice()).take(MAX_SNAPSHOT + 1);
    decoder
        .read_to_end(&mut bytes)
        .map_err(|error| Unavailable::Altered(format!("it cannot be decompressed ({error})")))?;
    let rest = decoder.into_inner().into_inner();
    if !rest.is_empty() {
        return Err(Unavailable::Altered(format!("{} bytes follow its end", rest.len())));
    }
    let found = Hash::of(&bytes);
    if found != digest {
        return Err(Unavailable::Altered(format!("its digest is {found}, not {digest}")));
    }
    Ok(bytes)
}

/// The snapshots that are there, with their sizes. Leftovers of a crash are removed.
///
/// # Errors
/// When a folder cannot be read.
pub(super) fn all(disk: &dyn Disk) -> io::Result<Vec<(Hash, disk::Stat)>> {
    let mut found = Vec::new();
    for part in disk.list(FOLDER)? {
        let folder = format!("{FOLDER}/{part}");
        for file in disk.list(&folder)? {
            let path = format!("{folder}/{file}");
            if file.ends_with(disk::TEMPORARY) {
                disk.remove(&path)?;
            } else if let Some(Ok(digest)) = file.strip_suffix(ENDING).map(str::parse)
                && let Some(stat) = disk.stat(&path)?
            {
                found.push((digest, stat));
            }
        }
    }
    Ok(found)
}
