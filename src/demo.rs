//! The venue of a first start: five instruments, two demo firms and their sessions, as commands.
//!
//! Keys and passwords are drawn at random once, printed, and kept in the data folder beside the
//! journal; a log that defines demo firms is refused in production.

use std::io;

use trading_engine_protocol::types::{
    FirmId, InstrumentId, Price, Quantity, SessionId, SessionProtocol, UtcNanos,
};

use crate::client::credentials::{BinaryCredentials, Credentials, FixCredentials, Secret};
use crate::engine::command::{
    Command, DefineFirm, DefineInstrument, DefineSession, Genesis, name, name_text,
};
use crate::gateway::keystore::{Keystore, KeystoreError, decode_hex, encode_hex};

/// Firms whose name starts so are demo firms.
pub const FIRM_PREFIX: &str = "DEMO-";
/// Key id of the maker bot's session.
pub const MAKER_KEY_ID: &str = "maker-1";
/// Sessions for load generation, per protocol.
pub const LOAD_SESSIONS: u32 = 16;

/// Whether a firm is a demo firm.
pub fn is_demo(firm: &DefineFirm) -> bool {
    name_text(&firm.name).starts_with(FIRM_PREFIX)
}

/// What a first start brings: commands for the log, secrets for the keystore, credentials to
/// print.
pub struct Demo {
    /// Whole commands, in order.
    pub commands: Vec<Vec<u8>>,
    /// The secrets.
    pub keystore: Keystore,
    /// What clients need to log on.
    pub credentials: Credentials,
}

fn draw() -> io::Result<[u8; 32]> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// The first command of every log: its identity and the key of its id table.
///
/// # Errors
/// When the system has no randomness.
pub fn genesis(created_at: UtcNanos) -> io::Result<Command<Genesis>> {
    let bytes = draw()?;
    let word = |at: usize| {
        bytes[at..at + 8]
            .iter()
            .fold(0u64, |word, &byte| word << 8 | u64::from(byte))
            .max(1)
    };
    Ok(Command::new(Genesis {
        hash_key: word(0),
        log_id: word(8),
        created_at,
    }))
}

