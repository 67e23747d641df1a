//! shutdown: in work.
