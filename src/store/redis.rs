//! Redis: the newest market data for downstream services. `protocol/MARKET_DATA.md` has keys and
//! payloads.
//!
//! A thread of its own follows the market-data feed like any other reader, at the pace of the
//! server. While Redis is away it reads nothing: the venue does not notice, health says why. When
//! Redis is back it writes the whole present state and goes on with the trades behind the last one
//! that the stream has; those that the feed has forgotten meanwhile are one record that says how
//! many. What it knows of Redis it asks Redis, so a restart of either side is the same to it. It writes only
//! while the prefix is its own (`owner`), and all hashes again now and then, for what somebody deleted.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fred::clients::Client;
use fred::interfaces::{
    ClientLike, EventInterface, HashesInterface, KeysInterface, PubsubInterface, StreamsInterface,
};
use fred::types::Builder;
use fred::types::config::{Config, Options, ReconnectPolicy, UnresponsiveConfig};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, timeout};

use super::owner::{self, Owner, WAIT_SECONDS};
use crate::market_data::feed::{FeedReader, MarketData, Selection, Update};
use crate::market_data::state::{
    InstrumentView, LevelView, Statistics, Trade, TradeKind, phase_name, side_name,
};

/// Trades the stream keeps, about.
pub const STREAM_LENGTH: i64 = 100_000;
/// Longest wait for an answer.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// Longest wait for the answer to a health check.
const PING_TIME: Duration = Duration::from_secs(1);
/// Between two writes, if there is something to write.
const PACE: Duration = Duration::from_millis(20);
/// Between two signs of life.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often the hashes of all instruments are written though they did not change.
const ANEW: Duration = Duration::from_secs(15);
/// Between two looks whether the server is there.
const LOOK: Duration = Duration::from_millis(50);
/// After an answer that was an error.
const PAUSE: Duration = Duration::from_secs(1);
/// Time to write what is left when the venue stops.
const FAREWELL: Duration = Duration::from_secs(2);
/// An instrument's hashes.
const HASHES: [&str; 3] = ["top", "last", "status"];
/// Keys that the server looks at for one answer, about.
const SCANNED: u32 = 1_000;
/// Commands sent at once.
const PIPELINE: usize = 512;

/// Where Redis is, and how to log on to it; its text never shows a password.
#[derive(Clone)]
pub struct RedisUrl(Config);

impl RedisUrl {
    /// `redis://` and `rediss://` (TLS) URLs: one server.
    pub fn parse(text: &str) -> Option<Self> {
        let schemes = ["redis://", "rediss://"];
        if !schemes.iter().any(|scheme| text.starts_with(scheme)) {
            return None;
        }
        let mut config = Config::from_url(text).ok()?;
        // A server that is not there yet is waited for.
        config.fail_fast = false;
        Some(Self(config))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.0.server.hosts();
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        write!(f, "RedisUrl({})", hosts.join(","))
    }
}

/// How Redis is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisHealth {
    /// It answered in this time, and takes what it is sent.
    Ok(Duration),
    /// It does not, and why.
    Down(String),
    /// There is none.
    NotConfigured,
}

/// What is counted, each by one thread.
#[derive(Debug, Default)]
pub struct RedisCounters {
    /// Updates of the feed that were written.
    pub updates: AtomicU64,
    /// Trades that were written to the stream.
    pub trades: AtomicU64,
    /// Trades, busts and corrections the stream will never have: forgotten before Redis was back.
    pub trades_missed: AtomicU64,
    /// Times writing began, the first time included.
    pub sessions: AtomicU64,
    /// Times it ended in an error.
    pub failures: AtomicU64,
    /// Last command whose market data is in Redis.
    pub sequence: AtomicU64,
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// The connection to Redis; clones are the same one.
#[derive(Clone)]
pub struct Redis(Option<Arc<Link>>);

struct Link {
    client: Client,
    prefix: String,
    /// Why it is down: the newest error of the connection, or of a write.
    problem: Mutex<Option<String>>,
    /// The last session of the publisher ended in an error and no other has written yet.
    writes_fail: AtomicBool,
    counters: RedisCounters,
    /// Where this life of the venue left the stream: its last record, and the place behind it on the tape.
    left: Mutex<(End, u64)>,
    stop: Notify,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("configured", &self.0.is_some())
            .finish()
    }
}

