//! Every bound of the venue, asserted against each other at compile time.
//!
//! Capacities that an operator may choose are in [`EngineLimits`]; the constants are layout or
//! protocol bounds. What happens when a bound is reached is written at the bound.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bits of an order id that name its slot: an engine holds at most `2^24` open orders.
pub const ORDER_SLOT_BITS: u32 = 24;
/// Bits of an order id that count entries; the id space is refused at its end, never wrapped.
pub const ORDER_ENTRY_BITS: u32 = 40;

/// Longest command in bytes, header included (a mass quote of 100 entries fits).
pub const COMMAND_LENGTH_MAX: usize = 9216;
/// Longest event in bytes, header included: the answer to a mass quote. It is the only event of its
/// step that is longer than `SHORT_EVENT_LENGTH_MAX`.
pub const EVENT_LENGTH_MAX: usize = 10_752;
/// Longest event of any other kind.
pub const SHORT_EVENT_LENGTH_MAX: usize = 512;
/// Events that one [`crate::engine::Engine::apply`] or `resume` step may write at most. A command
/// that causes more (a deep sweep, a day roll) goes on in further steps.
pub const STEP_EVENTS_MAX: usize = 256;
/// Orders or names that one step looks at without writing of them, at most: to find the orders that a
/// command of many means, to put them into order, to count or forget names. Nothing comes between the
/// steps of a command, so it finds what was there at its beginning. Not bounded so: an auction's price,
/// which walks the price levels that cross, the orders at the ends of the price range as far as they are market orders, and the prices
/// between two that a tick table has.
pub const STEP_VISITS_MAX: usize = 1024;
/// Price levels that FOK and MinQty look at for what is there, and where self-trade prevention or any
/// protection group has to be asked the orders in them (each part that a protected iceberg, or beside an
/// order of a group any iceberg, shows for itself), together at most: who asks again and again changes nothing, and all others wait for the
/// answer. What is behind counts as not there.
pub const FEASIBILITY_VISITS_MAX: usize = 4096;
/// Room an event sink must have before a step.
pub const STEP_BYTES_MAX: usize = STEP_EVENTS_MAX * SHORT_EVENT_LENGTH_MAX;

/// Ticks between an instrument's lowest and highest price: three bitmap levels of 64.
pub const PRICE_TICKS_MAX: u64 = 64 * 64 * 64;
/// Highest lots of one order, so that sums over a full book stay within `u64`.
pub const QUANTITY_MAX: u64 = 1 << 38;

/// Parts in which an iceberg shows its quantity, at most. Each is a trade of its own for who takes the order, and all
/// others wait for that one command: two orders could keep a venue busy for a second.
pub const DISPLAYED_PARTS_MAX: u64 = 100;

/// How long a session with cancel on disconnect that the day roll closed has at least to come back,
/// milliseconds: its orders are canceled then.
pub const DAY_ROLL_GRACE_MS: u32 = 30_000;

/// How long a session whose connection ended with the venue itself has at least to come back once the venue is
/// there again, milliseconds.
pub const RESTART_GRACE_MS: u16 = 5_000;

/// Fills that a protection group's window can hold; one more trips it, whatever its limits are.
pub const PROTECTION_FILLS_MAX: u32 = 512;
/// Longest window of a protection group.
pub const PROTECTION_WINDOW_MS_MAX: u32 = 60_000;
/// Orders or fills that a window of a risk limit can hold.
pub const RISK_WINDOW_MAX: u32 = 64;
/// Trades of a trading day that can be busted or corrected. Full: `Reason::AmendmentCapacity`.
pub const AMENDED_TRADES_MAX: usize = 1 << 16;
/// Tick tables.
pub const TICK_TABLES_MAX: u32 = 64;
/// How often what an auction would trade at is published at most, nanoseconds of log time.
pub const AUCTION_INDICATIVE_INTERVAL_NS: u64 = 100_000_000;

