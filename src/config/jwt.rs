//! What admin tokens are signed with: one shared secret, or a pair of Ed25519 keys.

use jsonwebtoken::crypto::{sign, verify};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

use super::secret::Secret;

/// A key of Ed25519 in PEM takes less.
const PEM_BYTES_MAX: usize = 4096;

/// Keys of the admin API's tokens; they decide the algorithm, no token does.
#[derive(Clone, Debug)]
pub enum JwtKeys {
    /// `JWT_SECRET`: HS256.
    Hs256(Secret),
    /// `JWT_PRIVATE_KEY` and `JWT_PUBLIC_KEY`: EdDSA, each in PEM.
    EdDsa(Box<JwtKeyPair>),
}

/// Two Ed25519 keys that belong together; nothing else makes one.
#[derive(Clone, Debug)]
pub struct JwtKeyPair {
    private: EncodingKey,
    public: DecodingKey,
}

impl JwtKeyPair {
    /// The keys, if the one verifies what the other signs.
    pub fn of(private: EncodingKey, public: DecodingKey) -> Option<Self> {
        let message = b"trading-engine";
        let signature = sign(message, &private, Algorithm::EdDSA).ok()?;
        let is_right = verify(&signature, message, &public, Algorithm::EdDSA).ok()?;
        is_right.then_some(Self { private, public })
    }

    /// Signs.
    pub fn private(&self) -> &EncodingKey {
        &self.private
    }

    /// Checks.
    pub fn public(&self) -> &DecodingKey {
        &self.public
    }
}

/// An Ed25519 private key in PEM (PKCS#8).
pub fn private_key(pem: &str) -> Option<EncodingKey> {
    let pem = Some(pem).filter(|pem| pem.len() <= PEM_BYTES_MAX)?;
    EncodingKey::from_ed_pem(pem.as_bytes()).ok()
}

/// An Ed25519 public key in PEM. Whatever else the text has, before the key or after, is not kept:
/// nobody knows what it is.
pub fn public_key(pem: &str) -> Option<DecodingKey> {
    let is_public = |pem: &&str| pem.len() <= PEM_BYTES_MAX && pem.contains("BEGIN PUBLIC KEY");
    let pem = Some(pem).filter(is_public)?;
    DecodingKey::from_ed_pem(pem.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Keys of RFC 8410, which have no other use.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";
    const ANOTHER: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEApEFPm0EMY5Y7hRrf8j9ewzvk4J0Ccf269XEu0cnPu7w=\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn keys_are_what_they_claim_and_belong_together() {
        assert!(private_key(PUBLIC).is_none() && public_key(PRIVATE).is_none());
        let pair_with = |public| {
            let (private, public) = (private_key(PRIVATE).unwrap(), public_key(public).unwrap());
            JwtKeyPair::of(private, public)
        };
        let with_notes = format!("what nobody may see\n{PUBLIC}# nor this\n");
        let pair = pair_with(&with_notes).unwrap();
        let shown = format!("{pair:?}");
        assert!(
            ["MC4CAQ", "BEGIN", "what", "nor this"]
                .iter()
                .all(|secret| !shown.contains(secret)),
            "{shown}"
        );
        assert!(pair_with(ANOTHER).is_none());
        for cut in 0..PRIVATE.len() - 2 {
            assert!(private_key(&PRIVATE[..cut]).is_none(), "{cut}");
        }
    }
}
