//! Settings with a few named values.

use std::fmt;

use crate::agent::Idle;
use crate::journal::Policy;

/// A type whose values all have a name in the settings.
pub(super) trait Choice: Copy + 'static {
    /// Every name with its value, in the order they are told.
    const NAMES: &'static [(&'static str, Self)];
}

/// The names of a choice.
pub(super) fn names<T: Choice>() -> Vec<&'static str> {
    T::NAMES.iter().map(|(name, _)| *name).collect()
}

/// The value of a name.
pub(super) fn named<T: Choice>(name: &str) -> Option<T> {
    let known = T::NAMES.iter().find(|(known, _)| *known == name);
    known.map(|(_, value)| *value)
}

/// Where the venue runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine.
    Development,
    /// A copy of production.
    Staging,
    /// The real thing: demo keys are refused, database, Redis and token keys are demanded.
    Production,
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        })
    }
}

impl Choice for Environment {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("development", Self::Development),
        ("staging", Self::Staging),
        ("production", Self::Production),
    ];
}

/// Which agents share a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Everything on one thread: tests, the smallest machines.
    Single,
    /// Gateway, sequencer, journal append and engine on one thread: fewest wake-ups.
    Compact,
    /// A thread each, for hosts with cores to spare.
    Dedicated,
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single => "single",
            Self::Compact => "compact",
            Self::Dedicated => "dedicated",
        })
    }
}

impl Choice for Preset {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("single", Self::Single),
        ("compact", Self::Compact),
        ("dedicated", Self::Dedicated),
    ];
}

/// Who may ask for profiles (`/debug/pprof/`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pprof {
    /// Nobody.
    Off,
    /// Whoever comes from this machine.
    Loopback,
    /// Whoever brings `PPROF_TOKEN`, from anywhere.
    Token,
}

impl Choice for Pprof {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("off", Self::Off),
        ("loopback", Self::Loopback),
        ("token", Self::Token),
    ];
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogFormat {
    Json,
    Pretty,
}

impl Choice for LogFormat {
    const NAMES: &'static [(&'static str, Self)] =
        &[("json", Self::Json), ("pretty", Self::Pretty)];
}

impl Choice for bool {
    const NAMES: &'static [(&'static str, Self)] = &[("true", true), ("false", false)];
}

impl Choice for tracing::Level {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("error", Self::ERROR),
        ("warn", Self::WARN),
        ("info", Self::INFO),
        ("debug", Self::DEBUG),
        ("trace", Self::TRACE),
    ];
}

impl Choice for Policy {
    const NAMES: &'static [(&'static str, Self)] = &[("group", Self::Group), ("os", Self::Os)];
}

impl Choice for Idle {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("spin", Self::Spin),
        ("spin-then-park", Self::SpinThenPark),
        ("park", Self::Park),
    ];
}
