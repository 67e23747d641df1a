//! Ports for servers that have to be told theirs: PostgreSQL, Redis, a venue whose port is known before it
//! starts.
//!
//! A port that the system chose and that was given back may be anybody's by the time the server has it:
//! another test's server, the near end of any connection, even the near end of the very connection that asks
//! whether somebody listens. So these are from below the ports that the system chooses from, and none is
//! given to two tests.

use std::net::TcpListener;
use std::sync::Mutex;

const FIRST: u16 = 12_000;
const LAST: u16 = 31_999;

/// A port on which nobody listens, and that no other test of this machine is given meanwhile.
pub fn free() -> u16 {
    // Held until the process ends, so that two test programs do not choose the same.
    static TAKEN: Mutex<Vec<std::fs::File>> = Mutex::new(Vec::new());
    let folder = std::env::temp_dir().join("trading-engine-test-ports");
    std::fs::create_dir_all(&folder).unwrap();
    let mut taken = TAKEN.lock().unwrap();
    let count = LAST - FIRST + 1;
    let begin = (std::process::id() % u32::from(count)) as u16;
    for offset in 0..count {
        let port = FIRST + (begin + offset) % count;
        let lock = std::fs::File::create(folder.join(port.to_string())).unwrap();
        if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            taken.push(lock);
            return port;
        }
    }
    panic!("all of {FIRST} to {LAST} are taken");
}
