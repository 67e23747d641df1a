//! Reads a LOBSTER day: the message file and the order-book file beside it, plain or gzip.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;

use crate::client::Side;

/// One recorded event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Nanoseconds after midnight.
    pub time_ns: u64,
    /// 1 enter, 2 reduce, 3 delete, 4 execution, 5 hidden execution, 6 cross, 7 halt.
    pub kind: u8,
    /// The recorded order's id.
    pub order: u64,
    /// Shares.
    pub size: i64,
    /// Dollars × 10,000.
    pub price: i64,
    /// Side of the order named.
    pub side: Side,
}

/// Price and shares, best first.
pub type Levels = Vec<(i64, i64)>;

/// The book after a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Lowest first.
    pub asks: Levels,
    /// Highest first.
    pub bids: Levels,
}

impl Row {
    /// One side.
    pub fn side(&self, side: Side) -> &Levels {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }
}

/// A day.
#[derive(Clone, Debug, Default)]
pub struct Day {
    /// Line by line.
    pub messages: Vec<Message>,
    /// The book after each.
    pub rows: Vec<Row>,
}

fn lines(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let file = File::open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    let file = BufReader::new(file);
    Ok(
        if path.extension().is_some_and(|extension| extension == "gz") {
            Box::new(BufReader::new(GzDecoder::new(file)))
        } else {
            Box::new(file)
        },
    )
}

/// Seconds with any number of decimals, as nanoseconds. Some stamps of real files carry digits
/// below the nanosecond, left there by floating point; they are cut off.
fn time_ns(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    seconds
        .parse::<u64>()
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(padded)
}

fn message(line: &str) -> Option<Message> {
    let fields: Vec<&str> = line.trim_end().split(',').collect();
    let [time, kind, order, size, price, direction] = fields.as_slice() else {
        return None;
    };
    Some(Message {
        time_ns: time_ns(time)?,
        kind: kind.parse().ok()?,
        order: order.parse().ok()?,
        size: size.parse().ok()?,
        price: price.parse().ok()?,
        side: match *direction {
            "1" => Side::Buy,
            "-1" => Side::Sell,
            _ => return None,
        },
    })
}

fn row(line: &str) -> Option<Row> {
    let numbers: Vec<i64> = line
        .trim_end()
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    if numbers.is_empty() || !numbers.len().is_multiple_of(4) {
        return None;
    }
    let mut row = Row::default();
    for level in numbers.chunks_exact(4) {
        // An empty level is written with size 0.
        if level[1] > 0 {
            row.asks.push((level[0], level[1]));
        }
        if level[3] > 0 {
            row.bids.push((level[2], level[3]));
        }
    }
    Some(row)
}

fn parse<T>(path: &Path, one: impl Fn(&str) -> Option<T>) -> io::Result<Vec<T>> {
    lines(path)?
        .lines()
        .enumerate()
        .map(|(index, line)| {
            let line = line?;
            one(&line).ok_or_else(|| {
                let place = format!("{} line {}", path.display(), index + 1);
                io::Error::other(format!("{place}: not of this format: {line:?}"))
            })
        })
        .collect()
}

impl Day {
    /// Reads both files; without `orderbook`, the one named as LOBSTER names it.
    ///
    /// # Errors
    /// I/O or format, naming file and line; files of different lengths.
    pub fn load(messages: &Path, orderbook: Option<&Path>) -> io::Result<Self> {
        let beside = PathBuf::from(
            messages
                .to_string_lossy()
                .replace("_message_", "_orderbook_"),
        );
        let orderbook = orderbook.unwrap_or(&beside);
        let day = Self {
            messages: parse(messages, message)?,
            rows: parse(orderbook, row)?,
        };
        if day.messages.len() != day.rows.len() || day.rows.is_empty() {
            return Err(io::Error::other(format!(
                "{} messages and {} book rows: not of one day",
                day.messages.len(),
                day.rows.len()
            )));
        }
        Ok(day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_padded_and_bad_lines_are_refused() {
        assert_eq!(time_ns("34200.0189"), Some(34_200_018_900_000));
        assert_eq!(time_ns("34200"), Some(34_200_000_000_000));
        assert_eq!(time_ns("34200.012345678904"), Some(34_200_012_345_678));
        assert_eq!(time_ns("34200.-1"), None);
        let good = "34200.1,4,77,18,2238200,-1";
        assert_eq!(message(good).unwrap().side, Side::Sell);
        for bad in [
            "",
            "1,2,3,4,5",
            "x,1,1,1,1,1",
            "1,1,1,1,1,0",
            "1,1,1,1,1,1,1",
        ] {
            assert_eq!(message(bad), None, "{bad:?}");
        }
        assert_eq!(
            row("10,1,9,2,9999999999,0,-9999999999,0").unwrap().bids,
            [(9, 2)]
        );
        assert_eq!(row("10,1,9"), None);
    }
}
