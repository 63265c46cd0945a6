//! A disk whose power can go at any moment and whose calls can fail.
//!
//! What it keeps at a crash: of a file, what was synced, and of the rest every prefix and every subset of its
//! 512-byte sectors; of the names, what was synced and any subset of the later changes, in their order.

use crate::disk::{Disk, DiskFile, Stat, folder_of};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

const SECTOR: usize = 512;

#[derive(Clone, Default)]
pub(crate) struct SimulatedDisk(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    files: BTreeMap<u64, Inode>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending: Vec<Renaming>,
    folders: BTreeSet<String>,
    next_id: u64,
    /// Calls that change something.
    calls: usize,
    fault: Option<(usize, Fault)>,
    capacity: Option<u64>,
    /// What the test has to remember at this moment.
    mark: usize,
    tape: Option<Vec<State>>,
}

#[derive(Clone, Default)]
struct Inode {
    // Shared, because a test looks at thousands of disks that differ in one file.
    durable: Arc<Vec<u8>>,
    cache: Arc<Vec<u8>>,
    dirty: BTreeSet<usize>,
}

/// One change of a name that is not synced.
#[derive(Clone)]
struct Renaming {
    name: String,
    to: Option<u64>,
    /// The name that it had before, in the same change.
    from: Option<String>,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is done.
    Eio,
    /// A write takes only a part; other calls fail.
    Short,
    /// A write takes everything and then says that it failed; a sync drops the dirty pages and marks them
    /// clean; other calls fail.
    Dropped,
}

impl SimulatedDisk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn calls(&self) -> usize {
        self.lock().calls
    }

    /// The call with this number fails.
    pub(crate) fn fail(&self, call: usize, fault: Fault) {
        self.lock().fault = Some((call, fault));
    }

    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = Some(bytes);
    }

    pub(crate) fn mark(&self, mark: usize) {
        self.lock().mark = mark;
    }

    /// From here on every state between two calls is kept.
    pub(crate) fn record(&self) {
        self.lock().tape = Some(Vec::new());
    }

    /// All states since [`SimulatedDisk::record`], the present one last, each with its mark.
    pub(crate) fn moments(&self) -> Vec<(usize, SimulatedDisk)> {
        let mut state = self.lock();
        let mut tape = state.tape.take().unwrap_or_default();
        tape.push(state.clone());
        tape.into_iter().map(|state| (state.mark, Self(Arc::new(Mutex::new(state))))).collect()
    }

    /// Everything that may be found after the power went now.
    pub(crate) fn crashes(&self) -> Vec<SimulatedDisk> {
        let state = self.lock();
        let mut found = Vec::new();
        for names in state.crashed_names() {
            for files in state.crashed_files(&names) {
                let crashed = State {
                    files,
                    durable_names: names.clone(),
                    names: names.clone(),
                    folders: state.folders.clone(),
                    next_id: state.next_id,
                    capacity: state.capacity,
                    ..State::default()
                };
                found.push(Self(Arc::new(Mutex::new(crashed))));
            }
        }
        found
    }

    /// Equal for disks that hold the same: many moments lead to the same disk after a crash.
    pub(crate) fn fingerprint(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let state = self.lock();
        let mut hasher = DefaultHasher::new();
        for (name, id) in &state.names {
            (name, state.files.get(id).map(|file| &file.cache)).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Changes a file behind everybody's back.
    pub(crate) fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        let Some(id) = state.names.get(name).copied() else { return };
        if let Some(file) = state.files.get_mut(&id) {
            change(Arc::make_mut(&mut file.cache));
            file.durable = file.cache.clone();
            file.dirty.clear();
        }
    }
}

impl State {
    /// Counts a call that changes something; says how it is to fail.
    fn call(&mut self) -> Option<Fault> {
        if self.tape.is_some() {
            let mut now = self.clone();
            now.tape = None;
            if let Some(tape) = &mut self.tape {
                tape.push(now);
            }
        }
        self.calls += 1;
        self.fault.filter(|(call, _)| *call == self.calls).map(|(_, fault)| fault)
    }

    fn plain(&mut self) -> io::Result<()> {
        match self.call() {
            None => Ok(()),
            Some(_) => Err(eio()),
        }
    }

