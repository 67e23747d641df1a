//! Accounts of firms: reference data that new orders and quotes are held to.
//!
//! A firm that has none may state any account, as a label of its own. Once it has one, what it enters states
//! an account that it has and that is enabled. Nothing that is open ends by that: an order of another
//! account stays, may be canceled and made smaller, and a stop is released as it would be.
//!
//! Sessions of firms without accounts pay for a flag beside their numbers.

use trading_engine_protocol::types::{AccountId, FirmId, Reason, SessionId};

use super::Engine;
use super::command::SetAccount;
use super::mass_cancel::Owners;
use super::order::touch_spare;
use super::session::SessionState;
use super::snapshot::{In, Out, SnapshotError};

/// All accounts, by firm and number; allocated once.
pub(super) struct Accounts {
    all: Vec<SetAccount>,
    capacity: usize,
}

impl Accounts {
    pub fn new(capacity: u32) -> Self {
        let capacity = capacity as usize;
        Self {
            all: Vec::with_capacity(capacity),
            capacity,
        }
    }

    /// Makes the memory resident.
    pub fn touch(&mut self) {
        touch_spare(&mut self.all);
    }

    /// Start and length of the table.
    pub fn memory(&self, each: &mut impl FnMut(*const u8, usize)) {
        let length = self.all.capacity() * size_of::<SetAccount>();
        each(self.all.as_ptr().cast(), length);
    }

    /// Where an account is, or would be.
    fn find(&self, firm: FirmId, account: AccountId) -> Result<usize, usize> {
        let key = (firm.0, account.0);
        self.all
            .binary_search_by_key(&key, |one| (one.firm.0, one.account.0))
    }

    /// Whether a firm has any.
    pub fn has(&self, firm: FirmId) -> bool {
        let at = self.all.partition_point(|one| one.firm.0 < firm.0);
        self.all.get(at).is_some_and(|one| one.firm == firm)
    }

    /// Whether a session may enter something for an account.
    #[inline(always)]
    pub fn admits(&self, session: &SessionState, account: AccountId) -> bool {
        !session.has_accounts || self.takes(session.definition.firm, account)
    }

    /// Whether a firm that has accounts may enter something for this one.
    #[inline(never)]
    fn takes(&self, firm: FirmId, account: AccountId) -> bool {
        let at = self.find(firm, account);
        at.is_ok_and(|at| self.all[at].enabled == 1)
    }

    /// Adds an account, or changes it.
    fn set(&mut self, set: &SetAccount) -> Result<(), Reason> {
        match self.find(set.firm, set.account) {
            Ok(at) => self.all[at] = *set,
            Err(_) if self.all.len() == self.capacity => return Err(Reason::DefinitionCapacity),
            Err(at) => self.all.insert(at, *set),
        }
        Ok(())
    }

    /// Every account, by firm and number.
    pub fn all(&self) -> impl Iterator<Item = &SetAccount> {
        self.all.iter()
    }

    pub fn save(&self, out: &mut Out) {
        out.word(self.all.len() as u64);
        for one in &self.all {
            out.part(one);
        }
    }

    /// Reads what [`Accounts::save`] wrote. Whether the firms are there is looked at by others.
    pub fn load(&mut self, input: &mut In<'_>) -> Result<(), SnapshotError> {
        for _ in 0..input.at_most(self.capacity as u64, "accounts")? {
            let one: SetAccount = input.part()?;
            let key = |one: &SetAccount| (one.firm.0, one.account.0);
            let ascends = self.all.last().is_none_or(|last| key(last) < key(&one));
            if !ascends || one.enabled > 1 || one.reserved != [0; 7] {
                return Err(SnapshotError::Damaged("an account"));
            }
            self.all.push(one);
        }
        Ok(())
    }
}

impl Engine {
    /// [`Accounts::admits`] of a session by its number.
    #[inline(always)]
    pub(super) fn check_account(
        &self,
        session: SessionId,
        account: AccountId,
    ) -> Result<(), Reason> {
        let state = &self.sessions[session.0 as usize];
        let admitted = self.accounts.admits(state, account).then_some(());
        admitted.ok_or(Reason::UnknownAccount)
    }

    pub(super) fn set_account(&mut self, set: &SetAccount) -> Result<(), Reason> {
        if !self.has_firm(set.firm) || set.enabled > 1 || set.reserved != [0; 7] {
            return Err(Reason::InvalidDefinition);
        }
        let is_first = !self.accounts.has(set.firm);
        self.accounts.set(set)?;
        if is_first {
            // From here on its sessions are looked at, those to come by `define_session`.
            let owners = Owners::Firm(set.firm);
            let mut next = self.first_of(owners);
            while let Some(id) = next {
                self.sessions[id.0 as usize].has_accounts = true;
                next = self.next_of(owners, id);
            }
        }
        Ok(())
    }

    /// Of a snapshot: accounts are of firms that are there.
    pub(super) fn check_accounts(&self) -> Result<(), SnapshotError> {
        let all = self.accounts.all().all(|one| self.has_firm(one.firm));
        all.then_some(())
            .ok_or(SnapshotError::Damaged("an account"))
    }
}
