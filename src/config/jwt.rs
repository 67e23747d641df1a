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
    EdDsa {
        /// PKCS#8.
        private: Secret,
        /// SubjectPublicKeyInfo.
        public: String,
    },
}

/// Whether this is an Ed25519 private key in PEM (PKCS#8).
pub fn is_private_key(pem: &str) -> bool {
    pem.len() <= PEM_BYTES_MAX && EncodingKey::from_ed_pem(pem.as_bytes()).is_ok()
}

/// Whether this is an Ed25519 public key in PEM.
pub fn is_public_key(pem: &str) -> bool {
    pem.len() <= PEM_BYTES_MAX
        && pem.contains("BEGIN PUBLIC KEY")
        && DecodingKey::from_ed_pem(pem.as_bytes()).is_ok()
}

/// Whether the one verifies what the other signs.
pub fn is_pair(private: &str, public: &str) -> bool {
    let message = b"trading-engine";
    let keys = EncodingKey::from_ed_pem(private.as_bytes())
        .and_then(|key| Ok((key, DecodingKey::from_ed_pem(public.as_bytes())?)));
    keys.and_then(|(private, public)| {
        let signature = sign(message, &private, Algorithm::EdDSA)?;
        verify(&signature, message, &public, Algorithm::EdDSA)
    })
    .unwrap_or(false)
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
        assert!(is_private_key(PRIVATE) && is_public_key(PUBLIC));
        assert!(!is_private_key(PUBLIC) && !is_public_key(PRIVATE));
        assert!(is_pair(PRIVATE, PUBLIC));
        assert!(!is_pair(PRIVATE, ANOTHER) && !is_pair(PUBLIC, PRIVATE));
        for cut in 0..PRIVATE.len() - 2 {
            assert!(!is_private_key(&PRIVATE[..cut]), "{cut}");
        }
    }
}
