//! Market data, built from durable events beside the engine.

pub mod depth;
