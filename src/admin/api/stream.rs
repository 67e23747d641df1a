//! Server-Sent Events: what changes, as it changes, conflated for who reads slowly.
//!
//! `book` and `status` are an instrument's newest state after a change, `trade` is a trade or what became
//! of one, `missed` says how many trades were left out, `venue` comes once a second. A stream ends when
//! its token does, and in any case after four minutes: who wants more comes again, and is told everything
//! anew.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};
use utoipa::{IntoParams, ToSchema};

use super::auth_seconds;
use super::extract::{Params, Viewer};
use super::market::{Book, PublicTrade, StatisticsView};
use super::problem::{Problem, Result};
use super::venue::{StageLatency, VenueView};
use super::{Api, Timestamp};
use crate::admin::AdminState;
use crate::admin::auth::Bearer;
use crate::market_data::feed::{FeedReader, Selection, Update};
use axum::extract::State;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// Streams at once; connections beyond them are for everybody else.
pub const STREAMS_MAX: usize = 24;
/// Of one user: four pages of the console, which have two each. Nobody takes all there are.
const STREAMS_OF_USER_MAX: usize = 8;
/// When to come again, seconds.
const STREAMS_PAUSE: u64 = 5;
/// Longest stream: below what a connection may last.
const STREAM_TIME: Duration = Duration::from_secs(240);
/// At least so much time between two looks at the books.
const PACE: Duration = Duration::from_millis(100);
/// How often the venue itself is told.
const VENUE_TIME: Duration = Duration::from_secs(1);
/// Symbols a stream may name.
const SYMBOLS_MAX: usize = 256;

/// What to follow.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct StreamParams {
    /// Symbols, separated by commas; absent: all.
    #[param(max_length = 4096)]
    symbols: Option<String>,
    /// Levels a side, 10 if absent.
    #[param(minimum = 1, maximum = 20)]
    depth: Option<u32>,
}

/// Trades that were left out: the reader was too far behind.
#[derive(Serialize, ToSchema)]
pub struct Missed {
    /// How many.
    trades: u64,
}

/// A session, once a second.
#[derive(Serialize, ToSchema)]
pub struct SessionPulse {
    /// Number.
    id: u32,
    /// Whether a connection is logged on.
    connected: bool,
    /// Numbered messages it was told since the venue started.
    messages: u64,
    /// Orders accepted since the venue started.
    orders: u64,
    /// Fills since the venue started.
    fills: u64,
    /// Bytes for it that its connection has not taken yet.
    unsent_bytes: u64,
}

/// The venue, once a second.
#[derive(Serialize, ToSchema)]
pub struct Pulse {
    /// When.
    at: Timestamp,
    /// As `/venue` has it.
    venue: VenueView,
    /// How long reports of the last second took, by stage.
    stages: Vec<StageLatency>,
    /// Sessions that are connected, or were told something since the last time.
    sessions: Vec<SessionPulse>,
}

/// What changes, as it changes.
///
/// Server-Sent Events: `book` (Book), `status` (StatisticsView), `trade` (PublicTrade), `missed` (Missed)
/// and `venue` (Pulse). States are conflated: a slow reader gets the newest. A user has eight at most.
#[utoipa::path(get, path = "/stream", tag = "market data", operation_id = "show_stream",
    security(("bearer" = [])), params(StreamParams),
    responses((status = 200, description = "Events, for at most four minutes.",
        content_type = "text/event-stream", body = String)))]
pub async fn stream(
    State(state): State<AdminState>,
    caller: Viewer,
    Params(params): Params<StreamParams>,
) -> Result<Sse<impl Stream<Item = std::result::Result<Event, Infallible>>>> {
    let api = Arc::clone(&caller.api);
    let depth = params.depth.unwrap_or(10);
    let selection = match &params.symbols {
        None => Selection::All,
        Some(text) => Selection::Symbols(text.split(',').map(str::to_owned).collect()),
    };
    let too_many = matches!(&selection, Selection::Symbols(symbols) if symbols.len() > SYMBOLS_MAX);
    if too_many || !(1..=20).contains(&depth) {
        let why = "at most 256 symbols, and a depth of 1 to 20";
        return Err(Problem::new(axum::http::StatusCode::BAD_REQUEST, why));
    }
    let place = Streams::take(&api.streams, &caller.bearer.name)?;
    let lives = caller.bearer.expires_at;
    let lives = Duration::from_secs(lives.saturating_sub(auth_seconds(&api)));
    let mut every = interval(VENUE_TIME);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let following = Following {
        reader: api.market_data.reader(selection).with_pace(PACE),
        every,
        until: Instant::now() + lives.min(STREAM_TIME),
        depth: depth as usize,
        waiting: VecDeque::new(),
        phases: BTreeMap::new(),
        told: BTreeMap::new(),
        stages: (api.stages)(),
        state,
        api,
        bearer: caller.bearer,
        _place: place,
    };
    let events = futures_util::stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok(event), following))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

