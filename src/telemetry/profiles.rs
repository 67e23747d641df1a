//! `GET /debug/pprof/heap` and `/debug/pprof/profile?seconds=N` on `METRICS_PORT`, as `go tool pprof`
//! reads them: what the allocator's sampled allocations hold, and where the process's CPU time goes.
//!
//! One at a time, of bounded length. Heap sampling is always on and costs an allocation now and then;
//! a CPU profile interrupts whatever thread runs, 99 times a second of CPU time while it is taken, and
//! not at all otherwise.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pprof::protos::Message as _;
use pprof::{Frames, ProfilerGuard, ProfilerGuardBuilder, Report};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Exposition, Source};
use crate::metric_names as names;

/// Samples for each second of CPU time; prime, so that it does not beat with what is periodic.
const FREQUENCY: i32 = 99;
const SECONDS_MAX: u64 = 60;
const SECONDS_DEFAULT: u64 = 30;
/// Libraries whose code is not looked into: a thread interrupted there may hold a lock that walking
/// its stack takes, and would wait for itself for good. The price is that their samples are missing.
const NOT_INTERRUPTED: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

/// Who may ask.
#[derive(Clone)]
pub enum Access {
    /// Nobody.
    Off,
    /// Whoever connects from this machine, not through a proxy on it.
    Loopback,
    /// Whoever brings a bearer token that this takes.
    Token(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            Self::Loopback => "Loopback",
            Self::Token(_) => "Token(..)",
        })
    }
}

impl Access {
    /// Whoever brings this token.
    pub fn token(token: &str) -> Self {
        // Hashes are of one length, whatever the guess.
        let right = Sha256::digest(token);
        Self::Token(Arc::new(move |guess| {
            Sha256::digest(guess)
                .as_slice()
                .ct_eq(right.as_slice())
                .into()
        }))
    }

    fn allows(&self, peer: SocketAddr, headers: &HeaderMap) -> bool {
        match self {
            Self::Off => false,
            Self::Loopback => {
                let forwarded = [header::FORWARDED.as_str(), "x-forwarded-for"];
                peer.ip().to_canonical().is_loopback()
                    && !forwarded.iter().any(|name| headers.contains_key(*name))
            }
            Self::Token(takes) => {
                let given = headers.get(header::AUTHORIZATION);
                let given = given.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
                given.is_some_and(|given| takes(given))
            }
        }
    }
}

/// The profilers of this process. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Profiles {
    access: Access,
    /// One profile at a time.
    place: Arc<Semaphore>,
    heap: Arc<AtomicU64>,
    cpu: Arc<AtomicU64>,
}

impl Profiles {
    /// For these.
    pub fn new(access: Access) -> Self {
        Self {
            access,
            place: Arc::new(Semaphore::new(1)),
            heap: Arc::default(),
            cpu: Arc::default(),
        }
    }

    /// The two routes. The server says who asks by `ConnectInfo`.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/debug/pprof/heap", get(heap))
            .route("/debug/pprof/profile", get(cpu))
            .with_state(self)
    }

    fn admit(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<SemaphorePermit<'_>, Refusal> {
        if !self.access.allows(peer, headers) {
            return Err(match self.access {
                Access::Off => Refusal::Off,
                Access::Loopback => Refusal::NotLoopback,
                Access::Token(_) => Refusal::NoToken,
            });
        }
        self.place.try_acquire().map_err(|_| Refusal::Busy)
    }
}

impl Source for Profiles {
    fn render(&self, out: &mut Exposition) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        out.series(
            &names::PROFILES,
            [(["heap"], read(&self.heap)), (["cpu"], read(&self.cpu))],
        );
    }
}

/// Why there is no profile.
#[derive(Debug)]
enum Refusal {
    Off,
    NotLoopback,
    NoToken,
    Busy,
    Seconds,
    /// The allocator was built or told not to sample.
    NotSampled,
    Failed(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, detail) = match self {
            Self::Off => (StatusCode::NOT_FOUND, "profiles are off".into()),
            Self::NotLoopback => (StatusCode::FORBIDDEN, "only from this machine".into()),
            Self::NoToken => (
                StatusCode::UNAUTHORIZED,
                "the bearer token is not right".into(),
            ),
            Self::Busy => (
                StatusCode::CONFLICT,
                "another profile is being taken".into(),
            ),
            Self::Seconds => {
                let why = format!("seconds is a whole number from 1 to {SECONDS_MAX}");
                (StatusCode::BAD_REQUEST, why)
            }
            Self::NotSampled => {
                let why = "jemalloc does not sample: it was built without .cargo/config.toml, or \
                           MALLOC_CONF says so";
                (StatusCode::NOT_IMPLEMENTED, why.into())
            }
            Self::Failed(why) => (StatusCode::INTERNAL_SERVER_ERROR, why),
        };
        let body = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("error"),
            "status": status.as_u16(),
            "detail": detail,
        });
        let json = (header::CONTENT_TYPE, "application/problem+json");
        let challenge = (header::WWW_AUTHENTICATE, "Bearer");
        match status {
            StatusCode::UNAUTHORIZED => {
                (status, [json, challenge], body.to_string()).into_response()
            }
            status => (status, [json], body.to_string()).into_response(),
        }
    }
}

