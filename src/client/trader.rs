//! `trading-engine client`: trade from the command line or a script.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use trading_engine_protocol::binary::NULL_PRICE;
use trading_engine_protocol::binary::message::{
    CancelOrder, CancelRejected, Fill, NewOrder, OrderAccepted, OrderCanceled, OrderRejected,
    OrderReplaced, Reject, ReplaceOrder,
};
use trading_engine_protocol::types::{Decimal8, Reason};

use super::credentials::BinaryCredentials;
use super::{Place, Received, Session};

/// How commands are given, for `help` and for wrong ones.
pub const COMMANDS: &str = "\
buy SYMBOL QUANTITY [PRICE] [day|ioc|fok]   enter an order (no price: market, immediate or cancel)
sell SYMBOL QUANTITY [PRICE] [day|ioc|fok]
cancel CLORDID                              cancel what is open
replace CLORDID QUANTITY PRICE              new total quantity and price
watch [SECONDS]                             print what happens
symbols                                     instruments of the venue
quit";

/// A trader at a prompt.
pub struct Trader<'a> {
    session: Session,
    out: &'a mut dyn Write,
    json: bool,
    next_id: u64,
    orders: Vec<(u64, u32)>,
}

impl<'a> Trader<'a> {
    /// Logs on. Own history of the day is replayed silently, so that ids go on behind it.
    ///
    /// # Errors
    /// As [`Session::logon`].
    pub fn connect(
        address: SocketAddr,
        credentials: &BinaryCredentials,
        json: bool,
        out: &'a mut dyn Write,
    ) -> io::Result<Self> {
        let mut next_id = 1;
        let mut orders = Vec::new();
        let session = Session::logon(address, credentials, Place::BEGINNING, 5_000, |message| {
            let (id, instrument) = if let Some(m) = message.read::<OrderAccepted>() {
                (m.cl_ord_id, m.instrument_id)
            } else if let Some(m) = message.read::<OrderReplaced>() {
                (m.cl_ord_id, m.instrument_id)
            } else if let Some(m) = message.read::<OrderRejected>() {
                (m.cl_ord_id, m.instrument_id)
            } else {
                return;
            };
            next_id = next_id.max(id + 1);
            orders.push((id, instrument));
        })?;
        Ok(Self {
            session,
            out,
            json,
            next_id,
            orders,
        })
    }

    /// Runs commands, one a line, until `quit` or the end of `input`. Returns whether every
    /// command was understood and none was refused.
    ///
    /// # Errors
    /// The network's and the output's.
    pub fn run(mut self, input: &mut dyn BufRead) -> io::Result<bool> {
        let mut fine = true;
        let mut line = String::new();
        loop {
            line.clear();
            if input.read_line(&mut line)? == 0 {
                break;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                ["quit" | "exit"] => break,
                words => fine &= self.command(words)?,
            }
        }
        self.session.logout()?;
        Ok(fine)
    }

