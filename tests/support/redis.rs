//! A real Redis: the one that `TEST_REDIS_URL` names, or a server of our own on a free port, ended by its pid.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server, or the one of the environment.
pub struct Redis {
    pub url: String,
    own: Option<Own>,
}

struct Own {
    folder: tempfile::TempDir,
    port: u16,
    server: Mutex<Option<Child>>,
}

impl Redis {
    /// A server of our own, unless the environment names one.
    pub fn start() -> Self {
        match std::env::var("TEST_REDIS_URL") {
            Ok(url) => Self { url, own: None },
            Err(_) => Self::start_own(),
        }
    }

    /// A server of our own in any case: one that may be ended.
    pub fn start_own() -> Self {
        let port = super::ports::free();
        let server = Self {
            url: format!("redis://127.0.0.1:{port}"),
            own: Some(Own {
                folder: tempfile::tempdir().unwrap(),
                port,
                server: Mutex::new(None),
            }),
        };
        server.up();
        server
    }

    /// Starts the server, empty, and waits until it takes connections.
    pub fn up(&self) {
        let own = self.own.as_ref().expect("a server of our own");
        let child = Command::new("redis-server")
            .args(["--port", &own.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(own.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        *own.server.lock().unwrap() = Some(child);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", own.port)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "Redis does not answer");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Ends the server at once; what it knew is gone.
    pub fn down(&self) {
        let own = self.own.as_ref().expect("a server of our own");
        if let Some(mut child) = own.server.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if self.own.is_some() {
            self.down();
        }
    }
}
