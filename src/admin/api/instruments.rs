//! Instruments and tick tables: what they are, their books, and definitions of them.

use axum::Json;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use trading_engine_protocol::types::{InstrumentId, KillScope, Price, Quantity};
use utoipa::ToSchema;
use zerocopy::IntoBytes as _;

use super::extract::{Body, IfMatch, Named, Operator, Params, Risk, Viewer};
use super::phases::Phase;
use super::problem::{Problem, Result, accepted};
use super::{Amount, Done, Page, Paging, Timestamp, tag, tagged};
use crate::admin::desk::Ask;
use crate::admin::mirror::{Instrument, Reference};
use crate::engine::command::{
    DefineInstrument, DefineTickTable, SetReference, TICK_STEPS_MAX, TickStep, name,
};
use crate::limits::NAME_LENGTH_MAX;

/// An instrument.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct InstrumentView {
    /// Symbol(55).
    symbol: String,
    /// Number in the log.
    id: u32,
    /// What may happen in its book.
    phase: Phase,
    /// When the core ends the phase by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    phase_until: Option<Timestamp>,
    /// An operator halted it: the schedule passes it over until it is resumed.
    held: bool,
    /// A kill switch of its own is on.
    blocked: bool,
    /// Reference price, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_price: Option<Amount>,
    /// As defined last.
    definition: InstrumentDefinition,
}

/// What an instrument is. With a second definition everything but price unit, lot size, tick and price
/// limits may be another.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstrumentDefinition {
    /// Number in the log; absent: what it is, or the lowest that is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 65535)]
    id: Option<u32>,
    /// Decimals a price is shown with.
    #[schema(maximum = 8)]
    price_decimals: u8,
    /// One price unit: every price is a multiple of it.
    price_unit: Amount,
    /// One lot: every quantity is a multiple of it.
    lot_size: Amount,
    /// Prices are multiples of this.
    tick: Amount,
    /// Lowest price.
    price_min: Amount,
    /// Highest price.
    price_max: Amount,
    /// Smallest order.
    quantity_min: Amount,
    /// Largest order.
    quantity_max: Amount,
    /// Orders are multiples of this.
    quantity_increment: Amount,
    /// Market orders reach so many ticks beyond the best opposite price.
    protection_ticks: u64,
    /// Orders' limits may be so far from the reference price; absent = any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    static_band: Option<Amount>,
    /// Trades may be so far from the last one; absent = any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dynamic_band: Option<Amount>,
    /// How long a volatility interruption lasts, 0 = until somebody ends it.
    #[serde(default)]
    interruption_ms: u32,
    /// Group that mass cancels can name, 0 = none.
    #[serde(default)]
    product: u32,
    /// Prices must be on this tick table, 0 = the tick is all there is.
    #[serde(default)]
    #[schema(maximum = 64)]
    tick_table: u16,
    /// Phase in which it begins to exist.
    #[serde(default = "continuous")]
    first_phase: Phase,
}

fn continuous() -> Phase {
    Phase::Continuous
}

impl InstrumentDefinition {
    fn of(definition: &DefineInstrument) -> Self {
        let d = definition;
        let price = |units: i64| Amount::of(units.into(), d.price_unit_e8);
        let distance = |units: u64| Amount::of(units.into(), d.price_unit_e8);
        let lots = |lots: Quantity| Amount::of(lots.0.into(), d.lot_size_e8);
        let phase = trading_engine_protocol::types::TradingPhase::try_from(d.first_phase);
        Self {
            id: Some(d.instrument.0),
            price_decimals: d.price_decimals,
            price_unit: Amount(d.price_unit_e8.into()),
            lot_size: Amount(d.lot_size_e8.into()),
            tick: distance(d.tick),
            price_min: price(d.price_min.0),
            price_max: price(d.price_max.0),
            quantity_min: lots(d.quantity_min),
            quantity_max: lots(d.quantity_max),
            quantity_increment: lots(d.quantity_increment),
            protection_ticks: d.protection_ticks,
            static_band: (d.static_band != 0).then(|| distance(d.static_band)),
            dynamic_band: (d.dynamic_band != 0).then(|| distance(d.dynamic_band)),
            interruption_ms: d.interruption_ms,
            product: d.product,
            tick_table: d.tick_table,
            first_phase: phase.map_or(Phase::Continuous, Phase::from),
        }
    }

