//! What several tests share. Each test binary uses a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod busy;
pub mod counting;
pub mod http;
pub mod market;
pub mod naive;
pub mod peers;
pub mod ports;
pub mod postgres;
pub mod projected;
pub mod redis;
pub mod resp;
pub mod server;
pub mod settings;
pub mod talk;
pub mod venue;
pub mod workload;
