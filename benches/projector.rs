//! How fast history gets into SQL: the projector's whole way (event log, orders, trades, positions, progress)
//! beside COPY of the same execution reports alone and beside one INSERT each, in the same run, on a
//! PostgreSQL of its own with the settings a server has by default, but `max_wal_size=4GB`.
//!
//! `EXECUTIONS` sets how many reports (default 1,000,000), `BATCH` the events of a batch,
//! `TEST_POSTGRES_SETTINGS` the server's settings, `TEST_DATABASE_URL` another server.
//!
//! `cargo bench --bench projector`

#[path = "../tests/support/ports.rs"]
mod ports;
#[path = "../tests/support/postgres.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod postgres;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use postgres::{Database, Postgres, block_on};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};
use trading_engine::engine::command::{
    Body, Command, DefineFirm, DefineInstrument, DefineSession, EnterOrder, Genesis, SessionLogon,
    name,
};
use trading_engine::engine::event;
use trading_engine::engine::{Engine, Progress};
use trading_engine::journal::disk::{Disk, OsDisk};
use trading_engine::journal::event_log::{self, EventLog};
use trading_engine::journal::event_tail::TailSource;
use trading_engine::limits::EngineLimits;
use trading_engine::store::projector::{BATCH_EVENTS, Projector, Settings};
use trading_engine::store::url::DatabaseUrl;
use trading_engine_protocol::types::{
    AccountId, ClientOrderId, FirmId, Generation, InstrumentId, Price, Quantity, Sequence,
    SessionId, UtcNanos,
};
use zerocopy::IntoBytes as _;

const SESSIONS: u64 = 8;
const INSTRUMENTS: u64 = 20;
/// Rows that are inserted one by one.
const SINGLE: i64 = 10_000;
const SPLIT: usize = 4 << 20;

/// A venue that only trades, into an event log.
struct Venue {
    engine: Engine,
    log: EventLog,
    random: u64,
    events: Vec<u8>,
    executions: u64,
    count: u64,
}

impl Venue {
    fn new(disk: &Arc<dyn Disk>) -> Self {
        let limits = EngineLimits {
            orders: 1 << 20,
            client_order_ids: 1 << 23,
            ..EngineLimits::default()
        };
        let mut venue = Self {
            engine: Engine::new(limits),
            log: EventLog::open(Arc::clone(disk), 1, 0, event_log::FILE_BYTES).expect("a log"),
            random: 7,
            events: Vec::new(),
            executions: 0,
            count: 0,
        };
        let genesis = Genesis {
            hash_key: 42,
            log_id: 1,
            ..Genesis::default()
        };
        venue.apply(0, genesis);
        for id in 1..=INSTRUMENTS as u32 {
            let instrument = DefineInstrument {
                instrument: InstrumentId(id),
                price_decimals: 2,
                symbol: name(&format!("SYM-{id}")).expect("a name"),
                price_unit_e8: 1_000_000,
                lot_size_e8: 100_000_000,
                tick: 1,
                price_min: Price(1),
                price_max: Price(200_000),
                quantity_min: Quantity(1),
                quantity_max: Quantity(1_000_000),
                protection_ticks: 100,
                quantity_increment: Quantity(1),
                ..DefineInstrument::default()
            };
            venue.apply(0, instrument);
        }
        for id in 1..=SESSIONS as u32 {
            let firm = DefineFirm {
                firm: FirmId(id),
                name: name(&format!("FIRM-{id}")).expect("a name"),
                ..DefineFirm::default()
            };
            venue.apply(0, firm);
            let session = DefineSession {
                session: SessionId(id),
                firm: FirmId(id),
                protocol: 2,
                name: name(&format!("session-{id}")).expect("a name"),
                ..DefineSession::default()
            };
            venue.apply(0, session);
            venue.apply(id, SessionLogon::default());
        }
        venue
    }

    fn below(&mut self, n: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((u128::from(self.random) * u128::from(n)) >> 64) as u64
    }

