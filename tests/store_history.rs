//! History in SQL, on a real PostgreSQL and on SQLite: tables that come and go, rows that are the engine's
//! events one by one, databases that are somebody else's, and what the API asks.
//!
//! `COMMANDS` sets the length of the long stream, `SEED` repeats it, `TEST_DATABASE_URL` names a server to
//! use instead of one of our own.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::busy::{Busy, LIMITS};
use support::postgres::{Database, Postgres, block_on};
use support::projected::{self, Projected, assert_same, lines_in, lines_of};
use support::settings::{number, seed};
use support::venue;
use support::workload::Random;
use trading_engine::engine::command::{
    AmendTrade, AuditNote, Body, Command, CommandHeader, CommandKind, KillSwitch, MassQuoteHead,
    QuoteEntry, SessionLogon, SetAccount, SetPhase, name,
};
use trading_engine::engine::event::{self, EventBody};
use trading_engine::engine::{Engine, Progress};
use trading_engine::journal::disk::{Disk, OsDisk};
use trading_engine::journal::event_log::EventLog;
use trading_engine::journal::event_tail::TailSource;
use trading_engine::limits::EngineLimits;
use trading_engine::store::history::{
    AuditFilter, EventFilter, ExecutionFilter, OrderFilter, OrderKey, PositionFilter, QuoteFilter,
    TradeFilter,
};
use trading_engine::store::projector::{BATCH_ROWS, Figures, Projector, Settings, State, Status};
use trading_engine::store::url::DatabaseUrl;
use trading_engine::store::users::User;
use trading_engine::store::{Store, StoreError, migrate};
use trading_engine_protocol::types::{
    AccountId, ClientOrderId, FirmId, Generation, InstrumentId, OrderId, Price, Quantity, Sequence,
    SessionId, TradeId, UtcNanos,
};
use zerocopy::{FromBytes as _, IntoBytes as _};

const LOG_ID: u64 = 0xE7E2_0001;
const PATIENCE: Duration = Duration::from_secs(300);
const DAY_NS: u64 = 86_400_000_000_000;

/// A database of a test: one or the other.
struct Target {
    url: DatabaseUrl,
    postgres: Option<Database>,
    _folder: Option<tempfile::TempDir>,
}

impl Target {
    fn postgres() -> Self {
        let database = Database::new();
        Self {
            url: database.parsed(),
            postgres: Some(database),
            _folder: None,
        }
    }

    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            url: DatabaseUrl::embedded(folder.path()),
            postgres: None,
            _folder: Some(folder),
        }
    }

    /// Ends the projector's connection in the middle of whatever it does.
    fn cut(&self) {
        let Some(database) = &self.postgres else {
            return;
        };
        let name = database.url.rsplit('/').next().unwrap();
        database.server.execute(
            "postgres",
            &format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            ),
        );
    }
}

/// An engine whose events go into an event log, and into a plain model of history.
struct World {
    busy: Busy,
    engine: Engine,
    log: EventLog,
    source: TailSource,
    model: Projected,
    events: Vec<u8>,
    /// Added to the log's time.
    shift: u64,
    asked: u64,
    plain: u64,
    random: Random,
}

