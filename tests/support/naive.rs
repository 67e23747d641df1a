//! The oracle: a book of plain vectors, slow and obvious. Same rules as the engine, other code.

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resting {
    pub owner: u32,
    pub id: u64,
    pub side: u8,
    pub price: i64,
    pub total: u64,
    pub filled: u64,
}

impl Resting {
    pub fn open(&self) -> u64 {
        self.total - self.filled
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trade {
    pub maker: (u32, u64),
    pub taker: (u32, u64),
    pub price: i64,
    pub lots: u64,
}

/// One instrument: orders of each side, best first, then oldest first.
#[derive(Clone, Debug, Default)]
pub struct NaiveBook {
    pub bids: Vec<Resting>,
    pub asks: Vec<Resting>,
}

fn better(side: u8, a: i64, b: i64) -> bool {
    if side == 1 { a > b } else { a < b }
}

impl NaiveBook {
    pub fn side(&self, side: u8) -> &Vec<Resting> {
        if side == 1 { &self.bids } else { &self.asks }
    }

    fn side_mut(&mut self, side: u8) -> &mut Vec<Resting> {
        if side == 1 {
            &mut self.bids
        } else {
            &mut self.asks
        }
    }

    pub fn find(&self, owner: u32, id: u64) -> Option<&Resting> {
        self.bids
            .iter()
            .chain(&self.asks)
            .find(|o| o.owner == owner && o.id == id)
    }

    pub fn remove(&mut self, owner: u32, id: u64) -> Option<Resting> {
        for side in [1, 2] {
            let orders = self.side_mut(side);
            if let Some(at) = orders.iter().position(|o| o.owner == owner && o.id == id) {
                return Some(orders.remove(at));
            }
        }
        None
    }

    /// Lots an order of `side` limited at `price` could take now.
    pub fn available(&self, side: u8, price: i64) -> u64 {
        self.side(3 - side)
            .iter()
            .filter(|o| !better(side, o.price, price))
            .map(Resting::open)
            .sum()
    }

    /// Trades the order as far as it goes; what is left of it comes back.
    pub fn take(&mut self, mut order: Resting, trades: &mut Vec<Trade>) -> Resting {
        let opposite = 3 - order.side;
        while order.open() > 0 {
            let Some(maker) = self.side_mut(opposite).first_mut() else {
                break;
            };
            if better(order.side, maker.price, order.price) {
                break;
            }
            let lots = maker.open().min(order.open());
            maker.filled += lots;
            order.filled += lots;
            trades.push(Trade {
                maker: (maker.owner, maker.id),
                taker: (order.owner, order.id),
                price: maker.price,
                lots,
            });
            if maker.open() == 0 {
                self.side_mut(opposite).remove(0);
            }
        }
        order
    }

    /// Rests an order behind all of the same or a better price.
    pub fn rest(&mut self, order: Resting) {
        let side = order.side;
        let orders = self.side_mut(side);
        let at = orders
            .iter()
            .position(|o| better(side, order.price, o.price))
            .unwrap_or(orders.len());
        orders.insert(at, order);
    }

    /// Replaces an open order; `total` is the new OrderQty. `None`: it ended filled.
    pub fn replace(
        &mut self,
        (owner, id, new_id): (u32, u64, u64),
        price: i64,
        total: u64,
        trades: &mut Vec<Trade>,
    ) {
        let Some(old) = self.find(owner, id).cloned() else {
            return;
        };
        if total <= old.filled {
            self.remove(owner, id);
            return;
        }
        if price == old.price && total <= old.total {
            let side = old.side;
            let orders = self.side_mut(side);
            let at = orders
                .iter()
                .position(|o| o.owner == owner && o.id == id)
                .unwrap();
            orders[at].total = total;
            orders[at].id = new_id;
            return;
        }
        self.remove(owner, id);
        let rest = self.take(
            Resting {
                id: new_id,
                price,
                total,
                ..old
            },
            trades,
        );
        if rest.open() > 0 {
            self.rest(rest);
        }
    }

    /// Price, lots, orders per level of a side, best first.
    pub fn levels(&self, side: u8) -> Vec<(i64, u64, u32)> {
        let mut levels: Vec<(i64, u64, u32)> = Vec::new();
        for order in self.side(side) {
            match levels.last_mut() {
                Some(level) if level.0 == order.price => {
                    level.1 += order.open();
                    level.2 += 1;
                }
                _ => levels.push((order.price, order.open(), 1)),
            }
        }
        levels
    }
}
