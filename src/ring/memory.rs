//! What the process asks of the system's memory, once, before it is used.

use std::fmt;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// Asks for large pages behind `bytes` from `start`: a table that is looked at all over then
/// costs a few page table entries in place of tens of thousands. A wish: where the system does not
/// grant it, everything works the same, slower.
pub fn prefer_large_pages(start: *const u8, bytes: usize) {
    const LARGE: usize = 2 << 20;
    let first = start.addr().next_multiple_of(LARGE);
    let end = (start.addr() + bytes) & !(LARGE - 1);
    #[cfg(target_os = "linux")]
    if first < end {
        let start = start.with_addr(first).cast_mut().cast();
        // SAFETY: this advice changes neither contents nor protection of memory, whoever owns it.
        let asked =
            unsafe { rustix::mm::madvise(start, end - first, rustix::mm::Advice::LinuxHugepage) };
        if let Err(error) = asked {
            tracing::debug!(%error, "no large pages");
        }
    }
}

/// Why the process cannot be kept in RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLockError {
    /// So many bytes may be locked: some allocation, sooner or later, would fail.
    Limit(u64),
    /// The kernel refused.
    Kernel(rustix::io::Errno),
}

impl fmt::Display for MemoryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(bytes) => write!(f, "the limit is {bytes} bytes"),
            Self::Kernel(errno) => write!(f, "the kernel refused: {errno}"),
        }
    }
}

impl std::error::Error for MemoryLockError {}

/// Keeps all memory of the process in RAM, now and later (`mlockall`). Wants no limit or the
/// capability to ignore it.
///
/// # Errors
/// A limit, or the kernel's own.
pub fn lock_memory() -> Result<(), MemoryLockError> {
    let privileged =
        capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    if !privileged {
        let maximum = getrlimit(Resource::Memlock).maximum;
        if let Some(bytes) = maximum {
            return Err(MemoryLockError::Limit(bytes));
        }
        let none = Rlimit {
            current: maximum,
            maximum,
        };
        setrlimit(Resource::Memlock, none).map_err(MemoryLockError::Kernel)?;
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE).map_err(MemoryLockError::Kernel)
}
