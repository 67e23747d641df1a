//! The file layer under journal and event log: a folder of flat files, positioned reads and
//! writes, explicit syncs. The real one is the operating system's; tests have one that forgets
//! what was not synced.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file of a [`Disk`].
pub trait DiskFile: Send + Sync {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// The layer's own; how much was written is then unknown.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads at most `bytes.len()` at `offset`; fewer only at the end of the file.
    ///
    /// # Errors
    /// The layer's own.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize>;

    /// Returns when everything written before is on the medium (`fdatasync`).
    ///
    /// # Errors
    /// The layer's own; what was written since the last success may be lost.
    fn sync(&self) -> io::Result<()>;

    /// Size in bytes.
    ///
    /// # Errors
    /// The layer's own.
    fn size(&self) -> io::Result<u64>;

    /// Cuts or extends (with zeros) the file.
    ///
    /// # Errors
    /// The layer's own.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
}

/// A folder of files.
pub trait Disk: Send + Sync {
    /// Opens a file that exists.
    ///
    /// # Errors
    /// The layer's own.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes an empty file, replacing one of that name.
    ///
    /// # Errors
    /// The layer's own.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, replacing one of that name.
    ///
    /// # Errors
    /// The layer's own.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The layer's own.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Names of all files, sorted.
    ///
    /// # Errors
    /// The layer's own.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Returns when all creations, renames and removals before are on the medium.
    ///
    /// # Errors
    /// The layer's own.
    fn sync_folder(&self) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Debug)]
pub struct OsDisk {
    folder: PathBuf,
}

impl OsDisk {
    /// Uses `folder`, making it if needed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(folder: &Path) -> io::Result<Self> {
        if !folder.is_dir() {
            // Orders and who they are of are nobody else's to read.
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
            // A folder is a name in the one above it, and so on up: without these, a power loss
            // may take the folder with everything that was synced inside.
            for above in folder.canonicalize()?.ancestors().skip(1) {
                if File::open(above).and_then(|dir| dir.sync_all()).is_err() {
                    // One that may not be read is not one that was just made.
                    break;
                }
            }
        }
        Ok(Self {
            folder: folder.into(),
        })
    }
}

impl DiskFile for File {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match FileExt::read_at(self, &mut bytes[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        Self::set_len(self, bytes)
    }
}

impl Disk for OsDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.folder.join(name))?;
        Ok(Arc::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.folder.join(name))?;
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.folder.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}