    fn command(&self, id: u32, symbol: &str) -> Result<DefineInstrument> {
        let unit = positive(self.price_unit, "price_unit")?;
        let lot = positive(self.lot_size, "lot_size")?;
        let price = |amount: Amount, field: &str| {
            let units = amount.in_units(unit);
            units
                .map(Price)
                .ok_or_else(|| not_a_multiple(field, "price_unit"))
        };
        let distance = |amount: Amount, field: &str| {
            let units = amount.in_lots(unit);
            units.ok_or_else(|| not_a_multiple(field, "price_unit"))
        };
        let lots = |amount: Amount, field: &str| {
            let lots = amount.in_lots(lot).map(Quantity);
            lots.ok_or_else(|| not_a_multiple(field, "lot_size"))
        };
        let band = |amount: Option<Amount>, field: &str| {
            amount.map_or(Ok(0), |amount| distance(amount, field))
        };
        let symbol = name(symbol).ok_or_else(|| {
            Problem::invalid("a symbol has 1 to 24 printable characters without spaces")
        })?;
        Ok(DefineInstrument {
            instrument: InstrumentId(id),
            price_decimals: self.price_decimals,
            symbol,
            price_unit_e8: unit,
            lot_size_e8: lot,
            tick: distance(self.tick, "tick")?,
            price_min: price(self.price_min, "price_min")?,
            price_max: price(self.price_max, "price_max")?,
            quantity_min: lots(self.quantity_min, "quantity_min")?,
            quantity_max: lots(self.quantity_max, "quantity_max")?,
            protection_ticks: self.protection_ticks,
            quantity_increment: lots(self.quantity_increment, "quantity_increment")?,
            static_band: band(self.static_band, "static_band")?,
            dynamic_band: band(self.dynamic_band, "dynamic_band")?,
            interruption_ms: self.interruption_ms,
            product: self.product,
            tick_table: self.tick_table,
            first_phase: trading_engine_protocol::types::TradingPhase::from(self.first_phase)
                .as_u8(),
            ..DefineInstrument::default()
        })
    }
}

fn positive(amount: Amount, field: &str) -> Result<i64> {
    let mantissa = amount.e8().filter(|mantissa| *mantissa > 0);
    mantissa.ok_or_else(|| Problem::invalid(format!("{field} is above 0")))
}

fn not_a_multiple(field: &str, of: &str) -> Problem {
    Problem::invalid(format!("{field} is no multiple of {of}, or out of range"))
}

fn view(instrument: &Instrument, reference: &Reference) -> InstrumentView {
    let definition = &instrument.definition;
    let id = definition.instrument.0;
    let price = |price: Price| Amount::of(price.0.into(), definition.price_unit_e8);
    InstrumentView {
        symbol: instrument.symbol().to_owned(),
        id,
        phase: instrument.phase.into(),
        phase_until: (instrument.phase_until.0 != 0).then_some(Timestamp(instrument.phase_until)),
        held: instrument.held,
        blocked: reference.is_blocked(KillScope::Instrument, id),
        reference_price: instrument.reference.map(price),
        definition: InstrumentDefinition::of(definition),
    }
}

/// All instruments.
///
/// Ascending by number.
#[utoipa::path(get, path = "/instruments", tag = "instruments", params(Paging),
    operation_id = "list_instruments", security(("bearer" = [])),
    responses((status = 200, description = "Some of them.", body = Page<InstrumentView>)))]
pub async fn list(
    caller: Viewer,
    Params(paging): Params<Paging>,
) -> Result<Json<Page<InstrumentView>>> {
    let page = caller.api.mirror.read(|reference| {
        let all = reference.instruments.iter();
        paging.page(all.map(|(id, one)| (*id, view(one, reference))))
    })?;
    Ok(Json(page))
}

