//! What one node says of itself, out of its raw answers: pure.

use super::nodes::{View, is_id};
use std::collections::BTreeMap;

/// Everything that is read of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answers {
    /// Its id.
    pub(super) id: String,
    pub(super) version: String,
    pub(super) up_ms: u64,
    /// Whether it is still reading its data from disk.
    pub(super) loading: bool,
    pub(super) view: View,
    /// Whether the cluster serves, by this node.
    pub(super) ok: bool,
    pub(super) side: Side,
    pub(super) keys: u64,
    pub(super) memory: Memory,
    pub(super) settings: Settings,
}

/// Its side of replication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// A master, and the end of its stream of writes.
    Master {
        offset: u64,
        /// How many replicas are connected and have a whole copy.
        online: u64,
    },
    /// A replica.
    Replica {
        /// Whether it is connected to its master and has a whole copy.
        linked: bool,
        offset: u64,
    },
}

/// Its memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) used: u64,
    /// What users' data takes of it.
    pub(super) data: u64,
    /// `maxmemory`, or else what the machine has.
    pub(super) most: u64,
}

/// Settings that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// Whether a restart keeps its data.
    pub(super) persistent: bool,
    /// `cluster-allow-replica-migration`.
    pub(super) migrates: bool,
    /// `cluster-migration-barrier`.
    pub(super) barrier: u64,
    /// `min-replicas-to-write`.
    pub(super) min_replicas: u32,
}

/// The settings that are asked for.
pub(super) const ASKED: [&str; 6] = [
    "appendonly",
    "save",
    "cluster-allow-replica-migration",
    "cluster-migration-barrier",
    "min-replicas-to-write",
    "maxmemory",
];

/// The sections of `INFO` that are asked for.
pub(super) const SECTIONS: [&str; 5] = ["server", "replication", "persistence", "memory", "keyspace"];

/// The raw answers of one node.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) id: String,
    pub(super) nodes: String,
    pub(super) cluster: String,
    pub(super) info: String,
    pub(super) settings: BTreeMap<String, String>,
}

impl Raw {
    pub(super) fn read(&self) -> Result<Answers, String> {
        let (info, cluster) = (fields(&self.info), fields(&self.cluster));
        let id = self.id.trim().to_owned();
        if !is_id(&id) {
            return Err("CLUSTER MYID is not forty hexadecimal digits".to_owned());
        }
        let view = View::parse(&self.nodes)?;
        if view.me != id {
            return Err(format!("CLUSTER MYID is {id}, and CLUSTER NODES says {}", view.me));
        }
        let settings = self.settings()?;
        let most = match number_of(&self.settings, "maxmemory")? {
            0 => number(&info, "total_system_memory")?,
            most => most,
        };
        Ok(Answers {
            id,
            version: text(&info, "redis_version")?.to_owned(),
            up_ms: number(&info, "uptime_in_seconds")?.saturating_mul(1_000),
            loading: number(&info, "loading")? > 0,
            ok: text(&cluster, "cluster_state")? == "ok",
            side: side(&info)?,
            keys: keys(&info)?,
            memory: Memory {
                used: number(&info, "used_memory")?,
                data: number(&info, "used_memory_dataset")?,
                most,
            },
            settings,
            view,
        })
    }

    fn settings(&self) -> Result<Settings, String> {
        let setting = |name| self.settings.get(name).map(String::as_str);
        let told = |name| setting(name).ok_or_else(|| format!("CONFIG GET does not tell `{name}`"));
        let replicas = number_of(&self.settings, "min-replicas-to-write")?;
        Ok(Settings {
            persistent: told("appendonly")? == "yes" || !told("save")?.trim().is_empty(),
            migrates: told("cluster-allow-replica-migration")? == "yes",
            barrier: number_of(&self.settings, "cluster-migration-barrier")?,
            min_replicas: u32::try_from(replicas).unwrap_or(u32::MAX),
        })
    }
}

/// The side of replication that `INFO replication` tells.
pub(super) fn side(info: &BTreeMap<&str, &str>) -> Result<Side, String> {
    match text(info, "role")? {
        "master" => {
            let online = |(name, value): &(&&str, &&str)| {
                name.strip_prefix("slave").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
                    && value.split(',').any(|part| part == "state=online")
            };
            let online = info.iter().filter(online).count() as u64;
            Ok(Side::Master { offset: number(info, "master_repl_offset")?, online })
        }
        "slave" => {
            let linked =
                text(info, "master_link_status")? == "up" && number(info, "master_sync_in_progress")? == 0;
            Ok(Side::Replica { linked, offset: number(info, "slave_repl_offset")? })
        }
        other => Err(format!("INFO has the role {other:?}")),
    }
}

/// `name:value`, one a line.
pub(super) fn fields(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.trim_end().split_once(':')).collect()
}

fn text<'a>(fields: &BTreeMap<&str, &'a str>, name: &str) -> Result<&'a str, String> {
    fields.get(name).copied().ok_or_else(|| format!("INFO does not tell `{name}`"))
}