    fn command(&mut self, words: &[&str]) -> io::Result<bool> {
        match words {
            ["buy" | "sell", ..] => match self.order(words) {
                Ok(order) => {
                    self.orders.push((order.cl_ord_id, order.instrument_id));
                    self.session.queue(&order);
                    self.answer()
                }
                Err(message) => self.complain(&message),
            },
            ["cancel", id] => {
                let Some((original, instrument)) = self.known(id) else {
                    return self.complain("no order of that id");
                };
                let cl_ord_id = self.take_id();
                self.session.queue(&CancelOrder {
                    cl_ord_id,
                    orig_cl_ord_id: original,
                    instrument_id: instrument,
                    ..CancelOrder::default()
                });
                self.answer()
            }
            ["replace", id, quantity, price] => {
                let Some((original, instrument)) = self.known(id) else {
                    return self.complain("no order of that id");
                };
                let (Ok(quantity), Ok(price)) =
                    (quantity.parse::<Decimal8>(), price.parse::<Decimal8>())
                else {
                    return self.complain("quantity and price are decimals");
                };
                let cl_ord_id = self.take_id();
                self.orders.push((cl_ord_id, instrument));
                self.session.queue(&ReplaceOrder {
                    cl_ord_id,
                    orig_cl_ord_id: original,
                    price: price.0,
                    qty: quantity.0,
                    instrument_id: instrument,
                    ..ReplaceOrder::default()
                });
                self.answer()
            }
            ["watch", rest @ ..] => {
                let seconds = rest.first().and_then(|text| text.parse().ok()).unwrap_or(5);
                self.watch(Duration::from_secs(seconds))?;
                Ok(true)
            }
            ["symbols"] => {
                let all = self.session.instruments.clone();
                for instrument in all {
                    let symbol = text(&instrument.symbol);
                    self.print(json!({
                        "symbol": symbol,
                        "tick": Decimal8(instrument.tick).to_string(),
                        "lot": Decimal8(instrument.lot).to_string(),
                    }))?;
                }
                Ok(true)
            }
            _ => self.complain(COMMANDS),
        }
    }

    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    fn known(&self, id: &str) -> Option<(u64, u32)> {
        let id: u64 = id.parse().ok()?;
        self.orders
            .iter()
            .rev()
            .find(|(known, _)| *known == id)
            .copied()
    }

    fn order(&mut self, words: &[&str]) -> Result<NewOrder, String> {
        let side = if words[0] == "buy" { 1 } else { 2 };
        let symbol = words.get(1).ok_or(COMMANDS)?;
        let instrument = self
            .session
            .instruments
            .iter()
            .find(|instrument| text(&instrument.symbol) == *symbol)
            .ok_or_else(|| format!("no instrument {symbol}"))?
            .instrument_id;
        let quantity: Decimal8 = words
            .get(2)
            .and_then(|text| text.parse().ok())
            .ok_or("quantity is a decimal")?;
        let mut rest = words.get(3..).unwrap_or_default();
        let mut price = NULL_PRICE;
        if let [first, others @ ..] = rest
            && let Ok(limit) = first.parse::<Decimal8>()
        {
            price = limit.0;
            rest = others;
        }
        let tif = match rest {
            [] if price == NULL_PRICE => 3,
            [] | ["day"] => 0,
            ["ioc"] => 3,
            ["fok"] => 4,
            _ => return Err(COMMANDS.into()),
        };
        Ok(NewOrder {
            cl_ord_id: self.take_id(),
            price,
            qty: quantity.0,
            stop_price: NULL_PRICE,
            instrument_id: instrument,
            side,
            ord_type: if price == NULL_PRICE { 1 } else { 2 },
            tif,
            ..NewOrder::default()
        })
    }

    /// Sends what is queued and prints until it is answered and nothing more follows at once.
    fn answer(&mut self) -> io::Result<bool> {
        self.session.flush()?;
        let wanted = self.session.client_seq();
        let mut fine = true;
        let mut answered = false;
        let mut wait = Duration::from_secs(5);
        while let Some(message) = self.session.next(wait)? {
            answered |= client_seq(&message) == Some(wanted);
            fine &= !matches!(message.header.template_id, 9 | 203 | 204);
            self.show(&message)?;
            if answered {
                wait = Duration::from_millis(20);
            }
        }
        Ok(fine && answered)
    }

    fn watch(&mut self, time: Duration) -> io::Result<()> {
        let until = std::time::Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(std::time::Instant::now());
            match self.session.next(left)? {
                Some(message) => self.show(&message)?,
                None => return Ok(()),
            }
        }
    }

    fn complain(&mut self, message: &str) -> io::Result<bool> {
        self.print(json!({ "error": message }))?;
        Ok(false)
    }

    fn show(&mut self, message: &Received) -> io::Result<()> {
        let value = describe(message);
        self.print(value)
    }

    fn print(&mut self, value: Value) -> io::Result<()> {
        if self.json {
            writeln!(self.out, "{value}")?;
        } else if let Value::Object(fields) = value {
            let words: Vec<String> = fields
                .iter()
                .map(|(name, value)| match value {
                    Value::String(text) => format!("{name}={text}"),
                    other => format!("{name}={other}"),
                })
                .collect();
            writeln!(self.out, "{}", words.join("  "))?;
        }
        self.out.flush()
    }
}

