//! Reads from the write-ahead log whose data lies in an etcd's data directory.
//!
//! Each file of the log begins with a record of checksums and one of metadata, which holds the ids of the cluster and of
//! the member (etcd: server/storage/wal, `Create` and `ReadAll`; server/etcdserver, `Metadata`). They are never rewritten.

use crate::systems::Identity;
use prost::Message;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Where the log lies in a data directory.
const LOG: &str = "member/wal";
/// What the name of a file of the log ends with.
const SUFFIX: &str = ".wal";
/// etcd keeps five files, and one that it is about to use.
const MAX_FILES: usize = 4_096;
/// The first records are of a few bytes.
const MAX_RECORD: u64 = 64 << 10;
/// How many records may stand before the one that is looked for.
const MAX_RECORDS: u32 = 8;
/// The kind of a record of metadata.
const METADATA: i64 = 1;

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(bytes = "vec", optional, tag = "3")]
    data: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct Metadata {
    #[prost(uint64, tag = "1")]
    member: u64,
    #[prost(uint64, tag = "2")]
    cluster: u64,
}

/// Reads the identity of the data in a directory.
pub(super) fn identity(data: &Path) -> Identity {
    match std::fs::symlink_metadata(data.join("member")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Identity::Blank,
        Err(error) => return Identity::Unclear(format!("{}: {error}", data.join("member").display())),
        Ok(_) => {}
    }
    match read(&data.join(LOG)) {
        Ok(Metadata { member, cluster }) => {
            Identity::Of { cluster: format!("{cluster:x}"), member: format!("{member:x}") }
        }
        Err(why) => Identity::Unclear(why),
    }
}

/// What all files of a log say.
fn read(log: &Path) -> Result<Metadata, String> {
    let with_path = |error: io::Error| format!("{}: {error}", log.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(log).map_err(with_path)?.take(MAX_FILES) {
        names.push(entry.map_err(with_path)?.file_name());
    }
    names.retain(|name| name.to_str().is_some_and(|name| name.ends_with(SUFFIX)));
    names.sort();
    let mut said = None;
    for name in names {
        let path = log.join(&name);
        let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let metadata = first(file).map_err(|why| format!("{}: {why}", path.display()))?;
        if *said.get_or_insert(metadata) != metadata {
            return Err(format!("{}: it is another member's than the files before it", path.display()));
        }
    }
    said.ok_or_else(|| format!("{} has no file of a log", log.display()))
}

/// The first metadata of a file.
fn first(mut file: impl Read) -> Result<Metadata, String> {
    for _ in 0..MAX_RECORDS {
        let record = record(&mut file)?;
        if record.kind != METADATA {
            continue;
        }
        let data = record.data.unwrap_or_default();
        let metadata = Metadata::decode(&*data).map_err(|error| error.to_string())?;
        // Neither is ever zero: what has them is not what it looks like.
        if metadata.member == 0 || metadata.cluster == 0 {
            return Err("its metadata names nobody".to_owned());
        }
        return Ok(metadata);
    }
    Err("no metadata among its first records".to_owned())
}

/// The next record. Its length stands before it in eight bytes, least first; the highest tells what it is filled up with.
fn record(file: &mut impl Read) -> Result<Record, String> {
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|error| error.to_string())?;
    let [bytes @ .., fill] = length;
    let bytes = bytes.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let fill = if fill & 0x80 == 0 { 0 } else { u64::from(fill & 7) };
    if bytes == 0 || bytes > MAX_RECORD {
        return Err(format!("a record of {bytes} bytes"));
    }
    let mut record = Vec::new();
    file.take(bytes + fill).read_to_end(&mut record).map_err(|error| error.to_string())?;
    let bytes = usize::try_from(bytes).map_err(|error| error.to_string())?;
    let record = record.get(..bytes).ok_or("its last record is cut off")?;
    Record::decode(record).map_err(|error| error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end here")]
mod tests {
    use super::*;

    /// A record as etcd writes it, filled up to eight bytes.
    fn framed(kind: i64, data: Option<Vec<u8>>) -> Vec<u8> {
        let record = Record { kind, data }.encode_to_vec();
        let fill = (8 - record.len() % 8) % 8;
        let mut length = u64::try_from(record.len()).unwrap();
        if fill != 0 {
            length |= (0x80 | u64::try_from(fill).unwrap()) << 56;
        }
        [length.to_le_bytes().to_vec(), record, vec![0; fill]].concat()
    }

    fn log(member: u64, cluster: u64) -> Vec<u8> {
        [framed(4, None), framed(METADATA, Some(Metadata { member, cluster }.encode_to_vec())), vec![0; 64]]
            .concat()
    }

    fn of(files: &[(&str, Vec<u8>)]) -> Identity {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join(LOG)).unwrap();
        for (name, bytes) in files {
            std::fs::write(home.path().join(LOG).join(name), bytes).unwrap();
        }
        identity(home.path())
    }

    #[test]
    fn every_file_of_a_log_names_the_same_member() {
        let expected = Identity::Of { cluster: "c1".to_owned(), member: "8e9e05c52164694d".to_owned() };
        let ours = log(0x8e9e_05c5_2164_694d, 0xc1);
        assert_eq!(of(&[("0-0.wal", ours.clone()), ("1-9.wal", ours.clone()), ("1.tmp", vec![])]), expected);
        let Identity::Unclear(why) = of(&[("0-0.wal", ours), ("1-9.wal", log(7, 0xc1))]) else { panic!() };
        assert!(why.contains("1-9.wal: it is another member's"), "{why}");
    }

    #[test]
    fn what_is_no_log_belongs_to_nobody_and_is_not_blank() {
        let ours = log(7, 9);
        let mut cases = vec![
            of(&[]),
            of(&[("0-0.wal", vec![])]),
            of(&[("0-0.wal", vec![0; 4096])]),
            of(&[("0-0.wal", vec![0xff; 4096])]),
            of(&[("0-0.wal", log(0, 9))]),
            of(&[("0-0.wal", framed(4, None).repeat(20))]),
        ];
        // Cut off anywhere before its end.
        cases.extend((0..ours.len() - 72).map(|end| of(&[("0-0.wal", ours[..end].to_vec())])));
        for case in cases {
            assert!(matches!(case, Identity::Unclear(_)), "{case:?}");
        }
        assert_eq!(identity(tempfile::tempdir().unwrap().path()), Identity::Blank);
    }
}
