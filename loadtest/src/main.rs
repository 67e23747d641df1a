//! The load generator's command line.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use loadtest::credentials::{Credentials, Protocol};
use loadtest::echo::{Floor, Sizes};
use loadtest::report::{Percentiles, Report, histogram};
use loadtest::run::{Arrivals, Progress};
use loadtest::{makers, replay, run, table};
use trading_engine_protocol::types::Decimal8;

/// The measurement failed, or not every order was answered, or a row differed.
const EXIT_FAILED: u8 = 1;
/// Slower than the baseline, with `--fail-on-slower`.
const EXIT_SLOWER: u8 = 2;

/// Drives real sessions of a running trading-engine.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Args)]
struct Venue {
    /// FIX or binary port of the venue; by default the protocol's usual one on this machine.
    #[arg(long)]
    address: Option<SocketAddr>,
    /// Keys and passwords; the venue writes such a file on its first start.
    #[arg(long, default_value = "data/demo/credentials.toml")]
    credentials: PathBuf,
    /// Instrument to trade.
    #[arg(long, default_value = "TEST-A")]
    symbol: String,
}

#[derive(Subcommand)]
enum Action {
    /// Open-loop load: latency from the intended time of sending.
    Run(Box<RunArguments>),
    /// The floor alone: a raw TCP echo of an order's and an acknowledgement's size.
    Echo {
        /// Round trips.
        #[arg(long, default_value_t = 20_000)]
        count: u64,
        /// Bytes of a request.
        #[arg(long, default_value_t = Sizes::BINARY.request)]
        request: usize,
        /// Bytes of an answer.
        #[arg(long, default_value_t = Sizes::BINARY.answer)]
        answer: usize,
    },
    /// Closed-loop order-to-acknowledgement latency of both doors beside the echo, same run.
    Table {
        #[command(flatten)]
        venue: Venue,
        /// FIX port.
        #[arg(long, default_value = "127.0.0.1:9880")]
        fix: SocketAddr,
        /// Rounds.
        #[arg(long, default_value_t = 11)]
        rounds: u32,
        /// Orders in each.
        #[arg(long, default_value_t = 1_000)]
        orders: u32,
        /// Keep the measuring thread on this core.
        #[arg(long)]
        client_core: Option<usize>,
        /// Keep the echo thread on this core: the one the venue is pinned to (its CORES).
        #[arg(long)]
        server_core: Option<usize>,
        /// Write the figures as JSON.
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Sends a recorded LOBSTER day and compares the book after every message.
    Replay {
        /// Message file, plain or gzip.
        file: PathBuf,
        /// Order-book file; by default the one beside it.
        #[arg(long)]
        orderbook: Option<PathBuf>,
        #[command(flatten)]
        venue: Venue,
        /// Which door.
        #[arg(long, value_enum, default_value_t = Protocol::Binary)]
        protocol: Protocol,
        /// The venue's HTTP port.
        #[arg(long, default_value = "127.0.0.1:8080")]
        http: SocketAddr,
        /// Key id or SenderCompID whose orders rest.
        #[arg(long)]
        resting: Option<String>,
        /// Key id or SenderCompID, of another firm, whose orders take.
        #[arg(long)]
        taking: Option<String>,
        /// How many times faster than the day was; by default as fast as it goes.
        #[arg(long)]
        speed: Option<f64>,
    },
}

/// What the sessions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Orders, cancels and replaces in one instrument.
    Orders,
    /// Makers stream mass quotes over all DEMO- instruments, takers send orders.
    MarketMakers,
}

#[derive(Args)]
struct RunArguments {
    #[command(flatten)]
    venue: Venue,
    /// What the sessions do.
    #[arg(long, value_enum, default_value_t = Scenario::Orders)]
    scenario: Scenario,
    #[command(flatten)]
    makers: MakerArguments,
    /// Which door.
    #[arg(long, value_enum, default_value_t = Protocol::Binary)]
    protocol: Protocol,
    /// Sessions.
    #[arg(long, default_value_t = 4)]
    sessions: usize,
    /// Requests a second, all sessions together.
    #[arg(long, default_value_t = 2_000.0)]
    rate: f64,
    /// How requests follow each other.
    #[arg(long, value_enum, default_value_t = Arrivals::Poisson)]
    arrivals: Arrivals,
    /// Measured seconds.
    #[arg(long, default_value_t = 10.0)]
    duration: f64,
    /// Seconds before, not measured.
    #[arg(long, default_value_t = 2.0)]
    warmup: f64,
    /// Of 100 requests, cancels.
    #[arg(long, default_value_t = 35)]
    cancels: u64,
    /// Of 100 requests, replaces.
    #[arg(long, default_value_t = 10)]
    replaces: u64,
    /// Price in the middle.
    #[arg(long, default_value = "100")]
    price: Decimal,
    /// Price step.
    #[arg(long, default_value = "0.01")]
    tick: Decimal,
    /// Quantity step.
    #[arg(long, default_value = "1")]
    lot: Decimal,
    /// Draws the same requests again.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the HdrHistogram log.
    #[arg(long)]
    hlog: Option<PathBuf>,
    /// Write the report as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Compare with the JSON report of an earlier run.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// Exit with 2 when slower than the baseline beyond the noise.
    #[arg(long, requires = "baseline")]
    fail_on_slower: bool,
}

