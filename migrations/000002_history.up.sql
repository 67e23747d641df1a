-- History: a projection of the venue's events, made again from the journal whenever it is not there.
--
-- Every row names the command (sequence) and the event of it (idx) that it comes from. Times are ns UTC,
-- prices are price units and quantities lots of the instrument; the views at the end have decimals and
-- timestamps for people. Choices (side, status, ...) are the numbers of the binary protocol, which are FIX's
-- where FIX has a number.

-- How far history has come; written in the transaction that writes the rows.
CREATE TABLE projector_progress (
    only_row   SMALLINT PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    log_id     TEXT NOT NULL,         -- of the journal, hex
    sequence   BIGINT NOT NULL,       -- of the last event that is in
    idx        INTEGER NOT NULL,
    event_crc  BIGINT NOT NULL,       -- its checksum: the same place of another log is noticed
    events     BIGINT NOT NULL,       -- events taken into account since the first
    updated_at BIGINT NOT NULL        -- sequenced_at of that event
);

CREATE TABLE firms (
    firm     BIGINT PRIMARY KEY,
    name     TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    idx      INTEGER NOT NULL
);

CREATE TABLE accounts (
    firm     BIGINT NOT NULL,
    account  BIGINT NOT NULL,         -- 0 = the default account
    sequence BIGINT NOT NULL,         -- first seen
    idx      INTEGER NOT NULL,
    PRIMARY KEY (firm, account)
);

CREATE TABLE instruments (
    instrument         BIGINT PRIMARY KEY,
    symbol             TEXT NOT NULL UNIQUE,
    price_decimals     SMALLINT NOT NULL,
    price_unit_e8      BIGINT NOT NULL,
    lot_size_e8        BIGINT NOT NULL,
    tick               BIGINT NOT NULL,
    tick_table         BIGINT NOT NULL,
    price_min          BIGINT NOT NULL,
    price_max          BIGINT NOT NULL,
    quantity_min       BIGINT NOT NULL,
    quantity_max       BIGINT NOT NULL,
    quantity_increment BIGINT NOT NULL,
    protection_ticks   BIGINT NOT NULL,
    static_band        BIGINT NOT NULL,
    dynamic_band       BIGINT NOT NULL,
    interruption_ms    BIGINT NOT NULL,
    product            BIGINT NOT NULL,
    phase              SMALLINT NOT NULL,
    phase_until        BIGINT,        -- when the core ends the phase by itself
    reference_price    BIGINT,
    sequence           BIGINT NOT NULL,
    idx                INTEGER NOT NULL
);

CREATE TABLE tick_tables (
    tick_table BIGINT PRIMARY KEY,
    steps      TEXT NOT NULL,         -- [[from, tick], ...], price units
    sequence   BIGINT NOT NULL,
    idx        INTEGER NOT NULL
);

CREATE TABLE sessions (
    session           BIGINT PRIMARY KEY,
    firm              BIGINT NOT NULL,
    protocol          SMALLINT NOT NULL,
    name              TEXT NOT NULL,  -- SenderCompID(49), or the key id
    roles             SMALLINT NOT NULL,
    user_number       BIGINT NOT NULL,
    reset_at_day_roll SMALLINT NOT NULL,
    public_key        TEXT,           -- hex
    connected         SMALLINT NOT NULL DEFAULT 0,
    generation        BIGINT NOT NULL DEFAULT 0,
    epoch             BIGINT NOT NULL DEFAULT 0,
    logon_at          BIGINT,
    closed_at         BIGINT,
    closed_reason     SMALLINT,
    sequence          BIGINT NOT NULL,
    idx               INTEGER NOT NULL
);
CREATE INDEX sessions_firm ON sessions (firm);

