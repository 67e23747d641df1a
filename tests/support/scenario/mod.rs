//! Scenarios of the rulebook: text in, the engine's events out as text.
//!
//! `text` reads a chapter, `world` makes its venue, `words` its commands; `run` drives the engine;
//! `lines` says what it wrote, `checks` what must hold whatever it wrote. The language is described
//! in `tests/matching/README.md`.

pub mod checks;
pub mod lines;
pub mod run;
pub mod text;
pub mod words;
pub mod world;
