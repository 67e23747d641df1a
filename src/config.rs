//! Settings, all from the environment; read once, checked completely, before anything else.
//!
//! Every problem is reported, each with the variable, its value and what is allowed, and nothing is
//! opened before all are right.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::admin::auth::{LIFETIME_MAX, SECRET_LENGTH_MIN, Signing, Tokens};
use crate::agent::Idle;
use crate::journal::Policy;
use crate::journal::writer::SEGMENT_BYTES_MIN;
use crate::limits::{DEMO_INSTRUMENTS_MAX, DEMO_INSTRUMENTS_MIN, EngineLimits, ORDER_SLOT_BITS};
use crate::schedule::{self, Schedule};
use crate::store::url::{self, DatabaseUrl};
use crate::trading_day::TradingDayStart;

/// Where the venue runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine.
    Development,
    /// A copy of production.
    Staging,
    /// The real thing: demo keys are refused.
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

/// All settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// `ENV`.
    pub environment: Environment,
    /// `BIND_ADDRESS`: where every port listens.
    pub bind_address: IpAddr,
    /// `TRADING_SCHEDULE`: phases of every day.
    pub schedule: Schedule,
    /// `TRADING_DAY_START`: when trading days begin.
    pub trading_day_start: TradingDayStart,
    /// `PORT`: HTTP.
    pub port: u16,
    /// `METRICS_PORT`.
    pub metrics_port: u16,
    /// `FIX_PORT`.
    pub fix_port: u16,
    /// `BINARY_PORT`.
    pub binary_port: u16,
    /// `DATA_DIR`.
    pub data_dir: PathBuf,
    /// `LOG_LEVEL`.
    pub log_level: tracing::Level,
    /// `LOG_FORMAT` is `json`.
    pub log_json: bool,
    /// `JOURNAL_POLICY`.
    pub journal_policy: Policy,
    /// `JOURNAL_SEGMENT_BYTES`.
    pub journal_segment_bytes: u64,
    /// `TOPOLOGY`.
    pub preset: Preset,
    /// `IDLE`.
    pub idle: Idle,
    /// `CORES`: cores to pin to, in the order gateway/core, engine, journal; empty = do not pin.
    pub cores: Vec<usize>,
    /// `SNAPSHOTS`: snapshots of the core shorten a start.
    pub snapshots: bool,
    /// `MEMORY_LOCK`: keep the whole process in RAM, or do not start.
    pub memory_lock: bool,
    /// `FIX_COMP_ID`: the venue's own CompID.
    pub fix_comp_id: String,
    /// `DEMO`: define the demo world on a first start.
    pub demo: bool,
    /// `DEMO_INSTRUMENTS`: how many the demo world has.
    pub demo_instruments: u32,
    /// `MAKER_BOT`: run the demo maker bot.
    pub maker_bot: bool,
    /// `MAX_CONNECTIONS`.
    pub max_connections: usize,
    /// `GATEWAY_THREADS`: threads that serve sockets.
    pub gateway_threads: u8,
    /// `OUTPUT_BYTES_MAX`: bytes waiting for a client before it is disconnected.
    pub output_bytes_max: usize,
    /// `LOGON_TIMEOUT_MS`.
    pub logon_timeout_ms: u64,
    /// `SHUTDOWN_GRACE_MS`.
    pub shutdown_grace_ms: u64,
    /// `DATABASE_URL`: where history goes; the embedded SQLite of the data folder when it is not set.
    pub database: DatabaseUrl,
    /// `DATABASE_POOL_MAX`: connections for those who ask history.
    pub database_pool_max: u32,
    /// The admin API.
    pub api: ApiSettings,
    /// `MAX_ORDERS`, `MAX_CLIENT_ORDER_IDS`, `MAX_PRICE_PAGES`, `MAX_QUOTES`,
    /// `MAX_PROTECTION_GROUPS`, `MAX_RISK_LIMITS`.
    pub limits: EngineLimits,
}

/// Settings of the admin API.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// `JWT_SECRET`, or `JWT_PUBLIC_KEY_FILE` and `JWT_PRIVATE_KEY_FILE`; `None`: a secret is drawn at
    /// every start.
    pub signing: Option<Signing>,
    /// `JWT_AUDIENCE`.
    pub audience: String,
    /// `JWT_EXPIRY_SECONDS`: how long a token lives.
    pub token_seconds: u64,
    /// `API_RATE_LIMIT`: requests of a user, or of an address without a token, a minute.
    pub rate_per_minute: u32,
}

