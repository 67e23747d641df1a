//! Text at the edges: numbers, times, ids.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trading_engine_protocol::fix::codec::{number, timestamp};
use trading_engine_protocol::fix::encode::write_timestamp;
use trading_engine_protocol::types::{ClientOrderId, Decimal8, UtcNanos};

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = Decimal8::parse(data) {
        assert_eq!(Decimal8::parse(value.to_string().as_bytes()), Ok(value));
    }
    let _ = number(data);
    if let Some(time) = timestamp(data) {
        let millis = time.0 / 1_000_000 * 1_000_000;
        let mut text = [0; 21];
        write_timestamp(time, &mut text);
        assert_eq!(timestamp(&text), Some(UtcNanos(millis)));
    }
    if let Ok(id) = ClientOrderId::from_text(data) {
        assert_eq!(id.as_text(), Some(data));
    }
});
