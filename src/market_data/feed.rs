//! What is published, for any thread: [`MarketData`] answers questions, a [`FeedReader`] follows.
//!
//! The agent is the only writer. It writes into blocks of words (`seqlock`) and never waits for a
//! reader; a reader copies what is newest and never makes the agent wait. So a reader costs the
//! agent nothing but a wake-up, and what it does not read in time it does not get one by one:
//! of a book it gets the newest state, of trades the newest [`TAPE_RECORDS`] and how many it missed.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use trading_engine_protocol::types::{InstrumentId, TradeId};

use super::seqlock::{self, OVERHEAD};
use super::state::{
    InstrumentInfo, InstrumentView, LEVELS_SHOWN, LevelView, StateWords, Statistics, Trade,
    TradeKind, TradeWords,
};
use crate::engine::command::DefineInstrument;
use crate::ring::{Cursor, Doorbell};

/// Trades, over all instruments, that are remembered for readers that are behind. Full: the oldest
/// is forgotten, and whoever had not read it is told how many it missed.
pub const TAPE_RECORDS: usize = 1 << 16;
/// Levels a side that [`MarketData::whole_book`] gives at most.
pub const LEVELS_MAX: usize = 1000;
/// Trades that one [`Update`] has at most; the others come with the next one, at once.
pub const TRADES_PER_UPDATE: usize = 4096;
/// Instruments that one [`Update`] has at most; likewise.
pub const INSTRUMENTS_PER_UPDATE: usize = 512;
/// Questions for whole books that wait at most. Full: the next one is not taken.
const QUESTIONS: usize = 64;
/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// Time between two updates of a reader, unless it says otherwise.
const PACE: Duration = Duration::from_millis(20);
/// Words of an instrument's block.
const STATE_CELLS: usize = OVERHEAD + StateWords::WORDS + 6 * LEVELS_SHOWN;
/// Words of a record on the tape.
const RECORD_CELLS: usize = OVERHEAD + TradeWords::WORDS;

/// Definitions and names as of one moment.
#[derive(Default)]
struct Directory {
    by_id: Vec<Option<Arc<InstrumentInfo>>>,
    by_symbol: HashMap<Arc<str>, u32>,
}

impl Directory {
    fn info(&self, id: u32) -> Option<&Arc<InstrumentInfo>> {
        self.by_id.get(id as usize)?.as_ref()
    }
}

/// A question for the agent.
pub(super) struct BookQuestion {
    pub instrument: u32,
    pub levels: usize,
    pub reply: oneshot::Sender<BookAnswer>,
}

/// Levels of both sides, three words each, and the state they belong to.
pub(super) struct BookAnswer {
    pub sequence: u64,
    pub state: StateWords,
    pub sides: [Vec<[u64; 3]>; 2],
}

/// What agent and readers share.
pub(super) struct Shared {
    /// By instrument id; made when it is defined.
    states: Box<[OnceLock<Box<[AtomicU64]>>]>,
    tape: Box<[AtomicU64]>,
    /// Records written so far. Written by the agent alone.
    head: AtomicU64,
    /// Replaced as a whole by the agent when something is defined; held for as long as it takes to
    /// clone it.
    directory: Mutex<Arc<Directory>>,
    directory_version: AtomicU64,
    /// All events up to and including this command are in.
    seen: Cursor,
    events: AtomicU64,
    publications: AtomicU64,
    trading_day: AtomicU32,
    life: Life,
}

impl Shared {
    fn directory(&self) -> Arc<Directory> {
        let held = self.directory.lock();
        Arc::clone(&held.unwrap_or_else(PoisonError::into_inner))
    }

    fn state(&self, id: u32) -> &[AtomicU64] {
        let found = self.states.get(id as usize);
        found.and_then(OnceLock::get).map_or(&[], |cells| cells)
    }

    /// A record, unless it is forgotten.
    fn record(&self, place: u64, words: &mut Vec<u64>) -> Option<TradeWords> {
        let written = seqlock::load(self.record_cells(place), words);
        (written == 2 * (place + 1)).then(|| TradeWords::read(words))?
    }

    fn record_cells(&self, place: u64) -> &[AtomicU64] {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "less than the tape's length"
        )]
        let at = (place % TAPE_RECORDS as u64) as usize * RECORD_CELLS;
        self.tape.get(at..at + RECORD_CELLS).unwrap_or_default()
    }
}

