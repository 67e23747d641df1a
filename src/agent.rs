//! agent: in work.
