//! Budgets the memory for compiling. Children count to the daemon's container, and the kernel kills a container that
//! runs out of memory, so all compiling children together stay below its limit.

use super::limits::COMPILE_LEAVES_BYTES;
use std::path::Path;
use std::sync::LazyLock;
use tokio::sync::{Semaphore, SemaphorePermit};

const MIB: u64 = 1 << 20;

/// The room of this process: all libraries of it compile in one container.
static ROOM: LazyLock<Room> = LazyLock::new(|| Room::of(container_bytes(Path::new("/"))));

/// What all children that compile may take together.
#[derive(Debug)]
struct Room {
    /// In mebibytes; none where nothing limits us.
    mebi: Option<u32>,
    free: Semaphore,
}

/// A part of the room; it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Part {
    pub bytes: u64,
    /// Whether more was asked for than there is.
    pub is_cut: bool,
    _permit: Option<SemaphorePermit<'static>>,
}

impl Room {
    /// Half of a small container, and all of a large one but what the daemon needs.
    fn of(container: Option<u64>) -> Self {
        let bytes = container.map(|bytes| bytes.saturating_sub(COMPILE_LEAVES_BYTES).max(bytes / 2));
        let mebi = bytes.map(|bytes| u32::try_from(bytes / MIB).unwrap_or(u32::MAX));
        let free = mebi.map_or(0, |mebi| (mebi as usize).min(Semaphore::MAX_PERMITS));
        Self { mebi, free: Semaphore::new(free) }
    }

    /// So much of it, or all of it.
    fn share(&self, wanted: u64) -> (u64, u32) {
        let wanted_mebi = u32::try_from(wanted.div_ceil(MIB)).unwrap_or(u32::MAX);
        match self.mebi {
            Some(all) if all < wanted_mebi => (u64::from(all) * MIB, all),
            Some(_) | None => (wanted, wanted_mebi),
        }
    }
}

/// Waits for room of so many bytes, or for all that there is.
pub(crate) async fn take(wanted: u64) -> Part {
    let room: &'static Room = &ROOM;
    let (bytes, mebi) = room.share(wanted);
    let permit = match room.mebi {
        // Fails only where it was closed, which nobody does.
        Some(_) => room.free.acquire_many(mebi).await.ok(),
        None => None,
    };
    Part { bytes, is_cut: bytes < wanted, _permit: permit }
}

/// All that there is, in mebibytes; none where nothing limits us.
pub(crate) fn all() -> Option<u32> {
    ROOM.mebi
}

/// The lowest limit of memory of the control groups that this process is in, below `root`.
fn container_bytes(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (folder, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return Vec::new(),
        };
        let folder = root.join(folder);
        // Inside a container the path may be the host's, which is not mounted here: then the root of what is counts.
        Path::new(path.trim_start_matches('/'))
            .ancestors()
            .filter_map(|group| std::fs::read_to_string(folder.join(group).join(file)).ok())
            .filter_map(|text| text.trim().parse::<u64>().ok())
            .collect()
    });
    // Without a limit the older interface says a number that no machine has.
    limits.filter(|bytes| *bytes < 1 << 50).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn compiling_leaves_the_daemon_its_memory() {
        for (container, room) in [(GIB, GIB / 2), (2 * GIB, 3 * GIB / 2), (GIB / 4, GIB / 8)] {
            assert_eq!(Room::of(Some(container)).share(64 * GIB).0, room, "{container}");
        }
        assert_eq!(Room::of(None).share(3 * GIB).0, 3 * GIB);
        assert_eq!(Room::of(Some(4 * GIB)).share(GIB).0, GIB);
    }

    #[test]
    fn the_lowest_limit_of_all_groups_counts() {
        let root = tempfile::tempdir().expect("a directory");
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        };
        put("proc/self/cgroup", "4:memory:/a/b\n1:cpu:/\n0::/c/d\n");
        assert_eq!(container_bytes(root.path()), None);
        put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        put("sys/fs/cgroup/c/d/memory.max", "max\n");
        assert_eq!(container_bytes(root.path()), None);
        put("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "3000\n");
        put("sys/fs/cgroup/c/memory.max", "2000\n");
        assert_eq!(container_bytes(root.path()), Some(2_000));
    }
}
