//! Settings: flags, environment, a file and defaults; read once, checked completely, before anything
//! else.
//!
//! Every problem is reported, each with the variable, its value and what is allowed, and nothing is
//! opened before all are right. [`table`] has every setting once; `problem` and `page` say what people
//! read of them.

mod choices;
mod file;
mod jwt;
mod page;
mod problem;
mod reader;
mod secret;
mod service_url;
pub mod table;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::admin::auth::SECRET_LENGTH_MIN;
use crate::admin::proxies::TrustedProxies;
use crate::agent::Idle;
use crate::journal::Policy;
use crate::limits::EngineLimits;
use crate::schedule::Schedule;
use crate::store::redis::RedisUrl;
use crate::store::url::DatabaseUrl;
use crate::trading_day::TradingDayStart;
use choices::LogFormat;
use reader::Reader;
use table::Basis;

pub use choices::{Environment, Pprof, Preset};
pub use jwt::{JwtKeyPair, JwtKeys};
pub use page::{listing, reference};
pub use problem::{Origin, Problem, Value};
pub use reader::{Effective, FileText, Sources, Warning};
pub use secret::{REDACTED, Secret};
pub use service_url::ServiceUrl;

/// All settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// `ENV`.
    pub environment: Environment,
    /// `BIND_ADDRESS`: where every port listens.
    pub bind_address: IpAddr,
    /// `TRUSTED_PROXIES`: whose `X-Forwarded-For` is believed; empty = nobody's.
    pub trusted_proxies: TrustedProxies,
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
    /// `MAX_ORDERS`, `MAX_CLIENT_ORDER_IDS`, `MAX_PRICE_PAGES`, `MAX_QUOTES`,
    /// `MAX_PROTECTION_GROUPS`, `MAX_RISK_LIMITS`, `MAX_ACCOUNTS`.
    pub limits: EngineLimits,
    /// `DATABASE_URL`: `postgres:`, `postgresql:` or `sqlite:`; `None` = SQLite in `DATA_DIR`.
    pub database_url: Option<DatabaseUrl>,
    /// `DATABASE_POOL_MAX`: connections to the database.
    pub database_pool_max: u32,
    /// `REDIS_URL`: `redis://` or `rediss://`; `None` = without Redis.
    pub redis_url: Option<RedisUrl>,
    /// `REDIS_PREFIX`: what keys and channels begin with.
    pub redis_prefix: String,
    /// `JWT_SECRET`, or `JWT_PRIVATE_KEY` with `JWT_PUBLIC_KEY`; `None` = draw a secret at start.
    pub jwt_keys: Option<JwtKeys>,
    /// `JWT_AUDIENCE`: whom admin tokens are for.
    pub jwt_audience: String,
    /// `JWT_EXPIRY_SECONDS`: how long one is valid.
    pub jwt_expiry_seconds: u64,
    /// `API_RATE_LIMIT`: requests a minute of one user, or of an address without a token.
    pub api_rate_limit: u32,
    /// `SENTRY_DSN`: where panics and errors are reported.
    pub sentry_dsn: Option<Secret>,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: where traces go.
    pub otlp_endpoint: Option<ServiceUrl>,
    /// `DOGSTATSD_ADDRESS`, or `DD_AGENT_HOST` with `DD_DOGSTATSD_PORT`: host and port of the agent.
    pub dogstatsd_address: Option<(String, u16)>,
    /// `PPROF`.
    pub pprof: Pprof,
    /// `PPROF_TOKEN`: what `PPROF=token` asks for.
    pub pprof_token: Option<Secret>,
}

fn is_sentry_dsn(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|dsn| {
        let project = dsn.path().rsplit('/').next();
        matches!(dsn.scheme(), "http" | "https")
            && !dsn.username().is_empty()
            && dsn.host_str().is_some_and(|host| !host.is_empty())
            && project.is_some_and(|project| !project.is_empty())
    })
}

