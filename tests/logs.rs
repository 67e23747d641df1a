//! What the venue writes to standard error: never a secret that it was given or shown, and never at the
//! cost of time when nobody reads it.

mod support;

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use support::server::{self, Server};
use support::talk::{BinaryTalk, FixTalk, PATIENCE};
use trading_engine::client::credentials::{Credentials, Secret};

/// What every secret that a setting is given has in it.
const GIVEN: &str = "hunter2";
const JWT_SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

/// Settings with a secret in each that may have one. Nobody listens where they point to.
fn secret_settings() -> Vec<(&'static str, &'static str)> {
    vec![
        ("DATABASE_URL", "postgres://te:hunter2@127.0.0.1:1/te"),
        ("REDIS_URL", "redis://te:hunter2@127.0.0.1:1/0"),
        ("JWT_SECRET", JWT_SECRET),
        ("SENTRY_DSN", "http://hunter2@127.0.0.1:1/1"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://te:hunter2@127.0.0.1:1",
        ),
        ("PPROF", "token"),
        ("PPROF_TOKEN", JWT_SECRET),
    ]
}

/// Every password and key of the file.
fn secrets_of(credentials: &Credentials) -> Vec<String> {
    let fix = credentials.fix.iter().map(|entry| entry.password.clone());
    let binary = credentials.binary.iter().map(|entry| match &entry.secret {
        Secret::Ed25519(key) | Secret::Hmac(key) => key.clone(),
    });
    fix.chain(binary).collect()
}

/// Logs on over both doors, rightly and wrongly, and asks the side ports for this and that.
fn visit(server: &Server, credentials: &Credentials) {
    let mut wrong = credentials.clone();
    for entry in &mut wrong.fix {
        entry.password = "hunter2-tried".into();
    }
    for entry in &mut wrong.binary {
        let (Secret::Ed25519(key) | Secret::Hmac(key)) = &mut entry.secret;
        *key = "ab".repeat(32);
    }
    let mut refused = FixTalk::connect(server.fix, &wrong.fix[0].comp_id);
    refused.logon(&wrong.fix[0], 30, true);
    refused.line.rest();
    // A password where none belongs, and a message that is cut off.
    let mut garbled = FixTalk::connect(server.fix, "hunter2-nobody");
    garbled.logon(&wrong.fix[1], 30, true);
    garbled.line.rest();
    let mut nonsense = support::talk::Line::connect(server.fix);
    nonsense.write(b"8=FIX.4.4\x019=40\x0135=A\x01554=hunter2\x0110=000\x01");
    let _ = nonsense.socket.shutdown(std::net::Shutdown::Write);
    nonsense.rest();
    for entry in wrong.binary.iter().take(3) {
        let mut refused = BinaryTalk::connect(server.binary);
        refused.logon(entry, 30_000, 0);
        refused.line.rest();
    }
    for path in [
        "/health?token=hunter2",
        "/hunter2",
        "/book/hunter2?access_token=hunter2",
    ] {
        server.get(path);
        server::get(server.metrics, path);
    }
    let mut socket = std::net::TcpStream::connect(server.http).unwrap();
    let request = "GET /api/v1/venue HTTP/1.1\r\nHost: venue\r\nAuthorization: Bearer hunter2\r\n\
                   Connection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).unwrap();
    socket.read_to_end(&mut Vec::new()).unwrap();

    let mut fix = FixTalk::logged_on(server.fix, &credentials.fix[0], 30);
    fix.order("F-1", "1", "1", "50");
    // Accepted, or a duplicate of the visit before.
    assert_eq!(fix.expect().kind(), "8");
    let mut binary = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 30_000);
    binary.send(&binary.order(1, 1, 1, 50));
    binary.expect();
}