-- An order as its last report stated it. A quote has a row once it traded or ended by itself.
CREATE TABLE orders (
    order_id                 BIGINT PRIMARY KEY,
    session                  BIGINT NOT NULL,
    firm                     BIGINT NOT NULL,
    account                  BIGINT NOT NULL,
    instrument               BIGINT NOT NULL,
    client_order_id          TEXT NOT NULL,    -- the newest one; of a quote its QuoteID
    side                     SMALLINT NOT NULL,
    order_type               SMALLINT NOT NULL,
    time_in_force            SMALLINT NOT NULL,
    status                   SMALLINT NOT NULL,
    price                    BIGINT,
    quantity                 BIGINT NOT NULL,
    leaves                   BIGINT NOT NULL,
    cumulative               BIGINT NOT NULL,
    notional                 NUMERIC NOT NULL, -- price * lots over all fills
    instructions             SMALLINT NOT NULL,
    self_trade_prevention    SMALLINT NOT NULL,
    protection_group         INTEGER NOT NULL,
    is_quote                 SMALLINT NOT NULL,
    stop_price               BIGINT,
    display_quantity         BIGINT,
    minimum_quantity         BIGINT,
    expire_at                BIGINT,
    reason                   SMALLINT NOT NULL, -- of its last report
    exec_id                  BIGINT NOT NULL,   -- of its last report
    entered_at               BIGINT NOT NULL,
    updated_at               BIGINT NOT NULL,
    sequence                 BIGINT NOT NULL,
    idx                      INTEGER NOT NULL
) WITH (fillfactor = 85);
CREATE INDEX orders_client_order_id ON orders (session, client_order_id);
CREATE INDEX orders_session ON orders (session, order_id);
CREATE INDEX orders_open ON orders (order_id) WHERE leaves > 0;

-- Execution reports: one row for each report with an ExecID(17). ExecIDs ascend with the log.
CREATE TABLE executions (
    exec_id           BIGINT NOT NULL,
    sequence          BIGINT NOT NULL,
    idx               INTEGER NOT NULL,
    sequenced_at      BIGINT NOT NULL,
    received_at       BIGINT,
    kind              SMALLINT NOT NULL,  -- of the event: 20 accepted, 21 replaced, 22 canceled, 23 rejected, 25 fill, ...
    reason            SMALLINT NOT NULL,
    session           BIGINT NOT NULL,
    epoch             BIGINT NOT NULL,
    session_seq       BIGINT NOT NULL,    -- the message's number to the session
    order_id          BIGINT,             -- none of an order that was refused
    client_order_id   TEXT NOT NULL,
    request_id        TEXT,               -- replaced: the id before; canceled: the request's; quotes: QuoteEntryID(299)
    instrument        BIGINT NOT NULL,
    account           BIGINT NOT NULL,
    side              SMALLINT NOT NULL,
    order_type        SMALLINT NOT NULL,
    time_in_force     SMALLINT NOT NULL,
    status            SMALLINT NOT NULL,
    price             BIGINT,
    quantity          BIGINT NOT NULL,
    leaves            BIGINT NOT NULL,
    cumulative        BIGINT NOT NULL,
    reduced           BIGINT,             -- canceled or restated: lots taken off
    last_price        BIGINT,             -- fills, busts, corrections
    last_quantity     BIGINT,
    liquidity         SMALLINT,
    trade_id          BIGINT,
    reference_exec_id BIGINT,             -- busts and corrections: the fill
    new_price         BIGINT,             -- correction; none = busted
    stop_price        BIGINT,
    display_quantity  BIGINT,
    minimum_quantity  BIGINT,
    expire_at         BIGINT,
    raw               SMALLINT,           -- 1 = price and quantity are as sent, 10^-8
    symbol            TEXT,               -- as sent, of a refused order
    PRIMARY KEY (exec_id, sequenced_at)
) PARTITION BY RANGE (sequenced_at);
CREATE INDEX executions_order ON executions (order_id);
CREATE INDEX executions_session ON executions (session, exec_id);
CREATE INDEX executions_replaced ON executions (session, request_id) WHERE kind IN (21, 27);
CREATE INDEX executions_rejected ON executions (session, client_order_id) WHERE order_id IS NULL;
CREATE INDEX executions_sequence ON executions USING brin (sequence);

CREATE TABLE trades (
    trade_id         BIGINT NOT NULL,
    sequence         BIGINT NOT NULL,
    idx              INTEGER NOT NULL,    -- of the first of its two fills
    sequenced_at     BIGINT NOT NULL,
    instrument       BIGINT NOT NULL,
    price            BIGINT NOT NULL,
    quantity         BIGINT NOT NULL,
    aggressor        SMALLINT NOT NULL,   -- side that removed liquidity, 0 = an auction
    buy_order_id     BIGINT NOT NULL,
    buy_exec_id      BIGINT NOT NULL,
    buy_session      BIGINT NOT NULL,
    buy_firm         BIGINT NOT NULL,
    buy_account      BIGINT NOT NULL,
    sell_order_id    BIGINT NOT NULL,
    sell_exec_id     BIGINT NOT NULL,
    sell_session     BIGINT NOT NULL,
    sell_firm        BIGINT NOT NULL,
    sell_account     BIGINT NOT NULL,
    busted           SMALLINT NOT NULL DEFAULT 0,
    corrected_price  BIGINT,
    amended_sequence BIGINT,
    PRIMARY KEY (trade_id, sequenced_at)
) PARTITION BY RANGE (sequenced_at);
CREATE INDEX trades_instrument ON trades (instrument, trade_id);

