//! A disk in memory that can lose power: what was not synced is kept or lost at random, sector by
//! sector, and so are creations, renames and removals that the folder was not synced after.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

#[derive(Clone, Default)]
struct Image {
    /// What reads see.
    now: Vec<u8>,
    /// What survives for sure.
    synced: Vec<u8>,
    /// Sectors a failed sync gave up: they read as written, and no later sync brings them to the
    /// medium unless they are written again.
    given_up: BTreeSet<usize>,
    /// Content before the last write, for [`Fault::SyncBeforeWrite`].
    before_write: Vec<u8>,
}

impl Image {
    /// Brings to the medium what is dirty.
    fn sync(&mut self) {
        let before = std::mem::take(&mut self.synced);
        self.synced.clone_from(&self.now);
        for sector in &self.given_up {
            let start = sector * SECTOR;
            for at in start..(start + SECTOR).min(self.synced.len()) {
                self.synced[at] = before.get(at).copied().unwrap_or(0);
            }
        }
    }

    /// A sync fails: what was dirty is clean from now on, and not on the medium.
    fn give_up(&mut self) {
        for sector in 0..self.now.len().div_ceil(SECTOR) {
            let range = sector * SECTOR..((sector + 1) * SECTOR).min(self.now.len());
            if self.synced.get(range.clone()) != self.now.get(range) {
                self.given_up.insert(sector);
            }
        }
    }
}

/// Index of a file's content; names point to it.
type Inode = usize;

#[derive(Default)]
struct State {
    files: Vec<Image>,
    now: BTreeMap<String, Inode>,
    synced: BTreeMap<String, Inode>,
    /// Raised at each crash: handles of the old life write into nothing.
    life: u64,
    /// Bytes that may still be written before the disk is full.
    room: Option<u64>,
    /// Syncs that still succeed before they fail.
    syncs: Option<u64>,
    /// Calls that change something, for choosing crash points.
    operations: u64,
    /// Operation after which the power is gone: nothing has an effect any more.
    power_cut_at: Option<u64>,
    fault: Option<Fault>,
    /// Whether calls wait in the dark until the machine comes back.
    waits: bool,
}

/// A mistake planted below the journal, which its power-loss test must catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// File syncs do nothing.
    SkipSync,
    /// Folder syncs do nothing.
    SkipFolderSync,
    /// A file sync makes everything durable but the last sectors written.
    SyncTooEarly,
    /// A file sync changes places with the write before it.
    SyncBeforeWrite,
}

/// The simulated disk; clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// The machine came back.
    back: Arc<Condvar>,
    life: u64,
}

