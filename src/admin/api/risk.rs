//! Pre-trade limits and kill switches.

use axum::Json;
use serde::{Deserialize, Serialize};
use trading_engine_protocol::types::{
    AccountId, FirmId, InstrumentId, KillScope, Quantity, SessionId,
};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Body, Params, Risk, Viewer};
use super::problem::{Problem, Result, accepted};
use super::{Amount, Timestamp};
use crate::admin::desk::{Ask, Outcome, Said};
use crate::admin::mirror::Reference;
use crate::engine::command::{KillSwitch, SetLimits};
use crate::engine::event::LimitsSet;

/// So many in so long.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How many.
    #[schema(minimum = 1)]
    count: u32,
    /// In how many milliseconds.
    #[schema(minimum = 1)]
    window_ms: u32,
}

/// Limits of a firm, or of one of its accounts, over all instruments or in one. What is absent does not
/// limit. Lots are those of the instrument at hand.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsView {
    /// Whose.
    #[schema(minimum = 1)]
    firm: u32,
    /// Only of this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<u32>,
    /// Only in this instrument: its symbol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 24)]
    instrument: Option<String>,
    /// Lots of an order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    quantity_lots: Option<u64>,
    /// Price times quantity of an order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notional: Option<Amount>,
    /// Lots, long or short, if all open orders of a side traded; needs an instrument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    position_lots: Option<u64>,
    /// Bought, sold and open today.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gross: Option<Amount>,
    /// Bought less sold today or the other way round, if all open orders of a side traded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    net: Option<Amount>,
    /// Limits may be so far from the last trade, or from a reference price set after it, 1/100 of a per cent of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    collar_basis_points: Option<u32>,
    /// Open orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    open_orders: Option<u32>,
    /// The same order so often, at most 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    duplicates: Option<Rate>,
    /// Fills after which nothing new is taken until it is released, at most 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    executions: Option<Rate>,
    /// New orders, replaces, mass quotes and status requests; only without account and instrument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    messages: Option<Rate>,
    /// Fills came faster than `executions`: nothing new is taken until `release`. A request's is not read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(read_only)]
    stopped: bool,
}

/// What else to do with a set of limits.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LimitsParams {
    /// Lets trade again what was stopped after repeated executions.
    release: Option<bool>,
    /// The position from now on, in lots, long is positive; needs an instrument.
    position_lots: Option<i64>,
}

/// Limits that were set.
#[derive(Serialize, ToSchema)]
pub struct LimitsChanged {
    /// Position in the log of the note that begins the change.
    sequence: u64,
    /// When it was sequenced.
    sequenced_at: Timestamp,
    /// Stopped after repeated executions.
    stopped: bool,
    /// The position that the set counts, in lots.
    position_lots: i64,
    /// As they are now.
    limits: LimitsView,
}

impl LimitsView {
    fn of(set: &LimitsSet, reference: &Reference) -> Self {
        let l = &set.limits;
        let some = |number: u64| (number != 0).then_some(number);
        let some_of = |number: u32| (number != 0).then_some(number);
        let money = |e8: u64| (e8 != 0).then_some(Amount(e8.into()));
        let rate = |count: u32, window_ms: u32| (count != 0).then_some(Rate { count, window_ms });
        let instrument = reference.instruments.get(&l.instrument.0);
        Self {
            firm: l.firm.0,
            account: (l.by_account == 1).then_some(l.account.0),
            instrument: instrument.map(|one| one.symbol().to_owned()),
            quantity_lots: some(l.quantity.0),
            notional: money(l.notional_e8),
            position_lots: some(l.position_limit.0),
            gross: money(l.gross_e8),
            net: money(l.net_e8),
            collar_basis_points: some_of(l.collar_bp),
            open_orders: some_of(l.open_orders),
            duplicates: rate(l.duplicates, l.duplicates_ms),
            executions: rate(l.executions, l.executions_ms),
            messages: rate(l.messages, l.messages_ms),
            stopped: set.stopped == 1,
        }
    }

