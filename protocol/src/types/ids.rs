//! Identifier, count and price newtypes. `Debug` shows the kind, arithmetic is by name only.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            FromBytes, IntoBytes, KnownLayout, Immutable,
        )]
        #[repr(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The plain number.
            #[inline(always)]
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

newtype!(
    /// A tradable thing; 0 = none or unknown.
    InstrumentId(u32)
);
newtype!(
    /// A participant (member firm); 0 = none.
    FirmId(u32)
);
newtype!(
    /// A book of positions of a firm, Account(1); 0 = the session's default account.
    AccountId(u32)
);
newtype!(
    /// An order-entry identity that outlives its sockets; 0 = none.
    SessionId(u32)
);
newtype!(
    /// Fences connections of one session: each accepted logon raises it by one, and commands
    /// that carry an older generation are refused. 0 = never logged on.
    Generation(u32)
);
newtype!(
    /// Numbering run of a session: raised whenever its numbers restart at 1 (FIX
    /// ResetSeqNumFlag(141)=Y, day roll). First run = 1.
    Epoch(u32)
);
newtype!(
    /// Position of a command in the segment's log, from 1, contiguous; 0 = before the first.
    Sequence(u64)
);
newtype!(
    /// Per-session outbound number: MsgSeqNum(34) in FIX, `seqNum` in binary; from 1, contiguous
    /// within an [`Epoch`]; 0 = unnumbered.
    SessionSequence(u64)
);
newtype!(
    /// The venue's order id, OrderId(37): entry number << 24 | slot.
    OrderId(u64)
);
newtype!(
    /// One match; both fills of it carry the same id (TrdMatchID(880)).
    TradeId(u64)
);
newtype!(
    /// ExecID(17): one execution report, unique over the life of the log.
    ExecId(u64)
);
newtype!(
    /// Count of the instrument's price unit (signed).
    Price(i64)
);
newtype!(
    /// Count of the instrument's lots.
    Quantity(u64)
);
