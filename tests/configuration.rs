//! Settings as an operator gives them: four sources, secrets in files, what `--check-config` and
//! `settings` print, and that nothing anywhere can panic the reading or get a secret out of it.

mod support;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use support::settings::{number, seed};
use trading_engine::config::table::{Basis, Kind, SETTINGS, Setting};
use trading_engine::config::{
    Config, FileText, JwtKeys, Loaded, Origin, Problem, Secret, Sources, listing, reference,
};

const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

/// What the machine would have.
#[derive(Default, Debug)]
struct Machine {
    flags: BTreeMap<String, String>,
    environment: BTreeMap<String, OsString>,
    files: BTreeMap<String, (Vec<u8>, bool)>,
}

impl Machine {
    fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.insert(name.into(), value.into());
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// A file that its owner alone can read.
    fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.into(), (text.into(), false));
        self
    }

    fn file_of_all(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.into(), (text.into(), true));
        self
    }

    fn load(&self) -> Result<Loaded, Vec<Problem>> {
        Config::load(Sources {
            flag: &|name| self.flags.get(name).cloned(),
            environment: &|name| self.environment.get(name).cloned(),
            read_file: &|path: &Path| {
                let file = path.to_str().and_then(|path| self.files.get(path));
                let (bytes, is_open_to_all) = file.ok_or(io::ErrorKind::NotFound)?;
                let text = String::from_utf8(bytes.clone());
                let text = text.map_err(|_| io::ErrorKind::InvalidData)?;
                Ok(FileText {
                    text: Secret::new(text),
                    is_open_to_all: *is_open_to_all,
                })
            },
        })
    }

    fn config(&self) -> Config {
        self.loaded().config
    }

    fn loaded(&self) -> Loaded {
        self.load()
            .unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn problems(&self) -> Vec<String> {
        let problems = self.load().expect_err("something is wrong");
        problems.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file_and_that_over_the_default() {
    let mut machine = Machine::default();
    assert_eq!(machine.config().port, 8080);
    machine = machine
        .variable("CONFIG_FILE", "venue.toml")
        .file("venue.toml", "# ours\nport = 1000\nmetrics_port = 1001");
    let loaded = machine.loaded();
    assert_eq!(
        (loaded.config.port, loaded.config.metrics_port),
        (1000, 1001)
    );
    let origin = |loaded: &Loaded, name: &str| {
        let mut all = loaded.effective.iter();
        all.find(|one| one.setting.name == name)
            .unwrap()
            .origin
            .clone()
    };
    let line = |line| Origin::File {
        path: "venue.toml".into(),
        line,
    };
    assert_eq!(origin(&loaded, "PORT"), line(2));
    machine = machine.variable("PORT", "2000");
    assert_eq!(machine.config().port, 2000);
    machine = machine.flag("PORT", "3000");
    let loaded = machine.loaded();
    assert_eq!(loaded.config.port, 3000);
    assert_eq!(origin(&loaded, "PORT"), Origin::Flag);
    assert_eq!(origin(&loaded, "METRICS_PORT"), line(3));
    assert_eq!(origin(&loaded, "FIX_PORT"), Origin::Default);
    // The file itself, too.
    machine = machine
        .flag("CONFIG_FILE", "other.toml")
        .file("other.toml", "metrics_port = 1002");
    assert_eq!(machine.config().metrics_port, 1002);
}

#[test]
fn a_problem_says_where_its_value_came_from() {
    let machine = Machine::default()
        .flag("CONFIG_FILE", "venue.toml")
        .file("venue.toml", "\nport = 'eighty'\nmetrics_prot = 1")
        .flag("IDLE", "sleep")
        .variable("LOG_LEVEL", "loud");
    assert_eq!(
        machine.problems(),
        [
            "CONFIG_FILE=\"venue.toml\": allowed is known settings only; line 3 has \
             \"metrics_prot\"; the nearest is \"metrics_port\"",
            "PORT=\"eighty\" (venue.toml:2): allowed is a port from 0 to 65535 (0 = any free one)",
            "LOG_LEVEL=\"loud\": allowed is error, warn, info, debug, trace",
            "IDLE=\"sleep\" (flag): allowed is spin, spin-then-park, park",
        ]
    );
    let missing = Machine::default().variable("CONFIG_FILE", "nowhere.toml");
    let told = missing.problems();
    assert!(
        told[0].starts_with("CONFIG_FILE=\"nowhere.toml\": allowed is the path of a file that can"),
        "{told:?}"
    );
}

#[test]
fn every_secret_can_stand_in_a_file_of_its_own() {
    let with_file = |text: &str| {
        Machine::default()
            .variable("JWT_SECRET_FILE", "/run/jwt")
            .file("/run/jwt", text)
    };
    for text in [SECRET, &format!("{SECRET}\n"), &format!("{SECRET}\r\n\n")] {
        let Some(JwtKeys::Hs256(secret)) = with_file(text).config().jwt_keys else {
            panic!("no secret");
        };
        assert_eq!(secret.reveal(), SECRET);
    }
    assert_eq!(
        with_file("hunter2").problems(),
        ["JWT_SECRET=*** (/run/jwt): allowed is at least 32 bytes"]
    );
    assert_eq!(
        with_file(SECRET).variable("JWT_SECRET", SECRET).problems(),
        ["JWT_SECRET_FILE=\"/run/jwt\": allowed is not set while JWT_SECRET is"]
    );
    // What is said first counts, whichever of the two it is.
    let first = with_file("short").flag("JWT_SECRET_FILE", "/run/other");
    assert!(first.file("/run/other", SECRET).config().jwt_keys.is_some());
    let told = Machine::default()
        .variable("REDIS_URL_FILE", "/run/nothing")
        .variable("ENV", "production")
        .problems();
    assert!(
        told.iter().any(|problem| problem.starts_with(
            "REDIS_URL_FILE=\"/run/nothing\": allowed is the path of a file that can be read: "
        )),
        "{told:?}"
    );
    assert!(
        !told.iter().any(|problem| problem.starts_with("REDIS_URL ")),
        "{told:?}"
    );
    let url = Machine::default()
        .variable("DATABASE_URL_FILE", "/run/db")
        .file("/run/db", "postgres://te:hunter2@db/te\n");
    assert_eq!(
        url.config().database_url.unwrap().to_string(),
        "postgresql://db:5432/te"
    );
}

#[test]
fn secrets_that_everybody_can_read_are_warned_of() {
    let warnings = |machine: Machine| -> Vec<String> {
        let warnings = machine.loaded().warnings;
        warnings.iter().map(ToString::to_string).collect()
    };
    let in_settings = format!("jwt_secret = '{SECRET}'");
    let with = |machine: Machine| {
        machine
            .variable("CONFIG_FILE", "venue.toml")
            .variable("SENTRY_DSN_FILE", "/run/dsn")
    };
    let dsn = "https://hunter2@sentry.example/1";
    let private = Machine::default()
        .file("venue.toml", &in_settings)
        .file("/run/dsn", dsn);
    assert_eq!(warnings(with(private)), [""; 0]);
    let open = Machine::default()
        .file_of_all("venue.toml", &in_settings)
        .file_of_all("/run/dsn", dsn);
    let why = "in it and everybody on this machine can read it (chmod o-r)";
    assert_eq!(
        warnings(with(open)),
        [
            format!("\"venue.toml\" has JWT_SECRET {why}"),
            format!("\"/run/dsn\" has SENTRY_DSN {why}"),
        ]
    );
    let without = Machine::default().file_of_all("venue.toml", "port = 1");
    assert_eq!(
        warnings(without.variable("CONFIG_FILE", "venue.toml")),
        [""; 0]
    );
}

#[test]
fn production_needs_database_redis_and_token_keys_by_name() {
    let machine = Machine::default()
        .variable("ENV", "production")
        .variable("REDIS_URL", "");
    assert_eq!(
        machine.problems(),
        [
            "DATABASE_URL is not set: allowed is a URL that begins with postgres:// or postgresql:// or \
             sqlite:, in ENV=production",
            "REDIS_URL is not set: allowed is a URL that begins with redis:// or rediss://, in \
             ENV=production",
            "JWT_SECRET is not set: allowed is at least 32 bytes, or JWT_PRIVATE_KEY with \
             JWT_PUBLIC_KEY, in ENV=production",
        ]
    );
    // One that is wrong is told once.
    let machine = machine
        .variable("DATABASE_URL", "mysql://te:hunter2@db")
        .variable("REDIS_URL", "redis://:hunter2@cache")
        .variable("JWT_SECRET", "hunter2");
    assert_eq!(
        machine.problems(),
        [
            "DATABASE_URL=***: allowed is a URL that begins with postgres:// or postgresql:// or sqlite:",
            "JWT_SECRET=***: allowed is at least 32 bytes",
        ]
    );
}

#[test]
fn a_port_that_is_none_is_what_is_wrong_with_a_url() {
    for port in ["99999", "65536", "0"] {
        let machine = Machine::default()
            .variable(
                "DATABASE_URL",
                &format!("postgres://te:hunter2@db:{port}/te"),
            )
            .variable("REDIS_URL", &format!("redis://:hunter2@cache:{port}"));
        let told = machine.problems();
        assert_eq!(told.len(), 2, "{told:?}");
        for (problem, name) in told.iter().zip(["DATABASE_URL=", "REDIS_URL="]) {
            assert!(problem.starts_with(name), "{problem}");
            assert!(
                problem.ends_with(": allowed is a port from 1 to 65535"),
                "{problem}"
            );
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }
}

// Keys of RFC 8410, which have no other use.
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    -----END PRIVATE KEY-----\n";
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
    -----END PUBLIC KEY-----\n";

#[test]
fn tokens_are_signed_in_one_way_and_with_keys_that_belong_together() {
    let with = |private: &str, public: &str| {
        Machine::default()
            .variable("JWT_PRIVATE_KEY_FILE", "private.pem")
            .variable("JWT_PUBLIC_KEY_FILE", "public.pem")
            .file("private.pem", private)
            .file("public.pem", public)
    };
    let pair = with(PRIVATE_KEY, PUBLIC_KEY);
    assert!(matches!(pair.config().jwt_keys, Some(JwtKeys::EdDsa(_))));
    assert_eq!(
        pair.variable("JWT_SECRET", SECRET).problems(),
        ["JWT_SECRET=***: allowed is not set while JWT_PRIVATE_KEY or JWT_PUBLIC_KEY is"]
    );
    assert_eq!(
        with(PUBLIC_KEY, PUBLIC_KEY).problems(),
        ["JWT_PRIVATE_KEY=*** (private.pem): allowed is an Ed25519 private key in PEM (PKCS#8)"]
    );
    let other = PUBLIC_KEY.replace("GcowBQ", "").replace(
        "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE",
        "pEFPm0EMY5Y7hRrf8j9ewzvk4J0Ccf269XEu0cnPu7w",
    );
    assert_eq!(
        with(PRIVATE_KEY, &other).problems(),
        [
            "JWT_PUBLIC_KEY=*** (public.pem): allowed is the public key that belongs to JWT_PRIVATE_KEY"
        ]
    );
    let alone = Machine::default().variable("JWT_PUBLIC_KEY", PUBLIC_KEY);
    assert_eq!(
        alone.problems(),
        ["JWT_PRIVATE_KEY is not set: allowed is a key in PEM, because JWT_PUBLIC_KEY is set"]
    );
}

#[test]
fn the_agent_has_a_name_of_ours_or_datadogs() {
    let address = |machine: Machine| machine.config().dogstatsd_address;
    let machine = Machine::default().variable("DD_AGENT_HOST", "agent");
    let found = |host: &str, port| Some((host.to_owned(), port));
    assert_eq!(address(Machine::default()), None);
    assert_eq!(address(machine), found("agent", 8125));
    let both = |ours: &str| {
        Machine::default()
            .variable("DD_AGENT_HOST", "agent")
            .variable("DD_DOGSTATSD_PORT", "9000")
            .variable("DOGSTATSD_ADDRESS", ours)
    };
    assert_eq!(address(both("")), found("agent", 9000));
    assert_eq!(address(both("10.0.0.1:1")), found("10.0.0.1", 1));
    assert_eq!(address(both("[::1]:8125")), found("::1", 8125));
    for wrong in [
        "agent",
        "agent:0",
        ":8125",
        "a b:1",
        "a:65536",
        "http://a:1",
    ] {
        assert_eq!(
            both(wrong).problems(),
            [format!("DOGSTATSD_ADDRESS={wrong:?}: allowed is HOST:PORT")]
        );
    }
}

#[test]
fn profiles_by_token_need_one() {
    let machine = Machine::default().variable("PPROF", "token");
    assert_eq!(
        machine.problems(),
        ["PPROF_TOKEN is not set: allowed is at least 32 bytes with PPROF=token"]
    );
    let config = machine.variable("PPROF_TOKEN", SECRET).config();
    assert_eq!(config.pprof_token.unwrap().reveal(), SECRET);
}

/// A core asks for it, and would end the start in a panic.
#[test]
fn open_orders_need_ids_whichever_of_both_is_set() {
    let few = Machine::default().variable("MAX_CLIENT_ORDER_IDS", "1000");
    let [problem] = &few.problems()[..] else {
        panic!("{:?}", few.problems());
    };
    let default = "MAX_CLIENT_ORDER_IDS=\"1000\": allowed is at least MAX_ORDERS, which is 262144";
    assert!(problem.starts_with(default), "{problem}");
    let many = Machine::default().variable("MAX_ORDERS", "16777216");
    let [problem] = &many.problems()[..] else {
        panic!("{:?}", many.problems());
    };
    assert!(problem.starts_with("MAX_CLIENT_ORDER_IDS"), "{problem}");
    assert!(problem.contains("at least MAX_ORDERS, which is 16777216"));
    let enough = many.variable("MAX_CLIENT_ORDER_IDS", "16777216");
    assert!(enough.config().limits.are_possible());
}

/// The largest and the smallest of every capacity make a core that can be.
#[test]
fn every_capacity_that_is_allowed_is_possible() {
    for setting in SETTINGS.iter().filter(|one| one.name.starts_with("MAX_")) {
        let Kind::Number { low, high } = setting.kind else {
            continue;
        };
        for number in [low, high] {
            let machine = Machine::default()
                .variable("MAX_ORDERS", "1")
                .variable("MAX_CLIENT_ORDER_IDS", "16777216")
                .variable(setting.name, &number.to_string());
            assert!(
                machine.config().limits.are_possible(),
                "{} {number}",
                setting.name
            );
        }
    }
}

#[test]
fn a_variable_that_is_no_text_is_a_problem_and_not_the_default() {
    let mut machine = Machine::default();
    for name in ["PORT", "JWT_SECRET"] {
        let bytes = OsString::from_vec(b"hunter2\xff".to_vec());
        machine.environment.insert(name.into(), bytes);
    }
    assert_eq!(
        machine.problems(),
        [
            "PORT=\"hunter2\u{fffd}\": allowed is UTF-8, and a port from 0 to 65535 (0 = any free one)",
            "JWT_SECRET=***: allowed is UTF-8, and at least 32 bytes",
        ]
    );
}

#[test]
fn every_setting_of_the_table_is_read_and_listed_once() {
    let loaded = Machine::default().loaded();
    let mut read: Vec<&str> = loaded
        .effective
        .iter()
        .map(|one| one.setting.name)
        .collect();
    let mut known: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
    read.sort_unstable();
    known.sort_unstable();
    assert_eq!(read, known);
    let listing = listing(&loaded.effective);
    let words = listing
        .lines()
        .map(|line| line.split_whitespace().next().unwrap());
    let table = SETTINGS.iter().map(|setting| setting.name);
    assert!(words.eq(table), "{listing}");
}

/// `cargo run -- settings > CONFIGURATION.md` makes it.
#[test]
fn the_page_is_what_the_program_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("CONFIGURATION.md");
    let page = std::fs::read_to_string(path).unwrap();
    let output = venue(&[], &["settings"]);
    assert_eq!(output.code, Some(0));
    assert_eq!(output.said, reference());
    assert!(
        page == output.said,
        "CONFIGURATION.md is not what `trading-engine settings` prints"
    );
}

struct Output {
    code: Option<i32>,
    said: String,
    complained: String,
}

/// Runs the real program with nothing else around it.
fn venue(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_trading-engine"))
        .env_clear()
        .envs(variables.iter().copied())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Output {
        code: output.status.code(),
        said: String::from_utf8(output.stdout).unwrap(),
        complained: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn check_config_prints_every_setting_with_its_source_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, jwt) = (path("venue.toml"), path("jwt"));
    std::fs::write(
        &file,
        "fix_port = 1234\nredis_url = 'redis://:hunter2@cache/0'\n",
    )
    .unwrap();
    std::fs::write(&jwt, format!("{SECRET}\n")).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::set_permissions(&jwt, PermissionsExt::from_mode(0o644)).unwrap();
    let variables = [
        ("ENV", "production"),
        ("DATABASE_URL", "postgres://te:hunter2@db/te"),
        ("SENTRY_DSN", "https://hunter2@sentry.example/1"),
        ("PORT", "1111"),
    ];
    let arguments = [
        "--config",
        &file,
        "--port=2222",
        "--jwt-secret-file",
        &jwt,
        "--check-config",
    ];
    let checked = venue(&variables, &arguments);
    assert_eq!(checked.code, Some(0), "{}", checked.complained);
    let row = |name: &str| -> Vec<&str> {
        let mut lines = checked
            .said
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines
            .find(|words| words[0] == name)
            .unwrap_or_else(|| panic!("{}", checked.said))
    };
    assert_eq!(row("PORT"), ["PORT", "2222", "flag"]);
    assert_eq!(row("FIX_PORT"), ["FIX_PORT", "1234", &format!("{file}:1")]);
    assert_eq!(row("DEMO"), ["DEMO", "false", "default"]);
    assert_eq!(row("LOG_FORMAT"), ["LOG_FORMAT", "json", "default"]);
    assert_eq!(
        row("DATABASE_URL"),
        ["DATABASE_URL", "postgres://te:***@db/te", "environment"]
    );
    assert_eq!(
        row("REDIS_URL"),
        ["REDIS_URL", "redis://:***@cache/0", &format!("{file}:2")]
    );
    assert_eq!(row("JWT_SECRET"), ["JWT_SECRET", "set", &jwt]);
    assert_eq!(row("SENTRY_DSN"), ["SENTRY_DSN", "set", "environment"]);
    assert_eq!(
        row("JWT_PRIVATE_KEY"),
        ["JWT_PRIVATE_KEY", "not", "set", "default"]
    );
    assert!(checked.said.ends_with("configuration is fine\n"));
    let warning = format!("configuration: warning: {jwt:?} has JWT_SECRET in it");
    assert!(
        checked.complained.contains(&warning),
        "{}",
        checked.complained
    );
    assert!(!(checked.said + &checked.complained).contains("hunter2"));

    let wrong = venue(
        &[("PORT", "x"), ("IDLE", "y")],
        &["--check-config", "--fix-port=-1"],
    );
    assert_eq!((wrong.code, wrong.said.as_str()), (Some(64), ""));
    let lines: Vec<&str> = wrong.complained.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[1].starts_with("configuration: FIX_PORT=\"-1\" (flag): allowed is a port"));
}

/// Words that mean something to some setting, none of them secret.
const WORDS: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "65535",
    "18446744073709551616",
    "true",
    "false",
    "production",
    "spin",
    "x",
    "postgres://",
    "te:pw@db",
    "redis://:pw@h:1/0",
    "sqlite:",
    "https://pw@s/1",
    "@",
    "#",
    "?",
    "/",
    "\\",
    ":",
    "[",
    "]",
    "%",
    "%zz",
    "\u{0}",
    "\n",
    "\u{1b}",
    "\u{e9}",
    "\u{10ffff}",
    "08:00 closed",
    ", ",
    "=",
    "'",
    "\"",
    "f1",
    "f2",
    "venue.toml",
    PRIVATE_KEY,
    PUBLIC_KEY,
];
const SCHEMES: &[&str] = &[
    "postgres",
    "postgresql",
    "redis",
    "rediss",
    "http",
    "https",
    "x",
];
const TAILS: &[&str] = &[
    "",
    "/",
    "/te",
    ":1/te",
    "?sslmode=require",
    "/te?password=hunter2",
    "#",
];

struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        // xorshift64*, enough to pick words with.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.roll(all.len())]
    }

    fn text(&mut self) -> String {
        (0..self.roll(4)).map(|_| self.one_of(WORDS)).collect()
    }

    /// A setting, or its file, and a value; one that may be secret has the secret in it.
    fn said(&mut self) -> (String, String) {
        let setting = &SETTINGS[self.roll(SETTINGS.len())];
        if let Some(file) = setting.file
            && self.roll(3) == 0
        {
            // A secret in a host's or path's place is shown, because it is none there.
            let is_url = matches!(setting.kind, Kind::Url { .. });
            let right = if is_url { "f1" } else { "f2" };
            return (file.into(), self.one_of(&[right, right, "nowhere"]).into());
        }
        let value = match setting.kind {
            Kind::Secret { .. } if self.roll(4) > 0 => self.secret(),
            Kind::Url { .. } if self.roll(4) > 0 => self.url(),
            _ => self.open_value(setting),
        };
        (setting.name.into(), value)
    }

    fn open_value(&mut self, setting: &Setting) -> String {
        let basis = Basis {
            production: false,
            demo: true,
            few_cores: true,
        };
        match setting.default_text(&basis) {
            Some(default) if self.roll(4) > 0 => default,
            _ => self.text(),
        }
    }

    fn secret(&mut self) -> String {
        match self.roll(4) {
            0 => format!("https://{SECRET}@sentry.example/1"),
            _ => format!("{}{SECRET}{}", self.text(), self.text()),
        }
    }

    fn url(&mut self) -> String {
        let (scheme, tail) = (self.one_of(SCHEMES), self.one_of(TAILS));
        let password = match self.roll(2) {
            0 => SECRET.into(),
            _ => format!("{}{SECRET}{}", self.text(), self.text()),
        };
        format!("{scheme}://te:{password}@db{tail}")
    }

    /// Lines of a file of settings, more or less.
    fn toml(&mut self) -> String {
        let mut out = String::new();
        for _ in 0..self.roll(6) {
            let (name, value) = self.said();
            let key = match self.roll(6) {
                0 => self.text(),
                _ => name.to_ascii_lowercase(),
            };
            out += &match self.roll(6) {
                0 => format!("{key} = {value}\n"),
                1 => format!("{key} = [{value:?}, 1, {{ a = 1 }}]\n"),
                2 => format!("{key} = '{value}'\n"),
                _ => format!("{key} = {value:?}\n"),
            };
        }
        out
    }
}

