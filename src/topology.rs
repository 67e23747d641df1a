//! Which threads exist, what runs on them, and which rings join them.
//!
//! ```text
//! single      one thread: gateway sequencer append sync engine history market-data
//! compact     core: gateway sequencer append engine | journal-sync | history | market-data
//! dedicated   gateway | engine: sequencer engine | journal: append | journal-sync | history
//!             | market-data
//!
//! gateway --commands 4 MiB--> sequencer --log 8 MiB--> append, engine
//! engine --events 16 MiB--> gateway, history, market-data    (up to the durable Sequence)
//! ```
//! Beside all of them, snapshots: finished segments become snapshots of the core (`journal::snapshots`);
//! nobody waits for it.
//!
//! History and market data are not woken by events: they look every few milliseconds, and at once when
//! asked something. A wake-up costs the core more than matching an order does.
//!
//! Every ring is bounded. A full one stops its writer: events the engine, the log the sequencer,
//! commands the gateway, and that the sockets.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use trading_engine_protocol::types::{
    Reason, Sequence, SessionId, TradeId, TradingPhase, UtcNanos,
};

use crate::admin::desk::Desk;
use crate::admin::mirror::{self, Mirror};
use crate::agent::{self, Agent, EngineAgent, Idle, NextDue, ThreadPlan};
use crate::clock::Clock;
use crate::config::Preset;
use crate::engine::command::{
    self, Command, DayRoll, DefineFirm, DefineSession, RULES, SessionDisconnected, SetCapacities,
};
use crate::engine::event::{EventBody, EventHeader};
use crate::engine::snapshot::SnapshotError;
use crate::engine::{Engine, Progress};
use crate::gateway::authenticator::Authenticator;
use crate::gateway::keystore::LiveKeystore;
use crate::gateway::reference::ReferenceData;
use crate::gateway::{
    Admissions, Gateway, GatewayLinks, GatewaySettings, Listeners, Outbox, Stages,
};
use crate::journal::disk::Disk;
use crate::journal::event_log::{self, EventLog};
use crate::journal::event_tail::TailSource;
use crate::journal::history::{HistoryAgent, Observer};
use crate::journal::recovery;
use crate::journal::snapshots::{self, SnapshotStats};
use crate::journal::told::Told;
use crate::journal::writer::{self, AppendAgent, Shared, SyncAgent};
use crate::journal::{JournalError, Policy};
use crate::limits::{EngineLimits, RESTART_GRACE_MS};
use crate::market_data::agent::MarketDataAgent;
use crate::market_data::feed::{Life, MarketData, TAPE_RECORDS};
use crate::market_data::market::Market;
use crate::ring::{self, Cursor, Doorbell, Reader, Writer, prefer_large_pages};
use crate::sequencer::{LocalLog, Sequencer};
use crate::telemetry::business::Tally;
use crate::telemetry::{Edge, Histogram, Ring, VenueMetrics};

const COMMAND_RING: usize = 4 << 20;
const LOG_RING: usize = 8 << 20;
const EVENT_RING: usize = 16 << 20;

/// What a venue is made of.
pub struct VenueSettings {
    /// Which agents share threads.
    pub preset: Preset,
    /// What threads do when idle.
    pub idle: Idle,
    /// Cores to pin to, in the order of the threads; empty = none.
    pub cores: Vec<usize>,
    /// Threads that serve sockets; more than one only in [`Preset::Dedicated`].
    pub gateway_threads: u8,
    /// When events may leave.
    pub policy: Policy,
    /// Journal segment size.
    pub segment_bytes: u64,
    /// Engine capacities.
    pub limits: EngineLimits,
    /// Gateway bounds.
    pub gateway: GatewaySettings,
    /// Event log file size.
    pub event_file_bytes: u64,
    /// Whether a start uses snapshots, and finished segments give new ones.
    pub snapshots: bool,
}