-- What became of each entry of each mass quote.
CREATE TABLE quotes (
    sequence         BIGINT NOT NULL,
    idx              INTEGER NOT NULL,
    entry            INTEGER NOT NULL,    -- place in the message, from 0; a message refused as a whole has one row
    sequenced_at     BIGINT NOT NULL,
    session          BIGINT NOT NULL,
    session_seq      BIGINT NOT NULL,
    account          BIGINT NOT NULL,
    quote_id         TEXT NOT NULL,
    entry_id         TEXT,
    protection_group INTEGER NOT NULL,
    reason           SMALLINT NOT NULL,   -- of the whole message
    instrument       BIGINT,
    layer            INTEGER,
    bid_order_id     BIGINT,
    bid_price        BIGINT,
    bid_quantity     BIGINT,
    bid_status       SMALLINT,
    bid_reason       SMALLINT,
    ask_order_id     BIGINT,
    ask_price        BIGINT,
    ask_quantity     BIGINT,
    ask_status       SMALLINT,
    ask_reason       SMALLINT,
    PRIMARY KEY (sequence, idx, entry, sequenced_at)
) PARTITION BY RANGE (sequenced_at);
CREATE INDEX quotes_session ON quotes (session, sequence);

-- A partition for each day is made ahead; what comes without one is here.
CREATE TABLE executions_default PARTITION OF executions DEFAULT;
CREATE TABLE trades_default PARTITION OF trades DEFAULT;
CREATE TABLE quotes_default PARTITION OF quotes DEFAULT;

CREATE TABLE positions (
    firm            BIGINT NOT NULL,
    account         BIGINT NOT NULL,
    instrument      BIGINT NOT NULL,
    bought          BIGINT NOT NULL,      -- lots
    sold            BIGINT NOT NULL,
    bought_notional NUMERIC NOT NULL,     -- price units * lots
    sold_notional   NUMERIC NOT NULL,
    sequence        BIGINT NOT NULL,
    idx             INTEGER NOT NULL,
    PRIMARY KEY (firm, account, instrument)
);
CREATE INDEX positions_instrument ON positions (instrument);

CREATE TABLE risk_limits (
    firm           BIGINT NOT NULL,
    by_account     SMALLINT NOT NULL,
    account        BIGINT NOT NULL,
    instrument     BIGINT NOT NULL,       -- 0 = over all
    quantity       BIGINT NOT NULL,
    notional_e8    BIGINT NOT NULL,
    position_limit BIGINT NOT NULL,
    gross_e8       BIGINT NOT NULL,
    net_e8         BIGINT NOT NULL,
    collar_bp      BIGINT NOT NULL,
    open_orders    BIGINT NOT NULL,
    duplicates     BIGINT NOT NULL,
    duplicates_ms  BIGINT NOT NULL,
    executions     BIGINT NOT NULL,
    executions_ms  BIGINT NOT NULL,
    messages       BIGINT NOT NULL,
    messages_ms    BIGINT NOT NULL,
    position       BIGINT NOT NULL,       -- as it was when they were set
    stopped        SMALLINT NOT NULL,
    sequence       BIGINT NOT NULL,
    idx            INTEGER NOT NULL,
    PRIMARY KEY (firm, by_account, account, instrument)
);

CREATE TABLE phases (
    sequence     BIGINT NOT NULL,
    idx          INTEGER NOT NULL,
    sequenced_at BIGINT NOT NULL,
    instrument   BIGINT NOT NULL,
    phase        SMALLINT NOT NULL,
    previous     SMALLINT NOT NULL,
    phase_until  BIGINT,
    reason       SMALLINT NOT NULL,
    PRIMARY KEY (sequence, idx)
);
CREATE INDEX phases_instrument ON phases (instrument, sequence);

