//! Runs a scenario on a real engine: once as written, once more from the recorded command bytes,
//! once in the mirror.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use trading_engine::engine::command::{
    self, AmendTrade, AmendedFill, CommandBody, CommandHeader, CommandKind, NO_PRICE,
};
use trading_engine::engine::event::{self, EventBody, EventHeader, Fill, OrderState, TradeAmended};
use trading_engine::engine::{Engine, Progress, SessionState};
use trading_engine::limits::{STEP_BYTES_MAX, STEP_EVENTS_MAX};
use trading_engine_protocol::types::{
    ClientOrderId, Generation, InstrumentId, OrderId, Price, Reason, Sequence, SessionId,
    SessionProtocol, Side, UtcNanos,
};
use zerocopy::IntoBytes;

use super::checks::Auditor;
use super::lines::{self, Names, Quoted, Quotes, View};
use super::text::{Scenario, Step};
use super::words::{self, OrderIds, Request, Sealed};
use super::world::{Definition, OPENING, World, moment};

/// Between two commands, unless the scenario says otherwise.
const STEP: u64 = 1_000_000;
/// The day that the first `day roll` without a date begins.
const FIRST_ROLL: u32 = 20_260_106;

/// What came of a scenario.
#[derive(Default)]
pub struct Outcome {
    /// The lines that each step caused, as far as it came.
    pub actual: Vec<Vec<String>>,
    /// Reasons that the core found by itself (not those it was told by the edge).
    pub reasons: BTreeSet<Reason>,
    /// Line, and what is wrong beyond unexpected lines.
    pub trouble: Option<(usize, String)>,
}

impl Outcome {
    /// Whether it came out as written.
    pub fn is_as_expected(&self, scenario: &Scenario) -> bool {
        self.trouble.is_none()
            && self.actual.len() == scenario.steps.len()
            && scenario
                .steps
                .iter()
                .zip(&self.actual)
                .all(|(step, actual)| step.expected == *actual)
    }
}

/// Runs a scenario, as it is or in the mirror, and again from its command bytes.
pub fn run(scenario: &Scenario, mirrored: bool) -> Outcome {
    let mut outcome = Outcome::default();
    let result = catch_unwind(AssertUnwindSafe(|| {
        through(scenario, mirrored, &mut outcome)
    }));
    // A panic of the engine is a failure of this scenario; the others still have their turn.
    outcome.trouble = match result {
        Ok(result) => result.err(),
        Err(_) => {
            let at = scenario.steps.get(outcome.actual.len());
            let line = at.map_or(scenario.line, |step| step.line);
            Some((line, "panicked".into()))
        }
    };
    outcome
}

fn through(
    scenario: &Scenario,
    mirrored: bool,
    outcome: &mut Outcome,
) -> Result<(), (usize, String)> {
    let world = World::new(&scenario.world)?;
    let mut run = Run::new(&world, mirrored);
    run.open().map_err(|why| (scenario.line, why))?;
    for step in &scenario.steps {
        let lines = run.step(step).map_err(|why| (step.line, why))?;
        outcome.actual.push(lines);
    }
    outcome.reasons = std::mem::take(&mut run.reasons);
    run.replay().map_err(|why| (scenario.line, why))
}

struct Run<'a> {
    world: &'a World,
    mirrored: bool,
    engine: Engine,
    auditor: Auditor,
    clock: u64,
    /// Every command, and the events it caused.
    log: Vec<(Sealed, Vec<u8>)>,
    names: Names,
    quotes: Quotes,
    known: OrderIds,
    /// What the venue would look up of every trade; the second fill is there when it came.
    trades: Vec<AmendTrade>,
    /// Orders as their last reports stated them.
    reported: BTreeMap<u64, OrderState>,
    reasons: BTreeSet<Reason>,
}

impl<'a> Run<'a> {
    fn new(world: &'a World, mirrored: bool) -> Self {
        Self {
            world,
            mirrored,
            engine: Engine::new(world.limits),
            auditor: Auditor::default(),
            clock: OPENING,
            log: Vec::new(),
            names: Names::new(),
            quotes: Quotes::new(),
            trades: Vec::new(),
            reported: BTreeMap::new(),
            known: OrderIds::new(),
            reasons: BTreeSet::new(),
        }
    }

