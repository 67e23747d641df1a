//! Closed-loop order-to-acknowledgement latency, socket to socket, in rounds that alternate with a
//! raw TCP echo of the same sizes: what the venue adds to the floor.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::client::{Answer, Client, Instrument, Order, Side, first_id};
use crate::credentials::{Login, Protocol};
use crate::echo::{Floor, Sizes, pin};
use crate::report::{Percentiles, histogram};
use crate::run::Progress;

/// What is measured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Door, address and login of each row.
    pub doors: Vec<(Protocol, SocketAddr, Login)>,
    /// Instrument.
    pub symbol: String,
    /// A price far from the market, mantissa of 10^-8.
    pub price: i64,
    /// Quantity, mantissa of 10^-8.
    pub quantity: i64,
    /// Core of this program's own thread.
    pub client_core: Option<usize>,
    /// Core of the echo thread; the venue's core thread should be pinned to the same, or a round
    /// trip means other things for the two.
    pub server_core: Option<usize>,
    /// Rounds.
    pub rounds: u32,
    /// Orders, and pings, in each.
    pub orders: u32,
}

/// One door's figures.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Door.
    pub protocol: String,
    /// Message sizes in bytes: request, answer.
    pub sizes: (usize, usize),
    /// The floor.
    pub echo_ns: Percentiles,
    /// Order to acknowledgement.
    pub order_ns: Percentiles,
    /// Median over the rounds of (median of orders by median of pings).
    pub ratio_p50: f64,
    /// Fastest order by fastest ping.
    pub ratio_min: f64,
}

struct Bench {
    protocol: Protocol,
    client: Client,
    instrument: Instrument,
    floor: Option<Floor>,
    sizes: Sizes,
    next_id: u64,
    orders: hdrhistogram::Histogram<u64>,
    pings: hdrhistogram::Histogram<u64>,
    ratios: Vec<f64>,
}

impl Bench {
    /// Sends what is queued and waits for an answer. Returns the time from before the write until
    /// the read that completed it.
    fn exchange(&mut self, is_it: impl Fn(&Answer) -> bool) -> io::Result<Duration> {
        let begun = Instant::now();
        self.client.flush()?;
        loop {
            self.client.fill()?;
            let took = begun.elapsed();
            while let Some(answer) = self.client.answer()? {
                if is_it(&answer) {
                    return Ok(took);
                }
            }
        }
    }

    fn order(&mut self, settings: &Settings) -> io::Result<Duration> {
        let id = self.next_id;
        self.next_id += 2;
        let order = Order {
            id,
            side: Side::Buy,
            price: settings.price,
            quantity: settings.quantity,
            immediate: false,
        };
        self.client.enter(&self.instrument, &order);
        self.sizes.request = self.client.unwritten();
        let before = self.client.received;
        let took = self.exchange(|answer| matches!(answer, Answer::Accepted { .. }))?;
        self.sizes.answer = (self.client.received - before) as usize;
        // Out of the way again, so that the book stays as it is.
        self.client.cancel(&self.instrument, id + 1, id, order.side);
        self.exchange(|answer| matches!(answer, Answer::Canceled { .. }))?;
        Ok(took)
    }
}

/// Measures.
///
/// # Errors
/// The network's, or a venue that refuses.
pub fn measure(settings: &Settings) -> io::Result<Vec<Row>> {
    let mut benches = Vec::new();
    settings.client_core.map_or(Ok(()), pin)?;
    for (protocol, address, login) in &settings.doors {
        let client = Client::logon(*address, login)?;
        let instrument = client.instrument(&settings.symbol)?;
        let mut bench = Bench {
            protocol: *protocol,
            client,
            instrument,
            floor: None,
            sizes: Sizes::BINARY,
            next_id: first_id(),
            orders: histogram(),
            pings: histogram(),
            ratios: Vec::new(),
        };
        for _ in 0..settings.orders / 4 + 1 {
            bench.order(settings)?;
        }
        bench.floor = Some(Floor::start(bench.sizes, settings.server_core)?);
        benches.push(bench);
    }
    let mut progress = Progress::new(u64::from(settings.rounds), "rounds");
    for round in 0..settings.rounds {
        for bench in &mut benches {
            let (mut pings, mut orders) = (histogram(), histogram());
            // One after the other in small turns: what the machine does to one it does to both.
            for _ in 0..settings.orders.div_ceil(TURN) {
                for _ in 0..TURN {
                    if let Some(floor) = &mut bench.floor {
                        pings.saturating_record(floor.ping()?.as_nanos() as u64);
                    }
                }
                for _ in 0..TURN {
                    orders.saturating_record(bench.order(settings)?.as_nanos() as u64);
                }
                bench.client.keep_alive();
            }
            let ratio = orders.value_at_quantile(0.5) as f64 / pings.value_at_quantile(0.5) as f64;
            bench.ratios.push(ratio);
            let add = |all: &mut hdrhistogram::Histogram<u64>, one| {
                all.add(one)
                    .map_err(|error| io::Error::other(error.to_string()))
            };
            add(&mut bench.orders, &orders)?;
            add(&mut bench.pings, &pings)?;
        }
        progress.set(u64::from(round) + 1);
    }
    progress.finish();
    benches.into_iter().map(row).collect()
}

/// Orders, and pings, in a row.
const TURN: u32 = 50;

fn row(mut bench: Bench) -> io::Result<Row> {
    bench.ratios.sort_by(f64::total_cmp);
    let ratio_p50 = bench.ratios.get(bench.ratios.len() / 2).copied();
    let row = Row {
        protocol: bench.protocol.name().into(),
        sizes: (bench.sizes.request, bench.sizes.answer),
        echo_ns: Percentiles::of(&bench.pings),
        order_ns: Percentiles::of(&bench.orders),
        ratio_p50: ratio_p50.unwrap_or(0.0),
        ratio_min: bench.orders.min() as f64 / bench.pings.min().max(1) as f64,
    };
    bench.client.logout()?;
    Ok(row)
}

/// The table, as Markdown.
pub fn text(rows: &[Row]) -> String {
    use std::fmt::Write as _;
    let mut out = String::from(
        "| door | bytes out/in | echo min | p50 | p99 | order min | p50 | p99 | ratio min | ratio p50 |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    let us = |ns: u64| format!("{:.1} µs", ns as f64 / 1e3);
    for row in rows {
        let _ = writeln!(
            out,
            "| {} | {}/{} | {} | {} | {} | {} | {} | {} | {:.2} | {:.2} |",
            row.protocol,
            row.sizes.0,
            row.sizes.1,
            us(row.echo_ns.min),
            us(row.echo_ns.p50),
            us(row.echo_ns.p99),
            us(row.order_ns.min),
            us(row.order_ns.p50),
            us(row.order_ns.p99),
            row.ratio_min,
            row.ratio_p50
        );
    }
    out
}