-- Market-maker protection as it is.
CREATE TABLE protections (
    firm             BIGINT NOT NULL,
    protection_group INTEGER NOT NULL,
    session          BIGINT NOT NULL,     -- who configured it, or whose fill tripped it
    quantity         BIGINT NOT NULL,
    net              BIGINT NOT NULL,
    fills            BIGINT NOT NULL,
    window_ms        BIGINT NOT NULL,
    frozen_ms        BIGINT NOT NULL,
    frozen_until     BIGINT,              -- 9223372036854775807 = until it is reset
    tripped_by       SMALLINT,            -- the limit
    sequence         BIGINT NOT NULL,
    idx              INTEGER NOT NULL,
    PRIMARY KEY (firm, protection_group)
);

-- Kill switches as they are.
CREATE TABLE kill_switches (
    scope    SMALLINT NOT NULL,
    target   BIGINT NOT NULL,
    firm     BIGINT NOT NULL,             -- that asked, 0 = the venue
    active   SMALLINT NOT NULL,
    canceled BIGINT NOT NULL,
    session  BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    idx      INTEGER NOT NULL,
    PRIMARY KEY (scope, target, firm)
);

-- What the venue's people did: a row where a note begins or stands alone.
CREATE TABLE admin_audit (
    sequence       BIGINT NOT NULL,
    idx            INTEGER NOT NULL,
    sequenced_at   BIGINT NOT NULL,
    received_at    BIGINT NOT NULL,
    request        TEXT NOT NULL,         -- id of the HTTP request, hex
    actor          TEXT NOT NULL,
    role           SMALLINT NOT NULL,
    action         SMALLINT NOT NULL,     -- kind of the command, 200 = keys rotated, 201 = user changed
    target         BIGINT NOT NULL,
    address        TEXT NOT NULL,
    ended_sequence BIGINT,                -- of the note that ends it
    reason         SMALLINT NOT NULL,     -- why it was refused, 0 = it was not
    PRIMARY KEY (sequence, idx)
);
CREATE INDEX admin_audit_actor ON admin_audit (actor, sequence);

-- Everything else that happened and is no heartbeat, question or indication.
CREATE TABLE events (
    sequence     BIGINT NOT NULL,
    idx          INTEGER NOT NULL,
    sequenced_at BIGINT NOT NULL,
    kind         SMALLINT NOT NULL,
    session      BIGINT NOT NULL,
    session_seq  BIGINT NOT NULL,
    reason       SMALLINT NOT NULL,
    ref_tag      INTEGER NOT NULL,
    detail       JSONB NOT NULL,
    PRIMARY KEY (sequence, idx)
);
CREATE INDEX events_session ON events (session, sequence);

CREATE VIEW executions_readable AS
SELECT e.exec_id, e.sequence, e.idx, to_timestamp(e.sequenced_at / 1e9) AS at, e.kind, e.reason, e.session, s.name AS session_name,
       e.order_id, e.client_order_id, i.symbol, e.side, e.status,
       e.price * i.price_unit_e8::NUMERIC / 100000000 AS price,
       e.quantity * i.lot_size_e8::NUMERIC / 100000000 AS quantity,
       e.leaves * i.lot_size_e8::NUMERIC / 100000000 AS leaves,
       e.cumulative * i.lot_size_e8::NUMERIC / 100000000 AS cumulative,
       e.last_price * i.price_unit_e8::NUMERIC / 100000000 AS last_price,
       e.last_quantity * i.lot_size_e8::NUMERIC / 100000000 AS last_quantity,
       e.trade_id
FROM executions e
JOIN instruments i USING (instrument)
LEFT JOIN sessions s ON s.session = e.session
WHERE e.raw IS NULL;

CREATE VIEW trades_readable AS
SELECT t.trade_id, t.sequence, to_timestamp(t.sequenced_at / 1e9) AS at, i.symbol,
       COALESCE(t.corrected_price, t.price) * i.price_unit_e8::NUMERIC / 100000000 AS price,
       t.quantity * i.lot_size_e8::NUMERIC / 100000000 AS quantity,
       t.busted <> 0 AS busted, t.aggressor, t.buy_order_id, t.sell_order_id,
       b.name AS buyer, f.name AS seller
FROM trades t
JOIN instruments i USING (instrument)
LEFT JOIN firms b ON b.firm = t.buy_firm
LEFT JOIN firms f ON f.firm = t.sell_firm;
