//! What the event log says of commands that are replayed: clients were told it, so the replay has to say it again.
//!
//! Read along in order, one chunk in memory. What the event log lacks is not asked here: it is made again.

use super::JournalError;
use super::event_tail::{EventTail, TailSource};
use crate::engine::event::{EventBody, EventHeader};

/// Events of the event log up to a command.
#[derive(Debug)]
pub struct Told {
    tail: EventTail,
    /// The last command whose events are there.
    until: u64,
}

impl Told {
    /// What is told from command `first` on; the log must have been opened and not be written yet.
    ///
    /// # Errors
    /// The disk's own.
    pub fn from_sequence(log: &TailSource, first: u64) -> Result<Self, JournalError> {
        Ok(Self {
            tail: log.from_sequence(first)?,
            until: log.sequence(),
        })
    }

    /// An event that the replay gives. Returns whether it was told before.
    ///
    /// # Errors
    /// Something else was told, or the disk's own.
    pub fn sees(
        &mut self,
        header: &EventHeader,
        body: &EventBody<'_>,
        event: &[u8],
    ) -> Result<bool, JournalError> {
        let sequence = header.sequence.0;
        if sequence > self.until {
            return Ok(false);
        }
        let Some((_, logged, logged_body)) = self.tail.read_next()? else {
            return Err(JournalError::differs(sequence, None, Some(body.kind())));
        };
        let (kind, length) = (logged_body.kind(), logged.length as usize);
        let at = logged.sequence.0;
        if self.tail.last_event().get(..length) == Some(event) {
            return Ok(true);
        }
        Err(match at.cmp(&sequence) {
            // The replay has said all that it says of that command.
            std::cmp::Ordering::Less => JournalError::differs(at, Some(kind), None),
            std::cmp::Ordering::Equal => {
                JournalError::differs(sequence, Some(kind), Some(body.kind()))
            }
            std::cmp::Ordering::Greater => JournalError::differs(sequence, None, Some(body.kind())),
        })
    }

    /// A command's events were all seen.
    ///
    /// # Errors
    /// More was told than that, or the disk's own. Of any command but the last it is found with the next event.
    pub fn finished(&mut self, sequence: u64) -> Result<(), JournalError> {
        if sequence != self.until {
            return Ok(());
        }
        match self.tail.read_next()? {
            None => Ok(()),
            Some((_, header, body)) => {
                let at = header.sequence.0;
                Err(JournalError::differs(at, Some(body.kind()), None))
            }
        }
    }
}
