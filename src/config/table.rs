//! Every setting there is, in one table: what reads settings, what prints the reference page and what
//! lists them for `--check-config` all go by it. A new setting is a row here, a field of `Config`, and a
//! line that reads the one into the other.

use super::choices::{LogFormat, Pprof, names};
use super::service_url::ServiceUrl;
use super::{Environment, Preset};
use crate::agent::Idle;
use crate::journal::Policy;
use crate::journal::writer::SEGMENT_BYTES_MIN;
use crate::limits::{DEMO_INSTRUMENTS_MAX, DEMO_INSTRUMENTS_MIN, EngineLimits, ORDER_SLOT_BITS};
use crate::schedule;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// As the environment has it; in lower case it is its name in the file.
    pub name: &'static str,
    /// On the command line, after `--`. What may be secret has a flag for its file only.
    pub flag: &'static str,
    /// `NAME_FILE`: where a file's path stands in place of a secret.
    pub file: Option<&'static str>,
    /// Under which heading of the page.
    pub group: Group,
    /// What its value may be.
    pub kind: Kind,
    /// What it is when nobody says.
    pub default: Initial,
    /// What it is for: a sentence or two of Markdown.
    pub about: &'static str,
}

/// Headings of the reference page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their titles say it")]
pub enum Group {
    Venue,
    Ports,
    Trading,
    Journal,
    Threads,
    Gateway,
    Capacities,
    Database,
    Api,
    Telemetry,
}

/// What a value may be.
#[derive(Debug)]
pub enum Kind {
    /// One of some names.
    Choice(fn() -> Vec<&'static str>),
    /// A whole number, both bounds included.
    Number {
        /// Least.
        low: u64,
        /// Most.
        high: u64,
    },
    /// A port to listen on.
    Port,
    /// Text that its reader understands.
    Text {
        /// What that is.
        allowed: &'static str,
    },
    /// Another service's address, which may have a password in it.
    Url {
        /// What it may begin with.
        schemes: &'static [&'static str],
    },
    /// Text that is never shown.
    Secret {
        /// What is right.
        allowed: &'static str,
    },
}

/// What a setting is when nobody says.
#[derive(Debug)]
pub enum Initial {
    /// Nothing.
    Unset,
    /// Text like one that is set.
    Text(&'static str),
    /// A number that stands elsewhere.
    Number(fn() -> u64),
    /// It depends.
    Depends {
        /// On this.
        of: fn(&Basis) -> &'static str,
        /// The same in words.
        words: &'static str,
    },
}

/// What defaults depend on.
#[derive(Clone, Copy, Debug)]
pub struct Basis {
    /// `ENV=production`.
    pub production: bool,
    /// `DEMO=true`.
    pub demo: bool,
    /// The machine has four cores at most.
    pub few_cores: bool,
}

impl Setting {
    /// What is allowed, in words.
    pub fn allowed(&self) -> String {
        match self.kind {
            Kind::Choice(names) => names().join(", "),
            Kind::Number { low, high } => format!("a whole number from {low} to {high}"),
            Kind::Port => "a port from 0 to 65535 (0 = any free one)".into(),
            Kind::Text { allowed } | Kind::Secret { allowed } => allowed.into(),
            Kind::Url { schemes } => {
                let start = |scheme: &&str| match *scheme {
                    // A file's path.
                    "sqlite" => "sqlite:".to_owned(),
                    scheme => format!("{scheme}://"),
                };
                let all: Vec<String> = schemes.iter().map(start).collect();
                format!("a URL that begins with {}", all.join(" or "))
            }
        }
    }

    /// Its default as text, if it has one.
    pub fn default_text(&self, basis: &Basis) -> Option<String> {
        match self.default {
            Initial::Unset => None,
            Initial::Text(text) => Some(text.into()),
            Initial::Number(number) => Some(number().to_string()),
            Initial::Depends { of, .. } => Some(of(basis).into()),
        }
    }

