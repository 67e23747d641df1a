//! Checks credentials on its own thread: argon2id takes tens of milliseconds, a signature tens of
//! microseconds, and a poller thread has neither to spare.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::keystore::Keystore;

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
        /// From the log.
        public_key: [u8; 32],
        /// What was signed.
        message: Vec<u8>,
        /// 64 bytes.
        signature: [u8; 64],
    },
    /// Binary, authType 1: HMAC-SHA256 under the key id's secret.
    Hmac {
        /// Names the secret.
        key_id: String,
        /// What was signed.
        message: Vec<u8>,
        /// 32 bytes.
        tag: [u8; 32],
    },
    /// The name is unknown: takes as long as a known one, and fails.
    Unknown,
}

/// A question to the authenticator.
pub struct AuthRequest {
    /// The gateway's name for the connection, echoed.
    pub connection: u64,
    /// What to check.
    pub credentials: Credentials,
    /// Where the answer goes.
    pub reply: Sender<AuthReply>,
    /// Wakes the asking poller.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthReply {
    /// Echo.
    pub connection: u64,
    /// Whether the credentials are right.
    pub accepted: bool,
}

/// Handle to the thread; it ends when the last handle is dropped.
#[derive(Clone)]
pub struct Authenticator {
    requests: Sender<AuthRequest>,
}

impl Authenticator {
    /// Questions waiting at most; beyond it a logon is refused at once, so that a flood of logons
    /// costs its senders and not the sessions that trade.
    pub const QUEUE_DEPTH: usize = 256;

    /// Starts the thread.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(keystore: Keystore) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (requests, queue) = bounded(Self::QUEUE_DEPTH);
        let thread = std::thread::Builder::new()
            .name("authenticator".into())
            .spawn(move || run(&keystore, &queue))?;
        Ok((Self { requests }, thread))
    }

    /// Asks. `false`: the queue is full, refuse the logon.
    pub fn ask(&self, request: AuthRequest) -> bool {
        match self.requests.try_send(request) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

fn run(keystore: &Keystore, queue: &Receiver<AuthRequest>) {
    while let Ok(request) = queue.recv() {
        let accepted = check(keystore, &request.credentials);
        // The gateway may be gone during shutdown; there is nobody left to tell.
        if request
            .reply
            .send(AuthReply {
                connection: request.connection,
                accepted,
            })
            .is_ok()
        {
            (request.wake)();
        }
    }
}

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
        } => VerifyingKey::from_bytes(public_key).is_ok_and(|key| {
            key.verify_strict(message, &Signature::from_bytes(signature))
                .is_ok()
        }),
        Credentials::Hmac {
            key_id,
            message,
            tag,
        } => {
            let secret = keystore.hmac_secret(key_id);
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
            public_key: key.verifying_key().to_bytes(),
            message: message.to_vec(),
            signature: key.sign(b"TE-LOGON-1").to_bytes(),
        };
        assert!(check(&keystore, &ed25519(b"TE-LOGON-1")));
        assert!(!check(&keystore, &ed25519(b"TE-LOGON-2")));
        let mut mac = Hmac::<Sha256>::new_from_slice(&[9; 32]).unwrap();
        mac.update(&message);
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        let hmac = |key_id: &str| Credentials::Hmac {
            key_id: key_id.into(),
            message: message.clone(),
            tag,
        };
        assert!(check(&keystore, &hmac("k")));
        assert!(!check(&keystore, &hmac("unknown")));
        assert!(!check(&keystore, &Credentials::Unknown));
    }
}
