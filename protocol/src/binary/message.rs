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

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident = $template:literal, $size:literal $(first $first:literal)? {
        $($(#[$fdoc:meta])* $field:ident: $type:ty,)+
    })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
            #[repr(C)]
            pub struct $name { $($(#[$fdoc])* pub $field: $type,)+ }

            impl Message for $name {
                const TEMPLATE: u16 = $template;
                const NAME: &'static str = stringify!($name);
                const LENGTH_FIRST: usize = first_length($size, &[$($first)?]);
            }

            impl Default for $name {
                fn default() -> Self {
                    Self::new_zeroed()
                }
            }

            const _: () = assert!(size_of::<$name>() == $size && $size % 8 == 0);
        )+

        /// Name, template id and block length of every message.
        pub const ALL: &[(&str, u16, usize)] = &[$((stringify!($name), $template, $size),)+];

        /// Name, offset and size of every field, by message.
        pub const FIELDS: &[(&str, &[(&str, usize, usize)])] = &[$((
            stringify!($name),
            &[$((
                stringify!($field),
                core::mem::offset_of!($name, $field),
                {
                    const fn size<T>(_: *const T) -> usize { size_of::<T>() }
                    let none: *const $type = core::ptr::null();
                    size(none)
                },
            ),)+],
        ),)+];
    };
}

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
        /// Reserved, 0.
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
        /// Messages a second, 0 = no limit.
        msg_rate: u32,
        /// Messages at once, 0 = no limit.
        msg_burst: u32,
        /// Quote sides a second, 0 = no limit.
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
        /// Market-maker protection group; 0 (not there yet).
        mmp_group: u16,
        /// 1 buy, 2 sell.
        side: u8,
        /// 1 market, 2 limit, 3 stop, 4 stop limit, 20 market to limit.
        ord_type: u8,
        /// 0 Day, 1 GTC, 3 IOC, 4 FOK, 6 GTD.
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
    /// Cancels many of the session's orders.
    MassCancel = 103, 32 {
        /// Id of this request, not 0.
        cl_ord_id: u64,
        /// Only of this instrument, 0 = any.
        instrument_id: u32,
        /// Reserved, 0.
        product_id: u32,
        /// Only of this account, with flag 16.
        account_id: u32,
        /// Reserved, 0.
        mmp_group: u16,
        /// 1 = the session's.
        scope: u8,
        /// Only of this side, 0 = both.
        side: u8,
        /// Bits: 16 by account; others are refused.
        flags: u8,
        /// Reserved, 0.
        reserved: [u8; 7],
    }
    /// Cancels the session's orders after a time, unless it is sent again before.
    CancelAfter = 105, 8 {
        /// From now, 0 = not any more.
        after_ms: u32,
        /// Reserved, 0.
        reserved: u32,
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
    /// A cancel or replace was refused; the order is untouched.
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
        /// 101 or 102.
        ref_template_id: u16,
        /// SBE field id (FIX tag) at fault, 0 = none.
        ref_field_id: u16,
        /// OrdStatus of the order; 8 when unknown.
        status: u8,
        /// Reserved, 0.
        reserved: u8,
    }
    /// One fill of an order.
    Fill = 205, 96 {
        /// Client number of the order when this is its taker, 0 = it rested.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// The order's newest client id.
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
        /// Market-maker protection group, 0.
        mmp_group: u16,
        /// Side.
        side: u8,
        /// 1 maker, 2 taker.
        liquidity: u8,
        /// OrdStatus.
        status: u8,
        /// Reserved, 0.
        reserved: [u8; 3],
    }
    /// A mass cancel is done; its orders' reports came before.
    MassCancelDone = 206, 32 {
        /// Client number of the request.
        client_seq: u64,
        /// UTC ns of the log.
        transact_time: u64,
        /// Id of the request.
        cl_ord_id: u64,
        /// Orders canceled.
        canceled_count: u32,
        /// Reason code, 0 = done.
        reason: u16,
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
        /// The order's newest client id.
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
        /// Reserved, 0.
        reserved: u64,
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
        /// Reserved, 0.
        reserved2: u64,
    }
}
