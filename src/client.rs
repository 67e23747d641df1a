//! client: in work.
