//! Text at the edges: numbers, times, ids, settings.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trading_engine::config::Config;
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
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.split('\n');
    let settings: Vec<(&str, &str)> = std::iter::from_fn(|| Some((parts.next()?, parts.next()?))).collect();
    let _ = Config::read(&|name| {
        let found = settings.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    });
});
