//! The file in which a venue hands credentials to its demo clients, and clients find them. What a
//! session may do is there too: whoever runs the venue may change it between two starts.

use std::path::Path;

use serde::{Deserialize, Serialize};
use trading_engine_protocol::types::{Roles, SessionId};

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
    /// Logins of the console.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub console: Vec<ConsoleCredentials>,
}

/// A login of the console.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleCredentials {
    /// What it may do.
    pub role: String,
    /// User name.
    pub name: String,
    /// Its password.
    pub password: String,
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
    /// What it may do beyond its own orders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// Whose it is, a number of the firm's own; 0 = nobody's.
    #[serde(default, skip_serializing_if = "is_nobody")]
    pub user: u32,
}

/// A binary session's key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinaryCredentials {
    /// Session id.
    pub session: u32,
    /// Key id.
    pub key_id: String,
    /// As of a FIX session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// As of a FIX session.
    #[serde(default, skip_serializing_if = "is_nobody")]
    pub user: u32,
    /// The secret.
    pub secret: Secret,
}

/// What a session may do beyond its own orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Mass cancels and kill switches for its whole firm.
    Risk,
}

impl Role {
    /// Roles as a definition has them.
    pub fn bits(roles: &[Self]) -> Roles {
        let bit = |role: &Self| match role {
            Self::Risk => Roles::RISK.0,
        };
        Roles(roles.iter().map(bit).fold(0, |bits, bit| bits | bit))
    }
}

fn is_nobody(user: &u32) -> bool {
    *user == 0
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
        let text = std::fs::read_to_string(path).map_err(|error| {
            std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        toml::from_str(&text).map_err(|error| {
            let before = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = 1 + text.as_bytes()[..before]
                .iter()
                .filter(|b| **b == b'\n')
                .count();
            let (path, why) = (path.display(), error.message());
            std::io::Error::other(format!("{path}: line {line}: {why}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[[fix]]\nsession = 1\ncomp_id = \"A\"\nusername = \"a\"\npassword = \"p\"\n\
         roles = [\"risk\"]\nuser = 7\n\n[[binary]]\nsession = 2\nkey_id = \"b\"\nsecret = { hmac = \"00\" }\n";

    fn load(text: &str) -> std::io::Result<Credentials> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.toml");
        std::fs::write(&path, text).unwrap();
        Credentials::load(&path)
    }

    #[test]
    fn roles_and_user_may_be_stated_and_are_kept() {
        let all = load(FILE).unwrap();
        assert_eq!(Role::bits(&all.fix[0].roles), Roles::RISK);
        assert_eq!(all.fix[0].user, 7);
        assert_eq!(Role::bits(&all.binary[0].roles), Roles(0));
        assert_eq!(all.binary[0].user, 0);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.toml");
        all.save(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("roles").count(), 1, "{text}");
        let again = Credentials::load(&path).unwrap();
        assert_eq!(
            (&again.fix[0].roles[..], again.fix[0].user),
            (&[Role::Risk][..], 7)
        );
    }

    #[test]
    fn a_role_that_does_not_exist_is_named_with_its_line() {
        let message = load(&FILE.replace("risk", "boss")).unwrap_err().to_string();
        assert!(message.contains("line 6"), "{message}");
        assert!(
            message.contains("boss") && message.contains("risk"),
            "{message}"
        );
        for user in ["-1", "\"x\"", "4294967296"] {
            let text = FILE.replace("user = 7", &format!("user = {user}"));
            let message = load(&text).unwrap_err().to_string();
            assert!(message.contains("line 7"), "{message}");
        }
    }
}
