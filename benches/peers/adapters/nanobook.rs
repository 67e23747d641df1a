//! nanobook 0.19.3: ordered maps of queues, every order ever entered kept in a hash map.
//!
//! Chosen for it:
//! * without the `event-log` feature, without owners;
//! * its records of past trades and orders dropped between blocks, off the clock, as its text
//!   advises for long runs.
//!
//! Ids count the orders that a book was given, which is known before. Its modify always loses the
//! place and gives a new id: it is not the workload's replace.

use std::hint::black_box;

use ::nanobook::{Exchange, OrderId, Price, Side, TimeInForce};

use super::{Open, Peer, Trade};
use crate::workload::{Kind, Step};

enum Request {
    Enter {
        side: Side,
        price: Price,
        quantity: u64,
        time_in_force: TimeInForce,
    },
    Cancel(OrderId),
}

pub struct Requests {
    commands: Vec<(u32, Request)>,
    /// The workload's ids by book and own id.
    clients: Vec<Vec<u64>>,
}

pub fn requests(instruments: u32, steps: &[Step]) -> Requests {
    let mut clients = vec![vec![0]; instruments as usize];
    let mut own: Vec<u64> = vec![0];
    let mut commands = Vec::with_capacity(steps.len());
    for step in steps {
        let request = match step.kind {
            Kind::New => {
                let numbered: &mut Vec<u64> = &mut clients[step.instrument as usize];
                own.push(numbered.len() as u64);
                numbered.push(step.id);
                Request::Enter {
                    side: [Side::Buy, Side::Sell][usize::from(step.side)],
                    price: Price(step.price),
                    quantity: step.quantity,
                    time_in_force: [TimeInForce::GTC, TimeInForce::IOC][usize::from(step.tif)],
                }
            }
            Kind::Cancel => Request::Cancel(OrderId(own[step.id as usize])),
            Kind::Replace => unreachable!("a stream with replaces is not expressible"),
        };
        commands.push((step.instrument, request));
    }
    Requests { commands, clients }
}

pub struct Books(Vec<Exchange>);

impl Books {
    #[inline(always)]
    fn run(&mut self, requests: &Requests, at: usize) -> Option<::nanobook::SubmitResult> {
        let (book, request) = &requests.commands[at];
        let book = &mut self.0[*book as usize];
        match *request {
            Request::Enter {
                side,
                price,
                quantity,
                time_in_force,
            } => Some(book.submit_limit(side, price, quantity, time_in_force)),
            Request::Cancel(id) => {
                black_box(book.cancel(id));
                None
            }
        }
    }
}

impl Peer for Books {
    type Requests = Requests;

    fn new(requests: &Requests) -> Self {
        Self(requests.clients.iter().map(|_| Exchange::new()).collect())
    }

    #[inline(always)]
    fn apply(&mut self, requests: &Requests, at: usize) {
        black_box(self.run(requests, at));
    }

    fn report(&mut self, requests: &Requests, at: usize, each: &mut dyn FnMut(Trade)) {
        let clients = &requests.clients[requests.commands[at].0 as usize];
        for trade in self
            .run(requests, at)
            .iter()
            .flat_map(|result| &result.trades)
        {
            each(Trade {
                maker: clients[trade.passive_order_id.0 as usize],
                taker: clients[trade.aggressor_order_id.0 as usize],
                price: trade.price.0,
                quantity: trade.quantity,
            });
        }
    }

    fn settle(&mut self) {
        for book in &mut self.0 {
            book.clear_trades();
            book.clear_order_history();
        }
    }

    fn open(&self) -> Open {
        let mut open = Open::default();
        for book in &self.0 {
            let depth = book.full_book();
            open.orders += book.book().active_order_count() as u64;
            for level in depth.bids.iter().chain(&depth.asks) {
                open.lots += level.quantity;
            }
        }
        open
    }
}
