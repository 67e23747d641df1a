//! Takes out of a text what must not leave the venue: secrets, and who somebody is.

use std::net::{IpAddr, SocketAddr};

/// What stands where it was.
pub const SCRUBBED: &str = "***";

/// Parts of names whose values are secrets or persons.
const NAMES: [&str; 10] = [
    "password",
    "passwd",
    "secret",
    "token",
    "authorization",
    "key",
    "dsn",
    "credential",
    "user",
    "address",
];
/// From so many letters and digits in a row on, a word is a key rather than a word.
const KEY_LETTERS: usize = 32;

/// Whether a field of this name may not be told.
pub fn is_private(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|part| name.contains(part))
}

/// The text without passwords in URLs, bearer tokens, values given to private names, long keys and
/// addresses.
pub fn scrub(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut hide_next = false;
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        let space = &piece[word.len()..];
        if hide_next && !word.is_empty() {
            out.push_str(SCRUBBED);
            hide_next = false;
        } else {
            out.push_str(&scrub_word(word));
            hide_next = hide_next || word.eq_ignore_ascii_case("bearer");
        }
        out.push_str(space);
    }
    out
}

fn scrub_word(word: &str) -> String {
    if let Some((name, _)) = word.split_once(['=', ':'])
        && is_private(name)
        && !word.contains("://")
        && word.len() > name.len() + 1
    {
        return format!("{}{SCRUBBED}", &word[..=name.len()]);
    }
    let is_beside = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, ':' | '[' | ']');
    let bare = word.trim_matches(is_beside);
    if bare.parse::<SocketAddr>().is_ok() || bare.parse::<IpAddr>().is_ok() {
        return word.replace(bare, SCRUBBED);
    }
    // user:password@host
    let word = match (word.find("://"), word.rfind('@')) {
        (Some(start), Some(at)) if start + 3 <= at => {
            format!("{}{SCRUBBED}{}", &word[..start + 3], &word[at..])
        }
        (None, Some(at)) if at > 0 => return format!("{SCRUBBED}{}", &word[at..]),
        _ => word.to_owned(),
    };
    let is_part_of_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_' | '.');
    let mut out = String::with_capacity(word.len());
    let mut rest = word.as_str();
    while !rest.is_empty() {
        let length = rest.find(|c| !is_part_of_key(c)).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(length);
        let letters = run.chars().filter(char::is_ascii_alphanumeric).count();
        let digits = run.chars().any(|c| c.is_ascii_digit());
        out.push_str(if letters >= KEY_LETTERS && digits {
            SCRUBBED
        } else {
            run
        });
        let other = behind.chars().next().map_or(0, char::len_utf8);
        out.push_str(&behind[..other]);
        rest = &behind[other..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_persons_are_taken_out_and_words_are_left() {
        for (text, expected) in [
            (
                "journal failed: No space left on device (os error 28)",
                None,
            ),
            ("cannot read journal-00000001.log at 4096", None),
            (
                "panicked at src/engine/mod.rs:12:5: Invariant: the journal takes every command once",
                None,
            ),
            (
                "postgres://app:hunter2@db:5432/venue refused",
                Some("postgres://***@db:5432/venue refused"),
            ),
            ("password=hunter2 next", Some("password=*** next")),
            (
                "Authorization: Bearer abc.def",
                Some("Authorization: Bearer ***"),
            ),
            ("peer 10.1.2.3:4567 left", Some("peer *** left")),
            (
                "peer (192.168.0.1) and [::1]:80.",
                Some("peer (***) and ***."),
            ),
            ("mail jane@example.org", Some("mail ***@example.org")),
            (
                "secret is 0123456789abcdef0123456789abcdef!",
                Some("secret is ***!"),
            ),
        ] {
            assert_eq!(scrub(text), expected.unwrap_or(text));
        }
        assert!(is_private("api_key") && is_private("Username") && !is_private("sequence"));
    }
}
