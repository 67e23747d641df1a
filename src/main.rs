//! The venue's program: read settings, recover, open ports, run until told to stop, drain.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use trading_engine::admin::api::{Api, Turns};
use trading_engine::admin::auth::{Signing, Tokens};
use trading_engine::admin::desk::set_phase;
use trading_engine::admin::health::{Asking, Ping};
use trading_engine::admin::known_users::KnownUsers;
use trading_engine::admin::metrics;
use trading_engine::admin::throttle::Throttle;
use trading_engine::admin::{About, AdminState, Log, View};
use trading_engine::client::credentials::{ConsoleCredentials, Credentials, Role};
use trading_engine::client::{maker, trader};
use trading_engine::clock::Clock;
use trading_engine::config::{
    self, Config, Environment, FileText, JwtKeys, Pprof, Problem, Secret, ServiceUrl, Sources,
};
use trading_engine::engine::snapshot::SnapshotError;
use trading_engine::gateway::GatewaySettings;
use trading_engine::gateway::keystore::{Keystore, LiveKeystore};
use trading_engine::journal::disk::{Disk, OsDisk};
use trading_engine::journal::{JournalError, event_log, inspect};
use trading_engine::shutdown::SidePorts;
use trading_engine::store::migrate;
use trading_engine::store::projector::{self, Projector, State};
use trading_engine::store::redis::{Redis, RedisHealth, RedisThread};
use trading_engine::store::shared_limits::SharedLimits;
use trading_engine::store::url::DatabaseUrl;
use trading_engine::store::users::{self, User};
use trading_engine::store::{Store, StoreError};
use trading_engine::telemetry::profiles::Access;
use trading_engine::telemetry::{Destinations, Outgoing, Profiles, Registry};
use trading_engine::topology::{self, Recovered, Venue, VenueSettings};
use trading_engine::trading_day::{Days, Step};
use trading_engine::{demo, metric_names, ring, telemetry};
use trading_engine_protocol::types::InstrumentId;

/// For the whole process: its figures are metrics, and its samples heap profiles.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Settings are wrong.
const EXIT_CONFIG: u8 = 64;
/// The journal is damaged.
const EXIT_DATA: u8 = 65;
/// A port or file cannot be had, or the log failed.
const EXIT_IO: u8 = 74;
/// How long the printed line of a start waits for the demo's console users.
const DEMO_USERS_PATIENCE: Duration = Duration::from_secs(5);
/// How long a stop waits at least for history to be written.
const HISTORY_PATIENCE: Duration = Duration::from_secs(2);
/// How long the health page waits for the database: less than it takes to be given up without a reason.
const DATABASE_TIME: Duration = Duration::from_millis(1_500);

/// trading-engine: an exchange gateway and matching engine. Without a command it runs the venue;
/// settings come from flags, the environment and a file (`settings` prints the page on them).
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// Print every setting with its value and source, or everything that is wrong, and exit.
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    command: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Trade from the command line: commands as arguments (separated by a comma) or on standard
    /// input.
    Client {
        /// The venue's binary port.
        #[arg(long, default_value = "127.0.0.1:9881")]
        address: SocketAddr,
        /// File with keys; the venue writes one on its first start.
        #[arg(long, default_value = "data/demo/credentials.toml")]
        credentials: PathBuf,
        /// Which key of the file.
        #[arg(long, default_value = "alpha-1")]
        key: String,
        /// One JSON object for each event.
        #[arg(long)]
        json: bool,
        /// The venue's HTTP port, for `book SYMBOL`.
        #[arg(long, default_value = "127.0.0.1:8080")]
        http: SocketAddr,
        /// Commands, for example: buy ACME 10 100.02, watch 1
        words: Vec<String>,
    },
    /// Look at a journal; the venue must not be running for `replay` to be complete.
    Journal {
        /// What to do.
        #[command(subcommand)]
        action: JournalAction,
    },
    /// The tables of the database that history goes to (DATABASE_URL).
    Migrate {
        /// What to do.
        #[command(subcommand)]
        action: MigrateAction,
    },
    /// People of the console, in the same database.
    User {
        /// What to do.
        #[command(subcommand)]
        action: UserAction,
    },
    /// Print the reference page of all settings, in Markdown.
    Settings,
    /// Print the reference page of all metrics, in Markdown.
    MetricsReference,
}

#[derive(Subcommand)]
enum MigrateAction {
    /// Apply every migration that is not.
    Up,
    /// Take back the newest ones that are, with what is in their tables.
    #[command(group(clap::ArgGroup::new("which").required(true)))]
    Down {
        /// How many.
        #[arg(group = "which")]
        count: Option<usize>,
        /// All that are newer than this one: 1 leaves the users and nothing else.
        #[arg(long, group = "which", value_name = "VERSION",
            value_parser = clap::value_parser!(u32))]
        to: Option<u32>,
    },
    /// Say which are applied.
    Status,
}

