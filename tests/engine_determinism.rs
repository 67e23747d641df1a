//! The same million commands give the same state and the same event bytes: twice in one process,
//! and, because the hashes stand here, in every build and on every machine. And once warm, they
//! allocate nothing.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use support::venue::{self, Driver, SESSION};
use support::workload::{Fnv, Kind, Shape, Step, Stream};
use trading_engine::engine::command::{DayRoll, EnterOrder, SessionDisconnected, SetAccount};
use trading_engine::engine::event::{EventBody, EventSink};
use trading_engine::limits::EngineLimits;
use trading_engine_protocol::types::{AccountId, FirmId, Reason, SessionId};

const COMMANDS: u64 = 1_000_000;

/// Counts allocations while armed.
struct Counting;

static ARMED: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is handed to the system's allocator unchanged.
#[allow(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if ARMED.load(Ordering::Relaxed) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if ARMED.load(Ordering::Relaxed) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Hashes event bytes as they are written.
#[derive(Default)]
struct Hashing {
    hash: Fnv,
    events: u64,
}

impl EventSink for Hashing {
    fn write(&mut self, parts: [&[u8]; 3]) {
        self.events += 1;
        for part in parts {
            self.hash.bytes(part);
        }
    }
}

fn limits() -> EngineLimits {
    EngineLimits {
        orders: 1 << 16,
        client_order_ids: 1 << 21,
        instruments: 128,
        price_pages: 1 << 13,
        ..EngineLimits::default()
    }
}

/// Follows the ids that replaces give, without asking the engine: what the engine accepted is a
/// function of the commands, too.
struct Names {
    current: Vec<u64>,
    filled: Vec<u64>,
    renamed: u64,
}

impl Names {
    fn new(ids: usize) -> Self {
        Self {
            current: vec![0; ids],
            filled: vec![0; ids],
            renamed: 0,
        }
    }

    fn apply(&mut self, driver: &mut Driver, step: &Step, sink: &mut impl EventSink) {
        let at = step.id as usize;
        match step.kind {
            Kind::New => {
                self.current[at] = step.id;
                let tif = if step.tif == 1 { 3 } else { 0 };
                let (instrument, side) = (step.instrument + 1, step.side + 1);
                let order = venue::enter(step.id, instrument, side, tif, step.price, step.quantity);
                driver.apply(SESSION, order, sink);
            }
            Kind::Cancel => driver.apply(SESSION, venue::cancel(1, self.current[at]), sink),
            Kind::Replace => {
                self.renamed += 1;
                let id = self.renamed << 32 | step.id;
                let total = step.quantity + self.filled[at];
                let body =
                    venue::replace(id, self.current[at], step.instrument + 1, step.price, total);
                driver.apply(SESSION, body, sink);
            }
        }
    }

    fn learn(&mut self, out: &[u8]) {
        venue::for_each_event(out, |_, body| match body {
            EventBody::OrderReplaced(replaced) => {
                let id = replaced.order.client_order_id.as_u64().unwrap();
                self.current[(id & 0xFFFF_FFFF) as usize] = id;
            }
            EventBody::Fill(fill) => {
                let id = fill.order.client_order_id.as_u64().unwrap() & 0xFFFF_FFFF;
                self.filled[id as usize] += fill.last_quantity.0;
            }
            _ => {}
        });
    }
}

/// State hash, hash of the event bytes, events, and allocations after the warm-up.
fn run() -> (u64, u64, u64, u64) {
    let mut driver = Driver::world(limits(), 100, 1);
    let mut stream = Stream::new(Shape::Mixed, 42, 100, 10_000);
    let mut names = Names::new(2 << 20);
    let mut out: Vec<u8> = Vec::with_capacity(1 << 20);
    let mut hashing = Hashing::default();
    let mut allocations = 0;
    for step in 0..10_000 + COMMANDS {
        let drawn = stream.next_step();
        out.clear();
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        // The drawing of commands may allocate; the engine may not.
        ARMED.store(step >= 10_000, Ordering::Relaxed);
        names.apply(&mut driver, &drawn, &mut out);
        ARMED.store(false, Ordering::Relaxed);
        allocations += ALLOCATIONS.load(Ordering::Relaxed) - before;
        names.learn(&out);
        hashing.hash.bytes(&out);
        venue::for_each_event(&out, |_, _| hashing.events += 1);
    }
    // The rest of what an engine does: sessions come and go, what is too much is refused, and the
    // day ends.
    let mut rest = Hashing::default();
    ARMED.store(true, Ordering::Relaxed);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    driver.apply(SESSION, SessionDisconnected::default(), &mut rest);
    let roll = DayRoll {
        trading_day: 20_260_102,
        reserved: 0,
    };
    driver.apply(SessionId(0), roll, &mut rest);
    allocations += ALLOCATIONS.load(Ordering::Relaxed) - before;
    ARMED.store(false, Ordering::Relaxed);
    (
        driver.engine.state_hash(),
        hashing.hash.0 ^ rest.hash.0,
        hashing.events + rest.events,
        allocations,
    )
}