/// The thread that writes.
pub struct RedisThread {
    redis: Redis,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for RedisThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisThread").finish_non_exhaustive()
    }
}

impl RedisThread {
    /// Connects, now or when the server is there, and publishes from then on. Keys and channels
    /// begin with `prefix`.
    ///
    /// # Errors
    /// When a thread cannot be had or the URL's parts contradict each other.
    pub fn start(url: &RedisUrl, prefix: &str, market_data: MarketData) -> io::Result<Self> {
        let client = Builder::from_config(url.0.clone())
            .set_policy(ReconnectPolicy::new_exponential(0, 50, 1_000, 2))
            .with_connection_config(|config| {
                config.connection_timeout = ANSWER_TIME;
                config.internal_command_timeout = ANSWER_TIME;
                config.max_command_attempts = 1;
                config.unresponsive = UnresponsiveConfig {
                    max_timeout: Some(2 * ANSWER_TIME),
                    interval: ANSWER_TIME / 2,
                };
            })
            .build()
            .map_err(io::Error::other)?;
        let link = Arc::new(Link {
            client,
            prefix: prefix.to_owned(),
            problem: Mutex::new(None),
            writes_fail: AtomicBool::new(false),
            counters: RedisCounters::default(),
            left: Mutex::default(),
            stop: Notify::new(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let of_thread = Arc::clone(&link);
        let thread = std::thread::Builder::new()
            .name("redis".into())
            .spawn(move || {
                runtime.block_on(run(&of_thread, &market_data));
                // Whatever is still on its way is given up.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            redis: Redis(Some(link)),
            thread: Some(thread),
        })
    }

    /// The connection.
    pub fn redis(&self) -> Redis {
        self.redis.clone()
    }

    /// Ends it, after the venue: what the feed still has is written, if that takes no longer than a
    /// moment.
    pub fn stop(mut self) {
        if let Some(link) = &self.redis.0 {
            link.stop.notify_one();
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the redis thread ended in a panic");
        }
    }
}

/// Commands that must not wait for a server that is away.
fn at_once() -> Options {
    Options {
        max_attempts: Some(1),
        timeout: Some(PING_TIME),
        fail_fast: true,
        ..Options::default()
    }
}

/// Commands of the publisher.
fn in_time() -> Options {
    Options {
        timeout: Some(ANSWER_TIME),
        ..at_once()
    }
}

impl Redis {
    /// Without `REDIS_URL`.
    pub fn none() -> Self {
        Self(None)
    }

    /// Asks the server for a sign of life.
    pub async fn ping(&self) -> RedisHealth {
        let Some(link) = &self.0 else {
            return RedisHealth::NotConfigured;
        };
        let started = Instant::now();
        let client = link.client.with_options(&at_once());
        match timeout(PING_TIME, client.ping::<String>(None)).await {
            Ok(Ok(_)) if link.writes_fail.load(Ordering::Acquire) => {
                RedisHealth::Down(link.why("it takes no writes"))
            }
            Ok(Ok(_)) => RedisHealth::Ok(started.elapsed()),
            Ok(Err(error)) => RedisHealth::Down(link.why(&error.to_string())),
            Err(_) => RedisHealth::Down(link.why("it does not answer")),
        }
    }

    /// What was written so far.
    pub fn counters(&self) -> Option<&RedisCounters> {
        self.0.as_ref().map(|link| &link.counters)
    }

    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|link| link.client.is_connected())
    }

    /// For other uses of the connection: the client, to be asked at once or not at all, and what keys
    /// begin with.
    pub(super) fn client(&self) -> Option<(Client, &str)> {
        let link = self.0.as_ref()?;
        Some((link.client.clone(), &link.prefix))
    }
}

impl Link {
    fn note(&self, problem: Option<String>) {
        *lock(&self.problem) = problem;
    }

    /// Nothing can be written: said in the log once, and in health.
    fn fail(&self, why: String) {
        if !self.writes_fail.swap(true, Ordering::AcqRel) {
            tracing::warn!(why, "redis does not take market data");
        }
        self.note(Some(why));
    }

    /// The newest error there was, or this one.
    fn why(&self, otherwise: &str) -> String {
        let known = lock(&self.problem);
        known.clone().unwrap_or_else(|| otherwise.to_owned())
    }