impl World {
    fn new(folder: &Path, log_id: u64, seed: u64) -> Self {
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(folder).unwrap());
        let log = EventLog::open(Arc::clone(&disk), log_id, 0, 256 << 10).unwrap();
        let limits = EngineLimits {
            orders: 4_096,
            client_order_ids: 1 << 16,
            ..LIMITS
        };
        Self {
            busy: Busy::new(seed),
            engine: Engine::new(limits),
            source: TailSource::new(disk, log_id, log.head()),
            log,
            model: Projected::default(),
            events: Vec::new(),
            shift: 20_000 * DAY_NS,
            asked: 1,
            plain: 0,
            random: Random::new(seed ^ 0x0B57),
        }
    }

    /// One more command of the stream: of every kind, or a plain order of those that trade most.
    fn step(&mut self) {
        let mut command = self.busy.next(&self.engine);
        let (header, _) = CommandHeader::read_from_prefix(command.as_bytes()).unwrap();
        let is_defined = self.engine.sequence().0 > 50;
        if is_defined && self.random.below(2) == 0 {
            command = self.plain(header.sequenced_at);
        }
        let (mut header, _) = CommandHeader::read_from_prefix(command.as_bytes()).unwrap();
        header.sequenced_at = UtcNanos(header.sequenced_at.0.max(self.shift));
        if header.session.0 != 0 {
            header.received_at = UtcNanos(header.sequenced_at.0 - 1_000);
        }
        command.as_mut_bytes()[..size_of::<CommandHeader>()].copy_from_slice(header.as_bytes());
        self.apply(&command);
    }

    /// Orders of two firms that meet; now and then what stops them is taken away.
    fn plain(&mut self, at: UtcNanos) -> Vec<u64> {
        self.plain += 1;
        let session = [1, 4][self.random.below(2) as usize];
        let bytes = match self.plain % 64 {
            0 => Command::new(SetPhase {
                instrument: InstrumentId(1),
                ..SetPhase::default()
            })
            .to_bytes(),
            1 | 2 => {
                let mut logon = Command::new(SessionLogon::default());
                logon.header.session = SessionId(session);
                logon.to_bytes()
            }
            one @ 3..=8 => {
                let (scope, target) =
                    [(4, 1), (5, 0), (2, 1), (2, 2), (1, 1), (1, 4)][one as usize - 3];
                Command::new(KillSwitch {
                    scope,
                    target,
                    release: 1,
                    ..KillSwitch::default()
                })
                .to_bytes()
            }
            9 => Command::new(SetAccount {
                firm: FirmId(2),
                enabled: 1,
                ..SetAccount::default()
            })
            .to_bytes(),
            _ => {
                let side = 1 + self.random.below(2) as u8;
                let price = 9_998 + self.random.below(5) as i64;
                let quantity = 1 + self.random.below(9);
                let mut order = Command::new(venue::enter(
                    (1 << 40) + self.plain,
                    1,
                    side,
                    0,
                    price,
                    quantity,
                ));
                order.header.session = SessionId(session);
                let known = self.engine.sessions();
                let mut known = known.filter(|known| known.definition.session.0 == session);
                order.header.generation = Generation(known.next().map_or(0, |it| it.generation));
                order.to_bytes()
            }
        };
        let mut words = vec![0u64; bytes.len() / 8];
        words.as_mut_bytes().copy_from_slice(&bytes);
        let (mut header, _) = CommandHeader::read_from_prefix(words.as_bytes()).unwrap();
        header.sequence = Sequence(self.engine.sequence().0 + 1);
        header.sequenced_at = at;
        words.as_mut_bytes()[..size_of::<CommandHeader>()].copy_from_slice(header.as_bytes());
        words
    }

    /// The next command, of the venue itself.
    fn venue<B: Body>(&mut self, body: B, received_at: u64) -> Vec<u8> {
        let mut command = Command::new(body);
        command.header.sequence = Sequence(self.engine.sequence().0 + 1);
        command.header.sequenced_at = self.engine.sequenced_at();
        command.header.received_at = UtcNanos(received_at);
        command.header.generation = Generation(0);
        let bytes = command.to_bytes();
        let mut words = vec![0u64; bytes.len() / 8];
        words.as_mut_bytes().copy_from_slice(&bytes);
        self.apply(&words);
        self.events.clone()
    }

    fn apply(&mut self, command: &[u64]) {
        self.events.clear();
        let mut progress = self
            .engine
            .apply_bytes(command.as_bytes(), &mut self.events)
            .unwrap();
        while progress == Progress::More {
            progress = self.engine.resume(&mut self.events);
        }
        self.busy.saw(&self.events);
        let mut rest = self.events.as_slice();
        while let Ok((header, body)) = event::read(rest) {
            self.model.event(header, &body);
            self.log.append(header, rest).unwrap();
            rest = &rest[header.length as usize..];
        }
        self.log.complete(self.engine.sequence().0).unwrap();
    }

    /// Something that somebody asked for, with the notes around it.
    fn asked_for<B: Body>(&mut self, body: B, target: u64) {
        self.asked += 1;
        let note = |stage| AuditNote {
            actor: name("operator").unwrap(),
            target,
            action: B::KIND as u8,
            role: 3,
            stage,
            address: [7; 16],
            ..AuditNote::default()
        };
        let at = self.asked;
        self.venue(note(AuditNote::BEGINS), at);
        self.venue(body, at);
        self.venue(note(AuditNote::ENDS), at);
    }

    /// Everything so far is where the projector finds it.
    fn flush(&mut self) {
        self.log.flush().unwrap();
    }
}

fn follow(target: &Target, world: &World, batch_events: u64) -> Projector {
    let settings = Settings {
        migrates: true,
        batch_events,
    };
    Projector::start(target.url.clone(), world.source.clone(), settings).unwrap()
}

