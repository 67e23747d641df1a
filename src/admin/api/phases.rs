//! Phases: halts, which outlive the schedule's times, resumes, and any other phase of one instrument or
//! of all.

use axum::Json;
use serde::{Deserialize, Serialize};
use trading_engine_protocol::types::{InstrumentId, Reason, TradingPhase};
use utoipa::ToSchema;

use super::extract::{Body, MaybeBody, Named, NoBody, Risk};
use super::problem::{Problem, Result, accepted};
use super::{Api, Timestamp};
use crate::admin::desk::{Ask, Outcome, Said};
use crate::engine::command::SetPhase;

/// What may happen in an instrument's book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Orders trade as they come.
    Continuous,
    /// Nothing may be asked for.
    Closed,
    /// Orders are collected.
    PreOpen,
    /// Orders are collected, and what they would trade at is published.
    OpeningAuction,
    /// Cancels only.
    Halted,
    /// A re-opening auction.
    VolatilityAuction,
    /// The day's last auction.
    ClosingAuction,
}

impl From<TradingPhase> for Phase {
    fn from(phase: TradingPhase) -> Self {
        match phase {
            TradingPhase::Continuous => Self::Continuous,
            TradingPhase::Closed => Self::Closed,
            TradingPhase::PreOpen => Self::PreOpen,
            TradingPhase::OpeningAuction => Self::OpeningAuction,
            TradingPhase::Halted => Self::Halted,
            TradingPhase::VolatilityAuction => Self::VolatilityAuction,
            TradingPhase::ClosingAuction => Self::ClosingAuction,
        }
    }
}

impl From<Phase> for TradingPhase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Continuous => Self::Continuous,
            Phase::Closed => Self::Closed,
            Phase::PreOpen => Self::PreOpen,
            Phase::OpeningAuction => Self::OpeningAuction,
            Phase::Halted => Self::Halted,
            Phase::VolatilityAuction => Self::VolatilityAuction,
            Phase::ClosingAuction => Self::ClosingAuction,
        }
    }
}

/// A phase to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PhaseChange {
    /// From now on.
    phase: Phase,
}

/// A phase to set in all instruments.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllPhases {
    /// From now on.
    phase: Phase,
    /// Also in instruments that an operator halted; otherwise these stay halted.
    #[serde(default)]
    including_halted: bool,
}

/// How to resume.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// Into this phase, for instance a volatility auction; absent = what the schedule has now, or
    /// continuous.
    phase: Option<Phase>,
}

/// Phases that changed.
#[derive(Serialize, ToSchema)]
pub struct PhasesChanged {
    /// Position in the log of the note that begins the change.
    sequence: u64,
    /// When it was sequenced.
    sequenced_at: Timestamp,
    /// Instruments that are in another phase now.
    changed: Vec<ChangedPhase>,
}

/// An instrument in another phase.
#[derive(Serialize, ToSchema)]
pub struct ChangedPhase {
    /// Symbol(55).
    symbol: String,
    /// From now on.
    phase: Phase,
    /// The one before.
    previous: Phase,
}

/// Halt an instrument.
///
/// Cancels only, until it is resumed: the schedule's times pass it over. One that is halted already, for
/// instance by the schedule, is held from now on.
#[utoipa::path(post, path = "/instruments/{symbol}/halt", tag = "phases",
    params(("symbol" = String, Path, description = "Symbol(55).", min_length = 1, max_length = 24)),
    security(("bearer" = [])),
    responses((status = 200, description = "It is halted.", body = PhasesChanged)))]
pub async fn halt(
    caller: Risk,
    Named(symbol): Named<String>,
    _: NoBody,
) -> Result<Json<PhasesChanged>> {
    let id = id_of(&caller.api, &symbol)?;
    set_one(&caller, id, Phase::Halted).await
}

/// Resume an instrument.
///
/// From now on the schedule's times are for it again.
#[utoipa::path(post, path = "/instruments/{symbol}/resume", tag = "phases", request_body = Resume,
    params(("symbol" = String, Path, description = "Symbol(55).", min_length = 1, max_length = 24)),
    security(("bearer" = [])),
    responses((status = 200, description = "It is resumed.", body = PhasesChanged)))]
