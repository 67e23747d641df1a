//! Follows the event log into the database, exactly once: each transaction has the rows of some events and
//! the place of the last of them, and a start goes on from the place the database has. What a database takes
//! in a transaction of its own (`postgres.rs`) is there before the place, and goes at a start if it is beyond.
//!
//! A thread of its own with a runtime of its own: one half reads the log and folds events into a batch, the
//! other writes the batch before. Nothing waits for either. With the database down they try again, and
//! catch up; every failure (also of a commit whose fate is unknown) ends in the same way, by asking the
//! database how far it is. A database that has the history of another journal is never written to.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;

use super::fold::{Batch, Bound, Fold, OpenAudit, Position, signed};
use super::postgres::PostgresWriter;
use super::queries::{Kind, Queries};
use super::rows::RowSink;
use super::sqlite::SqliteWriter;
use super::url::DatabaseUrl;
use super::{Record, Sql, StoreError, migrate};
use crate::journal::event_tail::{EventTail, Place, TailSource};

/// Events of a batch at most, unless told otherwise. Three batches are in memory at a time.
pub const BATCH_EVENTS: u64 = 20_000;
/// Rows and statements of a batch at most: a mass quote is one event of up to a hundred rows, and a row is up to
/// a kilobyte of memory. Orders and trades get there with more events than [`BATCH_EVENTS`].
pub const BATCH_ROWS: u64 = 100_000;
/// What a batch is not made smaller than: a database that cannot take that much in time is down.
const BATCH_EVENTS_MIN: u64 = 100;
const BATCH_ROWS_MIN: u64 = 1_000;
/// So often a batch is halved at most; the least sizes are reached by then.
const HALVINGS_MAX: u32 = 8;
const _: () = assert!(
    BATCH_EVENTS >> HALVINGS_MAX <= BATCH_EVENTS_MIN
        && BATCH_ROWS >> HALVINGS_MAX <= BATCH_ROWS_MIN
);
/// Batches that have to get into the database before they are as large as twice that again: trying costs a
/// timeout where it fails.
const GOOD_BATCHES: u32 = 16;
/// How often the log is looked at when there was nothing.
const POLL: Duration = Duration::from_millis(20);
/// Waits between two tries while the database is down.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Longest wait for an answer: beyond what a statement may take (`postgres.rs`), so that a server that is
/// there says so itself.
const ANSWER_TIME: Duration = Duration::from_secs(90);

/// How a projector works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Applies migrations that are missing; otherwise their lack is told and waited for.
    pub migrates: bool,
    /// Events of a batch at most; rows are bounded by [`BATCH_ROWS`].
    pub batch_events: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            migrates: true,
            batch_events: BATCH_EVENTS,
        }
    }
}

/// What the projector is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It has not reached the database yet.
    #[default]
    Starting,
    /// It writes, or has nothing to write.
    Running,
    /// The database cannot be used at present, and why. It tries again.
    Down(String),
    /// The database holds another history, or one this build does not understand, and why. It looks again
    /// now and then.
    Refused(String),
}

/// The projector from outside: cheap to clone, read by health and metrics.
#[derive(Clone)]
pub struct Status {
    shared: Arc<Shared>,
    source: TailSource,
}

impl std::fmt::Debug for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Status")
            .field("state", &self.state())
            .field("figures", &self.figures())
            .finish()
    }
}

/// Numbers of a projector.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Every event of the commands up to this one is in the database.
    pub sequence: u64,
    /// Commands of the event log that are not.
    pub lag_sequences: u64,
    /// How long ago the first of them may have been, 0 = there are none.
    pub lag_seconds: f64,
    /// Events taken into account since this start.
    pub events: u64,
    /// Rows added to tables that grow since this start.
    pub rows: u64,
    /// Transactions since this start.
    pub batches: u64,
    /// Failures since this start; each is tried again.
    pub failures: u64,
}

impl Status {
    /// What it is about.
    pub fn state(&self) -> State {
        self.shared.lock().clone()
    }

    /// How long the database takes for what it is given.
    pub fn queries(&self) -> &Queries {
        &self.shared.queries
    }