fn wait(status: &Status, what: &str, is_so: impl Fn(&Status) -> bool) {
    let begun = Instant::now();
    while !is_so(status) {
        assert!(begun.elapsed() < PATIENCE, "{what}: {status:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// All of it is in the database.
fn wait_for_all(status: &Status, world: &World) {
    let last = world.engine.sequence().0;
    wait(status, "history catches up", |status| {
        status.figures().sequence >= last
    });
}

fn check(target: &Target, world: &World) {
    assert_same(&lines_in(&target.url), &world.model.lines(&world.engine));
    let sessions = lines_of(
        &target.url,
        "SELECT CAST(session AS TEXT) || '|' || CAST(connected AS TEXT) || '|' || \
         CAST(generation AS TEXT) FROM sessions ORDER BY session",
    );
    assert_eq!(sessions, world.model.sessions());
    let of_engine: Vec<String> = world
        .engine
        .sessions()
        .map(|session| {
            let id = session.definition.session;
            format!(
                "{id}|{}|{}",
                u8::from(session.connected),
                session.generation
            )
        })
        .collect();
    assert_eq!(sessions, of_engine, "sessions are the engine's");
    let phases = lines_of(
        &target.url,
        "SELECT CAST(instrument AS TEXT) || '|' || CAST(phase AS TEXT) FROM instruments \
         ORDER BY instrument",
    );
    let of_engine: Vec<String> = world
        .engine
        .instruments()
        .map(|instrument| {
            let id = instrument.instrument;
            let phase = world.engine.phase(id).unwrap();
            format!("{id}|{}", phase.as_u8())
        })
        .collect();
    assert_eq!(phases, of_engine, "phases are the engine's");
    let seen = lines_of(
        &target.url,
        "SELECT CAST(events AS TEXT) FROM projector_progress",
    );
    assert_eq!(
        seen,
        [world.model.events_seen.to_string()],
        "each event once"
    );
}

/// The long stream: the projector follows while it grows, its connection is cut (PostgreSQL), it is
/// stopped and begun again, and the batch is now small, now large.
fn a_long_stream(target: &Target) {
    let seed = seed();
    let mut random = Random::new(seed ^ 0x0051);
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path(), LOG_ID, seed);
    let commands = number("COMMANDS").unwrap_or(50_000);
    let mut projector = Some(follow(target, &world, 2_000));
    let (mut starts, mut cuts) = (1, 0);
    let begun = Instant::now();
    for at in 0..commands {
        world.step();
        if at % 10_000 == 9_999 {
            // Another day, and now and then another partition.
            world.shift = (world.engine.sequenced_at().0 / DAY_NS + 10) * DAY_NS;
        }
        if at > 100 && random.below(400) == 0 {
            let release = u8::from(random.below(4) > 0);
            let kill = KillSwitch {
                target: 1 + random.below(4) as u32,
                scope: 1 + random.below(4) as u8,
                release,
                cancels_only: u8::from(release == 0 && random.below(4) == 0),
                ..KillSwitch::default()
            };
            world.asked_for(kill, u64::from(kill.target));
        }
        if at > 100 && random.below(2_000) == 0 {
            let note = AuditNote {
                actor: name("someone").unwrap(),
                action: AuditNote::KEY_ROTATED,
                stage: AuditNote::ALONE,
                ..AuditNote::default()
            };
            world.venue(note, 1);
        }
        if random.below(300) == 0 {
            world.flush();
        }
        if random.below(commands / 12 + 1) == 0 {
            match random.below(3) {
                0 => {
                    world.flush();
                    let old = projector.take().unwrap();
                    assert!(old.stop(PATIENCE));
                    let batch = 200 + random.below(8_000);
                    projector = Some(follow(target, &world, batch));
                    starts += 1;
                }
                _ => {
                    target.cut();
                    cuts += 1;
                }
            }
        }
    }
    world.flush();
    let projector = projector.unwrap();
    let status = projector.status();
    wait_for_all(&status, &world);
    println!(
        "{}: {commands} commands, {} events in {:.1} s, {starts} starts, {cuts} cuts, {:?}",
        target.url.kind(),
        world.model.events_seen,
        begun.elapsed().as_secs_f64(),
        status.figures()
    );
    let rows: Vec<(&str, usize)> = projected::TABLES
        .iter()
        .zip(world.model.lines(&world.engine))
        .map(|((table, ..), lines)| (*table, lines.len()))
        .collect();
    println!("rows: {rows:?}");
    assert_eq!(status.figures().lag_sequences, 0);
    assert!(status.figures().lag_seconds == 0.0);
    check(target, &world);
    assert!(projector.stop(PATIENCE));
}

#[test]
fn rows_are_the_engines_events_in_postgresql() {
    let target = Target::postgres();
    a_long_stream(&target);
    let by_default = lines_of(
        &target.url,
        "SELECT CAST(COUNT(*) AS TEXT) FROM executions_default",
    );
    assert_eq!(by_default, ["0"], "every day had its partition");
    let partitions = partitions(&target);
    for name in &partitions {
        let of = name.strip_prefix("executions_").unwrap();
        assert!(
            of == "default" || of.len() == 6,
            "a month each: {partitions:?}"
        );
    }
    assert!(partitions.len() > 1, "{partitions:?}");
}

fn partitions(target: &Target) -> Vec<String> {
    lines_of(
        &target.url,
        "SELECT relname::TEXT FROM pg_class JOIN pg_inherits ON oid = inhrelid \
         WHERE inhparent = 'executions'::regclass ORDER BY relname::TEXT",
    )
}

/// History that was begun with a partition a day goes on so until its month ends.
#[test]
fn a_month_that_has_partitions_of_days_gets_more_of_them() {
    let target = Target::postgres();
    let database = target.postgres.as_ref().unwrap();
    block_on(migrate::up(&target.url)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path(), LOG_ID, 12);
    // 2024-10-04.
    let (from, to) = (world.shift, world.shift + DAY_NS);
    database.server.execute(
        database.url.rsplit('/').next().unwrap(),
        &format!(
            "CREATE TABLE executions_20241004 PARTITION OF executions FOR VALUES FROM ({from}) TO ({to})"
        ),
    );
    (0..1_000).for_each(|_| world.step());
    // 2024-11-01.
    world.shift += 28 * DAY_NS;
    (0..1_000).for_each(|_| world.step());
    world.flush();
    let projector = follow(&target, &world, 500);
    wait_for_all(&projector.status(), &world);
    check(&target, &world);
    assert!(projector.stop(PATIENCE));
    assert_eq!(
        partitions(&target),
        [
            "executions_20241004",
            "executions_20241005",
            "executions_20241006",
            "executions_202411",
            "executions_default",
        ]
    );
    let by_default = "SELECT CAST(COUNT(*) AS TEXT) FROM executions_default";
    assert_eq!(lines_of(&target.url, by_default), ["0"]);
}

/// A server has room for some hundred locks or thousand; those of all partitions are many more.
#[test]
fn a_start_locks_the_newest_partitions_only() {
    let server = Postgres::start_with("fsync=off max_connections=10 max_locks_per_transaction=10");
    let database = Database::on(Arc::new(server));
    let target = Target {
        url: database.parsed(),
        postgres: Some(database),
        _folder: None,
    };
    let database = target.postgres.as_ref().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path(), LOG_ID, 13);
    let mut project = || {
        (0..1_000).for_each(|_| world.step());
        world.flush();
        let projector = follow(&target, &world, 500);
        let status = projector.status();
        wait(&status, "history catches up", |status| {
            let figures = status.figures();
            assert_eq!(figures.failures, 0, "{:?}", status.state());
            figures.sequence >= world.engine.sequence().0
        });
        assert!(projector.stop(PATIENCE));
    };
    project();
    // Of times long ago, each in a transaction of its own.
    database.server.execute(
        database.url.rsplit('/').next().unwrap(),
        &format!(
            "DO $$ BEGIN FOR n IN 1..500 LOOP \
             EXECUTE format('CREATE TABLE executions_old%s PARTITION OF executions \
             FOR VALUES FROM (%s) TO (%s)', n, n * {DAY_NS}, (n + 1) * {DAY_NS}); COMMIT; \
             END LOOP; END $$"
        ),
    );
    project();
}

/// Messages of [`mass_quotes`].
const MASS_QUOTES: u64 = 1_500;
/// Entries of a mass quote, and rows it comes to.
const ENTRIES: u64 = 100;

/// Mass quotes of as many entries as there may be, for instruments that are not there, in an event log.
fn mass_quotes(folder: &Path) -> (TailSource, u64) {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(folder).unwrap());
    let mut log = EventLog::open(Arc::clone(&disk), LOG_ID, 0, 64 << 20).unwrap();
    let source = TailSource::new(disk, LOG_ID, log.head());
    let mut driver = venue::Driver::world(LIMITS, 1, 1);
    let entries: Vec<QuoteEntry> = (0..ENTRIES as u32)
        .map(|entry| QuoteEntry {
            instrument: InstrumentId(1_000 + entry),
            bid_price: Price(100),
            bid_quantity: Quantity(1),
            not_stated: 2,
            ..QuoteEntry::default()
        })
        .collect();
    let mut events = Vec::new();
    for number in 1..=MASS_QUOTES {
        let head = MassQuoteHead {
            quote_id: ClientOrderId::from_u64(number),
            ..MassQuoteHead::default()
        };
        let words = driver.mass_quote(SessionId(1), &head, &entries);
        events.clear();
        driver.apply_words(&words, &mut events);
        let mut rest = events.as_slice();
        while let Ok((header, _)) = event::read(rest) {
            log.append(header, rest).unwrap();
            rest = &rest[header.length as usize..];
        }
        log.complete(driver.engine.sequence().0).unwrap();
    }
    log.flush().unwrap();
    (source, driver.engine.sequence().0)
}

