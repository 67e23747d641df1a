//! The file in which a venue hands credentials to its demo clients, and clients find them.

use std::path::Path;

use serde::{Deserialize, Serialize};
use trading_engine_protocol::types::SessionId;

/// All of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// FIX sessions.
    #[serde(default)]
    pub fix: Vec<FixCredentials>,
    /// Binary sessions.
    #[serde(default)]
    pub binary: Vec<BinaryCredentials>,
}

/// A FIX login.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixCredentials {
    /// Session id.
    pub session: u32,
    /// SenderCompID(49).
    pub comp_id: String,
    /// Username(553).
    pub username: String,
    /// Password(554).
    pub password: String,
}

/// A binary session's key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinaryCredentials {
    /// Session id.
    pub session: u32,
    /// Key id.
    pub key_id: String,
    /// The secret.
    pub secret: Secret,
}

/// 32 bytes in hex.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Secret {
    /// Ed25519 private key.
    Ed25519(String),
    /// HMAC-SHA256 key.
    Hmac(String),
}

impl Credentials {
    /// Every session there are credentials for.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        let fix = self.fix.iter().map(|entry| entry.session);
        fix.chain(self.binary.iter().map(|entry| entry.session))
            .map(SessionId)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// I/O, or not this format.
    pub fn load(path: &Path) -> std::io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        toml::from_str(&text).map_err(|error| {
            std::io::Error::other(format!("{}: {}", path.display(), error.message()))
        })
    }

    /// Writes the file, readable by its owner only.
    ///
    /// # Errors
    /// I/O.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let text = toml::to_string(self).map_err(std::io::Error::other)?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(text.as_bytes())
    }

    /// The binary session of a key id.
    pub fn binary(&self, key_id: &str) -> Option<&BinaryCredentials> {
        self.binary.iter().find(|entry| entry.key_id == key_id)
    }
}
