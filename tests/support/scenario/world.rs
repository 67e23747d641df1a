//! The venue a scenario begins with: instruments, firms, sessions and limits, from its `with` lines.
//!
//! Default: instrument ACME (prices 1 to 199 around 100, tick 1, 1 to 1000 lots, protection 10
//! ticks), sessions A to D, each of a firm of its own, all logged on, and small limits.

use trading_engine::engine::command::{
    CommandKind, DefineFirm, DefineInstrument, DefineSession, DefineTickTable, TICK_STEPS_MAX,
    TickStep, name, name_text,
};
use trading_engine::limits::EngineLimits;
use trading_engine_protocol::types::{
    FirmId, InstrumentId, Price, Quantity, Roles, SessionId, SessionProtocol, TradingPhase,
};

use super::text::Line;

/// A number in any of our types.
pub fn number<T: TryFrom<i128>>(text: &str) -> Result<T, String> {
    let value: i128 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    T::try_from(value).map_err(|_| format!("{text} does not fit its field"))
}

/// Monday, 5 January 2026, 09:00:00 UTC: when scenarios begin.
pub const OPENING: u64 = 1_767_603_600_000_000_000;
const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

/// What `with` and `define` define.
#[derive(Clone, Debug)]
pub enum Definition {
    Instrument(DefineInstrument),
    Firm(DefineFirm),
    Session(DefineSession),
    TickTable(DefineTickTable),
}

impl Definition {
    pub fn kind(&self) -> CommandKind {
        match self {
            Self::Instrument(_) => CommandKind::DefineInstrument,
            Self::Firm(_) => CommandKind::DefineFirm,
            Self::Session(_) => CommandKind::DefineSession,
            Self::TickTable(_) => CommandKind::DefineTickTable,
        }
    }
}

#[derive(Clone, Debug)]
pub struct World {
    pub limits: EngineLimits,
    /// The first is the one that a command means when it names none.
    pub instruments: Vec<DefineInstrument>,
    pub firms: Vec<DefineFirm>,
    pub sessions: Vec<DefineSession>,
    /// Sessions that do not log on before the first command.
    pub offline: Vec<char>,
    /// All commands have one and the same time.
    pub clock_still: bool,
    pub tick_tables: Vec<DefineTickTable>,
    /// Instrument and price.
    pub references: Vec<(u32, i64)>,
}

type Set<T> = fn(&mut T, &str) -> Result<(), String>;

/// Words of an instrument.
const INSTRUMENT_WORDS: &[(&str, Set<DefineInstrument>)] = &[
    ("id", |d, v| set(&mut d.instrument.0, v)),
    ("tick", |d, v| set(&mut d.tick, v)),
    ("low", |d, v| set(&mut d.price_min.0, v)),
    ("high", |d, v| set(&mut d.price_max.0, v)),
    ("min", |d, v| set(&mut d.quantity_min.0, v)),
    ("max", |d, v| set(&mut d.quantity_max.0, v)),
    ("increment", |d, v| set(&mut d.quantity_increment.0, v)),
    ("protection", |d, v| set(&mut d.protection_ticks, v)),
    ("unit", |d, v| set(&mut d.price_unit_e8, v)),
    ("lot", |d, v| set(&mut d.lot_size_e8, v)),
    ("static", |d, v| set(&mut d.static_band, v)),
    ("dynamic", |d, v| set(&mut d.dynamic_band, v)),
    ("interruption", |d, v| {
        d.interruption_ms = milliseconds(v)?;
        Ok(())
    }),
    ("product", |d, v| set(&mut d.product, v)),
    ("tick-table", |d, v| set(&mut d.tick_table, v)),
    ("first-phase", |d, v| {
        d.first_phase = phase(v)?;
        Ok(())
    }),
    ("symbol", |d, v| {
        d.symbol = name(v).ok_or("no symbol")?;
        Ok(())
    }),
];