    /// Its numbers.
    pub fn figures(&self) -> Figures {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let shared = &self.shared;
        let sequence = shared.covered.load(Ordering::Acquire);
        let lag_sequences = self.source.sequence().saturating_sub(sequence);
        let lag_seconds = if lag_sequences == 0 {
            0.0
        } else {
            let since = read(&shared.projected_at).max(read(&shared.caught_up_at));
            // Nothing is known before the database says where it is.
            let since = if since == 0 { shared.started_at } else { since };
            #[allow(clippy::cast_precision_loss, reason = "for people")]
            let seconds = now().saturating_sub(since) as f64 / 1e9;
            seconds
        };
        Figures {
            sequence,
            lag_sequences,
            lag_seconds,
            events: read(&shared.events),
            rows: read(&shared.rows),
            batches: read(&shared.batches),
            failures: read(&shared.failures),
        }
    }
}

/// Written by the projector's threads alone.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    stopping: AtomicBool,
    /// When it was started, ns UTC.
    started_at: u64,
    covered: AtomicU64,
    /// Time of the last event in the database, and when nothing was missing last; ns UTC.
    projected_at: AtomicU64,
    caught_up_at: AtomicU64,
    events: AtomicU64,
    rows: AtomicU64,
    batches: AtomicU64,
    failures: AtomicU64,
    /// How often batches were halved. Written by the writing half, read by the other for each batch.
    halvings: AtomicU32,
    queries: Queries,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// How much the next batch may hold.
    fn bound(&self, batch_events: u64) -> Bound {
        let halvings = self.halvings.load(Ordering::Relaxed);
        Bound {
            events: (batch_events >> halvings).max(batch_events.min(BATCH_EVENTS_MIN)),
            rows: (BATCH_ROWS >> halvings).max(BATCH_ROWS_MIN),
        }
    }

    /// A batch was too much, or something else went wrong: the next ones are smaller.
    fn halve(&self) {
        let halvings = self.halvings.load(Ordering::Relaxed) + 1;
        self.halvings
            .store(halvings.min(HALVINGS_MAX), Ordering::Relaxed);
    }

    /// So many batches in a row got in.
    fn grow(&self, good: u32) {
        let halvings = self.halvings.load(Ordering::Relaxed);
        if good.is_multiple_of(GOOD_BATCHES) {
            self.halvings
                .store(halvings.saturating_sub(1), Ordering::Relaxed);
        }
    }
}

/// ns UTC, for how far behind it is.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// A running projector.
pub struct Projector {
    status: Status,
    ended: std_mpsc::Receiver<()>,
    thread: JoinHandle<()>,
}

impl std::fmt::Debug for Projector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Projector")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl Projector {
    /// Starts it on a thread of its own.
    ///
    /// # Errors
    /// When no thread or runtime can be had.
    pub fn start(url: DatabaseUrl, source: TailSource, settings: Settings) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            started_at: now(),
            ..Shared::default()
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .thread_name("projector-read")
            .enable_all()
            .build()?;
        let (end, ended) = std_mpsc::sync_channel(1);
        let status = Status {
            shared: Arc::clone(&shared),
            source: source.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("projector".into())
            .spawn(move || {
                runtime.block_on(run(&url, &source, settings, &shared));
                runtime.shutdown_timeout(Duration::from_secs(1));
                let _ = end.send(());
            })?;
        Ok(Self {
            status,
            ended,
            thread,
        })
    }

    /// How it does, for health and metrics.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Writes what is in the log by now, for at most `patience`, and ends. `false`: it was left at it; the
    /// rest is for the next start.
    pub fn stop(self, patience: Duration) -> bool {
        self.status.shared.stopping.store(true, Ordering::Release);
        let ended = self.ended.recv_timeout(patience).is_ok();
        if ended {
            let _ = self.thread.join();
        }
        ended
    }
}

