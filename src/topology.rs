//! topology: in work.