/// Words of a session.
const SESSION_WORDS: &[(&str, Set<DefineSession>)] = &[
    ("id", |d, v| set(&mut d.session.0, v)),
    ("firm", |d, v| set(&mut d.firm.0, v)),
    ("protocol", |d, v| set(&mut d.protocol, v)),
    ("reset-daily", |d, v| set(&mut d.reset_at_day_roll, v)),
    ("key", |d, v| set(&mut d.public_key[0], v)),
    ("user", |d, v| set(&mut d.user, v)),
    ("roles", |d, v| match v {
        "risk" => {
            d.roles = Roles::RISK.0;
            Ok(())
        }
        bits => set(&mut d.roles, bits),
    }),
    ("name", |d, v| {
        d.name = name(v).ok_or("no name")?;
        Ok(())
    }),
];

/// Words of a firm.
const FIRM_WORDS: &[(&str, Set<DefineFirm>)] = &[("id", |d, v| set(&mut d.firm.0, v))];

/// Words of the limits.
const LIMIT_WORDS: &[(&str, Set<EngineLimits>)] = &[
    ("orders", |l, v| set(&mut l.orders, v)),
    ("ids", |l, v| set(&mut l.client_order_ids, v)),
    ("pages", |l, v| set(&mut l.price_pages, v)),
    ("instruments", |l, v| set(&mut l.instruments, v)),
    ("firms", |l, v| set(&mut l.firms, v)),
    ("sessions", |l, v| set(&mut l.sessions, v)),
    ("quotes", |l, v| set(&mut l.quotes, v)),
    ("quotes-per-firm", |l, v| set(&mut l.quotes_per_firm, v)),
    ("groups", |l, v| set(&mut l.protection_groups, v)),
    ("groups-per-firm", |l, v| {
        set(&mut l.protection_groups_per_firm, v)
    }),
    ("risk", |d, v| set(&mut d.risk_limits, v)),
    ("accounts", |d, v| set(&mut d.accounts, v)),
];

fn set<T: TryFrom<i128>>(field: &mut T, value: &str) -> Result<(), String> {
    *field = number(value)?;
    Ok(())
}

fn fill<T>(to: &mut T, table: &[(&str, Set<T>)], text: &str) -> Result<(), String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    for pair in words.chunks(2) {
        let &[word, value] = pair else {
            return Err(format!("{} what?", pair[0]));
        };
        let (_, apply) = table
            .iter()
            .find(|(name, _)| *name == word)
            .ok_or_else(|| format!("word {word:?} is unknown here"))?;
        apply(to, value)?;
    }
    Ok(())
}

/// Puts a definition in the place of the one with the same id.
fn put<T>(list: &mut Vec<T>, definition: T, same: impl Fn(&T, &T) -> bool) {
    match list.iter_mut().find(|known| same(known, &definition)) {
        Some(known) => *known = definition,
        None => list.push(definition),
    }
}

impl Default for World {
    fn default() -> Self {
        let mut world = Self {
            limits: EngineLimits {
                orders: 4096,
                client_order_ids: 8192,
                price_pages: 256,
                instruments: 8,
                firms: 26,
                sessions: 20,
                quotes: 64,
                quotes_per_firm: 4096,
                protection_groups: 8,
                protection_groups_per_firm: 64,
                risk_limits: 16,
                accounts: 16,
            },
            instruments: vec![DefineInstrument {
                instrument: InstrumentId(1),
                symbol: name("ACME").unwrap(),
                price_unit_e8: 100_000_000,
                lot_size_e8: 100_000_000,
                tick: 1,
                price_min: Price(1),
                price_max: Price(199),
                quantity_min: Quantity(1),
                quantity_max: Quantity(1_000),
                protection_ticks: 10,
                quantity_increment: Quantity(1),
                ..DefineInstrument::default()
            }],
            firms: Vec::new(),
            sessions: Vec::new(),
            offline: Vec::new(),
            clock_still: false,
            tick_tables: Vec::new(),
            references: Vec::new(),
        };
        for letter in 'A'..='D' {
            let session = world.session(&letter.to_string()).unwrap();
            world.firm_of(&session);
            world.sessions.push(session);
        }
        world
    }
}

impl World {
    /// The default world, changed line by line.
    pub fn new(lines: &[Line]) -> Result<Self, (usize, String)> {
        let mut world = Self::default();
        for line in lines {
            world
                .with(line.text.trim_start_matches("with "))
                .map_err(|why| (line.number, why))?;
        }
        Ok(world)
    }