    fn key(&self, rest: impl fmt::Display) -> String {
        format!("{}{rest}", self.prefix)
    }
}

async fn run(link: &Arc<Link>, market_data: &MarketData) {
    let mut errors = link.client.error_rx();
    let of_errors = Arc::clone(link);
    tokio::spawn(async move {
        while let Ok((error, _)) = errors.recv().await {
            of_errors.note(Some(error.to_string()));
        }
    });
    let connection = link.client.connect();
    let sessions = async {
        loop {
            if !link.client.is_connected() {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            add(&link.counters.sessions, 1);
            match session(link, market_data).await {
                Ok(Ended::Feed) => break,
                Ok(Ended::Connection) => {}
                Ok(Ended::Owned(other)) => {
                    let why = format!(
                        "keys with the prefix {:?} belong to {}; nothing is written before it is gone for \
                         {WAIT_SECONDS} s, or REDIS_PREFIX is another",
                        link.prefix,
                        owner::described(&other)
                    );
                    link.fail(why);
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    add(&link.counters.failures, 1);
                    link.fail(error.to_string());
                    tokio::time::sleep(if link.client.is_connected() {
                        PAUSE
                    } else {
                        LOOK
                    })
                    .await;
                }
            }
        }
    };
    tokio::select! {
        () = sessions => {}
        () = async {
            link.stop.notified().await;
            tokio::time::sleep(FAREWELL).await;
        } => tracing::warn!("redis did not take the last market data in time"),
    }
    connection.abort();
}

/// What is sent to Redis.
enum Write {
    Hash(String, Vec<(&'static str, String)>),
    Message(String, String),
    /// Id and fields.
    Trade(String, Vec<(&'static str, String)>),
}

/// Where the stream ends: Sequence and trade of its last record.
type End = (u64, u64);

/// Why a session ended that had no error.
enum Ended {
    /// The venue stopped, and all is written.
    Feed,
    /// The connection is a new one: what the server behind it knows is to be asked.
    Connection,
    /// Somebody else writes under the prefix.
    Owned(String),
}

/// Writes until the feed or the connection ends.
async fn session(link: &Link, market_data: &MarketData) -> Result<Ended, fred::error::Error> {
    let mut reconnected = link.client.reconnect_rx();
    let mut owner = Owner::new(
        link.key("owner"),
        log_name(market_data),
        market_data.epoch(),
    );
    if let Some(other) = owner.hold(&link.client, &in_time()).await? {
        return Ok(Ended::Owned(other));
    }
    let mut published = match begin(link, market_data, &mut owner).await? {
        Begun::Own(published) => published,
        Begun::Owned(other) => return Ok(Ended::Owned(other)),
    };
    let mut reader = reader(market_data, published.end);
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut anew = Instant::now();
    loop {
        let update = tokio::select! {
            update = reader.next() => match update {
                Some(update) => update,
                None => {
                    owner.leave(&link.client, &in_time()).await?;
                    return Ok(Ended::Feed);
                }
            },
            _ = reconnected.recv() => return Ok(Ended::Connection),
            _ = heartbeat.tick() => {
                let sequence = market_data.sequence();
                let trading_day = market_data.trading_day();
                reader.poll().unwrap_or_else(|| Update {
                    sequence,
                    trading_day,
                    ..Update::default()
                })
            }
        };
        let mut writes = published.writes(link, market_data, &update);
        if anew.elapsed() >= ANEW {
            anew = Instant::now();
            for info in market_data.instruments() {
                if let Some(view) = market_data.instrument(&info.symbol) {
                    writes.extend(hashes(link, market_data, &view));
                }
            }
        }
        for part in writes.chunks(PIPELINE) {
            if let Some(other) = owner.hold(&link.client, &in_time()).await? {
                return Ok(Ended::Owned(other));
            }
            send(link, part).await?;
        }
        add(&link.counters.updates, 1);
        let sequence = &link.counters.sequence;
        sequence.store(published.sequence, Ordering::Relaxed);
        if let Some(next) = published.next_place {
            *lock(&link.left) = (published.end, next);
        }
        if link.writes_fail.swap(false, Ordering::AcqRel) {
            tracing::info!("redis takes market data again");
        }
        link.note(None);
    }
}

fn reader(market_data: &MarketData, end: End) -> FeedReader {
    // The record that ends the stream may not be the last one of its command.
    let after = end.0.saturating_sub(1);
    market_data
        .reader_after(Selection::All, after)
        .with_pace(PACE)
}

/// How a session begins.
enum Begun {
    /// Under a prefix of its own.
    Own(Published),
    /// It does not: somebody else has taken the prefix meanwhile.
    Owned(String),
}

/// Finds out where the stream ends. One of another log, or ahead of this one, is removed, and so are the hashes
/// of instruments that this log does not have.
async fn begin(
    link: &Link,
    market_data: &MarketData,
    owner: &mut Owner,
) -> Result<Begun, fred::error::Error> {
    let client = link.client.with_options(&in_time());
    let (venue, stream) = (link.key("venue"), link.key("trades"));
    let known: HashMap<String, String> = client.hgetall(&venue).await?;
    let newest: Vec<(String, HashMap<String, String>)> =
        client.xrevrange(&stream, "+", "-", Some(1)).await?;
    let number = |text: Option<&String>| text.and_then(|text| text.parse().ok());
    let end: End = newest.first().map_or((0, 0), |(id, _)| {
        let (sequence, trade) = id.split_once('-').unwrap_or((id, "0"));
        (sequence.parse().unwrap_or(0), trade.parse().unwrap_or(0))
    });
    let same_log = known
        .get("log_id")
        .is_none_or(|log_id| *log_id == log_name(market_data));
    if !same_log || end.0 > market_data.sequence() {
        tracing::warn!("redis has market data of another log: it is removed");
        // The stream last: while it is there, a session that broke off here is not thought to be done.
        if let Some(other) = remove_unknown(link, market_data, owner).await? {
            return Ok(Begun::Owned(other));
        }
        let () = client.del(&stream).await?;
        return Ok(Begun::Own(Published {
            next_place: Some(0),
            ..Published::default()
        }));
    }
    let last = number(
        newest
            .first()
            .and_then(|(_, fields)| fields.get("trade_id")),
    )
    .unwrap_or(0);
    let left = *lock(&link.left);
    Ok(Begun::Own(Published {
        end,
        next_place: match end {
            (0, 0) => Some(0),
            _ => Some(left.1).filter(|_| left.0 == end),
        },
        // An amendment that ends the stream names an older trade.
        last_trade: last.max(number(known.get("last_trade_id")).unwrap_or(0)),
        ..Published::default()
    }))
}

/// Removes the hashes of instruments that this log does not have. `Some`: who has the prefix by now instead.
async fn remove_unknown(
    link: &Link,
    market_data: &MarketData,
    owner: &mut Owner,
) -> Result<Option<String>, fred::error::Error> {
    let client = link.client.with_options(&in_time());
    let known = market_data.instruments();
    let known: HashSet<&str> = known.iter().map(|info| &*info.symbol).collect();
    let pattern = format!("{}*", escaped(&link.prefix));
    let mut cursor = "0".to_owned();
    loop {
        // A server with very many keys takes longer than a prefix is kept.
        if let Some(other) = owner.hold(&link.client, &in_time()).await? {
            return Ok(Some(other));
        }
        let page = client.scan_page(cursor, pattern.as_str(), Some(SCANNED), None);
        let (next, keys): (String, Vec<String>) = page.await?;
        let unknown = keys.into_iter().filter(|key| {
            let rest = key.strip_prefix(&link.prefix);
            let named = rest.and_then(|rest| rest.split_once(':'));
            named.is_some_and(|(name, symbol)| HASHES.contains(&name) && !known.contains(symbol))
        });
        let unknown: Vec<String> = unknown.collect();
        if !unknown.is_empty() {
            let () = client.del(unknown).await?;
        }
        if next == "0" {
            return Ok(None);
        }
        cursor = next;
    }
}

/// A text as a pattern of Redis that is that text only.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

async fn send(link: &Link, writes: &[Write]) -> Result<(), fred::error::Error> {
    let pipeline = link.client.pipeline().with_options(&in_time());
    for write in writes {
        match write {
            Write::Hash(key, fields) => {
                let fields: HashMap<&str, &str> =
                    fields.iter().map(|(name, of)| (*name, &**of)).collect();
                let () = pipeline.hset(key, fields).await?;
            }
            Write::Message(channel, payload) => {
                let () = pipeline.publish(channel.as_str(), payload.as_str()).await?;
            }
            Write::Trade(id, fields) => {
                let cap = ("MAXLEN", "~", STREAM_LENGTH, None);
                let fields: Vec<(&str, &str)> =
                    fields.iter().map(|(name, of)| (*name, &**of)).collect();
                let key = link.key("trades");
                let () = pipeline.xadd(key, false, cap, id.as_str(), fields).await?;
            }
        }
    }
    let answers = timeout(2 * ANSWER_TIME, pipeline.try_all::<fred::types::Value>()).await;
    let Ok(answers) = answers else {
        return Err(fred::error::Error::new(
            fred::error::ErrorKind::Timeout,
            "it does not answer",
        ));
    };
    if answers.len() != writes.len() {
        let error = answers.into_iter().find_map(Result::err);
        let short = || fred::error::Error::new(fred::error::ErrorKind::Protocol, "too few answers");
        return Err(error.unwrap_or_else(short));
    }
    for (answer, write) in answers.into_iter().zip(writes) {
        match (answer, write) {
            (Ok(_), Write::Trade(..)) => add(&link.counters.trades, 1),
            (Ok(_), _) => {}
            // An earlier attempt whose answer was lost has written it.
            (Err(error), Write::Trade(..)) if error.details().contains("equal or smaller") => {}
            (Err(error), _) => return Err(error),
        }
    }
    Ok(())
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A log's name as text.
fn log_name(market_data: &MarketData) -> String {
    format!("{:016x}", market_data.log_id())
}

/// What this session has written.
#[derive(Default)]
struct Published {
    end: End,
    /// Newest trade of the stream; trades are numbered without gaps.
    last_trade: u64,
    /// Place on the tape of what comes next; `None`: another life of the venue wrote the stream's end.
    next_place: Option<u64>,
    /// All commands up to this one are in.
    sequence: u64,
    /// By instrument.
    statistics: HashMap<u32, Statistics>,
}

impl Published {
    fn writes(&mut self, link: &Link, market_data: &MarketData, update: &Update) -> Vec<Write> {
        let mut writes = Vec::new();
        for trade in &update.trades {
            self.trade(link, trade, &mut writes);
        }
        for view in &update.instruments {
            self.instrument(link, market_data, view, &mut writes);
        }
        if !update.more {
            self.sequence = update.sequence;
        }
        let fields = vec![
            ("log_id", log_name(market_data)),
            ("epoch", market_data.epoch().to_string()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("sequence", self.sequence.to_string()),
            ("trading_day", update.trading_day.to_string()),
            ("last_trade_id", self.last_trade.to_string()),
            ("published_at", wall_clock().to_string()),
        ];
        writes.push(Write::Hash(link.key("venue"), fields));
        writes
    }

    fn trade(&mut self, link: &Link, trade: &Trade, writes: &mut Vec<Write>) {
        let at = (trade.sequence, trade.trade_id.0);
        if at <= self.end {
            return;
        }
        self.end = at;
        let next = self.next_place.replace(trade.place + 1);
        let mut missed = next.map_or(0, |next| trade.place.saturating_sub(next));
        let kind = match trade.kind {
            TradeKind::New => "new",
            TradeKind::Busted => "busted",
            TradeKind::Corrected(_) => "corrected",
        };
        if trade.kind == TradeKind::New {
            // What the tape of this life does not know of, either.
            missed = missed.max(trade.trade_id.0.saturating_sub(self.last_trade + 1));
            self.last_trade = trade.trade_id.0;
        }
        if missed > 0 {
            add(&link.counters.trades_missed, missed);
            let fields = vec![("kind", "gap".into()), ("missed", missed.to_string())];
            // Before any record of the command.
            writes.push(Write::Trade(format!("{}-0", trade.sequence), fields));
        }
        let new_price = match trade.kind {
            TradeKind::Corrected(price) => Some(price.to_string()),
            TradeKind::New | TradeKind::Busted => None,
        };
        let mut fields = vec![
            ("kind", kind.to_owned()),
            ("symbol", trade.info.symbol.to_string()),
            ("trade_id", trade.trade_id.0.to_string()),
            ("price", trade.price.to_string()),
            ("quantity", trade.quantity.to_string()),
            ("aggressor", side_name(trade.aggressor).to_owned()),
            ("at", trade.at.0.to_string()),
            ("sequence", trade.sequence.to_string()),
            ("feed_sequence", trade.feed_sequence.to_string()),
        ];
        fields.extend(new_price.map(|price| ("new_price", price)));
        let payload: serde_json::Map<String, serde_json::Value> = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        let channel = link.key(format_args!("trades:{}", trade.info.symbol));
        let payload = serde_json::Value::Object(payload).to_string();
        writes.push(Write::Trade(format!("{}-{}", at.0, at.1), fields));
        writes.push(Write::Message(channel, payload));
    }

    fn instrument(
        &mut self,
        link: &Link,
        market_data: &MarketData,
        view: &InstrumentView,
        writes: &mut Vec<Write>,
    ) {
        let [top, last, status] = hashes(link, market_data, view);
        writes.push(top);
        let now = view.statistics;
        let before = self.statistics.insert(view.info.id().0, now);
        if before == Some(now) {
            return;
        }
        writes.push(last);
        writes.push(status);
        let phase = |of: &Statistics| (of.phase, of.phase_reason, of.until, of.blocked);
        if before.as_ref().map(phase) != Some(phase(&now)) {
            let payload = json!({
                "symbol": &*view.info.symbol,
                "phase": phase_name(now.phase),
                "reason": format!("{:?}", now.phase_reason),
                "until": now.until.map(|until| until.0.to_string()),
                "halted": now.is_halted(),
                "blocked": now.blocked,
                "sequence": view.sequence.to_string(),
                "feed_sequence": view.feed_sequence.to_string(),
                "at": view.at.0.to_string(),
            });
            writes.push(Write::Message(link.key("status"), payload.to_string()));
        }
    }
}

/// An instrument's hashes: top, last and status.
fn hashes(link: &Link, market_data: &MarketData, view: &InstrumentView) -> [Write; 3] {
    let symbol = &view.info.symbol;
    let numbers = [
        ("feed_sequence", view.feed_sequence.to_string()),
        ("sequence", view.sequence.to_string()),
        ("at", view.at.0.to_string()),
        ("epoch", market_data.epoch().to_string()),
    ];
    let (bid, ask) = (view.bids.first(), view.asks.first());
    let price = |level: Option<&LevelView>| text(level.map(|level| level.price));
    let quantity = |level: Option<&LevelView>| text(level.map(|level| level.quantity));
    let orders = |level: Option<&LevelView>| text(level.map(|level| level.orders));
    let top = vec![
        ("bid", price(bid)),
        ("bid_quantity", quantity(bid)),
        ("bid_orders", orders(bid)),
        ("ask", price(ask)),
        ("ask_quantity", quantity(ask)),
        ("ask_orders", orders(ask)),
    ];
    let of = |name: &str, mut fields: Vec<(&'static str, String)>| {
        fields.extend(numbers.clone());
        Write::Hash(link.key(format_args!("{name}:{symbol}")), fields)
    };
    let [top_name, last, status] = HASHES;
    [
        of(top_name, top),
        of(last, last_fields(&view.statistics)),
        of(status, status_fields(&view.statistics)),
    ]
}

/// Nothing is an empty text.
fn text<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn last_fields(of: &Statistics) -> Vec<(&'static str, String)> {
    let last = of.last;
    vec![
        ("trade_id", text(last.map(|last| last.trade_id.0))),
        ("price", text(last.map(|last| last.price))),
        ("quantity", text(last.map(|last| last.quantity))),
        ("traded_at", text(last.map(|last| last.at.0))),
        ("open", text(of.open)),
        ("high", text(of.high)),
        ("low", text(of.low)),
        ("previous_close", text(of.previous_close)),
        ("trades", of.trades.to_string()),
        ("volume", of.volume.to_string()),
        ("notional", of.notional.to_string()),
    ]
}

fn status_fields(of: &Statistics) -> Vec<(&'static str, String)> {
    vec![
        ("phase", phase_name(of.phase).to_owned()),
        ("reason", format!("{:?}", of.phase_reason)),
        ("until", text(of.until.map(|until| until.0))),
        ("halted", u8::from(of.is_halted()).to_string()),
        ("blocked", u8::from(of.blocked).to_string()),
        ("reference", text(of.reference)),
        ("indicative_price", text(of.indicative.price)),
        ("indicative_volume", of.indicative.volume.to_string()),
        ("imbalance", of.indicative.imbalance.to_string()),
        (
            "imbalance_side",
            side_name(of.indicative.imbalance_side).to_owned(),
        ),
        ("uncrossed", text(of.uncrossed)),
        ("uncrossed_volume", of.uncrossed_volume.to_string()),
    ]
}

/// Nanoseconds UTC: a sign of life for people and alarms, nothing the log knows.
fn wall_clock() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_nanos()
}