/// All of them get into the database.
fn project_mass_quotes(target: &Target) -> Figures {
    let folder = tempfile::tempdir().unwrap();
    let (source, last) = mass_quotes(folder.path());
    let projector = Projector::start(target.url.clone(), source, Settings::default()).unwrap();
    let status = projector.status();
    wait(&status, "history catches up", |status| {
        status.figures().sequence >= last
    });
    assert!(projector.stop(PATIENCE));
    let rows = lines_of(&target.url, "SELECT CAST(COUNT(*) AS TEXT) FROM quotes");
    assert_eq!(rows, [(MASS_QUOTES * ENTRIES).to_string()]);
    status.figures()
}

/// They are fewer events than a batch may have, and many more rows.
#[test]
fn a_batch_of_mass_quotes_is_bounded_by_its_rows() {
    let figures = project_mass_quotes(&Target::sqlite());
    assert_eq!(figures.failures, 0);
    let batches = (MASS_QUOTES * ENTRIES).div_ceil(BATCH_ROWS);
    assert_eq!(figures.batches, batches, "{figures:?}");
}

/// A database that is too slow for a batch gets half of it, until that goes in.
#[test]
fn a_batch_that_does_not_go_in_is_halved() {
    let target = Target::postgres();
    let database = target.postgres.as_ref().unwrap();
    block_on(migrate::up(&target.url)).unwrap();
    let most = BATCH_ROWS / 3;
    database.server.execute(
        database.url.rsplit('/').next().unwrap(),
        &format!(
            "CREATE FUNCTION too_much() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF (SELECT count(*) FROM added) > {most} THEN RAISE EXCEPTION 'too much'; END IF; \
             RETURN NULL; END $$; \
             CREATE TRIGGER too_much AFTER INSERT ON quotes REFERENCING NEW TABLE AS added \
             FOR EACH STATEMENT EXECUTE FUNCTION too_much()"
        ),
    );
    let figures = project_mass_quotes(&target);
    assert_eq!(figures.failures, 2, "a whole one and a half: {figures:?}");
}