    /// An order near the middle: about half of them trade, some with several.
    fn order(&mut self) {
        self.count += 1;
        let session = 1 + self.below(SESSIONS) as u32;
        let order = EnterOrder {
            client_order_id: ClientOrderId::from_u64(self.count),
            price: Price(10_000 + self.below(20) as i64 - 10),
            quantity: Quantity(1 + self.below(50)),
            instrument: InstrumentId(1 + self.below(INSTRUMENTS) as u32),
            account: AccountId(1 + self.below(4) as u32),
            side: 1 + self.below(2) as u8,
            order_type: 2,
            ..EnterOrder::default()
        };
        self.apply(session, order);
    }

    fn apply<B: Body>(&mut self, session: u32, body: B) {
        let mut command = Command::new(body);
        let sequence = self.engine.sequence().0 + 1;
        command.header.sequence = Sequence(sequence);
        command.header.sequenced_at = UtcNanos(1_790_000_000_000_000_000 + sequence * 1_000);
        command.header.session = SessionId(session);
        command.header.generation = Generation(u32::from(session != 0 && B::KIND as u8 >= 20));
        let bytes = command.to_bytes();
        let mut words = vec![0u64; bytes.len() / 8];
        words.as_mut_bytes().copy_from_slice(&bytes);
        self.events.clear();
        let bytes = words.as_bytes();
        let mut progress = self
            .engine
            .apply_bytes(bytes, &mut self.events)
            .expect("a command");
        while progress == Progress::More {
            progress = self.engine.resume(&mut self.events);
        }
        let mut rest = self.events.as_slice();
        while let Ok((header, _)) = event::read(rest) {
            self.executions += u64::from((20..30).contains(&header.kind));
            self.log.append(header, rest).expect("room on the disk");
            rest = &rest[header.length as usize..];
        }
        self.log.complete(sequence).expect("room on the disk");
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Says a rate and how it stands to the first one.
fn say(what: &str, rows: u64, took: Duration, floor: f64) -> f64 {
    let rate = rows as f64 / took.as_secs_f64();
    let part = if floor > 0.0 { rate / floor } else { 1.0 };
    println!(
        "{what:<52} {rows:>9} rows {:>7.2} s {rate:>9.0} rows/s  {part:>5.2} x",
        took.as_secs_f64()
    );
    rate
}

/// The projector, from an empty database to all of it.
fn project(url: &DatabaseUrl, source: &TailSource, last: u64) -> (Duration, u64) {
    let batch_events = number("BATCH").unwrap_or(BATCH_EVENTS);
    let settings = Settings {
        migrates: true,
        batch_events,
    };
    // Tables are made before the clock runs.
    block_on(trading_engine::store::migrate::up(url)).expect("a database");
    let begun = Instant::now();
    let projector = Projector::start(url.clone(), source.clone(), settings).expect("a thread");
    let status = projector.status();
    while status.figures().sequence < last {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let took = begun.elapsed();
    let figures = status.figures();
    assert!(projector.stop(Duration::from_secs(30)));
    (took, figures.rows)
}

/// The same reports into a table like it, by COPY alone: with its indexes, and without.
async fn copies(connection: &mut PgConnection) -> (Vec<Duration>, u64) {
    let stream = connection
        .copy_out_raw("COPY (SELECT * FROM executions ORDER BY exec_id) TO STDOUT (FORMAT binary)")
        .await
        .expect("COPY TO");
    let bytes: Vec<u8> = stream
        .try_fold(Vec::new(), |mut all, some| async move {
            all.extend_from_slice(&some);
            Ok(all)
        })
        .await
        .expect("COPY TO");
    let mut times = Vec::new();
    let mut rows = 0;
    for (table, including) in [("with_indexes", "INCLUDING ALL"), ("bare", "")] {
        let text = format!("CREATE TABLE {table} (LIKE executions {including})");
        connection
            .execute(AssertSqlSafe(text))
            .await
            .expect("a table");
        let begun = Instant::now();
        let text = format!("COPY {table} FROM STDIN (FORMAT binary)");
        let mut copy = connection.copy_in_raw(&text).await.expect("COPY");
        for part in bytes.chunks(SPLIT) {
            copy.send(part).await.expect("COPY");
        }
        rows = copy.finish().await.expect("COPY");
        times.push(begun.elapsed());
    }
    (times, rows)
}

/// One prepared INSERT a row: each its own transaction, then a thousand in one.
async fn inserts(connection: &mut PgConnection) -> Vec<Duration> {
    let columns = sqlx::query(
        "SELECT column_name::TEXT, data_type::TEXT FROM information_schema.columns \
         WHERE table_name = 'executions' ORDER BY ordinal_position",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("columns");
    let columns: Vec<(String, bool)> = columns
        .iter()
        .map(|row| (row.get(0), row.get::<String, _>(1) == "text"))
        .collect();
    let select: Vec<String> = columns
        .iter()
        .map(|(name, text)| {
            if *text {
                name.clone()
            } else {
                format!("{name}::BIGINT")
            }
        })
        .collect();
    let text = format!(
        "SELECT {} FROM executions LIMIT {SINGLE}",
        select.join(", ")
    );
    let rows = sqlx::query(AssertSqlSafe(text))
        .fetch_all(&mut *connection)
        .await
        .expect("rows");
    let places: Vec<String> = (1..=columns.len()).map(|at| format!("${at}")).collect();
    let mut times = Vec::new();
    for (table, in_one) in [("single", 1), ("single_in_one", 1_000)] {
        let text = format!("CREATE TABLE {table} (LIKE executions INCLUDING ALL)");
        connection
            .execute(AssertSqlSafe(text))
            .await
            .expect("a table");
        let insert: Arc<str> = format!("INSERT INTO {table} VALUES ({})", places.join(", ")).into();
        let begun = Instant::now();
        for some in rows.chunks(in_one) {
            let mut transaction = connection.begin().await.expect("a transaction");
            for row in some {
                let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&insert)));
                for (at, (_, text)) in columns.iter().enumerate() {
                    query = if *text {
                        query.bind(row.get::<Option<String>, _>(at))
                    } else {
                        query.bind(row.get::<Option<i64>, _>(at))
                    };
                }
                query.execute(&mut *transaction).await.expect("an insert");
            }
            transaction.commit().await.expect("a commit");
        }
        times.push(begun.elapsed());
    }
    times
}

fn main() {
    // `cargo bench` hands over its own arguments; there is one thing to measure.
    let wanted = number("EXECUTIONS").unwrap_or(1_000_000);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(folder.path()).expect("a folder"));
    let begun = Instant::now();
    let mut venue = Venue::new(&disk);
    while venue.executions < wanted {
        venue.order();
    }
    venue.log.flush().expect("room on the disk");
    println!(
        "{} orders, {} execution reports in the event log after {:.1} s",
        venue.count,
        venue.executions,
        begun.elapsed().as_secs_f64()
    );
    let source = TailSource::new(disk, 1, venue.log.head());
    let last = venue.engine.sequence().0;

