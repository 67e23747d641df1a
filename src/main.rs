//! Venue.
fn main() {}