/// The agent's end: where it writes.
pub(super) struct Publisher {
    shared: Arc<Shared>,
    /// Wakes readers.
    changed: watch::Sender<u64>,
    questions: Receiver<BookQuestion>,
    /// Newest record of each instrument: its place + 1.
    newest: Vec<u64>,
    records: u64,
}

/// What a feed is a feed of.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// Name of the log.
    pub log_id: u64,
    /// Name of this life of the venue, another one at each start.
    pub epoch: u64,
    /// Highest instrument id there can be.
    pub instruments: u32,
}

/// Both ends.
pub(super) fn publish(life: Life) -> (Publisher, MarketData) {
    let (sender, questions) = bounded(QUESTIONS);
    let (changed, receiver) = watch::channel(0);
    let shared = Arc::new(Shared {
        states: (0..=life.instruments).map(|_| OnceLock::new()).collect(),
        tape: seqlock::cells(TAPE_RECORDS * RECORD_CELLS),
        head: AtomicU64::new(0),
        directory: Mutex::default(),
        directory_version: AtomicU64::new(0),
        seen: Cursor::new(0),
        events: AtomicU64::new(0),
        publications: AtomicU64::new(0),
        trading_day: AtomicU32::new(0),
        life,
    });
    let publisher = Publisher {
        shared: Arc::clone(&shared),
        changed,
        questions,
        newest: Vec::new(),
        records: 0,
    };
    let handle = MarketData {
        shared,
        changed: receiver,
        questions: sender,
        doorbell: None,
    };
    (publisher, handle)
}

impl Publisher {
    pub fn define(&mut self, definitions: Vec<DefineInstrument>) {
        let old = self.shared.directory();
        let mut new = Directory::default();
        for definition in definitions {
            let id = definition.instrument.0;
            let place = id as usize;
            let Some(state) = self.shared.states.get(place) else {
                continue;
            };
            state.get_or_init(|| seqlock::cells(STATE_CELLS));
            let known = old.info(id).filter(|old| old.definition == definition);
            let info = known
                .cloned()
                .unwrap_or_else(|| Arc::new(InstrumentInfo::new(definition)));
            new.by_symbol.insert(Arc::clone(&info.symbol), id);
            if place >= new.by_id.len() {
                new.by_id.resize(place + 1, None);
            }
            new.by_id[place] = Some(info);
        }
        let shared = &self.shared;
        *shared
            .directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        shared.directory_version.fetch_add(1, Ordering::Release);
    }

    /// Puts a record on the tape.
    pub fn trade(&mut self, record: &TradeWords) {
        let place = self.records;
        let id = usize::try_from(record.instrument).unwrap_or(0);
        if id >= self.newest.len() {
            self.newest.resize(id + 1, 0);
        }
        let record = TradeWords {
            previous: std::mem::replace(&mut self.newest[id], place + 1),
            ..*record
        };
        let cells = self.shared.record_cells(place);
        seqlock::store(cells, 2 * (place + 1), &[record.words()]);
        self.records += 1;
        self.shared.head.store(self.records, Ordering::Release);
    }

    /// Replaces what is known of an instrument; after its trades.
    pub fn state(&mut self, id: u32, state: &StateWords, levels: &[u64]) {
        let newest = self.newest.get(id as usize).copied().unwrap_or(0);
        let state = StateWords {
            tape_place: newest,
            ..*state
        };
        let cells = self.shared.state(id);
        let version = seqlock::version(cells) + 2;
        seqlock::store(cells, version, &[state.words(), levels]);
    }

    /// Everything up to here is written. `wakes`: there is news.
    pub fn done(&mut self, sequence: u64, trading_day: u32, wakes: bool) {
        self.shared
            .trading_day
            .store(trading_day, Ordering::Relaxed);
        self.shared.seen.publish(sequence);
        if wakes {
            let publications = &self.shared.publications;
            publications.store(publications.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            self.changed.send_replace(sequence);
        }
    }

    pub fn count(&self, events: u64) {
        let all = &self.shared.events;
        all.store(all.load(Ordering::Relaxed) + events, Ordering::Relaxed);
    }

    pub fn question(&self) -> Option<BookQuestion> {
        self.questions.try_recv().ok()
    }
}

/// A book at one point of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookSnapshot {
    /// Which.
    pub info: Arc<InstrumentInfo>,
    /// All commands up to this one are in.
    pub sequence: u64,
    /// Number of the instrument's last change.
    pub feed_sequence: u64,
    /// Bids, highest first.
    pub bids: Vec<LevelView>,
    /// Asks, lowest first.
    pub asks: Vec<LevelView>,
    /// Prices with bids, shown here or not.
    pub bid_levels: u64,
    /// Prices with asks.
    pub ask_levels: u64,
}