#[test]
fn rows_are_the_engines_events_in_sqlite() {
    a_long_stream(&Target::sqlite());
}

/// A failure between the end of the reports' transaction and that of the progress leaves reports beyond it.
/// They are not twice in the database, and none that the progress covers is gone.
#[test]
fn reports_beyond_the_progress_are_written_again() {
    let target = Target::postgres();
    let database = target.postgres.as_ref().unwrap();
    let name = database.url.rsplit('/').next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path(), LOG_ID, 11);
    block_on(migrate::up(&target.url)).unwrap();
    // Of commands to come that are others than the journal's: at first with no progress, then with one.
    let beyond = "INSERT INTO executions (exec_id, sequence, idx, sequenced_at, kind, reason, session, \
                  epoch, session_seq, client_order_id, instrument, account, side, order_type, \
                  time_in_force, status, quantity, leaves, cumulative) \
                  SELECT COALESCE((SELECT MAX(exec_id) FROM executions), 0) + n, 1000000000, n, \
                  COALESCE((SELECT updated_at FROM projector_progress), 1), 20, 0, 1, 1, n, '1', 1, 1, 1, 2, 0, 0, 1, 1, 0 FROM (VALUES (1), (2)) AS new (n)";
    for _ in 0..2 {
        database.server.execute(name, beyond);
        (0..2_000).for_each(|_| world.step());
        world.flush();
        let projector = follow(&target, &world, 500);
        wait_for_all(&projector.status(), &world);
        check(&target, &world);
        assert!(projector.stop(PATIENCE));
    }
}

fn migrations_and_data(target: &Target) {
    let url = &target.url;
    let applied = || {
        let status = block_on(migrate::status(url)).unwrap();
        status.iter().filter(|one| one.applied).count()
    };
    let all = block_on(migrate::status(url)).unwrap().len();
    assert_eq!(applied(), 0);
    assert!(matches!(
        block_on(migrate::check(url)),
        Err(StoreError::Migrate(_))
    ));
    assert_eq!(block_on(migrate::up(url)).unwrap(), all);
    assert_eq!(block_on(migrate::up(url)).unwrap(), 0, "again is nothing");
    assert_eq!(applied(), all);
    block_on(migrate::check(url)).unwrap();

    let user = User::new("anna", "operator", "correct horse battery").unwrap();
    block_on(async {
        let store = Store::connect(url).unwrap();
        store.upsert_user(&user).await.unwrap();
        store.close().await;
    });
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path(), LOG_ID, 5);
    (0..2_000).for_each(|_| world.step());
    let account = SetAccount {
        firm: FirmId(1),
        account: AccountId(77),
        ..SetAccount::default()
    };
    world.asked_for(account, 1);
    world.flush();
    let project = || {
        let projector = follow(target, &world, 500);
        wait_for_all(&projector.status(), &world);
        check(target, &world);
        assert!(projector.stop(PATIENCE));
    };
    project();

    // However far it goes back: what is not there any more is made again, and users stay.
    let indexes = match target.postgres {
        Some(_) => {
            "SELECT indexname::TEXT FROM pg_indexes WHERE tablename = 'executions' ORDER BY 1"
        }
        None => {
            "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'executions' \
             ORDER BY name"
        }
    };
    let details = "SELECT COALESCE(detail, '-') FROM admin_audit ORDER BY sequence, idx";
    let users = "SELECT name FROM users";
    let ask = |query: &str| lines_of(url, query);
    let newest = [ask(indexes), ask(details)];
    assert!(newest[1].iter().any(|detail| detail != "-"));
    for back in 1..all {
        assert_eq!(block_on(migrate::down(url, back)).unwrap(), back);
        assert_eq!(applied(), all - back);
        assert_eq!(ask(users), ["anna"]);
        project();
        assert_eq!([ask(indexes), ask(details)], newest, "{back} back and up");
        assert_eq!(ask(users), ["anna"]);
    }
    assert_eq!(block_on(migrate::down_to(url, 2)).unwrap(), all - 2);
    assert_eq!(block_on(migrate::down_to(url, 1)).unwrap(), 1);
    assert_eq!(block_on(migrate::down_to(url, 1)).unwrap(), 0);
    assert_eq!((applied(), ask(users)), (1, vec!["anna".to_owned()]));
    project();

    // All of it.
    assert_eq!(block_on(migrate::down(url, 99)).unwrap(), all);
    assert_eq!(applied(), 0);
    let left = match target.postgres {
        Some(_) => "SELECT tablename::TEXT FROM pg_tables WHERE schemaname = 'public'",
        None => "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    };
    assert_eq!(lines_of(url, left), ["_sqlx_migrations"]);
    project();
    assert!(ask(users).is_empty());
}

