//! Order attributes. The discriminants are the wire and journal bytes; where FIX has a digit it
//! is that digit.

/// A byte that is none of an enum's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownValue(pub u8);

macro_rules! byte_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $value,)+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The wire and journal byte.
            #[inline(always)]
            pub const fn as_u8(self) -> u8 {
                self as u8
            }
        }

        impl TryFrom<u8> for $name {
            type Error = UnknownValue;
            #[inline]
            fn try_from(value: u8) -> Result<Self, UnknownValue> {
                match value {
                    $($value => Ok(Self::$variant),)+
                    other => Err(UnknownValue(other)),
                }
            }
        }
    };
}

byte_enum!(
    /// Side(54).
    Side {
        /// Buy.
        Buy = 1,
        /// Sell.
        Sell = 2,
    }
);
byte_enum!(
    /// OrdType(40). FIX's letters continue its digits: K is 20. Pegged, trailing and the rest are
    /// refused by name.
    OrderType {
        /// Market, with protection: a limit at the best opposite price +/- `protection_ticks`.
        Market = 1,
        /// Limit.
        Limit = 2,
        /// Stop: waits for a trade at or through its stop price, then is a market order.
        Stop = 3,
        /// Stop limit: waits likewise, then is a limit order.
        StopLimit = 4,
        /// Market to limit (K): takes the best opposite level, what is left rests at its price.
        MarketToLimit = 20,
    }
);
byte_enum!(
    /// TimeInForce(59).
    TimeInForce {
        /// Until the day roll.
        Day = 0,
        /// Good till cancel.
        GoodTillCancel = 1,
        /// For the opening auction; what does not trade in it ends.
        AtTheOpening = 2,
        /// Immediate or cancel: what does not trade at once is canceled.
        ImmediateOrCancel = 3,
        /// Fill or kill: all at once or nothing.
        FillOrKill = 4,
        /// Good till date: until ExpireTime(126).
        GoodTillDate = 6,
        /// For the closing auction: out of the book until it begins, ends with it.
        AtTheClose = 7,
    }
);
byte_enum!(
    /// OrdStatus(39).
    OrderStatus {
        /// Accepted, nothing filled.
        New = 0,
        /// Some filled, some open.
        PartiallyFilled = 1,
        /// All filled.
        Filled = 2,
        /// Ended by a cancel.
        Canceled = 4,
        /// Never accepted.
        Rejected = 8,
        /// Ended by its own time in force (FIX `C`).
        Expired = 12,
    }
);
byte_enum!(
    /// What happened, ExecType(150), in our own numbering.
    ExecutionKind {
        /// New(0).
        New = 0,
        /// Canceled(4).
        Canceled = 4,
        /// Replaced(5).
        Replaced = 5,
        /// Rejected(8).
        Rejected = 8,
        /// Expired(C).
        Expired = 12,
        /// Restated(D).
        Restated = 13,
        /// Trade(F).
        Trade = 15,
        /// Triggered(L).
        Triggered = 21,
    }
);
byte_enum!(
    /// What an incoming order does when it meets an order of its own account or firm; the incoming
    /// order's instruction decides. The low digit is the action, the high one the scope.
    SelfTradePrevention {
        /// Trades like any other.
        None = 0x00,
        /// Account: the incoming order is canceled.
        CancelNewest = 0x01,
        /// Account: the resting order is canceled.
        CancelOldest = 0x02,
        /// Account: both are canceled.
        CancelBoth = 0x03,
        /// Account: both shrink by the smaller one's quantity, which is canceled.
        Decrement = 0x04,
        /// Firm: the incoming order is canceled.
        FirmCancelNewest = 0x11,
        /// Firm: the resting order is canceled.
        FirmCancelOldest = 0x12,
        /// Firm: both are canceled.
        FirmCancelBoth = 0x13,
        /// Firm: both shrink by the smaller one's quantity, which is canceled.
        FirmDecrement = 0x14,
    }
);
byte_enum!(
    /// Whose orders a mass cancel means.
    MassCancelScope {
        /// The session's.
        Session = 1,
        /// The firm's, over all its sessions; needs the risk role.
        Firm = 2,
        /// The user's, over all sessions that are his.
        User = 3,
    }
);
byte_enum!(
    /// What a kill switch stops.
    KillScope {
        /// A session.
        Session = 1,
        /// A firm.
        Firm = 2,
        /// A user, over all sessions that are his.
        User = 3,
        /// An instrument, for everyone.
        Instrument = 4,
        /// The venue.
        Venue = 5,
    }
);
byte_enum!(
    /// TradingPhase of an instrument: what may happen in its book.
    TradingPhase {
        /// Orders trade as they come.
        Continuous = 0,
        /// Nothing may be asked for.
        Closed = 1,
        /// Orders are collected.
        PreOpen = 2,
        /// Orders are collected, and what they would trade at is published.
        OpeningAuction = 3,
        /// Cancels only.
        Halted = 4,
        /// A re-opening auction after a volatility interruption or a halt.
        VolatilityAuction = 5,
        /// The day's last auction.
        ClosingAuction = 6,
    }
);
byte_enum!(
    /// What a mass quote did with one side of an entry, or with a quote cancel's.
    QuoteStatus {
        /// The entry does not speak of this side.
        NotStated = 0,
        /// A new quote, about to enter the book; what was quoted there is gone.
        Entered = 1,
        /// Price unchanged and not more lots: changed in place.
        Kept = 2,
        /// Zero lots: the quote is gone.
        Removed = 3,
        /// Refused; what was quoted before stays.
        Refused = 4,
        /// Zero lots, and nothing was quoted.
        Absent = 5,
    }
);
byte_enum!(
    /// Which quotes a quote cancel means.
    QuoteCancelScope {
        /// All of the session.
        All = 1,
        /// Of an instrument.
        Instrument = 2,
        /// Of a protection group.
        Group = 3,
        /// One: group, instrument and layer.
        Entry = 4,
    }
);
byte_enum!(
    /// Which limit of a protection group was reached.
    ProtectionLimit {
        /// Lots.
        Quantity = 1,
        /// Fills.
        Fills = 2,
        /// Lots bought less lots sold, or the other way round.
        Net = 3,
        /// Nothing was: the venue's own bound on fills in a window.
        Capacity = 4,
    }
);
byte_enum!(
    /// LastLiquidityInd(851).
    Liquidity {
        /// Maker: the resting side.
        Added = 1,
        /// Taker: the incoming side.
        Removed = 2,
        /// Traded in an auction.
        Auction = 4,
    }
);
byte_enum!(
    /// Which door a session uses.
    SessionProtocol {
        /// FIX 4.4.
        Fix = 1,
        /// Binary (SBE).
        Binary = 2,
    }
);