/// Best prices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Top {
    /// All commands up to this one are in.
    pub sequence: u64,
    /// Number of the instrument's last change.
    pub feed_sequence: u64,
    /// Best bid.
    pub bid: Option<LevelView>,
    /// Best ask.
    pub ask: Option<LevelView>,
}

/// The agent did not answer in time, or is gone: the venue is stopping, or has more to do than it
/// can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered;

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("market data did not answer in time")
    }
}

impl std::error::Error for Unanswered {}

/// Market data of a venue. Clones are the same.
#[derive(Clone)]
pub struct MarketData {
    shared: Arc<Shared>,
    changed: watch::Receiver<u64>,
    questions: Sender<BookQuestion>,
    doorbell: Option<Arc<Doorbell>>,
}

impl fmt::Debug for MarketData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MarketData")
            .field("sequence", &self.sequence())
            .finish_non_exhaustive()
    }
}

impl MarketData {
    /// Rings this bell with each question.
    pub(crate) fn wakes(&mut self, doorbell: Arc<Doorbell>) {
        self.doorbell = Some(doorbell);
    }

    /// All commands up to this one are in.
    pub fn sequence(&self) -> u64 {
        self.shared.seen.get()
    }

    /// Names this life of the venue: feed sequences begin anew with it.
    pub fn epoch(&self) -> u64 {
        self.shared.life.epoch
    }

    /// Name of the log it is made of.
    pub fn log_id(&self) -> u64 {
        self.shared.life.log_id
    }

    /// YYYYMMDD, 0 = none yet.
    pub fn trading_day(&self) -> u32 {
        self.shared.trading_day.load(Ordering::Relaxed)
    }

    /// Events seen since the start.
    pub fn events(&self) -> u64 {
        self.shared.events.load(Ordering::Relaxed)
    }

    /// How often something was published since the start.
    pub fn publications(&self) -> u64 {
        self.shared.publications.load(Ordering::Relaxed)
    }

    /// Trades, and amendments of some, since the start.
    pub fn tape_records(&self) -> u64 {
        self.shared.head.load(Ordering::Acquire)
    }

    /// Every instrument, ascending id.
    pub fn instruments(&self) -> Vec<Arc<InstrumentInfo>> {
        let directory = self.shared.directory();
        directory.by_id.iter().flatten().cloned().collect()
    }

    /// An instrument's definition.
    pub fn info(&self, symbol: &str) -> Option<Arc<InstrumentInfo>> {
        let directory = self.shared.directory();
        directory.info(*directory.by_symbol.get(symbol)?).cloned()
    }

    /// An instrument as it is now.
    pub fn instrument(&self, symbol: &str) -> Option<InstrumentView> {
        let info = self.info(symbol)?;
        let mut words = Vec::new();
        seqlock::load(self.shared.state(info.id().0), &mut words);
        InstrumentView::read(&info, &words)
    }

    /// The best levels of a book, at most [`LEVELS_SHOWN`] a side.
    pub fn book(&self, symbol: &str, levels: usize) -> Option<BookSnapshot> {
        // Read first: the book is as of then, or newer.
        let sequence = self.sequence();
        let mut view = self.instrument(symbol)?;
        view.bids.truncate(levels);
        view.asks.truncate(levels);
        Some(BookSnapshot {
            info: view.info,
            sequence,
            feed_sequence: view.feed_sequence,
            bids: view.bids,
            asks: view.asks,
            bid_levels: view.bid_levels,
            ask_levels: view.ask_levels,
        })
    }

    /// Best prices.
    pub fn top(&self, symbol: &str) -> Option<Top> {
        let book = self.book(symbol, 1)?;
        Some(Top {
            sequence: book.sequence,
            feed_sequence: book.feed_sequence,
            bid: book.bids.first().copied(),
            ask: book.asks.first().copied(),
        })
    }

