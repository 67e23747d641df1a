//! sequencer: in work.