    /// A value as it may be shown; `None` = not at all.
    pub fn shown(&self, value: &str) -> Option<String> {
        match self.kind {
            Kind::Choice(_) | Kind::Number { .. } | Kind::Port | Kind::Text { .. } => {
                Some(value.into())
            }
            Kind::Url { schemes } => ServiceUrl::parse(value, schemes).map(|url| url.to_string()),
            Kind::Secret { .. } => None,
        }
    }
}

impl Group {
    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Venue => "Venue",
            Self::Ports => "Ports",
            Self::Trading => "Trading day and demo world",
            Self::Journal => "Data, journal and snapshots",
            Self::Threads => "Threads and memory",
            Self::Gateway => "Gateway",
            Self::Capacities => "Capacities of the core",
            Self::Database => "Database and Redis",
            Self::Api => "Admin API",
            Self::Telemetry => "Logs and telemetry",
        }
    }
}

/// The setting of a name.
pub fn row(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

const fn number(low: u64, high: u64) -> Kind {
    Kind::Number { low, high }
}

const fn text(allowed: &'static str) -> Kind {
    Kind::Text { allowed }
}

const fn open(
    name: &'static str,
    flag: &'static str,
    group: Group,
    kind: Kind,
    default: Initial,
    about: &'static str,
) -> Setting {
    Setting {
        name,
        flag,
        file: None,
        group,
        kind,
        default,
        about,
    }
}

/// One that may be secret: it has a file, and a flag for that alone.
const fn guarded(
    name: &'static str,
    file: &'static str,
    flag: &'static str,
    group: Group,
    kind: Kind,
    about: &'static str,
) -> Setting {
    Setting {
        name,
        flag,
        file: Some(file),
        group,
        kind,
        default: Initial::Unset,
        about,
    }
}

/// All of them, in the order of the page.
pub const SETTINGS: &[Setting] = &[
    open(
        "CONFIG_FILE",
        "config",
        Group::Venue,
        text("a TOML file's path"),
        Initial::Unset,
        "A file with settings.",
    ),
    open(
        "ENV",
        "env",
        Group::Venue,
        Kind::Choice(names::<Environment>),
        Initial::Text("development"),
        "`production` refuses demo keys and needs `DATABASE_URL`, `REDIS_URL`, and `JWT_SECRET` or the \
         pair of JWT keys.",
    ),
    open(
        "BIND_ADDRESS",
        "bind-address",
        Group::Ports,
        text("an IP address"),
        Initial::Text("127.0.0.1"),
        "Where all ports listen.",
    ),
    open(
        "TRUSTED_PROXIES",
        "trusted-proxies",
        Group::Ports,
        text("IP addresses or networks like 192.0.2.0/28, comma-separated"),
        Initial::Unset,
        "Proxies before `PORT` whose `X-Forwarded-For` says where a request comes from, for the lockout of logins, \
         rates and the audit. Not set = nobody's.",
    ),
    open(
        "PORT",
        "port",
        Group::Ports,
        Kind::Port,
        Initial::Text("8080"),
        "HTTP: health, admin API, console. No two ports are equal.",
    ),
    open(
        "METRICS_PORT",
        "metrics-port",
        Group::Ports,
        Kind::Port,
        Initial::Text("9090"),
        "Prometheus text.",
    ),
    open(
        "FIX_PORT",
        "fix-port",
        Group::Ports,
        Kind::Port,
        Initial::Text("9880"),
        "FIX sessions.",
    ),
    open(
        "BINARY_PORT",
        "binary-port",
        Group::Ports,
        Kind::Port,
        Initial::Text("9881"),
        "Binary sessions.",
    ),
    open(
        "TRADING_SCHEDULE",
        "trading-schedule",
        Group::Trading,
        text(schedule::ALLOWED),
        Initial::Text(""),
        "Phases of all instruments over the day; empty = continuous trading.",
    ),
    open(
        "TRADING_DAY_START",
        "trading-day-start",
        Group::Trading,
        text("HH:MM, UTC"),
        Initial::Text("00:00"),
        "Then Day orders expire, ClOrdIDs are free again, numbers restart where so configured.",
    ),
    open(
        "DEMO",
        "demo",
        Group::Trading,
        Kind::Choice(names::<bool>),
        Initial::Depends {
            of: |basis| flag(!basis.production),
            words: "`true` outside production",
        },
        "A first start defines the demo world and prints its keys.",
    ),
    open(
        "DEMO_INSTRUMENTS",
        "demo-instruments",
        Group::Trading,
        number(DEMO_INSTRUMENTS_MIN as u64, DEMO_INSTRUMENTS_MAX as u64),
        Initial::Number(|| u64::from(DEMO_INSTRUMENTS_MIN)),
        "How many the demo world of a first start has; those beyond the named five are `DEMO-006` and so \
         on, each like `ACME`.",
    ),
    open(
        "MAKER_BOT",
        "maker-bot",
        Group::Trading,
        Kind::Choice(names::<bool>),
        Initial::Depends {
            of: |basis| flag(basis.demo),
            words: "what `DEMO` is",
        },
        "A bot that quotes the demo world's instruments.",
    ),
    open(
        "DATA_DIR",
        "data-dir",
        Group::Journal,
        text("a folder's path"),
        Initial::Text("data"),
        "Journal, event log, keystore, and history where no database is named.",
    ),
    open(
        "JOURNAL_POLICY",
        "journal-policy",
        Group::Journal,
        Kind::Choice(names::<Policy>),
        Initial::Text("group"),
        "What a report waits for. `group`: `fdatasync`; `os`: the write.",
    ),
    open(
        "JOURNAL_SEGMENT_BYTES",
        "journal-segment-bytes",
        Group::Journal,
        number(SEGMENT_BYTES_MIN, 1 << 30),
        Initial::Number(|| 64 << 20),
        "Size of a journal file; files of the event log are as large, 16 MiB at most.",
    ),
    open(
        "SNAPSHOTS",
        "snapshots",
        Group::Journal,
        Kind::Choice(names::<bool>),
        Initial::Text("true"),
        "A start uses snapshots of the core beside the journal, and every finished segment gives a new one \
         (two are kept).",
    ),
    open(
        "TOPOLOGY",
        "topology",
        Group::Threads,
        Kind::Choice(names::<Preset>),
        Initial::Depends {
            of: |basis| {
                if basis.few_cores {
                    "compact"
                } else {
                    "dedicated"
                }
            },
            words: "`compact` up to 4 cores, else `dedicated`",
        },
        "Which agents share a thread.",
    ),
    open(
        "GATEWAY_THREADS",
        "gateway-threads",
        Group::Threads,
        number(1, 16),
        Initial::Text("1"),
        "Threads that serve sockets; more than one with `TOPOLOGY=dedicated`.",
    ),
    open(
        "IDLE",
        "idle",
        Group::Threads,
        Kind::Choice(names::<Idle>),
        Initial::Text("spin-then-park"),
        "What a thread without work does; `spin` only with cores to spare.",
    ),
    open(
        "CORES",
        "cores",
        Group::Threads,
        text("core numbers, comma-separated"),
        Initial::Unset,
        "Cores to pin threads to, in order; all other threads leave them.",
    ),
    open(
        "MEMORY_LOCK",
        "memory-lock",
        Group::Threads,
        Kind::Choice(names::<bool>),
        Initial::Text("false"),
        "`true`: the whole process stays in RAM (`mlockall`); refused under a memlock limit without \
         CAP_IPC_LOCK.",
    ),
    open(
        "FIX_COMP_ID",
        "fix-comp-id",
        Group::Gateway,
        text("1 to 24 printable characters without spaces"),
        Initial::Text("TRADENG"),
        "The venue's CompID.",
    ),
    open(
        "MAX_CONNECTIONS",
        "max-connections",
        Group::Gateway,
        number(1, 1 << 16),
        Initial::Text("4096"),
        "Clients at a time. The process needs 256 open files more: the soft limit is raised to that, and a \
         hard limit (`ulimit -Hn`) below it is refused.",
    ),
    open(
        "OUTPUT_BYTES_MAX",
        "output-bytes-max",
        Group::Gateway,
        number(1 << 16, 1 << 30),
        Initial::Number(|| 1 << 20),
        "Bytes waiting for a client before it is disconnected.",
    ),
    open(
        "LOGON_TIMEOUT_MS",
        "logon-timeout-ms",
        Group::Gateway,
        number(100, 60_000),
        Initial::Text("5000"),
        "Time a new connection has to log on.",
    ),
    open(
        "SHUTDOWN_GRACE_MS",
        "shutdown-grace-ms",
        Group::Gateway,
        number(0, 600_000),
        Initial::Text("5000"),
        "Time clients have to log out when the venue stops.",
    ),
    open(
        "MAX_ORDERS",
        "max-orders",
        Group::Capacities,
        number(1, 1 << ORDER_SLOT_BITS),
        Initial::Number(|| u64::from(EngineLimits::default().orders)),
        "Open orders over all instruments.",
    ),
    open(
        "MAX_CLIENT_ORDER_IDS",
        "max-client-order-ids",
        Group::Capacities,
        number(1, 1 << 28),
        Initial::Number(|| u64::from(EngineLimits::default().client_order_ids)),
        "Client order ids remembered in a trading day; at least `MAX_ORDERS`.",
    ),
    open(
        "MAX_PRICE_PAGES",
        "max-price-pages",
        Group::Capacities,
        number(1, 1 << 22),
        Initial::Number(|| u64::from(EngineLimits::default().price_pages)),
        "Pages of 64 price levels over all instruments and sides.",
    ),
    open(
        "MAX_QUOTES",
        "max-quotes",
        Group::Capacities,
        number(1, 1 << 22),
        Initial::Number(|| u64::from(EngineLimits::default().quotes)),
        "Two-sided quotes at a time; one whose both sides ended gives its place back.",
    ),
    open(
        "MAX_PROTECTION_GROUPS",
        "max-protection-groups",
        Group::Capacities,
        number(1, 1 << 16),
        Initial::Number(|| u64::from(EngineLimits::default().protection_groups)),
        "Protection groups over all firms.",
    ),
    open(
        "MAX_RISK_LIMITS",
        "max-risk-limits",
        Group::Capacities,
        number(1, 1 << 16),
        Initial::Number(|| u64::from(EngineLimits::default().risk_limits)),
        "Sets of risk limits.",
    ),
    open(
        "MAX_ACCOUNTS",
        "max-accounts",
        Group::Capacities,
        // They lie sorted, and a new one moves all behind it: 1 MiB at most, between two orders.
        number(1, 1 << 16),
        Initial::Number(|| u64::from(EngineLimits::default().accounts)),
        "Accounts over all firms, disabled ones included.",
    ),
    open(
        "MAX_QUOTES_PER_FIRM",
        "max-quotes-per-firm",
        Group::Capacities,
        number(1, 1 << 22),
        Initial::Number(|| u64::from(EngineLimits::default().quotes_per_firm)),
        "Two-sided quotes of one firm, so that none shuts the others out.",
    ),
    open(
        "MAX_PROTECTION_GROUPS_PER_FIRM",
        "max-protection-groups-per-firm",
        Group::Capacities,
        number(1, 1 << 16),
        Initial::Number(|| u64::from(EngineLimits::default().protection_groups_per_firm)),
        "Protection groups of one firm, likewise.",
    ),
    guarded(
        "DATABASE_URL",
        "DATABASE_URL_FILE",
        "database-url-file",
        Group::Database,
        Kind::Url {
            schemes: &["postgres", "postgresql", "sqlite"],
        },
        "Where history goes. Not set = SQLite in `DATA_DIR`.",
    ),
    open(
        "DATABASE_POOL_MAX",
        "database-pool-max",
        Group::Database,
        number(1, 256),
        Initial::Text("8"),
        "Connections for those who ask history.",
    ),
    guarded(
        "REDIS_URL",
        "REDIS_URL_FILE",
        "redis-url-file",
        Group::Database,
        Kind::Url {
            schemes: &["redis", "rediss"],
        },
        "Where market data and the API's shared counters go. Not set = without Redis.",
    ),
    open(
        "REDIS_PREFIX",
        "redis-prefix",
        Group::Database,
        text("1 to 64 printable characters without spaces"),
        Initial::Text("te:{main}:"),
        "What keys and channels in Redis begin with.",
    ),
    guarded(
        "JWT_SECRET",
        "JWT_SECRET_FILE",
        "jwt-secret-file",
        Group::Api,
        Kind::Secret {
            allowed: "at least 32 bytes",
        },
        "Signs admin tokens (HS256). Not set = one is drawn at every start.",
    ),
    guarded(
        "JWT_PRIVATE_KEY",
        "JWT_PRIVATE_KEY_FILE",
        "jwt-private-key-file",
        Group::Api,
        Kind::Secret {
            allowed: "an Ed25519 private key in PEM (PKCS#8)",
        },
        "Signs admin tokens (EdDSA) in place of `JWT_SECRET`.",
    ),
    guarded(
        "JWT_PUBLIC_KEY",
        "JWT_PUBLIC_KEY_FILE",
        "jwt-public-key-file",
        Group::Api,
        Kind::Secret {
            allowed: "the Ed25519 public key of JWT_PRIVATE_KEY in PEM",
        },
        "Checks admin tokens (EdDSA). No secret, but read like one.",
    ),
    open(
        "JWT_AUDIENCE",
        "jwt-audience",
        Group::Api,
        text("1 to 128 printable characters without spaces"),
        Initial::Text("trading-engine-admin"),
        "Whom admin tokens are for; those for others are refused.",
    ),
    open(
        "JWT_EXPIRY_SECONDS",
        "jwt-expiry-seconds",
        Group::Api,
        number(60, 900),
        Initial::Text("900"),
        "How long an admin token is valid.",
    ),
    open(
        "API_RATE_LIMIT",
        "api-rate-limit",
        Group::Api,
        number(1, 1_000_000),
        Initial::Text("6000"),
        "Requests a minute of one user, or of an address without a valid token. What asks for no token (health, /instruments, /book) is not counted.",
    ),
    open(
        "LOG_LEVEL",
        "log-level",
        Group::Telemetry,
        Kind::Choice(names::<tracing::Level>),
        Initial::Text("info"),
        "The least severe lines that are written.",
    ),
    open(
        "LOG_FORMAT",
        "log-format",
        Group::Telemetry,
        Kind::Choice(names::<LogFormat>),
        Initial::Depends {
            of: |basis| if basis.production { "json" } else { "pretty" },
            words: "`json` in production, else `pretty`",
        },
        "How log lines look.",
    ),
    guarded(
        "SENTRY_DSN",
        "SENTRY_DSN_FILE",
        "sentry-dsn-file",
        Group::Telemetry,
        Kind::Secret {
            allowed: "https://KEY@HOST/PROJECT",
        },
        "Where panics and errors are reported.",
    ),
    guarded(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT_FILE",
        "otel-exporter-otlp-endpoint-file",
        Group::Telemetry,
        Kind::Url {
            schemes: &["http", "https"],
        },
        "Where traces of admin requests go.",
    ),
    open(
        "DOGSTATSD_ADDRESS",
        "dogstatsd-address",
        Group::Telemetry,
        text("HOST:PORT"),
        Initial::Unset,
        "Where metrics go as DogStatsD.",
    ),
    open(
        "DD_AGENT_HOST",
        "dd-agent-host",
        Group::Telemetry,
        text("a host's name or address"),
        Initial::Unset,
        "The Datadog agent's host, where `DOGSTATSD_ADDRESS` is not set.",
    ),
    open(
        "DD_DOGSTATSD_PORT",
        "dd-dogstatsd-port",
        Group::Telemetry,
        number(1, 65_535),
        Initial::Text("8125"),
        "The Datadog agent's port, with `DD_AGENT_HOST`.",
    ),
    open(
        "PPROF",
        "pprof",
        Group::Telemetry,
        Kind::Choice(names::<Pprof>),
        Initial::Text("loopback"),
        "Who may ask for profiles (`/debug/pprof/`): nobody, whoever comes from this machine, or whoever \
         brings `PPROF_TOKEN`.",
    ),
    guarded(
        "PPROF_TOKEN",
        "PPROF_TOKEN_FILE",
        "pprof-token-file",
        Group::Telemetry,
        Kind::Secret {
            allowed: "at least 32 bytes",
        },
        "What `PPROF=token` asks for.",
    ),
];

const fn flag(is_set: bool) -> &'static str {
    if is_set { "true" } else { "false" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_one_name_in_three_spellings_and_a_place() {
        let mut groups = Vec::new();
        for (at, setting) in SETTINGS.iter().enumerate() {
            let name = setting.name;
            assert!(
                SETTINGS[..at].iter().all(|other| other.name != name),
                "{name}"
            );
            let is_secret = matches!(setting.kind, Kind::Url { .. } | Kind::Secret { .. });
            let file = is_secret.then(|| format!("{name}_FILE"));
            assert_eq!(setting.file, file.as_deref(), "{name}");
            let mut flag = file.unwrap_or_else(|| name.into()).to_ascii_lowercase();
            flag = flag.replace('_', "-");
            if name == "CONFIG_FILE" {
                flag = "config".into();
            }
            assert_eq!(setting.flag, flag);
            assert!(setting.about.ends_with('.'), "{name}");
            if groups.last() != Some(&setting.group) {
                assert!(
                    !groups.contains(&setting.group),
                    "{name} stands apart from its group"
                );
                groups.push(setting.group);
            }
        }
    }
}