impl ApiSettings {
    fn read(s: &mut Source<'_>, production: bool) -> Self {
        let audience = s.parse(
            "JWT_AUDIENCE",
            "trading-engine-admin".to_owned(),
            "text that is not empty",
            |value| (!value.is_empty()).then(|| value.to_owned()),
        );
        let token_seconds = s.number("JWT_EXPIRY_SECONDS", LIFETIME_MAX, 1, LIFETIME_MAX);
        let rate = s.number("API_RATE_LIMIT", 6_000, 1, 1_000_000);
        let signing = Self::signing(s);
        match &signing {
            None if production => s.clash(
                "JWT_SECRET",
                "",
                "in ENV=production: set, or JWT_PUBLIC_KEY_FILE and JWT_PRIVATE_KEY_FILE are"
                    .into(),
            ),
            None => {}
            Some(signing) => {
                if let Err(why) = Tokens::new(signing, &audience, token_seconds) {
                    let variable = match signing {
                        Signing::Secret(_) => "JWT_SECRET",
                        Signing::KeyPair { .. } => "JWT_PRIVATE_KEY_FILE",
                    };
                    // The value may be the secret.
                    s.clash(variable, "(not shown)", format!("a right one: {why}"));
                }
            }
        }
        Self {
            signing,
            audience,
            token_seconds,
            rate_per_minute: u32::try_from(rate).unwrap_or(u32::MAX),
        }
    }

    fn signing(s: &mut Source<'_>) -> Option<Signing> {
        let [secret, file, public, private] = [
            "JWT_SECRET",
            "JWT_SECRET_FILE",
            "JWT_PUBLIC_KEY_FILE",
            "JWT_PRIVATE_KEY_FILE",
        ]
        .map(|name| (s.get)(name));
        let secret = match (secret, file) {
            (Some(_), Some(_)) => {
                s.clash(
                    "JWT_SECRET_FILE",
                    "(not shown)",
                    "not with JWT_SECRET".into(),
                );
                return None;
            }
            (Some(secret), None) => Some(secret),
            (None, Some(file)) => match std::fs::read_to_string(&file) {
                Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => {
                    s.clash(
                        "JWT_SECRET_FILE",
                        file,
                        format!("a file that can be read: {error}"),
                    );
                    return None;
                }
            },
            (None, None) => None,
        };
        match (secret, public, private) {
            (None, None, None) => None,
            (Some(secret), None, None) => {
                if secret.len() < SECRET_LENGTH_MIN {
                    let allowed = format!("at least {SECRET_LENGTH_MIN} bytes");
                    s.clash("JWT_SECRET", "(not shown)", allowed);
                    return None;
                }
                Some(Signing::Secret(secret.into_bytes()))
            }
            (None, Some(public), Some(private)) => {
                match Signing::from_files(public.as_ref(), private.as_ref()) {
                    Ok(signing) => Some(signing),
                    Err(why) => {
                        s.clash("JWT_PRIVATE_KEY_FILE", private, why);
                        None
                    }
                }
            }
            (None, public, private) => {
                let (one, value) = match (public, private) {
                    (Some(public), _) => ("JWT_PUBLIC_KEY_FILE", public),
                    (None, private) => ("JWT_PRIVATE_KEY_FILE", private.unwrap_or_default()),
                };
                s.clash(one, value, "together with the other key of the pair".into());
                None
            }
            (Some(_), _, _) => {
                let allowed = "not together with key files: tokens have one algorithm".into();
                s.clash("JWT_SECRET", "(not shown)", allowed);
                None
            }
        }
    }
}

/// One wrong variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which.
    pub variable: &'static str,
    /// Its value.
    pub value: String,
    /// What would be right.
    pub allowed: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}={:?}: allowed is {}",
            self.variable, self.value, self.allowed
        )
    }
}

struct Source<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<Problem>,
}

