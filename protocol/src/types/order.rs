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
        /// Immediate or cancel: what does not trade at once is canceled.
        ImmediateOrCancel = 3,
        /// Fill or kill: all at once or nothing.
        FillOrKill = 4,
        /// Good till date: until ExpireTime(126).
        GoodTillDate = 6,
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
        /// The firm's, over all its sessions.
        Firm = 2,
    }
);
byte_enum!(
    /// LastLiquidityInd(851).
    Liquidity {
        /// Maker: the resting side.
        Added = 1,
        /// Taker: the incoming side.
        Removed = 2,
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
    /// Stays when its session's connection is lost.
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
            Self::Day | Self::GoodTillCancel | Self::GoodTillDate => true,
            Self::ImmediateOrCancel | Self::FillOrKill => false,
        }
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
