//! gateway/mod: in work.
