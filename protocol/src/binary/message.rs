//! Message blocks as they lie on the wire: little-endian, naturally aligned, multiples of 8.
//!
//! Prices and quantities are `int64` with eight decimals; a price of [`super::NULL_PRICE`] is none.
//! Ids and optional times are 0 when absent. Enum bytes are the FIX digits where FIX has one.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// A message block.
pub trait Message: FromBytes + IntoBytes + Immutable + KnownLayout {
    /// SBE template id.
    const TEMPLATE: u16;
    /// Name in the schema.
    const NAME: &'static str;
    /// Bytes its block had at first: what was appended since is 0 where it is missing.
    const LENGTH_FIRST: usize;
}

const fn first_length(now: usize, first: &[usize]) -> usize {
    if first.is_empty() { now } else { first[0] }
}

/// Messages whose block is followed by one repeating group.
pub trait Grouped: Message {
    /// An entry of the group.
    type Entry: FromBytes + IntoBytes + Immutable + KnownLayout + Copy;
    /// Name of the group in the schema.
    const GROUP: &'static str;
    /// Most entries a message has.
    const ENTRIES_MAX: usize;
}

macro_rules! block {
    ($(#[$doc:meta])* $name:ident, $size:literal {
        $($(#[$fdoc:meta])* $field:ident: $type:ty,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
        #[repr(C)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type,)+ }

        impl Default for $name {
            fn default() -> Self {
                Self::new_zeroed()
            }
        }

        const _: () = assert!(size_of::<$name>() == $size && $size % 8 == 0);
    };
}

/// Name, offset and size of a field.
pub type FieldPlace = (&'static str, usize, usize);

macro_rules! places {
    ($name:ident { $($field:ident: $type:ty,)+ }) => {
        &[$((
            stringify!($field),
            core::mem::offset_of!($name, $field),
            {
                const fn size<T>(_: *const T) -> usize { size_of::<T>() }
                let none: *const $type = core::ptr::null();
                size(none)
            },
        ),)+]
    };
}

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident = $template:literal, $size:literal $(first $first:literal)? {
        $($(#[$fdoc:meta])* $field:ident: $type:ty,)+
    })+) => {
        $(
            block!($(#[$doc])* $name, $size { $($(#[$fdoc])* $field: $type,)+ });

            impl Message for $name {
                const TEMPLATE: u16 = $template;
                const NAME: &'static str = stringify!($name);
                const LENGTH_FIRST: usize = first_length($size, &[$($first)?]);
            }
        )+

        /// Name, template id and block length of every message.
        pub const ALL: &[(&str, u16, usize)] = &[$((stringify!($name), $template, $size),)+];

        /// Fields of every block, by message.
        pub const FIELDS: &[(&str, &[FieldPlace])] =
            &[$((stringify!($name), places!($name { $($field: $type,)+ })),)+];
    };
}

macro_rules! groups {
    ($($(#[$doc:meta])* $message:ident $group:literal of $name:ident, $size:literal at most $max:literal {
        $($(#[$fdoc:meta])* $field:ident: $type:ty,)+
    })+) => {
        $(
            block!($(#[$doc])* $name, $size { $($(#[$fdoc])* $field: $type,)+ });

            impl Grouped for $message {
                type Entry = $name;
                const GROUP: &'static str = $group;
                const ENTRIES_MAX: usize = $max;
            }

            const _: () = assert!(
                super::frame::HEADER + size_of::<$message>() + size_of::<GroupHeader>()
                    + $max * $size <= super::FRAME_LENGTH_MAX
            );
        )+

        /// Message, name, entry length and fields of every group.
        pub const GROUPS: &[(&str, &str, usize, &[FieldPlace])] = &[$((
            stringify!($message),
            $group,
            $size,
            places!($name { $($field: $type,)+ }),
        ),)+];
    };
}

block!(
    /// What precedes the entries of a group: SBE's group dimension.
    GroupHeader, 8 {
        /// Bytes of an entry.
        block_length: u16,
        /// Entries.
        num_in_group: u16,
        /// Groups of an entry: 0.
        num_groups: u16,
        /// Variable-length fields of an entry: 0.
        num_var_data_fields: u16,
    }
);

messages! {
    /// First frame of a connection: the challenge.
    ServerHello = 1, 48 {
        /// To be signed.
        nonce: [u8; 32],
        /// UTC ns.
        server_time: u64,
        /// Which gateway.
        gateway_id: u32,
        /// Longest frame the server takes.
        max_frame: u16,
        /// Oldest version served.
        min_version: u8,
        /// Newest version spoken.
        max_version: u8,
    }
    /// The client's answer to the challenge.
    Logon = 2, 112 {
        /// Names the key, zero-padded.
        key_id: [u8; 16],
        /// Ed25519 (64 bytes) or HMAC-SHA256 (32 bytes, rest 0).
        signature: [u8; 64],
        /// Numbering run the client believes in, 0 = current.
        session_epoch: u64,
        /// Replay from this number; 0 = live only.
        from_seq: u64,
        /// The session.
        session_id: u32,
        /// Heartbeat interval wanted, 100..=60000.
        heartbeat_ms: u32,
        /// Cancel on disconnect: grace.
        cod_grace_ms: u32,
        /// Cancel on disconnect: 0 none, 1 when the connection is lost, 2 at a logout, 3 at both.
        cod_type: u8,
        /// 1 = HMAC-SHA256, 2 = Ed25519.
        auth_type: u8,
        /// Bits: 1 TradingStatus is wanted.
        flags: u16,
    }
    /// The session is the client's.
    LogonAccepted = 3, 64 {
        /// Current numbering run.
        session_epoch: u64,
        /// Next outbound number: replay ends before it.
        next_seq: u64,
        /// Oldest number that can be replayed.
        first_available_seq: u64,
        /// Highest client number ever accepted.
        last_client_seq: u64,
        /// UTC ns.
        server_time: u64,
        /// Heartbeat interval in force.
        heartbeat_ms: u32,
        /// Messages a second that the firm may send on, rounded down, if `msg_burst` is not 0; it may change at any
        /// time.
        msg_rate: u32,
        /// Messages (new orders, replaces, mass quotes, status requests) that the firm may send at once, 0 = no limit.
        msg_burst: u32,
        /// 0: a mass quote is a message.
        quote_rate: u32,
        /// Cancel on disconnect: grace in force.
        cod_grace_ms: u32,
        /// Cancel on disconnect in force.
        cod_type: u8,
        /// Reserved, 0.
        reserved: [u8; 3],
    }
    /// The session is not the client's; the connection closes.
    LogonRejected = 4, 32 {
        /// Current numbering run (0 unless the credentials were right).
        current_epoch: u64,
        /// Oldest number that can be replayed (0 likewise).
        first_available_seq: u64,
        /// Next outbound number (0 likewise).
        next_seq: u64,
        /// Reason code.
        reason: u16,
        /// Reserved, 0.
        reserved: u16,
        /// Try again after so long, 0 = no advice.
        retry_after_ms: u32,
    }
    /// Replay is done; what follows is live. Orders are taken from here on.
    ReplayComplete = 5, 16 {
        /// Next outbound number.
        next_seq: u64,
        /// Highest client number ever accepted.
        last_client_seq: u64,
    }
    /// Nothing else was sent for a heartbeat interval, or a TestRequest is answered.
    Heartbeat = 6, 32 {
        /// Sender's next number.
        next_seq: u64,
        /// Last number the sender has from its peer.
        ack_seq: u64,
        /// UTC ns, 0 = not stated.
        send_time: u64,
        /// Echo of a TestRequest, 0 = none.
        test_id: u64,
    }
    /// Asks for a Heartbeat.
    TestRequest = 7, 8 {
        /// Echoed; not 0.
        test_id: u64,
    }
    /// The sender closes the connection.
    Logout = 8, 32 {
        /// Reason code.
        reason: u16,
        /// Reserved, 0.
        reserved: u16,
        /// Come back after so long, 0 = no advice.
        retry_after_ms: u32,
        /// For people, zero-padded.
        text: [u8; 24],
    }
    /// A message that never reached the core.
    Reject = 9, 32 {
        /// Client number of the message.
        ref_seq: u64,
        /// Its clOrdId, 0 = none.
        ref_cl_ord_id: u64,
        /// Its template.
        ref_template_id: u16,
        /// Reason code.
        reason: u16,
        /// SBE field id (FIX tag) at fault, 0 = none.
        ref_field_id: u16,
        /// Reserved, 0.
        reserved: u16,
        /// Try again after so long, 0 = no advice.
        retry_after_us: u32,
        /// Reserved, 0.
        reserved2: u32,
    }
    /// Enters an order.
    NewOrder = 100, 72 first 64 {
        /// Client order id, not 0.
        cl_ord_id: u64,
        /// Limit price, null for orders without one.
        price: i64,
        /// Quantity.
        qty: i64,
        /// Trigger price of a stop; null or 0 otherwise.
        stop_price: i64,
        /// Shown at a time, 0 = all.
        display_qty: i64,
        /// Expiry of a good-till-date order, UTC ns; 0 otherwise.
        expire_time: u64,
        /// Instrument.
        instrument_id: u32,
        /// Account, 0 = default.
        account_id: u32,
        /// Bits: 1 post-only, 4 exempt from cancel on disconnect; others are refused.
        exec_inst: u16,
        /// Market-maker protection group, 0 = none.
        mmp_group: u16,
        /// 1 buy, 2 sell.
        side: u8,
        /// 1 market, 2 limit, 3 stop, 4 stop limit, 20 market to limit.
        ord_type: u8,
        /// 0 Day, 1 GTC, 2 at the opening, 3 IOC, 4 FOK, 6 GTD, 7 at the close.
        tif: u8,
        /// Self-trade prevention: 1 cancel newest, 2 oldest, 3 both, 4 decrement; + 16 for the
        /// whole firm instead of the account; 0 none.
        stp_mode: u8,
        /// Least quantity to trade at once (IOC), 0 = any.
        min_qty: i64,
    }
    /// Replaces an order. `qty` is the new total.
    ReplaceOrder = 101, 72 first 56 {
        /// New client order id, not 0.
        cl_ord_id: u64,
        /// The venue's id, 0 = by `orig_cl_ord_id`.
        order_id: u64,
        /// The order's newest client order id, 0 = by `order_id`.
        orig_cl_ord_id: u64,
        /// New limit price; null for a stop that waits and has none.
        price: i64,
        /// New total quantity.
        qty: i64,
        /// New quantity shown at a time, 0 = as it is.
        display_qty: i64,
        /// Instrument of the order.
        instrument_id: u32,
        /// Reserved, 0.
        reserved: u32,
        /// New trigger price, null or 0 = as it is.
        stop_price: i64,
        /// New expiry, 0 = as it is.
        expire_time: u64,
    }
    /// Cancels what is open of an order.
    CancelOrder = 102, 32 {
        /// Id of this request, not 0.
        cl_ord_id: u64,
        /// The venue's id, 0 = by `orig_cl_ord_id`.
        order_id: u64,
        /// The order's newest client order id, 0 = by `order_id`.
        orig_cl_ord_id: u64,
        /// Instrument of the order, 0 = not stated.
        instrument_id: u32,
        /// Reserved, 0.
        reserved: u32,
    }
    /// Cancels many orders and quotes.
    MassCancel = 103, 32 {
        /// Id of this request, not 0.
        cl_ord_id: u64,
        /// Only of this instrument, 0 = any.
        instrument_id: u32,
        /// Only of instruments of this group, 0 = any.
        product_id: u32,
        /// Only of this account, with flag 16.
        account_id: u32,
        /// Only of this protection group, 0 = any.
        mmp_group: u16,
        /// Whose: 1 the session's, 2 its firm's (risk role), 3 its user's.
        scope: u8,
        /// Only of this side, 0 = both.
        side: u8,
        /// Bits: 4 quotes only, 8 orders only, 16 by account; others are refused.
        flags: u8,
        /// Reserved, 0.
        reserved: [u8; 7],
    }
    /// Asks what an order is, or, without an id of one, what all open ones of the session are.
    OrderStatusRequest = 104, 32 {
        /// Id of this request, not 0.
        cl_ord_id: u64,
        /// The venue's id, 0 = by `orig_cl_ord_id`.
        order_id: u64,
        /// The order's newest client order id, 0 = by `order_id`; both 0 = all open ones.
        orig_cl_ord_id: u64,
        /// Instrument of the order; of all: only of this one. 0 = any.
        instrument_id: u32,
        /// Side likewise, 0 = any.
        side: u8,
        /// Reserved, 0.
        reserved: [u8; 3],
    }
    /// Cancels the session's orders after a time, unless it is sent again before.
    CancelAfter = 105, 8 {
        /// From now, 0 = not any more.
        after_ms: u32,
        /// Reserved, 0.
        reserved: u32,
    }
    /// Quotes many instruments at once; the entries follow.
    MassQuote = 110, 24 {
        /// The client's name for it, not 0; its quotes' reports have it as `clOrdId`.
        quote_id: u64,
        /// Account, 0 = default.
        account_id: u32,
        /// Market-maker protection group, 0 = none.
        mmp_group: u16,
        /// Bits: 1 answer every side, 2 post-only, 4 all or none (not there: refused).
        flags: u16,
        /// Self-trade prevention, as of an order.
        stp_mode: u8,
        /// Reserved, 0.
        reserved: [u8; 7],
    }
    /// Lets a frozen protection group trade again.
    ProtectionReset = 111, 16 {
        /// Id of this request, not 0.
        cl_ord_id: u64,
        /// Group.
        mmp_group: u16,
        /// Reserved, 0.
        reserved: [u8; 6],
    }
    /// Sets what protects a group of the firm's quotes and orders. A limit of 0 does not limit.
    ProtectionConfig = 112, 40 {
        /// Id of this request, not 0.
        cl_ord_id: u64,
        /// Lots that may trade in a window; lots, because a group may have many instruments.
        qty_limit: u64,
        /// Lots bought less lots sold in a window, or the other way round.
        net_limit: u64,
        /// Fills in a window.
        fill_limit: u32,
        /// Length of the window; 0 takes the protection away.
        window_ms: u32,
        /// How long the group stays frozen, 0 = until it is reset.
        freeze_ms: u32,
        /// Group.
        mmp_group: u16,
        /// Reserved, 0.
        reserved: u16,
    }
    /// Cancels quotes.
    QuoteCancel = 113, 24 {
        /// Id of this request, not 0.
        quote_id: u64,
        /// With scope 2 and 4.
        instrument_id: u32,
        /// With scope 3 and 4.
        mmp_group: u16,
        /// With scope 4.
        layer: u16,
        /// 1 all of the session, 2 of an instrument, 3 of a group, 4 one.
        scope: u8,
        /// Reserved, 0.
        reserved: [u8; 7],
    }
    /// Cancels all in its scope and blocks it, or releases the block.
    KillSwitch = 115, 16 {
        /// Id of this request, not 0.
        cl_ord_id: u64,
        /// Session, firm, user or instrument; 0 for the venue.
        target: u32,
        /// 1 session, 2 firm, 3 user, 4 instrument, 5 venue.
        scope: u8,
        /// 1 = release.
        release: u8,
        /// Reserved, 0.
        reserved: u16,
    }
    /// The order is in.
    OrderAccepted = 200, 72 {
        /// Client number of the request.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// UTC ns at the gateway.
        recv_time: u64,
        /// The client's id.
        cl_ord_id: u64,
        /// The venue's id.
        order_id: u64,
        /// Limit, or the protection price of a market order.
        price: i64,
        /// Open quantity.
        leaves_qty: i64,
        /// Instrument.
        instrument_id: u32,
        /// Account.
        account_id: u32,
        /// Side.
        side: u8,
        /// OrdStatus.
        status: u8,
        /// Reserved, 0.
        reserved: [u8; 6],
    }
    /// The order was replaced.
    OrderReplaced = 201, 80 {
        /// Client number of the request.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// UTC ns at the gateway.
        recv_time: u64,
        /// The new client id.
        cl_ord_id: u64,
        /// The id it replaced.
        orig_cl_ord_id: u64,
        /// The venue's id, unchanged.
        order_id: u64,
        /// Limit.
        price: i64,
        /// Open quantity.
        leaves_qty: i64,
        /// Filled quantity.
        cum_qty: i64,
        /// Instrument.
        instrument_id: u32,
        /// OrdStatus; Filled when the new total was not above what was filled.
        status: u8,
        /// 1 = the order kept its place in the queue.
        priority_kept: u8,
        /// Reserved, 0.
        reserved: u16,
    }
    /// The order ended unfilled.
    OrderCanceled = 202, 56 {
        /// Client number of the request, 0 = unsolicited.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// Id of the cancel request, or the order's id when unsolicited.
        cl_ord_id: u64,
        /// The order's newest client id.
        orig_cl_ord_id: u64,
        /// The venue's id.
        order_id: u64,
        /// Filled quantity.
        cum_qty: i64,
        /// Instrument.
        instrument_id: u32,
        /// Reason code.
        reason: u16,
        /// OrdStatus: 4 canceled, 12 expired.
        status: u8,
        /// Reserved, 0.
        reserved: u8,
    }
    /// The order never existed.
    OrderRejected = 203, 32 {
        /// Client number of the request.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// The client's id.
        cl_ord_id: u64,
        /// Instrument as sent.
        instrument_id: u32,
        /// Reason code.
        reason: u16,
        /// SBE field id (FIX tag) at fault, 0 = none.
        ref_field_id: u16,
    }
    /// A cancel, a replace or a question was refused; the order is untouched.
    CancelRejected = 204, 48 {
        /// Client number of the request.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// Id of the request.
        cl_ord_id: u64,
        /// The order, 0 = unknown.
        order_id: u64,
        /// As sent.
        orig_cl_ord_id: u64,
        /// Reason code.
        reason: u16,
        /// 101, 102, or 104: an order that was asked about and is not open.
        ref_template_id: u16,
        /// SBE field id (FIX tag) at fault, 0 = none.
        ref_field_id: u16,
        /// OrdStatus of the order; 8 when unknown, 5 when the id was replaced: the order answers to its newest.
        status: u8,
        /// Reserved, 0.
        reserved: u8,
    }
    /// One fill of an order or quote.
    Fill = 205, 96 {
        /// Client number of the order when this is its taker, 0 = it rested.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// The order's newest client id, the quote's quote id.
        cl_ord_id: u64,
        /// The venue's id.
        order_id: u64,
        /// Unique for each report.
        exec_id: u64,
        /// The same for both fills of a trade.
        trade_id: u64,
        /// Price of this fill.
        last_price: i64,
        /// Quantity of this fill.
        last_qty: i64,
        /// Open quantity.
        leaves_qty: i64,
        /// Filled quantity.
        cum_qty: i64,
        /// Instrument.
        instrument_id: u32,
        /// Account.
        account_id: u32,
        /// Market-maker protection group, 0 = none.
        mmp_group: u16,
        /// Side.
        side: u8,
        /// 1 maker, 2 taker, 4 auction.
        liquidity: u8,
        /// OrdStatus.
        status: u8,
        /// Reserved, 0.
        reserved: u8,
        /// Of a quote: its layer + 1; 0 = an order.
        quote_layer: u16,
    }
    /// A mass cancel is done; its orders' reports came before.
    MassCancelDone = 206, 56 first 32 {
        /// Client number of the request.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// Id of the request.
        cl_ord_id: u64,
        /// Orders and quotes canceled.
        canceled_count: u32,
        /// Reason code, 0 = done.
        reason: u16,
        /// SBE field id (FIX tag) at fault, 0 = none.
        ref_field_id: u16,
        /// As asked for.
        instrument_id: u32,
        /// As asked for.
        product_id: u32,
        /// As asked for.
        account_id: u32,
        /// As asked for.
        mmp_group: u16,
        /// As asked for.
        scope: u8,
        /// As asked for.
        side: u8,
        /// As asked for.
        flags: u8,
        /// Reserved, 0.
        reserved: [u8; 7],
    }
    /// What an order or quote is, for who asked.
    OrderStatus = 207, 136 {
        /// Client number of the request.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// Id of the request.
        request_id: u64,
        /// The order's newest client id, the quote's quote id; 0 = there is none.
        cl_ord_id: u64,
        /// The venue's id, 0 = there is no order.
        order_id: u64,
        /// Limit, null for a stop that waits and has none.
        price: i64,
        /// Total quantity.
        qty: i64,
        /// Open quantity.
        leaves_qty: i64,
        /// Filled quantity.
        cum_qty: i64,
        /// Trigger price of a stop, null = none.
        stop_price: i64,
        /// Shown at a time, 0 = all.
        display_qty: i64,
        /// Shown now.
        shown_qty: i64,
        /// Expiry, 0 = none.
        expire_time: u64,
        /// Instrument.
        instrument_id: u32,
        /// Account.
        account_id: u32,
        /// How many reports answer the request; 0 = there is no order.
        total: u32,
        /// Market-maker protection group, 0 = none.
        mmp_group: u16,
        /// Instructions, as of a new order.
        exec_inst: u16,
        /// Side.
        side: u8,
        /// OrdType.
        ord_type: u8,
        /// TimeInForce.
        tif: u8,
        /// OrdStatus.
        status: u8,
        /// Self-trade prevention.
        stp_mode: u8,
        /// 1 = the last report.
        is_last: u8,
        /// 1 = a quote.
        is_quote: u8,
        /// 1 = a stop that waits, 2 = an at-the-close order that waits.
        waits: u8,
        /// Reason code, 0 = none.
        reason: u16,
        /// Of a quote: its layer + 1; 0 = an order.
        quote_layer: u16,
        /// Reserved, 0.
        reserved: u32,
    }
    /// The venue busted or corrected a trade: one side of it.
    TradeAmended = 208, 112 {
        /// UTC ns of the log.
        transact_time: u64,
        /// The order's newest client id, the quote's quote id.
        cl_ord_id: u64,
        /// The venue's id.
        order_id: u64,
        /// Unique for each report.
        exec_id: u64,
        /// `execId` of the fill, or of the correction before.
        ref_exec_id: u64,
        /// `tradeId` of the fill.
        trade_id: u64,
        /// What it stood at.
        last_price: i64,
        /// What it traded.
        last_qty: i64,
        /// Corrected price, null = busted.
        new_price: i64,
        /// Total quantity.
        qty: i64,
        /// Open quantity.
        leaves_qty: i64,
        /// Filled quantity.
        cum_qty: i64,
        /// Instrument.
        instrument_id: u32,
        /// Account.
        account_id: u32,
        /// Market-maker protection group, 0 = none.
        mmp_group: u16,
        /// Side.
        side: u8,
        /// Of the fill.
        liquidity: u8,
        /// OrdStatus.
        status: u8,
        /// 1 = a quote.
        is_quote: u8,
        /// Reserved, 0.
        reserved: u16,
    }
    /// The venue changed the order or says again what it is: `reason` says why (stop price reached,
    /// shrunk by self-trade prevention, carried over to a new day).
    OrderRestated = 209, 72 {
        /// Client number of the request that caused it, 0 = unsolicited.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// The order's newest client id, the quote's quote id.
        cl_ord_id: u64,
        /// The venue's id.
        order_id: u64,
        /// Limit, or a triggered stop's protection price.
        price: i64,
        /// Open quantity.
        leaves_qty: i64,
        /// Filled quantity.
        cum_qty: i64,
        /// Instrument.
        instrument_id: u32,
        /// Reason code.
        reason: u16,
        /// OrdStatus.
        status: u8,
        /// Side.
        side: u8,
        /// Of a quote: its layer + 1; 0 = an order.
        quote_layer: u16,
        /// Reserved, 0.
        reserved: [u8; 6],
    }
    /// What became of a mass quote; results follow. Its quotes' own reports come after it.
    MassQuoteAck = 210, 48 {
        /// Client number of the request.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// UTC ns at the gateway.
        recv_time: u64,
        /// As sent.
        quote_id: u64,
        /// Sides that were stated and not refused.
        accepted_sides: u16,
        /// Sides that were refused.
        rejected_sides: u16,
        /// As sent.
        mmp_group: u16,
        /// Reason code: why all of it was refused; 0 = the results say it.
        reason: u16,
        /// SBE field id (FIX tag) at fault, 0 = none.
        ref_field_id: u16,
        /// Reserved, 0.
        reserved: [u8; 6],
    }
    /// A quote ended, and no MassQuoteAck says so: one side.
    QuoteCanceled = 211, 64 {
        /// Client number of the request, 0 = unsolicited.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// The quote id it was last named by.
        quote_id: u64,
        /// The venue's id.
        order_id: u64,
        /// Filled quantity.
        cum_qty: i64,
        /// Quantity taken off.
        canceled_qty: i64,
        /// Instrument.
        instrument_id: u32,
        /// Reason code.
        reason: u16,
        /// Market-maker protection group, 0 = none.
        mmp_group: u16,
        /// Its layer + 1.
        quote_layer: u16,
        /// Side.
        side: u8,
        /// OrdStatus: 4 canceled, 12 expired.
        status: u8,
        /// Reserved, 0.
        reserved: u32,
    }
    /// A limit of a protection group was reached: its quotes and orders are about to end.
    ProtectionTripped = 212, 56 {
        /// Client number of the request that traded, 0 = another session's.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// Frozen until then, UTC ns; 2^64 - 1 = until it is reset.
        frozen_until: u64,
        /// Lots in the window.
        window_qty: u64,
        /// Lots bought less lots sold in the window.
        window_net: i64,
        /// The order or quote that was filled.
        order_id: u64,
        /// Fills in the window.
        window_fills: u32,
        /// Group.
        mmp_group: u16,
        /// Limit that was reached: 1 lots, 2 fills, 3 net, 4 the venue's own on fills.
        limit: u8,
        /// Reserved, 0.
        reserved: u8,
    }
    /// What protects a group now: the answer to ProtectionConfig and ProtectionReset.
    ProtectionStatus = 213, 80 {
        /// Client number of the request.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// Id of the request.
        cl_ord_id: u64,
        /// As configured, lots.
        qty_limit: u64,
        /// As configured, lots.
        net_limit: u64,
        /// Frozen until then, UTC ns; 0 = it is not, 2^64 - 1 = until it is reset.
        frozen_until: u64,
        /// Lots in the window.
        window_qty: u64,
        /// As configured.
        fill_limit: u32,
        /// As configured.
        window_ms: u32,
        /// As configured.
        freeze_ms: u32,
        /// Fills in the window.
        window_fills: u32,
        /// Group.
        mmp_group: u16,
        /// Reason code, 0 = done.
        reason: u16,
        /// SBE field id (FIX tag) at fault, 0 = none.
        ref_field_id: u16,
        /// Reserved, 0.
        reserved: u16,
    }
    /// CancelAfter is in force.
    CancelAfterSet = 214, 24 {
        /// Client number of the request.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// When the session's orders will be canceled, UTC ns; 0 = never.
        cancel_at: u64,
    }
    /// A kill switch is set or released; the reports of what it canceled came before.
    KillSwitchDone = 216, 40 {
        /// Client number of the request.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// Id of the request.
        cl_ord_id: u64,
        /// Orders and quotes canceled.
        canceled_count: u32,
        /// As asked for.
        target: u32,
        /// As asked for.
        scope: u8,
        /// As asked for.
        release: u8,
        /// Reason code, 0 = done.
        reason: u16,
        /// SBE field id (FIX tag) at fault, 0 = none.
        ref_field_id: u16,
        /// Reserved, 0.
        reserved: u16,
    }
    /// A quote cancel is done; its quotes' reports came before.
    QuoteCancelDone = 217, 48 {
        /// Client number of the request.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// Id of the request.
        quote_id: u64,
        /// Quotes canceled, each side one.
        canceled_count: u32,
        /// As asked for.
        instrument_id: u32,
        /// As asked for.
        mmp_group: u16,
        /// As asked for.
        layer: u16,
        /// Reason code, 0 = done.
        reason: u16,
        /// SBE field id (FIX tag) at fault, 0 = none.
        ref_field_id: u16,
        /// As asked for.
        scope: u8,
        /// Reserved, 0.
        reserved: [u8; 7],
    }
    /// An instrument; sent without number behind LogonAccepted, and when one is defined.
    InstrumentDefinition = 300, 96 {
        /// Symbol, zero-padded.
        symbol: [u8; 24],
        /// Price step.
        tick: i64,
        /// Quantity step.
        lot: i64,
        /// Smallest order.
        min_qty: i64,
        /// Largest order.
        max_qty: i64,
        /// Lowest price.
        price_min: i64,
        /// Highest price.
        price_max: i64,
        /// How far a market order reaches beyond the best price.
        protection: i64,
        /// Instrument.
        instrument_id: u32,
        /// Decimals a price is shown with.
        price_decimals: u8,
        /// 1 = open.
        status: u8,
        /// Reserved, 0.
        reserved: u16,
        /// Instrument group that mass cancels can name, 0 = none.
        product_id: u32,
        /// Reserved, 0.
        reserved2: u32,
    }
    /// The phase of an instrument; sent without number, to who asked for it at logon: of every instrument behind
    /// ReplayComplete, and when it changes.
    TradingStatus = 301, 16 {
        /// Since when, UTC ns of the log; 0 = not known.
        transact_time: u64,
        /// Instrument.
        instrument_id: u32,
        /// TradingPhase.
        phase: u8,
        /// Reserved, 0.
        reserved: [u8; 3],
    }
}

groups! {
    /// Up to two quotes of an instrument.
    MassQuote "entries" of QuoteEntry, 40 at most 100 {
        /// Instrument.
        instrument_id: u32,
        /// Bits: 1 says nothing of the bid, 2 nothing of the ask.
        entry_flags: u16,
        /// Layer, 0 to 65534: an instrument may be quoted once in each.
        layer: u16,
        /// Price of the bid.
        bid_price: i64,
        /// Quantity of the bid, 0 = no bid any more.
        bid_qty: i64,
        /// Price of the ask.
        ask_price: i64,
        /// Quantity of the ask, 0 = no ask any more.
        ask_qty: i64,
    }
    /// What became of one side of an entry.
    MassQuoteAck "results" of QuoteResult, 16 at most 200 {
        /// The venue's id; of a quote that is gone its last, 0 = there is none.
        order_id: u64,
        /// Which entry, from 0.
        entry_index: u16,
        /// Side.
        side: u8,
        /// 1 entered, 2 kept, 3 removed, 4 refused, 5 there was none.
        status: u8,
        /// Reason code of a refused side.
        reason: u16,
        /// SBE field id (FIX tag) at fault, 0 = none.
        ref_field_id: u16,
    }
}