    fn with(&mut self, text: &str) -> Result<(), String> {
        let (what, rest) = text.split_once(' ').unwrap_or((text, ""));
        match what {
            "limits" => fill(&mut self.limits, LIMIT_WORDS, rest),
            "clock" if rest == "still" => {
                self.clock_still = true;
                Ok(())
            }
            "session" if rest.ends_with(" offline") => {
                self.offline.extend(rest.chars().next());
                self.with(text.trim_end_matches(" offline"))
            }
            "reference" => {
                let (symbol, price) = rest.split_once(' ').ok_or("`reference ACME 100`")?;
                let instrument = self.symbol(symbol).ok_or("of what?")?;
                self.references.push((instrument.0, number(price)?));
                Ok(())
            }
            "instrument" | "firm" | "session" | "tick-table" => {
                match self.definition(text)? {
                    Definition::Instrument(d) => {
                        put(&mut self.instruments, d, |a, b| {
                            a.instrument == b.instrument
                        });
                    }
                    Definition::Firm(d) => put(&mut self.firms, d, |a, b| a.firm == b.firm),
                    Definition::Session(d) => {
                        self.firm_of(&d);
                        put(&mut self.sessions, d, |a, b| a.session == b.session);
                    }
                    Definition::TickTable(d) => {
                        put(&mut self.tick_tables, d, |a, b| a.table == b.table);
                    }
                }
                Ok(())
            }
            _ => Err(format!("`with {what}` is unknown")),
        }
    }

