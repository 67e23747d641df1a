//! Everything that can look at a venue, at once: PostgreSQL behind the projector, Redis, consoles with a
//! login each and both of their streams, a scraper, traced requests, a collector of spans, a DogStatsD
//! agent.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::http::Api;
use crate::support::postgres::{Database, Postgres};
use crate::support::redis::Redis;
use crate::support::server::{self, Server};

/// Consoles, each a user of their own that is logged in.
pub const CONSOLES: usize = 8;
/// A scrape of `/metrics` and a traced request.
pub const SCRAPE: Duration = Duration::from_millis(100);

/// What the venue writes to.
pub struct Services {
    database: Database,
    redis: Redis,
    collector: String,
    agent: UdpSocket,
}

impl Services {
    /// An empty database on a server that lasts, and all else new.
    pub fn new(postgres: &Arc<Postgres>) -> Self {
        let agent = UdpSocket::bind("127.0.0.1:0").expect("a port");
        Self {
            database: Database::on(Arc::clone(postgres)),
            redis: Redis::start(),
            collector: collector(),
            agent,
        }
    }

    /// The venue's settings for them.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let agent = self.agent.local_addr().expect("an address");
        vec![
            ("DATABASE_URL", self.database.url.clone()),
            ("REDIS_URL", self.redis.url.clone()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", self.collector.clone()),
            ("DOGSTATSD_ADDRESS", agent.to_string()),
        ]
    }
}

/// Takes what is sent to it and answers 200.
fn collector() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut bytes = [0; 64 << 10];
                while socket.read(&mut bytes).is_ok_and(|read| read > 0) {
                    let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                }
            });
        }
    });
    format!("http://{address}")
}

/// What was seen, so that a run in which somebody looked away is not taken for one in which all did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub stream_events: u64,
    pub scrapes: u64,
    pub rows: u64,
    pub redis_updates: u64,
}

/// Who looks, until told to stop.
pub struct Viewers {
    stop: Arc<AtomicBool>,
    sockets: Vec<TcpStream>,
    /// Events of each stream.
    events: Vec<Arc<AtomicU64>>,
    scrapes: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
    metrics: SocketAddr,
}

impl Viewers {
    /// Returns when every stream has begun.
    pub fn start(server: &Server) -> Self {
        let mut viewers = Self {
            stop: Arc::default(),
            sockets: Vec::new(),
            events: Vec::new(),
            scrapes: Arc::default(),
            threads: Vec::new(),
            metrics: server.metrics,
        };
        // A start takes its time; what is measured is everything at work.
        let up = ["trading_engine_projector_up 1", "trading_engine_redis_up 1"];
        while !up.iter().all(|line| viewers.scrape().contains(line)) {
            std::thread::park_timeout(SCRAPE / 10);
        }
        // A user has so and so many streams, and each of them follows two consoles.
        let users = ["viewer", "support", "risk", "operator"];
        for console in 0..CONSOLES {
            let api = Api::login(server, users[console % users.len()]);
            let token = api.token.expect("a login gives a token");
            // The two streams a console has open.
            for path in ["/stream?depth=1", "/stream?symbols=TEST-A&depth=20"] {
                viewers.follow(server.http, path, &token);
            }
        }
        let (told, counted) = (Arc::clone(&viewers.stop), Arc::clone(&viewers.scrapes));
        let (http, metrics) = (server.http, server.metrics);
        viewers.threads.push(std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                assert_eq!(server::get(metrics, "/metrics").0, 200);
                assert_eq!(server::get(http, "/book/TEST-A").0, 200);
                counted.fetch_add(1, Ordering::Relaxed);
                std::thread::park_timeout(SCRAPE);
            }
        }));
        viewers
    }

    fn scrape(&self) -> String {
        server::get(self.metrics, "/metrics").1
    }

    fn follow(&mut self, http: SocketAddr, path: &str, token: &str) {
        let mut socket = TcpStream::connect(http).expect("the venue's port");
        write!(
            socket,
            "GET /api/v1{path} HTTP/1.1\r\nHost: venue\r\nAccept: text/event-stream\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        )
        .expect("a request");
        let events: Arc<AtomicU64> = Arc::default();
        let counted = Arc::clone(&events);
        let mut lines = BufReader::new(socket.try_clone().expect("a socket"));
        let mut line = Vec::new();
        lines.read_until(b'\n', &mut line).expect("an answer");
        assert!(line.starts_with(b"HTTP/1.1 200"), "a stream was refused");
        self.sockets.push(socket);
        self.events.push(events);
        self.threads.push(std::thread::spawn(move || {
            loop {
                line.clear();
                if lines.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
                    return;
                }
                if line.starts_with(b"event:") {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
    }

    /// What of everything was written and seen; nothing may have been idle.
    pub fn stop(self) -> Seen {
        let metrics = self.scrape();
        self.stop.store(true, Ordering::Relaxed);
        for socket in &self.sockets {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
        for thread in self.threads {
            thread.thread().unpark();
            thread.join().expect("who looks got answers");
        }
        let value = |name: &str| -> u64 {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse().ok())
                .unwrap_or(0)
        };
        let counts: Vec<u64> = self
            .events
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        let seen = Seen {
            stream_events: counts.iter().sum(),
            scrapes: self.scrapes.load(Ordering::Relaxed),
            rows: value("trading_engine_projector_rows_total "),
            redis_updates: value("trading_engine_redis_updates_total "),
        };
        assert!(
            counts.iter().all(|count| *count > 0),
            "a stream was silent: {counts:?}"
        );
        assert!(
            seen.scrapes > 0 && seen.rows > 0 && seen.redis_updates > 0,
            "somebody looked away: {seen:?}"
        );
        seen
    }
}
