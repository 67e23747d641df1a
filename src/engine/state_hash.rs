//! What two engines that applied the same log must agree on, whatever their memory looks like.
//!
//! Walks the logical state: definitions, sessions, orders in priority order, counters, the set of
//! used ids. Slots count (they are part of order ids), pages and buckets do not.

use trading_engine_protocol::types::Side;
use zerocopy::IntoBytes as _;

use super::Engine;

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
        ] {
            hasher.word(word);
        }
        for firm in self.firms() {
            hasher.bytes(firm.as_bytes());
        }
        for session in self.sessions() {
            hasher.bytes(session.definition.as_bytes());
            for word in [
                session.next_outbound,
                session.inbound,
                u64::from(session.epoch),
                u64::from(session.generation),
                u64::from(session.connected),
            ] {
                hasher.word(word);
            }
        }
        for instrument in self.instruments() {
            hasher.bytes(instrument.as_bytes());
            for side in [Side::Buy, Side::Sell] {
                for (session, order) in self.resting(instrument.instrument, side) {
                    hasher.word(u64::from(session.0));
                    hasher.bytes(order.as_bytes());
                }
            }
        }
        hasher.0
    }
}
