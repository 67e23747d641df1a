-- History: a projection of the venue's events, made again from the journal whenever it is not there.
--
-- Every row names the command (sequence) and the event of it (idx) that it comes from. Times are ns UTC,
-- prices are price units and quantities lots of the instrument. Choices (side, status, ...) are the numbers of
-- the binary protocol, which are FIX's where FIX has a number. Sums of notional are decimal text: they outgrow
-- 64 bits.

-- How far history has come; written in the transaction that writes the rows.
CREATE TABLE projector_progress (
    only_row   INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    log_id     TEXT NOT NULL,         -- of the journal, hex
    sequence   INTEGER NOT NULL,       -- of the last event that is in
    idx        INTEGER NOT NULL,
    event_crc  INTEGER NOT NULL,       -- its checksum: the same place of another log is noticed
    events     INTEGER NOT NULL,       -- events taken into account since the first
    updated_at INTEGER NOT NULL        -- sequenced_at of that event
) STRICT;

CREATE TABLE firms (
    firm     INTEGER PRIMARY KEY,
    name     TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    idx      INTEGER NOT NULL
) STRICT;

CREATE TABLE accounts (
    firm     INTEGER NOT NULL,
    account  INTEGER NOT NULL,         -- 0 = the default account
    sequence INTEGER NOT NULL,         -- first seen
    idx      INTEGER NOT NULL,
    PRIMARY KEY (firm, account)
) STRICT;

CREATE TABLE instruments (
    instrument         INTEGER PRIMARY KEY,
    symbol             TEXT NOT NULL UNIQUE,
    price_decimals     INTEGER NOT NULL,
    price_unit_e8      INTEGER NOT NULL,
    lot_size_e8        INTEGER NOT NULL,
    tick               INTEGER NOT NULL,
    tick_table         INTEGER NOT NULL,
    price_min          INTEGER NOT NULL,
    price_max          INTEGER NOT NULL,
    quantity_min       INTEGER NOT NULL,
    quantity_max       INTEGER NOT NULL,
    quantity_increment INTEGER NOT NULL,
    protection_ticks   INTEGER NOT NULL,
    static_band        INTEGER NOT NULL,
    dynamic_band       INTEGER NOT NULL,
    interruption_ms    INTEGER NOT NULL,
    product            INTEGER NOT NULL,
    phase              INTEGER NOT NULL,
    phase_until        INTEGER,        -- when the core ends the phase by itself
    reference_price    INTEGER,
    sequence           INTEGER NOT NULL,
    idx                INTEGER NOT NULL
) STRICT;

