//! Secrets of sessions: a file beside the journal, never in it. The log knows public keys and key
//! ids only; HMAC secrets and password hashes live here, mode 0600.
//!
//! The authenticator checks against a [`LiveKeystore`], whose secrets an operator can draw anew while
//! the venue runs: file first, then the checks.

use std::collections::HashMap;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, PasswordHash};
use serde::{Deserialize, Serialize};

/// The file's shape.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    password: Vec<PasswordEntry>,
    #[serde(default)]
    hmac: Vec<HmacEntry>,
}

/// One FIX login.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordEntry {
    comp_id: String,
    username: String,
    /// PHC string, argon2id.
    hash: String,
}

/// One HMAC key of a binary session.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HmacEntry {
    key_id: String,
    /// 32 bytes, hex.
    secret: String,
}

/// Secrets by name. `Debug` prints none of them.
#[derive(Clone, Default)]
pub struct Keystore {
    passwords: HashMap<(String, String), String>,
    hmac: HashMap<String, [u8; 32]>,
}

impl fmt::Debug for Keystore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Keystore({} passwords, {} hmac keys)",
            self.passwords.len(),
            self.hmac.len()
        )
    }
}

/// Why a keystore cannot be used.
#[derive(Debug)]
pub enum KeystoreError {
    /// Reading or writing the file failed.
    Io(PathBuf, std::io::Error),
    /// The file's text is not a keystore.
    Format(PathBuf, String),
    /// A password could not be hashed.
    Hash(String),
}

impl fmt::Display for KeystoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "keystore {}: {error}", path.display()),
            Self::Format(path, error) => write!(f, "keystore {}: {error}", path.display()),
            Self::Hash(error) => write!(f, "keystore: password hashing failed: {error}"),
        }
    }
}

impl std::error::Error for KeystoreError {}

impl Keystore {
    /// Reads the file; a missing file is an empty keystore.
    ///
    /// # Errors
    /// Unreadable, not TOML, unknown fields, secrets that are not 32 bytes of hex, hashes that
    /// are no PHC strings; the message names the entry, never the secret.
    pub fn load(path: &Path) -> Result<Self, KeystoreError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(KeystoreError::Io(path.into(), error)),
        };
        let format = |message: String| KeystoreError::Format(path.into(), message);
        // The parser's own message may quote the line, and the line may be a secret.
        let file: File = toml::from_str(&text).map_err(|error| {
            let place = error.span().map_or(0, |span| {
                text.as_bytes()[..span.start.min(text.len())]
                    .iter()
                    .filter(|&&b| b == b'\n')
                    .count()
                    + 1
            });
            format(format!("line {place} is not a keystore entry"))
        })?;
        let mut keystore = Self::default();
        for entry in file.password {
            if PasswordHash::new(&entry.hash).is_err() {
                return Err(format(format!(
                    "password of {:?}: hash is no PHC string",
                    entry.comp_id
                )));
            }
            keystore
                .passwords
                .insert((entry.comp_id, entry.username), entry.hash);
        }
        for entry in file.hmac {
            let secret = decode_hex(&entry.secret).ok_or_else(|| {
                format(format!(
                    "hmac {:?}: secret is not 64 hex digits",
                    entry.key_id
                ))
            })?;
            keystore.hmac.insert(entry.key_id, secret);
        }
        Ok(keystore)
    }

    /// Writes the file with mode 0600, whole or not at all.
    ///
    /// # Errors
    /// I/O only.
    pub fn save(&self, path: &Path) -> Result<(), KeystoreError> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut file = File::default();
        for ((comp_id, username), hash) in &self.passwords {
            file.password.push(PasswordEntry {
                comp_id: comp_id.clone(),
                username: username.clone(),
                hash: hash.clone(),
            });
        }
        for (key_id, secret) in &self.hmac {
            file.hmac.push(HmacEntry {
                key_id: key_id.clone(),
                secret: encode_hex(secret),
            });
        }
        file.password
            .sort_by(|a, b| (&a.comp_id, &a.username).cmp(&(&b.comp_id, &b.username)));
        file.hmac.sort_by(|a, b| a.key_id.cmp(&b.key_id));
        let text = toml::to_string(&file)
            .map_err(|error| KeystoreError::Format(path.into(), error.to_string()))?;
        let io = |error| KeystoreError::Io(path.into(), error);
        // A bare name is in the folder at work.
        let folder = path.parent().filter(|path| !path.as_os_str().is_empty());
        let folder = std::fs::File::open(folder.unwrap_or_else(|| Path::new("."))).map_err(io)?;
        let temporary = path.with_extension("tmp");
        let mut out = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(io)?;
        out.write_all(text.as_bytes())
            .and_then(|()| out.sync_all())
            .map_err(io)?;
        std::fs::rename(&temporary, path).map_err(io)?;
        // Without that, a power loss could bring the file of before back.
        folder.sync_all().map_err(io)
    }

    /// Adds a FIX login; the password is kept as an argon2id hash only.
    ///
    /// # Errors
    /// The hasher's own.
    pub fn add_password(
        &mut self,
        comp_id: &str,
        username: &str,
        password: &str,
    ) -> Result<(), KeystoreError> {
        let hash = hashed(password)?;
        self.passwords
            .insert((comp_id.into(), username.into()), hash);
        Ok(())
    }

    /// Adds an HMAC key.
    pub fn add_hmac(&mut self, key_id: &str, secret: [u8; 32]) {
        self.hmac.insert(key_id.into(), secret);
    }

    /// Takes every login of a CompID away, and gives the username of one of them.
    fn remove_passwords(&mut self, comp_id: &str) -> Option<String> {
        let mut logins = self.passwords.keys();
        let username = logins
            .find(|(known, _)| known == comp_id)
            .map(|(_, username)| username.clone());
        self.passwords.retain(|(known, _), _| known != comp_id);
        username
    }

    /// The HMAC secret of a key id.
    pub fn hmac_secret(&self, key_id: &str) -> Option<&[u8; 32]> {
        self.hmac.get(key_id)
    }

    /// Checks a password. Slow on purpose (tens of milliseconds), and as slow for an unknown
    /// login, so that time tells nothing.
    pub fn verify_password(&self, comp_id: &str, username: &str, password: &[u8]) -> bool {
        /// Hash of a random text nobody kept.
        const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$\
             AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let known = self
            .passwords
            .get(&(comp_id.to_owned(), username.to_owned()));
        let text = known.map_or(NOBODY, String::as_str);
        let Ok(hash) = PasswordHash::new(text) else {
            return false;
        };
        Argon2::default().verify_password(password, &hash).is_ok() && known.is_some()
    }
}