/// Tries until it is told to stop.
async fn run(url: &DatabaseUrl, source: &TailSource, settings: Settings, shared: &Arc<Shared>) {
    let mut wait = RETRY_MIN;
    loop {
        let begun = Instant::now();
        let result = match url {
            DatabaseUrl::Postgres(_) => {
                follow(url, source, settings, shared, PostgresWriter::connect(url)).await
            }
            DatabaseUrl::Sqlite(_) => {
                follow(url, source, settings, shared, SqliteWriter::connect(url)).await
            }
        };
        let Err(error) = result else {
            return;
        };
        shared.failures.fetch_add(1, Ordering::Relaxed);
        let reason = error.to_string();
        let state = match error {
            StoreError::Refused(_) => State::Refused(reason.clone()),
            _ => State::Down(reason.clone()),
        };
        let is_news = std::mem::replace(&mut *shared.lock(), state.clone()) != state;
        if is_news {
            tracing::warn!(database = %url, reason, "history is not written; trading goes on");
        }
        if begun.elapsed() > RETRY_MAX {
            wait = RETRY_MIN;
        }
        let until = Instant::now() + wait;
        while Instant::now() < until {
            if shared.is_stopping() {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        wait = (wait * 2).min(RETRY_MAX);
    }
}

/// How far a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub log_id: u64,
    pub place: Place,
    /// Events since the first.
    pub events: u64,
    pub sequenced_at: u64,
}

impl Progress {
    pub fn select() -> Sql {
        Sql::new(
            "SELECT log_id, sequence, idx, event_crc, events, updated_at FROM projector_progress",
        )
    }

    pub fn of(record: &Record) -> Result<Self, StoreError> {
        let log_id = record.text("log_id")?;
        let log_id = u64::from_str_radix(&log_id, 16)
            .map_err(|_| StoreError::Data(format!("log_id {log_id:?} is not hex")))?;
        Ok(Self {
            log_id,
            place: Place {
                sequence: record.number("sequence")?,
                index: record.number("idx")?,
                crc: record.number("event_crc")?,
            },
            events: record.number("events")?,
            sequenced_at: record.number("updated_at")?,
        })
    }

    /// Moves the progress from where it was, and from nowhere else: two venues on one database would not
    /// both get on.
    pub fn statement(&self, before: Option<&Self>) -> Sql {
        let values = [
            format!("{:016x}", self.log_id).into(),
            signed(self.place.sequence).into(),
            i64::from(self.place.index).into(),
            i64::from(self.place.crc).into(),
            signed(self.events).into(),
            signed(self.sequenced_at).into(),
        ];
        let columns = [
            "log_id",
            "sequence",
            "idx",
            "event_crc",
            "events",
            "updated_at",
        ];
        let Some(before) = before else {
            let mut sql = Sql::new("INSERT INTO projector_progress (");
            sql.push(&columns.join(", ")).push(") VALUES (");
            sql.bind_all(values)
                .push(") ON CONFLICT (only_row) DO NOTHING");
            return sql;
        };
        let mut sql = Sql::new("UPDATE projector_progress SET ");
        for (at, (column, value)) in columns.iter().zip(values).enumerate() {
            sql.push(if at == 0 { "" } else { ", " })
                .push(column)
                .push(" = ");
            sql.bind(value);
        }
        sql.push(" WHERE sequence = ")
            .bind(signed(before.place.sequence));
        sql.push(" AND idx = ").bind(i64::from(before.place.index));
        sql.push(" AND event_crc = ")
            .bind(i64::from(before.place.crc));
        sql
    }
}

/// An answer of the database, which one that hangs does not give: it may be gone without a word.
pub(super) async fn in_time<T>(
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let answer = tokio::time::timeout(ANSWER_TIME, answer).await;
    answer.unwrap_or_else(|_| {
        let why = io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
        Err(sqlx::Error::Io(why).into())
    })
}

/// Whether the progress moved, as it does when nobody else moves it.
pub(super) fn moved_once(rows: u64) -> Result<(), StoreError> {
    if rows == 1 {
        return Ok(());
    }
    Err(StoreError::Refused(
        "another venue writes its history into this database".into(),
    ))
}

/// What a start needs to know beside the progress.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub firms: HashMap<u32, u32>,
    pub audits: Vec<OpenAudit>,
}

impl Known {
    pub const SESSIONS: &'static str = "SELECT session, firm FROM sessions";
    pub const AUDITS: &'static str = "SELECT sequence, idx, received_at, reason FROM admin_audit \
                                      WHERE ended_sequence IS NULL ORDER BY sequence DESC LIMIT 64";

    pub fn session(&mut self, record: &Record) -> Result<(), StoreError> {
        self.firms
            .insert(record.number("session")?, record.number("firm")?);
        Ok(())
    }

