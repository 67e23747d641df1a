//! What two engines that applied the same log must agree on, whatever their memory looks like.
//!
//! Walks the logical state: definitions, sessions, orders and waiting stops in priority order with
//! their terms and what they show, counters, deadlines, kill switches, amended trades, the set of
//! used ids, names of quotes, protection groups with their windows, risk limits with what they
//! count. Slots count (they are part of order ids), pages and buckets do not.

use trading_engine_protocol::types::{ExecId, Side};
use zerocopy::IntoBytes as _;

use super::Engine;
use super::order::Flags;
use super::snapshot::Out;

/// FNV-1a over 64-bit words with a finishing mix: simple to write again in another language.
struct Hasher(u64);

impl Hasher {
    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01B3);
        self.0 ^= self.0 >> 29;
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
        self.word(bytes.len() as u64);
    }
}

impl Hasher {
    /// What a part of the core saves of itself.
    fn saved(&mut self, save: impl FnOnce(&mut Out)) {
        let mut out = Out::default();
        save(&mut out);
        for word in out.bytes().chunks_exact(8) {
            self.word(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
    }
}

impl Engine {
    /// Hash of the complete logical state between two commands.
    pub fn state_hash(&self) -> u64 {
        let mut hasher = Hasher(0xCBF2_9CE4_8422_2325);
        for word in [
            self.log_id,
            self.sequence.0,
            self.sequenced_at.0,
            self.executions,
            self.trades,
            self.orders.entries(),
            u64::from(self.orders.live()),
            u64::from(self.trading_day),
            self.ids.digest(),
            u64::from(self.venue_blocked),
            self.quotes.digest(),
        ] {
            hasher.word(word);
        }
        for trade in self.amended.words() {
            hasher.word(trade);
        }
        for firm in self.firms.iter().filter(|firm| firm.is_defined()) {
            hasher.bytes(firm.definition.as_bytes());
            hasher.word(u64::from(firm.blocks.0));
        }
        for session in self.sessions() {
            hasher.bytes(session.definition.as_bytes());
            for word in [
                session.next_outbound,
                session.inbound,
                u64::from(session.epoch),
                u64::from(session.generation),
                u64::from(session.connected),
                u64::from(session.blocks.0),
                u64::from(session.cancel_on_disconnect) << 32 | u64::from(session.cancel_grace_ms),
                self.deadline_of(session.definition.session, 0),
                self.deadline_of(session.definition.session, 1),
            ] {
                hasher.word(word);
            }
        }
        for instrument in self.instruments() {
            hasher.bytes(instrument.as_bytes());
            for side in [Side::Buy, Side::Sell] {
                for slot in self.at_rest(instrument.instrument, side) {
                    self.hash_order(slot, &mut hasher);
                }
                for slot in self.waiting(instrument.instrument, side) {
                    self.hash_order(slot, &mut hasher);
                }
            }
            let state = &self.instruments[instrument.instrument.0 as usize];
            for slot in self.parked(state.id()) {
                self.hash_order(slot, &mut hasher);
            }
            for word in [
                u64::from(state.traded),
                u64::from(state.blocked) | u64::from(state.held) << 1,
                u64::from(state.reference),
                u64::from(state.phase.as_u8()) << 32 | u64::from(state.indicative.side),
                u64::from(state.indicative.tick),
                state.indicative.volume,
                state.indicative.imbalance,
            ] {
                hasher.word(word);
            }
            for place in state.deadlines {
                hasher.word(self.deadlines.at(place).map_or(0, |deadline| deadline.at.0));
            }
        }
        hasher.saved(|out| self.risk.save(out));
        for table in &self.tick_tables {
            hasher.bytes(table.as_bytes());
        }
        hasher.saved(|out| self.protection.save(out));
        hasher.0
    }

    fn hash_order(&self, slot: u32, hasher: &mut Hasher) {
        let hot = &self.orders.slots[slot as usize].hot;
        let cold = &self.orders.slots[slot as usize].cold;
        let order = self.order_state(slot, ExecId(0), cold.open_status());
        hasher.word(u64::from(cold.session.0));
        hasher.bytes(order.as_bytes());
        if hot.flags.any(Flags::TERMS) {
            hasher.word(hot.leaves);
            hasher.bytes(self.orders.extra[slot as usize].terms.as_bytes());
        }
        if hot.flags.any(Flags::QUOTE) {
            let record = self.quotes.record(cold.bucket);
            hasher.word(u64::from(record.name.layer) + 1);
            hasher.bytes(record.entry_id.as_bytes());
        }
    }
}