/// The keystore that logons are checked against now, and the file it comes back from at the next start.
#[derive(Clone)]
pub struct LiveKeystore {
    current: Arc<RwLock<Arc<Keystore>>>,
    /// Where it is kept, if it is; held while a secret is drawn, so that no two draw at once.
    file: Arc<Mutex<Option<PathBuf>>>,
}

impl fmt::Debug for LiveKeystore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.current().fmt(f)
    }
}

/// A FIX login as it is handed out, once.
pub struct Login {
    /// Username(553).
    pub username: String,
    /// Password(554).
    pub password: String,
}

/// A secret that was drawn and is nobody's yet. Nothing prints it.
pub enum Fresh {
    /// Of an HMAC key.
    Hmac {
        /// Whose.
        key_id: String,
        /// It.
        secret: [u8; 32],
    },
    /// Of a FIX login.
    Password {
        /// SenderCompID(49).
        comp_id: String,
        /// Username(553), if it was stated.
        username: Option<String>,
        /// It.
        password: String,
        /// What of it is kept.
        hash: String,
    },
}

impl Fresh {
    /// For an HMAC key.
    ///
    /// # Errors
    /// No randomness.
    pub fn hmac(key_id: String) -> Result<Self, KeystoreError> {
        let secret = draw()?;
        Ok(Self::Hmac { key_id, secret })
    }

    /// For a CompID. As slow as a password hash.
    ///
    /// # Errors
    /// No randomness, or the hasher's own.
    pub fn password(comp_id: String, username: Option<String>) -> Result<Self, KeystoreError> {
        let password = encode_hex(&draw()?[..16]);
        let hash = hashed(&password)?;
        Ok(Self::Password {
            comp_id,
            username,
            password,
            hash,
        })
    }
}

/// A secret as it is handed out, once.
pub enum Rotated {
    /// An HMAC key's.
    Hmac([u8; 32]),
    /// A FIX login.
    Password(Login),
}

fn hashed(password: &str) -> Result<String, KeystoreError> {
    let hash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|error| KeystoreError::Hash(error.to_string()))?;
    Ok(hash.to_string())
}

impl LiveKeystore {
    /// Begins with a keystore that is kept in a file, or nowhere.
    pub fn new(keystore: Keystore, file: Option<PathBuf>) -> Self {
        Self {
            current: Arc::new(RwLock::new(Arc::new(keystore))),
            file: Arc::new(Mutex::new(file)),
        }
    }

