//! Who gets into the admin API: logins, roles, every wrong token there is, and what strangers are told.

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use support::http::{Api, password, raw};
use support::postgres::{Database, Postgres};
use support::server::Server;
use support::talk::PATIENCE;

const SECRET: &str = "a secret of this test, 32 bytes and more";

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let word = three
            .iter()
            .fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - three.len()));
        for at in 0..=three.len() {
            let digit = word >> (18 - 6 * at) & 0x3F;
            out.push(char::from(alphabet[digit as usize]));
        }
    }
    out
}

const PLAIN: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn pem(kind: &str, der: &[u8]) -> String {
    let mut text = base64(der, PLAIN);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    format!("-----BEGIN {kind} KEY-----\n{text}\n-----END {kind} KEY-----\n")
}

/// A key pair as PEM: public, private.
fn key_pair(seed: u8) -> (String, String) {
    let key = SigningKey::from_bytes(&[seed; 32]);
    let private = [
        &[
            0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
        ][..],
        &[seed; 32],
    ]
    .concat();
    let public = [
        &[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0][..],
        key.verifying_key().as_bytes(),
    ]
    .concat();
    (pem("PUBLIC", &public), pem("PRIVATE", &private))
}

/// The `kid` of a token.
fn header_of(token: &str) -> Header {
    jsonwebtoken::decode_header(token).unwrap()
}

fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": "trading-engine", "aud": "trading-engine-admin", "sub": "viewer", "role": "viewer",
        "iat": now(), "nbf": now(), "exp": now() + 600, "auth_time": now(),
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn signed(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    encode(header, claims, key).unwrap()
}