/// One instrument.
#[utoipa::path(get, path = "/instruments/{symbol}", tag = "instruments",
    operation_id = "show_instrument", security(("bearer" = [])),
    params(("symbol" = String, Path, description = "Symbol(55).", min_length = 1, max_length = 24)),
    responses((status = 200, description = "It; ETag is the version of its definition.",
        body = InstrumentView, headers(("ETag" = String)))))]
pub async fn show(caller: Viewer, Named(symbol): Named<String>) -> Result<Response> {
    let found = caller.api.mirror.read(|reference| {
        let known = reference.instrument(&symbol)?;
        let tag = tag(known.definition.as_bytes());
        Some(tagged(tag, view(known, reference)))
    });
    found.ok_or_else(|| no_instrument(&symbol))
}

pub fn no_instrument(symbol: &str) -> Problem {
    Problem::missing(format!("no instrument {symbol:?}"))
}

/// Define an instrument, or change it.
///
/// A new one trades from its first phase on, without a restart. Its symbol has letters, digits, `.`, `-` and
/// `_`, and begins with a letter or a digit: what FIX, addresses and lists of symbols carry as it is.
#[utoipa::path(put, path = "/instruments/{symbol}", tag = "instruments",
    operation_id = "define_instrument", security(("bearer" = [])),
    request_body = InstrumentDefinition,
    params(("symbol" = String, Path, description = "Symbol(55).", min_length = 1, max_length = 24,
            pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,23}$"),
        ("If-Match" = Option<String>, Header, description = "Version that the change is made to.")),
    responses((status = 200, description = "It is defined so.", body = Done)))]
pub async fn define(
    caller: Operator,
    Named(symbol): Named<String>,
    seen: IfMatch,
    Body(definition): Body<InstrumentDefinition>,
) -> Result<Json<Done>> {
    let api = &caller.api;
    let _turn = api.desk.edit().await;
    let (id, version) = api
        .mirror
        .read(|reference| match reference.instrument(&symbol) {
            Some(known) => {
                let id = known.definition.instrument.0;
                (id, Some(tag(known.definition.as_bytes())))
            }
            None => {
                let used = reference.instruments.keys().copied();
                (definition.id.unwrap_or_else(|| lowest_free(used)), None)
            }
        });
    seen.check(version.as_deref())?;
    if definition.id.is_some_and(|stated| stated != id) {
        return Err(Problem::conflict(format!("{symbol:?} has the number {id}")));
    }
    // One that is there from before this was asked can still be changed.
    if version.is_none() && !is_symbol(&symbol) {
        return Err(Problem::invalid(format!(
            "a symbol has 1 to {NAME_LENGTH_MAX} letters, digits, '.', '-' and '_', and begins with a \
             letter or a digit; {symbol:?} has not"
        )));
    }
    let command = definition.command(id, &symbol)?;
    let asks = [Ask::new(command)];
    let outcome = api.desk.perform(&caller.who, u64::from(id), &asks);
    Ok(Json(Done::of(&accepted(outcome.await?)?)))
}

/// Whether something new may be called so.
fn is_symbol(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= NAME_LENGTH_MAX
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && (bytes.iter()).all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(byte))
}

/// The lowest number from 1 on that is not used; `used` ascends.
pub fn lowest_free(used: impl Iterator<Item = u32>) -> u32 {
    let mut free = 1;
    for id in used {
        if id != free {
            break;
        }
        free += 1;
    }
    free
}

/// A reference price to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferencePrice {
    /// Within the price limits.
    price: Amount,
}

/// Set the reference price of an instrument.
///
/// Static bands are around it. Set after the last trade it is also, until the next one, what dynamic bands, collars and
/// auctions go by instead of that trade: the way back from one that was a mistake.
#[utoipa::path(post, path = "/instruments/{symbol}/reference", tag = "instruments",
    security(("bearer" = [])), request_body = ReferencePrice,
    params(("symbol" = String, Path, description = "Symbol(55).", min_length = 1, max_length = 24)),
    responses((status = 200, description = "It is set.", body = Done)))]