#[test]
fn no_secret_that_the_venue_is_given_or_shown_gets_into_its_logs() {
    for format in ["json", "pretty"] {
        let data = tempfile::tempdir().unwrap();
        let log = data.path().join("log");
        let mut settings = secret_settings();
        settings.extend([("LOG_LEVEL", "trace"), ("LOG_FORMAT", format)]);
        let mut secrets = vec![GIVEN.to_owned(), "ab".repeat(32)];
        // The second start reads what the first one drew.
        for _ in 0..2 {
            let mut command = server::command(data.path(), &settings);
            command.stderr(
                File::options()
                    .append(true)
                    .create(true)
                    .open(&log)
                    .unwrap(),
            );
            let server = Server::wait(command, data.path());
            let credentials = server.credentials();
            visit(&server, &credentials);
            assert_eq!(server.terminate(), Some(0));
            secrets.extend(secrets_of(&credentials));
        }
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(
            text.contains("connection ends"),
            "it logs what happens: {text}"
        );
        none_of(&secrets, &text);
    }
}

fn none_of(secrets: &[String], text: &str) {
    for line in text.lines() {
        for secret in secrets {
            assert!(!line.contains(secret), "{secret} in: {line}");
        }
    }
}

#[test]
fn no_secret_gets_into_what_is_said_of_wrong_settings() {
    let data = tempfile::tempdir().unwrap();
    let told = |settings: &[(&str, &str)], arguments: &[&str]| {
        let mut command = server::command(data.path(), settings);
        command.args(arguments).stderr(std::process::Stdio::piped());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(64));
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    let all = secret_settings();
    let secrets = [GIVEN.to_owned()];
    for wrong in [
        ("PORT", "eighty"),
        ("DATABASE_URL", "mysql://te:hunter2@db/te"),
        ("DATABASE_URL", "postgres://te:12/hunter2@db/te"),
        ("REDIS_URL", "hunter2"),
        ("JWT_SECRET", "hunter2"),
        ("SENTRY_DSN", "hunter2@sentry"),
        ("PPROF_TOKEN", "hunter2"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://te:hun#hunter2@x"),
        ("JWT_PRIVATE_KEY", "hunter2"),
    ] {
        let mut settings = all.clone();
        settings.push(wrong);
        for arguments in [&[][..], &["--check-config"]] {
            let said = told(&settings, arguments);
            assert!(said.contains(wrong.0), "{said}");
            none_of(&secrets, &said);
        }
    }
    let file = data.path().join("venue.toml");
    for text in [
        "jwt_secret = hunter2",
        "jwt_secret = \"hunter2\nport = 1",
        "database_url = { password = 'hunter2' }",
        "jwt_secrets = 'hunter2'",
    ] {
        std::fs::write(&file, text).unwrap();
        let said = told(&[("CONFIG_FILE", file.to_str().unwrap())], &[]);
        assert!(said.contains("CONFIG_FILE"), "{said}");
        none_of(&secrets, &said);
    }
}

/// Standard error that nobody reads, and that is full already.
fn full_pipe() -> (PipeReader, PipeWriter) {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'\n'; 512]).is_ok() {}
    while writer.write(b"\n").is_ok() {}
    // The flag is the pipe's, not the descriptor's: the venue would have it too.
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

fn stalled(data: &Path, writer: PipeWriter) -> Command {
    let mut command = server::command(data, &[("LOG_LEVEL", "trace")]);
    command.stderr(writer);
    command
}

#[test]
fn a_log_that_nobody_reads_stops_neither_start_nor_trading_nor_stop() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_owned();
    let (reader, writer) = full_pipe();
    let command = stalled(&folder, writer);
    let (done, waiting) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let server = Server::wait(command, &folder);
        let credentials = server.credentials();
        visit(&server, &credentials);
        let begun = Instant::now();
        assert_eq!(server.terminate(), Some(0));
        done.send(begun.elapsed()).unwrap();
    });
    let took = waiting
        .recv_timeout(3 * PATIENCE)
        .expect("the venue waits for its log");
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(reader);
}
