//! Checks credentials beside the pollers: argon2id takes tens of milliseconds, a signature tens of
//! microseconds, and a poller thread has neither to spare.
//!
//! Keys and passwords have a thread each, so that no key waits for a password. On each, sources take
//! turns (`waiting`): whatever one address asks, a logon from another one waits for the check at
//! work and for one check of each address that has some waiting. An address whose logons keep
//! failing has to wait before it is listened to again (`failures`).

use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Sender;
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::failures::Failures;
use super::keystore::{Keystore, LiveKeystore};
use super::waiting::{Source, Waiting};

/// Credentials as a connection showed them.
#[derive(Clone)]
pub enum Credentials {
    /// FIX Username(553) and Password(554).
    Password {
        /// The client's SenderCompID(49).
        comp_id: String,
        /// Username(553).
        username: String,
        /// Password(554).
        password: Vec<u8>,
    },
    /// Binary, authType 2: signature over the logon text by the session's public key.
    Ed25519 {
        /// From the log; `None`: the venue knows no such key. Checked all the same, so that time
        /// tells nothing.
        public_key: Option<[u8; 32]>,
        /// What was signed.
        message: Vec<u8>,
        /// 64 bytes.
        signature: [u8; 64],
    },
    /// Binary, authType 1: HMAC-SHA256 under the key id's secret.
    Hmac {
        /// Names the secret; `None`: the session has no such key.
        key_id: Option<String>,
        /// What was signed.
        message: Vec<u8>,
        /// 32 bytes.
        tag: [u8; 32],
    },
    /// FIX, and the name is unknown: takes as long as a known one, and fails.
    Unknown,
}

/// A question to the authenticator.
pub struct AuthRequest {
    /// Echoed in the answer.
    pub connection: u64,
    /// Where it comes from.
    pub source: IpAddr,
    /// What to check.
    pub credentials: Credentials,
    /// Where the answer goes; as unbounded as the questions are few.
    pub reply: Sender<AuthReply>,
    /// Called when the answer is there.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

impl AuthRequest {
    fn answer(&self, verdict: Verdict) {
        let reply = AuthReply {
            connection: self.connection,
            source: self.source,
            verdict,
        };
        // The gateway may be gone during shutdown; there is nobody left to tell.
        if self.reply.send(reply).is_ok() {
            (self.wake)();
        }
    }
}

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The credentials are right.
    Right,
    /// They are wrong.
    Wrong,
    /// Nobody looked: too much from there was wrong meanwhile.
    Unchecked,
}

/// An answer.
#[derive(Clone, Copy, Debug)]
pub struct AuthReply {
    /// Echo.
    pub connection: u64,
    /// Echo.
    pub source: IpAddr,
    /// The answer.
    pub verdict: Verdict,
}

/// Handle to the threads; they end when the last handle is dropped.
#[derive(Clone)]
pub struct Authenticator {
    desk: Arc<Desk>,
}

struct Desk {
    keys: Arc<Line>,
    passwords: Arc<Line>,
    failures: Mutex<Failures>,
}

/// What waits for one thread; `None` = it ends.
struct Line {
    waiting: Mutex<Option<Waiting<AuthRequest>>>,
    changed: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Both kinds of content are whole between any two of their calls.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Authenticator {
    /// Starts the threads.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(keystore: &LiveKeystore) -> std::io::Result<Self> {
        // First the handle: if a thread cannot be had, dropping it ends the other one.
        let desk = Arc::new(Desk {
            keys: Line::new(),
            passwords: Line::new(),
            failures: Mutex::default(),
        });
        for (name, line) in [("keys", &desk.keys), ("passwords", &desk.passwords)] {
            let (line, keystore) = (Arc::clone(line), keystore.clone());
            std::thread::Builder::new()
                .name(name.into())
                .spawn(move || line.run(&keystore))?;
        }
        Ok(Self { desk })
    }

    /// Asks. `false`: too much from there waits or was wrong lately, refuse the logon.
    pub fn ask(&self, request: AuthRequest, now_ns: u64) -> bool {
        let source = Source::of(request.source);
        if lock(&self.desk.failures).must_wait(source, now_ns) {
            return false;
        }
        let line = match request.credentials {
            Credentials::Password { .. } | Credentials::Unknown => &self.desk.passwords,
            Credentials::Ed25519 { .. } | Credentials::Hmac { .. } => &self.desk.keys,
        };
        line.push(source, request)
    }