    fn command(&self, instrument: u32) -> Result<SetLimits> {
        let money = |amount: Option<Amount>, field: &str| match amount {
            None => Ok(0),
            Some(amount) => u64::try_from(amount.0)
                .ok()
                .filter(|e8| *e8 > 0)
                .ok_or_else(|| Problem::invalid(format!("{field} is above 0, or too large"))),
        };
        let above = |number: Option<u64>, field: &str| match number {
            Some(0) => Err(Problem::invalid(format!(
                "{field} is above 0; absent it does not limit"
            ))),
            number => Ok(number.unwrap_or(0)),
        };
        let small = |number: Option<u32>, field: &str| match number {
            Some(0) => Err(Problem::invalid(format!(
                "{field} is above 0; absent it does not limit"
            ))),
            number => Ok(number.unwrap_or(0)),
        };
        let rate = |rate: Option<Rate>| rate.map_or((0, 0), |rate| (rate.count, rate.window_ms));
        let (duplicates, duplicates_ms) = rate(self.duplicates);
        let (executions, executions_ms) = rate(self.executions);
        let (messages, messages_ms) = rate(self.messages);
        Ok(SetLimits {
            firm: FirmId(self.firm),
            account: AccountId(self.account.unwrap_or(0)),
            instrument: InstrumentId(instrument),
            by_account: u8::from(self.account.is_some()),
            quantity: Quantity(above(self.quantity_lots, "quantity_lots")?),
            notional_e8: money(self.notional, "notional")?,
            position_limit: Quantity(above(self.position_lots, "position_lots")?),
            gross_e8: money(self.gross, "gross")?,
            net_e8: money(self.net, "net")?,
            collar_bp: small(self.collar_basis_points, "collar_basis_points")?,
            open_orders: small(self.open_orders, "open_orders")?,
            duplicates,
            duplicates_ms,
            executions,
            executions_ms,
            messages,
            messages_ms,
            ..SetLimits::default()
        })
    }
}

/// Which sets of limits.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LimitsFilter {
    /// Only of this firm.
    firm: Option<u32>,
}

/// Every set of limits there is.
#[derive(Serialize, ToSchema)]
pub struct AllLimits {
    /// Ascending by firm, account and instrument.
    items: Vec<LimitsView>,
}

/// Limits of firms, accounts and instruments.
#[utoipa::path(get, path = "/limits", tag = "risk", params(LimitsFilter),
    security(("bearer" = [])),
    responses((status = 200, description = "All of them.", body = AllLimits)))]
pub async fn limits(
    caller: Viewer,
    Params(filter): Params<LimitsFilter>,
) -> Result<Json<AllLimits>> {
    let items = caller.api.mirror.read(|reference| {
        let sets = reference.limits.values();
        sets.filter(|set| filter.firm.is_none_or(|firm| firm == set.limits.firm.0))
            .map(|set| LimitsView::of(set, reference))
            .collect()
    });
    Ok(Json(AllLimits { items }))
}

/// Set limits.
///
/// A set is replaced as a whole; it holds from this point of the log on, for what comes then.
#[utoipa::path(put, path = "/limits", tag = "risk", request_body = LimitsView,
    params(LimitsParams), security(("bearer" = [])),
    responses((status = 200, description = "They hold.", body = LimitsChanged)))]
pub async fn set_limits(
    caller: Risk,
    Params(params): Params<LimitsParams>,
    Body(limits): Body<LimitsView>,
) -> Result<Json<LimitsChanged>> {
    let api = &caller.api;
    let instrument = match &limits.instrument {
        None => 0,
        Some(symbol) => {
            let id = api.mirror.read(|reference| {
                let known = reference.instrument(symbol)?;
                Some(known.definition.instrument.0)
            });
            id.ok_or_else(|| Problem::missing(format!("no instrument {symbol:?}")))?
        }
    };
    let set = SetLimits {
        release: u8::from(params.release == Some(true)),
        sets_position: u8::from(params.position_lots.is_some()),
        position: params.position_lots.unwrap_or(0),
        ..limits.command(instrument)?
    };
    let asks = [Ask::new(set)];
    let target = u64::from(limits.firm);
    let outcome = api.desk.perform(&caller.who, target, &asks);
    let outcome = accepted(outcome.await?)?;
    let set = outcome.said.iter().find_map(|said| match said {
        Said::Limits(set) => Some(*set),
        _ => None,
    });
    let set = set.ok_or_else(|| Problem::unavailable("the log did not say what the limits are"))?;
    Ok(Json(LimitsChanged {
        sequence: outcome.sequence.0,
        sequenced_at: Timestamp(outcome.sequenced_at),
        stopped: set.stopped == 1,
        position_lots: set.limits.position,
        limits: api.mirror.read(|reference| LimitsView::of(&set, reference)),
    }))
}

/// What a kill switch stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// A session.
    Session,
    /// A user of every firm that has one of that number.
    User,
    /// A firm.
    Firm,
    /// An instrument, for everyone.
    Instrument,
    /// Everything.
    Venue,
}

impl From<Scope> for KillScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Session => Self::Session,
            Scope::User => Self::User,
            Scope::Firm => Self::Firm,
            Scope::Instrument => Self::Instrument,
            Scope::Venue => Self::Venue,
        }
    }
}

