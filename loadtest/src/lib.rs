//! Real sessions against a running venue: open-loop load, closed-loop latency beside a raw TCP
//! echo, and the replay of a recorded day.
//!
//! It knows the venue by its protocols alone, as any client does.

pub mod client;
pub mod credentials;
pub mod echo;
pub mod http;
pub mod makers;
pub mod random;
pub mod replay;
pub mod report;
pub mod run;
pub mod table;
