//! Text that is never shown: passwords, signing keys, tokens. Settings hold them in this type from the
//! moment they are read.

use std::fmt;

use zeroize::Zeroizing;

/// A secret. Neither `Debug` nor `Display` show it or how long it is; its memory is wiped when it is
/// dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// What stands where a secret would.
pub const REDACTED: &str = "***";

impl Secret {
    /// Takes the text over, without a copy.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the one place that needs it. Never for a log or an error.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        let secret = Secret::new("hunter2".into());
        assert_eq!(
            format!("{secret} {secret:?} {secret:#?} {secret:>9}"),
            "*** *** *** ***"
        );
        assert_eq!(secret.reveal(), "hunter2");
    }
}