#[test]
fn tables_go_up_down_and_up_with_data_in_postgresql() {
    migrations_and_data(&Target::postgres());
}

#[test]
fn tables_go_up_down_and_up_with_data_in_sqlite() {
    migrations_and_data(&Target::sqlite());
}

/// sqlx's own tool reads the folders as they are, and finds what is embedded.
#[test]
fn migrations_on_disk_are_the_embedded_ones() {
    for (folder, target) in [
        ("migrations", Target::postgres()),
        ("migrations/sqlite", Target::sqlite()),
    ] {
        block_on(migrate::up(&target.url)).unwrap();
        let checksums = "SELECT CAST(version AS TEXT) || ' ' || description FROM _sqlx_migrations \
                         ORDER BY version";
        let applied = lines_of(&target.url, checksums);
        let migrator = block_on(sqlx::migrate::Migrator::new(Path::new(folder))).unwrap();
        let ups = migrator
            .iter()
            .filter(|one| !one.migration_type.is_down_migration());
        let found: Vec<String> = ups
            .map(|one| format!("{} {}", one.version, one.description))
            .collect();
        assert_eq!(found, applied);
        let downs = migrator
            .iter()
            .filter(|one| one.migration_type.is_down_migration());
        assert_eq!(downs.count(), found.len(), "each can be taken back");
        // Nothing to do for it, with the same checksums.
        let result = block_on(async {
            match &target.url {
                DatabaseUrl::Postgres(options) => {
                    let pool = sqlx::PgPool::connect_with(options.as_ref().clone()).await?;
                    migrator.run(&pool).await
                }
                DatabaseUrl::Sqlite(path) => {
                    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                    let pool = sqlx::SqlitePool::connect_with(options).await?;
                    migrator.run(&pool).await
                }
            }
        });
        result.unwrap();
    }
}

/// A database with the history of another journal, or of another course of this one, is left alone.
fn somebody_elses(target: &Target) {
    let (one, other, third) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let mut world = World::new(one.path(), LOG_ID, 1);
    (0..500).for_each(|_| world.step());
    world.flush();
    let projector = follow(target, &world, 100);
    wait_for_all(&projector.status(), &world);
    let before = lines_in(&target.url);

    // A second venue on the same database: whoever writes after the other notices.
    let second = follow(target, &world, 100);
    wait_for_all(&second.status(), &world);
    (0..50).for_each(|_| world.step());
    world.flush();
    wait_for_all(&projector.status(), &world);
    wait_for_all(&second.status(), &world);
    check(target, &world);
    assert!(projector.stop(PATIENCE));
    assert!(second.stop(PATIENCE));
    assert_ne!(before, lines_in(&target.url));
    let before = lines_in(&target.url);

    let refused = |world: &World, why: &str| {
        let projector = follow(target, world, 100);
        wait(&projector.status(), "it is refused", |status| {
            matches!(status.state(), State::Refused(_))
        });
        let State::Refused(reason) = projector.status().state() else {
            panic!("it was refused");
        };
        assert!(reason.contains(why), "{reason}");
        assert!(projector.stop(PATIENCE));
        assert_eq!(lines_in(&target.url), before, "nothing was written");
    };
    let mut world = World::new(other.path(), LOG_ID + 1, 1);
    (0..700).for_each(|_| world.step());
    world.flush();
    refused(&world, "journal 00000000e7e20002");
    // The same journal, where a power loss took the end and other commands came.
    let mut world = World::new(third.path(), LOG_ID, 2);
    (0..400).for_each(|_| world.step());
    world.flush();
    refused(&world, "commands were lost");
    (0..400).for_each(|_| world.step());
    world.flush();
    refused(&world, "commands were lost");
}

#[test]
fn a_database_of_another_journal_is_refused_in_postgresql() {
    somebody_elses(&Target::postgres());
}

#[test]
fn a_database_of_another_journal_is_refused_in_sqlite() {
    somebody_elses(&Target::sqlite());
}