#[test]
fn no_wrong_token_of_any_kind_gets_in() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[("JWT_SECRET", SECRET)]);
    let viewer = Api::login(&server, "viewer");
    let good = viewer.token.clone().unwrap();
    let header = header_of(&good);
    assert_eq!(header.alg, Algorithm::HS256);
    let key = EncodingKey::from_secret(SECRET.as_bytes()).unwrap();
    let get = |token: &str| viewer.with_token(token).get("/api/v1/venue").status;
    // What the venue would make itself is right, so each of the others is wrong for its own reason.
    assert_eq!(get(&signed(&header, &claims(json!({})), &key)), 200);
    assert_eq!(get(&good), 200);

    let with = |change: &dyn Fn(&mut Header)| {
        let mut header = header.clone();
        change(&mut header);
        header
    };
    let other = EncodingKey::from_secret(b"another secret, also of 32 bytes or more").unwrap();
    let (none, tampered, unsigned) = {
        let parts: Vec<&str> = good.split('.').collect();
        let none = base64(br#"{"alg":"none","typ":"JWT"}"#, URL);
        let payload = claims(json!({"role": "operator"})).to_string();
        let payload = base64(payload.as_bytes(), URL);
        (
            format!("{none}.{}.", parts[1]),
            format!("{}.{payload}.{}", parts[0], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
        )
    };
    let attacks: Vec<(&str, String)> = vec![
        ("none", none),
        ("tampered", tampered),
        ("unsigned", unsigned),
        ("empty", String::new()),
        ("no token", "x".into()),
        ("another key", signed(&header, &claims(json!({})), &other)),
        (
            "another algorithm",
            signed(
                &with(&|h| h.alg = Algorithm::HS512),
                &claims(json!({})),
                &key,
            ),
        ),
        (
            "unknown key id",
            signed(
                &with(&|h| h.kid = Some("x".into())),
                &claims(json!({})),
                &key,
            ),
        ),
        (
            "no key id",
            signed(&with(&|h| h.kid = None), &claims(json!({})), &key),
        ),
        (
            "expired",
            signed(
                &header,
                &claims(json!({"iat": now() - 700, "nbf": now() - 700, "exp": now() - 100})),
                &key,
            ),
        ),
        (
            "early",
            signed(&header, &claims(json!({"nbf": now() + 100})), &key),
        ),
        (
            "of the future",
            signed(&header, &claims(json!({"iat": now() + 100})), &key),
        ),
        (
            "lives too long",
            signed(&header, &claims(json!({"exp": now() + 1_000})), &key),
        ),
        (
            "lives for ever",
            signed(&header, &claims(json!({"exp": null})), &key),
        ),
        (
            "no start",
            signed(&header, &claims(json!({"nbf": null})), &key),
        ),
        (
            "another audience",
            signed(&header, &claims(json!({"aud": "somebody"})), &key),
        ),
        (
            "no audience",
            signed(&header, &claims(json!({"aud": null})), &key),
        ),
        (
            "another issuer",
            signed(&header, &claims(json!({"iss": "somebody"})), &key),
        ),
        (
            "no issuer",
            signed(&header, &claims(json!({"iss": null})), &key),
        ),
        (
            "no role",
            signed(&header, &claims(json!({"role": null})), &key),
        ),
        (
            "unknown role",
            signed(&header, &claims(json!({"role": "root"})), &key),
        ),
        (
            "nobody",
            signed(&header, &claims(json!({"sub": null})), &key),
        ),
        (
            "no name",
            signed(&header, &claims(json!({"sub": "a b"})), &key),
        ),
    ];
    for (what, token) in attacks {
        let answer = viewer.with_token(&token).get("/api/v1/venue");
        let problem = answer.problem(401);
        assert!(answer.header("www-authenticate").is_some(), "{what}");
        // What is wrong with it is nobody's business.
        assert_eq!(
            problem["detail"], "a valid bearer token is needed",
            "{what}"
        );
    }
    // Only as a header, once, with its scheme.
    let stranger = Api::stranger(server.http);
    let none = stranger.get(&format!("/api/v1/venue?access_token={good}"));
    none.problem(401);
    let headers = [
        format!("Authorization: {good}\r\n"),
        format!("Authorization: Basic {good}\r\n"),
        format!("Authorization: Bearer {good}\r\nAuthorization: Bearer {good}\r\n"),
    ];
    for headers in headers {
        let answer = stranger.send_with("GET", "/api/v1/venue", None, &headers);
        answer.problem(401);
    }
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_venue_with_a_key_pair_takes_no_token_that_its_public_key_signed_as_a_secret() {
    let data = tempfile::tempdir().unwrap();
    let (public, private) = key_pair(7);
    let [public_file, private_file] =
        [("public.pem", &public), ("private.pem", &private)].map(|(name, text)| {
            let path = data.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        });
    let settings = [
        ("JWT_PUBLIC_KEY_FILE", public_file.as_str()),
        ("JWT_PRIVATE_KEY_FILE", private_file.as_str()),
    ];
    let server = Server::start(&data.path().join("d"), &settings);
    let viewer = Api::login(&server, "viewer");
    let header = header_of(viewer.token.as_ref().unwrap());
    assert_eq!(header.alg, Algorithm::EdDSA);
    viewer.get("/api/v1/venue").ok();
    let key = EncodingKey::from_ed_pem(private.as_bytes()).unwrap();
    let get = |token: &str| viewer.with_token(token).get("/api/v1/venue").status;
    assert_eq!(get(&signed(&header, &claims(json!({})), &key)), 200);

    let confused = Header {
        alg: Algorithm::HS256,
        ..header.clone()
    };
    let secrets = [
        public.as_bytes().to_vec(),
        public.trim().as_bytes().to_vec(),
    ];
    for secret in secrets {
        let secret = EncodingKey::from_secret(&secret).unwrap();
        assert_eq!(get(&signed(&confused, &claims(json!({})), &secret)), 401);
    }
    let (_, another) = key_pair(8);
    let another = EncodingKey::from_ed_pem(another.as_bytes()).unwrap();
    assert_eq!(get(&signed(&header, &claims(json!({})), &another)), 401);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn each_role_may_do_what_is_its_own_and_nothing_above() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let users = ["viewer", "support", "risk", "operator"].map(|name| Api::login(&server, name));
    // The least role, and something of it that does nothing but answer.
    let session = json!({"firm": 1, "protocol": "fix", "name": "X"});
    let asked: Vec<(usize, &str, &str, Option<Value>)> = vec![
        (0, "GET", "/api/v1/sessions", None),
        (0, "GET", "/api/v1/audit", None),
        (1, "POST", "/api/v1/sessions/999/disconnect", None),
        (1, "POST", "/api/v1/sessions/999/cancel-orders", None),
        (2, "POST", "/api/v1/instruments/NOTHING/halt", None),
        (
            2,
            "POST",
            "/api/v1/kill-switch",
            Some(json!({"scope": "session", "target": "999"})),
        ),
        (0, "GET", "/api/v1/firms/999/accounts", None),
        (
            3,
            "PUT",
            "/api/v1/firms/999/accounts/1",
            Some(json!({"enabled": true})),
        ),
        (3, "GET", "/api/v1/users", None),
        (3, "POST", "/api/v1/trades/999/bust", None),
        (3, "POST", "/api/v1/sessions/999/keys", None),
        // Whoever may is told what is wrong with it, or that it is nothing new.
        (2, "PUT", "/api/v1/limits", Some(json!({"firm": 999}))),
        (
            2,
            "POST",
            "/api/v1/phases",
            Some(json!({"phase": "no phase"})),
        ),
        (2, "POST", "/api/v1/instruments/NOTHING/resume", None),
        (
            3,
            "PUT",
            "/api/v1/instruments/TEST-A",
            Some(json!({"tick": "1"})),
        ),
        (
            3,
            "PUT",
            "/api/v1/firms/1",
            Some(json!({"name": "another"})),
        ),
        (3, "PUT", "/api/v1/sessions/1", Some(session)),
        (
            3,
            "PUT",
            "/api/v1/tick-tables/1",
            Some(json!({"steps": []})),
        ),
        (
            3,
            "PUT",
            "/api/v1/users/nobody",
            Some(json!({"role": "viewer"})),
        ),
        (
            2,
            "POST",
            "/api/v1/instruments/NOTHING/reference",
            Some(json!({"price": "1"})),
        ),
        (
            2,
            "POST",
            "/api/v1/instruments/NOTHING/phase",
            Some(json!({"phase": "continuous"})),
        ),
        (
            3,
            "POST",
            "/api/v1/day-roll",
            Some(json!({"trading_day": 20_269_999})),
        ),
        (
            3,
            "POST",
            "/api/v1/trades/999/correct",
            Some(json!({"price": "1"})),
        ),
    ];
    for (least, method, path, body) in &asked {
        let least = *least;
        for (role, user) in users.iter().enumerate() {
            let answer = user.send(method, path, body.as_ref());
            if role < least {
                answer.problem(403);
            } else {
                let is_asked = matches!(answer.status, 200 | 404 | 409 | 422);
                assert!(is_asked, "{path}: {answer:?}");
            }
        }
    }
    // Nothing that changes something is left out.
    let document = users[0].get("/api/v1/openapi.json").ok();
    let matches = |template: &str, path: &str| {
        let (template, path) = (template.split('/'), path.split('/'));
        template.clone().count() == path.clone().count()
            && template
                .zip(path)
                .all(|(part, of)| part == of || part.starts_with('{'))
    };
    for (template, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let is_free = matches!(&**template, "/api/v1/login" | "/api/v1/token/refresh");
            let is_asked = asked.iter().any(|(_, asked, path, _)| {
                asked.eq_ignore_ascii_case(method) && matches(template, path)
            });
            assert!(
                method == "get" || is_free || is_asked,
                "{method} {template}"
            );
        }
    }
    Api::stranger(server.http).get("/api/v1/users").problem(401);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn logins_fail_alike_and_too_many_of_them_lock() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let operator = Api::login(&server, "operator");
    let stranger = Api::stranger(server.http);
    let login = |name: &str, password: &str| {
        let body = json!({"username": name, "password": password});
        stranger.post("/api/v1/login", &body)
    };
    let right = password(&server.credentials(), "risk");
    let wrong = login("risk", "not the password").problem(401);
    assert_eq!(login("nobody", "not the password").problem(401), wrong);
    operator
        .put(
            "/api/v1/users/gone",
            &json!({"role": "viewer", "password": "long enough, is it", "disabled": true}),
        )
        .ok();
    assert_eq!(login("gone", "long enough, is it").problem(401), wrong);
    // A right one forgets the failures before.
    login("risk", &right).ok();
    for _ in 0..5 {
        login("risk", "not the password").problem(401);
    }
    let locked = login("risk", &right);
    locked.problem(429);
    assert!(locked.header("retry-after").is_some());
    login("viewer", &password(&server.credentials(), "viewer")).ok();

    // A refreshed token is as good; somebody disabled gets none.
    let made = operator.put(
        "/api/v1/users/temp",
        &json!({"role": "risk", "password": "long enough, is it"}),
    );
    assert_eq!(made.ok()["role"], "risk");
    let token = login("temp", "long enough, is it").ok()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let temp = stranger.with_token(&token);
    let again = temp.ask("/api/v1/token/refresh").ok();
    assert_eq!(again["role"], "risk");
    temp.with_token(again["token"].as_str().unwrap())
        .get("/api/v1/venue")
        .ok();
    // Another role is in the next token; after another password there is none without it.
    operator
        .put("/api/v1/users/temp", &json!({"role": "viewer"}))
        .ok();
    assert_eq!(temp.ask("/api/v1/token/refresh").ok()["role"], "viewer");
    operator
        .put(
            "/api/v1/users/temp",
            &json!({"role": "viewer", "password": "another one, as long"}),
        )
        .ok();
    temp.ask("/api/v1/token/refresh").problem(401);
    let token = login("temp", "another one, as long").ok()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let temp = stranger.with_token(&token);
    temp.ask("/api/v1/token/refresh").ok();
    operator
        .put(
            "/api/v1/users/temp",
            &json!({"role": "viewer", "disabled": true}),
        )
        .ok();
    temp.ask("/api/v1/token/refresh").problem(401);
    // Who changes users cannot shut themselves out.
    operator
        .put("/api/v1/users/operator", &json!({"role": "viewer"}))
        .problem(409);
    let listed = operator.get("/api/v1/users").ok();
    assert!(!listed.to_string().contains("argon2"), "{listed}");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn people_log_in_and_stop_trading_while_the_database_is_down() {
    let postgres = Arc::new(Postgres::start_own());
    let database = Database::on(Arc::clone(&postgres));
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[("DATABASE_URL", &database.url)]);
    let operator = Api::login(&server, "operator");
    let stranger = Api::stranger(server.http);
    let login = |name: &str, password: &str| {
        let body = json!({"username": name, "password": password});
        stranger.post("/api/v1/login", &body)
    };
    let token_of = |answer: Value| answer["token"].as_str().unwrap().to_owned();
    let new = json!({"role": "risk", "password": "long enough, is it"});
    operator.put("/api/v1/users/late", &new).ok();
    operator.get("/api/v1/users").ok();

    postgres.down(false);
    let risk = password(&server.credentials(), "risk");
    let token = token_of(login("risk", &risk).ok());
    let risk = stranger.with_token(&token);
    let again = token_of(risk.ask("/api/v1/token/refresh").ok());
    let kill = json!({"scope": "venue", "release": false});
    let killed = risk.with_token(&again).post("/api/v1/kill-switch", &kill);
    killed.ok();
    let late = stranger.with_token(&token_of(login("late", "long enough, is it").ok()));
    login("late", "not the password").problem(401);
    login("nobody", "not the password").problem(401);
    // What changes users needs their database, and says so.
    let down = operator.put("/api/v1/users/late", &json!({"role": "viewer"}));
    let detail = down.problem(503)["detail"].to_string();
    assert!(
        detail.contains("users are kept in the database"),
        "{detail}"
    );
    assert!(down.header("retry-after").is_some());
    operator.get("/api/v1/users").problem(503);
    let (status, health) = server.get("/health/db");
    assert_eq!(status, 503);
    assert!(health.contains("logins use the users of"), "{health}");
    let shown = support::server::get(server.metrics, "/metrics").1;
    let count = shown
        .lines()
        .find_map(|line| line.strip_prefix("trading_engine_users_from_copy_total "));
    assert!(count.unwrap().parse::<u64>().unwrap() >= 5, "{count:?}");

    // And back: a change holds at once for a token that is out.
    postgres.up();
    let halt = "/api/v1/instruments/NOTHING/halt";
    late.ask(halt).problem(404);
    let change = json!({"role": "viewer"});
    let begun = Instant::now();
    while operator.put("/api/v1/users/late", &change).status == 503 {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(50));
    }
    late.ask(halt).problem(403);
    late.get("/api/v1/venue").ok();
    // What SQL itself changed holds soon.
    let (_, name) = database.url.rsplit_once('/').unwrap();
    postgres.execute(name, "UPDATE users SET disabled = 1 WHERE name = 'late'");
    let begun = Instant::now();
    while late.get("/api/v1/venue").status != 401 {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_token_may_do_no_more_than_its_user_by_now() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let operator = Api::login(&server, "operator");
    let stranger = Api::stranger(server.http);
    let login = |password: &str| {
        let body = json!({"username": "temp", "password": password});
        let token = stranger.post("/api/v1/login", &body).ok()["token"].clone();
        stranger.with_token(token.as_str().unwrap())
    };
    let change = |change: Value| operator.put("/api/v1/users/temp", &change).ok();
    let halt = "/api/v1/instruments/NOTHING/halt";
    change(json!({"role": "risk", "password": "long enough, is it"}));
    let temp = login("long enough, is it");
    temp.ask(halt).problem(404);
    change(json!({"role": "viewer"}));
    temp.ask(halt).problem(403);
    temp.get("/api/v1/venue").ok();
    // More than the token says is in the next token.
    change(json!({"role": "operator"}));
    temp.get("/api/v1/users").problem(403);
    temp.ask(halt).problem(404);
    change(json!({"role": "risk", "password": "another one, as long"}));
    temp.get("/api/v1/venue").problem(401);
    let temp = login("another one, as long");
    temp.get("/api/v1/venue").ok();
    // Also one who follows the stream sees its end.
    let mut stream = temp.open("/api/v1/stream");
    change(json!({"role": "risk", "disabled": true}));
    temp.get("/api/v1/venue").problem(401);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(server.terminate(), Some(0));
}

/// A change is noted before it is done: whoever leaves in between must not leave a note of what was not done.
#[test]
fn a_user_is_what_the_audit_says_whether_or_not_somebody_waited_for_the_answer() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let operator = Api::login(&server, "operator");
    let new = json!({"role": "viewer", "password": "long enough, is it"});
    operator.put("/api/v1/users/temp", &new).ok();
    let role = || {
        let users = operator.get("/api/v1/users").ok();
        let mut users = users["items"].as_array().unwrap().iter();
        users.find(|user| user["name"] == "temp").unwrap()["role"].clone()
    };
    let noted = || {
        let audit = operator
            .get("/api/v1/audit?action=UserChanged&limit=9")
            .ok();
        let rows = audit["items"].as_array().unwrap().clone();
        let newest = rows.iter().find_map(|row| {
            let detail = row["detail"].as_str()?;
            detail.strip_prefix("temp: ").map(str::to_owned)
        });
        newest.unwrap_or_default()
    };
    let mut changed = 0;
    for round in 0..40_u64 {
        let before = role();
        let change = match round % 2 {
            0 => r#"{"role": "risk"}"#,
            _ => r#"{"role": "viewer"}"#,
        };
        let request = format!(
            "PUT /api/v1/users/temp HTTP/1.1\r\nHost: venue\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{change}",
            operator.token.as_ref().unwrap(),
            change.len()
        );
        let mut socket = TcpStream::connect(server.http).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_micros(250 * (round % 16)));
        drop(socket);
        // Edits are one after the other: this one is behind it, or it is not read yet.
        let other = json!({"role": "viewer", "password": "long enough, is it"});
        operator.put("/api/v1/users/other", &other).ok();
        let until = Instant::now() + PATIENCE;
        while noted() != role().as_str().unwrap() {
            assert!(
                Instant::now() < until,
                "round {round}: noted {:?}, is {}",
                noted(),
                role()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        changed += u64::from(role() != before);
    }
    assert!(changed > 5, "only {changed} of 40 were read");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_change_of_a_user_that_the_database_refuses_is_noted_as_failed() {
    let database = Database::new();
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[("DATABASE_URL", &database.url)]);
    let operator = Api::login(&server, "operator");
    let new = json!({"role": "viewer", "password": "long enough, is it"});
    operator.put("/api/v1/users/temp", &new).ok();
    let (_, name) = database.url.rsplit_once('/').unwrap();
    let refuse = "ALTER TABLE users ADD CONSTRAINT as_is CHECK (name <> 'temp') NOT VALID";
    database.server.execute(name, refuse);
    let risk = json!({"role": "risk"});
    operator.put("/api/v1/users/temp", &risk).problem(503);
    let until = Instant::now() + PATIENCE;
    let details = loop {
        let audit = operator.get("/api/v1/audit?action=UserChanged").ok();
        let rows = audit["items"].as_array().unwrap().clone();
        let details: Vec<String> = (rows.iter())
            .map(|row| row["detail"].as_str().unwrap_or_default().to_owned())
            .collect();
        if details.len() >= 3 {
            break details;
        }
        assert!(Instant::now() < until, "{details:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let expected = [
        "temp: risk; the database failed at it",
        "temp: risk",
        "temp: viewer",
    ];
    assert_eq!(details, expected);
    let users = operator.get("/api/v1/users").ok().to_string();
    assert!(
        users.contains(r#""name":"temp","role":"viewer""#),
        "{users}"
    );
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn behind_a_trusted_proxy_a_login_is_locked_for_who_failed() {
    let data = tempfile::tempdir().unwrap();
    let wrong = json!({"username": "risk", "password": "not the password"});
    let from = |server: &Server, client: &str, body: &Value| {
        let header = format!("X-Forwarded-For: 1.1.1.1, {client}\r\n");
        Api::stranger(server.http).send_with("POST", "/api/v1/login", Some(body), &header)
    };
    let server = Server::start(data.path(), &[("TRUSTED_PROXIES", "127.0.0.0/8")]);
    let operator = Api::login(&server, "operator");
    let right = password(&server.credentials(), "risk");
    let right = json!({"username": "risk", "password": right});
    for _ in 0..5 {
        from(&server, "203.0.113.9", &wrong).problem(401);
    }
    from(&server, "203.0.113.9", &right).problem(429);
    from(&server, "203.0.113.10", &right).ok();
    // The audit has the client, too.
    let header = "X-Forwarded-For: 203.0.113.77\r\n";
    let halt = "/api/v1/instruments/TEST-A/halt";
    operator.send_with("POST", halt, None, header).ok();
    let begun = Instant::now();
    loop {
        let audit = operator.get("/api/v1/audit").ok();
        if audit["items"][0]["address"] == "203.0.113.77" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{audit}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.terminate(), Some(0));
    // Without the setting the header is what anybody can write.
    let server = Server::start(data.path(), &[]);
    Api::login(&server, "operator");
    for client in 0..5 {
        from(&server, &format!("203.0.113.{client}"), &wrong).problem(401);
    }
    from(&server, "203.0.113.99", &right).problem(429);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn one_user_does_not_take_all_streams() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let viewer = Api::login(&server, "viewer");
    let operator = Api::login(&server, "operator");
    let begins = |user: &Api| {
        let mut stream = user.open("/api/v1/stream?depth=1");
        let mut begin = [0; 15];
        stream.read_exact(&mut begin).unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200 OK");
        stream
    };
    let mut streams: Vec<_> = (0..8).map(|_| begins(&viewer)).collect();
    let refused = viewer.get("/api/v1/stream");
    refused.problem(429);
    assert!(refused.header("retry-after").is_some());
    streams.push(begins(&operator));
    let open = "trading_engine_http_streams 9\n";
    assert!(
        support::server::get(server.metrics, "/metrics")
            .1
            .contains(open)
    );
    // The place of one that ended is free.
    drop(streams.remove(0));
    let begun = Instant::now();
    loop {
        let mut stream = viewer.open("/api/v1/stream");
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).unwrap();
        if &begin == b"HTTP/1.1 200" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(streams);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn whatever_is_wrong_is_a_problem_and_every_answer_has_its_headers() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[("API_RATE_LIMIT", "200")]);
    let operator = Api::login(&server, "operator");
    operator.get("/api/v1/nothing").problem(404);
    operator.get("/nothing").problem(404);
    operator.get("/api/v1/instruments/NOTHING").problem(404);
    operator.get("/api/v1/firms/x").problem(404);
    let answer = operator.send("DELETE", "/api/v1/firms/1", None);
    answer.problem(405);
    assert!(answer.header("allow").is_some(), "{answer:?}");
    operator.get("/api/v1/instruments?limit=0").problem(400);
    operator.get("/api/v1/instruments?limit=x").problem(400);
    operator.get("/api/v1/instruments?cursor=x").problem(400);
    operator.get("/api/v1/instruments?what=1").problem(400);
    operator.get("/api/v1/orders?cursor=1.2.3").problem(400);
    operator.get("/api/v1/orders?since=yesterday").problem(400);
    operator
        .put("/api/v1/firms/9", &json!({"name": "X", "more": 1}))
        .problem(422);
    operator.put("/api/v1/firms/9", &json!({})).problem(422);
    operator
        .put("/api/v1/firms/9", &json!({"name": "a b"}))
        .problem(422);
    // A list is no object, even where all fields may be left out.
    operator
        .post("/api/v1/sessions/4/keys", &json!([null, null]))
        .problem(422);
    let nested = json!({"firm": 1, "duplicates": [5, 1000]});
    let problem = operator.put("/api/v1/limits", &nested).problem(422);
    assert_eq!(problem["detail"], "duplicates: an object is expected");
    let nested = json!({"steps": [{"from": 0, "tick": 5}, [10, 10]]});
    let problem = operator.put("/api/v1/tick-tables/3", &nested).problem(422);
    assert_eq!(problem["detail"], "steps[1]: an object is expected");
    let token = operator.token.clone().unwrap();
    let put = |kind: &str, body: &str| {
        let request = format!(
            "PUT /api/v1/firms/9 HTTP/1.1\r\nHost: v\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        raw(server.http, request.as_bytes())
    };
    put("Content-Type: application/json\r\n", "{").problem(400);
    put("", "{\"name\": \"X\"}").problem(415);
    put("Content-Type: text/plain\r\n", "{\"name\": \"X\"}").problem(415);
    put("Content-Type: application/json\r\n", &" ".repeat(70_000)).problem(413);

    let id = "0123e567-e89b-42d3-a456-426614174000";
    let answer = operator.send_with(
        "GET",
        "/api/v1/venue",
        None,
        &format!("X-Request-Id: {id}\r\n"),
    );
    assert_eq!(answer.header("x-request-id"), Some(id));
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'"));
    let odd = operator.send_with("GET", "/api/v1/venue", None, "X-Request-Id: a b c\r\n");
    assert_ne!(odd.header("x-request-id"), Some("a b c"));

    let document = Api::stranger(server.http).get("/api/v1/openapi.json").ok();
    assert!(document["paths"]["/api/v1/kill-switch"]["post"].is_object());
    // What needs no token is there too, and says so.
    for (path, asked) in [
        ("/book/{symbol}", "/book/TEST-A"),
        ("/instruments", "/instruments"),
    ] {
        let described = &document["paths"][path]["get"];
        assert!(described.is_object() && described.get("security").is_none());
        assert!(described["responses"].get("401").is_none(), "{described}");
        Api::stranger(server.http).get(asked).ok();
    }
    let page = Api::stranger(server.http).get("/docs");
    assert_eq!(page.status, 200);
    assert!(
        !page.body.contains("http://") && !page.body.contains("https://"),
        "{page:?}"
    );

    // At last: too many.
    let mut answer = operator.get("/api/v1/venue");
    for _ in 0..300 {
        if answer.status != 200 {
            break;
        }
        answer = operator.get("/api/v1/venue");
    }
    answer.problem(429);
    assert!(answer.header("retry-after").is_some());
    let metrics = support::server::get(server.metrics, "/metrics").1;
    let line =
        "trading_engine_http_requests_total{method=\"GET\",route=\"/api/v1/venue\",status=\"2xx\"}";
    assert!(metrics.contains(line), "{metrics}");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_text_with_a_nul_character_is_wrong_by_name() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let operator = Api::login(&server, "operator");
    for (path, status, named) in [
        ("/api/v1/audit?limit=3&actor=a%00b", 400, "actor"),
        ("/api/v1/orders?instrument=%00", 400, "instrument"),
        ("/api/v1/instruments/A%00", 422, "the path"),
    ] {
        let problem = operator.get(path).problem(status);
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(detail, format!("{named} has a NUL character"));
    }
    // The characters themselves are fine.
    operator.get("/api/v1/audit?actor=a%2500b").ok();
    let login = json!({"username": "a\0b", "password": "whatever it is"});
    let problem = Api::stranger(server.http)
        .post("/api/v1/login", &login)
        .problem(422);
    assert_eq!(problem["detail"], "username has a NUL character");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn nobody_else_may_read_what_is_in_the_data_folder() {
    use std::os::unix::fs::PermissionsExt as _;
    let above = tempfile::tempdir().unwrap();
    let data = above.path().join("venue");
    let server = Server::start(&data, &[]);
    Api::login(&server, "operator");
    assert_eq!(server.terminate(), Some(0));
    let others = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o077;
    assert_eq!(others(&data), 0);
    // Nor with the folder open to a group, say.
    let mut left = vec![data];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let inside = std::fs::read_dir(&path).unwrap();
            left.extend(inside.map(|entry| entry.unwrap().path()));
        } else {
            assert_eq!(others(&path), 0, "{}", path.display());
        }
    }
}