    pub fn audit(record: &Record) -> Result<OpenAudit, StoreError> {
        let reason = record.number("reason")?;
        Ok(OpenAudit {
            at: Position {
                sequence: record.number("sequence")?,
                index: record.number("idx")?,
            },
            received_at: record.number("received_at")?,
            reason,
            told: reason,
        })
    }
}

/// A connection that batches are written through. Dropped after any error.
pub(super) trait Writer: Sized + Send {
    /// The form it takes rows in.
    type Rows: RowSink + 'static;

    fn progress(&mut self) -> impl Future<Output = Result<Option<Progress>, StoreError>>;
    /// Deletes what is beyond the progress, which was this or is later: rows whose transaction ended when
    /// that of the progress did not, where these are two.
    fn cut(&mut self, progress: Option<&Progress>) -> impl Future<Output = Result<(), StoreError>>;
    fn known(&mut self) -> impl Future<Output = Result<Known, StoreError>>;
    /// Writes a batch and moves the progress, in a transaction that waits for its end: both or neither, but
    /// for what [`Writer::cut`] deletes.
    fn write(
        &mut self,
        batch: Batch<Self::Rows>,
        progress: &Progress,
        before: Option<&Progress>,
    ) -> impl Future<Output = Result<(), StoreError>>;
    /// Ends the transaction; that of the progress last, where there are two.
    fn commit(&mut self) -> impl Future<Output = Result<(), StoreError>>;
}

/// What the reading half hands over. Each knows how far the log is covered with it.
enum Read<S> {
    Batch(Box<Batch<S>>, u64),
    Nothing(u64),
    Failed(String),
}

/// Follows the log from where the database is, until told to stop.
async fn follow<W: Writer>(
    url: &DatabaseUrl,
    source: &TailSource,
    settings: Settings,
    shared: &Arc<Shared>,
    connect: impl Future<Output = Result<W, StoreError>>,
) -> Result<(), StoreError> {
    let tables = async {
        if settings.migrates {
            migrate::up(url).await.map(drop)
        } else {
            migrate::check(url).await
        }
    };
    shared.queries.timed(Kind::Migrate, tables).await?;
    let mut writer = in_time(connect).await?;
    let mut before = in_time(writer.progress()).await?;
    let tail = begin(source, before.as_ref())?;
    in_time(writer.cut(before.as_ref())).await?;
    if let Some(before) = &before {
        let projected_at = &shared.projected_at;
        projected_at.store(before.sequenced_at, Ordering::Relaxed);
    }
    let known = in_time(writer.known()).await?;
    let fold = Fold::new(known.firms, known.audits);
    let (send, mut receive) = mpsc::channel(1);
    let told = Arc::clone(shared);
    let reading =
        tokio::task::spawn_blocking(move || read(tail, fold, settings.batch_events, &told, &send));
    *shared.lock() = State::Running;
    let mut good = 0;
    let result = async {
        while let Some(read) = receive.recv().await {
            match read {
                Read::Failed(why) => return Err(StoreError::Data(format!("event log: {why}"))),
                Read::Nothing(covered) => shared.covered.store(covered, Ordering::Release),
                Read::Batch(batch, covered) => {
                    let (rows, events) = (batch.rows(), batch.count);
                    let progress = Progress {
                        log_id: source.log_id(),
                        place: Place {
                            sequence: batch.last.sequence,
                            index: batch.last.index,
                            crc: batch.crc,
                        },
                        events: before.as_ref().map_or(0, |before| before.events) + events,
                        sequenced_at: batch.sequenced_at,
                    };
                    let written = async {
                        let rows_in = in_time(writer.write(*batch, &progress, before.as_ref()));
                        shared.queries.timed(Kind::Rows, rows_in).await?;
                        let end = in_time(writer.commit());
                        shared.queries.timed(Kind::Commit, end).await
                    };
                    if let Err(error) = written.await {
                        shared.halve();
                        return Err(error);
                    }
                    good += 1;
                    shared.grow(good);
                    shared
                        .projected_at
                        .store(progress.sequenced_at, Ordering::Relaxed);
                    shared.events.fetch_add(events, Ordering::Relaxed);
                    shared.rows.fetch_add(rows, Ordering::Relaxed);
                    shared.batches.fetch_add(1, Ordering::Relaxed);
                    shared.covered.store(covered, Ordering::Release);
                    before = Some(progress);
                }
            }
            if shared.covered.load(Ordering::Relaxed) >= source.sequence() {
                shared.caught_up_at.store(now(), Ordering::Relaxed);
            }
        }
        Ok(())
    }
    .await;
    // Without a receiver the reading half ends.
    drop(receive);
    let _ = reading.await;
    result
}

