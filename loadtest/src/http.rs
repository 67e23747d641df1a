//! The venue's side port: `GET /book/{symbol}`.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::Deserialize;
use trading_engine_protocol::types::Decimal8;

/// One price of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Mantissa of 10^-8.
    pub price: i64,
    /// Mantissa of 10^-8.
    pub quantity: i64,
    /// Orders there.
    pub orders: u64,
}

/// Both sides, best first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// Highest first.
    pub bids: Vec<Level>,
    /// Lowest first.
    pub asks: Vec<Level>,
}

#[derive(Deserialize)]
struct WireLevel {
    price: String,
    quantity: String,
    orders: u64,
}

#[derive(Deserialize)]
struct WireBook {
    bids: Vec<WireLevel>,
    asks: Vec<WireLevel>,
}

fn levels(wire: Vec<WireLevel>) -> io::Result<Vec<Level>> {
    let decimal = |text: &str| {
        Decimal8::parse(text.as_bytes())
            .map(|value| value.0)
            .map_err(|_| io::Error::other(format!("no decimal: {text:?}")))
    };
    wire.into_iter()
        .map(|level| {
            Ok(Level {
                price: decimal(&level.price)?,
                quantity: decimal(&level.quantity)?,
                orders: level.orders,
            })
        })
        .collect()
}

/// Body of a GET.
///
/// # Errors
/// The network's, or a status other than 200.
pub fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nHost: venue\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let bad = || io::Error::other(format!("GET {path}: {:?}", answer.lines().next()));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(bad)?;
    if head.split_whitespace().nth(1) != Some("200") {
        return Err(bad());
    }
    Ok(body.to_owned())
}

/// The venue's own book.
///
/// # Errors
/// As [`get`], and what is no book.
pub fn book(address: SocketAddr, symbol: &str) -> io::Result<Book> {
    let wire: WireBook = serde_json::from_str(&get(address, &format!("/book/{symbol}"))?)?;
    Ok(Book {
        bids: levels(wire.bids)?,
        asks: levels(wire.asks)?,
    })
}

#[derive(Deserialize)]
struct WireInstrument {
    id: u32,
    symbol: String,
}

/// Number and symbol of every instrument of the venue.
///
/// # Errors
/// As [`get`], and what is no such list.
pub fn instruments(address: SocketAddr) -> io::Result<Vec<(u32, String)>> {
    let wire: Vec<WireInstrument> = serde_json::from_str(&get(address, "/instruments")?)?;
    Ok(wire.into_iter().map(|one| (one.id, one.symbol)).collect())
}
