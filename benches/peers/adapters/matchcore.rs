//! matchcore 0.4.0: ordered maps of queues, commands and outcomes as values.
//!
//! Chosen for it:
//! * whole `Command` values, numbered and stamped before the clock starts; `execute` borrows them;
//! * one timestamp for all, so that nothing ever expires;
//! * outcomes are made, as there is no way without, and dropped unread.
//!
//! An order's id is the number of the command that entered it, book by book, which is known
//! before. Ids, prices and quantities are of 64 bits, without choice. The crate has no way to size
//! its tables before. An amend gives the new open quantity and keeps the place of an order that
//! is reduced at its price: the workload's replace.

use std::hint::black_box;

use ::matchcore::{
    AmendCmd, AmendPatch, CancelCmd, Command, CommandKind, CommandMeta, CommandOutcome,
    CommandReport, LimitOrder, LimitOrderPatch, NewOrder, OrderBook, OrderFlags, OrderId,
    OrderKind, Price, Quantity, QuantityPolicy, SequenceNumber, Side, SubmitCmd, TimeInForce,
    Timestamp,
};

use super::{Open, Peer, Trade};
use crate::workload::{Kind, Step};

pub struct Requests {
    /// With the book that each goes to.
    commands: Vec<(u32, Command)>,
    /// The workload's ids by book and number of the entering command.
    clients: Vec<Vec<u64>>,
}

pub fn requests(instruments: u32, steps: &[Step]) -> Requests {
    let mut clients = vec![Vec::new(); instruments as usize];
    let mut own: Vec<u64> = vec![0];
    let mut commands = Vec::with_capacity(steps.len());
    for step in steps {
        let numbered = &mut clients[step.instrument as usize];
        let number = numbered.len() as u64;
        numbered.push(step.id);
        let price = Price(step.price.cast_unsigned());
        let quantity_policy = QuantityPolicy::Standard {
            quantity: Quantity(step.quantity),
        };
        let order_id = own.get(step.id as usize).map(|id| OrderId(*id));
        let kind = match step.kind {
            Kind::New => {
                own.push(number);
                let side = [Side::Buy, Side::Sell][usize::from(step.side)];
                let time_in_force = [TimeInForce::Gtc, TimeInForce::Ioc][usize::from(step.tif)];
                let flags = OrderFlags::new(side, false, time_in_force);
                let order = NewOrder::Limit(LimitOrder::new(price, quantity_policy, flags));
                CommandKind::Submit(SubmitCmd { order })
            }
            Kind::Cancel => CommandKind::Cancel(CancelCmd {
                order_id: order_id.expect("an entered order"),
                order_kind: OrderKind::Limit,
            }),
            Kind::Replace => CommandKind::Amend(AmendCmd {
                order_id: order_id.expect("an entered order"),
                patch: AmendPatch::Limit(
                    LimitOrderPatch::new()
                        .with_price(price)
                        .with_quantity_policy(quantity_policy),
                ),
            }),
        };
        let meta = CommandMeta {
            sequence_number: SequenceNumber(number),
            timestamp: Timestamp(1),
        };
        commands.push((step.instrument, Command { meta, kind }));
    }
    Requests { commands, clients }
}

pub struct Books(Vec<OrderBook>);

impl Books {
    #[inline(always)]
    fn run(&mut self, requests: &Requests, at: usize) -> CommandOutcome {
        let (book, command) = &requests.commands[at];
        self.0[*book as usize].execute(command)
    }
}

impl Peer for Books {
    type Requests = Requests;

    fn new(requests: &Requests) -> Self {
        Self(
            requests
                .clients
                .iter()
                .map(|_| OrderBook::new("BOOK"))
                .collect(),
        )
    }

    #[inline(always)]
    fn apply(&mut self, requests: &Requests, at: usize) {
        black_box(self.run(requests, at));
    }

    fn report(&mut self, requests: &Requests, at: usize, each: &mut dyn FnMut(Trade)) {
        let CommandOutcome::Applied(CommandReport::Submit(effects) | CommandReport::Amend(effects)) =
            self.run(requests, at)
        else {
            return;
        };
        let clients = &requests.clients[requests.commands[at].0 as usize];
        let target = effects.target_order();
        for trade in target
            .match_result()
            .map_or(&[][..], |result| result.trades())
        {
            each(Trade {
                maker: clients[trade.maker_order_id().0 as usize],
                taker: clients[target.order_id().0 as usize],
                price: trade.price().0.cast_signed(),
                quantity: trade.quantity().0,
            });
        }
    }

    fn open(&self) -> Open {
        let mut open = Open::default();
        for book in &self.0 {
            open.orders += book.limit().orders().len() as u64;
            for (_, level) in book.limit().levels() {
                open.lots += level.total_quantity().0;
            }
        }
        open
    }
}