    /// Phase and day.
    pub fn statistics(&self, symbol: &str) -> Option<Statistics> {
        self.instrument(symbol).map(|view| view.statistics)
    }

    /// The newest trades of an instrument that are remembered, newest first; of one that was
    /// amended, `kind` says so.
    pub fn trades(&self, symbol: &str, limit: usize) -> Option<Vec<Trade>> {
        let info = self.info(symbol)?;
        let mut words = Vec::new();
        seqlock::load(self.shared.state(info.id().0), &mut words);
        let mut next = StateWords::read(&words).map_or(0, |state| state.tape_place);
        let mut amended: HashMap<TradeId, TradeKind> = HashMap::new();
        let mut trades = Vec::new();
        while trades.len() < limit {
            let Some(place) = next.checked_sub(1) else {
                break;
            };
            let Some(record) = self.shared.record(place, &mut words) else {
                break;
            };
            next = record.previous;
            let mut trade = Trade::new(&info, &record, place);
            if trade.kind == TradeKind::New {
                if let Some(kind) = amended.get(&trade.trade_id) {
                    trade.kind = *kind;
                }
                trades.push(trade);
            } else {
                // The newest is what stands.
                amended.entry(trade.trade_id).or_insert(trade.kind);
            }
        }
        Some(trades)
    }

    /// A book with more than the published levels, at most [`LEVELS_MAX`] a side, made by the agent
    /// for the asker. `None`: there is no such instrument.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn whole_book(
        &self,
        symbol: &str,
        levels: usize,
    ) -> Result<Option<BookSnapshot>, Unanswered> {
        let Some(info) = self.info(symbol) else {
            return Ok(None);
        };
        let answer = self.ask(info.id(), levels)?;
        match tokio::time::timeout(ANSWER_TIME, answer).await {
            Ok(Ok(answer)) => Ok(Some(snapshot(info, &answer))),
            Ok(Err(_)) | Err(_) => Err(Unanswered),
        }
    }

    /// The same for threads that may wait.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub fn whole_book_blocking(
        &self,
        symbol: &str,
        levels: usize,
    ) -> Result<Option<BookSnapshot>, Unanswered> {
        let Some(info) = self.info(symbol) else {
            return Ok(None);
        };
        let answer = self.ask(info.id(), levels)?.blocking_recv();
        let answer = answer.map_err(|_| Unanswered)?;
        Ok(Some(snapshot(info, &answer)))
    }

    fn ask(
        &self,
        instrument: InstrumentId,
        levels: usize,
    ) -> Result<oneshot::Receiver<BookAnswer>, Unanswered> {
        let (reply, answer) = oneshot::channel();
        let question = BookQuestion {
            instrument: instrument.0,
            levels: levels.min(LEVELS_MAX),
            reply,
        };
        self.questions.try_send(question).map_err(|_| Unanswered)?;
        if let Some(doorbell) = &self.doorbell {
            doorbell.ring();
        }
        Ok(answer)
    }

    /// Follows instruments: their states from now on, the present one first, and trades from now
    /// on.
    pub fn reader(&self, selection: Selection) -> FeedReader {
        let from = self.tape_records();
        let mut reader = FeedReader::new(self, selection, from);
        // What traded between the two looks is in the numbers already, and skipped.
        reader.begin_numbers();
        reader
    }

    /// The same, with the trades after command `sequence` that are still remembered.
    pub fn reader_after(&self, selection: Selection, sequence: u64) -> FeedReader {
        let head = self.tape_records();
        let oldest = head.saturating_sub(TAPE_RECORDS as u64);
        let mut words = Vec::new();
        let (mut low, mut high) = (oldest, head);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.shared.record(middle, &mut words) {
                Some(record) if record.sequence > sequence => high = middle,
                Some(_) | None => low = middle + 1,
            }
        }
        FeedReader::new(self, selection, low)
    }
}

fn snapshot(info: Arc<InstrumentInfo>, answer: &BookAnswer) -> BookSnapshot {
    let side = |levels: &[[u64; 3]]| levels.iter().map(|level| info.level(level)).collect();
    let [bids, asks] = &answer.sides;
    BookSnapshot {
        sequence: answer.sequence,
        feed_sequence: answer.state.feed_sequence,
        bids: side(bids),
        asks: side(asks),
        bid_levels: answer.state.bid_levels,
        ask_levels: answer.state.ask_levels,
        info,
    }
}