/// The event log is made again with files of another size: the place still means the same.
#[test]
fn a_rebuilt_event_log_is_followed_on() {
    let target = Target::sqlite();
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path(), LOG_ID, 3);
    (0..3_000).for_each(|_| world.step());
    world.flush();
    let projector = follow(&target, &world, 700);
    wait_for_all(&projector.status(), &world);
    assert!(projector.stop(PATIENCE));

    let again = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(again.path()).unwrap());
    let mut log = EventLog::open(Arc::clone(&disk), LOG_ID, 0, 40_000).unwrap();
    let mut tail = world.source.from_start();
    let mut last = 0;
    while let Some((place, ..)) = tail.read_next().unwrap() {
        if place.sequence > last + 1 {
            log.complete(place.sequence - 1).unwrap();
        }
        last = place.sequence - 1;
        let bytes = tail.last_event();
        let (header, _) = event::read(bytes).unwrap();
        log.append(header, bytes).unwrap();
    }
    log.complete(world.engine.sequence().0).unwrap();
    log.flush().unwrap();
    world.source = TailSource::new(disk, LOG_ID, log.head());
    world.log = log;
    (0..1_000).for_each(|_| world.step());
    world.flush();
    let projector = follow(&target, &world, 700);
    wait_for_all(&projector.status(), &world);
    check(&target, &world);
    assert!(projector.stop(PATIENCE));
}

fn users(target: &Target) {
    block_on(migrate::up(&target.url)).unwrap();
    block_on(async {
        let store = Store::connect(&target.url).unwrap();
        assert_eq!(store.kind(), target.url.kind());
        assert!(store.ping().await.unwrap() < PATIENCE);
        assert_eq!(store.find_user("anna").await.unwrap(), None);
        let mut anna = User::new("anna", "viewer", "correct horse battery").unwrap();
        assert!(anna.password_hash.starts_with("$argon2id$"));
        assert!(anna.is_password("correct horse battery") && !anna.is_password("incorrect"));
        assert!(!format!("{anna:?}").contains("argon2"));
        store.upsert_user(&anna).await.unwrap();
        assert_eq!(store.find_user("anna").await.unwrap(), Some(anna.clone()));
        anna.role = "risk".into();
        store.upsert_user(&anna).await.unwrap();
        let bert = User::new("bert", "operator", "another long password").unwrap();
        store.upsert_user(&bert).await.unwrap();
        assert_eq!(store.list_users().await.unwrap(), [anna, bert]);
        assert!(store.disable_user("bert").await.unwrap());
        assert!(!store.disable_user("nobody").await.unwrap());
        assert!(store.find_user("bert").await.unwrap().unwrap().disabled);
        // Text is never SQL.
        assert_eq!(store.find_user("x' OR '1'='1").await.unwrap(), None);
        store.close().await;
    });
    for (name, role, password) in [
        ("", "viewer", "correct horse battery"),
        ("with space", "viewer", "correct horse battery"),
        ("anna", "boss", "correct horse battery"),
        ("anna", "viewer", "short"),
    ] {
        assert!(
            User::new(name, role, password).is_err(),
            "{name} {role} {password}"
        );
    }
}

#[test]
fn users_are_kept_in_postgresql() {
    users(&Target::postgres());
}

#[test]
fn users_are_kept_in_sqlite() {
    users(&Target::sqlite());
}