/// `CASES` are tried.
#[test]
fn nothing_that_is_said_anywhere_panics_or_gets_a_secret_out() {
    let mut dice = Dice(seed() | 1);
    let (mut fine, mut with_secrets) = (0, 0);
    for _ in 0..number("CASES").unwrap_or(20_000) {
        let mut machine = Machine::default();
        for _ in 0..dice.roll(3) {
            let (name, value) = dice.said();
            let is_open = SETTINGS
                .iter()
                .all(|setting| setting.name != name || !is_guarded(setting));
            if is_open {
                machine.flags.insert(name, value);
            }
        }
        for _ in 0..dice.roll(5) {
            let (name, value) = dice.said();
            let mut bytes = value.into_bytes();
            if dice.roll(8) == 0 {
                bytes.push(0xff);
            }
            machine.environment.insert(name, OsString::from_vec(bytes));
        }
        for path in ["f1", "f2", "venue.toml"] {
            let text = match (path, dice.roll(4)) {
                ("venue.toml", _) => dice.toml(),
                (_, 0) => dice.text(),
                ("f1", _) => dice.url(),
                _ => dice.secret(),
            };
            let is_open_to_all = dice.roll(2) == 0;
            machine
                .files
                .insert(path.into(), (text.into_bytes(), is_open_to_all));
        }
        if dice.roll(2) == 0 {
            machine = machine.variable("CONFIG_FILE", "venue.toml");
        }
        let told = match machine.load() {
            Ok(loaded) => {
                fine += 1;
                let secrets = loaded
                    .effective
                    .iter()
                    .filter(|one| is_guarded(one.setting) && one.origin != Origin::Default);
                with_secrets += secrets.count();
                format!(
                    "{:?}\n{}\n{:?}",
                    loaded.config,
                    listing(&loaded.effective),
                    loaded.warnings
                )
            }
            Err(problems) => {
                let lines = problems
                    .iter()
                    .map(|problem| format!("{problem}\n{problem:?}\n"));
                lines.collect()
            }
        };
        assert!(!told.contains("hunter2"), "{machine:?}\n{told}");
    }
    println!("{fine} were fine, with {with_secrets} secrets");
    assert!(fine > 0 && with_secrets > 0);
}

fn is_guarded(setting: &Setting) -> bool {
    matches!(setting.kind, Kind::Secret { .. } | Kind::Url { .. })
}