    /// Defines the world and logs its sessions on.
    fn open(&mut self) -> Result<(), String> {
        let world = self.world;
        let mut requests = vec![words::venue(CommandKind::Genesis, None)];
        let tables = world.tick_tables.iter();
        let tables: Result<Vec<_>, String> = tables
            .map(|table| match self.mirrored {
                true => world.reflect_table(table),
                false => Ok(*table),
            })
            .map(|table| table.map(Definition::TickTable))
            .collect();
        let tables = tables?.into_iter();
        let instruments = world.instruments.iter().map(|d| Definition::Instrument(*d));
        let firms = world.firms.iter().map(|d| Definition::Firm(*d));
        let sessions = world.sessions.iter().map(|d| Definition::Session(*d));
        for definition in tables.chain(instruments).chain(firms).chain(sessions) {
            requests.push(words::venue(definition.kind(), Some(definition)));
        }
        for (instrument, price) in &world.references {
            let mut reference = words::venue(CommandKind::SetReference, None);
            reference.instrument = *instrument;
            reference.price = *price;
            if self.mirrored {
                reference = reference.mirrored(world)?;
            }
            requests.push(reference);
        }
        for session in 'A'..='Z' {
            let id = world.session_id(session);
            let defined = world.sessions.iter().any(|d| d.session.0 == id);
            if defined && !world.offline.contains(&session) {
                requests.push(words::first_logon(session));
            }
        }
        for request in &requests {
            for line in self.apply(request)? {
                if line.contains("refused") || line.contains("ignored") {
                    return Err(format!("the world is not accepted: {line}"));
                }
            }
        }
        self.reasons.clear();
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<Vec<String>, String> {
        let text = step.command.as_str();
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        if verb == "book" || verb == "queue" {
            let instrument = match rest {
                "" => self.world.instruments[0].instrument,
                symbol => self.symbol(symbol)?,
            };
            let view = self.view();
            return Ok(match verb {
                "book" => view.book(&self.engine, instrument),
                _ => view.queue(&self.engine, instrument, &self.auditor),
            });
        }
        if verb == "time" {
            self.clock = moment(self.clock, rest)?;
        } else if !self.world.clock_still {
            self.clock += STEP;
        }
        let mut request = words::parse(text, self.world, &self.known, self.clock)?;
        if request.kind == CommandKind::DayRoll && request.trading_day == 0 {
            request.trading_day = match self.engine.trading_day() {
                0 => FIRST_ROLL,
                last => last + 1,
            };
        }
        let at = usize::try_from(request.trade).unwrap();
        let trade = at
            .checked_sub(1)
            .and_then(|at| self.trades.get(at))
            .copied();
        let trade = trade.map(|mut trade| {
            for fill in &mut trade.fills {
                if request.as_traded {
                    fill.checks_end = 1;
                } else if let Some(last) = self.reported.get(&fill.order.order_id.0) {
                    let exec_id = fill.order.exec_id;
                    fill.order = OrderState { exec_id, ..*last };
                }
            }
            trade
        });
        if let Some(trade) = trade {
            request.instrument = trade.fills[0].order.instrument.0;
        }
        if self.mirrored {
            request = request.mirrored(self.world)?;
        }
        request.amend = AmendTrade {
            new_price: Price(request.price),
            ..trade.unwrap_or_else(|| words::no_trade(request.trade))
        };
        self.apply(&request)
    }

    fn symbol(&self, symbol: &str) -> Result<InstrumentId, String> {
        let found = self.world.symbol(symbol);
        found.ok_or_else(|| format!("symbol {symbol:?} is unknown"))
    }

    fn view(&self) -> View<'_> {
        View {
            world: self.world,
            mirrored: self.mirrored,
            names: &self.names,
            quotes: &self.quotes,
        }
    }

    /// Who speaks, and under which number: what the session has, unless the line says otherwise.
    fn header(&self, request: &Request) -> CommandHeader {
        let session = request.session.map_or(0, |c| self.world.session_id(c));
        let state = self
            .engine
            .sessions()
            .find(|state| session != 0 && state.definition.session.0 == session);
        let generation = request.generation.unwrap_or_else(|| match state {
            Some(state) if request.kind != CommandKind::SessionLogon => {
                state.generation - u32::from(request.stale)
            }
            _ => 0,
        });
        CommandHeader {
            sequence: Sequence(self.engine.sequence().0 + 1),
            sequenced_at: UtcNanos(self.clock),
            received_at: UtcNanos(self.clock),
            session: SessionId(session),
            generation: Generation(generation),
            inbound_seq: request
                .sequence
                .unwrap_or_else(|| state.map_or(0, |state| next_inbound(state, request))),
            ..CommandHeader::default()
        }
    }

