//! journal/mod: in work.
