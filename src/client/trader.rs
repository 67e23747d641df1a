//! `trading-engine client`: trade from the command line or a script.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use trading_engine_protocol::binary::message::{
    CancelAfter, CancelOrder, InstrumentDefinition, KillSwitch, KillSwitchDone, MassCancel,
    MassCancelDone, MassQuote, MassQuoteAck, Message, NewOrder, OrderAccepted, OrderRejected,
    OrderReplaced, OrderStatus, OrderStatusRequest, ProtectionConfig, ProtectionReset,
    ProtectionStatus, QuoteCancel, QuoteCancelDone, QuoteEntry, ReplaceOrder,
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
                                      instrument and venue: the venue alone may, sessions are refused
book SYMBOL                           the venue's own book, from its HTTP port
watch [SECONDS]                       print what happens
symbols                               instruments of the venue
quit
As arguments, commands have commas between them; what begins with none is the quote's next entry.";

/// First words of commands.
const FIRST_WORDS: &[&str] = &[
    "buy",
    "sell",
    "replace",
    "cancel",
    "cancel-all",
    "cancel-after",
    "quote",
    "quote-cancel",
    "protect",
    "status",
    "mass-status",
    "kill",
    "watch",
    "symbols",
    "book",
    "quit",
    "exit",
];

/// The commands of one text, which has commas between them and between the entries of a quote.
fn commands(text: &str) -> Vec<Vec<&str>> {
    let mut all: Vec<Vec<&str>> = Vec::new();
    for part in text.split([',', '\n']) {
        let words: Vec<&str> = part.split_whitespace().collect();
        let Some(first) = words.first() else { continue };
        match all.last_mut() {
            Some(quote) if quote[0] == "quote" && !FIRST_WORDS.contains(first) => {
                quote.push(",");
                quote.extend(words);
            }
            _ => all.push(words),
        }
    }
    all
}

/// A command that was understood.
enum Asked {
    Order(NewOrder),
    /// Of the order with the id.
    Replace(u64, ReplaceOrder),
    Cancel(u64),
    MassCancel(MassCancel),
    CancelAfter(u32),
    Quote(MassQuote, Vec<QuoteEntry>),
    QuoteCancel(QuoteCancel),
    Protection(ProtectionConfig),
    ProtectionReset(u16),
    Status(OrderStatusRequest),
    Kill(KillSwitch),
    Watch(Duration),
    Symbols,
    Book(String),
    Quit,
}

/// Reads a command.
fn understand(words: &[&str], instruments: &[InstrumentDefinition]) -> Result<Asked, String> {
    let read = |rest| Words::new(rest, instruments);
    let id = |text: &str| text.parse().map_err(|_| "an id is a number".to_owned());
    Ok(match *words {
        ["buy", ref rest @ ..] => Asked::Order(words::order(read(rest), 1)?),
        ["sell", ref rest @ ..] => Asked::Order(words::order(read(rest), 2)?),
        ["replace", order, ref rest @ ..] => {
            Asked::Replace(id(order)?, words::replace(read(rest))?)
        }
        ["cancel", order] => Asked::Cancel(id(order)?),
        ["cancel-all", ref rest @ ..] => Asked::MassCancel(words::mass_cancel(read(rest))?),
        ["cancel-after", after_ms] => {
            Asked::CancelAfter(after_ms.parse().map_err(|_| "milliseconds are a number")?)
        }
        ["quote", ref rest @ ..] => {
            let (quote, entries) = words::quote(read(rest))?;
            Asked::Quote(quote, entries)
        }
        ["quote-cancel", ref rest @ ..] => Asked::QuoteCancel(words::quote_cancel(read(rest))?),
        ["protect", group, "reset"] => {
            Asked::ProtectionReset(group.parse().map_err(|_| "group is a number")?)
        }
        ["protect", ref rest @ ..] => Asked::Protection(words::protection(read(rest))?),
        ["status", "order", order] => Asked::Status(OrderStatusRequest {
            order_id: id(order)?,
            ..OrderStatusRequest::default()
        }),
        ["status", order] => Asked::Status(OrderStatusRequest {
            orig_cl_ord_id: id(order)?,
            ..OrderStatusRequest::default()
        }),
        ["mass-status", ref rest @ ..] => Asked::Status(words::mass_status(read(rest))?),
        ["kill", ref rest @ ..] => Asked::Kill(words::kill(read(rest))?),
        ["watch"] => Asked::Watch(Duration::from_secs(5)),
        ["watch", seconds] => {
            let seconds = seconds.parse().map_err(|_| "seconds are a number")?;
            Asked::Watch(Duration::from_secs(seconds))
        }
        ["symbols"] => Asked::Symbols,
        ["book", symbol] => Asked::Book(symbol.into()),
        ["quit" | "exit"] => Asked::Quit,
        _ => return Err(COMMANDS.into()),
    })
}