CREATE TABLE tick_tables (
    tick_table INTEGER PRIMARY KEY,
    steps      TEXT NOT NULL,         -- [[from, tick], ...], price units
    sequence   INTEGER NOT NULL,
    idx        INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    session           INTEGER PRIMARY KEY,
    firm              INTEGER NOT NULL,
    protocol          INTEGER NOT NULL,
    name              TEXT NOT NULL,  -- SenderCompID(49), or the key id
    roles             INTEGER NOT NULL,
    user_number       INTEGER NOT NULL,
    reset_at_day_roll INTEGER NOT NULL,
    public_key        TEXT,           -- hex
    connected         INTEGER NOT NULL DEFAULT 0,
    generation        INTEGER NOT NULL DEFAULT 0,
    epoch             INTEGER NOT NULL DEFAULT 0,
    logon_at          INTEGER,
    closed_at         INTEGER,
    closed_reason     INTEGER,
    sequence          INTEGER NOT NULL,
    idx               INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_firm ON sessions (firm);

-- An order as its last report stated it. A quote has a row once it traded or ended by itself.
CREATE TABLE orders (
    order_id                 INTEGER PRIMARY KEY,
    session                  INTEGER NOT NULL,
    firm                     INTEGER NOT NULL,
    account                  INTEGER NOT NULL,
    instrument               INTEGER NOT NULL,
    client_order_id          TEXT NOT NULL,    -- the newest one; of a quote its QuoteID
    side                     INTEGER NOT NULL,
    order_type               INTEGER NOT NULL,
    time_in_force            INTEGER NOT NULL,
    status                   INTEGER NOT NULL,
    price                    INTEGER,
    quantity                 INTEGER NOT NULL,
    leaves                   INTEGER NOT NULL,
    cumulative               INTEGER NOT NULL,
    notional                 TEXT NOT NULL, -- price * lots over all fills
    instructions             INTEGER NOT NULL,
    self_trade_prevention    INTEGER NOT NULL,
    protection_group         INTEGER NOT NULL,
    is_quote                 INTEGER NOT NULL,
    stop_price               INTEGER,
    display_quantity         INTEGER,
    minimum_quantity         INTEGER,
    expire_at                INTEGER,
    reason                   INTEGER NOT NULL, -- of its last report
    exec_id                  INTEGER NOT NULL,   -- of its last report
    entered_at               INTEGER NOT NULL,
    updated_at               INTEGER NOT NULL,
    sequence                 INTEGER NOT NULL,
    idx                      INTEGER NOT NULL
) STRICT;
CREATE INDEX orders_client_order_id ON orders (session, client_order_id);
CREATE INDEX orders_session ON orders (session, order_id);
CREATE INDEX orders_open ON orders (order_id) WHERE leaves > 0;

-- Execution reports: one row for each report with an ExecID(17). ExecIDs ascend with the log.
CREATE TABLE executions (
    exec_id           INTEGER NOT NULL,
    sequence          INTEGER NOT NULL,
    idx               INTEGER NOT NULL,
    sequenced_at      INTEGER NOT NULL,
    received_at       INTEGER,
    kind              INTEGER NOT NULL,  -- of the event: 20 accepted, 21 replaced, 22 canceled, 23 rejected, 25 fill, ...
    reason            INTEGER NOT NULL,
    session           INTEGER NOT NULL,
    epoch             INTEGER NOT NULL,
    session_seq       INTEGER NOT NULL,    -- the message's number to the session
    order_id          INTEGER,             -- none of an order that was refused
    client_order_id   TEXT NOT NULL,
    request_id        TEXT,               -- replaced: the id before; canceled: the request's; quotes: QuoteEntryID(299)
    instrument        INTEGER NOT NULL,
    account           INTEGER NOT NULL,
    side              INTEGER NOT NULL,
    order_type        INTEGER NOT NULL,
    time_in_force     INTEGER NOT NULL,
    status            INTEGER NOT NULL,
    price             INTEGER,
    quantity          INTEGER NOT NULL,
    leaves            INTEGER NOT NULL,
    cumulative        INTEGER NOT NULL,
    reduced           INTEGER,             -- canceled or restated: lots taken off
    last_price        INTEGER,             -- fills, busts, corrections
    last_quantity     INTEGER,
    liquidity         INTEGER,
    trade_id          INTEGER,
    reference_exec_id INTEGER,             -- busts and corrections: the fill
    new_price         INTEGER,             -- correction; none = busted
    stop_price        INTEGER,
    display_quantity  INTEGER,
    minimum_quantity  INTEGER,
    expire_at         INTEGER,
    raw               INTEGER,           -- 1 = price and quantity are as sent, 10^-8
    symbol            TEXT,               -- as sent, of a refused order
    PRIMARY KEY (exec_id)
) STRICT;
CREATE INDEX executions_order ON executions (order_id);
CREATE INDEX executions_session ON executions (session, exec_id);
CREATE INDEX executions_replaced ON executions (session, request_id) WHERE kind IN (21, 27);
CREATE INDEX executions_rejected ON executions (session, client_order_id) WHERE order_id IS NULL;

CREATE TABLE trades (
    trade_id         INTEGER NOT NULL,
    sequence         INTEGER NOT NULL,
    idx              INTEGER NOT NULL,    -- of the first of its two fills
    sequenced_at     INTEGER NOT NULL,
    instrument       INTEGER NOT NULL,
    price            INTEGER NOT NULL,
    quantity         INTEGER NOT NULL,
    aggressor        INTEGER NOT NULL,   -- side that removed liquidity, 0 = an auction
    buy_order_id     INTEGER NOT NULL,
    buy_exec_id      INTEGER NOT NULL,
    buy_session      INTEGER NOT NULL,
    buy_firm         INTEGER NOT NULL,
    buy_account      INTEGER NOT NULL,
    sell_order_id    INTEGER NOT NULL,
    sell_exec_id     INTEGER NOT NULL,
    sell_session     INTEGER NOT NULL,
    sell_firm        INTEGER NOT NULL,
    sell_account     INTEGER NOT NULL,
    busted           INTEGER NOT NULL DEFAULT 0,
    corrected_price  INTEGER,
    amended_sequence INTEGER,
    PRIMARY KEY (trade_id)
) STRICT;
CREATE INDEX trades_instrument ON trades (instrument, trade_id);

-- What became of each entry of each mass quote.
CREATE TABLE quotes (
    sequence         INTEGER NOT NULL,
    idx              INTEGER NOT NULL,
    entry            INTEGER NOT NULL,    -- place in the message, from 0; a message refused as a whole has one row
    sequenced_at     INTEGER NOT NULL,
    session          INTEGER NOT NULL,
    session_seq      INTEGER NOT NULL,
    account          INTEGER NOT NULL,
    quote_id         TEXT NOT NULL,
    entry_id         TEXT,
    protection_group INTEGER NOT NULL,
    reason           INTEGER NOT NULL,   -- of the whole message
    instrument       INTEGER,
    layer            INTEGER,
    bid_order_id     INTEGER,
    bid_price        INTEGER,
    bid_quantity     INTEGER,
    bid_status       INTEGER,
    bid_reason       INTEGER,
    ask_order_id     INTEGER,
    ask_price        INTEGER,
    ask_quantity     INTEGER,
    ask_status       INTEGER,
    ask_reason       INTEGER,
    PRIMARY KEY (sequence, idx, entry)
) STRICT;
CREATE INDEX quotes_session ON quotes (session, sequence);

CREATE TABLE positions (
    firm            INTEGER NOT NULL,
    account         INTEGER NOT NULL,
    instrument      INTEGER NOT NULL,
    bought          INTEGER NOT NULL,      -- lots
    sold            INTEGER NOT NULL,
    bought_notional TEXT NOT NULL,     -- price units * lots
    sold_notional   TEXT NOT NULL,
    sequence        INTEGER NOT NULL,
    idx             INTEGER NOT NULL,
    PRIMARY KEY (firm, account, instrument)
) STRICT;
CREATE INDEX positions_instrument ON positions (instrument);

CREATE TABLE risk_limits (
    firm           INTEGER NOT NULL,
    by_account     INTEGER NOT NULL,
    account        INTEGER NOT NULL,
    instrument     INTEGER NOT NULL,       -- 0 = over all
    quantity       INTEGER NOT NULL,
    notional_e8    INTEGER NOT NULL,
    position_limit INTEGER NOT NULL,
    gross_e8       INTEGER NOT NULL,
    net_e8         INTEGER NOT NULL,
    collar_bp      INTEGER NOT NULL,
    open_orders    INTEGER NOT NULL,
    duplicates     INTEGER NOT NULL,
    duplicates_ms  INTEGER NOT NULL,
    executions     INTEGER NOT NULL,
    executions_ms  INTEGER NOT NULL,
    messages       INTEGER NOT NULL,
    messages_ms    INTEGER NOT NULL,
    position       INTEGER NOT NULL,       -- as it was when they were set
    stopped        INTEGER NOT NULL,
    sequence       INTEGER NOT NULL,
    idx            INTEGER NOT NULL,
    PRIMARY KEY (firm, by_account, account, instrument)
) STRICT;

CREATE TABLE phases (
    sequence     INTEGER NOT NULL,
    idx          INTEGER NOT NULL,
    sequenced_at INTEGER NOT NULL,
    instrument   INTEGER NOT NULL,
    phase        INTEGER NOT NULL,
    previous     INTEGER NOT NULL,
    phase_until  INTEGER,
    reason       INTEGER NOT NULL,
    PRIMARY KEY (sequence, idx)
) STRICT;
CREATE INDEX phases_instrument ON phases (instrument, sequence);

-- Market-maker protection as it is.
CREATE TABLE protections (
    firm             INTEGER NOT NULL,
    protection_group INTEGER NOT NULL,
    session          INTEGER NOT NULL,     -- who configured it, or whose fill tripped it
    quantity         INTEGER NOT NULL,
    net              INTEGER NOT NULL,
    fills            INTEGER NOT NULL,
    window_ms        INTEGER NOT NULL,
    frozen_ms        INTEGER NOT NULL,
    frozen_until     INTEGER,              -- 9223372036854775807 = until it is reset
    tripped_by       INTEGER,            -- the limit
    sequence         INTEGER NOT NULL,
    idx              INTEGER NOT NULL,
    PRIMARY KEY (firm, protection_group)
) STRICT;

-- Kill switches as they are.
CREATE TABLE kill_switches (
    scope    INTEGER NOT NULL,
    target   INTEGER NOT NULL,
    firm     INTEGER NOT NULL,             -- that asked, 0 = the venue
    active   INTEGER NOT NULL,
    canceled INTEGER NOT NULL,
    session  INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    idx      INTEGER NOT NULL,
    PRIMARY KEY (scope, target, firm)
) STRICT;

-- What the venue's people did: a row where a note begins or stands alone.
CREATE TABLE admin_audit (
    sequence       INTEGER NOT NULL,
    idx            INTEGER NOT NULL,
    sequenced_at   INTEGER NOT NULL,
    received_at    INTEGER NOT NULL,
    request        TEXT NOT NULL,         -- id of the HTTP request, hex
    actor          TEXT NOT NULL,
    role           INTEGER NOT NULL,
    action         INTEGER NOT NULL,     -- kind of the command, 200 = keys rotated, 201 = user changed
    target         INTEGER NOT NULL,
    address        TEXT NOT NULL,
    ended_sequence INTEGER,                -- of the note that ends it
    reason         INTEGER NOT NULL,     -- why it was refused, 0 = it was not
    PRIMARY KEY (sequence, idx)
) STRICT;
CREATE INDEX admin_audit_actor ON admin_audit (actor, sequence);

-- Everything else that happened and is no heartbeat, question or indication.
CREATE TABLE events (
    sequence     INTEGER NOT NULL,
    idx          INTEGER NOT NULL,
    sequenced_at INTEGER NOT NULL,
    kind         INTEGER NOT NULL,
    session      INTEGER NOT NULL,
    session_seq  INTEGER NOT NULL,
    reason       INTEGER NOT NULL,
    ref_tag      INTEGER NOT NULL,
    detail       TEXT NOT NULL,
    PRIMARY KEY (sequence, idx)
) STRICT;
CREATE INDEX events_session ON events (session, sequence);