fn number(fields: &BTreeMap<&str, &str>, name: &str) -> Result<u64, String> {
    let value = text(fields, name)?;
    value.parse().map_err(|_| format!("`{name}` of INFO is no number"))
}

fn number_of(settings: &BTreeMap<String, String>, name: &str) -> Result<u64, String> {
    let value = settings.get(name).ok_or_else(|| format!("CONFIG GET does not tell `{name}`"))?;
    value.parse().map_err(|_| format!("`{name}` of CONFIG GET is no number"))
}

/// Keys in all databases; a cluster has only the first, which is not told where it is empty.
fn keys(info: &BTreeMap<&str, &str>) -> Result<u64, String> {
    let Some(database) = info.get("db0") else { return Ok(0) };
    let told = database.split(',').find_map(|part| part.strip_prefix("keys="));
    told.and_then(|keys| keys.parse().ok())
        .ok_or_else(|| "INFO does not tell how many keys there are".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Redis 7.0.15 answers, without what nobody reads.
    fn raw() -> Raw {
        let id = "ff87f8dc800f185afb9cde54c62f18d1a23977cf";
        Raw {
            id: id.to_owned(),
            nodes: format!("{id} 127.0.0.1:7001@17001 myself,master - 0 1796 1 connected 0-16383\n"),
            cluster: "cluster_state:ok\r\ncluster_slots_assigned:16384\r\n".to_owned(),
            info: "# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:6\r\n\r\n# Memory\r\nused_memory:1893208\r\n\
                   used_memory_dataset:281972\r\ntotal_system_memory:25276059648\r\n# Persistence\r\nloading:0\r\n\
                   # Replication\r\nrole:master\r\nconnected_slaves:1\r\n\
                   slave0:ip=127.0.0.1,port=7005,state=online,offset=70,lag=0\r\nmaster_repl_offset:84\r\n\
                   # Keyspace\r\ndb0:keys=300,expires=2,avg_ttl=0\r\n"
                .to_owned(),
            settings: [
                ("appendonly", "no"),
                ("save", ""),
                ("cluster-allow-replica-migration", "yes"),
                ("cluster-migration-barrier", "1"),
                ("min-replicas-to-write", "0"),
                ("maxmemory", "0"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        }
    }

    #[test]
    fn a_nodes_answers_are_read_whole() {
        let read = raw().read().expect("as a server answers");
        assert_eq!(read.side, Side::Master { offset: 84, online: 1 });
        assert_eq!((read.up_ms, read.keys, read.loading, read.ok), (6_000, 300, false, true));
        assert_eq!(read.memory, Memory { used: 1_893_208, data: 281_972, most: 25_276_059_648 });
        let expected = Settings { persistent: false, migrates: true, barrier: 1, min_replicas: 0 };
        assert_eq!(read.settings, expected);
    }

    #[test]
    fn data_outlives_a_restart_with_either_kind_of_file() {
        for (name, value) in [("appendonly", "yes"), ("save", "3600 1 300 100")] {
            let mut raw = raw();
            raw.settings.insert(name.to_owned(), value.to_owned());
            assert!(raw.read().is_ok_and(|read| read.settings.persistent), "{name}");
        }
    }

    #[test]
    fn a_replica_is_whole_once_it_is_linked_and_no_longer_filled() {
        let side_of = |link: &str, filling: &str| {
            let text = format!(
                "role:slave\nmaster_link_status:{link}\nmaster_sync_in_progress:{filling}\nslave_repl_offset:7\n"
            );
            side(&fields(&text))
        };
        assert_eq!(side_of("up", "0"), Ok(Side::Replica { linked: true, offset: 7 }));
        assert_eq!(side_of("up", "1"), Ok(Side::Replica { linked: false, offset: 7 }));
        assert_eq!(side_of("down", "0"), Ok(Side::Replica { linked: false, offset: 7 }));
        assert!(side(&fields("role:sentinel")).is_err());
    }

    #[test]
    fn what_is_missing_or_no_number_is_named_and_never_zero() {
        for (from, to, named) in [
            ("loading:0", "loaded:0", "`loading`"),
            ("used_memory:1893208", "used_memory:much", "`used_memory`"),
            ("master_repl_offset:84", "", "`master_repl_offset`"),
            ("keys=300", "key=300", "how many keys"),
            ("role:master", "role:sentinel", "sentinel"),
        ] {
            let mut raw = raw();
            raw.info = raw.info.replace(from, to);
            let refused = raw.read().expect_err(from);
            assert!(refused.contains(named), "{refused}");
        }
        for name in ASKED {
            let mut raw = raw();
            raw.settings.remove(name);
            let refused = raw.read().expect_err(name);
            assert!(refused.contains(name), "{refused}");
        }
        let mut other = raw();
        other.id = "0".repeat(40);
        assert!(other.read().is_err_and(|why| why.contains("CLUSTER NODES says")));
    }
}