/// Instruments of the demo world with names of their own: it has these at least.
pub const DEMO_INSTRUMENTS_MIN: u32 = 5;
/// Most instruments of the demo world.
pub const DEMO_INSTRUMENTS_MAX: u32 = 1_000;

/// Longest symbol, firm, key or CompID text in bytes.
pub const NAME_LENGTH_MAX: usize = 24;

const _: () = assert!(ORDER_SLOT_BITS + ORDER_ENTRY_BITS == u64::BITS);
const _: () = assert!(QUANTITY_MAX.checked_mul(1 << ORDER_SLOT_BITS).is_some());

/// Capacities an engine allocates once, at start; each is refused at by name, never grown. The log has them in this
/// layout (`SetCapacities`). A start with others than the log's last moves the state: while it does, the memory of both
/// cores is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct EngineLimits {
    /// Open orders over all instruments, 1..=2^24. Full: `Reason::OrderCapacity`.
    pub orders: u32,
    /// Client order ids remembered per trading day. Full: `Reason::ClientOrderIdCapacity`.
    pub client_order_ids: u32,
    /// Price pages (64 levels each) over all instruments and sides. Full:
    /// `Reason::PriceLevelCapacity`.
    pub price_pages: u32,
    /// Instruments. Full: `Reason::DefinitionCapacity`.
    pub instruments: u32,
    /// Firms. Full: `Reason::DefinitionCapacity`.
    pub firms: u32,
    /// Sessions. Full: `Reason::DefinitionCapacity`.
    pub sessions: u32,
    /// Names of quotes with at least one side: session, protection group, instrument and layer. Full:
    /// `Reason::QuoteCapacity`.
    pub quotes: u32,
    /// The same of one firm, so that none shuts the others out. Full: `Reason::QuoteCapacity`.
    pub quotes_per_firm: u32,
    /// Protection groups over all firms. Full: `Reason::ProtectionCapacity`.
    pub protection_groups: u32,
    /// Protection groups of one firm. Full: `Reason::ProtectionCapacity`.
    pub protection_groups_per_firm: u32,
    /// Sets of risk limits. Full: `Reason::DefinitionCapacity`.
    pub risk_limits: u32,
    /// Accounts over all firms, disabled ones included. Full: `Reason::DefinitionCapacity`.
    pub accounts: u32,
}

impl EngineLimits {
    /// Whether an engine can be made with them: what names things has the bits for them, and memory
    /// is not asked for by numbers that nobody meant.
    pub fn are_possible(&self) -> bool {
        let up_to = |count: u32, bits: u32| (1..=1 << bits).contains(&count);
        up_to(self.orders, ORDER_SLOT_BITS)
            && up_to(self.client_order_ids, 28)
            && self.client_order_ids >= self.orders
            && up_to(self.price_pages, 22)
            && (1..=u32::from(u16::MAX)).contains(&self.instruments)
            && up_to(self.firms, 20)
            && up_to(self.sessions, 20)
            && up_to(self.quotes, 22)
            && up_to(self.quotes_per_firm, 22)
            && up_to(self.protection_groups, 16)
            && up_to(self.protection_groups_per_firm, 16)
            && up_to(self.risk_limits, 16)
            && up_to(self.accounts, 24)
    }
}

impl Default for EngineLimits {
    /// A small venue: its core holds about 290 MiB, all of it touched at the start, and no more whatever
    /// comes (`tests/engine_memory.rs` measures).
    fn default() -> Self {
        Self {
            orders: 1 << 18,
            client_order_ids: 1 << 22,
            price_pages: 1 << 14,
            instruments: 1 << 12,
            firms: 1 << 10,
            sessions: 1 << 12,
            quotes: 1 << 16,
            quotes_per_firm: 1 << 14,
            protection_groups: 1 << 10,
            protection_groups_per_firm: 1 << 6,
            risk_limits: 1 << 10,
            accounts: 1 << 14,
        }
    }
}
