//! Passwords of the people who may log in (`store::users` keeps them): checked in the same time whoever it
//! is, and bounded before they are hashed.

use argon2::password_hash::PasswordVerifier;
use argon2::{Argon2, PasswordHash};

use crate::store::users::{PASSWORD_LENGTH_MIN, User, hash};

/// Longest password, bytes: what is hashed is bounded.
pub const PASSWORD_LENGTH_MAX: usize = 256;
/// Hash of a random text nobody kept.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password as it is kept. Takes tens of milliseconds on purpose.
///
/// # Errors
/// Too short or too long, or no randomness.
pub fn hash_password(password: &str) -> Result<String, String> {
    if password.chars().count() < PASSWORD_LENGTH_MIN || password.len() > PASSWORD_LENGTH_MAX {
        return Err(format!(
            "a password has {PASSWORD_LENGTH_MIN} characters to {PASSWORD_LENGTH_MAX} bytes"
        ));
    }
    hash(password).map_err(|error| error.to_string())
}

/// Whether it is the user's password, and they may log in. As slow for nobody.
pub fn is_right(user: Option<&User>, password: &str) -> bool {
    let text = user.map_or(NOBODY, |user| user.password_hash.as_str());
    let right = PasswordHash::new(text).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    });
    right && user.is_some_and(|user| !user.disabled)
}
