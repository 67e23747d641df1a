//! What the environment asks of a long test.

/// A number, if the variable has one.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// `SEED`, or another one each time; printed, so that a run can be repeated.
pub fn seed() -> u64 {
    let clock = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let seed = number("SEED").unwrap_or(clock.as_nanos() as u64);
    println!("SEED={seed}");
    seed
}