/// Of the scenario market-makers alone.
#[derive(Args)]
struct MakerArguments {
    /// Sessions that quote (market-makers).
    #[arg(long, default_value_t = 4)]
    makers: usize,
    /// Sessions that take (market-makers).
    #[arg(long, default_value_t = 2)]
    takers: usize,
    /// Entries of a mass quote, at most (market-makers).
    #[arg(long, default_value_t = 20)]
    entries: usize,
    /// Of 100 requests, mass quotes (market-makers).
    #[arg(long, default_value_t = 50)]
    quotes: u64,
    /// The venue's HTTP port (market-makers).
    #[arg(long, default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Key id or SenderCompID of the risk desk of the first maker's firm; by default the demo's (market-makers).
    #[arg(long)]
    desk: Option<String>,
}

impl MakerArguments {
    fn check(&self) -> io::Result<()> {
        check(
            "--makers and --takers",
            self.makers > 0 && self.takers > 0,
            "at least 1",
        )?;
        check("--entries", (1..=100).contains(&self.entries), "1 to 100")?;
        check("--quotes", (1..=99).contains(&self.quotes), "1 to 99")
    }
}

/// A positive decimal.
#[derive(Clone, Copy)]
struct Decimal(i64);

impl std::str::FromStr for Decimal {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match Decimal8::parse(text.as_bytes()) {
            Ok(Decimal8(mantissa)) if mantissa > 0 => Ok(Self(mantissa)),
            _ => Err("allowed is a decimal above 0 with at most 8 places".into()),
        }
    }
}

fn say(text: &str) {
    // A closed pipe is the reader's business.
    let _ = writeln!(io::stdout(), "{}", text.trim_end());
}

fn address(venue: &Venue, protocol: Protocol) -> io::Result<SocketAddr> {
    match venue.address {
        Some(address) => Ok(address),
        None => protocol.default_address().parse().map_err(io::Error::other),
    }
}

fn check(what: &str, good: bool, allowed: &str) -> io::Result<()> {
    if good {
        Ok(())
    } else {
        Err(io::Error::other(format!("{what}: allowed is {allowed}")))
    }
}

/// Does what the scenario is.
fn drive(arguments: &RunArguments) -> io::Result<Report> {
    let roles = &arguments.makers;
    let sessions = match arguments.scenario {
        Scenario::Orders => arguments.sessions,
        Scenario::MarketMakers => {
            roles.check()?;
            roles.makers + roles.takers
        }
    };
    let credentials = Credentials::load(&arguments.venue.credentials)?;
    let settings = run::Settings {
        protocol: arguments.protocol,
        address: address(&arguments.venue, arguments.protocol)?,
        logins: credentials.logins(arguments.protocol, "load", sessions)?,
        symbol: arguments.venue.symbol.clone(),
        rate: arguments.rate,
        arrivals: arguments.arrivals,
        warmup: Duration::from_secs_f64(arguments.warmup),
        duration: Duration::from_secs_f64(arguments.duration),
        cancels: arguments.cancels,
        replaces: arguments.replaces,
        middle: arguments.price.0,
        tick: arguments.tick.0,
        lot: arguments.lot.0,
        seed: arguments.seed,
        hlog: arguments.hlog.clone(),
    };
    match arguments.scenario {
        Scenario::Orders => run::run(&settings),
        Scenario::MarketMakers => {
            let desk = roles.desk.as_deref().unwrap_or(match arguments.protocol {
                Protocol::Binary => "alpha-risk",
                Protocol::Fix => "ALPHARISK",
            });
            makers::run(&makers::Settings {
                desk: credentials.login(arguments.protocol, desk)?,
                run: settings,
                makers: roles.makers,
                entries: roles.entries,
                quotes: roles.quotes,
                http: roles.http,
            })
        }
    }
}