/// Settings that are all right, and how they came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Each with its source.
    pub effective: Vec<Effective>,
    /// What is allowed and unwise.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// Reads settings from an environment alone, and the files it names.
    ///
    /// # Errors
    /// Every problem there is.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Problem>> {
        let sources = Sources {
            flag: &|_| None,
            environment: &|name| get(name).map(Into::into),
            read_file: &FileText::read,
        };
        Self::load(sources).map(|loaded| loaded.config)
    }

    /// Reads settings from everywhere.
    ///
    /// # Errors
    /// Every problem there is.
    pub fn load(sources: Sources<'_>) -> Result<Loaded, Vec<Problem>> {
        let few_cores = std::thread::available_parallelism().is_ok_and(|cores| cores.get() <= 4);
        let basis = Basis {
            production: false,
            demo: true,
            few_cores,
        };
        let mut reader = Reader::new(sources, basis);
        let config = Self::from_reader(&mut reader);
        config.check_together(&mut reader);
        if reader.problems.is_empty() {
            Ok(Loaded {
                config,
                effective: reader.effective,
                warnings: reader.warnings,
            })
        } else {
            Err(reader.problems)
        }
    }

    /// Each setting by itself.
    fn from_reader(s: &mut Reader<'_>) -> Self {
        let u32_of = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let usize_of = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let environment = s.choice("ENV");
        s.basis.production = environment == Environment::Production;
        let demo = s.choice("DEMO");
        s.basis.demo = demo;
        Self {
            environment,
            bind_address: s
                .parse("BIND_ADDRESS", |value| value.parse().ok())
                .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            trusted_proxies: s
                .parse("TRUSTED_PROXIES", TrustedProxies::parse)
                .unwrap_or_default(),
            schedule: s
                .parse("TRADING_SCHEDULE", Schedule::parse)
                .unwrap_or_default(),
            trading_day_start: s
                .parse("TRADING_DAY_START", TradingDayStart::parse)
                .unwrap_or_default(),
            port: s.port("PORT"),
            metrics_port: s.port("METRICS_PORT"),
            fix_port: s.port("FIX_PORT"),
            binary_port: s.port("BINARY_PORT"),
            data_dir: s.parse("DATA_DIR", folder).unwrap_or_default(),
            log_level: s.choice("LOG_LEVEL"),
            log_json: s.choice::<LogFormat>("LOG_FORMAT") == LogFormat::Json,
            journal_policy: s.choice("JOURNAL_POLICY"),
            journal_segment_bytes: s.number("JOURNAL_SEGMENT_BYTES") & !4095,
            preset: s.choice("TOPOLOGY"),
            idle: s.choice("IDLE"),
            cores: s.parse("CORES", core_numbers).unwrap_or_default(),
            snapshots: s.choice("SNAPSHOTS"),
            memory_lock: s.choice("MEMORY_LOCK"),
            fix_comp_id: s
                .parse("FIX_COMP_ID", |value| {
                    crate::engine::command::name(value).map(|_| value.to_owned())
                })
                .unwrap_or_default(),
            demo,
            demo_instruments: u32_of(s.number("DEMO_INSTRUMENTS")),
            maker_bot: s.choice("MAKER_BOT"),
            gateway_threads: u8::try_from(s.number("GATEWAY_THREADS")).unwrap_or(1),
            max_connections: usize_of(s.number("MAX_CONNECTIONS")),
            output_bytes_max: usize_of(s.number("OUTPUT_BYTES_MAX")),
            logon_timeout_ms: s.number("LOGON_TIMEOUT_MS"),
            shutdown_grace_ms: s.number("SHUTDOWN_GRACE_MS"),
            limits: EngineLimits {
                orders: u32_of(s.number("MAX_ORDERS")),
                client_order_ids: u32_of(s.number("MAX_CLIENT_ORDER_IDS")),
                price_pages: u32_of(s.number("MAX_PRICE_PAGES")),
                quotes: u32_of(s.number("MAX_QUOTES")),
                protection_groups: u32_of(s.number("MAX_PROTECTION_GROUPS")),
                risk_limits: u32_of(s.number("MAX_RISK_LIMITS")),
                accounts: u32_of(s.number("MAX_ACCOUNTS")),
                quotes_per_firm: u32_of(s.number("MAX_QUOTES_PER_FIRM")),
                protection_groups_per_firm: u32_of(s.number("MAX_PROTECTION_GROUPS_PER_FIRM")),
                ..EngineLimits::default()
            },
            database_url: s.url_as("DATABASE_URL", |url| DatabaseUrl::parse(url.reveal())),
            database_pool_max: u32_of(s.number("DATABASE_POOL_MAX")),
            redis_url: s.url_as("REDIS_URL", |url| RedisUrl::parse(url.reveal())),
            redis_prefix: s
                .parse("REDIS_PREFIX", |value| printable(value, 64))
                .unwrap_or_default(),
            jwt_keys: jwt_keys(s),
            jwt_audience: s
                .parse("JWT_AUDIENCE", |value| printable(value, 128))
                .unwrap_or_default(),
            jwt_expiry_seconds: s.number("JWT_EXPIRY_SECONDS"),
            api_rate_limit: u32_of(s.number("API_RATE_LIMIT")),
            sentry_dsn: s.secret("SENTRY_DSN", is_sentry_dsn),
            otlp_endpoint: s.url("OTEL_EXPORTER_OTLP_ENDPOINT"),
            dogstatsd_address: dogstatsd_address(s),
            pprof: s.choice("PPROF"),
            pprof_token: s.secret("PPROF_TOKEN", |token| token.len() >= TOKEN_BYTES_MIN),
        }
    }

    /// Where history goes: the embedded SQLite of the data folder unless a database is named.
    pub fn database(&self) -> DatabaseUrl {
        let named = self.database_url.clone();
        named.unwrap_or_else(|| DatabaseUrl::embedded(&self.data_dir))
    }

    /// What one setting asks of another.
    fn check_together(&self, s: &mut Reader<'_>) {
        let production = self.environment == Environment::Production;
        if self.gateway_threads > 1 && self.preset != Preset::Dedicated {
            s.clash("GATEWAY_THREADS", "1 unless TOPOLOGY=dedicated".into());
        }
        if production && self.demo {
            let allowed = "false in ENV=production: demo keys are not for production";
            s.clash("DEMO", allowed.into());
        }
        let ports = [
            ("PORT", self.port),
            ("METRICS_PORT", self.metrics_port),
            ("FIX_PORT", self.fix_port),
            ("BINARY_PORT", self.binary_port),
        ];
        for (at, (variable, port)) in ports.into_iter().enumerate() {
            let same = |(_, other): &&(&str, u16)| *other == port && port != 0;
            if let Some((other, _)) = ports[..at].iter().find(same) {
                s.clash(variable, format!("another port than {other}'s"));
            }
        }
        let (orders, ids) = (self.limits.orders, self.limits.client_order_ids);
        if ids < orders && !s.is_wrong(&["MAX_ORDERS", "MAX_CLIENT_ORDER_IDS"]) {
            // Every open order keeps its id.
            let allowed = format!("at least MAX_ORDERS, which is {orders}");
            s.clash("MAX_CLIENT_ORDER_IDS", allowed);
        }
        if self.pprof == Pprof::Token
            && self.pprof_token.is_none()
            && !s.is_wrong(&["PPROF_TOKEN", "PPROF_TOKEN_FILE"])
        {
            let allowed = format!("at least {TOKEN_BYTES_MIN} bytes with PPROF=token");
            s.clash("PPROF_TOKEN", allowed);
        }
        if production {
            self.check_production(s);
        }
    }

    fn check_production(&self, s: &mut Reader<'_>) {
        let needed = [
            (
                self.database_url.is_some(),
                "DATABASE_URL",
                &["DATABASE_URL_FILE"][..],
                "",
            ),
            (
                self.redis_url.is_some(),
                "REDIS_URL",
                &["REDIS_URL_FILE"],
                "",
            ),
            (
                self.jwt_keys.is_some(),
                "JWT_SECRET",
                &[
                    "JWT_SECRET_FILE",
                    "JWT_PRIVATE_KEY",
                    "JWT_PRIVATE_KEY_FILE",
                    "JWT_PUBLIC_KEY",
                    "JWT_PUBLIC_KEY_FILE",
                ],
                ", or JWT_PRIVATE_KEY with JWT_PUBLIC_KEY",
            ),
        ];
        for (is_there, variable, others, instead) in needed {
            // What is wrong is told already.
            if !is_there && !s.is_wrong(&[variable]) && !s.is_wrong(others) {
                let allowed = table::row(variable).map(table::Setting::allowed);
                let allowed = allowed.unwrap_or_default();
                s.clash(variable, format!("{allowed}{instead}, in ENV=production"));
            }
        }
    }
}