pub async fn resume(
    caller: Risk,
    Named(symbol): Named<String>,
    MaybeBody(resume): MaybeBody<Resume>,
) -> Result<Json<PhasesChanged>> {
    let id = id_of(&caller.api, &symbol)?;
    let phase = resume
        .phase
        .or_else(|| (caller.api.scheduled_phase)())
        .unwrap_or(Phase::Continuous);
    if phase == Phase::Halted {
        return Err(Problem::conflict(
            "the phase to resume into is a halt: state another one",
        ));
    }
    set_one(&caller, id, phase).await
}

/// Set the phase of an instrument.
///
/// Halted is an operator's halt, every other phase ends one.
#[utoipa::path(post, path = "/instruments/{symbol}/phase", tag = "phases", request_body = PhaseChange,
    params(("symbol" = String, Path, description = "Symbol(55).", min_length = 1, max_length = 24)),
    security(("bearer" = [])),
    responses((status = 200, description = "It is in that phase.", body = PhasesChanged)))]
pub async fn set(
    caller: Risk,
    Named(symbol): Named<String>,
    Body(change): Body<PhaseChange>,
) -> Result<Json<PhasesChanged>> {
    let id = id_of(&caller.api, &symbol)?;
    set_one(&caller, id, change.phase).await
}

/// Set the phase of all instruments.
///
/// Those that an operator halted stay so unless asked otherwise. Halted is an operator's halt of each of
/// them.
#[utoipa::path(post, path = "/phases", tag = "phases", request_body = AllPhases,
    security(("bearer" = [])),
    responses((status = 200, description = "They are in that phase.", body = PhasesChanged)))]
pub async fn set_all(caller: Risk, Body(change): Body<AllPhases>) -> Result<Json<PhasesChanged>> {
    let api = &caller.api;
    let all: Vec<InstrumentId> = api.mirror.read(|reference| {
        let ids = reference.instruments.keys();
        ids.map(|id| InstrumentId(*id)).collect()
    });
    // Only a halt by name holds, and only another phase by name ends it. The last command is for what
    // was defined a moment ago, and is all there is when nobody's hold is to change.
    let by_name = change.phase == Phase::Halted || change.including_halted;
    let named = all.into_iter().filter(|_| by_name);
    let asks: Vec<Ask> = named
        .chain([InstrumentId(0)])
        .map(|id| phase_of(id, change.phase))
        .collect();
    let outcome = api.desk.perform(&caller.who, 0, &asks).await?;
    // An instrument that is in that phase already says so, and that is fine.
    Ok(Json(changed(api, &outcome)))
}

async fn set_one(caller: &Risk, id: InstrumentId, phase: Phase) -> Result<Json<PhasesChanged>> {
    let api = &caller.api;
    let asks = [phase_of(id, phase)];
    let target = u64::from(id.0);
    let outcome = api.desk.perform(&caller.who, target, &asks).await?;
    // One that is held already is what was asked for.
    let is_held = phase == Phase::Halted && outcome.refusal() == Some(Reason::NotAllowedInPhase);
    if !is_held {
        return Ok(Json(changed(api, &accepted(outcome)?)));
    }
    Ok(Json(changed(api, &outcome)))
}

fn phase_of(instrument: InstrumentId, phase: Phase) -> Ask {
    Ask::new(SetPhase {
        instrument,
        phase: TradingPhase::from(phase).as_u8(),
        ..SetPhase::default()
    })
}

fn id_of(api: &Api, symbol: &str) -> Result<InstrumentId> {
    let id = api.mirror.read(|reference| {
        let known = reference.instrument(symbol)?;
        Some(known.definition.instrument)
    });
    id.ok_or_else(|| Problem::missing(format!("no instrument {symbol:?}")))
}

fn changed(api: &Api, outcome: &Outcome) -> PhasesChanged {
    let name = |phase| TradingPhase::try_from(phase).unwrap_or(TradingPhase::Closed);
    let changed = api.mirror.read(|reference| {
        let of = outcome.said.iter().filter_map(|said| match said {
            Said::Phase(changed) => Some(ChangedPhase {
                symbol: reference
                    .instruments
                    .get(&changed.instrument.0)?
                    .symbol()
                    .to_owned(),
                phase: name(changed.phase).into(),
                previous: name(changed.previous).into(),
            }),
            _ => None,
        });
        of.collect()
    });
    PhasesChanged {
        sequence: outcome.sequence.0,
        sequenced_at: Timestamp(outcome.sequenced_at),
        changed,
    }
}
