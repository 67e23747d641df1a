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
    /// OrdType(40). Stop orders and the rest are refused by name until they exist.
    OrderType {
        /// Market, with protection: a limit at the best opposite price +/- `protection_ticks`.
        Market = 1,
        /// Limit.
        Limit = 2,
    }
);
byte_enum!(
    /// TimeInForce(59).
    TimeInForce {
        /// Until the day roll.
        Day = 0,
        /// Immediate or cancel: what does not trade at once is canceled.
        ImmediateOrCancel = 3,
        /// Fill or kill: all at once or nothing.
        FillOrKill = 4,
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
        /// Trade(F).
        Trade = 15,
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