/// Shortest token that is asked for, in bytes.
const TOKEN_BYTES_MIN: usize = 32;

fn folder(value: &str) -> Option<PathBuf> {
    (!value.is_empty()).then(|| PathBuf::from(value))
}

fn core_numbers(value: &str) -> Option<Vec<usize>> {
    let cores = value.split(',').map(|core| core.trim().parse().ok());
    cores.collect()
}

/// Text without spaces, not longer than so many bytes.
fn printable(value: &str, length_max: usize) -> Option<String> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_graphic());
    (is_plain && (1..=length_max).contains(&value.len())).then(|| value.to_owned())
}

/// One way of signing tokens, if any.
fn jwt_keys(s: &mut Reader<'_>) -> Option<JwtKeys> {
    let is_long = |secret: &str| secret.len() >= SECRET_LENGTH_MIN;
    let secret = s.secret("JWT_SECRET", is_long);
    let private = s.parse("JWT_PRIVATE_KEY", jwt::private_key);
    let public = s.parse("JWT_PUBLIC_KEY", jwt::public_key);
    match (secret, private, public) {
        (None, None, None) => None,
        (Some(secret), None, None) => Some(JwtKeys::Hs256(secret)),
        (None, Some(private), Some(public)) => {
            if let Some(pair) = JwtKeyPair::of(private, public) {
                return Some(JwtKeys::EdDsa(Box::new(pair)));
            }
            let allowed = "the public key that belongs to JWT_PRIVATE_KEY";
            s.clash("JWT_PUBLIC_KEY", allowed.into());
            None
        }
        (Some(_), ..) => {
            let allowed = "not set while JWT_PRIVATE_KEY or JWT_PUBLIC_KEY is";
            s.clash("JWT_SECRET", allowed.into());
            None
        }
        (None, private, _) => {
            let (missing, file, there) = if private.is_none() {
                ("JWT_PRIVATE_KEY", "JWT_PRIVATE_KEY_FILE", "JWT_PUBLIC_KEY")
            } else {
                ("JWT_PUBLIC_KEY", "JWT_PUBLIC_KEY_FILE", "JWT_PRIVATE_KEY")
            };
            if !s.is_wrong(&[missing, file]) {
                s.clash(missing, format!("a key in PEM, because {there} is set"));
            }
            None
        }
    }
}