/// A venue whose journal has been read: nothing runs yet.
pub struct Recovered {
    disk: Arc<dyn Disk>,
    engine: Engine,
    position: writer::Position,
    event_log: EventLog,
    tail: TailSource,
    market: Market,
    /// Commands of the log.
    pub commands: u64,
    /// How many of them came from a snapshot.
    pub from_snapshot: u64,
    log_id: u64,
    /// Time it took.
    pub took: Duration,
    /// Whether the log is new.
    pub is_new: bool,
    /// What was cut: file, offset, bytes.
    pub torn: Option<(String, u64, u64)>,
}

impl fmt::Debug for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovered")
            .field("commands", &self.commands)
            .finish_non_exhaustive()
    }
}

/// Reads the journal (or makes one) and rebuilds engine, event log and books from it.
///
/// # Errors
/// Damage, I/O, or commands this build does not know.
pub fn recover(
    disk: Arc<dyn Disk>,
    event_disk: Arc<dyn Disk>,
    settings: &VenueSettings,
    new_log_id: u64,
) -> Result<Recovered, JournalError> {
    let started = Instant::now();
    let fresh = |logged: Option<EngineLimits>| {
        let engine = Engine::new(logged.unwrap_or(settings.limits));
        // What the replay writes is to be in large pages, too.
        engine.memory(prefer_large_pages);
        engine
    };
    let exists = recovery::exists(disk.as_ref())?;
    // The event log must know where the journal ends before it is told what replay gives.
    let last = if exists {
        recovery::inspect(disk.as_ref(), |_| ())?
    } else {
        Default::default()
    };
    let log_id = if exists { last.log_id } else { new_log_id };
    let mut event_log = EventLog::open(
        Arc::clone(&event_disk),
        log_id,
        last.sequence,
        settings.event_file_bytes,
    )?;
    snapshots::forget_lost(disk.as_ref(), last.sequence)?;
    let mut engine = if settings.snapshots {
        // What the event log lacks has to be made again.
        let not_after = last.sequence.min(event_log.sequence());
        snapshots::restore(disk.as_ref(), log_id, not_after, fresh)?.engine
    } else {
        fresh(None)
    };
    let mut market = market_of(&engine);
    let from_snapshot = engine.sequence().0;
    if from_snapshot > 0 {
        let tail = TailSource::new(Arc::clone(&event_disk), log_id, event_log.head());
        let first_trade = engine.first_trade_of_day();
        if let Err(error) = remember_day(&mut market, &tail, from_snapshot, first_trade) {
            tracing::warn!(%error, "statistics of the day begin with this start");
        }
    }
    let tail = TailSource::new(Arc::clone(&event_disk), log_id, event_log.head());
    let mut told = Told::from_sequence(&tail, from_snapshot + 1)?;
    let mut bytes = Vec::new();
    let mut failed = None;
    let (position, summary) =
        recovery::open_or_create(&disk, new_log_id, settings.segment_bytes, |command| {
            let behind = command::read_sequence(command).is_none_or(|at| at > from_snapshot);
            if failed.is_none() && behind {
                failed = replay_one(
                    &mut engine,
                    command,
                    &mut bytes,
                    &mut told,
                    &mut event_log,
                    &mut market,
                )
                .err();
            }
        })?;
    if let Some(error) = failed {
        return Err(error);
    }
    // Not before: the log may have said other capacities meanwhile, and the core be in other memory.
    engine.touch(prefer_large_pages);
    event_log.complete(engine.sequence().0)?;
    // Who follows the events finds all of the journal's.
    event_log.flush()?;
    Ok(Recovered {
        tail: TailSource::new(event_disk, log_id, event_log.head()),
        disk,
        commands: engine.sequence().0,
        from_snapshot,
        log_id,
        engine,
        position,
        event_log,
        market,
        took: started.elapsed(),
        is_new: summary.is_none(),
        torn: summary.and_then(|summary| summary.torn),
    })
}

/// Market data of an engine that was restored.
fn market_of(engine: &Engine) -> Market {
    let mut orders = Vec::new();
    engine.open_orders_in_full(|order| orders.push(*order));
    let instruments: Vec<_> = engine.instrument_states().collect();
    let mut market = Market::default();
    market.begin_with(
        engine.sequence(),
        engine.trading_day(),
        engine.first_trade_of_day(),
        &instruments,
        &orders,
    );
    market
}

