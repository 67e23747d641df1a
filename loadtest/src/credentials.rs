//! The credentials file that a venue writes on its first start, and what to log on with.

use std::fmt;
use std::io;
use std::path::Path;

use clap::ValueEnum;
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;
use trading_engine_protocol::binary::SIGNED_LENGTH;

/// Which door of the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// The binary protocol.
    Binary,
    /// FIX 4.4.
    Fix,
}

impl Protocol {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Fix => "fix",
        }
    }

    /// Where a venue with default settings listens.
    pub fn default_address(self) -> &'static str {
        match self {
            Self::Binary => "127.0.0.1:9881",
            Self::Fix => "127.0.0.1:9880",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A FIX login.
#[derive(Clone, Debug, Deserialize)]
pub struct FixLogin {
    /// Session id: what a kill switch names.
    pub session: u32,
    /// SenderCompID(49).
    pub comp_id: String,
    /// Username(553).
    pub username: String,
    /// Password(554).
    pub password: String,
}

/// A binary session's key.
#[derive(Clone, Debug, Deserialize)]
pub struct BinaryLogin {
    /// Session id.
    pub session: u32,
    /// Key id.
    pub key_id: String,
    /// The secret.
    pub secret: Secret,
}

/// 32 bytes in hex.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Secret {
    /// Ed25519 private key.
    Ed25519(String),
    /// HMAC-SHA256 key.
    Hmac(String),
}

impl Secret {
    /// authType(20004) of a Logon signed with it.
    pub fn auth_type(&self) -> u8 {
        match self {
            Self::Hmac(_) => 1,
            Self::Ed25519(_) => 2,
        }
    }

    /// Signs a logon text.
    ///
    /// # Errors
    /// When the secret is not 32 bytes of hex.
    pub fn sign(&self, text: &[u8; SIGNED_LENGTH]) -> io::Result<[u8; 64]> {
        match self {
            Self::Ed25519(hex) => Ok(SigningKey::from_bytes(&bytes(hex)?).sign(text).to_bytes()),
            Self::Hmac(hex) => {
                let mut mac =
                    Hmac::<Sha256>::new_from_slice(&bytes(hex)?).map_err(io::Error::other)?;
                mac.update(text);
                let mut signature = [0u8; 64];
                signature[..32].copy_from_slice(&mac.finalize().into_bytes());
                Ok(signature)
            }
        }
    }
}

fn bytes(hex: &str) -> io::Result<[u8; 32]> {
    let bad = || io::Error::other("a secret is not 64 hex digits");
    let mut out = [0u8; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return Err(bad());
    }
    for (index, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).map_err(|_| bad())?;
    }
    Ok(out)
}

/// What one session logs on with.
#[derive(Clone, Debug)]
pub enum Login {
    /// Through the binary port.
    Binary(BinaryLogin),
    /// Through the FIX port.
    Fix(FixLogin),
}

impl Login {
    /// The session's id.
    pub fn session(&self) -> u32 {
        match self {
            Self::Binary(login) => login.session,
            Self::Fix(login) => login.session,
        }
    }
}

/// All of the file.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Credentials {
    /// FIX sessions.
    #[serde(default)]
    fix: Vec<FixLogin>,
    /// Binary sessions.
    #[serde(default)]
    binary: Vec<BinaryLogin>,
}

impl Credentials {
    /// Reads the file.
    ///
    /// # Errors
    /// I/O, or not this format; either names the file.
    pub fn load(path: &Path) -> io::Result<Self> {
        let named = |error: &dyn fmt::Display| {
            io::Error::other(format!("credentials {}: {error}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
        toml::from_str(&text).map_err(|error| named(&error.message()))
    }

    /// The session of a key id (binary) or SenderCompID (FIX).
    ///
    /// # Errors
    /// When there is none, naming those there are.
    pub fn login(&self, protocol: Protocol, name: &str) -> io::Result<Login> {
        self.all(protocol)
            .find(|(known, _)| *known == name)
            .map(|(_, login)| login)
            .ok_or_else(|| {
                let names: Vec<&str> = self.all(protocol).map(|(name, _)| name).collect();
                io::Error::other(format!(
                    "no {protocol} session {name:?} in the credentials; there are: {}",
                    names.join(" ")
                ))
            })
    }

    /// The first `count` sessions whose names begin with `prefix`, in any case.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn logins(&self, protocol: Protocol, prefix: &str, count: usize) -> io::Result<Vec<Login>> {
        let logins: Vec<Login> = self
            .all(protocol)
            .filter(|(name, _)| name.to_ascii_lowercase().starts_with(prefix))
            .map(|(_, login)| login)
            .take(count)
            .collect();
        if logins.len() < count {
            return Err(io::Error::other(format!(
                "{count} {protocol} sessions wanted, the credentials have {} whose names begin \
                 with {prefix:?}",
                logins.len()
            )));
        }
        Ok(logins)
    }

    fn all(&self, protocol: Protocol) -> Box<dyn Iterator<Item = (&str, Login)> + '_> {
        match protocol {
            Protocol::Binary => Box::new(
                self.binary
                    .iter()
                    .map(|entry| (entry.key_id.as_str(), Login::Binary(entry.clone()))),
            ),
            Protocol::Fix => Box::new(
                self.fix
                    .iter()
                    .map(|entry| (entry.comp_id.as_str(), Login::Fix(entry.clone()))),
            ),
        }
    }
}