/// A trader at a prompt.
pub struct Trader<'a> {
    session: Session,
    http: SocketAddr,
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
        http: SocketAddr,
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
            http,
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
            if words.is_empty() {
                continue;
            }
            match understand(&words, &self.session.instruments) {
                Ok(Asked::Quit) => break,
                Ok(asked) => fine &= self.command(asked)?,
                Err(message) => fine = self.complain(&message)?,
            }
        }
        self.session.logout()?;
        Ok(fine)
    }

    /// Runs the commands of one text with commas between them; none if one is not understood.
    ///
    /// # Errors
    /// As [`Trader::run`].
    pub fn run_all(mut self, text: &str) -> io::Result<bool> {
        let instruments = &self.session.instruments;
        let understood: Result<Vec<Asked>, String> = commands(text)
            .iter()
            .map(|words| understand(words, instruments))
            .collect();
        let mut fine = true;
        match understood {
            Ok(all) => {
                for asked in all {
                    if matches!(asked, Asked::Quit) {
                        break;
                    }
                    fine &= self.command(asked)?;
                }
            }
            Err(message) => fine = self.complain(&message)?,
        }
        self.session.logout()?;
        Ok(fine)
    }

    fn command(&mut self, asked: Asked) -> io::Result<bool> {
        match asked {
            Asked::Watch(time) => {
                self.watch(time)?;
                Ok(true)
            }
            Asked::Symbols => {
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
            Asked::Book(symbol) => match book(self.http, &symbol) {
                Ok(text) => {
                    writeln!(self.out, "{text}")?;
                    Ok(true)
                }
                Err(error) => self.complain(&error.to_string()),
            },
            asked => match self.request(asked) {
                Ok(()) => self.answer(),
                Err(message) => self.complain(&message),
            },
        }
    }

    /// Queues what is asked for.
    fn request(&mut self, asked: Asked) -> Result<(), String> {
        match asked {
            Asked::Order(mut order) => {
                order.cl_ord_id = self.take_id();
                self.orders.push((order.cl_ord_id, order.instrument_id));
                self.session.queue(&order);
            }
            Asked::Replace(id, mut replace) => {
                let instrument = self.known(id)?;
                replace.cl_ord_id = self.take_id();
                replace.orig_cl_ord_id = id;
                replace.instrument_id = instrument;
                self.orders.push((replace.cl_ord_id, instrument));
                self.session.queue(&replace);
            }
            Asked::Cancel(id) => {
                let instrument_id = self.known(id)?;
                let cl_ord_id = self.take_id();
                self.session.queue(&CancelOrder {
                    cl_ord_id,
                    orig_cl_ord_id: id,
                    instrument_id,
                    ..CancelOrder::default()
                });
            }
            Asked::MassCancel(mut cancel) => {
                cancel.cl_ord_id = self.take_id();
                self.session.queue(&cancel);
            }
            Asked::CancelAfter(after_ms) => {
                let reserved = 0;
                self.session.queue(&CancelAfter { after_ms, reserved });
            }
            Asked::Quote(mut quote, entries) => {
                quote.quote_id = self.take_id();
                self.session.queue_group(&quote, &entries);
            }
            Asked::QuoteCancel(mut cancel) => {
                cancel.quote_id = self.take_id();
                self.session.queue(&cancel);
            }
            Asked::ProtectionReset(mmp_group) => {
                let cl_ord_id = self.take_id();
                self.session.queue(&ProtectionReset {
                    cl_ord_id,
                    mmp_group,
                    ..ProtectionReset::default()
                });
            }
            Asked::Protection(mut config) => {
                config.cl_ord_id = self.take_id();
                self.session.queue(&config);
            }
            Asked::Status(mut request) => {
                request.cl_ord_id = self.take_id();
                self.session.queue(&request);
            }
            Asked::Kill(mut kill) => {
                kill.cl_ord_id = self.take_id();
                self.session.queue(&kill);
            }
            Asked::Watch(_) | Asked::Symbols | Asked::Book(_) | Asked::Quit => {}
        }
        Ok(())
    }

    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// The instrument of our order.
    fn known(&self, id: u64) -> Result<u32, String> {
        let mut newest_first = self.orders.iter().rev();
        let found = newest_first.find(|(known, _)| *known == id);
        found
            .map(|(_, instrument)| *instrument)
            .ok_or_else(|| "no order of that id".into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_ends_a_command_or_an_entry_of_a_quote() {
        let text = "buy ACME 5 49,quote ACME 5 49 - , ACME 0 7 51 layer 1, cancel 1,,quote A - -";
        let found: Vec<String> = commands(text).iter().map(|words| words.join(" ")).collect();
        assert_eq!(
            found,
            [
                "buy ACME 5 49",
                "quote ACME 5 49 - , ACME 0 7 51 layer 1",
                "cancel 1",
                "quote A - -"
            ]
        );
        // Only a quote goes on.
        assert_eq!(commands("cancel 1, 2").len(), 2);
    }

    #[test]
    fn every_first_word_is_a_command_and_every_command_has_one() {
        for line in COMMANDS.lines() {
            let first = line.split([' ', '\n']).next().unwrap();
            let told = !first.is_empty() && first != "As";
            assert!(!told || FIRST_WORDS.contains(&first), "{first}");
        }
    }
}