    if std::env::var_os("TEST_POSTGRES_SETTINGS").is_none() {
        println!("PostgreSQL with max_wal_size=4GB, else its default settings, fsync included");
    }
    let server = Arc::new(Postgres::start_with("max_wal_size=4GB"));
    let database = Database::on(server);
    let url = database.parsed();
    let (took, rows) = project(&url, &source, last);
    let DatabaseUrl::Postgres(options) = &url else {
        unreachable!("it is PostgreSQL");
    };
    block_on(async {
        let options = options
            .as_ref()
            .clone()
            .options([("synchronous_commit", "off")]);
        let mut connection = PgConnection::connect_with(&options)
            .await
            .expect("a connection");
        let (copies, copied) = copies(&mut connection).await;
        assert_eq!(copied, venue.executions, "every report is a row");
        let inserts = inserts(&mut connection).await;
        let floor = say(
            "COPY alone, executions, with its indexes",
            copied,
            copies[0],
            0.0,
        );
        say("COPY alone, executions, no index", copied, copies[1], floor);
        say(
            "projector: executions, of all it writes",
            copied,
            took,
            floor,
        );
        say("projector: rows of tables that grow", rows, took, floor);
        let single = SINGLE.unsigned_abs().min(copied);
        say("INSERT, one row a transaction", single, inserts[0], floor);
        say(
            "INSERT, 1,000 rows a transaction",
            single,
            inserts[1],
            floor,
        );
        connection.close().await.expect("a connection");
    });
    let file = tempfile::tempdir().expect("a temporary folder");
    let (took, _) = project(&DatabaseUrl::embedded(file.path()), &source, last);
    say(
        "projector into SQLite: executions",
        venue.executions,
        took,
        0.0,
    );
}
