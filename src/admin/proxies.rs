//! `TRUSTED_PROXIES`: whose word on where a request comes from is believed.
//!
//! Behind a proxy every request comes from the proxy's address, so that one guesser would lock all logins, and
//! the audit would name the proxy. A proxy that is trusted says in `X-Forwarded-For` who asked it; the
//! newest address there that is no trusted proxy's itself is the client's. From anybody else the header is
//! nothing: whoever asks can write it. So can whoever connects from a trusted network: name the proxies alone.

use std::net::IpAddr;

use axum::http::HeaderMap;

/// By what somebody at an address is counted: of IPv6 the first 64 bits, of which one host has all.
pub fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address => address,
    }
}

/// Networks of proxies that are trusted; without any nobody is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    begin: IpAddr,
    bits: u32,
}

impl TrustedProxies {
    /// Addresses, and networks like `192.0.2.0/28`, with commas.
    pub fn parse(text: &str) -> Option<Self> {
        let networks = text.split(',').map(|one| Network::parse(one.trim()));
        networks.collect::<Option<Vec<_>>>().map(Self)
    }

    /// Where a request comes from that the connection's other end sent.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.has(client) {
            return client;
        }
        // What stands in front of what is looked at is somebody else's text, in any bytes.
        let said = headers.get_all("x-forwarded-for");
        let said: Vec<&[u8]> = said.iter().map(|line| line.as_bytes()).collect();
        let words = said
            .iter()
            .rev()
            .flat_map(|line| line.rsplit(|byte| *byte == b','));
        for one in words {
            let one = std::str::from_utf8(one).unwrap_or_default();
            let Ok(before) = one.trim().parse::<IpAddr>() else {
                break;
            };
            client = before.to_canonical();
            if !self.has(client) {
                break;
            }
        }
        client
    }

    fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.has(address))
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (begin, bits) = match text.split_once('/') {
            Some((begin, bits)) => (begin, Some(bits)),
            None => (text, None),
        };
        let begin: IpAddr = begin.parse().ok()?;
        let most = if begin.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
        // Everybody is nobody's proxy, and addresses are compared as what they are.
        let is_mapped = begin.to_canonical() != begin;
        (bits <= most && bits > 0 && !is_mapped).then_some(Self { begin, bits })
    }

    fn has(&self, address: IpAddr) -> bool {
        match (self.begin, address) {
            (IpAddr::V4(begin), IpAddr::V4(address)) => {
                let differs = begin.to_bits() ^ address.to_bits();
                differs.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(begin), IpAddr::V6(address)) => {
                let differs = begin.to_bits() ^ address.to_bits();
                differs.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_host_with_many_addresses_is_counted_once() {
        let of = |text: &str| counted_as(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("::ffff:203.0.113.9"), "203.0.113.9");
    }

    #[test]
    fn the_newest_address_that_is_no_trusted_proxys_is_the_clients() {
        let trusted = TrustedProxies::parse("10.0.0.0/8, 192.0.2.7,fd00::/8").unwrap();
        let client = |peer: &str, said: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in said {
                let line = HeaderValue::from_bytes(line.as_bytes()).unwrap();
                headers.append("x-forwarded-for", line);
            }
            let client = trusted.client(peer.parse().unwrap(), &headers);
            client.to_string()
        };
        for (peer, said, expected) in [
            ("198.51.100.1", &["203.0.113.9"][..], "198.51.100.1"),
            ("10.1.2.3", &[], "10.1.2.3"),
            ("10.1.2.3", &["203.0.113.9"], "203.0.113.9"),
            ("::ffff:10.1.2.3", &["203.0.113.9"], "203.0.113.9"),
            // What the client wrote itself stands before what the proxy added.
            ("10.1.2.3", &["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            (
                "10.1.2.3",
                &["1.1.1.1", "203.0.113.9, 192.0.2.7"],
                "203.0.113.9",
            ),
            ("fd12::1", &["2001:db8::1"], "2001:db8::1"),
            ("192.0.2.8", &["203.0.113.9"], "192.0.2.8"),
            ("10.1.2.3", &["203.0.113.9, unknown"], "10.1.2.3"),
            ("10.1.2.3", &["10.9.9.9"], "10.9.9.9"),
            ("10.1.2.3", &["\u{fe}, 203.0.113.9"], "203.0.113.9"),
        ] {
            assert_eq!(client(peer, said), expected, "{peer} {said:?}");
        }
        for wrong in [
            "",
            "proxy",
            "10.0.0.0/33",
            "10.0.0.0/x",
            "10.0.0.1,",
            "::1/129",
            "0.0.0.0/0",
            "::ffff:10.0.0.0/104",
        ] {
            assert_eq!(TrustedProxies::parse(wrong), None, "{wrong:?}");
        }
    }
}
