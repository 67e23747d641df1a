//! obcore 0.1.6: ordered maps of linked lists, orders of the caller's own type.
//!
//! Chosen for it:
//! * ids, prices and quantities of 32 bits: an order is 20 bytes, half of what the crate's own
//!   bench uses, and the sum of price × quantity that the crate forms of a taker's fills fits;
//! * `eval_insert` and `eval_cancel`, which are inlined, instead of `eval` of an `Op`;
//! * one evaluator, whose buffers are reused; `reset` after each command, as its text asks for
//!   commands that are applied one by one;
//! * no owner checks (`STP::None`), which is the default.
//!
//! The crate has no way to size its tables before. It has no replace: an order can be cancelled
//! and entered again, but not reduced in its place.

use std::hint::black_box;

use ::obcore::{Evaluator, Instruction, OrderBook, OrderInterface, TIF};

use super::{Open, Peer, Trade};
use crate::workload::{Kind, Step};

/// As small as the crate lets it be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Order {
    id: u32,
    price: u32,
    quantity: u32,
    remaining: u32,
    buy: bool,
    rests: bool,
}

impl OrderInterface for Order {
    type I = u32;
    type N = u32;
    type O = u32;

    fn id(&self) -> &u32 {
        &self.id
    }

    fn is_buy(&self) -> bool {
        self.buy
    }

    fn price(&self) -> u32 {
        self.price
    }

    fn quantity(&self) -> u32 {
        self.quantity
    }

    fn remaining(&self) -> u32 {
        self.remaining
    }

    fn fill(&mut self, quantity: u32) {
        self.remaining -= quantity;
    }

    fn owner(&self) -> &u32 {
        &self.id
    }

    fn tif(&self) -> TIF {
        if self.rests { TIF::GTC } else { TIF::IOC }
    }
}

#[derive(Clone)]
enum Request {
    Enter(Order),
    Cancel(u32),
}

pub struct Requests {
    instruments: u32,
    /// With the book that each goes to.
    commands: Vec<(u32, Request)>,
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).expect("a number of the workload")
}

pub fn requests(instruments: u32, steps: &[Step]) -> Requests {
    let commands = steps.iter().map(|step| {
        let request = match step.kind {
            Kind::New => Request::Enter(Order {
                id: narrow(step.id),
                price: narrow(step.price.cast_unsigned()),
                quantity: narrow(step.quantity),
                remaining: narrow(step.quantity),
                buy: step.side == 0,
                rests: step.tif == 0,
            }),
            Kind::Cancel => Request::Cancel(narrow(step.id)),
            Kind::Replace => unreachable!("a stream with replaces is not expressible"),
        };
        (step.instrument, request)
    });
    Requests {
        instruments,
        commands: commands.collect(),
    }
}

pub struct Books {
    books: Vec<OrderBook<Order>>,
    evaluator: Evaluator<Order>,
}

impl Books {
    #[inline(always)]
    fn run(&mut self, requests: &Requests, at: usize, mut each: impl FnMut(&Instruction<Order>)) {
        let (book, request) = &requests.commands[at];
        let book = &mut self.books[*book as usize];
        let instructions = match request {
            Request::Enter(order) => self.evaluator.eval_insert(book, order.clone()),
            Request::Cancel(id) => self.evaluator.eval_cancel(book, *id),
        };
        for instruction in instructions {
            each(&instruction);
            black_box(book.apply(instruction));
        }
        self.evaluator.reset();
    }
}

impl Peer for Books {
    type Requests = Requests;

    fn new(requests: &Requests) -> Self {
        Self {
            books: (0..requests.instruments)
                .map(|_| OrderBook::default())
                .collect(),
            evaluator: Evaluator::default(),
        }
    }

    #[inline(always)]
    fn apply(&mut self, requests: &Requests, at: usize) {
        self.run(requests, at, |_| {});
    }

    fn report(&mut self, requests: &Requests, at: usize, each: &mut dyn FnMut(Trade)) {
        let Request::Enter(order) = &requests.commands[at].1 else {
            return self.apply(requests, at);
        };
        let taker = u64::from(order.id);
        self.run(requests, at, |instruction| {
            // The taker's own fill is the sum of the makers' fills, which follow it.
            if let Instruction::Fill(maker, _, price, quantity, false) = instruction {
                each(Trade {
                    maker: u64::from(*maker),
                    taker,
                    price: i64::from(*price),
                    quantity: u64::from(*quantity),
                });
            }
        });
    }

    fn open(&self) -> Open {
        let mut open = Open::default();
        for book in &self.books {
            open.orders += book.len() as u64;
            for level in book.bids().chain(book.asks()) {
                open.lots += u64::from(level.total_quantity());
            }
        }
        open
    }
}
