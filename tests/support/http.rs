//! A client of the venue's HTTP port that says exactly what it is told.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::{Value, json};
use trading_engine::client::credentials::Credentials;

use super::server::Server;
use super::talk::PATIENCE;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of a success.
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// A problem of this status, as problems have to be.
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string());
        problem
    }
}

/// Bytes of a request as they are, and what comes back until the venue closes.
pub fn raw(address: SocketAddr, request: &[u8]) -> Answer {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(request).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    Answer {
        status: head[9..12].parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// A user of the admin API.
#[derive(Clone, Debug)]
pub struct Api {
    pub address: SocketAddr,
    pub token: Option<String>,
}

impl Api {
    /// Nobody yet.
    pub fn stranger(address: SocketAddr) -> Self {
        Self {
            address,
            token: None,
        }
    }

    /// A demo user, logged in. Users get into the database a moment after the venue is ready.
    pub fn login(server: &Server, name: &str) -> Self {
        let credentials = server.credentials();
        let password = password(&credentials, name);
        let stranger = Self::stranger(server.http);
        let body = json!({"username": name, "password": password});
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = stranger.send("POST", "/api/v1/login", Some(&body));
            if answer.status == 200 {
                let token = answer.json()["token"].as_str().unwrap().to_owned();
                return Self {
                    token: Some(token),
                    ..stranger
                };
            }
            assert!(Instant::now() < until, "{answer:?}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    /// Somebody with this token.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// A connection on which something was asked for that goes on, an event stream: it can be read from.
    pub fn open(&self, path: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let token = self.token.as_ref().unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: venue\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).unwrap();
        socket
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None)
    }

    /// What is there once it is as it should be: history follows at a distance.
    pub fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let value = self.get(path).ok();
            if is_so(&value) {
                return value;
            }
            assert!(Instant::now() < until, "{path}: {value}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(body))
    }

    /// Without a body.
    pub fn ask(&self, path: &str) -> Answer {
        self.send("POST", path, None)
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, Some(body))
    }

    pub fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.send_with(method, path, body, "")
    }

    /// Likewise, with more header lines.
    pub fn send_with(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &str,
    ) -> Answer {
        let token = self.token.as_ref().map_or_else(String::new, |token| {
            format!("Authorization: Bearer {token}\r\n")
        });
        let (kind, body) = match body {
            None => ("", String::new()),
            Some(body) => ("Content-Type: application/json\r\n", body.to_string()),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: venue\r\nConnection: close\r\n{token}{kind}{headers}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        raw(self.address, request.as_bytes())
    }
}

pub fn password(credentials: &Credentials, name: &str) -> String {
    let found = credentials.console.iter().find(|one| one.name == name);
    found.expect("a demo user").password.clone()
}
