//! The venue itself: where its log stands, how fast it answers, and its trading day.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use trading_engine_protocol::types::UtcNanos;
use utoipa::ToSchema;

use super::extract::{Body, Operator, Viewer};
use super::problem::{Problem, Result, accepted};
use super::{Api, Done};
use crate::admin::AdminState;
use crate::admin::desk::Ask;
use crate::engine::command::DayRoll;
use crate::telemetry::{Counts, STAGES};

/// How long reports took in one stage of their life, within a factor of two.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StageLatency {
    /// Name of the stage.
    pub stage: String,
    /// Reports.
    pub count: u64,
    /// Half of them took at most so long, microseconds.
    pub p50_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// 999 of 1000.
    pub p999_us: u64,
}

/// The venue.
#[derive(Serialize, ToSchema)]
pub struct VenueView {
    /// `ok`, `draining` or `failed`.
    status: String,
    /// Of the program.
    version: String,
    /// `ENV`.
    environment: String,
    /// `TOPOLOGY`.
    topology: String,
    /// `JOURNAL_POLICY`.
    journal_policy: String,
    /// Last position of the log.
    sequence: u64,
    /// Last durable one.
    durable_sequence: u64,
    /// Last one that history has whole.
    history_sequence: u64,
    /// YYYYMMDD, 0 = none yet.
    trading_day: u32,
    /// Since the program started.
    uptime_seconds: u64,
    /// Instruments defined.
    instruments: usize,
    /// Of them, halted by an operator.
    held: usize,
    /// Sessions defined.
    sessions: usize,
    /// Of them, connected.
    sessions_connected: usize,
    /// Kill switches that are on.
    kill_switches: usize,
    /// Stages of a report's life, in order.
    stages: Vec<StageLatency>,
    /// Why nothing is acknowledged any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// The venue as it stands.
#[utoipa::path(get, path = "/venue", tag = "venue", operation_id = "show_venue",
    security(("bearer" = [])),
    responses((status = 200, description = "It.", body = VenueView)))]
pub async fn show(State(state): State<AdminState>, caller: Viewer) -> Result<Json<VenueView>> {
    Ok(Json(VenueView::of(&state, &caller.api)))
}

impl VenueView {
    /// As it stands.
    pub fn of(state: &AdminState, api: &Api) -> Self {
        let health = state.health();
        let stages = since(&(api.stages)(), &Default::default());
        api.mirror.read(|reference| Self {
            status: health.status.to_owned(),
            version: health.version.to_owned(),
            environment: health.environment,
            topology: health.topology,
            journal_policy: health.journal_policy,
            sequence: health.sequence,
            durable_sequence: health.durable_sequence,
            history_sequence: (api.history_sequence)(),
            trading_day: reference.trading_day,
            uptime_seconds: health.uptime_seconds,
            instruments: reference.instruments.len(),
            held: reference
                .instruments
                .values()
                .filter(|instrument| instrument.held)
                .count(),
            sessions: reference.sessions.len(),
            sessions_connected: reference
                .sessions
                .values()
                .filter(|session| session.connected)
                .count(),
            kill_switches: reference.blocks.len(),
            stages,
            failure: health.failure,
        })
    }
}

/// What was recorded between two looks at the stages.
pub fn since(now: &[Counts; 4], before: &[Counts; 4]) -> Vec<StageLatency> {
    let stages = STAGES.iter().zip(now.iter().zip(before));
    stages
        .map(|(stage, (now, before))| {
            let times = now.since(before);
            let of = |quantile| {
                times
                    .quantile_ns(quantile)
                    .map_or(0, |ns| ns.div_ceil(1_000))
            };
            StageLatency {
                stage: (*stage).to_owned(),
                count: times.count(),
                p50_us: of(0.5),
                p99_us: of(0.99),
                p999_us: of(0.999),
            }
        })
        .collect()
}

/// How far a trading day may be ahead of the clock's date: no day is taken back, and every one before it is
/// refused once it began.
const DAYS_AHEAD_MAX: u64 = 7;

/// A trading day to begin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TradingDay {
    /// YYYYMMDD, behind the day it is, at most 7 days ahead of the clock's date (UTC).
    #[schema(minimum = 19700101, maximum = 99991231)]
    trading_day: u32,
}

/// Begin a trading day.
///
/// Day orders expire, ClientOrderIds are free again, numbers restart where they do.
#[utoipa::path(post, path = "/day-roll", tag = "venue", request_body = TradingDay,
    security(("bearer" = [])),
    responses((status = 200, description = "It began.", body = Done)))]
pub async fn roll_day(caller: Operator, Body(day): Body<TradingDay>) -> Result<Json<Done>> {
    let trading_day = day.trading_day;
    if !is_date(trading_day) {
        return Err(Problem::invalid(format!(
            "trading_day {trading_day} is no date, YYYYMMDD"
        )));
    }
    let now = caller.api.clock.utc_now();
    let last = UtcNanos(now.0 + DAYS_AHEAD_MAX * UtcNanos::DAY).date_number();
    if trading_day > last {
        let today = now.date_number();
        return Err(Problem::invalid(format!(
            "trading_day {trading_day} is more than {DAYS_AHEAD_MAX} days ahead of the clock's date \
             {today}: at most {last} is allowed, as no day before it could begin any more"
        )));
    }
    let asks = [Ask::new(DayRoll {
        trading_day,
        reserved: 0,
    })];
    let desk = &caller.api.desk;
    let outcome = desk.perform(&caller.who, trading_day.into(), &asks);
    Ok(Json(Done::of(&accepted(outcome.await?)?)))
}

fn is_date(day: u32) -> bool {
    let (year, month, of_month) = (day / 10_000, day / 100 % 100, day % 100);
    (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=UtcNanos::days_in_month(year, month)).contains(&of_month)
}
