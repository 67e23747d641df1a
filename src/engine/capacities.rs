//! What the core has room for, as its log says it: a capacity decides what is refused, so a change of the settings is a
//! command like everything else, and a replay answers as the venue did, whatever it is started with.

use trading_engine_protocol::types::Reason;

use super::Engine;
use super::command::SetCapacities;
use super::snapshot::SnapshotError;
use crate::limits::EngineLimits;

impl Engine {
    /// Has room for other numbers from now on: the state goes into an engine that is made for them. Between two
    /// commands of a start or a replay; nobody trades meanwhile. Until it is done there are both engines, with the memory
    /// of both.
    ///
    /// # Errors
    /// `InvalidDefinition`: no engine has these. `DefinitionCapacity`: there is more than they allow.
    pub(super) fn set_capacities(&mut self, set: &SetCapacities) -> Result<(), Reason> {
        let limits = set.limits;
        if !limits.are_possible() || set.rules < self.rules {
            return Err(Reason::InvalidDefinition);
        }
        if limits != self.limits {
            let mut other = self
                .with_room_for(limits)
                .map_err(|_| Reason::DefinitionCapacity)?;
            (other.cause, other.asking) = (self.cause, self.asking);
            // A replay goes through capacities that nobody needs any more: their memory is not touched.
            if let Some(prepare) = self.resident {
                other.touch(prepare);
            }
            *self = other;
        }
        self.rules = set.rules;
        Ok(())
    }

    /// An engine that goes on from here with other limits.
    ///
    /// # Errors
    /// What there is more of than they allow, or that no engine can have them.
    ///
    /// # Panics
    /// A command is unfinished.
    pub fn with_room_for(&self, limits: EngineLimits) -> Result<Self, SnapshotError> {
        let state = self.save_for(&limits);
        Self::restore(
            limits,
            &state.expect("Invariant: the last command is finished"),
        )
    }

    /// Rules that the log was told; 0 = none yet.
    pub fn rules(&self) -> u32 {
        self.rules
    }
}
