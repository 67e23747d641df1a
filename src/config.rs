//! config: in work.
