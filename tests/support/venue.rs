//! A bare engine with one instrument world and one connected session, driven by typed commands.

use trading_engine::engine::command::{
    self, AmendTrade, AmendedFill, Body, CancelAfter, CancelOrder, Command, DefineFirm,
    DefineInstrument, DefineSession, EnterOrder, Genesis, MassQuoteHead, QuoteEntry, ReplaceOrder,
    SessionLogon, name,
};
use trading_engine::engine::event::{self, EventBody, EventHeader, EventSink, Fill};
use trading_engine::engine::{Engine, Progress};
use trading_engine::limits::EngineLimits;
use trading_engine_protocol::types::{
    ClientOrderId, FirmId, Generation, InstrumentId, Price, Quantity, Sequence, SessionId,
    SessionProtocol, TradeId, UtcNanos,
};
use zerocopy::IntoBytes;

pub const SESSION: SessionId = SessionId(1);
pub const NO_PRICE: Price = Price(i64::MIN);

/// Numbers commands and feeds them to an engine.
pub struct Driver {
    pub engine: Engine,
    sequence: u64,
    time: u64,
    inbound: Vec<u64>,
    pub generation: Vec<u32>,
    /// Steps that went on with a command.
    pub resumed: u64,
}

/// Aligned bytes of one command.
#[repr(align(8))]
pub struct Aligned<const N: usize>(pub [u8; N]);

impl Driver {
    pub fn new(limits: EngineLimits) -> Self {
        Self {
            engine: Engine::new(limits),
            sequence: 0,
            time: 1_000,
            inbound: vec![0; 64],
            generation: vec![0; 64],
            resumed: 0,
        }
    }

    /// Defines a firm per session, sessions `1..=sessions` (binary), instruments `1..=count`, and
    /// logs everyone on.
    pub fn world(limits: EngineLimits, instruments: u32, sessions: u32) -> Self {
        let sessions: Vec<DefineSession> = (1..=sessions)
            .map(|id| session(id, SessionProtocol::Binary))
            .collect();
        Self::world_of(limits, instruments, &sessions)
    }

    /// The same with these sessions; their firms are defined when first named.
    pub fn world_of(limits: EngineLimits, instruments: u32, sessions: &[DefineSession]) -> Self {
        let mut driver = Self::new(limits);
        let sink = &mut Vec::new();
        driver.apply(
            SessionId(0),
            Genesis {
                hash_key: 42,
                log_id: 1,
                ..Genesis::default()
            },
            sink,
        );
        for id in 1..=instruments {
            driver.apply(SessionId(0), instrument(id), sink);
        }
        let mut firms = Vec::new();
        for &session in sessions {
            let firm = DefineFirm {
                firm: session.firm,
                name: name(&format!("FIRM{}", session.firm.0)).unwrap(),
                ..DefineFirm::default()
            };
            if !firms.contains(&session.firm) {
                firms.push(session.firm);
                driver.apply(SessionId(0), firm, sink);
            }
            driver.apply(SessionId(0), session, sink);
            driver.logon(session.session, sink);
        }
        driver
    }

    pub fn logon(&mut self, session: SessionId, sink: &mut Vec<u8>) {
        self.logon_with(session, SessionLogon::default(), sink);
    }

    pub fn logon_with(&mut self, session: SessionId, logon: SessionLogon, sink: &mut Vec<u8>) {
        self.apply(session, logon, sink);
        self.generation[session.0 as usize] += 1;
    }

    /// Log time of the next command.
    pub fn next_time(&self) -> u64 {
        self.time + 1
    }

    /// The next command comes at this time, which is not before the last one.
    pub fn wait_until(&mut self, time: u64) {
        assert!(time >= self.time, "log time never goes back");
        self.time = time - 1;
    }

    /// Builds the next command of the log.
    pub fn command<B: Body>(&mut self, session: SessionId, body: B) -> Command<B> {
        self.sequence += 1;
        self.time += 1;
        let mut command = Command::new(body);
        command.header.sequence = Sequence(self.sequence);
        command.header.sequenced_at = UtcNanos(self.time);
        command.header.session = session;
        if session.0 != 0 {
            command.header.generation = Generation(self.generation[session.0 as usize]);
            if !matches!(
                B::KIND,
                command::CommandKind::SessionLogon | command::CommandKind::SessionDisconnected
            ) {
                let inbound = &mut self.inbound[session.0 as usize];
                *inbound += 1;
                command.header.inbound_seq = *inbound;
            }
        }
        command
    }

    /// Inbound number of the session's last command.
    pub fn last_inbound(&self, session: SessionId) -> u64 {
        self.inbound[session.0 as usize]
    }

    /// The session's numbers restart.
    pub fn restart_numbers(&mut self, session: SessionId) {
        self.inbound[session.0 as usize] = 0;
    }

    /// The last command of the session was refused unread: its number is still free.
    pub fn unsend(&mut self, session: SessionId) {
        self.inbound[session.0 as usize] -= 1;
    }