    fn used(&self) -> u64 {
        let named: BTreeSet<_> = self.names.values().collect();
        named.iter().filter_map(|id| self.files.get(id)).map(|file| file.cache.len() as u64).sum()
    }

    fn free(&self) -> u64 {
        self.capacity.map_or(1 << 40, |capacity| capacity.saturating_sub(self.used()))
    }

    fn crashed_names(&self) -> Vec<BTreeMap<String, u64>> {
        let count = self.pending.len();
        // More than a few changes in flight never happen here; then every prefix stands for all subsets.
        let choices: Vec<u32> = match count {
            0..=3 => (0..1 << count).collect(),
            _ => (0..=count.min(31)).map(|length| (1 << length) - 1).collect(),
        };
        choices
            .into_iter()
            .map(|choice| {
                let mut names = self.durable_names.clone();
                for (index, change) in self.pending.iter().enumerate() {
                    if choice >> index & 1 == 1 {
                        apply(&mut names, change);
                    }
                }
                names
            })
            .collect()
    }

    fn crashed_files(&self, names: &BTreeMap<String, u64>) -> Vec<BTreeMap<u64, Inode>> {
        let mut found = vec![BTreeMap::new()];
        let living: BTreeSet<u64> = names.values().copied().collect();
        for id in living {
            let Some(file) = self.files.get(&id) else { continue };
            let contents = file.crashed();
            found = found
                .into_iter()
                .flat_map(|files: BTreeMap<u64, Inode>| {
                    contents.iter().map(move |content| {
                        let mut files = files.clone();
                        let dirty = BTreeSet::new();
                        files.insert(id, Inode { durable: content.clone(), cache: content.clone(), dirty });
                        files
                    })
                })
                .collect();
        }
        found
    }
}

fn apply(names: &mut BTreeMap<String, u64>, change: &Renaming) {
    if let Some(from) = &change.from {
        names.remove(from);
    }
    match change.to {
        Some(id) => names.insert(change.name.clone(), id),
        None => names.remove(&change.name),
    };
}

impl Inode {
    fn crashed(&self) -> Vec<Arc<Vec<u8>>> {
        if self.dirty.is_empty() {
            return vec![self.durable.clone()];
        }
        let mut found = BTreeSet::new();
        let (synced, written) = (self.durable.len(), self.cache.len());
        // Every few bytes: what happens at each single one is tested on a real file.
        for length in (synced..written).step_by(31).chain([written.saturating_sub(1), written]) {
            found.insert(self.cache[..length].to_vec());
        }
        let dirty: Vec<usize> = self.dirty.iter().copied().collect();
        let choices = 1_u32 << dirty.len().min(6);
        for choice in 0..choices {
            let mut content = self.durable.to_vec();
            content.resize(self.cache.len(), 0);
            for (index, sector) in dirty.iter().enumerate() {
                if choice >> index.min(5) & 1 == 1 {
                    copy_sector(&self.cache, &mut content, *sector);
                }
            }
            found.insert(content);
        }
        found.insert(self.durable.to_vec());
        found.into_iter().map(Arc::new).collect()
    }

    fn append(&mut self, bytes: &[u8]) {
        let start = self.cache.len();
        Arc::make_mut(&mut self.cache).extend_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(start / SECTOR..=(self.cache.len() - 1) / SECTOR);
        }
    }

    fn sync(&mut self) {
        let durable = Arc::make_mut(&mut self.durable);
        durable.resize(self.cache.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            copy_sector(&self.cache, durable, sector);
        }
    }
}