/// Symbol, decimals shown, price unit and lot size (10^-8 mantissas), tick (units), lowest and
/// highest price (units), largest order (lots), protection (ticks).
type Row = (&'static str, u8, i64, i64, u64, i64, i64, u64, u64);

const INSTRUMENTS: [Row; 5] = [
    (
        "ACME",
        2,
        1_000_000,
        100_000_000,
        1,
        1,
        200_000,
        1_000_000,
        100,
    ),
    (
        "EURUSD",
        5,
        1_000,
        100_000_000_000,
        1,
        50_000,
        200_000,
        100_000,
        200,
    ),
    (
        "BTCUSD", 1, 50_000_000, 10_000, 1, 2, 250_000, 10_000_000, 1_000,
    ),
    ("OIL", 2, 1_000_000, 100_000_000, 1, 1, 50_000, 100_000, 100),
    (
        "TEST-A",
        2,
        1_000_000,
        100_000_000,
        1,
        1,
        262_144,
        100_000_000,
        5_000,
    ),
];

/// Reference prices, in price units, that the maker bot starts from (not for `TEST-A`).
pub const MAKER_PRICES: [(&str, i64); 4] = [
    ("ACME", 10_000),
    ("EURUSD", 110_000),
    ("BTCUSD", 130_000),
    ("OIL", 7_500),
];

/// Draws the demo world.
///
/// # Errors
/// No randomness, or no password hash.
pub fn demo() -> Result<Demo, KeystoreError> {
    let mut keystore = Keystore::default();
    let mut credentials = Credentials::default();
    let random = || draw().map_err(|error| KeystoreError::Io("randomness".into(), error));
    let mut fix = vec![(1, "ALPHA1".to_owned()), (3, "BETA1".to_owned())];
    let mut binary = vec![
        (2, "alpha-1".to_owned(), true),
        (4, "beta-1".to_owned(), false),
        (5, MAKER_KEY_ID.to_owned(), true),
    ];
    for number in 1..=LOAD_SESSIONS {
        fix.push((100 + number, format!("LOAD{number:02}")));
        binary.push((200 + number, format!("load-{number:02}"), true));
    }
    for (session, comp_id) in fix {
        let password = encode_hex(&random()?[..12]);
        let username = comp_id.to_ascii_lowercase();
        keystore.add_password(&comp_id, &username, &password)?;
        credentials.fix.push(FixCredentials {
            session,
            comp_id,
            username,
            password,
        });
    }
    for (session, key_id, signs) in binary {
        let secret = random()?;
        let secret = if signs {
            Secret::Ed25519(encode_hex(&secret))
        } else {
            keystore.add_hmac(&key_id, secret);
            Secret::Hmac(encode_hex(&secret))
        };
        credentials.binary.push(BinaryCredentials {
            session,
            key_id,
            secret,
        });
    }
    Ok(Demo {
        commands: definitions(&credentials),
        keystore,
        credentials,
    })
}

/// Whose session it is.
fn firm_of(session: u32) -> u32 {
    match session {
        1 | 2 => 1,
        3..=5 => 2,
        load => 1 + (load + 1) % 2,
    }
}

/// The demo world as commands, whose sessions are those of the credentials. A log that lost the end
/// of them (power, in its first moment) is completed with the same ones: what it has already is
/// affirmed by them.
pub fn definitions(credentials: &Credentials) -> Vec<Vec<u8>> {
    let mut commands = Vec::new();
    let text = |text: &str| name(text).unwrap_or_default();
    for (index, row) in (1..).zip(INSTRUMENTS) {
        let (symbol, price_decimals, price_unit_e8, lot_size_e8, tick, low, high, most, reach) =
            row;
        let instrument = DefineInstrument {
            instrument: InstrumentId(index),
            price_decimals,
            symbol: text(symbol),
            price_unit_e8,
            lot_size_e8,
            tick,
            price_min: Price(low),
            price_max: Price(high),
            quantity_min: Quantity(1),
            quantity_max: Quantity(most),
            protection_ticks: reach,
            quantity_increment: Quantity(1),
            ..DefineInstrument::default()
        };
        commands.push(Command::new(instrument).to_bytes());
    }
    for (firm, firm_name) in [(1, "DEMO-ALPHA"), (2, "DEMO-BETA")] {
        let firm = DefineFirm {
            firm: FirmId(firm),
            name: text(firm_name),
            ..DefineFirm::default()
        };
        commands.push(Command::new(firm).to_bytes());
    }
    let fix = credentials
        .fix
        .iter()
        .map(|entry| (entry.session, SessionProtocol::Fix, &entry.comp_id, [0; 32]));
    let binary = credentials.binary.iter().map(|entry| {
        let protocol = SessionProtocol::Binary;
        (entry.session, protocol, &entry.key_id, public_key(entry))
    });
    for (session, protocol, id, key) in fix.chain(binary) {
        let session = DefineSession {
            session: SessionId(session),
            firm: FirmId(firm_of(session)),
            protocol: protocol.as_u8(),
            reset_at_day_roll: 1,
            name: text(id),
            public_key: key,
            ..DefineSession::default()
        };
        commands.push(Command::new(session).to_bytes());
    }
    commands
}

/// What the core needs to know of a key: nothing that is secret.
fn public_key(entry: &BinaryCredentials) -> [u8; 32] {
    let Secret::Ed25519(secret) = &entry.secret else {
        return [0; 32];
    };
    match decode_hex(secret) {
        Some(bytes) => ed25519_dalek::SigningKey::from_bytes(&bytes)
            .verifying_key()
            .to_bytes(),
        None => [0; 32],
    }
}