    /// Applies one command and says what it caused.
    fn apply(&mut self, request: &Request) -> Result<Vec<String>, String> {
        let sealed = words::build(request, self.header(request));
        let mut events = Vec::new();
        let (header, body) = command::read(sealed.as_bytes()).map_err(|error| error.to_string())?;
        typed(&mut self.engine, header, body, &mut events)?;
        let mut lines = Vec::new();
        let mut rest = events.as_slice();
        while !rest.is_empty() {
            let (event, body) = event::read(rest).map_err(|error| error.to_string())?;
            rest = &rest[event.length as usize..];
            if let EventBody::OrderAccepted(event::OrderAccepted { order })
            | EventBody::OrderAcceptedWithTerms(event::OrderAcceptedWithTerms {
                order, ..
            })
            | EventBody::OrderReplaced(event::OrderReplaced { order, .. })
            | EventBody::OrderReplacedWithTerms(event::OrderReplacedWithTerms {
                replaced: event::OrderReplaced { order, .. },
                ..
            }) = body
            {
                let name = (event.session, order.client_order_id);
                self.names.insert(order.order_id.0, name);
                self.known.insert((name.0.0, name.1), order.order_id);
            }
            self.learn(event, &body);
            lines.push(lines::line(&self.view(), event, body));
            if let Ok(reason) = Reason::try_from(event.reason)
                && reason != request.reason
            {
                self.reasons.insert(reason);
            }
            if let EventBody::MassQuoteAnswered(answer) = body {
                let asked = request.entries.iter();
                let found = asked
                    .zip(&answer.results)
                    .filter(|(e, _)| e.edge_reason == 0);
                let found = found.flat_map(|(_, result)| [result.bid_reason, result.ask_reason]);
                self.reasons
                    .extend(found.filter_map(|code| Reason::try_from(code).ok()));
            }
        }
        self.auditor.check(&self.engine, header, request, &events)?;
        self.log.push((sealed, events));
        Ok(lines)
    }

    /// What quotes are called, and what traded.
    fn learn(&mut self, header: &EventHeader, body: &EventBody<'_>) {
        match body {
            EventBody::MassQuoteAnswered(event) => {
                let group = event.head.protection_group;
                for result in &event.results {
                    for (side, order) in [
                        (Side::Buy, result.bid_order),
                        (Side::Sell, result.ask_order),
                    ] {
                        let quoted = Quoted {
                            session: header.session,
                            group,
                            instrument: result.instrument,
                            layer: result.layer,
                            side,
                        };
                        self.learn_quote(order, quoted);
                    }
                }
            }
            EventBody::Fill(fill) => self.learn_fill(header, fill, false),
            EventBody::QuoteFill(quote) => self.learn_fill(header, &quote.fill, true),
            EventBody::OrderCanceled(event) => self.learn_report(&event.order),
            EventBody::QuoteCanceled(event) => self.learn_report(&event.canceled.order),
            EventBody::OrderReplaced(event) => self.learn_report(&event.order),
            EventBody::OrderReplacedWithTerms(event) => self.learn_report(&event.replaced.order),
            EventBody::TradeAmended(event) => {
                self.learn_report(&event.order);
                self.learn_correction(event);
            }
            _ => {}
        }
    }

    /// `order ACME.bid`, `order g1.ACME/2.ask` name it, too.
    fn learn_quote(&mut self, order: OrderId, quoted: Quoted) {
        if order.0 == 0 {
            return;
        }
        self.quotes.insert(order.0, quoted);
        let words = self.view().quote_name(&quoted);
        let text = words.split(' ').skip(1).collect::<Vec<_>>().join(".");
        if let Ok(id) = ClientOrderId::from_text(text.as_bytes()) {
            self.known.insert((quoted.session.0, id), order);
        }
    }

    fn learn_report(&mut self, order: &OrderState) {
        self.reported.insert(order.order_id.0, *order);
    }

