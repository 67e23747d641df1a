//! Seeded command streams with known answers: the same bytes in every build and language.
//!
//! `Stream` draws commands; `Plain` is a plain book that turns "new open quantity" replaces into
//! total quantities off the clock.

#![allow(dead_code, reason = "each test uses its own part")]

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    pub fn skew(&mut self, n: u64) -> u64 {
        let x = self.below(1 << 20);
        let y = (x * x) >> 20;
        let z = (y * x) >> 20;
        (z * n) >> 20
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    New,
    Cancel,
    Replace,
}

/// One command as the workload text has it: `quantity` of a replace is the new open quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub kind: Kind,
    /// 0 buy, 1 sell.
    pub side: u8,
    /// 0 Day, 1 IOC.
    pub tif: u8,
    pub instrument: u32,
    pub id: u64,
    pub price: i64,
    pub quantity: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    Mixed,
    CancelHeavy,
    Sweep,
    Quotes,
}

/// One two-sided entry of a mass quote. The bid's id is `id`, the ask's the next.
#[derive(Clone, Copy, Debug)]
pub struct TwoSided {
    pub instrument: u32,
    pub layer: u16,
    pub id: u64,
    pub bid: (i64, u64),
    pub ask: (i64, u64),
}

/// One command of the `quotes` stream.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    pub maker: u32,
    pub group: u16,
    pub entries: [TwoSided; 20],
}

#[derive(Clone, Copy)]
struct Open {
    id: u64,
    instrument: u32,
    side: u8,
    price: i64,
    quantity: u64,
}

pub struct Stream {
    random: Random,
    shape: Shape,
    instruments: u64,
    resting: u64,
    reference: Vec<i64>,
    next_id: u64,
    open: Vec<Open>,
    prefilled: u64,
    messages: u64,
    pub hash: Fnv,
}

/// FNV-1a, 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fnv(pub u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(14_695_981_039_346_656_037)
    }
}

impl Fnv {
    pub fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(1_099_511_628_211);
        }
    }

    pub fn trade(&mut self, maker: u64, taker: u64, price: i64, quantity: u64) {
        self.bytes(&maker.to_le_bytes());
        self.bytes(&taker.to_le_bytes());
        self.bytes(&price.to_le_bytes());
        self.bytes(&quantity.to_le_bytes());
    }

    fn step(&mut self, step: &Step) {
        let kind = match step.kind {
            Kind::New => 0,
            Kind::Cancel => 1,
            Kind::Replace => 2,
        };
        let &Step { side, tif, .. } = step;
        let (instrument, id) = (step.instrument, step.id);
        self.record(kind, side, tif, instrument, id, step.price, step.quantity);
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "the fields of a record, in order"
    )]
    fn record(
        &mut self,
        kind: u8,
        side: u8,
        tif: u8,
        instrument: u32,
        id: u64,
        price: i64,
        quantity: u64,
    ) {
        self.bytes(&[kind, side, tif, 0]);
        self.bytes(&instrument.to_le_bytes());
        self.bytes(&id.to_le_bytes());
        self.bytes(&price.to_le_bytes());
        self.bytes(&quantity.to_le_bytes());
    }
}

fn away(reference: i64, side: u8, distance: i64) -> i64 {
    if side == 0 {
        reference - distance
    } else {
        reference + distance
    }
}

impl Stream {
    pub fn new(shape: Shape, seed: u64, instruments: u32, resting: u64) -> Self {
        let number = match shape {
            Shape::Mixed => 1,
            Shape::CancelHeavy => 2,
            Shape::Sweep => 3,
            Shape::Quotes => 4,
        };
        Self {
            random: Random::new(8 * seed + number),
            shape,
            instruments: u64::from(instruments),
            resting,
            reference: vec![100_000; instruments as usize],
            next_id: 1,
            open: Vec::new(),
            prefilled: 0,
            messages: 0,
            hash: Fnv::default(),
        }
    }

    /// Next command: the prefill first, then the stream without end.
    pub fn next_step(&mut self) -> Step {
        let step = if self.prefilled < self.resting {
            let j = self.prefilled;
            self.prefilled += 1;
            let i = j % self.instruments;
            let side = ((j / self.instruments) % 2) as u8;
            let d = 1 + self.random.below(1000) as i64;
            let q = 1 + self.random.below(100);
            self.rest(i, side, d, q)
        } else {
            match self.shape {
                Shape::Mixed => self.mixed(),
                Shape::CancelHeavy => self.cancel_heavy(),
                Shape::Sweep => self.sweep(),
                Shape::Quotes => panic!("they come by message"),
            }
        };
        self.hash.step(&step);
        step
    }