    /// Learns from an answer. Where one failure too many comes from, the other questions are
    /// answered unchecked: they would only take the time of those who wait behind them.
    pub fn note(&self, reply: &AuthReply, now_ns: u64) {
        let source = Source::of(reply.source);
        let mut failures = lock(&self.desk.failures);
        match reply.verdict {
            Verdict::Right => failures.succeeded(source),
            Verdict::Wrong if failures.failed(source, now_ns) => {
                drop(failures);
                for line in [&self.desk.keys, &self.desk.passwords] {
                    for request in line.remove(source) {
                        request.answer(Verdict::Unchecked);
                    }
                }
            }
            Verdict::Wrong | Verdict::Unchecked => {}
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        for line in [&self.keys, &self.passwords] {
            *lock(&line.waiting) = None;
            line.changed.notify_one();
        }
    }
}

impl Line {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::new(Some(Waiting::new())),
            changed: Condvar::new(),
        })
    }

    fn push(&self, source: Source, request: AuthRequest) -> bool {
        let mut waiting = lock(&self.waiting);
        let taken = waiting
            .as_mut()
            .is_some_and(|waiting| waiting.push(source, request));
        self.changed.notify_one();
        taken
    }

    fn remove(&self, source: Source) -> impl Iterator<Item = AuthRequest> {
        let removed = lock(&self.waiting)
            .as_mut()
            .map(|waiting| waiting.remove(source));
        removed.into_iter().flatten()
    }

    /// The thread.
    fn run(&self, keystore: &LiveKeystore) {
        while let Some(request) = self.next() {
            let right = check(&keystore.current(), &request.credentials);
            request.answer(if right {
                Verdict::Right
            } else {
                Verdict::Wrong
            });
        }
    }

    fn next(&self) -> Option<AuthRequest> {
        let mut waiting = lock(&self.waiting);
        loop {
            if let Some(request) = waiting.as_mut()?.pop() {
                return Some(request);
            }
            waiting = self
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A valid point, for keys that the venue does not know.
const NOBODYS_KEY: [u8; 32] = {
    let mut key = [0x66; 32];
    key[0] = 0x58;
    key
};

fn check(keystore: &Keystore, credentials: &Credentials) -> bool {
    match credentials {
        Credentials::Password {
            comp_id,
            username,
            password,
        } => keystore.verify_password(comp_id, username, password),
        Credentials::Ed25519 {
            public_key,
            message,
            signature,
        } => {
            let key = public_key.as_ref().unwrap_or(&NOBODYS_KEY);
            let signed = VerifyingKey::from_bytes(key).is_ok_and(|key| {
                key.verify_strict(message, &Signature::from_bytes(signature))
                    .is_ok()
            });
            signed && public_key.is_some()
        }
        Credentials::Hmac {
            key_id,
            message,
            tag,
        } => {
            let secret = key_id
                .as_ref()
                .and_then(|key_id| keystore.hmac_secret(key_id));
            // An unknown key id costs what a known one costs.
            let key = secret.unwrap_or(&[0; 32]);
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
                return false;
            };
            mac.update(message);
            let expected = mac.finalize().into_bytes();
            bool::from(expected.as_slice().ct_eq(tag)) && secret.is_some()
        }
        Credentials::Unknown => keystore.verify_password("", "", b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer as _, SigningKey};

    #[test]
    fn signatures_and_tags_are_checked_against_the_message() {
        let mut keystore = Keystore::default();
        keystore.add_hmac("k", [9; 32]);
        let key = SigningKey::from_bytes(&[1; 32]);
        let message = b"TE-LOGON-1".to_vec();
        let ed25519 = |message: &[u8]| Credentials::Ed25519 {
            public_key: Some(key.verifying_key().to_bytes()),
            message: message.to_vec(),
            signature: key.sign(b"TE-LOGON-1").to_bytes(),
        };
        assert!(check(&keystore, &ed25519(b"TE-LOGON-1")));
        assert!(!check(&keystore, &ed25519(b"TE-LOGON-2")));
        let mut mac = Hmac::<Sha256>::new_from_slice(&[9; 32]).unwrap();
        mac.update(&message);
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        let hmac = |key_id: Option<&str>| Credentials::Hmac {
            key_id: key_id.map(Into::into),
            message: message.clone(),
            tag,
        };
        assert!(check(&keystore, &hmac(Some("k"))));
        assert!(!check(&keystore, &hmac(Some("unknown"))));
        assert!(!check(&keystore, &hmac(None)));
        let unknown = Credentials::Ed25519 {
            public_key: None,
            message: message.clone(),
            signature: key.sign(&message).to_bytes(),
        };
        assert!(!check(&keystore, &unknown));
        assert!(
            VerifyingKey::from_bytes(&NOBODYS_KEY).is_ok(),
            "costs as much"
        );
        assert!(!check(&keystore, &Credentials::Unknown));
    }
}
