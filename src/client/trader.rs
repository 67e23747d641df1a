//! `trading-engine client`: trade from the command line or a script.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use trading_engine_protocol::binary::message::{
    CancelAfter, CancelOrder, KillSwitchDone, MassCancelDone, MassQuoteAck, Message, OrderAccepted,
    OrderRejected, OrderReplaced, OrderStatus, OrderStatusRequest, ProtectionReset,
    ProtectionStatus, QuoteCancelDone,
};
use trading_engine_protocol::types::Decimal8;

use super::credentials::BinaryCredentials;
use super::describe::{client_seq, describe, is_refusal};
use super::words::{self, Words, text};
use super::{Place, Received, Session};

/// How commands are given, for `help` and for wrong ones.
pub const COMMANDS: &str = "\
buy SYMBOL QUANTITY [PRICE] [TERMS]   enter an order (no price: market, immediate or cancel)
sell SYMBOL QUANTITY [PRICE] [TERMS]
    TERMS: day, gtc, gtd UNTIL, ioc, fok, at-open, at-close; stop PRICE, market-to-limit;
    display QUANTITY, min QUANTITY, post-only, keep (when disconnected);
    stp newest|oldest|both|decrement [firm], group N, account N
    UNTIL: +SECONDS or YYYYMMDD-HH:MM:SS
replace CLORDID QUANTITY [PRICE] [stop PRICE] [display QUANTITY] [gtd UNTIL]
                                      new total quantity and price
cancel CLORDID                        cancel what is open
cancel-all [SYMBOL] [buy|sell] [user|firm] [quotes|orders] [product N] [group N] [account N]
cancel-after MILLISECONDS             unless sent again before; 0: not any more
quote SYMBOL BID ASK [TERMS][ , SYMBOL BID ASK [TERMS]]...
    BID, ASK: QUANTITY PRICE, 0 (no quote any more) or - (as it is)
    TERMS: layer N, group N, account N, post-only, stp as of an order
quote-cancel [SYMBOL] [layer N] [group N]
protect GROUP window MILLISECONDS [lots N] [net N] [fills N] [freeze MILLISECONDS]
protect GROUP off|reset
status CLORDID | status order ORDERID
mass-status [SYMBOL] [buy|sell]       what is open
kill session|firm|user N | instrument SYMBOL | venue [release]
watch [SECONDS]                       print what happens
symbols                               instruments of the venue
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
                next_id = next_id.max(request_id(message) + 1);
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
            words => match self.request(words) {
                Ok(()) => self.answer(),
                Err(message) => self.complain(&message),
            },
        }
    }

    /// Queues what the words ask for.
    fn request(&mut self, words: &[&str]) -> Result<(), String> {
        let all = self.session.instruments.clone();
        let read = |rest| Words::new(rest, &all);
        match *words {
            [side @ ("buy" | "sell"), ref rest @ ..] => {
                let mut order = words::order(read(rest), if side == "buy" { 1 } else { 2 })?;
                order.cl_ord_id = self.take_id();
                self.orders.push((order.cl_ord_id, order.instrument_id));
                self.session.queue(&order);
            }
            ["replace", id, ref rest @ ..] => {
                let (original, instrument) = self.known(id)?;
                let mut replace = words::replace(read(rest))?;
                replace.cl_ord_id = self.take_id();
                replace.orig_cl_ord_id = original;
                replace.instrument_id = instrument;
                self.orders.push((replace.cl_ord_id, instrument));
                self.session.queue(&replace);
            }
            ["cancel", id] => {
                let (original, instrument) = self.known(id)?;
                let cl_ord_id = self.take_id();
                self.session.queue(&CancelOrder {
                    cl_ord_id,
                    orig_cl_ord_id: original,
                    instrument_id: instrument,
                    ..CancelOrder::default()
                });
            }
            ["cancel-all", ref rest @ ..] => {
                let mut cancel = words::mass_cancel(read(rest))?;
                cancel.cl_ord_id = self.take_id();
                self.session.queue(&cancel);
            }
            ["cancel-after", after_ms] => {
                let after_ms = after_ms.parse().map_err(|_| "milliseconds are a number")?;
                let reserved = 0;
                self.session.queue(&CancelAfter { after_ms, reserved });
            }
            ["quote", ref rest @ ..] => {
                let (mut quote, entries) = words::quote(read(rest))?;
                quote.quote_id = self.take_id();
                self.session.queue_group(&quote, &entries);
            }
            ["quote-cancel", ref rest @ ..] => {
                let mut cancel = words::quote_cancel(read(rest))?;
                cancel.quote_id = self.take_id();
                self.session.queue(&cancel);
            }
            ["protect", group, "reset"] => {
                let mmp_group = group.parse().map_err(|_| "group is a number")?;
                let cl_ord_id = self.take_id();
                self.session.queue(&ProtectionReset {
                    cl_ord_id,
                    mmp_group,
                    ..ProtectionReset::default()
                });
            }
            ["protect", ref rest @ ..] => {
                let mut config = words::protection(read(rest))?;
                config.cl_ord_id = self.take_id();
                self.session.queue(&config);
            }
            ["status", "order", id] => {
                let order_id = id.parse().map_err(|_| "an order id is a number")?;
                let cl_ord_id = self.take_id();
                self.session.queue(&OrderStatusRequest {
                    cl_ord_id,
                    order_id,
                    ..OrderStatusRequest::default()
                });
            }
            ["status", id] => {
                let orig_cl_ord_id = id.parse().map_err(|_| "an id is a number")?;
                let cl_ord_id = self.take_id();
                self.session.queue(&OrderStatusRequest {
                    cl_ord_id,
                    orig_cl_ord_id,
                    ..OrderStatusRequest::default()
                });
            }
            ["mass-status", ref rest @ ..] => {
                let mut request = words::mass_status(read(rest))?;
                request.cl_ord_id = self.take_id();
                self.session.queue(&request);
            }
            ["kill", ref rest @ ..] => {
                let mut kill = words::kill(read(rest))?;
                kill.cl_ord_id = self.take_id();
                self.session.queue(&kill);
            }
            _ => return Err(COMMANDS.into()),
        }
        Ok(())
    }

    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    fn known(&self, id: &str) -> Result<(u64, u32), String> {
        let found = id.parse().ok().and_then(|id: u64| {
            let mut newest_first = self.orders.iter().rev();
            newest_first.find(|(known, _)| *known == id).copied()
        });
        found.ok_or_else(|| "no order of that id".into())
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
            fine &= !is_refusal(&message);
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

/// The id that we gave a request which is no order, of a message that answers it; 0 = none.
fn request_id(message: &Received) -> u64 {
    let at = match message.header.template_id {
        MassQuoteAck::TEMPLATE => core::mem::offset_of!(MassQuoteAck, quote_id),
        MassCancelDone::TEMPLATE
        | OrderStatus::TEMPLATE
        | ProtectionStatus::TEMPLATE
        | KillSwitchDone::TEMPLATE
        | QuoteCancelDone::TEMPLATE => core::mem::offset_of!(MassCancelDone, cl_ord_id),
        _ => return 0,
    };
    let bytes = message.body.get(at..).and_then(<[u8]>::first_chunk::<8>);
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
