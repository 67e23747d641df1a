//! The one table of reasons: why something was refused or ended. Both protocols map from it.

use super::order::UnknownValue;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $text:literal, tag $tag:literal, ord $ord:literal, cxl $cxl:literal;)+) => {
        /// Why an order, request or session was refused, or why an order ended.
        ///
        /// Codes are stable and never reused; they are the `reason` of binary messages.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Reason { $($(#[$doc])* $variant = $code,)+ }

        impl Reason {
            /// Every reason, in code order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable code.
            #[inline(always)]
            pub const fn code(self) -> u16 {
                self as u16
            }

            /// Text(58) without the field and value that a protocol adds to it.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// FIX tag of the field at fault, 0 = none.
            pub const fn field_tag(self) -> u16 {
                match self { $(Self::$variant => $tag,)+ }
            }

            /// OrdRejReason(103).
            pub const fn ord_rej_reason(self) -> u16 {
                match self { $(Self::$variant => $ord,)+ }
            }

            /// CxlRejReason(102).
            pub const fn cxl_rej_reason(self) -> u16 {
                match self { $(Self::$variant => $cxl,)+ }
            }
        }

        impl TryFrom<u16> for Reason {
            type Error = UnknownValue;
            fn try_from(code: u16) -> Result<Self, UnknownValue> {
                match code {
                    $($code => Ok(Self::$variant),)+
                    _ => Err(UnknownValue(code.to_le_bytes()[0])),
                }
            }
        }
    };
}

