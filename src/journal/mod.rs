//! The ordered log on local disk, and what is derived from it.
//!
//! * `disk`: the file layer, so that tests can pull the plug
//! * `record`, `segment`: layouts
//! * `writer`: appending, group commit
//! * `recovery`: reading back, cutting a torn tail, refusing everything else
//! * `event_log`, `history`: events by session and number, for resends
//! * `event_tail`: every event in order, for who follows at a distance
//! * `told`: a replay compared with the events that were told
//! * `snapshots`: the core's state, so that a start need not apply every command again
//! * `inspect`: `trading-engine journal ...`

pub mod disk;
pub mod event_log;
pub mod event_tail;
pub mod history;
pub mod inspect;
mod record;
pub mod recovery;
mod segment;
pub mod sim_disk;
pub mod snapshots;
pub mod told;
pub mod writer;

use std::fmt;

use crate::engine::event::EventKind;

/// When an event may leave: what "durable" means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The command is on the disk: `fdatasync` of a group of commands.
    Group,
    /// The command is with the operating system: survives the process, not the machine. After a
    /// power loss a tail may be missing without a word; a hole before records that were written
    /// later is refused like any damage, because what is missing was acted upon.
    Os,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Group => "group",
            Self::Os => "os",
        })
    }
}

/// Why a journal cannot be opened or read.
#[derive(Debug)]
pub enum JournalError {
    /// The file layer failed.
    Io {
        /// What was being done, to which file.
        what: String,
        /// The layer's own error.
        error: std::io::Error,
    },
    /// What is there is not what was written; nothing is guessed.
    Damaged {
        /// File name.
        file: String,
        /// Byte offset in it.
        offset: u64,
        /// What is wrong there.
        why: String,
    },
    /// A replay gives other events than the event log has, which clients were told.
    Differs {
        /// Number of the command.
        sequence: u64,
        /// What the event log has, `None` = no more of this command.
        logged: Option<EventKind>,
        /// What the replay gives, likewise.
        replayed: Option<EventKind>,
    },
}

impl JournalError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }

    pub(crate) fn differs(
        sequence: u64,
        logged: Option<EventKind>,
        replayed: Option<EventKind>,
    ) -> Self {
        Self::Differs {
            sequence,
            logged,
            replayed,
        }
    }

    pub(crate) fn damaged(file: &str, offset: u64, why: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.into(),
            offset,
            why: why.into(),
        }
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, error } => write!(f, "journal: {what}: {error}"),
            Self::Damaged { file, offset, why } => {
                write!(f, "journal: {file} is damaged at byte {offset}: {why}")
            }
            Self::Differs {
                sequence,
                logged,
                replayed,
            } => {
                let [logged, replayed] = [logged, replayed].map(|kind| match kind {
                    Some(kind) => format!("{kind:?}"),
                    None => "nothing more".to_owned(),
                });
                let same = if logged == replayed {
                    " with other content"
                } else {
                    ""
                };
                write!(
                    f,
                    "journal: Sequence {sequence} is answered otherwise than clients were told: the event log has \
                     {logged}, the journal gives {replayed}{same}; nothing is started, because this build or one of \
                     both files is not what it was then"
                )
            }
        }
    }
}

impl std::error::Error for JournalError {}
