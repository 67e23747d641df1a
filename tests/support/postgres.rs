//! A real PostgreSQL: the one that `TEST_DATABASE_URL` names, or a server of our own on a free port and in a
//! folder of its own, ended by its pid when the last test that uses it is done.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use trading_engine::store::url::DatabaseUrl;

const PATIENCE: Duration = Duration::from_secs(60);

/// A server, or the one of the environment.
pub struct Postgres {
    /// Up to the database's name.
    base: String,
    own: Option<Own>,
}

struct Own {
    folder: tempfile::TempDir,
    port: u16,
    settings: String,
    server: Mutex<Option<Child>>,
}

/// A database of a test, dropped with the server.
pub struct Database {
    pub server: Arc<Postgres>,
    pub url: String,
}

impl Database {
    /// An empty one on the server that this process's tests share.
    pub fn new() -> Self {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let server = {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            match shared.upgrade() {
                Some(server) => server,
                None => {
                    let server = Arc::new(Postgres::start());
                    *shared = Arc::downgrade(&server);
                    server
                }
            }
        };
        Self::on(server)
    }

    /// An empty one on a server that nobody else uses.
    pub fn on(server: Arc<Postgres>) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{count}", std::process::id());
        server.execute("postgres", &format!("DROP DATABASE IF EXISTS {name}"));
        server.execute("postgres", &format!("CREATE DATABASE {name}"));
        let url = format!("{}{name}", server.base);
        Self { server, url }
    }

    pub fn parsed(&self) -> DatabaseUrl {
        DatabaseUrl::parse(&self.url).unwrap()
    }
}

impl Postgres {
    /// A server of our own, unless the environment names one.
    pub fn start() -> Self {
        if let Ok(url) = std::env::var("TEST_DATABASE_URL") {
            let (base, _) = url
                .rsplit_once('/')
                .expect("TEST_DATABASE_URL names a database");
            return Self {
                base: format!("{base}/"),
                own: None,
            };
        }
        Self::start_own()
    }

    /// A server of our own in any case: one that may be killed.
    pub fn start_own() -> Self {
        // What is durable is the venue's journal; a crash of the server's processes loses nothing here.
        Self::own_with("fsync=off max_connections=50")
    }

    /// Likewise, with these settings, or those of `TEST_POSTGRES_SETTINGS`; or that of the environment.
    pub fn start_with(settings: &str) -> Self {
        match std::env::var_os("TEST_DATABASE_URL") {
            Some(_) => Self::start(),
            None => Self::own_with(settings),
        }
    }

    fn own_with(settings: &str) -> Self {
        let settings =
            std::env::var("TEST_POSTGRES_SETTINGS").unwrap_or_else(|_| settings.to_owned());
        let folder = tempfile::tempdir().unwrap();
        let user = user();
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let made = as_user(&bin("initdb"), user)
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(folder.path().join("data"))
            .stdout(Stdio::null())
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let port = super::ports::free();
        let server = Self {
            base: format!("postgres://postgres@127.0.0.1:{port}/"),
            own: Some(Own {
                folder,
                port,
                settings,
                server: Mutex::new(None),
            }),
        };
        server.up();
        server
    }

    /// Starts the server, and waits until it answers.
    pub fn up(&self) {
        let own = self.own.as_ref().expect("a server of our own");
        let folder = own.folder.path();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(folder.join("log"))
            .unwrap();
        let mut command = as_user(&bin("postgres"), user());
        command
            .arg("-D")
            .arg(folder.join("data"))
            .args(["-p", &own.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories="]);
        for setting in own.settings.split_whitespace() {
            command.args(["-c", setting]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        *own.server.lock().unwrap() = Some(child);
        let begun = Instant::now();
        while !self.answers() {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(
                begun.elapsed() < PATIENCE,
                "PostgreSQL does not answer: {log}"
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Ends the server: as an operator would, or like a crash.
    pub fn down(&self, crash: bool) {
        let own = self.own.as_ref().expect("a server of our own");
        let Some(mut child) = own.server.lock().unwrap().take() else {
            return;
        };
        // SIGQUIT is its immediate shutdown: no checkpoint, recovery at the next start. SIGKILL would leave
        // its children behind.
        let signal = if crash { Signal::QUIT } else { Signal::INT };
        let _ = kill_process(Pid::from_child(&child), signal);
        child.wait().unwrap();
    }

    /// What a server of our own said so far.
    pub fn log(&self) -> Option<String> {
        let log = self.own.as_ref()?.folder.path().join("log");
        Some(std::fs::read_to_string(log).unwrap())
    }

    /// Runs a statement that gives nothing back.
    pub fn execute(&self, database: &str, text: &str) {
        let url = format!("{}{database}", self.base);
        block_on(async {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            connection
                .execute(AssertSqlSafe(text.to_owned()))
                .await
                .unwrap();
            connection.close().await.unwrap();
        });
    }

    fn answers(&self) -> bool {
        let url = format!("{}postgres", self.base);
        block_on(async {
            match PgConnection::connect(&url).await {
                Ok(connection) => connection.close().await.is_ok(),
                Err(_) => false,
            }
        })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.own.is_some() {
            self.down(true);
        }
    }
}

/// Runs what asks a database.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Whom the server runs as: it refuses root.
fn user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("postgres:"));
    let line = line.expect("the package postgresql made its user");
    let mut fields = line.split(':').skip(2).map(|field| field.parse().unwrap());
    Some((fields.next().unwrap(), fields.next().unwrap()))
}

fn as_user(program: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
        // Its own group cannot look into the folder the tests are run from.
        command.current_dir("/");
    }
    command
}

/// A program of the newest PostgreSQL there is.
fn bin(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            Some((version, path.join("bin").join(name)))
        })
        .filter(|(_, path)| path.exists())
        .collect();
    found.sort();
    found.pop().map_or_else(|| name.into(), |(_, path)| path)
}
