//! From recorded events to commands: pure logic, no socket.
//!
//! The record shows only what happened within five prices a side. An order it names without having
//! shown its entry, or a price that comes into view, is played by a **stand-in**: one order for
//! everything at that price that was not seen entered.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::lobster::{Message, Row};
use crate::client::Side;

/// The mapping's name of an order it entered.
pub type Key = u64;

/// What to do at the venue. Prices in dollars × 10,000, sizes in shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A limit order, Day.
    Enter {
        /// Its name from now on.
        key: Key,
        /// Side.
        side: Side,
        /// Price.
        price: i64,
        /// Size.
        size: i64,
    },
    /// Cancel it.
    Cancel {
        /// Which.
        key: Key,
    },
    /// Make it smaller at the same price.
    Reduce {
        /// Which.
        key: Key,
        /// New total: what is to stay open and what was filled.
        total: i64,
        /// Its price.
        price: i64,
    },
    /// A limit order, immediate or cancel, by the other firm: one fill, whole size.
    Take {
        /// The order it must hit.
        key: Key,
        /// Side of the taker.
        side: Side,
        /// Price.
        price: i64,
        /// Size.
        size: i64,
    },
}

struct Resting {
    side: Side,
    price: i64,
    open: i64,
    filled: i64,
    /// Recorded id; `None` = a stand-in.
    recorded: Option<u64>,
}

/// What the mapping counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Orders entered.
    pub entered: u64,
    /// Of these for recorded entries.
    pub recorded: u64,
    /// Of these for the first row.
    pub seeded: u64,
    /// Cancels, both kinds.
    pub canceled: u64,
    /// Of these at the edge of the window.
    pub canceled_at_edge: u64,
    /// Replaces.
    pub reduced: u64,
    /// Immediate orders.
    pub taken: u64,
    /// Messages that landed on a stand-in.
    pub on_stand_ins: u64,
}

/// A record that cannot be what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inconsistent(pub String);

/// The state: what should rest at the venue.
#[derive(Default)]
pub struct Mapping {
    orders: HashMap<Key, Resting>,
    recorded: HashMap<u64, Key>,
    stand_ins: HashMap<(Side, i64), Key>,
    /// Queues by price, oldest first.
    queues: [BTreeMap<i64, VecDeque<Key>>; 2],
    next: Key,
    /// Counts so far.
    pub counts: Counts,
}

fn index(side: Side) -> usize {
    match side {
        Side::Buy => 0,
        Side::Sell => 1,
    }
}

impl Mapping {
    /// Enters the first row.
    pub fn seed(&mut self, row: &Row) -> Vec<Command> {
        let commands = self.edge(row);
        self.counts.seeded = commands.len() as u64;
        commands
    }

    /// Orders that should rest.
    pub fn resting(&self) -> usize {
        self.orders.len()
    }

    fn enter(&mut self, side: Side, price: i64, size: i64, recorded: Option<u64>) -> Command {
        self.next += 1;
        let key = self.next;
        self.orders.insert(
            key,
            Resting {
                side,
                price,
                open: size,
                filled: 0,
                recorded,
            },
        );
        match recorded {
            Some(id) => self.recorded.insert(id, key),
            None => self.stand_ins.insert((side, price), key),
        };
        self.queues[index(side)]
            .entry(price)
            .or_default()
            .push_back(key);
        self.counts.entered += 1;
        Command::Enter {
            key,
            side,
            price,
            size,
        }
    }

    fn remove(&mut self, key: Key) {
        let Some(order) = self.orders.remove(&key) else {
            return;
        };
        match order.recorded {
            Some(id) => self.recorded.remove(&id),
            None => self.stand_ins.remove(&(order.side, order.price)),
        };
        let queues = &mut self.queues[index(order.side)];
        if let Some(queue) = queues.get_mut(&order.price) {
            queue.retain(|other| *other != key);
            if queue.is_empty() {
                queues.remove(&order.price);
            }
        }
    }

    /// The command for a message, if it needs one.
    ///
    /// # Errors
    /// When the message names what cannot be there.
    pub fn message(&mut self, message: &Message) -> Result<Option<Command>, Inconsistent> {
        match message.kind {
            1 => {
                self.counts.recorded += 1;
                let Message {
                    side, price, size, ..
                } = *message;
                Ok(Some(self.enter(side, price, size, Some(message.order))))
            }
            2..=4 => self.target(message).map(Some),
            5..=7 => Ok(None),
            kind => Err(Inconsistent(format!("there is no type {kind}"))),
        }
    }

    fn target(&mut self, message: &Message) -> Result<Command, Inconsistent> {
        let wrong = |why: &str| {
            Inconsistent(format!(
                "type {} of order {} at {}: {why}",
                message.kind, message.order, message.price
            ))
        };
        let key = match self.recorded.get(&message.order) {
            Some(&key) => key,
            None => {
                self.counts.on_stand_ins += 1;
                let place = (message.side, message.price);
                *self
                    .stand_ins
                    .get(&place)
                    .ok_or_else(|| wrong("nothing unseen is there"))?
            }
        };
        let first = self.queues[index(message.side)]
            .get(&message.price)
            .and_then(VecDeque::front);
        let is_first = first == Some(&key);
        let order = self
            .orders
            .get_mut(&key)
            .ok_or_else(|| wrong("the order is gone"))?;
        if order.open < message.size {
            return Err(wrong(&format!("{} shares of it are open", order.open)));
        }
        order.open -= message.size;
        let gone = order.open == 0;
        // Where the record executes an order that is not first in its queue, no order of another
        // could do that: the shares just go.
        let command = if message.kind == 4 && is_first {
            order.filled += message.size;
            self.counts.taken += 1;
            Command::Take {
                key,
                side: message.side.opposite(),
                price: message.price,
                size: message.size,
            }
        } else if gone {
            self.counts.canceled += 1;
            Command::Cancel { key }
        } else {
            self.counts.reduced += 1;
            Command::Reduce {
                key,
                total: order.open + order.filled,
                price: order.price,
            }
        };
        if gone {
            self.remove(key);
        }
        Ok(command)
    }

    /// Brings the edge of the window up to date with a row.
    pub fn edge(&mut self, row: &Row) -> Vec<Command> {
        let mut commands = Vec::new();
        for side in [Side::Buy, Side::Sell] {
            let levels = row.side(side);
            let shown = |price: i64| levels.iter().any(|level| level.0 == price);
            let queues = &self.queues[index(side)];
            let dark: Vec<Key> = queues
                .iter()
                .filter(|(price, _)| !shown(**price))
                .flat_map(|(_, queue)| queue.iter().copied())
                .collect();
            for key in dark {
                self.remove(key);
                self.counts.canceled += 1;
                self.counts.canceled_at_edge += 1;
                commands.push(Command::Cancel { key });
            }
            for &(price, size) in levels {
                if !self.queues[index(side)].contains_key(&price) {
                    commands.push(self.enter(side, price, size, None));
                }
            }
        }
        commands
    }
}