/// What the API asks, against the model; a bust whose fills history looked up is taken by the engine.
fn questions(target: &Target) {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path(), LOG_ID, 11);
    // A trade of the engine's present day, that can be busted; and an order that was replaced.
    let (mut steps, mut fresh, mut replaced) = (0, false, false);
    while steps < 4_000 || !fresh || !replaced {
        world.step();
        venue::for_each_event(&world.events, |_, body| {
            fresh &= !matches!(body, EventBody::DayRolled(_));
            fresh |= matches!(body, EventBody::Fill(_) | EventBody::QuoteFill(_));
            replaced |= matches!(body, EventBody::OrderReplaced(_));
        });
        steps += 1;
        assert!(steps < 20_000, "both come now and then");
    }
    world.asked_for(
        KillSwitch {
            scope: 9,
            ..KillSwitch::default()
        },
        3,
    );
    world.flush();
    let projector = follow(target, &world, 1_000);
    wait_for_all(&projector.status(), &world);
    let model = world.model.lines(&world.engine);
    let of = |table: &str| {
        let at = projected::TABLES
            .iter()
            .position(|(name, ..)| *name == table);
        &model[at.unwrap()]
    };
    let field = |line: &str, at: usize| line.split('|').nth(at).unwrap().to_owned();
    let trade = block_on(async {
        let store = Store::connect(&target.url).unwrap();

        // Pages meet without a gap or a double.
        let mut found = Vec::new();
        let mut cursor = None;
        loop {
            let page = store
                .executions(&ExecutionFilter::default(), cursor.as_ref(), 97)
                .await
                .unwrap();
            found.extend(page.items.iter().map(|row| row.exec_id.0.to_string()));
            let Some(next) = page.next else { break };
            cursor = Some(next.to_string().parse().unwrap());
        }
        let expected = of("executions").iter().rev();
        let expected: Vec<String> = expected.map(|line| field(line, 0)).collect();
        assert_eq!(found, expected);

        let open = OrderFilter {
            open: Some(true),
            ..OrderFilter::default()
        };
        let page = store.orders(&open, None, 1_000).await.unwrap();
        let expected = of("orders")
            .iter()
            .filter(|line| field(line, 12) != "0" && field(line, 18) == "0");
        assert_eq!(page.items.len(), expected.count());
        assert!(page.items.iter().all(|row| row.status != "filled"));

        // An order by each of its names.
        let order = of("executions")
            .iter()
            .find(|line| field(line, 5) == "21")
            .expect("an order was replaced");
        let (id, session) = (field(order, 10), field(order, 7).parse().unwrap());
        let keys = [
            OrderKey::Order(OrderId(id.parse().unwrap())),
            OrderKey::Client(SessionId(session), field(order, 12)),
            OrderKey::Execution(trading_engine_protocol::types::ExecId(
                field(order, 0).parse().unwrap(),
            )),
        ];
        for key in keys {
            let found = store.order(&key).await.unwrap();
            assert_eq!(found.len(), 1, "{key:?}");
            assert_eq!(found[0].order_id.0.to_string(), id, "{key:?}");
        }
        let nobody = OrderKey::Client(SessionId(1), "' OR 1=1 --".into());
        assert!(store.order(&nobody).await.unwrap().is_empty());

        let filter = TradeFilter {
            busted: Some(false),
            ..TradeFilter::default()
        };
        let trades = store.trades(&filter, None, 1_000).await.unwrap().items;
        let trade = trades
            .iter()
            .find(|row| row.corrected_price.is_none())
            .unwrap();
        let id = TradeId(trade.trade_id.0);
        assert_eq!(store.order(&OrderKey::Trade(id)).await.unwrap().len(), 2);
        assert_eq!(store.trade(id).await.unwrap().as_ref(), Some(trade));
        let of_trade = ExecutionFilter {
            trade_id: Some(id.0),
            ..ExecutionFilter::default()
        };
        let fills = store.executions(&of_trade, None, 10).await.unwrap().items;
        assert_eq!(fills.len(), 2);
        assert!(
            fills
                .iter()
                .all(|fill| fill.last_price.as_ref() == Some(&trade.price))
        );

        let positions = store
            .positions(&PositionFilter::default(), None, 1_000)
            .await
            .unwrap();
        assert_eq!(positions.items.len(), of("positions").len());
        let quotes = store
            .quotes(&QuoteFilter::default(), None, 50)
            .await
            .unwrap();
        assert!(quotes.items.len() == 50 && quotes.next.is_some());
        let audit = store
            .audit(&AuditFilter::default(), None, 10)
            .await
            .unwrap();
        assert_eq!(audit.items.len(), 1);
        assert_eq!(audit.items[0].action, "KillSwitch");
        assert!(audit.items[0].reason.is_some(), "there is no scope 9");
        assert!(audit.items[0].ended_sequence.is_some());
        let events = store
            .events(&EventFilter::default(), None, 1_000)
            .await
            .unwrap();
        assert!(!events.items.is_empty());
        let json = serde_json::to_value(&fills[0]).unwrap();
        assert!(
            json["exec_id"].is_string() && json["last_price"].is_string(),
            "{json}"
        );
        // A cursor of another list is an error, not a panic.
        let wrong = "1.2".parse().unwrap();
        let result = store
            .orders(&OrderFilter::default(), Some(&wrong), 10)
            .await;
        assert!(matches!(result, Err(StoreError::Data(_))));
        let fills = store.fill_of_trade(id).await.unwrap().expect("it is there");
        assert!(
            store
                .fill_of_trade(TradeId(u64::MAX))
                .await
                .unwrap()
                .is_none()
        );
        store.close().await;
        fills
    });
    let mut trade = trade;
    for (new_price, request) in [(10_000, 77), (10_025, 78), (i64::MIN, 79)] {
        let amend = AmendTrade {
            trade_id: trade.trade_id,
            price: trade.price,
            quantity: trade.quantity,
            new_price: Price(new_price),
            fills: trade.fills,
        };
        let events = world.venue(amend, request);
        let mut told = Vec::new();
        venue::for_each_event(&events, |header, body| {
            assert_eq!(header.reason, 0, "the engine takes it: {body:?} {amend:?}");
            if let EventBody::TradeAmended(amended) = body {
                told.push((amended.reference, amended.order.exec_id));
            }
        });
        let [one, other] = told[..] else {
            panic!("both sides are told: {told:?}");
        };
        assert_eq!(
            [one.0, other.0],
            trade.fills.map(|fill| fill.order.exec_id),
            "it starts from the last report"
        );
        world.flush();
        wait_for_all(&projector.status(), &world);
        trade = block_on(async {
            let store = Store::connect(&target.url).unwrap();
            let now = store.fill_of_trade(trade.trade_id).await.unwrap();
            store.close().await;
            now.unwrap()
        });
        assert_eq!(
            [one.1, other.1],
            trade.fills.map(|fill| fill.order.exec_id),
            "which is this one from now on"
        );
        assert_eq!(trade.busted, new_price == i64::MIN);
    }
    check(target, &world);
    assert_eq!(CommandKind::AmendTrade as u8, 34);
    assert!(projector.stop(PATIENCE));
}

#[test]
fn questions_are_answered_in_postgresql() {
    questions(&Target::postgres());
}

#[test]
fn questions_are_answered_in_sqlite() {
    questions(&Target::sqlite());
}