    pub fn apply<B: Body>(&mut self, session: SessionId, body: B, sink: &mut impl EventSink) {
        let command = self.command(session, body);
        self.apply_command(&command, sink);
    }

    /// The bytes of a mass quote that is the next command of the log, aligned.
    pub fn mass_quote(
        &mut self,
        session: SessionId,
        head: &MassQuoteHead,
        entries: &[QuoteEntry],
    ) -> Vec<u64> {
        // Numbered and timed like any other command.
        let header = self.command(session, CancelAfter::default()).header;
        let bytes = command::mass_quote(header, head, entries);
        let mut words = vec![0; bytes.len() / 8];
        words.as_mut_bytes().copy_from_slice(&bytes);
        words
    }

    /// Applies aligned bytes of the next command.
    pub fn apply_words(&mut self, words: &[u64], sink: &mut impl EventSink) {
        let mut progress = self.engine.apply_bytes(words.as_bytes(), sink).unwrap();
        while progress == Progress::More {
            self.resumed += 1;
            progress = self.engine.resume(sink);
        }
    }

    #[inline]
    pub fn apply_command<B: Body>(&mut self, command: &Command<B>, sink: &mut impl EventSink) {
        let mut bytes = Aligned([0u8; 512]);
        let length = command.header.length as usize;
        let [header, body] = command.parts();
        bytes.0[..header.len()].copy_from_slice(header);
        bytes.0[header.len()..length].copy_from_slice(body);
        let mut progress = self.engine.apply_bytes(&bytes.0[..length], sink).unwrap();
        while progress == Progress::More {
            self.resumed += 1;
            progress = self.engine.resume(sink);
        }
    }
}

/// Instrument `id`: prices 1..=200,000, tick 1, lots 1..=1,000,000.
pub fn instrument(id: u32) -> DefineInstrument {
    DefineInstrument {
        instrument: InstrumentId(id),
        symbol: name(&format!("INST{id}")).unwrap(),
        price_unit_e8: 1_000_000,
        lot_size_e8: 100_000_000,
        tick: 1,
        price_min: Price(1),
        price_max: Price(200_000),
        quantity_min: Quantity(1),
        quantity_max: Quantity(1_000_000),
        protection_ticks: 50,
        quantity_increment: Quantity(1),
        price_decimals: 2,
        ..DefineInstrument::default()
    }
}

pub fn session(id: u32, protocol: SessionProtocol) -> DefineSession {
    DefineSession {
        session: SessionId(id),
        firm: FirmId(id),
        protocol: protocol.as_u8(),
        name: name(&format!("SESSION{id}")).unwrap(),
        ..DefineSession::default()
    }
}

pub fn enter(id: u64, instrument: u32, side: u8, tif: u8, price: i64, quantity: u64) -> EnterOrder {
    EnterOrder {
        client_order_id: ClientOrderId::from_u64(id),
        price: Price(price),
        quantity: Quantity(quantity),
        instrument: InstrumentId(instrument),
        side,
        order_type: if price == NO_PRICE.0 { 1 } else { 2 },
        time_in_force: tif,
        ..EnterOrder::default()
    }
}

pub fn cancel(id: u64, original: u64) -> CancelOrder {
    CancelOrder {
        client_order_id: ClientOrderId::from_u64(id),
        original: ClientOrderId::from_u64(original),
        ..CancelOrder::default()
    }
}

pub fn replace(id: u64, original: u64, instrument: u32, price: i64, total: u64) -> ReplaceOrder {
    ReplaceOrder {
        client_order_id: ClientOrderId::from_u64(id),
        original: ClientOrderId::from_u64(original),
        price: Price(price),
        quantity: Quantity(total),
        instrument: InstrumentId(instrument),
        time_in_force: 0xFF,
        ..ReplaceOrder::default()
    }
}

/// Calls `each` with every event in `bytes`.
pub fn for_each_event(bytes: &[u8], mut each: impl FnMut(&EventHeader, EventBody<'_>)) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (header, body) = event::read(rest).expect("the engine writes events");
        each(header, body);
        rest = &rest[header.length as usize..];
    }
}

/// The fills in `bytes`, with their sessions.
pub fn fills(bytes: &[u8]) -> Vec<(SessionId, Fill)> {
    let mut fills = Vec::new();
    for_each_event(bytes, |header, body| {
        if let EventBody::Fill(fill) = body {
            fills.push((header.session, *fill));
        }
    });
    fills
}

/// What the venue would look up in its event log.
pub fn amendment(fills: &[(SessionId, Fill)], trade: u64, new_price: Price) -> AmendTrade {
    let of: Vec<_> = (fills.iter())
        .filter(|(_, fill)| fill.trade_id.0 == trade)
        .collect();
    let [one, other] = of[..] else {
        panic!("a trade has two fills");
    };
    AmendTrade {
        trade_id: TradeId(trade),
        price: one.1.last_price,
        quantity: one.1.last_quantity,
        new_price,
        fills: [one, other].map(|(session, fill)| AmendedFill {
            order: fill.order,
            session: *session,
            liquidity: fill.liquidity,
            ..AmendedFill::default()
        }),
    }
}