/// The venue's own book of a symbol, as its HTTP port says it.
///
/// # Errors
/// The network's, or an unknown symbol.
pub fn book(http: SocketAddr, symbol: &str) -> io::Result<String> {
    use std::io::Read as _;
    let mut socket = std::net::TcpStream::connect(http)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        socket,
        "GET /book/{symbol} HTTP/1.1\r\nHost: venue\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.starts_with("HTTP/1.1 200") {
        Ok(body.to_owned())
    } else {
        Err(io::Error::other(body.to_owned()))
    }
}

fn text(symbol: &[u8; 24]) -> &str {
    let length = symbol
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(symbol.len());
    std::str::from_utf8(&symbol[..length]).unwrap_or("?")
}

fn client_seq(message: &Received) -> Option<u64> {
    message
        .read::<OrderAccepted>()
        .map(|m| m.client_seq)
        .or_else(|| message.read::<OrderRejected>().map(|m| m.client_seq))
        .or_else(|| message.read::<OrderReplaced>().map(|m| m.client_seq))
        .or_else(|| message.read::<OrderCanceled>().map(|m| m.client_seq))
        .or_else(|| message.read::<CancelRejected>().map(|m| m.client_seq))
        .or_else(|| message.read::<Reject>().map(|m| m.ref_seq))
}

/// A message as an object: enough to follow an order by.
fn describe(message: &Received) -> Value {
    let decimal = |value: i64| Decimal8(value).to_string();
    let reason = |code: u16| Reason::try_from(code).map_or("unknown", Reason::text);
    if let Some(m) = message.read::<OrderAccepted>() {
        json!({"event": "accepted", "seq": message.header.seq, "clOrdId": m.cl_ord_id,
               "orderId": m.order_id, "price": decimal(m.price), "leaves": decimal(m.leaves_qty)})
    } else if let Some(m) = message.read::<Fill>() {
        json!({"event": "fill", "seq": message.header.seq, "clOrdId": m.cl_ord_id,
               "orderId": m.order_id, "execId": m.exec_id, "tradeId": m.trade_id,
               "price": decimal(m.last_price), "quantity": decimal(m.last_qty),
               "leaves": decimal(m.leaves_qty),
               "liquidity": if m.liquidity == 1 { "maker" } else { "taker" }})
    } else if let Some(m) = message.read::<OrderCanceled>() {
        json!({"event": "canceled", "seq": message.header.seq, "clOrdId": m.orig_cl_ord_id,
               "orderId": m.order_id, "filled": decimal(m.cum_qty), "reason": reason(m.reason)})
    } else if let Some(m) = message.read::<OrderReplaced>() {
        json!({"event": "replaced", "seq": message.header.seq, "clOrdId": m.cl_ord_id,
               "origClOrdId": m.orig_cl_ord_id, "orderId": m.order_id,
               "price": decimal(m.price), "leaves": decimal(m.leaves_qty),
               "priorityKept": m.priority_kept == 1})
    } else if let Some(m) = message.read::<OrderRejected>() {
        json!({"event": "rejected", "seq": message.header.seq, "clOrdId": m.cl_ord_id,
               "reason": reason(m.reason), "code": m.reason, "field": m.ref_field_id})
    } else if let Some(m) = message.read::<CancelRejected>() {
        json!({"event": "cancel-rejected", "seq": message.header.seq, "clOrdId": m.cl_ord_id,
               "reason": reason(m.reason), "code": m.reason})
    } else if let Some(m) = message.read::<Reject>() {
        json!({"event": "reject", "refSeq": m.ref_seq, "reason": reason(m.reason),
               "code": m.reason, "field": m.ref_field_id})
    } else {
        json!({"event": "message", "template": message.header.template_id})
    }
}