/// Commands before a snapshot in which the day's first trade is looked for at first.
const DAY_LOOK: u64 = 1 << 16;

/// Statistics and trades of the day before command `until`, which a snapshot of the core does not have.
fn remember_day(
    market: &mut Market,
    log: &TailSource,
    until: u64,
    first_trade: TradeId,
) -> Result<(), JournalError> {
    // A day has no place in the log that a snapshot knows: further and further back, until a trade of
    // the day before is met.
    let mut look = DAY_LOOK;
    let from = loop {
        let from = until.saturating_sub(look).max(1);
        if from == 1 || oldest_trade(log, from, until)?.is_some_and(|oldest| oldest < first_trade) {
            break from;
        }
        look = look.saturating_mul(4);
    };
    let mut events = log.from_sequence(from)?;
    while let Some((_, header, body)) = events.read_next()? {
        if header.sequence.0 > until {
            break;
        }
        market.remember(header, &body);
        market.keep_trades(TAPE_RECORDS);
    }
    Ok(())
}

fn oldest_trade(log: &TailSource, from: u64, until: u64) -> Result<Option<TradeId>, JournalError> {
    let mut events = log.from_sequence(from)?;
    while let Some((_, header, body)) = events.read_next()? {
        match body {
            _ if header.sequence.0 > until => break,
            EventBody::Fill(fill) => return Ok(Some(fill.trade_id)),
            EventBody::QuoteFill(quote) => return Ok(Some(quote.fill.trade_id)),
            _ => {}
        }
    }
    Ok(None)
}

fn replay_one(
    engine: &mut Engine,
    command: &[u8],
    bytes: &mut Vec<u8>,
    told: &mut Told,
    event_log: &mut EventLog,
    market: &mut Market,
) -> Result<(), JournalError> {
    let mut progress = {
        bytes.clear();
        engine.replay_bytes(command, bytes).map_err(|error| {
            let why = format!("after Sequence {}: {error}", engine.sequence());
            JournalError::damaged("journal", 0, why)
        })?
    };
    loop {
        for (header, body, event) in event_log::events(bytes) {
            if !told.sees(header, &body, event)? {
                event_log.append(header, event)?;
            }
            market.apply(header, &body);
        }
        market.keep_trades(TAPE_RECORDS);
        if progress == Progress::Done {
            break;
        }
        bytes.clear();
        progress = engine.resume(bytes);
    }
    told.finished(engine.sequence().0)?;
    event_log.complete(engine.sequence().0)
}

impl Recovered {
    /// Firms the log defines.
    pub fn firms(&self) -> Vec<DefineFirm> {
        self.engine.firms().copied().collect()
    }

    /// Sessions as the log defines them.
    pub fn sessions(&self) -> Vec<DefineSession> {
        let sessions = self.engine.sessions();
        sessions.map(|session| session.definition).collect()
    }

    /// Where every event can be read in order, those to come included.
    pub fn tail(&self) -> TailSource {
        self.tail.clone()
    }

    /// Whether the log defines a session.
    pub fn knows(&self, session: SessionId) -> bool {
        self.engine
            .sessions()
            .any(|known| known.definition.session == session)
    }

    /// The trading day the log is in, 0 = none yet.
    pub fn trading_day(&self) -> u32 {
        self.engine.trading_day()
    }

    /// Time of the last command.
    pub fn sequenced_at(&self) -> UtcNanos {
        self.engine.sequenced_at()
    }

    /// Hash of the recovered state.
    pub fn state_hash(&self) -> u64 {
        self.engine.state_hash()
    }

    /// Whether the state has its place within these capacities.
    ///
    /// # Errors
    /// What there is more of.
    pub fn fits(&self, limits: EngineLimits) -> Result<(), SnapshotError> {
        if limits == self.engine.limits() {
            return Ok(());
        }
        self.engine.with_room_for(limits).map(drop)
    }

    /// Starts every thread. `commands` are sequenced first (a new log's genesis and definitions).
    ///
    /// # Errors
    /// When a thread or a poller cannot be had.
    pub fn start(
        self,
        settings: &VenueSettings,
        binary: TcpListener,
        fix: TcpListener,
        keystore: LiveKeystore,
        commands: &[Vec<u8>],
        clock: &Clock,
    ) -> io::Result<Venue> {
        Venue::start(self, settings, binary, fix, keystore, commands, clock)
    }
}