    /// The secrets as they are now. A check that began before a change ends with what was.
    pub fn current(&self) -> Arc<Keystore> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    /// Makes what was drawn the secret of its login or key; the one of before is wrong from here on. A CompID has
    /// no other login then, and without a stated username it keeps the one it has, or has its own name in
    /// lower case. Waits for the disk.
    ///
    /// # Errors
    /// The file cannot be written: then nothing changed. (When only its folder cannot be made durable, the next
    /// start may find the new secret.)
    pub fn rotate(&self, fresh: Fresh) -> Result<Rotated, KeystoreError> {
        self.change(|keystore| match fresh {
            Fresh::Hmac { key_id, secret } => {
                keystore.add_hmac(&key_id, secret);
                Rotated::Hmac(secret)
            }
            Fresh::Password {
                comp_id,
                username,
                password,
                hash,
            } => {
                let before = keystore.remove_passwords(&comp_id);
                let username = username.or(before);
                let username = username.unwrap_or_else(|| comp_id.to_ascii_lowercase());
                keystore.passwords.insert((comp_id, username.clone()), hash);
                Rotated::Password(Login { username, password })
            }
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Keystore) -> T) -> Result<T, KeystoreError> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Keystore::clone(&self.current());
        let result = change(&mut changed);
        if let Some(file) = file.as_ref() {
            changed.save(file)?;
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(changed);
        Ok(result)
    }
}

fn draw() -> Result<[u8; 32], KeystoreError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        KeystoreError::Io(
            "randomness".into(),
            std::io::Error::other(error.to_string()),
        )
    })?;
    Ok(bytes)
}

/// 64 hex digits as 32 bytes.
pub fn decode_hex(text: &str) -> Option<[u8; 32]> {
    let text = text.as_bytes();
    if text.len() != 64 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut out = [0u8; 32];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(out)
}

/// Bytes as hex.
pub fn encode_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_keystore_verifies_what_was_added_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keystore.toml");
        let mut keystore = Keystore::default();
        keystore.add_password("ALPHA", "trader", "secret").unwrap();
        keystore.add_hmac("alpha-1", [7; 32]);
        keystore.save(&path).unwrap();
        assert!(
            !std::fs::read_to_string(&path)
                .unwrap()
                .contains("\"secret\"")
        );
        let keystore = Keystore::load(&path).unwrap();
        assert!(keystore.verify_password("ALPHA", "trader", b"secret"));
        assert!(!keystore.verify_password("ALPHA", "trader", b"Secret"));
        assert!(!keystore.verify_password("ALPHA", "nobody", b"secret"));
        assert_eq!(keystore.hmac_secret("alpha-1"), Some(&[7; 32]));
        assert_eq!(
            format!("{keystore:?}"),
            "Keystore(1 passwords, 1 hmac keys)"
        );
    }

    #[test]
    fn a_secret_that_was_drawn_anew_is_in_the_file_and_the_old_one_is_wrong_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keystore.toml");
        let mut keystore = Keystore::default();
        keystore.add_password("ALPHA", "trader", "old").unwrap();
        keystore.add_hmac("alpha-1", [7; 32]);
        let live = LiveKeystore::new(keystore, Some(path.clone()));
        let fresh = || Fresh::hmac("alpha-1".into()).unwrap();
        let Rotated::Hmac(secret) = live.rotate(fresh()).unwrap() else {
            panic!("a password for a key");
        };
        let login = Fresh::password("ALPHA".into(), None).unwrap();
        let Rotated::Password(login) = live.rotate(login).unwrap() else {
            panic!("a key for a login");
        };
        assert_eq!(login.username, "trader");
        for keystore in [&*live.current(), &Keystore::load(&path).unwrap()] {
            assert_eq!(keystore.hmac_secret("alpha-1"), Some(&secret));
            assert!(keystore.verify_password("ALPHA", "trader", login.password.as_bytes()));
            assert!(!keystore.verify_password("ALPHA", "trader", b"old"));
        }
        assert_ne!(secret, [7; 32]);
        // Where the file cannot be written, nothing changes.
        let nowhere = directory.path().join("missing").join("keystore.toml");
        let stuck = LiveKeystore::new(Keystore::clone(&live.current()), Some(nowhere));
        assert!(stuck.rotate(fresh()).is_err());
        assert_eq!(stuck.current().hmac_secret("alpha-1"), Some(&secret));
    }

    #[test]
    fn a_bad_keystore_names_the_entry_and_not_the_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keystore.toml");
        for (text, names) in [
            ("[[hmac]]\nkey_id = \"k\"\nsecret = \"abc\"\n", "hmac \"k\""),
            (
                "[[password]]\ncomp_id='c'\nusername='u'\nhash='hunter2'\n",
                "\"c\"",
            ),
            ("[[hmac]]\nkey = 1\nsecret = \"topsecret\"\n", "line"),
        ] {
            std::fs::write(&path, text).unwrap();
            let message = Keystore::load(&path).unwrap_err().to_string();
            assert!(message.contains(names), "{message}");
            assert!(
                !message.contains("topsecret") && !message.contains("hunter2"),
                "{message}"
            );
        }
    }
}