fn copy_sector(from: &[u8], to: &mut [u8], sector: usize) {
    let end = ((sector + 1) * SECTOR).min(from.len()).min(to.len());
    let start = (sector * SECTOR).min(end);
    to[start..end].copy_from_slice(&from[start..end]);
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

fn enospc() -> io::Error {
    io::Error::from_raw_os_error(28)
}

impl Disk for SimulatedDisk {
    fn place(&self, name: &str) -> String {
        format!("simulated/{name}")
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let state = self.lock();
        let all = state.names.keys().chain(&state.folders);
        let inside = all.filter(|name| folder_of(name) == folder && !name.is_empty());
        let names: BTreeSet<String> =
            inside.map(|name| name.rsplit('/').next().unwrap_or_default().to_owned()).collect();
        Ok(names.into_iter().collect())
    }

    fn stat(&self, name: &str) -> io::Result<Option<Stat>> {
        let state = self.lock();
        Ok(state.names.get(name).and_then(|id| state.stat(*id)))
    }

    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        let state = self.lock();
        let file = state.names.get(name).and_then(|id| state.files.get(id));
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        if file.cache.len() as u64 > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(file.cache.to_vec())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock();
        state.plain()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let folder = folder_of(name);
        if !folder.is_empty() && !state.folders.contains(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.next_id += 1;
        let id = state.next_id;
        state.files.insert(id, Inode::default());
        state.change(Renaming { name: name.to_owned(), to: Some(id), from: None });
        Ok(Box::new(SimulatedFile { disk: self.clone(), id }))
    }

    fn open_end(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let id = self.lock().names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), id }))
    }

    fn cut(&self, name: &str, length: u64) -> io::Result<()> {
        let mut state = self.lock();
        state.plain()?;
        let id = state.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        if let Some(file) = state.files.get_mut(&id) {
            file.sync();
            Arc::make_mut(&mut file.cache).truncate(length as usize);
            Arc::make_mut(&mut file.durable).truncate(length as usize);
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.plain()?;
        let id = state.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        state.change(Renaming { name: to.to_owned(), to: Some(id), from: Some(from.to_owned()) });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        if !state.names.contains_key(name) {
            return Ok(());
        }
        state.plain()?;
        state.change(Renaming { name: name.to_owned(), to: None, from: None });
        Ok(())
    }

    fn make_folder(&self, name: &str) -> io::Result<()> {
        // That a folder is lost with what is in it is the same as that its files are.
        self.lock().folders.insert(name.to_owned());
        Ok(())
    }

    fn sync_folder(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.plain()?;
        let (synced, pending): (Vec<_>, Vec<_>) = std::mem::take(&mut state.pending)
            .into_iter()
            .partition(|change| folder_of(&change.name) == name);
        for change in &synced {
            apply(&mut state.durable_names, change);
        }
        state.pending = pending;
        Ok(())
    }

    fn reserve(&self, name: &str, bytes: u64) -> io::Result<()> {
        self.remove(name)?;
        let mut state = self.lock();
        state.plain()?;
        if state.free() < bytes {
            return Err(enospc());
        }
        state.next_id += 1;
        let id = state.next_id;
        let content = Arc::new(vec![0; bytes as usize]);
        let inode = Inode { durable: content.clone(), cache: content, dirty: BTreeSet::new() };
        state.files.insert(id, inode);
        state.change(Renaming { name: name.to_owned(), to: Some(id), from: None });
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.lock().free())
    }
}

impl State {
    fn change(&mut self, change: Renaming) {
        apply(&mut self.names, &change);
        self.pending.push(change);
    }

    fn stat(&self, id: u64) -> Option<Stat> {
        let length = self.files.get(&id)?.cache.len() as u64;
        Some(Stat { length, id, modified_ms: 0 })
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    id: u64,
}

impl DiskFile for SimulatedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.lock();
        let fault = state.call();
        let room = usize::try_from(state.free()).unwrap_or(usize::MAX);
        let file = state.files.get_mut(&self.id).ok_or_else(eio)?;
        let taken = match fault {
            None if room == 0 && !bytes.is_empty() => return Err(enospc()),
            None => bytes.len().min(room),
            Some(Fault::Short) => bytes.len() / 2,
            Some(Fault::Dropped) => {
                file.append(bytes);
                return Err(eio());
            }
            Some(Fault::Eio) => return Err(eio()),
        };
        file.append(&bytes[..taken]);
        Ok(taken)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.lock();
        let fault = state.call();
        let file = state.files.get_mut(&self.id).ok_or_else(eio)?;
        match fault {
            None => {
                file.sync();
                Ok(())
            }
            Some(Fault::Dropped) => {
                file.dirty.clear();
                Err(eio())
            }
            Some(Fault::Eio | Fault::Short) => Err(eio()),
        }
    }

    fn stat(&self) -> io::Result<Stat> {
        self.disk.lock().stat(self.id).ok_or_else(eio)
    }
}