/// What a reader follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every instrument, also those that are defined later.
    All,
    /// These; a symbol nobody has yet is followed once it is defined.
    Symbols(Vec<String>),
}

/// What changed since the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// All commands up to this one are in, but for what `more` speaks of.
    pub sequence: u64,
    /// YYYYMMDD.
    pub trading_day: u32,
    /// Newest state of every instrument that changed, in no order. How many changes of one were
    /// left out is the difference of its feed sequences.
    pub instruments: Vec<InstrumentView>,
    /// Trades, and amendments of some, in order.
    pub trades: Vec<Trade>,
    /// So many before them were forgotten before this reader came.
    pub trades_missed: u64,
    /// There is more already.
    pub more: bool,
}

/// Nothing is known of how many records there were.
const UNKNOWN: u64 = u64::MAX;

/// Follows some instruments at its own pace.
pub struct FeedReader {
    shared: Arc<Shared>,
    changed: watch::Receiver<u64>,
    selection: Selection,
    directory: Arc<Directory>,
    directory_version: u64,
    /// Ids that are followed, with what was told of each.
    followed: Vec<Followed>,
    /// Place of each id in `followed` + 1.
    places: Vec<u32>,
    /// Next record of the tape.
    cursor: u64,
    /// Where the next look at `followed` begins.
    next: usize,
    /// Records were left out or are still to come: numbers of all instruments are compared when the
    /// end of the tape is reached.
    unsettled: bool,
    /// The instruments there were at the beginning are followed.
    has_begun: bool,
    pace: Duration,
    not_before: Option<Instant>,
    words: Vec<u64>,
}

struct Followed {
    id: u32,
    /// Version of its block that was told.
    version: u64,
    /// Records on the tape that were told or missed.
    number: u64,
}

impl fmt::Debug for FeedReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedReader")
            .field("selection", &self.selection)
            .finish_non_exhaustive()
    }
}

impl FeedReader {
    fn new(of: &MarketData, selection: Selection, cursor: u64) -> Self {
        let mut reader = Self {
            shared: Arc::clone(&of.shared),
            changed: of.changed.clone(),
            selection,
            directory: Arc::default(),
            directory_version: 0,
            followed: Vec::new(),
            places: Vec::new(),
            cursor,
            next: 0,
            unsettled: false,
            has_begun: false,
            pace: PACE,
            not_before: None,
            words: Vec::new(),
        };
        reader.look_up();
        // What is defined later has no trades yet.
        reader.has_begun = true;
        reader
    }

    /// At least so much time between two updates.
    #[must_use]
    pub fn with_pace(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// Tells everything that is known of the instruments again, as a new reader would.
    pub fn tell_all_again(&mut self) {
        for followed in &mut self.followed {
            followed.version = 0;
        }
        self.changed.mark_changed();
    }

    fn begin_numbers(&mut self) {
        for followed in &mut self.followed {
            seqlock::load(self.shared.state(followed.id), &mut self.words);
            followed.number = StateWords::read(&self.words).map_or(0, |state| state.tape_number);
        }
    }

    /// Finds the followed instruments if any was defined since.
    fn look_up(&mut self) {
        let version = self.shared.directory_version.load(Ordering::Acquire);
        if version == self.directory_version {
            return;
        }
        let number = if self.has_begun { 0 } else { UNKNOWN };
        self.directory_version = version;
        self.directory = self.shared.directory();
        let directory = Arc::clone(&self.directory);
        let wanted: Option<HashSet<u32>> = match &self.selection {
            Selection::All => None,
            Selection::Symbols(symbols) => {
                let ids = symbols
                    .iter()
                    .filter_map(|symbol| directory.by_symbol.get(symbol.as_str()));
                Some(ids.copied().collect())
            }
        };
        self.places.resize(directory.by_id.len(), 0);
        for info in directory.by_id.iter().flatten() {
            let id = info.id().0;
            let place = &mut self.places[id as usize];
            if *place != 0 || wanted.as_ref().is_some_and(|wanted| !wanted.contains(&id)) {
                continue;
            }
            self.followed.push(Followed {
                id,
                version: 0,
                number,
            });
            *place = u32::try_from(self.followed.len()).unwrap_or(0);
        }
    }

    /// The next update, as soon as there is one and the reader's pace allows. `None`: the venue has
    /// stopped and everything was told. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Update> {
        loop {
            if let Some(at) = self.not_before {
                tokio::time::sleep_until(at).await;
            }
            if let Some(update) = self.poll() {
                self.not_before = (!update.more).then(|| Instant::now() + self.pace);
                return Some(update);
            }
            if self.changed.changed().await.is_err() {
                return self.poll();
            }
        }
    }

