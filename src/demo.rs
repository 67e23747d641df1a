//! The venue of a first start: five instruments or more, two demo firms with their traders, makers and
//! risk desks, as commands.
//!
//! Keys and passwords are drawn at random once, printed, and kept in the data folder beside the
//! journal; a log that defines demo firms is refused in production.

use std::io;

use trading_engine_protocol::types::{
    FirmId, InstrumentId, Price, Quantity, SessionId, SessionProtocol, UtcNanos,
};

use crate::client::credentials::{
    BinaryCredentials, ConsoleCredentials, Credentials, FixCredentials, Role, Secret,
};
use crate::engine::command::{
    Command, DefineFirm, DefineInstrument, DefineSession, Genesis, name, name_text,
};
use crate::gateway::keystore::{Keystore, KeystoreError, decode_hex, encode_hex};
use crate::limits::DEMO_INSTRUMENTS_MIN;

/// Firms whose name starts so are demo firms.
pub const FIRM_PREFIX: &str = "DEMO-";
/// Key id of the maker bot's session.
pub const MAKER_KEY_ID: &str = "maker-1";
/// Sessions for load generation, per protocol.
pub const LOAD_SESSIONS: u32 = 16;
/// The firms' risk desks: FIX session and CompID. A firm has its own, because the risk role reaches over all sessions of
/// its firm and over no other.
const FIX_DESKS: [(u32, &str); 2] = [(6, "ALPHARISK"), (8, "BETARISK")];
/// Likewise: binary session and key id.
const BINARY_DESKS: [(u32, &str); 2] = [(7, "alpha-risk"), (9, "beta-risk")];

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

