//! The kill switch: who or what is under it may enter nothing any more, and what it has in the books
//! is canceled.
//!
//! Each scope is a block of its own. All that are above a session are kept as bits beside its
//! numbers, which every command of it reads anyway, so that a session without any pays one compare.
//! A user's block is in his sessions: it is there as long as he has one. What the venue set and what
//! a firm's desk set are two blocks.

use trading_engine_protocol::types::{FirmId, InstrumentId, KillScope, Reason, Roles, SessionId};

use super::collect::{Meant, Purpose};
use super::command::{DefineSession, KillSwitch};
use super::event::{EventSink, KillSwitchDone};
use super::mass_cancel::{Owners, Then};
use super::session::{Blocks, SessionState};
use super::{Engine, Progress, Work};

/// What a kill switch stops.
#[derive(Clone, Copy)]
enum Target {
    Sessions(Owners, Blocks),
    Instrument(InstrumentId),
}

impl Engine {
    /// Whether a kill switch keeps the session from entering and replacing anything.
    #[inline(always)]
    pub(super) fn session_blocked(&self, session: SessionId) -> bool {
        self.sessions[session.0 as usize].blocks.any()
    }

    /// Whether a kill switch keeps the session from entering and replacing orders and quotes of
    /// this instrument. One that is not defined has none.
    #[inline]
    pub(super) fn blocked(&self, session: SessionId, instrument: InstrumentId) -> bool {
        let found = self.instruments.get(instrument.0 as usize);
        self.session_blocked(session) || found.is_some_and(|instrument| instrument.blocked)
    }

    /// Blocks of the user that a session is to have, by what his other sessions say.
    pub(super) fn user_blocks(&self, definition: &DefineSession) -> Blocks {
        let user = definition.user;
        let firm = Some(definition.firm);
        if user == 0 {
            return Blocks::default();
        }
        let of_user = Blocks::USER.with(Blocks::USER.by_venue());
        self.sessions_of(Owners::User { firm, user })
            .filter(|other| *other != definition.session)
            .map(|other| self.sessions[other.0 as usize].blocks.of(of_user))
            .fold(Blocks::default(), Blocks::with)
    }

    pub(super) fn kill_switch(
        &mut self,
        request: &KillSwitch,
        sink: &mut impl EventSink,
    ) -> Progress {
        self.killed = KillSwitchDone {
            client_order_id: request.client_order_id,
            target: request.target,
            scope: request.scope,
            release: request.release,
            cancels_only: request.cancels_only,
            ..KillSwitchDone::default()
        };
        self.mass_canceled.canceled = 0;
        let target = match self.check_kill_switch(request) {
            Ok(target) => target,
            Err(reason) => {
                self.answer_kill_switch(reason, sink);
                return Progress::Done;
            }
        };
        let on = request.release == 0;
        let cancels_only = request.cancels_only == 1;
        match target {
            Target::Sessions(..) | Target::Instrument(_) if cancels_only => {}
            Target::Sessions(owners, block) => {
                // What a firm's desk set the venue may take away, but not the other way round.
                let by_venue = self.asking.0.0 == 0 && block != Blocks::VENUE;
                let block = match (by_venue, on) {
                    (false, _) => block,
                    (true, true) => block.by_venue(),
                    (true, false) => block.with(block.by_venue()),
                };
                self.block_sessions(owners, block, on);
            }
            Target::Instrument(id) => self.instruments[id.0 as usize].blocked = on,
        }
        if !on {
            self.answer_kill_switch(Reason::None, sink);
            return Progress::Done;
        }
        let (owners, meant) = match target {
            Target::Sessions(owners, _) => (owners, Meant::All),
            Target::Instrument(id) => (Owners::All, Meant::In(id)),
        };
        let purpose = Purpose::Cancel {
            reason: if cancels_only {
                Reason::MassCanceled
            } else {
                Reason::KilledBySwitch
            },
            then: Then::AnswerKillSwitch,
        };
        self.search(self.orders_of_owners(owners), meant, purpose, sink)
    }

    /// After the last cancel. The venue's own is an answer to nobody.
    pub(super) fn answer_kill_switch(&mut self, reason: Reason, sink: &mut impl EventSink) {
        self.work = Work::Nothing;
        let body = KillSwitchDone {
            canceled: self.mass_canceled.canceled.into(),
            ..self.killed
        };
        match self.asking.0 {
            SessionId(0) => self.note(sink, SessionId(0), reason, body),
            session => self.tell(sink, session, reason, body),
        }
    }