impl Source<'_> {
    fn parse<T>(
        &mut self,
        variable: &'static str,
        default: T,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        match (self.get)(variable) {
            None => default,
            Some(value) => parse(&value).unwrap_or_else(|| {
                self.problems.push(Problem {
                    variable,
                    value,
                    allowed: allowed.into(),
                });
                default
            }),
        }
    }

    fn choice<T: Copy>(&mut self, variable: &'static str, default: T, choices: &[(&str, T)]) -> T {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        self.parse(variable, default, &names.join(", "), |value| {
            choices
                .iter()
                .find(|(name, _)| *name == value)
                .map(|(_, choice)| *choice)
        })
    }

    fn number(&mut self, variable: &'static str, default: u64, low: u64, high: u64) -> u64 {
        let allowed = format!("a whole number from {low} to {high}");
        self.parse(variable, default, &allowed, |value| {
            value
                .parse()
                .ok()
                .filter(|number| (low..=high).contains(number))
        })
    }

    /// A problem with a value that is right by itself.
    fn clash(&mut self, variable: &'static str, value: impl fmt::Display, allowed: String) {
        self.problems.push(Problem {
            variable,
            value: value.to_string(),
            allowed,
        });
    }

    /// The value has a password, so it is not shown when it is wrong.
    fn database(&mut self, data_dir: &Path, production: bool) -> DatabaseUrl {
        let embedded = DatabaseUrl::embedded(data_dir);
        match (self.get)("DATABASE_URL") {
            None if production => {
                let allowed = format!("{}: required in ENV=production", url::ALLOWED);
                self.clash("DATABASE_URL", "", allowed);
                embedded
            }
            None => embedded,
            Some(value) => DatabaseUrl::parse(&value).unwrap_or_else(|| {
                self.clash("DATABASE_URL", "(not shown)", url::ALLOWED.into());
                embedded
            }),
        }
    }

    fn port(&mut self, variable: &'static str, default: u16) -> u16 {
        self.parse(
            variable,
            default,
            "a port from 0 to 65535 (0 = any free one)",
            |value| value.parse().ok(),
        )
    }
}