/// Shows the mirror what happened.
struct Mirroring(Mirror);

impl Observer for Mirroring {
    fn event(&mut self, header: &EventHeader, bytes: &[u8]) {
        self.0.see(header, bytes);
    }
}

/// Shows the desk what became of what it asked for.
struct Answering(Desk);

impl Observer for Answering {
    fn event(&mut self, header: &EventHeader, bytes: &[u8]) {
        self.0.see(header, bytes);
    }
}

fn locked(commands: &Mutex<Outbox>) -> MutexGuard<'_, Outbox> {
    commands.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The desk, whose commands go through the venue's own ring.
fn desk(commands: &Arc<Mutex<Outbox>>, journal: &Arc<Shared>, clock: &Clock) -> Desk {
    let (commands, journal) = (Arc::clone(commands), Arc::clone(journal));
    let send = move |batch: &[Vec<u8>]| {
        let mut outbox = locked(&commands);
        let room = outbox.accepts_input();
        if room {
            batch.iter().for_each(|command| outbox.send_bytes(command));
        }
        outbox.publish();
        room
    };
    let failed = move || journal.has_failed();
    Desk::new(Arc::new(send), Box::new(failed), clock.clone())
}

/// The mirror of an engine that was restored.
fn begin_mirror(mirror: &Mirror, engine: &Engine) {
    mirror.write(|reference| {
        for state in engine.instrument_states() {
            let id = state.definition.instrument;
            let phase = TradingPhase::try_from(state.phase).unwrap_or(TradingPhase::Continuous);
            reference.begin_instrument(
                &state.definition,
                (phase, state.until),
                engine.is_held(id),
                state.reference,
            );
        }
        for firm in engine.firms() {
            reference.firms.insert(firm.firm.0, *firm);
        }
        for session in engine.sessions() {
            reference.begin_session(mirror::Session {
                definition: session.definition,
                connected: session.connected,
                generation: session.generation,
                epoch: session.epoch,
                since: UtcNanos(0),
                closed: Reason::None,
            });
        }
        for table in engine.tick_tables() {
            reference.tick_tables.insert(table.table, *table);
        }
        engine
            .risk_limits()
            .for_each(|set| reference.set_limits(&set));
        engine.accounts().for_each(|set| reference.set_account(set));
        engine.kill_switches(|block| {
            reference.blocks.insert(mirror::Block {
                scope: block.scope,
                target: block.target,
                firm: block.firm,
                by_venue: block.by_venue,
            });
        });
        reference.trading_day = engine.trading_day();
    });
}

/// The command that begins a trading day.
pub fn day_roll(trading_day: u32) -> Vec<u8> {
    let roll = DayRoll {
        trading_day,
        reserved: 0,
    };
    Command::new(roll).to_bytes()
}

/// A running venue.
pub struct Venue {
    journal: Arc<Shared>,
    applied: Cursor,
    /// The last of the commands that start the venue.
    opens_at: Sequence,
    commands: Arc<Mutex<Outbox>>,
    desk: Desk,
    mirror: Mirror,
    draining: Arc<AtomicBool>,
    /// Gateway threads.
    edges: Vec<Edge>,
    /// Threads in the order they stop in.
    threads: Vec<(JoinHandle<()>, Arc<AtomicBool>)>,
    market_data: MarketData,
    metrics: VenueMetrics,
}

impl fmt::Debug for Venue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Venue")
            .field("journal", &self.journal)
            .finish_non_exhaustive()
    }
}

/// How many threads are pinned, if there are cores for them: the first so many of `CORES`.
pub fn pinned_threads(preset: Preset, gateway_threads: u8) -> usize {
    match preset {
        Preset::Single | Preset::Compact => 1,
        Preset::Dedicated => usize::from(gateway_threads) + 2,
    }
}