    /// What there is now, `None` = nothing new.
    pub fn poll(&mut self) -> Option<Update> {
        self.changed.mark_unchanged();
        self.look_up();
        let mut update = Update {
            sequence: self.shared.seen.get(),
            trading_day: self.shared.trading_day.load(Ordering::Relaxed),
            ..Update::default()
        };
        self.read_states(&mut update);
        // After the states: every record that one of them counts is on the tape by now.
        let end = self.shared.head.load(Ordering::Acquire);
        self.read_tape(end, &mut update);
        if self.cursor == end {
            self.settle(&mut update);
        } else {
            update.more = true;
            self.unsettled = true;
        }
        let is_news = !update.instruments.is_empty()
            || !update.trades.is_empty()
            || update.trades_missed > 0
            || update.more;
        is_news.then_some(update)
    }

    fn read_states(&mut self, update: &mut Update) {
        for _ in 0..self.followed.len() {
            if update.instruments.len() == INSTRUMENTS_PER_UPDATE {
                update.more = true;
                break;
            }
            if self.next >= self.followed.len() {
                self.next = 0;
            }
            let followed = &mut self.followed[self.next];
            self.next += 1;
            let cells = self.shared.state(followed.id);
            if seqlock::version(cells) == followed.version {
                continue;
            }
            followed.version = seqlock::load(cells, &mut self.words);
            let info = self.directory.info(followed.id);
            let view = info.and_then(|info| InstrumentView::read(info, &self.words));
            update.instruments.extend(view);
        }
    }

    fn read_tape(&mut self, end: u64, update: &mut Update) {
        while self.cursor < end && update.trades.len() < TRADES_PER_UPDATE {
            let oldest = self
                .shared
                .head
                .load(Ordering::Acquire)
                .saturating_sub(TAPE_RECORDS as u64);
            if self.cursor < oldest {
                self.cursor = oldest.min(end);
                self.unsettled = true;
                continue;
            }
            let Some(record) = self.shared.record(self.cursor, &mut self.words) else {
                // Overwritten just now.
                self.cursor += 1;
                self.unsettled = true;
                continue;
            };
            let on_tape = self.cursor;
            self.cursor += 1;
            let id = u32::try_from(record.instrument).unwrap_or(0);
            let place = self.places.get(id as usize).copied().unwrap_or(0) as usize;
            let Some(followed) = place
                .checked_sub(1)
                .and_then(|place| self.followed.get_mut(place))
            else {
                continue;
            };
            if followed.number == UNKNOWN {
                followed.number = record.number - 1;
            }
            if record.number <= followed.number {
                continue;
            }
            update.trades_missed += record.number - followed.number - 1;
            followed.number = record.number;
            if let Some(info) = self.directory.info(id) {
                update.trades.push(Trade::new(info, &record, on_tape));
            }
        }
    }

    /// At the end of the tape: what an instrument counts and was not told is missed.
    fn settle(&mut self, update: &mut Update) {
        let all = std::mem::take(&mut self.unsettled);
        for view in &update.instruments {
            let place = self.places[view.info.id().0 as usize] as usize;
            let Some(followed) = self.followed.get_mut(place - 1) else {
                continue;
            };
            update.trades_missed += told(followed, view.tape_number);
        }
        if all {
            for followed in &mut self.followed {
                // Read later than the tape: records behind its end are not missed.
                let cells = self.shared.state(followed.id);
                if seqlock::load(cells, &mut self.words) != followed.version {
                    self.unsettled = true;
                    continue;
                }
                let state = StateWords::read(&self.words);
                update.trades_missed += told(followed, state.map_or(0, |s| s.tape_number));
            }
        }
    }
}

/// An instrument has so many records, all of which that are still there were told.
fn told(followed: &mut Followed, number: u64) -> u64 {
    if followed.number == UNKNOWN {
        followed.number = number;
        return 0;
    }
    let missed = number.saturating_sub(followed.number);
    followed.number += missed;
    missed
}