    /// `instrument BETA tick 5`, `session E fix firm 1`, `firm GAMMA id 7`: like what it names if
    /// that is there, else like the default.
    pub fn definition(&self, text: &str) -> Result<Definition, String> {
        let (what, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (label, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        match what {
            "instrument" => {
                let mut definition = self.instrument(label)?;
                fill(&mut definition, INSTRUMENT_WORDS, rest)?;
                Ok(Definition::Instrument(definition))
            }
            "session" => {
                let mut definition = self.session(label)?;
                let rest = match rest.strip_prefix("fix") {
                    Some(rest) => {
                        definition.protocol = SessionProtocol::Fix.as_u8();
                        rest
                    }
                    None => rest,
                };
                fill(&mut definition, SESSION_WORDS, rest)?;
                Ok(Definition::Session(definition))
            }
            "firm" => {
                let mut definition = DefineFirm {
                    firm: FirmId(u32::try_from(self.firms.len()).unwrap() + 1),
                    name: name(label).ok_or("a firm has a name")?,
                    ..DefineFirm::default()
                };
                let known = self
                    .firms
                    .iter()
                    .find(|firm| name_text(&firm.name) == label);
                definition = known.copied().unwrap_or(definition);
                fill(&mut definition, FIRM_WORDS, rest)?;
                Ok(Definition::Firm(definition))
            }
            "tick-table" => tick_table(label, rest).map(Definition::TickTable),
            _ => Err(format!("{what:?} cannot be defined")),
        }
    }

    fn instrument(&self, label: &str) -> Result<DefineInstrument, String> {
        if let Some(known) = self
            .instruments
            .iter()
            .find(|known| name_text(&known.symbol) == label)
        {
            return Ok(*known);
        }
        let id = u32::try_from(self.instruments.len()).unwrap() + 1;
        Ok(DefineInstrument {
            instrument: InstrumentId(id),
            symbol: name(label).ok_or("an instrument has a symbol")?,
            ..self.instruments[0]
        })
    }

    /// As defined, or binary, with the letter's number for session and firm.
    fn session(&self, label: &str) -> Result<DefineSession, String> {
        let mut letters = label.chars();
        let letter = match (letters.next(), letters.next()) {
            (Some(letter), None) if letter.is_ascii_uppercase() => letter,
            _ => return Err(format!("{label:?} is no session: they are A to Z")),
        };
        let session = SessionId(self.session_id(letter));
        let known = self.sessions.iter().find(|known| known.session == session);
        Ok(known.copied().unwrap_or_else(|| DefineSession {
            session,
            firm: FirmId(session.0),
            protocol: SessionProtocol::Binary.as_u8(),
            name: name(&format!("SESSION-{letter}")).unwrap(),
            ..DefineSession::default()
        }))
    }

    /// Adds a session's firm if nobody did.
    fn firm_of(&mut self, session: &DefineSession) {
        if session.firm.0 == 0 || self.firms.iter().any(|firm| firm.firm == session.firm) {
            return;
        }
        self.firms.push(DefineFirm {
            firm: session.firm,
            name: name(&format!("FIRM-{}", session.firm.0)).unwrap(),
            ..DefineFirm::default()
        });
    }

    /// A = 1, B = 2, ...
    pub fn session_id(&self, letter: char) -> u32 {
        u32::from(letter) - u32::from('A') + 1
    }

    pub fn session_letter(id: SessionId) -> String {
        match u8::try_from(id.0) {
            Ok(0) => "venue".into(),
            Ok(id @ 1..=26) => char::from(b'A' + id - 1).to_string(),
            _ => format!("session {}", id.0),
        }
    }

    pub fn symbol(&self, text: &str) -> Option<InstrumentId> {
        let found = self
            .instruments
            .iter()
            .find(|known| name_text(&known.symbol) == text);
        found.map(|known| known.instrument)
    }

    /// A price in the mirror, which stands in the middle of the instrument's range.
    pub fn reflect(&self, instrument: u32, price: i64) -> Result<i64, String> {
        let at = self
            .instruments
            .iter()
            .find(|known| known.instrument.0 == instrument)
            .unwrap_or(&self.instruments[0]);
        let sum = i128::from(at.price_min.0) + i128::from(at.price_max.0);
        i64::try_from(sum - i128::from(price))
            .map_err(|_| format!("price {price} has no mirror image: say `not mirrored: why`"))
    }

    /// A tick table in the mirror of the instruments that have it: its greatest prices are the lowest
    /// there. What is no table has no image; it is refused on either side.
    pub fn reflect_table(&self, table: &DefineTickTable) -> Result<DefineTickTable, String> {
        let used = table.steps.iter().take_while(|step| step.tick != 0).count();
        let (steps, rest) = table.steps.split_at(used);
        let on = |price: i64, step: &TickStep| i128::from(price) % i128::from(step.tick) == 0;
        let is_table = used > 0
            && rest.iter().all(|step| *step == TickStep::default())
            && steps.iter().all(|step| on(step.from.0, step))
            && (steps.windows(2))
                .all(|two| two[0].from < two[1].from && on(two[1].from.0, &two[0]));
        if !is_table {
            return Ok(*table);
        }
        let theirs = self.instruments.iter();
        let theirs = theirs.filter(|one| u32::from(one.tick_table) == table.table);
        let mut sums: Vec<i64> = theirs
            .map(|one| one.price_min.0 + one.price_max.0)
            .collect();
        sums.dedup();
        let sum = match sums.as_slice() {
            [] => self.instruments[0].price_min.0 + self.instruments[0].price_max.0,
            [sum] => *sum,
            _ => return Err("instruments of other middles share a tick table".into()),
        };
        if !steps.iter().all(|step| on(sum, step)) {
            return Err("a tick table has no mirror image: say `not mirrored: why`".into());
        }
        let mut image = DefineTickTable {
            steps: <[TickStep; TICK_STEPS_MAX]>::default(),
            ..*table
        };
        for (at, step) in steps.iter().rev().enumerate() {
            // What ends at a price begins at its image. The first holds for all below, too.
            let from = match at.checked_sub(1) {
                Some(before) => sum - steps[used - 1 - before].from.0,
                None => sum - step.from.0 - step.tick.cast_signed(),
            };
            image.steps[at] = TickStep {
                from: Price(from),
                tick: step.tick,
            };
        }
        Ok(image)
    }
}

/// `tick-table 1 1 from 0 5 from 100`: prices are multiples of 1, from 100 up of 5.
fn tick_table(table: &str, steps: &str) -> Result<DefineTickTable, String> {
    let mut definition = DefineTickTable {
        table: number(table)?,
        ..DefineTickTable::default()
    };
    let words: Vec<&str> = steps.split_whitespace().collect();
    if words.len() > 3 * TICK_STEPS_MAX {
        return Err(format!("a table has at most {TICK_STEPS_MAX} steps"));
    }
    for (step, words) in definition.steps.iter_mut().zip(words.chunks(3)) {
        let &[tick, "from", from] = words else {
            return Err("a step is `5 from 100`".into());
        };
        *step = TickStep {
            from: Price(number(from)?),
            tick: number(tick)?,
        };
    }
    Ok(definition)
}

/// Phases as scenarios call them.
const PHASES: &[(&str, TradingPhase)] = &[
    ("continuous", TradingPhase::Continuous),
    ("closed", TradingPhase::Closed),
    ("pre-open", TradingPhase::PreOpen),
    ("opening-auction", TradingPhase::OpeningAuction),
    ("halted", TradingPhase::Halted),
    ("volatility-auction", TradingPhase::VolatilityAuction),
    ("closing-auction", TradingPhase::ClosingAuction),
];

/// A phase by its name, or its byte.
pub fn phase(text: &str) -> Result<u8, String> {
    match PHASES.iter().find(|(name, _)| *name == text) {
        Some((_, phase)) => Ok(phase.as_u8()),
        None => number(text).map_err(|_| format!("{text:?} is no phase")),
    }
}

pub fn phase_text(phase: u8) -> String {
    let known = PHASES.iter().find(|(_, known)| known.as_u8() == phase);
    known.map_or_else(|| format!("phase {phase}"), |(name, _)| (*name).into())
}

/// A session by its letter or number, and its firm.
pub fn session_of(world: &World, text: &str) -> Result<(u32, u32), String> {
    if let Ok(id) = number(text) {
        return Ok((id, 0));
    }
    let session = world.session(text)?;
    Ok((session.session.0, session.firm.0))
}

/// A time of the log as a scenario states it: `+5s` from now, or `10:30:00` of the same day.
pub fn moment(clock: u64, text: &str) -> Result<u64, String> {
    if text.starts_with('-') {
        return Err(format!("{text:?} is neither +5s nor 10:30:00"));
    }
    let time = instant(clock, text)?;
    if time < clock {
        return Err("log time never goes back".into());
    }
    Ok(time)
}

/// Any time: also `-5s` before now, or an earlier time of the day.
pub fn instant(clock: u64, text: &str) -> Result<u64, String> {
    if let Some(duration) = text.strip_prefix('+') {
        return Ok(clock + nanoseconds(duration)?);
    }
    if let Some(duration) = text.strip_prefix('-') {
        return Ok(clock - nanoseconds(duration)?);
    }
    let parts: Vec<&str> = text.split(':').collect();
    let at = match parts.as_slice() {
        [hour, minute] => [hour, minute, "0"],
        [hour, minute, second] => [hour, minute, *second],
        _ => return Err(format!("{text:?} is neither +5s nor 10:30:00")),
    };
    let [hour, minute, second] = at;
    let (second, part) = second.split_once('.').unwrap_or((second, ""));
    let part = number::<u64>(&format!("{part:0<9}"))?;
    let [hour, minute, second] = [hour, minute, second].map(number::<u64>);
    Ok(clock - clock % DAY + (hour? * 3600 + minute? * 60 + second?) * SECOND + part)
}

/// A time as lines show it: `09:00:05.001`, on a later day `+1d 09:00:05.001`.
pub fn clock_text(time: u64) -> String {
    let (day, rest) = (time / DAY, time % DAY);
    let (second, part) = (rest / SECOND, rest % SECOND);
    let mut text = String::new();
    match day.checked_sub(OPENING / DAY) {
        Some(0) => {}
        Some(days) => text += &format!("+{days}d "),
        None => text += &format!("-{}d ", OPENING / DAY - day),
    }
    text += &format!(
        "{:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    );
    if part > 0 {
        text += format!(".{part:09}").trim_end_matches('0');
    }
    text
}

/// A duration, `500ms`, as the whole milliseconds that commands state.
pub fn milliseconds(text: &str) -> Result<u32, String> {
    let whole = nanoseconds(text)?;
    if whole % 1_000_000 != 0 {
        return Err(format!("{text} is no whole number of milliseconds"));
    }
    u32::try_from(whole / 1_000_000).map_err(|_| format!("{text} does not fit its field"))
}

/// `500ms`, `2s`.
pub fn duration_text(ms: u32) -> String {
    match ms % 1000 {
        0 => format!("{}s", ms / 1000),
        _ => format!("{ms}ms"),
    }
}

fn nanoseconds(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3600 * SECOND,
        "d" => DAY,
        unit => return Err(format!("{unit:?} is none of ns us ms s m h d")),
    };
    Ok(number::<u64>(digits)? * unit)
}