    /// Next mass quote of `Shape::Quotes`, after its prefill.
    pub fn next_message(&mut self) -> Message {
        let maker = self.messages % 8;
        self.messages += 1;
        let groups = (self.instruments / 20).max(1);
        let group = self.random.below(groups);
        let entries = std::array::from_fn(|e| {
            let e = e as u64;
            let i = (20 * group + e) % self.instruments;
            self.walk(i, 64);
            let layer = if self.instruments < 20 { e } else { 0 };
            let distance = 1 + layer as i64;
            let bid = distance + self.random.below(3) as i64;
            let ask = distance + self.random.below(3) as i64;
            let bid_lots = 1 + self.random.below(50);
            let ask_lots = 1 + self.random.below(50);
            let reference = self.reference[i as usize];
            let entry = TwoSided {
                instrument: i as u32,
                layer: layer as u16,
                id: 1_000_000_000 + ((maker * groups + group) * 20 + e) * 2,
                bid: (reference - bid, bid_lots),
                ask: (reference + ask, ask_lots),
            };
            for (side, (price, lots)) in [(0, entry.bid), (1, entry.ask)] {
                let id = entry.id + u64::from(side);
                self.hash
                    .record(3, side, 0, entry.instrument, id, price, lots);
            }
            entry
        });
        Message {
            maker: maker as u32,
            group: group as u16,
            entries,
        }
    }

    fn walk(&mut self, i: u64, odds: u64) {
        if self.random.below(odds) == 0 {
            let down = self.random.below(2) == 0;
            let reference = &mut self.reference[i as usize];
            if down {
                *reference = (*reference - 1).max(99_500);
            } else {
                *reference = (*reference + 1).min(100_500);
            }
        }
    }

    fn enter(&mut self, i: u64, side: u8, price: i64, quantity: u64, tif: u8) -> Step {
        let id = self.next_id;
        self.next_id += 1;
        Step {
            kind: Kind::New,
            side,
            tif,
            instrument: i as u32,
            id,
            price,
            quantity,
        }
    }

    fn rest(&mut self, i: u64, side: u8, distance: i64, quantity: u64) -> Step {
        let price = away(self.reference[i as usize], side, distance);
        let step = self.enter(i, side, price, quantity, 0);
        self.open.push(Open {
            id: step.id,
            instrument: i as u32,
            side,
            price,
            quantity,
        });
        step
    }

    fn cancel(&mut self) -> Step {
        let j = self.random.below(self.open.len() as u64) as usize;
        let o = self.open.swap_remove(j);
        Step {
            kind: Kind::Cancel,
            side: o.side,
            tif: 0,
            instrument: o.instrument,
            id: o.id,
            price: 0,
            quantity: 0,
        }
    }

    fn balance(&self) -> u64 {
        self.resting.max(16)
    }

    fn mixed(&mut self) -> Step {
        let i = self.random.skew(self.instruments);
        self.walk(i, 256);
        let k = self.random.below(100);
        let side = self.random.below(2) as u8;
        let reference = self.reference[i as usize];
        let t = self.balance();
        let open = self.open.len() as u64;
        let maker = k < 30;
        let cancel = (60..90).contains(&k);
        if (maker && open < 2 * t) || (cancel && open <= t / 2) {
            let d = 3 + self.random.skew(1000) as i64;
            let q = 1 + self.random.below(100);
            self.rest(i, side, d, q)
        } else if maker || cancel {
            self.cancel()
        } else if k < 60 {
            let d = 1 + self.random.below(6) as i64;
            let q = 1 + self.random.below(100);
            self.enter(i, side, away(reference, side, d), q, 0)
        } else if self.random.below(4) == 0 {
            let d = 1 + self.random.below(4) as i64;
            let q = 1 + self.random.below(100);
            self.enter(i, side, away(reference, side, -d), q, 0)
        } else {
            let q = 1 + self.random.below(600);
            self.enter(i, side, away(reference, side, -6), q, 1)
        }
    }

    fn cancel_heavy(&mut self) -> Step {
        let i = self.random.skew(self.instruments);
        self.walk(i, 1024.max(self.resting));
        let k = self.random.below(1000);
        let side = self.random.below(2) as u8;
        let t = self.balance();
        let open = self.open.len() as u64;
        let cancel = (902..950).contains(&k);
        let maker = (950..998).contains(&k);
        if k < 902 {
            let at = self.random.below(open) as usize;
            let mut o = self.open[at];
            if self.random.below(3) == 0 {
                o.quantity = 1 + self.random.below(o.quantity);
            } else {
                let d = 3 + self.random.skew(200) as i64;
                o.quantity = 1 + self.random.below(100);
                o.price = away(self.reference[o.instrument as usize], o.side, d);
            }
            self.open[at] = o;
            Step {
                kind: Kind::Replace,
                side: o.side,
                tif: 0,
                instrument: o.instrument,
                id: o.id,
                price: o.price,
                quantity: o.quantity,
            }
        } else if (maker && open < 2 * t) || (cancel && open <= t / 2) {
            let d = 3 + self.random.skew(200) as i64;
            let q = 1 + self.random.below(100);
            self.rest(i, side, d, q)
        } else if maker || cancel {
            self.cancel()
        } else {
            let q = 1 + self.random.below(100);
            let price = away(self.reference[i as usize], side, -4);
            self.enter(i, side, price, q, 1)
        }
    }

    fn sweep(&mut self) -> Step {
        let i = self.random.skew(self.instruments);
        self.walk(i, 64);
        let k = self.random.below(32);
        let side = self.random.below(2) as u8;
        let reference = self.reference[i as usize];
        if k == 0 {
            let q = 1 + self.random.below(1600);
            self.enter(i, side, away(reference, side, -200), q, 1)
        } else {
            let d = 1 + self.random.below(200) as i64;
            let q = 1 + self.random.below(20);
            self.enter(i, side, away(reference, side, d), q, 0)
        }
    }
}