/// The agent that takes metrics, by its own name or by the two that Datadog's libraries have.
fn dogstatsd_address(s: &mut Reader<'_>) -> Option<(String, u16)> {
    let address = s.parse("DOGSTATSD_ADDRESS", |value| {
        let (name, port) = value.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port > 0)?;
        let bare = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        Some((host(bare.unwrap_or(name))?, port))
    });
    let agent = s.parse("DD_AGENT_HOST", host);
    let port = u16::try_from(s.number("DD_DOGSTATSD_PORT")).unwrap_or(u16::MAX);
    address.or_else(|| agent.map(|host| (host, port)))
}

/// A name or address, which nothing that separates parts of a URL is in.
fn host(value: &str) -> Option<String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
    let is_host = !value.is_empty() && value.len() <= 253 && value.bytes().all(is_part);
    is_host.then(|| value.to_owned())
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
        setrlimit(Resource::Nofile, raised).map_err(|error| {
            let allowed = format!("what the system has {wanted} descriptors for: {error}");
            Problem::new("MAX_CONNECTIONS", self.max_connections, allowed)
        })
    }

    /// Descriptors needed, if a hard limit (`None` = there is none) has room for them.
    fn descriptors_within(&self, maximum: Option<u64>) -> Result<u64, Problem> {
        let wanted = self.max_connections as u64 + Self::DESCRIPTORS_BESIDE;
        match maximum {
            Some(maximum) if maximum < wanted => Err(Problem::new(
                "MAX_CONNECTIONS",
                self.max_connections,
                format!(
                    "at most {} with a hard limit of {maximum} open files (ulimit -Hn)",
                    maximum.saturating_sub(Self::DESCRIPTORS_BESIDE)
                ),
            )),
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

    const PRODUCTION: [(&str, &str); 4] = [
        ("ENV", "production"),
        ("DATABASE_URL", "postgres://te:pw@db/te"),
        ("REDIS_URL", "redis://:pw@cache:6379/0"),
        ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
    ];

    #[test]
    fn demo_keys_are_refused_in_production() {
        assert!(!read(&PRODUCTION).unwrap().demo);
        let mut with_demo = PRODUCTION.to_vec();
        with_demo.push(("DEMO", "true"));
        let problems = read(&with_demo).unwrap_err();
        assert_eq!(problems[0].variable, "DEMO");
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