pub async fn set_reference(
    caller: Risk,
    Named(symbol): Named<String>,
    Body(reference): Body<ReferencePrice>,
) -> Result<Json<Done>> {
    let api = &caller.api;
    let definition = api
        .mirror
        .read(|reference| reference.instrument(&symbol).map(|known| known.definition));
    let definition = definition.ok_or_else(|| no_instrument(&symbol))?;
    let units = reference.price.in_units(definition.price_unit_e8);
    let price = units.ok_or_else(|| not_a_multiple("price", "the price unit"))?;
    let set = SetReference {
        instrument: definition.instrument,
        price: Price(price),
        ..SetReference::default()
    };
    let target = u64::from(definition.instrument.0);
    let asks = [Ask::new(set)];
    let outcome = api.desk.perform(&caller.who, target, &asks);
    Ok(Json(Done::of(&accepted(outcome.await?)?)))
}

/// A tick table. Ticks are counted in price units, because tables are for any instrument.
#[derive(Serialize, ToSchema)]
pub struct TickTableView {
    /// Number, 1 to 64.
    id: u32,
    /// Its steps.
    steps: Vec<TickTableStep>,
}

/// From this price up, prices are multiples of this tick.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TickTableStep {
    /// Price units, a multiple of its tick and of the one before.
    from: i64,
    /// Price units.
    #[schema(minimum = 1)]
    tick: u64,
}

/// Steps of a tick table, ascending; the first holds below its own price, too.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TickTableDefinition {
    /// 1 to 8.
    #[schema(min_items = 1, max_items = 8)]
    steps: Vec<TickTableStep>,
}

/// All tick tables.
#[utoipa::path(get, path = "/tick-tables", tag = "instruments", params(Paging),
    security(("bearer" = [])),
    responses((status = 200, description = "Some of them.", body = Page<TickTableView>)))]
pub async fn tick_tables(
    caller: Viewer,
    Params(paging): Params<Paging>,
) -> Result<Json<Page<TickTableView>>> {
    let page = caller.api.mirror.read(|reference| {
        paging.page(reference.tick_tables.iter().map(|(id, table)| {
            let used = table.steps.iter().take_while(|step| step.tick != 0);
            let steps = used.map(|step| TickTableStep {
                from: step.from.0,
                tick: step.tick,
            });
            let view = TickTableView {
                id: *id,
                steps: steps.collect(),
            };
            (*id, view)
        }))
    })?;
    Ok(Json(page))
}

/// Define a tick table, or change it.
#[utoipa::path(put, path = "/tick-tables/{id}", tag = "instruments",
    security(("bearer" = [])), request_body = TickTableDefinition,
    params(("id" = u32, Path, description = "1 to 64.", minimum = 1, maximum = 64),
        ("If-Match" = Option<String>, Header, description = "Version that the change is made to.")),
    responses((status = 200, description = "It is defined so.", body = Done)))]
pub async fn define_tick_table(
    caller: Operator,
    Named(id): Named<u32>,
    seen: IfMatch,
    Body(definition): Body<TickTableDefinition>,
) -> Result<Json<Done>> {
    let api = &caller.api;
    if definition.steps.is_empty() || definition.steps.len() > TICK_STEPS_MAX {
        return Err(Problem::invalid("a tick table has 1 to 8 steps"));
    }
    let mut table = DefineTickTable {
        table: id,
        ..DefineTickTable::default()
    };
    for (step, stated) in table.steps.iter_mut().zip(&definition.steps) {
        *step = TickStep {
            from: Price(stated.from),
            tick: stated.tick,
        };
    }
    if table
        .steps
        .iter()
        .any(|step| i64::try_from(step.tick).is_err())
    {
        return Err(Problem::invalid("a tick is out of range"));
    }
    let _turn = api.desk.edit().await;
    let version = api.mirror.read(|reference| {
        let known = reference.tick_tables.get(&id);
        known.map(|table| tag(table.as_bytes()))
    });
    seen.check(version.as_deref())?;
    let asks = [Ask::new(table)];
    let outcome = api.desk.perform(&caller.who, u64::from(id), &asks);
    Ok(Json(Done::of(&accepted(outcome.await?)?)))
}