reasons! {
    /// No reason: what was asked for happened.
    None = 0, "", tag 0, ord 0, cxl 0;
    // 1..=19: how orders end.
    /// Canceled by its owner's request.
    CanceledByRequest = 1, "Canceled by request", tag 0, ord 0, cxl 0;
    /// Immediate-or-cancel remainder.
    ImmediateOrCancelRemainder = 2, "Immediate or cancel: remainder canceled", tag 59, ord 0, cxl 0;
    /// Fill-or-kill that could not fill at once.
    FillOrKillUnfilled = 3, "Fill or kill: not enough quantity", tag 59, ord 0, cxl 0;
    /// Market order's remainder beyond the protection price, or with no one left to trade with.
    MarketRemainder = 4, "Market order: remainder beyond protection canceled", tag 40, ord 0, cxl 0;
    /// Day order at the day roll.
    EndOfDay = 5, "End of trading day", tag 59, ord 0, cxl 0;
    /// Replaced to a total at or below what was filled: ended Filled.
    ReplacedToFilled = 6, "Total quantity not above filled quantity", tag 38, ord 0, cxl 0;
    /// Good-till-date order at its time.
    ExpireTimeReached = 7, "Expire time reached", tag 126, ord 0, cxl 0;
    /// IOC order that could not fill its minimum quantity at once.
    MinimumQuantityUnavailable = 8, "Minimum quantity not available", tag 110, ord 0, cxl 0;
    /// Ended or shrunk rather than trade with an order of the same owner.
    SelfTradePrevented = 9, "Self-trade prevented", tag 2362, ord 0, cxl 0;
    /// An order that outlives its day is restated on the new one.
    CarriedOver = 10, "Carried over to the new trading day", tag 59, ord 0, cxl 0;
    /// The stop price was reached.
    StopTriggered = 11, "Stop price reached", tag 99, ord 0, cxl 0;
    /// Canceled by a mass cancel.
    MassCanceled = 12, "Canceled by mass cancel", tag 0, ord 0, cxl 0;
    /// Canceled because its session's connection was lost.
    CanceledOnDisconnect = 13, "Canceled on disconnect", tag 0, ord 0, cxl 0;
    /// Canceled because its session did not renew its `cancel after`.
    CancelAfterElapsed = 14, "Not renewed in time", tag 0, ord 0, cxl 0;
    /// Canceled, and blocked, by a kill switch.
    KilledBySwitch = 15, "Canceled by kill switch", tag 0, ord 0, cxl 0;
    /// A quote whose instrument left continuous trading.
    PhaseEnded = 16, "Canceled at the end of the trading phase", tag 0, ord 0, cxl 0;
    /// At-the-opening or at-the-close order: what its auction left of it.
    AuctionRemainder = 17, "Not executed in its auction", tag 59, ord 0, cxl 0;
    /// Pulled because its protection group reached a limit.
    ProtectionTripped = 18, "Market-maker protection", tag 0, ord 0, cxl 0;
    /// An at-the-close order came into the book.
    AuctionBegun = 19, "Closing auction begun", tag 59, ord 0, cxl 0;
    // 20..=79: refusals of orders and requests by the core.
    /// No such instrument.
    UnknownInstrument = 20, "Unknown symbol", tag 55, ord 1, cxl 99;
    /// The instrument is not trading.
    InstrumentNotTrading = 21, "Instrument not trading", tag 55, ord 2, cxl 99;
    /// ClientOrderId used before by this session on this trading day.
    DuplicateClientOrderId = 22, "Duplicate ClOrdID", tag 11, ord 6, cxl 6;
    /// Not a multiple of the tick (or of the price unit).
    PriceNotOnTick = 23, "Price not on tick", tag 44, ord 99, cxl 99;
    /// Not a multiple of the lot.
    QuantityNotOnLot = 24, "Quantity not on lot", tag 38, ord 13, cxl 99;
    /// Below the instrument's minimum (zero included).
    QuantityBelowMinimum = 25, "Quantity below minimum", tag 38, ord 13, cxl 99;
    /// Above the instrument's maximum.
    QuantityAboveMaximum = 26, "Quantity above maximum", tag 38, ord 13, cxl 99;
    /// Below the instrument's lowest price.
    PriceBelowMinimum = 27, "Price below minimum", tag 44, ord 16, cxl 99;
    /// Above the instrument's highest price.
    PriceAboveMaximum = 28, "Price above maximum", tag 44, ord 16, cxl 99;
    /// A limit order without a price.
    PriceMissing = 29, "Price missing", tag 44, ord 99, cxl 99;
    /// A market order with a price.
    PriceNotAllowed = 30, "Price not allowed on a market order", tag 44, ord 99, cxl 99;
    /// Market order and an empty opposite side.
    NoLiquidity = 31, "No liquidity", tag 40, ord 99, cxl 99;
    /// Side value not supported.
    UnsupportedSide = 32, "Side not supported", tag 54, ord 11, cxl 99;
    /// OrdType value not supported.
    UnsupportedOrderType = 33, "Order type not supported", tag 40, ord 11, cxl 99;
    /// TimeInForce value not supported.
    UnsupportedTimeInForce = 34, "Time in force not supported", tag 59, ord 11, cxl 99;
    /// Market orders do not rest: Day is refused.
    MarketMustBeImmediate = 35, "Market order must be IOC or FOK", tag 59, ord 11, cxl 99;
    /// A field asks for something this venue does not do (yet); the field is named.
    UnsupportedInstruction = 36, "Instruction not supported", tag 0, ord 11, cxl 99;
    /// Account is not one of the firm's, or disabled.
    UnknownAccount = 37, "Unknown account", tag 1, ord 15, cxl 99;
    /// The id names no open order of this session.
    UnknownOrder = 38, "Unknown order", tag 41, ord 5, cxl 1;
    /// The order ended before the request.
    TooLateToCancel = 39, "Too late: order is done", tag 41, ord 4, cxl 0;
    /// A replace may not change this field.
    ReplaceNotAllowed = 40, "Field cannot be replaced", tag 0, ord 99, cxl 99;
    /// OrderId(37) and OrigClOrdID(41) name different orders.
    IdMismatch = 41, "OrderID and OrigClOrdID name different orders", tag 37, ord 99, cxl 1;
    /// ClientOrderId missing, too long or with forbidden characters.
    InvalidClientOrderId = 42, "Invalid ClOrdID", tag 11, ord 99, cxl 99;
    /// A cancel or replace states another symbol or side than its order's.
    TermsMismatch = 43, "Symbol or side is not the order's", tag 54, ord 99, cxl 99;
    /// A post-only order that would trade at once.
    PostOnlyWouldTake = 44, "Post-only order would trade", tag 18, ord 99, cxl 99;
    /// An instruction that contradicts the order's type or time in force.
    InstructionConflict = 45, "Instruction contradicts order type or time in force", tag 18, ord 11, cxl 99;
    /// A stop order without a stop price.
    StopPriceMissing = 46, "Stop price missing", tag 99, ord 99, cxl 99;
    /// A stop price on an order that is no stop.
    StopPriceNotAllowed = 47, "Stop price not allowed on this order type", tag 99, ord 99, cxl 99;
    /// A good-till-date order without a time.
    ExpireTimeMissing = 48, "Expire time missing", tag 126, ord 99, cxl 99;
    /// A time on an order that is not good till date.
    ExpireTimeNotAllowed = 49, "Expire time not allowed with this time in force", tag 126, ord 99, cxl 99;
    /// A time that has passed.
    ExpireTimePast = 50, "Expire time has passed", tag 126, ord 99, cxl 99;
    /// A minimum on an order that is not IOC, or above its quantity.
    MinimumQuantityInvalid = 51, "Minimum quantity needs IOC and at most the quantity", tag 110, ord 99, cxl 99;
    /// A shown quantity above the order's, not on a lot, or on an order that does not rest.
    DisplayQuantityInvalid = 52, "Invalid display quantity", tag 1138, ord 99, cxl 99;
    /// Self-trade prevention value not supported.
    UnsupportedSelfTradePrevention = 53, "Self-trade prevention not supported", tag 2964, ord 11, cxl 99;
    /// A mass cancel whose scope or filter is not known.
    InvalidMassCancel = 54, "Invalid mass cancel request", tag 530, ord 99, cxl 99;
    /// A stop price off the tick or outside the instrument's limits.
    StopPriceInvalid = 55, "Stop price not on tick or outside the limits", tag 99, ord 99, cxl 99;
    /// Not with this type or time in force, or not now.
    NotAllowedInPhase = 56, "Not allowed in this trading phase", tag 336, ord 2, cxl 99;
    /// A kill switch is on.
    TradingBlocked = 57, "Blocked by kill switch", tag 0, ord 0, cxl 99;
    /// It needs a role that the session does not have.
    NotPermitted = 58, "Not permitted to this session", tag 0, ord 99, cxl 99;
    /// Outside the static band, or (an end) the dynamic one.
    PriceOutsideBand = 59, "Price outside the band", tag 44, ord 16, cxl 99;
    /// Resting-order capacity reached.
    OrderCapacity = 60, "Order capacity reached", tag 0, ord 3, cxl 99;
    /// ClientOrderId capacity of the trading day reached.
    ClientOrderIdCapacity = 61, "ClOrdID capacity of the trading day reached", tag 11, ord 3, cxl 99;
    /// Price-ladder page capacity reached.
    PriceLevelCapacity = 62, "Price level capacity reached", tag 44, ord 3, cxl 99;
    /// Order-id space exhausted.
    OrderIdExhausted = 63, "Order id space exhausted", tag 0, ord 3, cxl 99;
    /// An entry whose bid is not below its ask.
    QuoteCrossed = 64, "Bid not below ask", tag 132, ord 99, cxl 99;
    /// An instrument twice in the same layer of one mass quote.
    DuplicateQuoteEntry = 65, "Instrument twice in one layer", tag 55, ord 99, cxl 99;
    /// Quote capacity reached.
    QuoteCapacity = 66, "Quote capacity reached", tag 0, ord 3, cxl 99;
    /// The protection group is frozen.
    ProtectionFrozen = 67, "Frozen by market-maker protection", tag 0, ord 99, cxl 99;
    /// Protection settings outside what is allowed.
    ProtectionInvalid = 68, "Invalid protection settings", tag 0, ord 99, cxl 99;
    /// Protection-group capacity reached.
    ProtectionCapacity = 69, "Protection group capacity reached", tag 0, ord 3, cxl 99;
    /// The next trade would have been outside the dynamic band.
    VolatilityInterruption = 70, "Would trade outside the dynamic band", tag 44, ord 16, cxl 99;
    /// No such trade.
    UnknownTrade = 71, "Unknown trade", tag 0, ord 99, cxl 99;
    /// The trade is busted already.
    TradeAlreadyBusted = 72, "Trade is busted", tag 0, ord 99, cxl 99;
    /// A quote cancel whose scope is not known.
    InvalidQuoteCancel = 73, "Invalid quote cancel", tag 298, ord 99, cxl 99;
    /// As many trades of the day were amended as the venue remembers.
    AmendmentCapacity = 74, "Amended trade capacity of the trading day reached", tag 0, ord 3, cxl 99;
    /// An order of the trade has ended, and is not stated as it ended.
    OrderEnded = 75, "Order has ended otherwise than stated", tag 0, ord 99, cxl 99;
    /// Canceled because its session logged out: an end, as those up to 19.
    CanceledOnLogout = 76, "Canceled on logout", tag 0, ord 0, cxl 0;
    // 80..=99: reference data commands.
    /// Id or name already defined differently, or out of range.
    InvalidDefinition = 80, "Invalid definition", tag 0, ord 99, cxl 99;
    /// Instrument, firm or session capacity reached.
    DefinitionCapacity = 81, "Definition capacity reached", tag 0, ord 99, cxl 99;
    // 100..=139: sessions, as the core sees them.
    /// The command's generation is not the session's newest.
    StaleGeneration = 100, "Superseded connection", tag 0, ord 99, cxl 99;
    /// No such session.
    UnknownSession = 101, "Unknown session", tag 49, ord 99, cxl 99;
    /// Inbound number not the expected one.
    InboundSequenceMismatch = 102, "MsgSeqNum not as expected", tag 34, ord 99, cxl 99;
    /// A number of this session was used before.
    DuplicateSequence = 103, "Duplicate sequence number", tag 34, ord 99, cxl 99;
    /// Logon number lower than expected.
    LogonSequenceTooLow = 104, "MsgSeqNum too low", tag 34, ord 99, cxl 99;
    /// Logon names another epoch than the session's.
    EpochMismatch = 105, "Epoch mismatch", tag 0, ord 99, cxl 99;
    /// Replay asked from before what is kept.
    SequenceNotAvailable = 106, "Sequence not available", tag 0, ord 99, cxl 99;
    /// Replay asked from beyond what exists.
    SequenceTooHigh = 107, "Sequence too high", tag 0, ord 99, cxl 99;
    // 140..=199: the gateway's own.
    /// Credentials refused (one reason for unknown and wrong).
    NotAuthorized = 140, "Logon refused", tag 0, ord 99, cxl 99;
    /// Malformed frame or message.
    ProtocolError = 141, "Protocol error", tag 0, ord 99, cxl 99;
    /// Message type this venue does not take.
    UnsupportedMessage = 142, "Unsupported message type", tag 35, ord 99, cxl 99;
    /// A field's value is out of its enum or range.
    InvalidField = 143, "Invalid field value", tag 0, ord 99, cxl 99;
    /// Business message before the session is active.
    NotActive = 144, "Session not active", tag 0, ord 99, cxl 99;
    /// Cancel on disconnect of an unknown type, or with a grace beyond the limit.
    CancelOnDisconnectUnsupported = 145, "Cancel on disconnect not supported", tag 0, ord 99, cxl 99;
    /// The client does not read fast enough.
    SlowConsumer = 146, "Slow consumer", tag 0, ord 99, cxl 99;
    /// A newer logon of the same session took over.
    Superseded = 147, "Superseded by a newer logon", tag 0, ord 99, cxl 99;
    /// The venue is shutting down or moving the session.
    GoingAway = 148, "Venue is going away", tag 0, ord 99, cxl 99;
    /// The log cannot commit now.
    LogUnavailable = 149, "Log unavailable", tag 0, ord 99, cxl 99;
    /// No logon in time.
    LogonTimeout = 150, "No logon in time", tag 0, ord 99, cxl 99;
    /// Nothing received for too long.
    HeartbeatTimeout = 151, "Heartbeat timeout", tag 0, ord 99, cxl 99;
    /// The client asked for it.
    LogoutRequested = 152, "Logout", tag 0, ord 99, cxl 99;
    /// Client's protocol version outside what the venue speaks.
    UnsupportedVersion = 153, "Unsupported protocol version", tag 0, ord 99, cxl 99;
    /// Too many connections or attempts.
    TooManyConnections = 154, "Too many connections", tag 0, ord 99, cxl 99;
    /// The venue's people ended the connection.
    DisconnectedByVenue = 155, "Disconnected by the venue", tag 0, ord 99, cxl 99;
    // 200..=219: refusals by pre-trade risk limits.
    /// More lots than an order may have.
    LimitQuantity = 200, "Quantity above risk limit", tag 38, ord 3, cxl 99;
    /// More notional than an order may have.
    LimitNotional = 201, "Notional above risk limit", tag 38, ord 3, cxl 99;
    /// Too far from the last trade.
    LimitCollar = 202, "Price outside risk collar", tag 44, ord 16, cxl 99;
    /// Too many open orders.
    LimitOpenOrders = 203, "Too many open orders", tag 0, ord 3, cxl 99;
    /// The position would be too large if all open orders of the side traded.
    LimitPosition = 204, "Position limit", tag 38, ord 3, cxl 99;
    /// What was bought, sold and is open is too much.
    LimitGross = 205, "Gross exposure limit", tag 38, ord 3, cxl 99;
    /// What was bought less what was sold, or the other way round, would be too much.
    LimitNet = 206, "Net exposure limit", tag 38, ord 3, cxl 99;
    /// The same order came too often.
    LimitDuplicates = 207, "Same order too often", tag 38, ord 6, cxl 99;
    /// Stopped after too many executions, until the risk role says otherwise.
    LimitExecutions = 208, "Stopped after repeated executions", tag 0, ord 0, cxl 99;
    /// Too many messages.
    LimitMessages = 209, "Message rate exceeded", tag 0, ord 3, cxl 99;
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.text())
    }
}