fn failed(error: impl fmt::Display) -> Refusal {
    Refusal::Failed(error.to_string())
}

fn file(name: &str, bytes: Vec<u8>) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    (headers, bytes).into_response()
}

async fn heap(
    State(profiles): State<Profiles>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let _one = profiles.admit(peer, &headers)?;
    let sampler = jemalloc_pprof::PROF_CTL
        .as_ref()
        .ok_or(Refusal::NotSampled)?;
    let mut sampler = Arc::clone(sampler).lock_owned().await;
    // It writes and reads a file, and looks up names in the program's own.
    let bytes = tokio::task::spawn_blocking(move || sampler.dump_pprof())
        .await
        .map_err(failed)?
        .map_err(failed)?;
    profiles.heap.fetch_add(1, Ordering::Relaxed);
    Ok(file("heap.pb.gz", bytes))
}

#[derive(Deserialize)]
struct Length {
    seconds: Option<u64>,
}

async fn cpu(
    State(profiles): State<Profiles>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    length: Result<Query<Length>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Refusal> {
    let _one = profiles.admit(peer, &headers)?;
    let Query(Length { seconds }) = length.map_err(|_| Refusal::Seconds)?;
    let seconds = seconds.unwrap_or(SECONDS_DEFAULT);
    if !(1..=SECONDS_MAX).contains(&seconds) {
        return Err(Refusal::Seconds);
    }
    let guard = ProfilerGuardBuilder::default()
        .frequency(FREQUENCY)
        .blocklist(&NOT_INTERRUPTED)
        .build()
        .map_err(failed)?;
    // Whoever hangs up drops this future, and the guard with it: the signals end.
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let bytes = tokio::task::spawn_blocking(move || finish(guard))
        .await
        .map_err(failed)?
        .map_err(failed)?;
    profiles.cpu.fetch_add(1, Ordering::Relaxed);
    Ok(file("profile.pb", bytes))
}

/// Ends the signals first: looking up names takes longer than a thread should be interrupted for.
fn finish(guard: ProfilerGuard<'static>) -> Result<Vec<u8>, pprof::Error> {
    let samples = guard.report().build_unresolved()?;
    drop(guard);
    let mut report = Report {
        data: std::collections::HashMap::new(),
        timing: samples.timing,
    };
    for (frames, count) in samples.data {
        *report.data.entry(Frames::from(frames)).or_default() += count;
    }
    Ok(report.pprof()?.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machine_itself_or_the_token_is_let_in() {
        let peer = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let none = HeaderMap::new();
        let with = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            headers
        };
        let loopback = Access::Loopback;
        assert!(loopback.allows(peer("127.0.0.1:1"), &none));
        assert!(loopback.allows(peer("[::1]:1"), &none));
        assert!(loopback.allows(peer("[::ffff:127.0.0.1]:1"), &none));
        assert!(!loopback.allows(peer("10.0.0.1:1"), &none));
        assert!(!loopback.allows(peer("[::ffff:10.0.0.1]:1"), &none));
        for name in ["forwarded", "x-forwarded-for"] {
            assert!(!loopback.allows(peer("127.0.0.1:1"), &with(name, "10.0.0.1")));
        }
        let token = Access::token("secret");
        assert!(!Access::Off.allows(peer("127.0.0.1:1"), &none));
        assert!(token.allows(peer("10.0.0.1:1"), &with("authorization", "Bearer secret")));
        assert!(!token.allows(peer("127.0.0.1:1"), &none));
        for wrong in [
            "Bearer secre",
            "Bearer secrets",
            "Bearer ",
            "secret",
            "Basic secret",
        ] {
            assert!(!token.allows(peer("127.0.0.1:1"), &with("authorization", wrong)));
        }
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}
