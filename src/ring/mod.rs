//! ring/mod: in work.
