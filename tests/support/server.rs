//! The real binary, on free ports and a folder of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use trading_engine::client::credentials::Credentials;

pub struct Server {
    child: Child,
    pub http: SocketAddr,
    pub metrics: SocketAddr,
    pub fix: SocketAddr,
    pub binary: SocketAddr,
    pub data: PathBuf,
}

impl Server {
    /// Starts the venue and waits until it is ready.
    pub fn start(data: &Path, settings: &[(&str, &str)]) -> Self {
        Self::wait(command(data, settings), data)
    }

    /// Starts the venue behind a tracer that runs beside it, not as its parent.
    pub fn start_traced(tracer: Command, data: &Path, settings: &[(&str, &str)]) -> Self {
        Self::wait(command_behind(tracer, data, settings), data)
    }

    /// Starts a command that becomes the venue, and waits until it is ready.
    pub fn wait(mut command: Command, data: &Path) -> Self {
        let mut child = command.spawn().expect("the venue starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut addresses = std::collections::HashMap::new();
        loop {
            let line = lines
                .next()
                .expect("the venue says ready before it ends")
                .unwrap();
            if line == "ready" {
                break;
            }
            if let Some((name, rest)) = line.split_once(' ')
                && let Ok(address) = rest.trim().parse::<SocketAddr>()
            {
                addresses.insert(name.to_owned(), address);
            }
        }
        // Somebody has to read what it prints at its end.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            http: addresses["HTTP"],
            metrics: addresses["metrics"],
            fix: addresses["FIX"],
            binary: addresses["binary"],
            data: data.into(),
        }
    }

    pub fn credentials(&self) -> Credentials {
        Credentials::load(&self.data.join("demo").join("credentials.toml")).unwrap()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; returns the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Descriptors the venue has open, in order.
    pub fn descriptors(&self) -> Vec<usize> {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let mut open: Vec<usize> = folder
            .map(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .to_str()
                    .unwrap()
                    .parse()
                    .unwrap()
            })
            .collect();
        open.sort_unstable();
        open
    }

    /// Body of a GET on the HTTP port, with its status.
    pub fn get(&self, path: &str) -> (u16, String) {
        get(self.http, path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn command(data: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trading-engine"));
    set(&mut command, data, settings);
    command
}

/// The venue as the last argument of another program.
pub fn command_behind(mut command: Command, data: &Path, settings: &[(&str, &str)]) -> Command {
    command.arg(env!("CARGO_BIN_EXE_trading-engine"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    set(&mut command, data, settings);
    command.env("PATH", path);
    command
}

fn set(command: &mut Command, data: &Path, settings: &[(&str, &str)]) {
    command
        .env_clear()
        .env("DATA_DIR", data)
        .env("PORT", "0")
        .env("METRICS_PORT", "0")
        .env("FIX_PORT", "0")
        .env("BINARY_PORT", "0")
        .env("JOURNAL_SEGMENT_BYTES", "1048576")
        .env("MAX_ORDERS", "65536")
        .env("MAX_CLIENT_ORDER_IDS", "1048576")
        .env("MAKER_BOT", "false")
        .env("TRADING_DAY_START", day_start())
        .env(
            "LOG_LEVEL",
            std::env::var("VENUE_LOG_LEVEL").unwrap_or_else(|_| "warn".into()),
        )
        .envs(settings.iter().copied())
        .stdout(Stdio::piped())
        .stdin(Stdio::null());
}

/// Half a day away, so that no test sees a day roll that it did not ask for; the same for every
/// start of a test.
fn day_start() -> &'static str {
    static START: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    START.get_or_init(|| {
        let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let hour = since_1970.as_secs() / 3600 % 24;
        format!("{:02}:00", (hour + 12) % 24)
    })
}

pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    use std::io::{Read as _, Write as _};
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nHost: venue\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}