impl Config {
    /// Reads settings through `get`, which is the environment in the real program.
    ///
    /// # Errors
    /// Every problem there is.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Problem>> {
        let mut source = Source {
            get,
            problems: Vec::new(),
        };
        let s = &mut source;
        let environment = s.choice(
            "ENV",
            Environment::Development,
            &[
                ("development", Environment::Development),
                ("staging", Environment::Staging),
                ("production", Environment::Production),
            ],
        );
        let production = environment == Environment::Production;
        let flags = [("true", true), ("false", false)];
        let few_cores = std::thread::available_parallelism().is_ok_and(|cores| cores.get() <= 4);
        let preset = if few_cores {
            Preset::Compact
        } else {
            Preset::Dedicated
        };
        let defaults = EngineLimits::default();
        let demo = s.choice("DEMO", !production, &flags);
        let maker_bot = s.choice("MAKER_BOT", demo, &flags);
        let data_dir = s.parse(
            "DATA_DIR",
            PathBuf::from("data"),
            "a folder's path",
            |value| (!value.is_empty()).then(|| PathBuf::from(value)),
        );
        let database = s.database(&data_dir, production);
        let u32_of = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let usize_of = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let api = ApiSettings::read(s, production);
        let config = Self {
            environment,
            api,
            bind_address: s.parse(
                "BIND_ADDRESS",
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                "an IP address",
                |value| value.parse().ok(),
            ),
            schedule: s.parse(
                "TRADING_SCHEDULE",
                Schedule::default(),
                schedule::ALLOWED,
                Schedule::parse,
            ),
            trading_day_start: s.parse(
                "TRADING_DAY_START",
                TradingDayStart::default(),
                "HH:MM, UTC",
                TradingDayStart::parse,
            ),
            port: s.port("PORT", 8080),
            metrics_port: s.port("METRICS_PORT", 9090),
            fix_port: s.port("FIX_PORT", 9880),
            binary_port: s.port("BINARY_PORT", 9881),
            data_dir,
            database,
            database_pool_max: u32_of(s.number("DATABASE_POOL_MAX", 8, 1, 256)),
            log_level: s.choice(
                "LOG_LEVEL",
                tracing::Level::INFO,
                &[
                    ("error", tracing::Level::ERROR),
                    ("warn", tracing::Level::WARN),
                    ("info", tracing::Level::INFO),
                    ("debug", tracing::Level::DEBUG),
                    ("trace", tracing::Level::TRACE),
                ],
            ),
            log_json: s.choice(
                "LOG_FORMAT",
                production,
                &[("json", true), ("pretty", false)],
            ),
            journal_policy: s.choice(
                "JOURNAL_POLICY",
                Policy::Group,
                &[("group", Policy::Group), ("os", Policy::Os)],
            ),
            journal_segment_bytes: s.number(
                "JOURNAL_SEGMENT_BYTES",
                64 << 20,
                SEGMENT_BYTES_MIN,
                1 << 30,
            ) & !4095,
            preset: s.choice(
                "TOPOLOGY",
                preset,
                &[
                    ("single", Preset::Single),
                    ("compact", Preset::Compact),
                    ("dedicated", Preset::Dedicated),
                ],
            ),
            idle: s.choice(
                "IDLE",
                Idle::SpinThenPark,
                &[
                    ("spin", Idle::Spin),
                    ("spin-then-park", Idle::SpinThenPark),
                    ("park", Idle::Park),
                ],
            ),
            cores: s.parse(
                "CORES",
                Vec::new(),
                "core numbers, comma-separated",
                |value| {
                    value
                        .split(',')
                        .map(|core| core.trim().parse().ok())
                        .collect()
                },
            ),
            snapshots: s.choice("SNAPSHOTS", true, &flags),
            memory_lock: s.choice("MEMORY_LOCK", false, &flags),
            fix_comp_id: s.parse(
                "FIX_COMP_ID",
                "TRADENG".to_owned(),
                "1 to 24 printable characters without spaces",
                |value| crate::engine::command::name(value).map(|_| value.to_owned()),
            ),
            demo,
            demo_instruments: u32_of(s.number(
                "DEMO_INSTRUMENTS",
                u64::from(DEMO_INSTRUMENTS_MIN),
                u64::from(DEMO_INSTRUMENTS_MIN),
                u64::from(DEMO_INSTRUMENTS_MAX),
            )),
            maker_bot,
            gateway_threads: u8::try_from(s.number("GATEWAY_THREADS", 1, 1, 16)).unwrap_or(1),
            max_connections: usize_of(s.number("MAX_CONNECTIONS", 4096, 1, 1 << 16)),
            output_bytes_max: usize_of(s.number("OUTPUT_BYTES_MAX", 1 << 20, 1 << 16, 1 << 30)),
            logon_timeout_ms: s.number("LOGON_TIMEOUT_MS", 5_000, 100, 60_000),
            shutdown_grace_ms: s.number("SHUTDOWN_GRACE_MS", 5_000, 0, 600_000),
            limits: EngineLimits {
                orders: u32_of(s.number(
                    "MAX_ORDERS",
                    u64::from(defaults.orders),
                    1,
                    1 << ORDER_SLOT_BITS,
                )),
                client_order_ids: u32_of(s.number(
                    "MAX_CLIENT_ORDER_IDS",
                    u64::from(defaults.client_order_ids),
                    1,
                    1 << 28,
                )),
                price_pages: u32_of(s.number(
                    "MAX_PRICE_PAGES",
                    u64::from(defaults.price_pages),
                    1,
                    1 << 22,
                )),
                quotes: u32_of(s.number("MAX_QUOTES", u64::from(defaults.quotes), 1, 1 << 22)),
                protection_groups: u32_of(s.number(
                    "MAX_PROTECTION_GROUPS",
                    u64::from(defaults.protection_groups),
                    1,
                    1 << 16,
                )),
                risk_limits: u32_of(s.number(
                    "MAX_RISK_LIMITS",
                    u64::from(defaults.risk_limits),
                    1,
                    1 << 16,
                )),
                ..defaults
            },
        };
        if config.gateway_threads > 1 && config.preset != Preset::Dedicated {
            let allowed = "1 unless TOPOLOGY=dedicated".into();
            s.clash("GATEWAY_THREADS", config.gateway_threads, allowed);
        }
        if production && config.demo {
            let allowed = "false in ENV=production: demo keys are not for production".into();
            s.clash("DEMO", true, allowed);
        }
        let ports = [
            ("PORT", config.port),
            ("METRICS_PORT", config.metrics_port),
            ("FIX_PORT", config.fix_port),
            ("BINARY_PORT", config.binary_port),
        ];
        for (at, (variable, port)) in ports.into_iter().enumerate() {
            let same = |(_, other): &&(&str, u16)| *other == port && port != 0;
            if let Some((other, _)) = ports[..at].iter().find(same) {
                s.clash(variable, port, format!("another port than {other}'s"));
            }
        }
        if source.problems.is_empty() {
            Ok(config)
        } else {
            Err(source.problems)
        }
    }
}

impl Config {
    /// Descriptors that are not clients': listeners, side ports, journal, event log, pollers, and
    /// some to spare.
    const DESCRIPTORS_BESIDE: u64 = 256;