    fn check_kill_switch(&self, request: &KillSwitch) -> Result<Target, Reason> {
        let asking = self.asking.0;
        let from_venue = asking.0 == 0;
        if !from_venue && request.client_order_id.is_none() {
            return Err(Reason::InvalidClientOrderId);
        }
        let flags_fit = match request.cancels_only {
            0 => request.release <= 1,
            1 => from_venue && request.release == 0,
            _ => false,
        };
        let scope = KillScope::try_from(request.scope)
            .ok()
            .filter(|_| flags_fit)
            .ok_or(Reason::UnsupportedInstruction)?;
        let own_firm = if from_venue {
            None
        } else {
            Some(self.firm_with_risk(asking)?)
        };
        match scope {
            KillScope::Session => self.check_kill_session(SessionId(request.target), own_firm),
            KillScope::User => self.check_kill_user(request.target, own_firm),
            KillScope::Firm => self.check_kill_firm(FirmId(request.target), own_firm),
            KillScope::Instrument | KillScope::Venue if !from_venue => Err(Reason::NotPermitted),
            KillScope::Instrument => {
                let id = InstrumentId(request.target);
                self.defined(id).map(|_| Target::Instrument(id))
            }
            KillScope::Venue => Ok(Target::Sessions(Owners::All, Blocks::VENUE)),
        }
    }

    /// The firm that a session with the risk role speaks for.
    pub(super) fn firm_with_risk(&self, session: SessionId) -> Result<FirmId, Reason> {
        let definition = &self.sessions[session.0 as usize].definition;
        if Roles(definition.roles).has(Roles::RISK) {
            Ok(definition.firm)
        } else {
            Err(Reason::NotPermitted)
        }
    }

    fn check_kill_session(&self, id: SessionId, own: Option<FirmId>) -> Result<Target, Reason> {
        let state = self
            .sessions
            .get(id.0 as usize)
            .filter(|state| state.is_defined())
            .ok_or(Reason::UnknownSession)?;
        if own.is_some_and(|own| own != state.definition.firm) {
            return Err(Reason::NotPermitted);
        }
        Ok(Target::Sessions(Owners::Session(id), Blocks::SESSION))
    }

    /// A user is known by his sessions. Firms number their users themselves; the venue means those
    /// of all firms.
    fn check_kill_user(&self, user: u32, firm: Option<FirmId>) -> Result<Target, Reason> {
        let owners = Owners::User { firm, user };
        if user == 0 || self.sessions_of(owners).next().is_none() {
            return Err(Reason::UnknownSession);
        }
        Ok(Target::Sessions(owners, Blocks::USER))
    }

    fn check_kill_firm(&self, firm: FirmId, own: Option<FirmId>) -> Result<Target, Reason> {
        if own.is_some_and(|own| own != firm) {
            return Err(Reason::NotPermitted);
        }
        if !self.has_firm(firm) {
            return Err(Reason::UnknownSession);
        }
        Ok(Target::Sessions(Owners::Firm(firm), Blocks::FIRM))
    }

    /// Sets or takes away a block of all sessions that are meant, and of those to come.
    fn block_sessions(&mut self, owners: Owners, block: Blocks, on: bool) {
        match owners {
            Owners::Session(_) | Owners::User { .. } => {}
            Owners::Firm(firm) => self.firms[firm.0 as usize].blocks.set(block, on),
            Owners::All => self.venue_blocked = on,
        }
        let mut next = self.first_of(owners);
        while let Some(id) = next {
            self.sessions[id.0 as usize].blocks.set(block, on);
            next = self.next_of(owners, id);
        }
    }

    /// Sessions of these owners, in no order that means anything.
    pub(super) fn sessions_of(&self, owners: Owners) -> impl Iterator<Item = SessionId> + '_ {
        std::iter::successors(self.first_of(owners), move |&last| {
            self.next_of(owners, last)
        })
    }

    pub(super) fn first_of(&self, owners: Owners) -> Option<SessionId> {
        let first = match owners {
            Owners::Session(id) => id.0,
            Owners::Firm(firm)
            | Owners::User {
                firm: Some(firm), ..
            } => self.firms[firm.0 as usize].newest_session,
            Owners::User { firm: None, .. } | Owners::All => 1,
        };
        self.meant_from(owners, first)
    }

    pub(super) fn next_of(&self, owners: Owners, last: SessionId) -> Option<SessionId> {
        let next = self.session_behind(owners, last.0);
        self.meant_from(owners, next)
    }

    /// The first session that is meant, from this one on; 0 = there are no more.
    fn meant_from(&self, owners: Owners, mut id: u32) -> Option<SessionId> {
        while id != 0 {
            let state = self.sessions.get(id as usize)?;
            if state.is_defined() && owners.mean(state) {
                return Some(SessionId(id));
            }
            id = self.session_behind(owners, id);
        }
        None
    }

    /// Sessions of a firm are found through each other, all sessions by their ids.
    fn session_behind(&self, owners: Owners, id: u32) -> u32 {
        match owners {
            Owners::Session(_) => 0,
            Owners::Firm(_) | Owners::User { firm: Some(_), .. } => {
                self.sessions[id as usize].next_of_firm
            }
            Owners::User { firm: None, .. } | Owners::All => id + 1,
        }
    }
}

impl Owners {
    fn mean(self, state: &SessionState) -> bool {
        match self {
            Self::User { user, .. } => state.definition.user == user,
            Self::Session(_) | Self::Firm(_) | Self::All => true,
        }
    }
}