fn open_loop(arguments: &RunArguments) -> io::Result<ExitCode> {
    check(
        "--rate",
        arguments.rate > 0.0 && arguments.rate <= 10_000_000.0,
        "more than 0 and at most 10000000",
    )?;
    check(
        "--duration and --warmup",
        arguments.duration > 0.0
            && arguments.duration <= 86_400.0
            && (0.0..=3_600.0).contains(&arguments.warmup),
        "a duration of more than 0 and at most 86400 seconds, a warm-up of at most 3600",
    )?;
    check("--sessions", arguments.sessions > 0, "at least 1")?;
    check(
        "--cancels and --replaces",
        arguments.cancels.saturating_add(arguments.replaces) <= 100,
        "a sum of at most 100",
    )?;
    // Read first: a wrong path should not cost a run.
    let baseline = arguments
        .baseline
        .as_deref()
        .map(Report::load)
        .transpose()?;
    let report = drive(arguments)?;
    say(&report.text());
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&report)?)?;
    }
    let mut code = ExitCode::SUCCESS;
    if let Some(baseline) = baseline {
        match report.compare(&baseline) {
            Ok(comparison) => {
                let verdict = match comparison.slower {
                    Some(true) => "SLOWER than the baseline",
                    Some(false) => "faster than the baseline",
                    None => "no difference beyond the noise",
                };
                say(&format!(
                    "{verdict}: median over echo is {:.2} times the baseline's, noise ±{:.0} %",
                    comparison.ratio,
                    comparison.noise * 100.0
                ));
                if arguments.fail_on_slower && comparison.slower == Some(true) {
                    code = ExitCode::from(EXIT_SLOWER);
                }
            }
            Err(why) => {
                say(&format!("no comparison: {why}"));
                if arguments.fail_on_slower {
                    code = ExitCode::from(EXIT_FAILED);
                }
            }
        }
    }
    if report.unanswered > 0 {
        say(&format!(
            "{} requests were never answered",
            report.unanswered
        ));
        code = ExitCode::from(EXIT_FAILED);
    }
    if report.makers.is_some_and(|makers| makers.differences > 0) {
        code = ExitCode::from(EXIT_FAILED);
    }
    Ok(code)
}

fn echo(count: u64, sizes: Sizes) -> io::Result<ExitCode> {
    check(
        "--request and --answer",
        (1..=1 << 20).contains(&sizes.request) && (1..=1 << 20).contains(&sizes.answer),
        "1 to 1048576 bytes",
    )?;
    let mut floor = Floor::start(sizes, None)?;
    for _ in 0..count / 10 {
        floor.ping()?;
    }
    let mut pings = histogram();
    let mut progress = Progress::new(count, "round trips");
    for index in 0..count {
        pings.saturating_record(floor.ping()?.as_nanos() as u64);
        if index.is_multiple_of(256) {
            progress.set(index);
        }
    }
    progress.finish();
    say(&Percentiles::head("microseconds"));
    say(&Percentiles::of(&pings).row("TCP echo"));
    Ok(ExitCode::SUCCESS)
}

fn act(action: &Action) -> io::Result<ExitCode> {
    match action {
        Action::Run(arguments) => open_loop(arguments),
        Action::Echo {
            count,
            request,
            answer,
        } => echo(
            *count,
            Sizes {
                request: *request,
                answer: *answer,
            },
        ),
        Action::Table {
            venue,
            fix,
            rounds,
            orders,
            client_core,
            server_core,
            json,
        } => {
            check(
                "--rounds and --orders",
                *rounds > 0 && *orders > 0,
                "at least 1",
            )?;
            let credentials = Credentials::load(&venue.credentials)?;
            let mut doors = Vec::new();
            for (protocol, address) in [
                (Protocol::Binary, address(venue, Protocol::Binary)?),
                (Protocol::Fix, *fix),
            ] {
                let login = credentials.logins(protocol, "load", 1)?.remove(0);
                doors.push((protocol, address, login));
            }
            let rows = table::measure(&table::Settings {
                doors,
                symbol: venue.symbol.clone(),
                price: 50 * Decimal8::ONE,
                quantity: Decimal8::ONE,
                client_core: *client_core,
                server_core: *server_core,
                rounds: *rounds,
                orders: *orders,
            })?;
            say(&table::text(&rows));
            if let Some(path) = json {
                std::fs::write(path, serde_json::to_string_pretty(&rows)?)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Replay {
            file,
            orderbook,
            venue,
            protocol,
            http,
            resting,
            taking,
            speed,
        } => {
            check(
                "--speed",
                speed.is_none_or(|speed| speed > 0.0 && speed.is_finite()),
                "more than 0",
            )?;
            let credentials = Credentials::load(&venue.credentials)?;
            let names = match protocol {
                Protocol::Binary => ["alpha-1", "beta-1"],
                Protocol::Fix => ["ALPHA1", "BETA1"],
            };
            let login = |name: &Option<String>, default| {
                credentials.login(*protocol, name.as_deref().unwrap_or(default))
            };
            let settings = replay::Settings {
                address: address(venue, *protocol)?,
                resting: login(resting, names[0])?,
                taking: login(taking, names[1])?,
                symbol: venue.symbol.clone(),
                http: *http,
                speed: *speed,
            };
            let day = replay::lobster::Day::load(file, orderbook.as_deref())?;
            let figures = replay::replay(&settings, &day)?;
            say(&figures.to_string());
            let equal = figures.rows == figures.rows_equal && figures.surprises == 0;
            Ok(if equal {
                say("every row equal, the venue's own book equal");
                ExitCode::SUCCESS
            } else {
                ExitCode::from(EXIT_FAILED)
            })
        }
    }
}

fn main() -> ExitCode {
    match act(&Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "loadtest: {error}");
            ExitCode::from(EXIT_FAILED)
        }
    }
}