/// A doorbell that unparks a thread that does not exist yet.
fn bell() -> (Arc<Doorbell>, Arc<OnceLock<Thread>>) {
    let thread: Arc<OnceLock<Thread>> = Arc::default();
    let target = Arc::clone(&thread);
    let doorbell = Doorbell::new(move || {
        if let Some(thread) = target.get() {
            thread.unpark();
        }
    });
    (Arc::new(doorbell), thread)
}

/// What is shown of a ring, whose readers are called so.
fn gauged(name: &str, ring: &Writer, readers: &[impl ToString]) -> Ring {
    Ring {
        name: name.to_owned(),
        gauge: ring.gauge(),
        readers: readers.iter().map(ToString::to_string).collect(),
    }
}

fn pair(mut readers: Vec<Reader>) -> (Reader, Reader) {
    let second = readers.pop().expect("Invariant: made with two readers");
    let first = readers.pop().expect("Invariant: made with two readers");
    (first, second)
}

impl Venue {
    fn start(
        recovered: Recovered,
        settings: &VenueSettings,
        binary: TcpListener,
        fix: TcpListener,
        keystore: LiveKeystore,
        commands: &[Vec<u8>],
        clock: &Clock,
    ) -> io::Result<Self> {
        let Recovered {
            disk,
            engine,
            position,
            event_log,
            market,
            log_id,
            from_snapshot,
            ..
        } = recovered;
        let snapshots_of = settings.snapshots.then(|| Arc::clone(&disk));
        let sequence = engine.sequence();
        let sequenced_at = engine.sequenced_at();

        // Recovery ended where the last life did; whoever was connected then is not now.
        let gone = disconnects(&engine);
        let room = capacities(&engine, settings.limits);
        // Nothing is before a genesis.
        let (genesis, others) = commands.split_at(usize::from(sequence.0 == 0).min(commands.len()));
        let first: Vec<&Vec<u8>> = (genesis.iter().chain(&room))
            .chain(others)
            .chain(&gone)
            .collect();
        let opens_at = Sequence(sequence.0 + first.len() as u64);

        let dedicated = settings.preset == Preset::Dedicated;
        let single = settings.preset == Preset::Single;
        let gateways = if dedicated {
            settings.gateway_threads.max(1)
        } else {
            1
        };

        let (venue_commands, venue_out) = ring::channel(COMMAND_RING, 1);
        let (mut log_ring, log_readers) = ring::channel(LOG_RING, 2);
        let (mut event_ring, mut event_readers) =
            ring::channel(EVENT_RING, usize::from(gateways) + 2);
        let mut rings = vec![
            gauged("commands-venue", &venue_commands, &["sequencer"]),
            gauged("log", &log_ring, &["journal", "engine"]),
        ];
        let (log_to_journal, log_to_engine) = pair(log_readers);
        let (events_to_history, events_to_market_data) =
            pair(event_readers.split_off(usize::from(gateways)));

        let (appender, syncer, journal) =
            writer::start(disk, position, settings.segment_bytes, settings.policy);
        let applied = Cursor::new(sequence.0);
        let draining: Arc<AtomicBool> = Arc::default();

        let (tally, business) = Tally::new(
            engine.instruments().copied(),
            engine.firms().copied(),
            engine.sessions().map(|session| session.definition),
            sequence.0,
        );
        let mirror = Mirror::new(engine.limits().sessions);
        begin_mirror(&mirror, &engine);
        let commands_of_venue = Arc::new(Mutex::new(Outbox::new(venue_commands)));
        let desk = desk(&commands_of_venue, &journal, clock);
        // Who is told of an outcome finds it in the mirror.
        let observers: Vec<Box<dyn Observer>> = vec![
            Box::new(tally),
            Box::new(Mirroring(mirror.clone())),
            Box::new(Answering(desk.clone())),
        ];
        let (history, mut history_desk) = HistoryAgent::new(
            events_to_history,
            journal.durable().clone(),
            applied.clone(),
            event_log,
            observers,
        );
        let (market_data_agent, mut market_data) = MarketDataAgent::new(
            events_to_market_data,
            journal.durable().clone(),
            applied.clone(),
            market,
            Life {
                log_id,
                epoch: clock.utc_now().0,
                instruments: settings.limits.instruments,
            },
        );
        let event_log_failed = history.failed();

        let readers = (0..gateways).map(|id| format!("gateway-{id}"));
        let readers: Vec<String> = readers
            .chain(["history".into(), "market-data".into()])
            .collect();
        let events = gauged("events", &event_ring, &readers);
        let syncs: Arc<Histogram> = Arc::default();
        let recorded = Arc::clone(&syncs);
        journal.times_syncs(clock.clone(), Box::new(move |ns| recorded.record(ns)));
        let snapshot_stats = Arc::new(SnapshotStats {
            sequence: AtomicU64::new(from_snapshot),
            ..SnapshotStats::default()
        });

        let mut reference = ReferenceData::default();
        engine.instruments().for_each(|definition| {
            reference.define_instrument(definition);
            let id = definition.instrument;
            if let Some(phase) = engine.phase(id) {
                // When it began nobody kept.
                reference.set_phase(id, phase, UtcNanos(0));
            }
        });
        engine
            .sessions()
            .for_each(|session| reference.define_session(&session.definition));

        engine
            .risk_limits()
            .for_each(|set| reference.set_limits(&set.limits));

        // Rings first know whom to wake, then move to their threads.
        let (engine_bell, engine_thread) = bell();
        let (journal_bell, journal_thread) = bell();
        let (sync_bell, sync_thread) = bell();
        let (history_bell, history_thread) = bell();
        let (market_bell, market_thread) = bell();

        let authenticator = Authenticator::start(&keystore)?;
        if !single {
            history_desk.wakes(Arc::clone(&history_bell));
            market_data.wakes(Arc::clone(&market_bell));
        }
        let edges: Vec<Edge> = (0..gateways).map(|_| Edge::default()).collect();
        let admissions: Arc<Admissions> = Arc::default();
        let mut listeners = Some(Listeners::new(binary, fix)?);
        let mut inputs = Vec::new();
        let (mut pollers, mut homes, mut gateway_bells) = (Vec::new(), Vec::new(), Vec::new());
        for ((id, edge), events) in (0..).zip(&edges).zip(event_readers) {
            // In presets where the sequencer shares the gateway's thread, ringing a bell nobody
            // waits on costs nothing.
            let (mut commands, out) = ring::channel(COMMAND_RING, 1);
            let name = format!("commands-{id}");
            rings.push(gauged(&name, &commands, &["sequencer"]));
            commands.wakes(Arc::clone(&engine_bell));
            inputs.extend(out);
            let journal_failed = Arc::clone(&journal);
            let recorded = Arc::clone(&edge.stages);
            let lagging = mirror.clone();
            let links = GatewayLinks {
                outbox: Outbox::new(commands),
                events,
                durable: journal.durable().clone(),
                log_failed: Box::new(move || journal_failed.has_failed()),
                authenticator: authenticator.clone(),
                history: history_desk.clone(),
                opens_at: Some(opens_at).filter(|at| *at > sequence),
                draining: Arc::clone(&draining),
                drained: Arc::clone(&edge.drained),
                stats: Arc::clone(&edge.stats),
                admissions: Arc::clone(&admissions),
                lag: Box::new(move |session, bytes| lagging.lags(session, bytes)),
                stages: Box::new(move |stages| match stages {
                    Stages::Durable(times) => {
                        for (histogram, pair) in recorded.iter().zip(times.windows(2)) {
                            histogram.record(pair[1].saturating_sub(pair[0]));
                        }
                    }
                    Stages::Sent { ns, reports } => recorded[3].record_many(ns, reports),
                }),
            };
            let of_this = GatewaySettings {
                id,
                ..settings.gateway.clone()
            };
            let (gateway, home) = Gateway::new(
                of_this,
                listeners.take(),
                reference.clone(),
                links,
                clock.clone(),
            )?;
            pollers.push(gateway);
            homes.push(home.clone());
            gateway_bells.push(Arc::new(Doorbell::new(move || home.wake())));
        }
        for gateway in &mut pollers {
            gateway.joins(homes.clone());
        }
        let gateway_bell = Arc::clone(&gateway_bells[0]);

        // Who waits on which thread: in `compact` and `single` the core sleeps in the gateway's poller.
        let core_bell = if dedicated {
            Arc::clone(&engine_bell)
        } else {
            Arc::clone(&gateway_bell)
        };
        let append_bell = if dedicated {
            Arc::clone(&journal_bell)
        } else {
            Arc::clone(&gateway_bell)
        };
        let syncing_bell = if single {
            Arc::clone(&gateway_bell)
        } else {
            Arc::clone(&sync_bell)
        };
        locked(&commands_of_venue).wakes(Arc::clone(&core_bell));
        log_ring.wakes(Arc::clone(&append_bell));
        if dedicated {
            gateway_bells
                .iter()
                .for_each(|bell| event_ring.wakes(Arc::clone(bell)));
        }
        journal.wakes(gateway_bells.clone());
        journal.wakes_syncer(syncing_bell);

        let local = LocalLog::new(
            log_ring,
            journal.durable().clone(),
            clock.clone(),
            sequence,
            sequenced_at,
        );
        inputs.extend(venue_out);
        let due = NextDue::new(engine.next_deadline());
        let mut sequencer = Sequencer::new(inputs, local, due.clone());
        let engine = EngineAgent::new(
            engine,
            log_to_engine,
            event_ring,
            clock.clone(),
            applied.clone(),
            due,
        );
        let append = AppendAgent::new(log_to_journal, appender);
        let sync = SyncAgent::new(syncer);

        {
            let mut outbox = locked(&commands_of_venue);
            for bytes in first {
                outbox.send_bytes(bytes);
            }
            outbox.publish();
        }
        sequencer.do_work();

        let mut pollers = pollers
            .into_iter()
            .map(|gateway| Box::new(gateway) as Box<dyn Agent>)
            .zip(gateway_bells);
        let (gateway, gateway_bell) = pollers
            .next()
            .expect("Invariant: there is at least one gateway");
        let sequencer: Box<dyn Agent> = Box::new(sequencer);
        let engine: Box<dyn Agent> = Box::new(engine);
        let append: Box<dyn Agent> = Box::new(append);
        let sync: Box<dyn Agent> = Box::new(sync);
        let history: Box<dyn Agent> = Box::new(history);
        let market: Box<dyn Agent> = Box::new(market_data_agent);
        let none: Arc<OnceLock<Thread>> = Arc::default();
        let mut plans = match settings.preset {
            Preset::Single => vec![(
                "venue".into(),
                vec![gateway, sequencer, append, sync, engine, history, market],
                gateway_bell,
                none,
            )],
            Preset::Compact => vec![
                (
                    "core".into(),
                    vec![gateway, sequencer, append, engine],
                    gateway_bell,
                    none,
                ),
                ("journal-sync".into(), vec![sync], sync_bell, sync_thread),
                (
                    "history".into(),
                    vec![history],
                    history_bell,
                    history_thread,
                ),
                (
                    "market-data".into(),
                    vec![market],
                    market_bell,
                    market_thread,
                ),
            ],
            Preset::Dedicated => vec![
                ("gateway-0".into(), vec![gateway], gateway_bell, none),
                (
                    "engine".into(),
                    vec![sequencer, engine],
                    engine_bell,
                    engine_thread,
                ),
                ("journal".into(), vec![append], journal_bell, journal_thread),
                ("journal-sync".into(), vec![sync], sync_bell, sync_thread),
                (
                    "history".into(),
                    vec![history],
                    history_bell,
                    history_thread,
                ),
                (
                    "market-data".into(),
                    vec![market],
                    market_bell,
                    market_thread,
                ),
            ],
        };
        // Further gateways stand, and stop, beside the first.
        for (index, (gateway, bell)) in (1..).zip(pollers) {
            let name = format!("gateway-{index}");
            plans.insert(index, (name, vec![gateway], bell, Arc::default()));
        }
        let mut threads = Vec::new();
        for (index, (name, agents, doorbell, handle)) in plans.into_iter().enumerate() {
            // Threads that wait for disks, or that nobody waits for, are neither pinned nor allowed to
            // spin.
            let beside = matches!(name.as_str(), "journal-sync" | "history" | "market-data");
            let plan = ThreadPlan {
                name,
                core: if beside {
                    None
                } else {
                    settings.cores.get(index).copied()
                },
                idle: if beside { Idle::Park } else { settings.idle },
                doorbell,
                agents,
            };
            let stop: Arc<AtomicBool> = Arc::default();
            let thread = agent::start(plan, Arc::clone(&stop))?;
            let _ = handle.set(thread.thread().clone());
            threads.push((thread, stop));
        }
        if let Some(disk) = snapshots_of {
            let stop: Arc<AtomicBool> = Arc::default();
            let (told, limits) = (Arc::clone(&stop), settings.limits);
            let stats = Arc::clone(&snapshot_stats);
            let thread = std::thread::Builder::new()
                .name("snapshots".into())
                .spawn(move || snapshots::run(&disk, log_id, limits, &told, &stats))?;
            threads.push((thread, stop));
        }
        let to_history = (events.gauge.clone(), usize::from(gateways));
        rings.push(events);
        let metrics = VenueMetrics {
            started: Instant::now(),
            topology: settings.preset.to_string(),
            edges: edges.clone(),
            rings,
            applied: applied.clone(),
            journal: Arc::clone(&journal),
            syncs,
            snapshots: snapshot_stats,
            event_log_failed,
            to_history,
            business,
        };
        Ok(Self {
            journal,
            applied,
            opens_at,
            commands: commands_of_venue,
            desk,
            mirror,
            draining,
            edges,
            threads,
            market_data,
            metrics,
        })
    }