impl SimDisk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes wait once the power is gone, until the machine is back, in place of reporting
    /// success: threads that would tell others of it stand still, as they would.
    pub fn wait_in_the_dark(&self) {
        self.lock().waits = true;
    }

    /// The state, and whether a change has an effect.
    fn change(&self) -> (MutexGuard<'_, State>, bool) {
        let mut state = self.lock();
        while state.waits && state.is_dark() && state.life == self.life {
            state = self
                .back
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let effective = state.change(self.life);
        (state, effective)
    }

    /// Plants a mistake.
    pub fn plant(&self, fault: Option<Fault>) {
        self.lock().fault = fault;
    }

    /// Only so many more bytes fit.
    pub fn fill_up_after(&self, bytes: Option<u64>) {
        self.lock().room = bytes;
    }

    /// Only so many more syncs succeed.
    pub fn fail_sync_after(&self, syncs: Option<u64>) {
        self.lock().syncs = syncs;
    }

    /// Changes so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// After this many changes the power is gone: later ones report success and do nothing, as a
    /// process that dies does not learn of it.
    pub fn cut_power_at(&self, operation: Option<u64>) {
        self.lock().power_cut_at = operation;
    }

    /// Whether the power is gone.
    pub fn is_dark(&self) -> bool {
        self.lock().is_dark()
    }

    /// The machine comes back. Each unsynced sector and each unsynced name is there or not, by
    /// `random`, which draws below its argument. Handles of the old life are dead.
    pub fn restart(&self, mut random: impl FnMut(u64) -> u64) -> Self {
        let mut state = self.lock();
        for image in &mut state.files {
            let length = match random(3) {
                0 => image.synced.len(),
                1 => image.now.len(),
                _ => {
                    let (low, high) = (
                        image.synced.len().min(image.now.len()),
                        image.synced.len().max(image.now.len()),
                    );
                    low + usize::try_from(random((high - low) as u64 + 1)).unwrap_or(0)
                }
            };
            let mut survivor = image.synced.clone();
            survivor.resize(length, 0);
            for start in (0..length).step_by(SECTOR) {
                let end = (start + SECTOR).min(length).min(image.now.len());
                if start < end && random(2) == 0 {
                    survivor[start..end].copy_from_slice(&image.now[start..end]);
                }
            }
            image.now.clone_from(&survivor);
            image.synced = survivor;
            image.given_up.clear();
        }
        let names: Vec<String> = state
            .now
            .keys()
            .chain(state.synced.keys())
            .cloned()
            .collect();
        for name in names {
            let current = state.now.get(&name).copied();
            let durable = state.synced.get(&name).copied();
            if current != durable && random(2) == 0 {
                match current {
                    Some(inode) => state.synced.insert(name, inode),
                    None => state.synced.remove(&name),
                };
            }
        }
        state.now = state.synced.clone();
        state.life += 1;
        state.power_cut_at = None;
        let life = state.life;
        drop(state);
        self.back.notify_all();
        Self {
            state: Arc::clone(&self.state),
            back: Arc::clone(&self.back),
            life,
        }
    }

    /// The process died, the machine did not: everything written is still there to be read, and
    /// what was not synced may still be lost later. Handles of the old life are dead.
    pub fn kill(&self) -> Self {
        let mut state = self.lock();
        state.life += 1;
        state.power_cut_at = None;
        let life = state.life;
        drop(state);
        self.back.notify_all();
        Self {
            state: Arc::clone(&self.state),
            back: Arc::clone(&self.back),
            life,
        }
    }

    /// Content of a file as reads see it.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        let inode = *state.now.get(name)?;
        Some(state.files[inode].now.clone())
    }

    /// Puts a file on the medium, as somebody with a copy tool would.
    pub fn put(&self, name: &str, content: Vec<u8>) {
        let mut state = self.lock();
        let inode = state.files.len();
        state.files.push(Image {
            synced: content.clone(),
            now: content,
            ..Image::default()
        });
        state.now.insert(name.into(), inode);
        state.synced.insert(name.into(), inode);
    }

    /// Flips one bit of a file, on the medium.
    pub fn flip(&self, name: &str, bit: u64) {
        let mut state = self.lock();
        if let Some(&inode) = state.now.get(name) {
            let image = &mut state.files[inode];
            let byte = usize::try_from(bit / 8).unwrap_or(usize::MAX);
            if byte < image.now.len() {
                image.now[byte] ^= 1 << (bit % 8);
                image.synced = image.now.clone();
            }
        }
    }

    /// A deep copy, for trying several futures.
    pub fn fork(&self) -> Self {
        let state = self.lock();
        Self {
            state: Arc::new(Mutex::new(State {
                files: state.files.clone(),
                now: state.now.clone(),
                synced: state.synced.clone(),
                life: state.life,
                fault: state.fault,
                ..State::default()
            })),
            back: Arc::default(),
            life: self.life,
        }
    }
}

impl State {
    fn is_dark(&self) -> bool {
        self.power_cut_at.is_some_and(|at| self.operations >= at)
    }

