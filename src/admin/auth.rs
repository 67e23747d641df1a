//! Tokens of the admin API: JSON web tokens with one pinned algorithm, and the roles in them.
//!
//! A token is right when its signature is, under the key this venue has now, with the algorithm it was
//! set up with; when it names this issuer and audience, and a role there is; and when it is neither
//! early, nor late, nor longer alive than [`LIFETIME_MAX`]. There is no other way in.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use trading_engine_protocol::types::UtcNanos;

use crate::engine::command::AuditNote;
use crate::gateway::keystore::encode_hex;

/// Who issues tokens.
pub const ISSUER: &str = "trading-engine";
/// Longest life of a token, seconds.
pub const LIFETIME_MAX: u64 = 900;
/// Shortest secret of HS256, bytes.
pub const SECRET_LENGTH_MIN: usize = 32;
/// How long after a login tokens can be refreshed, seconds.
pub const LOGIN_TIME: u64 = 12 * 3600;
/// How far clocks may be apart, seconds.
const LEEWAY: u64 = 5;

/// What somebody may do; each has all below it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look.
    Viewer,
    /// End connections, cancel a session's orders.
    TraderSupport,
    /// Stop and release: kill switches, limits, halts, phases.
    Risk,
    /// Change what there is: definitions, keys, users, trades, days.
    Operator,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 4] = [
        Self::Viewer,
        Self::TraderSupport,
        Self::Risk,
        Self::Operator,
    ];

    /// Its name, as tokens and the log have it.
    pub const fn name(self) -> &'static str {
        AuditNote::ROLES[self as usize]
    }

    /// The role of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// How tokens are signed.
#[derive(Clone)]
pub enum Signing {
    /// HS256 by a secret of at least [`SECRET_LENGTH_MIN`] bytes.
    Secret(Vec<u8>),
    /// EdDSA by two keys that belong together.
    KeyPair {
        /// Checks.
        public: DecodingKey,
        /// Signs.
        private: EncodingKey,
    },
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret",
            Self::KeyPair { .. } => "KeyPair",
        })
    }
}

impl Signing {
    /// A secret for one life of the venue.
    ///
    /// # Errors
    /// No randomness.
    pub fn drawn() -> Result<Self, String> {
        let mut secret = vec![0; SECRET_LENGTH_MIN];
        getrandom::fill(&mut secret).map_err(|error| error.to_string())?;
        Ok(Self::Secret(secret))
    }
}

/// What a token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// Audience.
    pub aud: String,
    /// User.
    pub sub: String,
    /// Role.
    pub role: String,
    /// Issued at, seconds.
    pub iat: u64,
    /// Not before, seconds.
    pub nbf: u64,
    /// Expires at, seconds.
    pub exp: u64,
    /// When the user logged in, seconds.
    pub auth_time: u64,
    /// Names the password that was given then ([`password_mark`]).
    #[serde(default)]
    pub password: String,
}

/// Somebody with a right token.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// User.
    pub name: String,
    /// Role, as of when the token was made, or the user's if that is less by now.
    pub role: Role,
    /// When the token ends, seconds.
    pub expires_at: u64,
    /// When the user logged in, seconds.
    pub auth_time: u64,
    /// Names the password that was given then ([`password_mark`]).
    pub password: String,
}

/// Makes and checks tokens.
pub struct Tokens {
    header: Header,
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    audience: String,
    /// Seconds.
    lifetime: u64,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("algorithm", &self.header.alg)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    /// Tokens for an audience that live so many seconds.
    ///
    /// # Errors
    /// A secret that is too short, a lifetime that is none or too long.
    pub fn new(signing: &Signing, audience: &str, lifetime: u64) -> Result<Self, String> {
        if lifetime == 0 || lifetime > LIFETIME_MAX {
            return Err(format!("tokens live 1 to {LIFETIME_MAX} seconds"));
        }
        let (algorithm, encoding, decoding) = match signing {
            Signing::Secret(secret) => {
                if secret.len() < SECRET_LENGTH_MIN {
                    return Err(format!(
                        "the secret has fewer than {SECRET_LENGTH_MIN} bytes"
                    ));
                }
                let encoding = EncodingKey::from_secret(secret).map_err(wrong_key)?;
                let decoding = DecodingKey::from_secret(secret).map_err(wrong_key)?;
                (Algorithm::HS256, encoding, decoding)
            }
            Signing::KeyPair { public, private } => {
                (Algorithm::EdDSA, private.clone(), public.clone())
            }
        };
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        let mut header = Header::new(algorithm);
        // Names the key and tells nothing of it.
        let key = decoding.try_get_as_bytes().map_err(wrong_key)?;
        header.kid = Some(mark(b"kid:", key));
        Ok(Self {
            header,
            encoding,
            decoding,
            validation,
            audience: audience.to_owned(),
            lifetime,
        })
    }

    /// A token, and when it ends (seconds). `password` is the mark of the one that was given at
    /// `auth_time`.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn issue(
        &self,
        name: &str,
        role: Role,
        password: &str,
        auth_time: u64,
        now: u64,
    ) -> Result<(String, u64), String> {
        let claims = Claims {
            iss: ISSUER.into(),
            aud: self.audience.clone(),
            sub: name.to_owned(),
            role: role.name().to_owned(),
            iat: now,
            nbf: now,
            exp: now + self.lifetime,
            auth_time,
            password: password.to_owned(),
        };
        let token = jsonwebtoken::encode(&self.header, &claims, &self.encoding)
            .map_err(|error| format!("signing a token: {error}"))?;
        Ok((token, claims.exp))
    }

    /// Whose token it is, if it is right at `now` (seconds). What is wrong with one is nobody's business.
    pub fn check(&self, token: &str, now: u64) -> Option<Bearer> {
        let read = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation).ok()?;
        let claims = read.claims;
        let lives = claims.exp.checked_sub(claims.iat)?;
        let right = read.header.kid == self.header.kid
            && lives <= LIFETIME_MAX
            && claims.iat <= now + LEEWAY
            && claims.exp + LEEWAY > now
            && crate::engine::command::name(&claims.sub).is_some();
        right.then_some(Bearer {
            role: Role::of(&claims.role)?,
            name: claims.sub,
            expires_at: claims.exp,
            auth_time: claims.auth_time,
            password: claims.password,
        })
    }
}

/// Names a password by its salted hash, and tells nothing of either: with another password a token is
/// not refreshed.
pub fn password_mark(password_hash: &str) -> String {
    mark(b"password:", password_hash.as_bytes())
}

fn mark(what: &[u8], names: &[u8]) -> String {
    let digest = Sha256::digest([what, names].concat());
    encode_hex(&digest[..8])
}

fn wrong_key(error: jsonwebtoken::errors::Error) -> String {
    format!("not a key: {error}")
}

/// Seconds of a time.
pub fn seconds(at: UtcNanos) -> u64 {
    at.0 / UtcNanos::SECOND
}