/// A tail from where the database is.
fn begin(source: &TailSource, progress: Option<&Progress>) -> Result<EventTail, StoreError> {
    let Some(progress) = progress else {
        return Ok(source.from_start());
    };
    if progress.log_id != source.log_id() {
        return Err(StoreError::Refused(format!(
            "it has the history of journal {:016x}, this is journal {:016x}; DATABASE_URL has to name a \
             database of its own",
            progress.log_id,
            source.log_id()
        )));
    }
    let tail = source
        .behind(progress.place)
        .map_err(|error| StoreError::Data(format!("event log: {error}")))?;
    tail.ok_or_else(|| {
        let (sequence, index) = (progress.place.sequence, progress.place.index);
        StoreError::Refused(format!(
            "it has event {index} of Sequence {sequence}, which this journal does not have there: commands \
             were lost (a power loss under JOURNAL_POLICY=os, or an older copy of the journal); its \
             history has to be made again in an empty database"
        ))
    })
}

/// The reading half: a batch is as much as there is, up to a bound, and ends between commands' trades.
fn read<S: RowSink>(
    mut tail: EventTail,
    mut fold: Fold<S>,
    batch_events: u64,
    shared: &Shared,
    send: &mpsc::Sender<Read<S>>,
) {
    let mut told = 0;
    loop {
        // Before looking: what is complete now is covered when the tail has no more, and what was written
        // before the stop is read.
        let is_stopping = shared.is_stopping();
        let written = tail.sequence_written();
        let mut last = 0;
        let mut there_is_more = true;
        let bound = shared.bound(batch_events);
        while !fold.is_full(bound) || !fold.may_end() {
            match tail.read_next() {
                Ok(Some((place, header, body))) => {
                    fold.take(header, &body, place.crc);
                    last = place.sequence;
                }
                Ok(None) => {
                    there_is_more = false;
                    break;
                }
                Err(error) => {
                    let _ = send.blocking_send(Read::Failed(error.to_string()));
                    return;
                }
            }
        }
        let covered = if there_is_more {
            last.saturating_sub(1)
        } else {
            written
        };
        let ready = fold.count() > 0 && fold.may_end();
        if ready {
            let batch = Box::new(fold.finish());
            if send.blocking_send(Read::Batch(batch, covered)).is_err() {
                return;
            }
            told = covered;
        } else if covered > told && fold.count() == 0 {
            if send.blocking_send(Read::Nothing(covered)).is_err() {
                return;
            }
            told = covered;
        }
        if !there_is_more {
            if is_stopping || send.is_closed() {
                return;
            }
            std::thread::park_timeout(POLL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_halved_down_to_the_least_and_grow_back() {
        let shared = Shared::default();
        let of = |events, rows| Bound { events, rows };
        assert_eq!(shared.bound(BATCH_EVENTS), of(BATCH_EVENTS, BATCH_ROWS));
        shared.halve();
        let half = of(BATCH_EVENTS / 2, BATCH_ROWS / 2);
        assert_eq!(shared.bound(BATCH_EVENTS), half);
        (1..GOOD_BATCHES).for_each(|good| shared.grow(good));
        assert_eq!(shared.bound(BATCH_EVENTS), half);
        shared.grow(GOOD_BATCHES);
        assert_eq!(shared.bound(BATCH_EVENTS), of(BATCH_EVENTS, BATCH_ROWS));
        (0..100).for_each(|_| shared.halve());
        let least = of(BATCH_EVENTS_MIN, BATCH_ROWS_MIN);
        assert_eq!(shared.bound(BATCH_EVENTS), least);
        assert_eq!(shared.bound(7), of(7, BATCH_ROWS_MIN));
        shared.grow(GOOD_BATCHES);
        let next = of(BATCH_EVENTS >> (HALVINGS_MAX - 1), BATCH_ROWS_MIN);
        assert_eq!(shared.bound(BATCH_EVENTS), next);
    }
}
