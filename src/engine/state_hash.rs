//! What two engines that applied the same log must agree on, whatever their memory looks like.
//!
//! It is what a snapshot states: definitions, sessions, orders with their queues and lists, ids with
//! what became of their orders, names of quotes, protection groups and risk limits with what they
//! count, deadlines, and the slots that are free, in the order in which they will be taken. So engines
//! of one hash go on alike, as one that is restored goes on like the one that was saved. Slots count
//! (they are part of order ids), pages and buckets do not.

use super::Engine;
use super::snapshot::Out;
use crate::limits::EngineLimits;

/// FNV-1a over 64-bit words with a finishing mix: simple to write again in another language.
#[derive(Clone, Copy)]
pub(crate) struct Hasher(u64);

impl Hasher {
    pub const BEGIN: Self = Self(0xCBF2_9CE4_8422_2325);

    pub fn finish(self) -> u64 {
        self.0
    }

    pub fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01B3);
        self.0 ^= self.0 >> 29;
    }

    /// What is less than a word at the end counts as one that is filled up with zeros.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }
}

impl Engine {
    /// Hash of the complete logical state between two commands.
    pub fn state_hash(&self) -> u64 {
        self.hash_for(&self.limits)
    }

    /// The hash that the state has as [`Engine::save_for`] states it.
    pub(super) fn hash_for(&self, limits: &EngineLimits) -> u64 {
        let mut out = Out::Hash(Hasher::BEGIN);
        self.save_head(&mut out);
        // Which of the ids is an order's is known by its ClientOrderId.
        self.save_orders(limits, &[], &mut out);
        self.save_rest(limits, &mut out);
        match out {
            Out::Hash(hasher) => hasher.finish(),
            Out::Bytes(_) => 0,
        }
    }
}
