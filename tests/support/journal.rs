//! Journals on a simulated disk: commands with known bytes, and what a restart gives back.

#![allow(dead_code, unreachable_pub)]

use std::sync::Arc;

use trading_engine::journal::disk::Disk;
use trading_engine::journal::recovery::{self, Summary};
use trading_engine::journal::sim_disk::SimDisk;
use trading_engine::journal::writer::{
    self, Appender, Position, SEGMENT_BYTES_MIN, Shared, Syncer,
};
use trading_engine::journal::{JournalError, Policy};

pub const LOG_ID: u64 = 0x07E5_7106;

/// A command as the journal sees it: bytes without a zero among them, so that no cut goes unseen.
pub fn command(sequence: u64, salt: u64, words: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(words * 8);
    let mut word = sequence ^ salt.rotate_left(17);
    for _ in 0..words {
        word = word
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(0x5851_F42D_4C95_7F2D);
        bytes.extend(word.to_le_bytes().map(|byte| byte | 1));
    }
    bytes
}

pub fn shared_disk(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

/// Everything a restart hands to the engine.
pub struct Restart {
    pub commands: Vec<Vec<u8>>,
    pub position: Position,
    pub summary: Option<Summary>,
}

pub fn restart(disk: &SimDisk) -> Result<Restart, JournalError> {
    let mut commands = Vec::new();
    let (position, summary) =
        recovery::open_or_create(&shared_disk(disk), LOG_ID, SEGMENT_BYTES_MIN, |command| {
            commands.push(command.to_vec());
        })?;
    Ok(Restart {
        commands,
        position,
        summary,
    })
}

/// A journal that is open, and the next Sequence.
pub struct Journal {
    pub appender: Appender,
    pub syncer: Syncer,
    pub shared: Arc<Shared>,
    pub next: u64,
}

impl Journal {
    pub fn open(disk: &SimDisk, position: Position, next: u64, policy: Policy) -> Self {
        let (appender, syncer, shared) =
            writer::start(shared_disk(disk), position, SEGMENT_BYTES_MIN, policy);
        Self {
            appender,
            syncer,
            shared,
            next,
        }
    }

    /// A new journal on an empty disk.
    pub fn new(disk: &SimDisk, policy: Policy) -> Self {
        let restart = restart(disk).unwrap();
        assert!(restart.commands.is_empty());
        Self::open(disk, restart.position, 1, policy)
    }

    /// Appends one command and returns it.
    pub fn append(&mut self, words: usize) -> Vec<u8> {
        let bytes = command(self.next, 0, words);
        self.appender.append(self.next, &bytes);
        self.next += 1;
        bytes
    }

    /// Appends, writes and syncs a group.
    pub fn commit(&mut self, words: &[usize]) -> Vec<Vec<u8>> {
        let commands = words.iter().map(|&words| self.append(words)).collect();
        self.appender.flush();
        while self.syncer.work() {}
        commands
    }
}

/// File and offset of a refusal; anything else is a failure of the test.
pub fn refused_at(result: Result<Restart, JournalError>) -> (String, u64) {
    match result {
        Err(JournalError::Damaged { file, offset, why }) => {
            assert!(!why.is_empty());
            (file, offset)
        }
        Err(error @ JournalError::Differs { .. }) => panic!("{error}"),
        Err(JournalError::Io { what, error }) => panic!("an error of the disk: {what}: {error}"),
        Ok(restart) => panic!("started with {} commands", restart.commands.len()),
    }
}
