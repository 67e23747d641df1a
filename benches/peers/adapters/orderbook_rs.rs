//! orderbook-rs 0.15.3: a book for many threads at once, of concurrent maps; one thread uses it.
//!
//! Chosen for it:
//! * `Id::Sequential`, which is a number, not a UUID; no extra fields, no owner, no fees;
//! * `StubClock`, a counter, instead of the system's time;
//! * no listeners and the calls without a trade result; the checked run has a trade listener,
//!   the one way to see trades of a modify;
//! * nothing listens to `tracing`, so its calls cost the look at one flag.
//!
//! A replace at the order's price is its quantity update, which keeps the place of an order that
//! is reduced; one at another price is its update of both. Which of the two is known before.

use std::hint::black_box;
use std::sync::{Arc, Mutex};

use ::orderbook_rs::{OrderBook, StubClock};
use ::pricelevel::{Id, OrderUpdate, Price, Quantity, Side, TimeInForce};

use super::{Open, Peer, Trade};
use crate::workload::{Kind, Step};

enum Request {
    Enter {
        id: Id,
        price: u128,
        quantity: u64,
        side: Side,
        time_in_force: TimeInForce,
    },
    Cancel(Id),
    Update(OrderUpdate),
}

pub struct Requests {
    instruments: u32,
    commands: Vec<(u32, Request)>,
}

pub fn requests(instruments: u32, steps: &[Step]) -> Requests {
    let mut prices: Vec<i64> = vec![0];
    let commands = steps.iter().map(|step| {
        let id = Id::Sequential(step.id);
        let price = u128::from(step.price.cast_unsigned());
        let request = match step.kind {
            Kind::New => {
                prices.push(step.price);
                Request::Enter {
                    id,
                    price,
                    quantity: step.quantity,
                    side: [Side::Buy, Side::Sell][usize::from(step.side)],
                    time_in_force: [TimeInForce::Gtc, TimeInForce::Ioc][usize::from(step.tif)],
                }
            }
            Kind::Cancel => Request::Cancel(id),
            Kind::Replace => {
                let old = std::mem::replace(&mut prices[step.id as usize], step.price);
                let new_quantity = Quantity::new(step.quantity);
                Request::Update(if old == step.price {
                    OrderUpdate::UpdateQuantity {
                        order_id: id,
                        new_quantity,
                    }
                } else {
                    OrderUpdate::UpdatePriceAndQuantity {
                        order_id: id,
                        new_price: Price::new(price),
                        new_quantity,
                    }
                })
            }
        };
        (step.instrument, request)
    });
    Requests {
        instruments,
        commands: commands.collect(),
    }
}

pub struct Books {
    books: Vec<OrderBook<()>>,
    /// Where the listeners of a checked run put trades.
    heard: Option<Arc<Mutex<Vec<Trade>>>>,
}

fn number(id: Id) -> u64 {
    match id {
        Id::Sequential(number) => number,
        Id::Uuid(_) | Id::Ulid(_) => unreachable!("Invariant: all ids are numbers"),
    }
}

impl Books {
    fn listen(&mut self) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        for book in &mut self.books {
            let heard = Arc::clone(&heard);
            book.set_trade_listener(Arc::new(move |result| {
                let mut heard = heard.lock().expect("one thread");
                for trade in result.match_result.trades().as_vec() {
                    heard.push(Trade {
                        maker: number(trade.maker_order_id()),
                        taker: number(trade.taker_order_id()),
                        price: i64::try_from(trade.price().as_u128()).expect("a price"),
                        quantity: trade.quantity().as_u64(),
                    });
                }
            }));
        }
        self.heard = Some(heard);
    }
}

impl Peer for Books {
    type Requests = Requests;

    fn new(requests: &Requests) -> Self {
        let books = (0..requests.instruments)
            .map(|_| OrderBook::with_clock("BOOK", Arc::new(StubClock::new())))
            .collect();
        Self { books, heard: None }
    }

    #[inline(always)]
    fn apply(&mut self, requests: &Requests, at: usize) {
        let (book, request) = &requests.commands[at];
        let book = &self.books[*book as usize];
        // An IOC that does not fill is an error here, as is the cancel of an unknown order.
        match *request {
            Request::Enter {
                id,
                price,
                quantity,
                side,
                time_in_force,
            } => {
                let order = book.add_limit_order(id, price, quantity, side, time_in_force, None);
                black_box(order).ok();
            }
            Request::Cancel(id) => {
                black_box(book.cancel_order(id)).ok();
            }
            Request::Update(update) => {
                black_box(book.update_order(update)).ok();
            }
        }
    }

    fn report(&mut self, requests: &Requests, at: usize, each: &mut dyn FnMut(Trade)) {
        if self.heard.is_none() {
            self.listen();
        }
        self.apply(requests, at);
        let heard = self.heard.as_ref().expect("Invariant: set above");
        for trade in heard.lock().expect("one thread").drain(..) {
            each(trade);
        }
    }

    fn open(&self) -> Open {
        let mut open = Open::default();
        for book in &self.books {
            for order in book.get_all_orders() {
                open.orders += 1;
                open.lots += order.visible_quantity().as_u64();
            }
        }
        open
    }
}