const INSTRUMENTS: [Row; DEMO_INSTRUMENTS_MIN as usize] = [
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

/// Draws the demo world, of so many instruments.
///
/// # Errors
/// No randomness, or no password hash.
pub fn demo(instruments: u32) -> Result<Demo, KeystoreError> {
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
    fix.extend(FIX_DESKS.map(|(session, comp_id)| (session, comp_id.to_owned())));
    binary.extend(BINARY_DESKS.map(|(session, key_id)| (session, key_id.to_owned(), true)));
    for (session, comp_id) in fix {
        let password = encode_hex(&random()?[..12]);
        let username = comp_id.to_ascii_lowercase();
        keystore.add_password(&comp_id, &username, &password)?;
        credentials.fix.push(FixCredentials {
            session,
            comp_id,
            username,
            password,
            roles: roles_of(session),
            user: 0,
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
            roles: roles_of(session),
            user: 0,
            secret,
        });
    }
    credentials.console = console()?;
    Ok(Demo {
        commands: definitions(&credentials, instruments),
        keystore,
        credentials,
    })
}

/// A password that nobody guesses.
///
/// # Errors
/// No randomness.
pub fn password() -> io::Result<String> {
    Ok(encode_hex(&draw()?[..12]))
}

/// Logins of the console, one for each role.
///
/// # Errors
/// No randomness.
pub fn console() -> Result<Vec<ConsoleCredentials>, KeystoreError> {
    let users = [
        ("viewer", "viewer"),
        ("support", "trader-support"),
        ("risk", "risk"),
        ("operator", "operator"),
    ];
    let login = |(name, role): (&str, &str)| {
        let drawn = password();
        let password = drawn.map_err(|error| KeystoreError::Io("randomness".into(), error))?;
        Ok(ConsoleCredentials {
            role: role.into(),
            name: name.into(),
            password,
        })
    };
    users.into_iter().map(login).collect()
}

/// What a session may do beyond its own orders: nothing, unless it is a risk desk's.
fn roles_of(session: u32) -> Vec<Role> {
    let mut desks = FIX_DESKS.iter().chain(&BINARY_DESKS);
    let is_desk = desks.any(|(desk, _)| *desk == session);
    Vec::from_iter(is_desk.then_some(Role::Risk))
}

/// Whose session it is.
fn firm_of(session: u32) -> u32 {
    match session {
        1 | 2 | 6 | 7 => 1,
        3..=5 | 8 | 9 => 2,
        load => 1 + (load + 1) % 2,
    }
}

/// The demo world as commands, whose sessions are those of the credentials. A log that lost the end
/// of them (power, in its first moment) is completed with the same ones: what it has already is
/// affirmed by them.
pub fn definitions(credentials: &Credentials, instruments: u32) -> Vec<Vec<u8>> {
    let mut commands = Vec::new();
    let text = |text: &str| name(text).unwrap_or_default();
    for (index, row) in (1..).zip(INSTRUMENTS) {
        commands.push(Command::new(instrument(index, row.0, row)).to_bytes());
    }
    // The others are like the first, for those who quote many.
    for index in DEMO_INSTRUMENTS_MIN + 1..=instruments {
        let symbol = format!("DEMO-{index:03}");
        let another = instrument(index, &symbol, INSTRUMENTS[0]);
        commands.push(Command::new(another).to_bytes());
    }
    for (firm, firm_name) in [(1, "DEMO-ALPHA"), (2, "DEMO-BETA")] {
        let firm = DefineFirm {
            firm: FirmId(firm),
            name: text(firm_name),
            ..DefineFirm::default()
        };
        commands.push(Command::new(firm).to_bytes());
    }
    commands.extend(sessions(credentials).map(|session| Command::new(session).to_bytes()));
    commands
}

fn instrument(index: u32, symbol: &str, row: Row) -> DefineInstrument {
    let (_, price_decimals, price_unit_e8, lot_size_e8, tick, low, high, most, reach) = row;
    DefineInstrument {
        instrument: InstrumentId(index),
        price_decimals,
        symbol: name(symbol).unwrap_or_default(),
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
    }
}

/// What of the sessions' roles and users is not as the credentials have it now.
pub fn changes(credentials: &Credentials, known: &[DefineSession]) -> Vec<Vec<u8>> {
    let changed = sessions(credentials).filter_map(|wanted| {
        let old = known.iter().find(|old| old.session == wanted.session)?;
        let new = DefineSession {
            roles: wanted.roles,
            user: wanted.user,
            ..*old
        };
        (new != *old).then(|| Command::new(new).to_bytes())
    });
    changed.collect()
}

fn sessions(credentials: &Credentials) -> impl Iterator<Item = DefineSession> + '_ {
    let fix = credentials.fix.iter().map(|entry| DefineSession {
        session: SessionId(entry.session),
        protocol: SessionProtocol::Fix.as_u8(),
        roles: Role::bits(&entry.roles).0,
        user: entry.user,
        name: name(&entry.comp_id).unwrap_or_default(),
        ..DefineSession::default()
    });
    let binary = credentials.binary.iter().map(|entry| DefineSession {
        session: SessionId(entry.session),
        protocol: SessionProtocol::Binary.as_u8(),
        roles: Role::bits(&entry.roles).0,
        user: entry.user,
        name: name(&entry.key_id).unwrap_or_default(),
        public_key: public_key(entry),
        ..DefineSession::default()
    });
    fix.chain(binary).map(|session| DefineSession {
        firm: FirmId(firm_of(session.session.0)),
        reset_at_day_roll: 1,
        ..session
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::command::{CommandBody, read};

    #[test]
    fn a_change_of_roles_and_users_is_a_definition_of_its_session() {
        let mut credentials = Credentials::default();
        for (session, key_id) in [(2, "alpha-1"), (4, "beta-1")] {
            credentials.binary.push(BinaryCredentials {
                session,
                key_id: key_id.into(),
                roles: Vec::new(),
                user: 0,
                secret: Secret::Hmac(encode_hex(&[1; 32])),
            });
        }
        let mut known: Vec<_> = sessions(&credentials).collect();
        // A key that was rotated since stays so.
        known[1].public_key = [9; 32];
        assert!(changes(&credentials, &known).is_empty());
        credentials.binary[1].roles.push(Role::Risk);
        credentials.binary[1].user = 7;
        let changes = changes(&credentials, &known);
        let mut words = vec![0u64; changes[0].len() / 8];
        zerocopy::IntoBytes::as_mut_bytes(words.as_mut_slice()).copy_from_slice(&changes[0]);
        let bytes = zerocopy::IntoBytes::as_bytes(words.as_slice());
        let Ok((_, CommandBody::DefineSession(changed))) = read(bytes) else {
            panic!("no definition: {changes:?}");
        };
        let expected = DefineSession {
            roles: 1,
            user: 7,
            ..known[1]
        };
        assert_eq!((changes.len(), *changed), (1, expected));
    }
}