    /// Counts a change; `false`: it has no effect.
    fn change(&mut self, life: u64) -> bool {
        if life != self.life || self.is_dark() {
            return false;
        }
        self.operations += 1;
        true
    }
}

struct SimFile {
    disk: SimDisk,
    inode: Inode,
}

impl DiskFile for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut state, effective) = self.disk.change();
        if !effective {
            return Ok(());
        }
        let bytes = match state.room {
            Some(room) if room < bytes.len() as u64 => {
                state.room = Some(0);
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            Some(room) => {
                state.room = Some(room - bytes.len() as u64);
                bytes
            }
            None => bytes,
        };
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        if state.fault == Some(Fault::SyncBeforeWrite) {
            let image = &mut state.files[self.inode];
            image.before_write.clone_from(&image.now);
        }
        let now = &mut state.files[self.inode].now;
        if now.len() < start + bytes.len() {
            now.resize(start + bytes.len(), 0);
        }
        now[start..start + bytes.len()].copy_from_slice(bytes);
        let sectors = start / SECTOR..(start + bytes.len()).div_ceil(SECTOR);
        state.files[self.inode]
            .given_up
            .retain(|sector| !sectors.contains(sector));
        Ok(())
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.lock();
        let now = &state.files[self.inode].now;
        let start = usize::try_from(offset)
            .map_err(io::Error::other)?
            .min(now.len());
        let count = bytes.len().min(now.len() - start);
        bytes[..count].copy_from_slice(&now[start..start + count]);
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        let (mut state, effective) = self.disk.change();
        if !effective {
            return Ok(());
        }
        match state.syncs {
            Some(0) => {
                state.files[self.inode].give_up();
                return Err(io::Error::other("simulated medium error"));
            }
            Some(left) => state.syncs = Some(left - 1),
            None => {}
        }
        let fault = state.fault;
        let image = &mut state.files[self.inode];
        match fault {
            Some(Fault::SkipSync) => {}
            Some(Fault::SyncTooEarly) => {
                let last = (0..image.now.len())
                    .rev()
                    .find(|&at| image.now[at] != image.synced.get(at).copied().unwrap_or(0))
                    .unwrap_or(0);
                let keep = (last / SECTOR) * SECTOR;
                let tail = image
                    .synced
                    .get(keep..)
                    .map(<[u8]>::to_vec)
                    .unwrap_or_default();
                image.synced = image.now[..keep.min(image.now.len())].to_vec();
                image.synced.extend(tail);
                image.synced.resize(image.now.len(), 0);
            }
            Some(Fault::SyncBeforeWrite) => image.synced.clone_from(&image.before_write),
            Some(Fault::SkipFolderSync) | None => image.sync(),
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.inode].now.len() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let (mut state, effective) = self.disk.change();
        if effective {
            let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
            state.files[self.inode].now.resize(bytes, 0);
        }
        Ok(())
    }
}

impl Disk for SimDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.lock();
        let inode = *state.now.get(name).ok_or(io::ErrorKind::NotFound)?;
        drop(state);
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let (mut state, effective) = self.change();
        let dark = !effective;
        let inode = match state.now.get(name) {
            // As the operating system does it: the same file, emptied, also for its old handles.
            Some(&inode) if !dark => {
                state.files[inode].now.clear();
                inode
            }
            Some(_) | None => {
                let inode = state.files.len();
                state.files.push(Image::default());
                if !dark {
                    state.now.insert(name.into(), inode);
                }
                inode
            }
        };
        drop(state);
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (mut state, effective) = self.change();
        if effective {
            let inode = state.now.remove(from).ok_or(io::ErrorKind::NotFound)?;
            state.now.insert(to.into(), inode);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (mut state, effective) = self.change();
        if effective {
            state.now.remove(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().now.keys().cloned().collect())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let (mut state, effective) = self.change();
        if effective && state.fault != Some(Fault::SkipFolderSync) {
            state.synced = state.now.clone();
        }
        Ok(())
    }
}