impl Side {
    /// The other side.
    #[inline(always)]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}

/// Longest grace of a cancel on disconnect, over either door.
pub const CANCEL_GRACE_MS_MAX: u32 = 60_000;

/// ExecInst(18) and its like, as bits; a bit that is not here is refused by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Instructions(pub u8);

impl Instructions {
    /// 18=6: refused if it would trade at once.
    pub const POST_ONLY: Self = Self(1);
    /// 18=H: stays when its session's connection is lost.
    pub const DISCONNECT_EXEMPT: Self = Self(4);
    /// Every bit that has a meaning.
    pub const ALL: Self = Self(Self::POST_ONLY.0 | Self::DISCONNECT_EXEMPT.0);

    /// Whether all of `other` is asked for.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl OrderType {
    /// Whether it waits for a trade before it is in the market.
    #[inline]
    pub const fn is_stop(self) -> bool {
        match self {
            Self::Stop | Self::StopLimit => true,
            Self::Market | Self::Limit | Self::MarketToLimit => false,
        }
    }

    /// Whether the client states its limit.
    #[inline]
    pub const fn has_limit(self) -> bool {
        match self {
            Self::Limit | Self::StopLimit => true,
            Self::Market | Self::Stop | Self::MarketToLimit => false,
        }
    }
}

impl TimeInForce {
    /// Whether what does not trade at once stays.
    #[inline]
    pub const fn rests(self) -> bool {
        match self {
            Self::Day
            | Self::GoodTillCancel
            | Self::GoodTillDate
            | Self::AtTheOpening
            | Self::AtTheClose => true,
            Self::ImmediateOrCancel | Self::FillOrKill => false,
        }
    }
}

impl TradingPhase {
    /// Whether orders are collected without trading.
    #[inline]
    pub const fn is_call(self) -> bool {
        match self {
            Self::PreOpen
            | Self::OpeningAuction
            | Self::VolatilityAuction
            | Self::ClosingAuction => true,
            Self::Continuous | Self::Closed | Self::Halted => false,
        }
    }
}

/// What a session may do beyond its own orders, as bits of its definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Roles(pub u8);

impl Roles {
    /// May cancel for its whole firm, and stop and release its sessions.
    pub const RISK: Self = Self(1);
    /// Every bit that has a meaning.
    pub const ALL: Self = Self(Self::RISK.0);

    /// Whether all of `other` is there.
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl OrderStatus {
    /// Whether the order is done.
    #[inline]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::New | Self::PartiallyFilled => false,
            Self::Filled | Self::Canceled | Self::Rejected | Self::Expired => true,
        }
    }
}