    /// The journal's cursors and failure.
    pub fn journal(&self) -> &Arc<Shared> {
        &self.journal
    }

    /// The books, trades and statistics.
    pub fn market_data(&self) -> MarketData {
        self.market_data.clone()
    }

    /// Whether the commands that start a venue are applied and durable.
    pub fn is_settled(&self) -> bool {
        self.journal.durable().get() >= self.opens_at.0 && self.applied.get() >= self.opens_at.0
    }

    /// Where the venue's own people ask.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Reference data as the durable log has it.
    pub fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// Moves commands on that found no room before.
    pub fn publish(&self) {
        locked(&self.commands).publish();
    }

    /// Takes no more sessions and says goodbye to those there are.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether every connection is closed since [`Venue::begin_drain`].
    pub fn is_drained(&self) -> bool {
        self.edges
            .iter()
            .all(|edge| edge.drained.load(Ordering::Acquire))
    }

    /// Stops every thread in the order of the data flow; the journal is synced by its last one.
    pub fn stop(self) {
        for (thread, stop) in self.threads {
            stop.store(true, Ordering::Release);
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a thread ended in a panic");
            }
        }
    }

    /// What its threads count.
    pub fn metrics(&self) -> VenueMetrics {
        self.metrics.clone()
    }
}

/// The command that says what there is room for, if the log does not say that yet.
fn capacities(engine: &Engine, limits: EngineLimits) -> Option<Vec<u8>> {
    let is_said = engine.rules() == RULES && engine.limits() == limits;
    (!is_said).then(|| Command::new(SetCapacities::of(&limits)).to_bytes())
}

/// Commands that close what a crash left open, and give who was gone before it time to come back, too.
fn disconnects(engine: &Engine) -> Vec<Vec<u8>> {
    // One of those that are waited for speaks for all of them, before anything is due.
    let waited_for = engine
        .sessions()
        .find(|session| engine.is_waited_for(session.definition.session));
    let open = engine.sessions().filter(|session| session.connected);
    let lost = waited_for.into_iter().chain(open);
    lost.map(|session| {
        let mut command = Command::new(SessionDisconnected {
            reason: Reason::GoingAway.code(),
            // It is not they who went.
            grace_ms: RESTART_GRACE_MS,
            after_restart: u8::from(!session.connected),
            ..SessionDisconnected::default()
        });
        command.header.session = SessionId(session.definition.session.0);
        command.header.generation.0 = session.generation;
        command.header.received_at = UtcNanos(0);
        command.to_bytes()
    })
    .collect()
}

// Rings move to threads as a whole.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Writer>();
    is_send::<Reader>();
};
