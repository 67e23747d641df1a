//! clock: in work.
