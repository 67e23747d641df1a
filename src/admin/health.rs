//! What the venue leans on without needing it: the database and the cache. Down, either is told here by
//! name, and is no reason to be un-ready.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Longest wait for one of them.
const PING_TIME: Duration = Duration::from_secs(2);
/// How long an answer is given again: strangers ask here.
const FRESH_TIME: Duration = Duration::from_secs(1);

/// How one of them is.
#[derive(Clone, Debug, Serialize)]
pub struct Dependency {
    /// `ok`, `down` or `not_configured`.
    status: &'static str,
    /// How long it took to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
    /// What is wrong, or what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Dependency {
    /// Whether it should answer and does not.
    pub fn is_down(&self) -> bool {
        self.status == "down"
    }
}

/// All of them, in `/health`.
#[derive(Clone, Debug, Serialize)]
pub struct Dependencies {
    /// SQL.
    pub db: Dependency,
    /// The cache.
    pub redis: Dependency,
}

/// Asks one of them, and says how long it took or what is wrong; `None`: it is not configured.
pub type Asking =
    Arc<dyn Fn() -> BoxFuture<'static, Option<Result<Duration, String>>> + Send + Sync>;

/// One of them.
#[derive(Clone)]
pub struct Ping {
    setting: &'static str,
    instead: Option<String>,
    asking: Asking,
    last: Arc<Mutex<Option<(Instant, Dependency)>>>,
}

impl Ping {
    /// One that is asked so, and that this setting is about.
    pub fn new(setting: &'static str, asking: Asking) -> Self {
        Self {
            setting,
            instead: None,
            asking,
            last: Arc::default(),
        }
    }

    /// The same; what there is instead, because the setting is not there, is said by name.
    pub fn instead(mut self, what: Option<&impl fmt::Display>) -> Self {
        self.instead = what.map(|what| format!("{} is not set: {what}", self.setting));
        self
    }

    /// How it is, or was a moment ago.
    pub async fn ask(&self) -> Dependency {
        let mut last = self.last.lock().await;
        if let Some((at, known)) = last.as_ref()
            && at.elapsed() < FRESH_TIME
        {
            return known.clone();
        }
        let answer = timeout(PING_TIME, (self.asking)()).await;
        let answer = answer.unwrap_or_else(|_| Some(Err("no answer in time".into())));
        let dependency = match answer {
            None => Dependency {
                status: "not_configured",
                latency_ms: None,
                reason: Some(format!("{} is not set", self.setting)),
            },
            Some(Ok(took)) => Dependency {
                status: "ok",
                latency_ms: Some(took.as_secs_f64() * 1e3),
                reason: self.instead.clone(),
            },
            Some(Err(reason)) => Dependency {
                status: "down",
                latency_ms: None,
                reason: Some(match &self.instead {
                    Some(instead) => format!("{reason} ({instead})"),
                    None => reason,
                }),
            },
        };
        *last = Some((Instant::now(), dependency.clone()));
        dependency
    }
}