#[test]
fn a_million_commands_give_the_same_bytes_in_every_build_and_allocate_nothing() {
    let first = run();
    assert_eq!(run(), first, "twice in one process");
    println!("{:#018x} {:#018x} {} events", first.0, first.1, first.2);
    assert_eq!(first, (STATE_HASH, EVENT_HASH, EVENTS, 0));
    refused_at_capacity();
}

/// Written down from a debug build, and held to by all.
const STATE_HASH: u64 = 0x7dce_3bfd_3a7d_ce5f;
const EVENT_HASH: u64 = 0xdb6f_2620_8f8b_03e7;
const EVENTS: u64 = 1_870_228;

/// Capacities are stated and refused at, with nothing allocated on the way.
fn refused_at_capacity() {
    let limits = EngineLimits {
        orders: 100,
        client_order_ids: 150,
        price_pages: 8,
        instruments: 2,
        accounts: 40,
        ..limits()
    };
    let mut driver = Driver::world(limits, 2, 1);
    let mut out: Vec<u8> = Vec::with_capacity(1 << 20);
    let mut refusals = [
        (Reason::OrderCapacity, 0),
        (Reason::ClientOrderIdCapacity, 0),
    ];
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for id in 1..=200 {
        out.clear();
        ARMED.store(true, Ordering::Relaxed);
        driver.apply(SESSION, venue::enter(id, 1, 1, 0, 100, 1), &mut out);
        ARMED.store(false, Ordering::Relaxed);
        venue::for_each_event(&out, |header, _| {
            for (reason, count) in &mut refusals {
                *count += u64::from(header.reason == reason.code());
            }
        });
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before);
    assert_eq!(
        refusals,
        [
            (Reason::OrderCapacity, 50),
            (Reason::ClientOrderIdCapacity, 50)
        ],
        "100 rest, 50 find no room, 50 find no id"
    );
    // What was canceled makes room for orders, and the day roll for ids.
    let mut driver = Driver::world(limits, 2, 1);
    let mut pages = 0;
    for id in 1..=100 {
        out.clear();
        let price = 1 + 64 * 20 * id as i64;
        driver.apply(SESSION, venue::enter(id, 1, 1, 0, price, 1), &mut out);
        venue::for_each_event(&out, |header, _| {
            pages += u64::from(header.reason == Reason::PriceLevelCapacity.code());
        });
    }
    assert!(pages > 0, "price pages are refused at, not grown");
    // Accounts that come in no order, and then orders that are held to them.
    let mut driver = Driver::world(limits, 2, 1);
    let mut told = [
        (Reason::None, 0),
        (Reason::DefinitionCapacity, 0),
        (Reason::UnknownAccount, 0),
    ];
    out.clear();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    ARMED.store(true, Ordering::Relaxed);
    for number in 0..50 {
        let set = SetAccount {
            firm: FirmId(1),
            account: AccountId(number * 7 % 50),
            enabled: 1,
            ..SetAccount::default()
        };
        driver.apply(SessionId(0), set, &mut out);
    }
    for number in 0..50 {
        let order = EnterOrder {
            account: AccountId(number * 7 % 50),
            ..venue::enter(u64::from(number) + 1, 1, 1, 0, 100, 1)
        };
        driver.apply(SESSION, order, &mut out);
    }
    ARMED.store(false, Ordering::Relaxed);
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before);
    venue::for_each_event(&out, |header, _| {
        for (reason, count) in &mut told {
            *count += u64::from(header.reason == reason.code());
        }
    });
    assert_eq!(
        told,
        [
            (Reason::None, 80),
            (Reason::DefinitionCapacity, 10),
            (Reason::UnknownAccount, 10)
        ],
        "40 accounts and an order of each, 10 find no room, and the orders of those no account"
    );
}