    fn learn_fill(&mut self, header: &EventHeader, fill: &Fill, is_quote: bool) {
        self.learn_report(&fill.order);
        let half = AmendedFill {
            order: fill.order,
            session: header.session,
            liquidity: fill.liquidity,
            is_quote: u8::from(is_quote),
            ..AmendedFill::default()
        };
        match self.trades.last_mut() {
            Some(trade) if trade.trade_id == fill.trade_id => trade.fills[1] = half,
            _ => self.trades.push(AmendTrade {
                trade_id: fill.trade_id,
                price: fill.last_price,
                quantity: fill.last_quantity,
                fills: [half, AmendedFill::default()],
                ..AmendTrade::default()
            }),
        }
    }

    /// The next amendment of the trade starts from this one.
    fn learn_correction(&mut self, event: &TradeAmended) {
        let mut trades = self.trades.iter_mut();
        let trade = trades.find(|trade| trade.trade_id == event.trade_id);
        if let Some(trade) = trade.filter(|_| event.new_price != NO_PRICE) {
            trade.price = event.new_price;
            let mut sides = trade.fills.iter_mut().map(|fill| &mut fill.order);
            let of = sides.find(|order| order.order_id == event.order.order_id);
            *of.unwrap() = event.order;
        }
    }

    /// An engine made of another's snapshot, which goes on in its place.
    fn restored(&self, engine: &Engine, index: usize) -> Result<Engine, String> {
        let broken = |why: &str| format!("Invariant: a snapshot after command {index}: {why}");
        let bytes = engine.save().ok_or_else(|| broken("is refused"))?;
        let again = Engine::restore(self.world.limits, &bytes)
            .map_err(|error| broken(&error.to_string()))?;
        if again.save().as_ref() == Some(&bytes) {
            Ok(again)
        } else {
            Err(broken("is another one when taken again"))
        }
    }

    /// The recorded commands, given to a fresh engine as bytes, which is saved and restored after
    /// each of them: the same events, the same state.
    fn replay(&self) -> Result<(), String> {
        let mut engine = Engine::new(self.world.limits);
        for (index, (command, events)) in self.log.iter().enumerate() {
            // Hints that must not change anything.
            let ahead = engine.look_ahead(command.as_bytes(), |_| {});
            engine.look_closer(ahead, |_| {});
            engine.look_around(ahead, |_| {});
            let mut again = Vec::new();
            let mut progress = engine
                .apply_bytes(command.as_bytes(), &mut again)
                .map_err(|error| error.to_string())?;
            while progress == Progress::More {
                progress = engine.resume(&mut again);
            }
            if again != *events {
                return Err(format!(
                    "Invariant: a replay writes the same events; command {index} of the log wrote \
                     others"
                ));
            }
            engine = self.restored(&engine, index)?;
        }
        if engine.state_hash() == self.engine.state_hash() {
            Ok(())
        } else {
            Err("Invariant: a replay ends in the same state".into())
        }
    }
}

/// Applies step by step; no step writes more than a sink must have room for.
fn typed(
    engine: &mut Engine,
    header: &CommandHeader,
    body: CommandBody<'_>,
    events: &mut Vec<u8>,
) -> Result<(), String> {
    let mut step = Vec::new();
    let mut progress = engine.apply(header, body, &mut step);
    loop {
        let mut count = 0;
        let mut rest = step.as_slice();
        while !rest.is_empty() {
            let (event, _) = event::read(rest).map_err(|error| error.to_string())?;
            rest = &rest[event.length as usize..];
            count += 1;
        }
        if count > STEP_EVENTS_MAX || step.len() > STEP_BYTES_MAX {
            return Err(format!("Invariant: a step is bounded; {count} events came"));
        }
        events.append(&mut step);
        if progress == Progress::Done {
            return Ok(());
        }
        progress = engine.resume(&mut step);
    }
}

/// The inbound number that a well-behaved client would use next; 0 = the command has none.
fn next_inbound(state: &SessionState, request: &Request) -> u64 {
    let next = match state.protocol {
        SessionProtocol::Fix => state.inbound,
        SessionProtocol::Binary => state.inbound + 1,
    };
    match (request.kind, state.protocol) {
        (CommandKind::SessionDisconnected, _) => 0,
        (CommandKind::SessionLogon, SessionProtocol::Binary) => 0,
        (CommandKind::SessionLogon, _) if request.reset == 1 => 1,
        (CommandKind::SessionMessage, _) if request.kind_in == 0 => 0,
        _ => next,
    }
}
