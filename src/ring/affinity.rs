//! Pinning threads to cores, with read-back: in a container the cpuset decides. Cores that threads are
//! pinned to are theirs alone: the venue's other threads leave them.

use std::fmt;
use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Why a thread is not where it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinError {
    /// The core is outside what this process may use.
    NotAllowed {
        /// Asked for.
        core: usize,
        /// What there is.
        allowed: Vec<usize>,
    },
    /// The kernel refused.
    Kernel(rustix::io::Errno),
    /// The kernel said yes and did something else.
    ReadBack {
        /// Asked for.
        core: usize,
        /// What the kernel says now.
        actual: Vec<usize>,
    },
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed { core, allowed } => {
                write!(
                    f,
                    "core {core} is not among the cores this process may use: {allowed:?}"
                )
            }
            Self::Kernel(errno) => write!(f, "the kernel refused: {errno}"),
            Self::ReadBack { core, actual } => {
                write!(f, "asked for core {core}, the kernel says {actual:?}")
            }
        }
    }
}

impl std::error::Error for PinError {}

fn cores_of(set: &CpuSet) -> Vec<usize> {
    (0..CpuSet::MAX_CPU)
        .filter(|&core| set.is_set(core))
        .collect()
}

/// The cores this thread may run on.
///
/// # Errors
/// When the kernel does not say.
pub fn allowed_cores() -> Result<Vec<usize>, PinError> {
    sched_getaffinity(None)
        .map(|set| cores_of(&set))
        .map_err(PinError::Kernel)
}

/// The cores this process might run on when it was first asked.
static AT_START: OnceLock<Vec<usize>> = OnceLock::new();

fn cores_at_start() -> Result<&'static [usize], PinError> {
    if let Some(cores) = AT_START.get() {
        return Ok(cores);
    }
    let cores = allowed_cores()?;
    Ok(AT_START.get_or_init(|| cores))
}

/// The calling thread, and those it starts from now on, leave these cores to the threads that will be
/// pinned to them. Returns the cores that are left; where none would be, nothing changes and there are
/// none.
///
/// # Errors
/// [`PinError`] when the kernel does not allow it.
pub fn leave_cores(pinned: &[usize]) -> Result<Vec<usize>, PinError> {
    let left: Vec<usize> = cores_at_start()?
        .iter()
        .copied()
        .filter(|core| !pinned.contains(core))
        .collect();
    if !left.is_empty() {
        let mut set = CpuSet::new();
        left.iter().for_each(|&core| set.set(core));
        sched_setaffinity(None, &set).map_err(PinError::Kernel)?;
    }
    Ok(left)
}

/// Pins the calling thread to one core and reads back whether it is so.
///
/// # Errors
/// [`PinError`] says which step failed and what is allowed.
pub fn pin_to_core(core: usize) -> Result<(), PinError> {
    let allowed = cores_at_start()?;
    if !allowed.contains(&core) {
        return Err(PinError::NotAllowed {
            core,
            allowed: allowed.to_vec(),
        });
    }
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).map_err(PinError::Kernel)?;
    let actual = allowed_cores()?;
    if actual == [core] {
        Ok(())
    } else {
        Err(PinError::ReadBack { core, actual })
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_lands_on_the_core_it_asked_for_or_says_what_is_allowed() {
        std::thread::spawn(|| {
            let allowed = allowed_cores().unwrap();
            let core = *allowed.last().unwrap();
            pin_to_core(core).unwrap();
            assert_eq!(allowed_cores().unwrap(), [core]);
            let missing = CpuSet::MAX_CPU - 1;
            assert!(matches!(
                pin_to_core(missing),
                Err(PinError::NotAllowed { .. })
            ));
        })
        .join()
        .unwrap();
    }
}