/// Who follows: streams that are open, by user.
#[derive(Debug, Default)]
pub struct Streams {
    open: Mutex<BTreeMap<String, usize>>,
}

/// The place of one stream, given back at its end.
struct Place {
    of: Arc<Streams>,
    user: String,
}

impl Streams {
    /// How many are open.
    pub fn count(&self) -> usize {
        self.with(|open| open.values().sum())
    }

    fn take(of: &Arc<Self>, user: &str) -> Result<Place> {
        of.with(|open| {
            let own = open.get(user).copied().unwrap_or(0);
            if own >= STREAMS_OF_USER_MAX {
                let why = format!("{STREAMS_OF_USER_MAX} streams of this user are open");
                return Err(Problem::too_many(why, STREAMS_PAUSE));
            }
            if open.values().sum::<usize>() >= STREAMS_MAX {
                return Err(Problem::unavailable("too many streams are open"));
            }
            open.insert(user.to_owned(), own + 1);
            Ok(())
        })?;
        Ok(Place {
            of: Arc::clone(of),
            user: user.to_owned(),
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, usize>) -> T) -> T {
        work(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.with(|open| {
            if let Some(count) = open.get_mut(&self.user) {
                *count -= 1;
                if *count == 0 {
                    open.remove(&self.user);
                }
            }
        });
    }
}

/// One stream.
struct Following {
    api: Arc<Api>,
    state: AdminState,
    reader: FeedReader,
    every: Interval,
    until: Instant,
    depth: usize,
    /// Events to be sent.
    waiting: VecDeque<Event>,
    /// What was told of an instrument beside its book: only another one is told.
    phases: BTreeMap<u32, crate::market_data::state::Statistics>,
    /// Messages of each session as they were told.
    told: BTreeMap<u32, u64>,
    /// Stages as they were told.
    stages: [crate::telemetry::Counts; 4],
    bearer: Bearer,
    _place: Place,
}

impl Following {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            tokio::select! {
                () = sleep_until(self.until) => return None,
                _ = self.every.tick() => {
                    // The user may have been disabled meanwhile.
                    self.api.people.role_known(&self.bearer)?;
                    self.pulse();
                }
                update = self.reader.next() => self.update(&update?),
            }
        }
    }

    fn push(&mut self, name: &str, body: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(body) {
            self.waiting
                .push_back(Event::default().event(name).data(text));
        }
    }

    fn update(&mut self, update: &Update) {
        for view in &update.instruments {
            self.push("book", &Book::of(view, self.depth));
            let before = self.phases.insert(view.info.id().0, view.statistics);
            if before != Some(view.statistics) {
                self.push("status", &StatisticsView::of(view));
            }
        }
        if update.trades_missed > 0 {
            let trades = update.trades_missed;
            self.push("missed", &Missed { trades });
        }
        for trade in &update.trades {
            self.push("trade", &PublicTrade::from(trade));
        }
    }

    fn pulse(&mut self) {
        let api = Arc::clone(&self.api);
        let now = (api.stages)();
        let stages = super::venue::since(&now, &self.stages);
        self.stages = now;
        let told = &mut self.told;
        let sessions = api.mirror.read(|reference| {
            let all = reference.sessions.iter().filter_map(|(id, session)| {
                let counts = api.mirror.told(*id)?;
                let messages = counts.messages.load(Ordering::Relaxed);
                let news = told.insert(*id, messages) != Some(messages);
                (session.connected || news && messages > 0).then(|| SessionPulse {
                    id: *id,
                    connected: session.connected,
                    messages,
                    orders: counts.orders.load(Ordering::Relaxed),
                    fills: counts.fills.load(Ordering::Relaxed),
                    unsent_bytes: counts.unsent_bytes.load(Ordering::Relaxed),
                })
            });
            all.collect()
        });
        let pulse = Pulse {
            at: Timestamp(api.clock.utc_now()),
            venue: VenueView::of(&self.state, &api),
            stages,
            sessions,
        };
        self.push("venue", &pulse);
    }
}