#[derive(Subcommand)]
enum UserAction {
    /// Make a user, or give one another role and password. The password is drawn and printed, unless it
    /// comes in.
    Add {
        /// Login.
        name: String,
        /// viewer, trader-support, risk or operator.
        role: String,
        /// Read the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Everybody.
    List,
    /// Let somebody in no more.
    Disable {
        /// Login.
        name: String,
    },
}

#[derive(Subcommand)]
enum JournalAction {
    /// Segments, sequences, torn tail.
    Inspect,
    /// Check every record; exit 65 when damaged.
    Verify,
    /// Run everything through a fresh engine and print what two builds must agree on: the hashes of
    /// its events and of its state.
    Replay,
}

fn main() -> ExitCode {
    let matches = Arguments::command().args(flags()).get_matches();
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    match arguments.command {
        Some(Action::Client {
            address,
            credentials,
            key,
            json,
            http,
            words,
        }) => return client(address, http, &credentials, &key, json, &words),
        Some(Action::Settings) => {
            say(config::reference().trim_end());
            return ExitCode::SUCCESS;
        }
        Some(Action::MetricsReference) => {
            say(metric_names::reference().trim_end());
            return ExitCode::SUCCESS;
        }
        Some(Action::Journal { .. } | Action::Migrate { .. } | Action::User { .. }) | None => {}
    }
    let loaded = match load(&matches) {
        Ok(loaded) => loaded,
        Err(problems) => {
            for problem in problems {
                say_error(&format!("configuration: {problem}"));
            }
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let config = loaded.config;
    match arguments.command {
        Some(Action::Journal { action }) => return journal(&config, &action),
        Some(Action::Migrate { action }) => {
            return asked(&config, migrate_tables(&config, &action));
        }
        Some(Action::User { action }) => return asked(&config, console_user(&config, &action)),
        Some(Action::Client { .. } | Action::Settings | Action::MetricsReference) | None => {}
    }
    if let Err(problem) = reserve(&config) {
        say_error(&format!("configuration: {problem}"));
        return ExitCode::from(EXIT_CONFIG);
    }
    if arguments.check_config {
        for warning in &loaded.warnings {
            say_error(&format!("configuration: warning: {warning}"));
        }
        say(config::listing(&loaded.effective).trim_end());
        say("configuration is fine");
        return ExitCode::SUCCESS;
    }
    // Before any thread is there: those to come inherit it.
    let left = leave_pinned_cores(&config);
    let registry = Registry::default();
    let outgoing = match Outgoing::start(destinations(&config), &registry) {
        Ok(outgoing) => outgoing,
        Err(problem) => {
            say_error(&format!("configuration: {problem}"));
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let _log = telemetry::start_logging(config.log_level, config.log_json, outgoing.layers());
    for warning in &loaded.warnings {
        tracing::warn!("configuration: {warning}");
    }
    match left {
        Ok(Some(cores)) if cores.is_empty() => {
            tracing::warn!("CORES names every core there is: other threads share them");
        }
        Ok(Some(cores)) => tracing::info!(?cores, "other threads have the cores that are left"),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "other threads share the cores of CORES"),
    }
    let ended = run(&config, registry);
    outgoing.finish();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            say_error(&message);
            ExitCode::from(code)
        }
    }
}

/// A flag for every setting; short help does without them.
fn flags() -> impl Iterator<Item = Arg> {
    config::table::SETTINGS.iter().map(|setting| {
        Arg::new(setting.file.unwrap_or(setting.name))
            .long(setting.flag)
            .value_name(if setting.file.is_some() {
                "FILE"
            } else {
                "VALUE"
            })
            .help(setting.about)
            .help_heading(setting.group.title())
            .hide_short_help(true)
            .allow_hyphen_values(true)
    })
}

fn load(matches: &ArgMatches) -> Result<config::Loaded, Vec<Problem>> {
    Config::load(Sources {
        // Of a secret only its file has a flag.
        flag: &|name| matches.try_get_one::<String>(name).ok().flatten().cloned(),
        environment: &|name| std::env::var_os(name),
        read_file: &FileText::read,
    })
}

/// What leaves the venue by itself, and where it goes.
fn destinations(config: &Config) -> Destinations<'_> {
    Destinations {
        environment: config.environment.to_string(),
        otlp: config.otlp_endpoint.as_ref().map(ServiceUrl::reveal),
        sentry: config.sentry_dsn.as_ref().map(Secret::reveal),
        dogstatsd: config.dogstatsd_address.as_ref(),
    }
}

/// Who may take profiles.
fn profiles(config: &Config) -> Profiles {
    Profiles::new(match (config.pprof, &config.pprof_token) {
        (Pprof::Loopback, _) => Access::Loopback,
        (Pprof::Token, Some(token)) => Access::token(token.reveal()),
        (Pprof::Off, _) | (Pprof::Token, None) => Access::Off,
    })
}

/// What the settings need of the system, had before any port opens.
fn reserve(config: &Config) -> Result<(), Problem> {
    config.reserve_descriptors()?;
    if config.memory_lock {
        ring::lock_memory().map_err(|error| {
            let allowed = format!(
                "false, or true without a limit on locked memory (ulimit -Hl) or with \
                 CAP_IPC_LOCK: {error}"
            );
            Problem::new("MEMORY_LOCK", true, allowed)
        })?;
    }
    Ok(())
}

/// The cores that are left to threads without one of their own, if some have one.
fn leave_pinned_cores(config: &Config) -> Result<Option<Vec<usize>>, ring::PinError> {
    if config.cores.is_empty() {
        return Ok(None);
    }
    let pinned = topology::pinned_threads(config.preset, config.gateway_threads);
    let cores = config.cores.iter().take(pinned).copied();
    ring::leave_cores(&cores.collect::<Vec<_>>()).map(Some)
}

struct Failure {
    code: u8,
    message: String,
}

fn io_failure(what: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
    let what = what.into();
    move |error| Failure {
        code: EXIT_IO,
        message: format!("{what}: {error}"),
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        let code = match error {
            JournalError::Io { .. } => EXIT_IO,
            JournalError::Damaged { .. } | JournalError::Differs { .. } => EXIT_DATA,
        };
        Self {
            code,
            message: error.to_string(),
        }
    }
}

/// The journal's state is larger than a setting allows.
fn too_small(error: SnapshotError) -> Failure {
    let SnapshotError::Limit(what) = error else {
        return Failure {
            code: EXIT_DATA,
            message: format!("the journal's state: {error}"),
        };
    };
    let variable = match what {
        "orders" => "MAX_ORDERS",
        "client order ids" => "MAX_CLIENT_ORDER_IDS",
        "price levels" => "MAX_PRICE_PAGES",
        "quotes" => "MAX_QUOTES",
        "protection groups" => "MAX_PROTECTION_GROUPS",
        "risk limits" => "MAX_RISK_LIMITS",
        "accounts" => "MAX_ACCOUNTS",
        _ => "the build's own capacity",
    };
    Failure {
        code: EXIT_CONFIG,
        message: format!(
            "configuration: {variable} is too small: the journal holds more {what}, or some in places behind \
             those; allowed is what it holds, or more"
        ),
    }
}

fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

fn say_error(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn journal_disk(config: &Config) -> Result<Arc<dyn Disk>, Failure> {
    let folder = config.data_dir.join("journal");
    let disk = OsDisk::new(&folder).map_err(io_failure(folder.display().to_string()))?;
    Ok(Arc::new(disk))
}

fn journal(config: &Config, action: &JournalAction) -> ExitCode {
    let folder = config.data_dir.join("journal");
    if !folder.is_dir() {
        say_error(&format!("{}: there is no journal", folder.display()));
        return ExitCode::from(EXIT_IO);
    }
    let result = journal_disk(config).and_then(|disk| match action {
        JournalAction::Inspect => Ok(inspect::inspect(disk.as_ref())?),
        JournalAction::Verify => {
            inspect::inspect(disk.as_ref())?;
            Ok("every record is valid and in its place".into())
        }
        JournalAction::Replay => {
            let replay = inspect::replay(&disk, config.limits)?;
            Ok(format!(
                "commands {}  events {}  events_hash {:016x}  state_hash {:016x}  snapshots {}",
                replay.commands,
                replay.events,
                replay.events_hash,
                replay.state_hash,
                replay.snapshots
            ))
        }
    });
    match result {
        Ok(text) => {
            say(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(Failure { code, message }) => {
            say_error(&message);
            ExitCode::from(code)
        }
    }
}

/// Runs what asks the database and prints what it says.
fn asked(config: &Config, answer: impl Future<Output = Result<String, StoreError>>) -> ExitCode {
    if let DatabaseUrl::Sqlite(path) = &config.database()
        && let Some(folder) = path.parent()
        && let Err(error) = std::fs::create_dir_all(folder)
    {
        say_error(&format!("{}: {error}", folder.display()));
        return ExitCode::from(EXIT_IO);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(answer).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match result {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(message) => {
            say_error(&message);
            ExitCode::FAILURE
        }
    }
}

async fn migrate_tables(config: &Config, action: &MigrateAction) -> Result<String, StoreError> {
    let url = &config.database();
    match action {
        MigrateAction::Up => {
            let count = migrate::up(url).await?;
            Ok(format!("{url}: {count} migrations applied"))
        }
        MigrateAction::Down { count, to } => {
            let count = match (count, to) {
                (_, Some(version)) => migrate::down_to(url, i64::from(*version)).await?,
                (count, None) => migrate::down(url, count.unwrap_or(0)).await?,
            };
            Ok(format!("{url}: {count} migrations taken back"))
        }
        MigrateAction::Status => {
            let mut text = url.to_string();
            for one in migrate::status(url).await? {
                let state = if one.applied { "applied" } else { "missing" };
                text.push_str(&format!("\n{state}  {}", one.name));
            }
            Ok(text)
        }
    }
}

async fn console_user(config: &Config, action: &UserAction) -> Result<String, StoreError> {
    let store = Store::connect_with(&config.database(), 1)?;
    match action {
        UserAction::Add {
            name,
            role,
            password_stdin,
        } => {
            let password = if *password_stdin {
                let mut line = String::new();
                io::stdin()
                    .read_line(&mut line)
                    .map_err(|error| StoreError::Data(format!("standard input: {error}")))?;
                line.trim_end_matches(['\n', '\r']).to_owned()
            } else {
                demo::password().map_err(|error| StoreError::Data(error.to_string()))?
            };
            let user = User::new(name, role, &password)?;
            store.upsert_user(&user).await?;
            Ok(if *password_stdin {
                format!("{name} is {role}")
            } else {
                format!("{name} is {role}, password {password}")
            })
        }
        UserAction::List => {
            let users = store.list_users().await?;
            let line = |user: &User| {
                let state = if user.disabled { "disabled" } else { "enabled" };
                format!("{state:<8}  {:<14}  {}", user.role, user.name)
            };
            Ok(users.iter().map(line).collect::<Vec<_>>().join("\n"))
        }
        UserAction::Disable { name } => {
            if store.disable_user(name).await? {
                Ok(format!("{name} is disabled"))
            } else {
                Err(StoreError::Data(format!("there is no user {name:?}")))
            }
        }
    }
}

fn client(
    address: SocketAddr,
    http: SocketAddr,
    credentials: &Path,
    key: &str,
    json: bool,
    words: &[String],
) -> ExitCode {
    let words = words.join(" ");
    let mut parts = words.split_whitespace();
    // A book needs no session.
    if let (Some("book"), Some(symbol), None) = (parts.next(), parts.next(), parts.next()) {
        return match trader::book(http, symbol) {
            Ok(text) => {
                say(&text);
                ExitCode::SUCCESS
            }
            Err(error) => {
                say_error(&error.to_string());
                ExitCode::FAILURE
            }
        };
    }
    let result = Credentials::load(credentials).and_then(|all| {
        let entry = all.binary(key).ok_or_else(|| {
            io::Error::other(format!("{} has no key {key:?}", credentials.display()))
        })?;
        let mut out = io::stdout();
        let trader = trader::Trader::connect(address, http, entry, json, &mut out)?;
        if words.trim().is_empty() {
            trader.run(&mut io::stdin().lock())
        } else {
            trader.run_all(&words)
        }
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            say_error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// A socket that listens, and where.
fn listen(config: &Config, port: u16, name: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let address = SocketAddr::new(config.bind_address, port);
    let failed = || io_failure(format!("{name} port {address}"));
    let listener = TcpListener::bind(address).map_err(failed())?;
    let address = listener.local_addr().map_err(failed())?;
    Ok((listener, address))
}

fn run(config: &Config, registry: Registry) -> Result<(), Failure> {
    let started = Instant::now();
    // Ports are bound before any work, so that a second venue on them fails at once.
    let (http, http_address) = listen(config, config.port, "HTTP")?;
    let (metrics, metrics_address) = listen(config, config.metrics_port, "metrics")?;
    let (binary, binary_address) = listen(config, config.binary_port, "binary")?;

    let (fix, fix_address) = listen(config, config.fix_port, "FIX")?;
    // Who asks during a long recovery is told that the venue lives and is not ready.
    let profiles = profiles(config);
    registry.register(profiles.clone());
    let about = About {
        environment: config.environment.to_string(),
        journal_policy: config.journal_policy.to_string(),
        topology: config.preset.to_string(),
        trusted_proxies: config.trusted_proxies.clone(),
        started,
    };
    let state = AdminState::new(about, profiles);
    let side_ports =
        SidePorts::open(http, metrics, state.clone()).map_err(io_failure("side ports"))?;
    registry.register(telemetry::Process::default());
    registry.register(telemetry::Logs);
    registry.register(telemetry::Runtime::new(side_ports.runtime().clone()));

    let settings = VenueSettings {
        preset: config.preset,
        idle: config.idle,
        cores: config.cores.clone(),
        gateway_threads: config.gateway_threads,
        snapshots: config.snapshots,
        policy: config.journal_policy,
        segment_bytes: config.journal_segment_bytes,
        limits: config.limits,
        gateway: GatewaySettings {
            connections_max: config.max_connections,
            output_bytes_max: config.output_bytes_max,
            logon_timeout_ns: config.logon_timeout_ms * 1_000_000,
            fix_comp_id: config.fix_comp_id.clone(),
            ..GatewaySettings::default()
        },
        // Snapshots come with segments, and the start from one waits for an event file to be sealed.
        event_file_bytes: event_log::FILE_BYTES.min(config.journal_segment_bytes),
    };
    let clock = Clock::machine();
    let disk = journal_disk(config)?;
    let _lock = lock(&config.data_dir)?;
    let events_folder = config.data_dir.join("events");
    let event_disk =
        OsDisk::new(&events_folder).map_err(io_failure(events_folder.display().to_string()))?;
    let genesis = demo::genesis(clock.utc_now()).map_err(io_failure("genesis"))?;
    let recovered = topology::recover(disk, Arc::new(event_disk), &settings, genesis.body.log_id)?;
    report(&recovered);
    recovered.fits(config.limits).map_err(too_small)?;
    let (keystore, credentials, mut commands) = world(config, &recovered, genesis.to_bytes())?;
    // A day that began while nobody was here begins before anybody is.
    let today = config.trading_day_start.day_at(clock.utc_now());
    if today > recovered.trading_day() {
        commands.push(topology::day_roll(today));
    } else if today < recovered.trading_day() {
        warn_of_later_day(today, recovered.trading_day());
    }
    let mut days = Days::new(today);
    let mut phase = config.schedule.at(clock.utc_now());
    if let Some((since, phase)) = phase
        && since > recovered.sequenced_at()
    {
        commands.push(set_phase(InstrumentId(0), phase));
    }
    let production = config.environment == Environment::Production;
    if production && recovered.firms().iter().any(demo::is_demo) {
        return Err(Failure {
            code: EXIT_CONFIG,
            message: "configuration: ENV=\"production\": the journal defines demo firms, whose \
                      keys are printed; allowed is a journal without them"
                .into(),
        });
    }
    let signals = side_ports
        .listen_for_signals()
        .map_err(io_failure("signals"))?;
    // History is written beside everything: a database that is down, or wrong, is no reason not to trade.
    let history = projector::Settings {
        migrates: !production || config.database().kind() == "sqlite",
        ..projector::Settings::default()
    };
    let history = Projector::start(config.database(), recovered.tail(), history)
        .map_err(io_failure("history"))?;
    let planted = credentials.as_ref().map(|credentials| {
        let of = |login: &ConsoleCredentials| {
            (
                login.name.clone(),
                login.role.clone(),
                login.password.clone(),
            )
        };
        let logins = credentials.console.iter().map(of).collect();
        let status = history.status();
        let is_begun = move || status.state() != State::Starting;
        users::plant(config.database(), logins, is_begun).map_err(io_failure("console users"))
    });
    let planted = planted.transpose()?;
    let keystore = LiveKeystore::new(keystore, Some(keystore_path(config)));
    let venue = recovered
        .start(&settings, binary, fix, keystore.clone(), &commands, &clock)
        .map_err(io_failure("starting threads"))?;
    while !venue.is_settled() {
        if let Some(message) = venue.journal().failure() {
            return Err(Failure {
                code: EXIT_IO,
                message,
            });
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }

    let redis = match &config.redis_url {
        None => None,
        Some(url) => {
            let thread = RedisThread::start(url, &config.redis_prefix, venue.market_data());
            Some(thread.map_err(io_failure("redis"))?)
        }
    };
    let link = redis.as_ref().map_or_else(Redis::none, RedisThread::redis);
    let connect = || Store::connect_with(&config.database(), config.database_pool_max);
    let store = side_ports.inside(connect).map_err(|error| Failure {
        code: EXIT_IO,
        message: error.to_string(),
    })?;
    let api = api(
        config,
        &venue,
        keystore,
        store,
        history.status(),
        &link,
        &clock,
    )?;
    registry.register(venue.metrics());
    registry.register(metrics::Http {
        requests: state.requests.clone(),
        room: state.room.clone(),
        throttle: api.throttle.clone(),
        streams: Arc::clone(&api.streams),
    });
    let people = Arc::clone(&api.people);
    let of_history = history.status();
    (side_ports.runtime()).spawn(async move {
        let is_begun = || of_history.state() != State::Starting;
        people.keep(is_begun).await;
    });
    registry.register(metrics::Database {
        store: api.store.clone(),
        people: Arc::clone(&api.people),
        history: history.status(),
    });
    if config.redis_url.is_some() {
        registry.register(metrics::Cache {
            redis: link.clone(),
            throttle: api.throttle.clone(),
        });
    }
    let durable = venue.journal().durable().clone();
    registry.register(metrics::Feed {
        market_data: venue.market_data(),
        durable: Box::new(move || durable.get()),
    });
    let embedded = config.database_url.is_none().then(|| config.database());
    let seen = view(&venue, api, registry, link, history.status(), embedded);
    state.show(seen);
    state.readiness.set_started();
    let stop: Arc<AtomicBool> = Arc::default();
    let bot = bot(config, credentials.as_ref(), binary_address, &stop);
    // Whose keys are printed can use them. A database that is away keeps nobody waiting for long.
    let patience = Instant::now() + DEMO_USERS_PATIENCE;
    while planted.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < patience
    {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    announce(
        config,
        &[
            ("HTTP", http_address),
            ("metrics", metrics_address),
            ("FIX", fix_address),
            ("binary", binary_address),
        ],
        credentials.as_ref(),
    );
    let grace = Duration::from_millis(config.shutdown_grace_ms);
    let journal = venue.journal();
    let begin_drain = || {
        state.readiness.set_draining();
        tracing::info!("draining");
        stop.store(true, Ordering::Release);
        if let Some(bot) = &bot {
            bot.thread().unpark();
        }
        venue.begin_drain();
        Instant::now() + grace
    };
    let desk = venue.desk();
    let now_and_then = || {
        venue.publish();
        let utc_now = clock.utc_now();
        let day = config.trading_day_start.day_at(utc_now);
        let of_log = venue.mirror().read(|reference| reference.trading_day);
        match days.next(utc_now, day, of_log) {
            Some(Step::Ask(day)) if desk.scheduled_day(day) => days.asked(utc_now, day),
            Some(Step::AskAgain(day)) => {
                let asked = desk.scheduled_day(day);
                tracing::warn!(
                    day,
                    asked,
                    "a trading day was asked for and did not begin: asked for again, if there is room"
                );
            }
            Some(Step::Began(day)) => tracing::info!(day, "a trading day begins"),
            Some(Step::Later { day, log }) => warn_of_later_day(day, log),
            Some(Step::Ask(_)) | None => {}
        }
        let now = config.schedule.at(clock.utc_now());
        if let Some((_, to)) = now
            && now != phase
            && desk.scheduled_phase(to)
        {
            tracing::info!(phase = ?to, "a trading phase begins");
            phase = now;
        }
    };
    side_ports.until_drained(
        signals,
        || journal.has_failed(),
        now_and_then,
        begin_drain,
        || venue.is_drained(),
    );
    let failure = journal.failure();
    if !venue.is_drained() {
        tracing::warn!("some connections did not close in time");
    }
    if let Some(bot) = bot {
        let _ = bot.join();
    }
    venue.stop();
    if let Some(redis) = redis {
        redis.stop();
    }
    // What the venue did last is in the event log now. What does not get into the database is there at the
    // next start.
    if !history.stop(grace.max(HISTORY_PATIENCE)) {
        tracing::warn!("history is behind; it goes on from there at the next start");
    }
    match failure {
        Some(message) => Err(Failure {
            code: EXIT_IO,
            message,
        }),
        None => {
            tracing::info!("stopped");
            Ok(())
        }
    }
}

fn warn_of_later_day(day: u32, of_log: u32) {
    tracing::warn!(
        day,
        of_log,
        "no trading day begins: the log's is later than the clock's, and no day is taken back"
    );
}

/// Two venues on one journal would destroy it.
fn lock(data_dir: &Path) -> Result<std::fs::File, Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = data_dir.join("lock");
    let what = path.display().to_string();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io_failure(what.clone()))?;
    file.try_lock().map_err(|_| Failure {
        code: EXIT_IO,
        message: format!("{what}: another venue is using this data folder"),
    })?;
    Ok(file)
}

fn report(recovered: &Recovered) {
    if let Some((file, offset, bytes)) = &recovered.torn {
        tracing::warn!(
            file,
            offset,
            bytes,
            "cut a torn tail that was never acknowledged"
        );
    }
    tracing::info!(
        commands = recovered.commands,
        from_snapshot = recovered.from_snapshot,
        state_hash = format!("{:016x}", recovered.state_hash()),
        took_ms = u64::try_from(recovered.took.as_millis()).unwrap_or(u64::MAX),
        "recovered"
    );
}

/// Where secrets of sessions are kept.
fn keystore_path(config: &Config) -> PathBuf {
    config.data_dir.join("keystore.toml")
}

type World = (Keystore, Option<Credentials>, Vec<Vec<u8>>);

/// Keys, printed credentials and first commands: drawn on a first start, read later.
fn world(config: &Config, recovered: &Recovered, genesis: Vec<u8>) -> Result<World, Failure> {
    let keystore_path = keystore_path(config);
    let credentials_path = config.data_dir.join("demo").join("credentials.toml");
    let failure = |error: &dyn std::fmt::Display| Failure {
        code: EXIT_CONFIG,
        message: error.to_string(),
    };
    if recovered.is_new || recovered.commands == 0 {
        let mut commands = vec![genesis];
        if !config.demo {
            let keystore = Keystore::load(&keystore_path).map_err(|error| failure(&error))?;
            return Ok((keystore, None, commands));
        }
        let demo = demo::demo(config.demo_instruments).map_err(|error| failure(&error))?;
        demo.keystore
            .save(&keystore_path)
            .map_err(|error| failure(&error))?;
        demo.credentials
            .save(&credentials_path)
            .map_err(io_failure(credentials_path.display().to_string()))?;
        commands.extend(demo.commands);
        return Ok((demo.keystore, Some(demo.credentials), commands));
    }
    let keystore = Keystore::load(&keystore_path).map_err(|error| failure(&error))?;
    let mut credentials = if config.demo && credentials_path.exists() {
        Some(Credentials::load(&credentials_path).map_err(|error| failure(&error))?)
    } else {
        None
    };
    // A demo from before there was a console.
    if let Some(known) = &mut credentials
        && known.console.is_empty()
    {
        known.console = demo::console().map_err(|error| failure(&error))?;
        known
            .save(&credentials_path)
            .map_err(io_failure(credentials_path.display().to_string()))?;
    }
    // Power that failed in the first moment of the log may have taken the end of its world; roles and
    // users may be others than at the last start.
    let commands = match &credentials {
        Some(known) if !known.sessions().all(|session| recovered.knows(session)) => {
            demo::definitions(known, config.demo_instruments)
        }
        Some(known) => demo::changes(known, &recovered.sessions()),
        None => Vec::new(),
    };
    Ok((keystore, credentials, commands))
}

fn bot(
    config: &Config,
    credentials: Option<&Credentials>,
    address: SocketAddr,
    stop: &Arc<AtomicBool>,
) -> Option<std::thread::JoinHandle<()>> {
    if !config.maker_bot {
        return None;
    }
    let entry = credentials?.binary(demo::MAKER_KEY_ID)?.clone();
    let stop = Arc::clone(stop);
    std::thread::Builder::new()
        .name("maker-bot".into())
        .spawn(move || maker::run(address, &entry, &demo::MAKER_PRICES, &stop))
        .ok()
}

fn announce(config: &Config, addresses: &[(&str, SocketAddr)], credentials: Option<&Credentials>) {
    say(&format!(
        "trading-engine {}  topology {}  journal {}",
        env!("CARGO_PKG_VERSION"),
        config.preset,
        config.journal_policy
    ));
    for (name, address) in addresses {
        say(&format!("{name:<8} {address}"));
    }
    let Some(credentials) = credentials else {
        say("ready");
        return;
    };
    let file = config.data_dir.join("demo").join("credentials.toml");
    say(&format!(
        "demo keys of firms DEMO-ALPHA and DEMO-BETA are in {}:",
        file.display()
    ));
    // The first traders and whoever has a role; the file has the others.
    let told = |index: usize, roles: &[Role]| index < 2 || !roles.is_empty();
    let desk = |roles: &[Role]| {
        let risk = roles.contains(&Role::Risk);
        if risk { "  role risk" } else { "" }
    };
    for (index, entry) in credentials.fix.iter().enumerate() {
        if told(index, &entry.roles) {
            say(&format!(
                "  FIX     SenderCompID {}  TargetCompID {}  Username {}  Password {}{}",
                entry.comp_id,
                config.fix_comp_id,
                entry.username,
                entry.password,
                desk(&entry.roles)
            ));
        }
    }
    for (index, entry) in credentials.binary.iter().enumerate() {
        if told(index, &entry.roles) {
            say(&format!(
                "  binary  session {}  key {}  {:?}{}",
                entry.session,
                entry.key_id,
                entry.secret,
                desk(&entry.roles)
            ));
        }
    }
    for entry in &credentials.console {
        say(&format!(
            "  console {}  password {}  role {}",
            entry.name, entry.password, entry.role
        ));
    }
    let address = addresses
        .iter()
        .find(|(name, _)| *name == "binary")
        .map(|(_, address)| *address);
    if let Some(address) = address {
        say("trade:");
        say(&format!(
            "  cargo run --release -- client --address {address} --credentials {} buy ACME 10 100.02",
            file.display()
        ));
    }
    say("ready");
}

/// The admin API of a venue.
fn api(
    config: &Config,
    venue: &Venue,
    keystore: LiveKeystore,
    store: Store,
    history: projector::Status,
    link: &Redis,
    clock: &Clock,
) -> Result<Api, Failure> {
    let journal = Arc::clone(venue.journal());
    let wrong = |message| Failure {
        code: EXIT_CONFIG,
        message,
    };
    let signing = match &config.jwt_keys {
        Some(JwtKeys::Hs256(secret)) => Signing::Secret(secret.reveal().as_bytes().to_vec()),
        Some(JwtKeys::EdDsa(pair)) => Signing::KeyPair {
            public: pair.public().clone(),
            private: pair.private().clone(),
        },
        None => Signing::drawn().map_err(wrong)?,
    };
    let tokens = Tokens::new(&signing, &config.jwt_audience, config.jwt_expiry_seconds);
    let (schedule, now) = (config.schedule.clone(), clock.clone());
    let stages = venue.metrics();
    Ok(Api {
        clock: clock.clone(),
        mirror: venue.mirror().clone(),
        desk: venue.desk().clone(),
        keystore,
        market_data: venue.market_data(),
        tokens: tokens.map_err(wrong)?,
        people: Arc::new(KnownUsers::new(store.clone())),
        store,
        throttle: Throttle::new(SharedLimits::new(link.clone()), config.api_rate_limit),
        scheduled_phase: Box::new(move || {
            let (_, phase) = schedule.at(now.utc_now())?;
            Some(phase.into())
        }),
        stages: Box::new(move || stages.stages()),
        durable_sequence: Box::new(move || journal.durable().get()),
        history_sequence: Box::new(move || history.figures().sequence),
        streams: Arc::default(),
        turns: Turns::default(),
    })
}

/// What the side ports see of it.
fn view(
    venue: &Venue,
    api: Api,
    registry: Registry,
    link: Redis,
    history: projector::Status,
    embedded: Option<DatabaseUrl>,
) -> View {
    let (store, people) = (api.store.clone(), Arc::clone(&api.people));
    let ping: Asking = Arc::new(move || {
        let (store, history, people) = (store.clone(), history.clone(), Arc::clone(&people));
        Box::pin(async move {
            let answer = tokio::time::timeout(DATABASE_TIME, store.ping()).await;
            let why = match (answer, history.state()) {
                (Ok(Ok(took)), State::Starting | State::Running) => return Some(Ok(took)),
                // One that answers and takes no history is of no more use.
                (Ok(Ok(_)), State::Down(why) | State::Refused(why)) => {
                    return Some(Err(format!("history is not written: {why}")));
                }
                // A pool does not say what its connections wait for in vain; the projector's does.
                (_, State::Down(why) | State::Refused(why)) => why,
                (Ok(Err(error)), State::Starting | State::Running) => error.to_string(),
                (Err(_), State::Starting | State::Running) => {
                    format!("no answer within {DATABASE_TIME:?}")
                }
            };
            let logins = match people.age() {
                Some(age) => format!("logins use the users of {} s ago", age.as_secs()),
                None => "nobody can log in, the users were not read yet".to_owned(),
            };
            Some(Err(format!("{why}; {logins}")))
        })
    });
    let redis: Asking = Arc::new(move || {
        let link = link.clone();
        Box::pin(async move {
            match link.ping().await {
                RedisHealth::Ok(took) => Some(Ok(took)),
                RedisHealth::Down(why) => Some(Err(why)),
                RedisHealth::NotConfigured => None,
            }
        })
    });
    let journal = Arc::clone(venue.journal());
    View {
        log: Arc::new(move || Log {
            sequence: journal.written().get(),
            durable_sequence: journal.durable().get(),
            failure: journal.failure(),
        }),
        metrics: Arc::new(move || registry.text()),
        market_data: venue.market_data(),
        api: Some(Arc::new(api)),
        database: Ping::new("DATABASE_URL", ping).instead(embedded.as_ref()),
        redis: Ping::new("REDIS_URL", redis),
    }
}