    /// Lets the process have the descriptors that `MAX_CONNECTIONS` needs.
    ///
    /// # Errors
    /// When the system's hard limit is below that.
    pub fn reserve_descriptors(&self) -> Result<(), Problem> {
        let limit = getrlimit(Resource::Nofile);
        let wanted = self.descriptors_within(limit.maximum)?;
        if limit.current.is_none_or(|current| current >= wanted) {
            return Ok(());
        }
        let raised = Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, raised).map_err(|error| Problem {
            variable: "MAX_CONNECTIONS",
            value: self.max_connections.to_string(),
            allowed: format!("what the system has {wanted} descriptors for: {error}"),
        })
    }

    /// Descriptors needed, if a hard limit (`None` = there is none) has room for them.
    fn descriptors_within(&self, maximum: Option<u64>) -> Result<u64, Problem> {
        let wanted = self.max_connections as u64 + Self::DESCRIPTORS_BESIDE;
        match maximum {
            Some(maximum) if maximum < wanted => Err(Problem {
                variable: "MAX_CONNECTIONS",
                value: self.max_connections.to_string(),
                allowed: format!(
                    "at most {} with a hard limit of {maximum} open files (ulimit -Hn)",
                    maximum.saturating_sub(Self::DESCRIPTORS_BESIDE)
                ),
            }),
            _ => Ok(wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, Vec<Problem>> {
        Config::read(&|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_default_is_a_development_venue_on_loopback() {
        let config = read(&[]).unwrap();
        assert_eq!(config.environment, Environment::Development);
        assert!(config.bind_address.is_loopback());
        assert_eq!(
            (
                config.port,
                config.metrics_port,
                config.fix_port,
                config.binary_port
            ),
            (8080, 9090, 9880, 9881)
        );
        assert_eq!(config.journal_policy, Policy::Group);
        assert!(config.demo && config.maker_bot);
    }

    #[test]
    fn every_wrong_variable_is_named_with_its_value_and_what_is_allowed() {
        let problems = read(&[
            ("PORT", "eighty"),
            ("METRICS_PORT", "70000"),
            ("LOG_LEVEL", "loud"),
            ("ENV", "prod"),
            ("JOURNAL_POLICY", "none"),
            ("CORES", "0,x"),
            ("MAX_ORDERS", "0"),
        ])
        .unwrap_err();
        let named: Vec<&str> = problems.iter().map(|problem| problem.variable).collect();
        assert_eq!(
            named,
            [
                "ENV",
                "PORT",
                "METRICS_PORT",
                "LOG_LEVEL",
                "JOURNAL_POLICY",
                "CORES",
                "MAX_ORDERS"
            ]
        );
        let text = problems[3].to_string();
        assert_eq!(
            text,
            "LOG_LEVEL=\"loud\": allowed is error, warn, info, debug, trace"
        );
    }

    #[test]
    fn demo_keys_are_refused_in_production() {
        let database = ("DATABASE_URL", "postgres://venue@db/venue");
        assert!(!read(&[("ENV", "production"), database]).unwrap().demo);
        let problems = read(&[("ENV", "production"), database, ("DEMO", "true")]).unwrap_err();
        assert_eq!(problems[0].variable, "DEMO");
    }

    #[test]
    fn history_goes_to_the_data_folder_unless_told_otherwise_and_production_has_to_be_told() {
        let config = read(&[("DATA_DIR", "/var/lib/venue")]).unwrap();
        let embedded = "sqlite:/var/lib/venue/history.sqlite";
        assert_eq!(config.database.to_string(), embedded);
        let url = ("DATABASE_URL", "postgres://venue:secret@db:5433/history");
        let config = read(&[url, ("ENV", "production")]).unwrap();
        assert_eq!(config.database.to_string(), "postgresql://db:5433/history");
        let problems = read(&[("ENV", "production")]).unwrap_err();
        assert_eq!(problems[0].variable, "DATABASE_URL");
        let problems = read(&[("DATABASE_URL", "mysql://venue:secret@db")]).unwrap_err();
        assert!(!problems[0].to_string().contains("secret"), "{problems:?}");
    }

    #[test]
    fn connections_that_the_hard_limit_has_no_descriptors_for_are_refused_by_name() {
        let config = read(&[("MAX_CONNECTIONS", "1000")]).unwrap();
        assert_eq!(config.descriptors_within(None), Ok(1256));
        assert_eq!(config.descriptors_within(Some(1256)), Ok(1256));
        let problem = config.descriptors_within(Some(1255)).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "MAX_CONNECTIONS=\"1000\": allowed is at most 999 with a hard limit of 1255 open \
             files (ulimit -Hn)"
        );
    }

    #[test]
    fn one_port_number_for_two_doors_is_refused_and_zero_is_not() {
        assert!(read(&[("PORT", "0"), ("METRICS_PORT", "0")]).is_ok());
        let problems = read(&[("METRICS_PORT", "8080"), ("BINARY_PORT", "9880")]).unwrap_err();
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "METRICS_PORT=\"8080\": allowed is another port than PORT's",
                "BINARY_PORT=\"9880\": allowed is another port than FIX_PORT's"
            ]
        );
    }
}