impl From<KillScope> for Scope {
    fn from(scope: KillScope) -> Self {
        match scope {
            KillScope::Session => Self::Session,
            KillScope::User => Self::User,
            KillScope::Firm => Self::Firm,
            KillScope::Instrument => Self::Instrument,
            KillScope::Venue => Self::Venue,
        }
    }
}

/// A kill switch to set or release.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KillRequest {
    /// What it stops.
    scope: Scope,
    /// Number of the session, user or firm, or the instrument's symbol; absent for the venue.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 24)]
    target: Option<String>,
    /// Releases it.
    #[serde(default)]
    release: bool,
}

/// A kill switch that is on.
#[derive(Serialize, ToSchema)]
pub struct KillView {
    /// What it stops.
    scope: Scope,
    /// Number of the session, user or firm, or the instrument's symbol.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// The user's firm.
    #[serde(skip_serializing_if = "Option::is_none")]
    firm: Option<u32>,
    /// Set by the venue, which alone can release it; else by a firm's desk, and the desk or the venue can.
    by_venue: bool,
}

/// Every kill switch that is on.
#[derive(Serialize, ToSchema)]
pub struct KillSwitches {
    /// By scope and target.
    items: Vec<KillView>,
}

/// What was canceled.
#[derive(Serialize, ToSchema)]
pub struct Killed {
    /// Position in the log of the note that begins it.
    sequence: u64,
    /// When it was sequenced.
    sequenced_at: Timestamp,
    /// Orders and quotes canceled.
    canceled: u64,
}

impl Killed {
    pub(super) fn new(outcome: &Outcome, canceled: u64) -> Self {
        Self {
            sequence: outcome.sequence.0,
            sequenced_at: Timestamp(outcome.sequenced_at),
            canceled,
        }
    }
}

/// Kill switches that are on.
#[utoipa::path(get, path = "/kill-switches", tag = "risk", security(("bearer" = [])),
    responses((status = 200, description = "All of them.", body = KillSwitches)))]
pub async fn kill_switches(caller: Viewer) -> Result<Json<KillSwitches>> {
    let items = caller.api.mirror.read(|reference| {
        let on = reference.blocks.iter().map(|block| {
            let target = match block.scope {
                KillScope::Venue => None,
                KillScope::Instrument => reference
                    .instruments
                    .get(&block.target)
                    .map(|one| one.symbol().to_owned()),
                KillScope::Session | KillScope::User | KillScope::Firm => {
                    Some(block.target.to_string())
                }
            };
            KillView {
                scope: block.scope.into(),
                target,
                firm: (block.firm != 0).then_some(block.firm),
                by_venue: block.by_venue,
            }
        });
        on.collect()
    });
    Ok(Json(KillSwitches { items }))
}

/// Set a kill switch, or release it.
///
/// Set, it cancels every order and quote in its scope, in any phase, and refuses new ones until it is
/// released. Setting one that is on cancels what is there.
#[utoipa::path(post, path = "/kill-switch", tag = "risk", request_body = KillRequest,
    security(("bearer" = [])),
    responses((status = 200, description = "It is on, or off.", body = Killed)))]
pub async fn kill(caller: Risk, Body(request): Body<KillRequest>) -> Result<Json<Killed>> {
    let api = &caller.api;
    let target = api
        .mirror
        .read(|reference| target_of(&request, reference))?;
    let switch = KillSwitch {
        target,
        scope: KillScope::from(request.scope).as_u8(),
        release: u8::from(request.release),
        ..KillSwitch::default()
    };
    let asks = [Ask::new(switch)];
    let outcome = api.desk.perform(&caller.who, u64::from(target), &asks);
    let outcome = accepted(outcome.await?)?;
    let canceled = outcome.said.iter().find_map(|said| match said {
        Said::Killed(done) => Some(done.canceled),
        _ => None,
    });
    Ok(Json(Killed::new(&outcome, canceled.unwrap_or(0))))
}

fn target_of(request: &KillRequest, reference: &Reference) -> Result<u32> {
    let Some(text) = &request.target else {
        return if request.scope == Scope::Venue {
            Ok(0)
        } else {
            Err(Problem::invalid("target is missing"))
        };
    };
    let number = || {
        let number = text.parse::<u32>().ok();
        number.ok_or_else(|| Problem::missing(format!("no such target {text:?}")))
    };
    match request.scope {
        Scope::Venue => Err(Problem::invalid("the venue has no target")),
        Scope::Session => number().map(SessionId).map(|id| id.0),
        Scope::User | Scope::Firm => number(),
        Scope::Instrument => {
            let known = reference.instrument(text);
            let id = known.map(|one| one.definition.instrument.0);
            id.ok_or_else(|| Problem::missing(format!("no instrument {text:?}")))
        }
    }
}
