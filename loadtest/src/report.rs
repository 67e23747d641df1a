//! What a run found: for people as a table, for machines as JSON that a later run compares itself
//! with.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Latencies of one kind, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many.
    pub count: u64,
    /// Fastest.
    pub min: u64,
    /// Median.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p99_9: u64,
    /// 99.99 %.
    pub p99_99: u64,
    /// Slowest.
    pub max: u64,
}

impl Percentiles {
    /// From a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            count: histogram.len(),
            min: histogram.min(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: histogram.max(),
        }
    }

    /// Head of a table of these.
    pub fn head(name: &str) -> String {
        format!(
            "{name:<14} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "count", "min", "p50", "p90", "p99", "p99.9", "p99.99", "max"
        )
    }

    /// Row of a table of these, in microseconds.
    pub fn row(&self, name: &str) -> String {
        let us = |ns: u64| format!("{:.1}", ns as f64 / 1e3);
        format!(
            "{name:<14} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            self.count,
            us(self.min),
            us(self.p50),
            us(self.p90),
            us(self.p99),
            us(self.p99_9),
            us(self.p99_99),
            us(self.max)
        )
    }
}

/// A histogram of nanoseconds up to a minute, three digits; longer ones count as a minute.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("Invariant: the bounds are constants")
}

/// Who was the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bottleneck {
    /// The figures are the venue's.
    Venue,
    /// This program sent too late for the figures to be the venue's alone.
    Client,
}

/// What market makers saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MakerFigures {
    /// Sessions that quote.
    pub makers: usize,
    /// Sessions that take.
    pub takers: usize,
    /// Instruments quoted.
    pub instruments: usize,
    /// Most entries of a mass quote.
    pub entries_per_quote: usize,
    /// Of 100 requests, mass quotes.
    pub quotes_of_100: u64,
    /// Entries of all mass quotes that were sent after the warm-up.
    pub entries: u64,
    /// The same by the second.
    pub entries_per_second: f64,
    /// Fills of quotes.
    pub fills: u64,
    /// How often protection tripped.
    pub trips: u64,
    /// How often it was reset.
    pub resets: u64,
    /// Sides that the kill switch ended at the end; a report of an earlier version has none.
    #[serde(default)]
    pub killed: u64,
    /// Refused mass quotes, sides and orders, by reason.
    pub refusals: BTreeMap<String, u64>,
    /// What was answered twice, or is otherwise than the makers believe.
    pub differences: u64,
    /// The first of them, in words.
    pub examples: Vec<String>,
}

impl MakerFigures {
    /// What was asked for, not what came of it.
    fn settings(&self) -> [u64; 5] {
        let entries = self.entries_per_quote as u64;
        let (makers, takers) = (self.makers as u64, self.takers as u64);
        let instruments = self.instruments as u64;
        [makers, takers, instruments, entries, self.quotes_of_100]
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{} makers of {} instruments, {} takers: {} entries, {:.0}/s, {} fills, {} trips, {} \
             resets, {} sides killed",
            self.makers,
            self.instruments,
            self.takers,
            self.entries,
            self.entries_per_second,
            self.fills,
            self.trips,
            self.resets,
            self.killed
        );
        for (reason, count) in &self.refusals {
            let _ = writeln!(out, "  refused {count}: {reason}");
        }
        let _ = match self.differences {
            0 => writeln!(out, "every quote is what its maker believes"),
            count => writeln!(out, "{count} DIFFERENCES, such as:"),
        };
        for example in &self.examples {
            let _ = writeln!(out, "  {example}");
        }
        out
    }
}

fn orders() -> String {
    Report::ORDERS.into()
}

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Version of this format.
    pub schema: u32,
    /// Version of the load generator.
    pub version: String,
    /// What was done: `orders` or `market-makers`.
    #[serde(default = "orders")]
    pub scenario: String,
    /// `binary` or `fix`.
    pub protocol: String,
    /// Sessions.
    pub sessions: usize,
    /// Requests a second intended.
    pub intended_rate: f64,
    /// Requests a second sent.
    pub achieved_rate: f64,
    /// Measured time, seconds.
    pub seconds: f64,
    /// Requests sent after the warm-up.
    pub sent: u64,
    /// Of these, answered.
    pub answered: u64,
    /// Of the answered, refused.
    pub refused: u64,
    /// Never answered, warm-up included.
    pub unanswered: u64,
    /// From the intended time to the answer.
    pub latency_ns: Percentiles,
    /// The same by kind of request.
    pub by_request_ns: Vec<(String, Percentiles)>,
    /// From the intended to the true time of sending.
    pub send_lag_ns: Percentiles,
    /// Raw TCP echo of the same sizes, in the same time.
    pub floor_ns: Percentiles,
    /// Median of each second.
    pub p50_by_second_ns: Vec<u64>,
    /// Who was the limit.
    pub bottleneck: Bottleneck,
    /// In the scenario of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub makers: Option<MakerFigures>,
}

/// What a comparison with an earlier run says.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Median now by median then.
    pub ratio: f64,
    /// How far medians of single seconds scatter around their own median, both runs, as a share.
    pub noise: f64,
    /// `Some(true)` = slower, `Some(false)` = faster, `None` = within the noise.
    pub slower: Option<bool>,
}

fn median(values: &[u64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2] as f64,
        n => (sorted[n / 2 - 1] + sorted[n / 2]) as f64 / 2.0,
    }
}

/// Half the spread of the middle half, by the median.
fn scatter(values: &[u64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let middle = median(&sorted);
    if sorted.len() < 4 || middle <= 0.0 {
        // Too few seconds to know.
        return 0.5;
    }
    let (low, high) = (sorted[sorted.len() / 4], sorted[sorted.len() * 3 / 4]);
    (high - low) as f64 / middle / 2.0
}

/// A difference that is always called noise.
const SMALLEST: f64 = 0.05;

impl Report {
    /// The scenario of orders, cancels and replaces.
    pub const ORDERS: &str = "orders";
    /// The scenario of mass quotes.
    pub const MARKET_MAKERS: &str = "market-makers";

    /// Reads one.
    ///
    /// # Errors
    /// I/O or another format; either names the file.
    pub fn load(path: &Path) -> io::Result<Self> {
        let named = |error: &dyn std::fmt::Display| {
            io::Error::other(format!("report {}: {error}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
        serde_json::from_str(&text).map_err(|error| named(&error))
    }

    /// Compares with an earlier run of the same settings. Machines differ from hour to hour, so
    /// medians are first divided by the floor of their own run.
    ///
    /// # Errors
    /// When the settings differ: nothing can be said then.
    pub fn compare(&self, earlier: &Self) -> Result<Comparison, String> {
        let settings = |report: &Self| report.makers.as_ref().map(MakerFigures::settings);
        let same = self.scenario == earlier.scenario
            && settings(self) == settings(earlier)
            && self.protocol == earlier.protocol
            && self.sessions == earlier.sessions
            && (self.intended_rate - earlier.intended_rate).abs() < 0.5;
        if !same {
            return Err(format!(
                "the earlier run had other settings ({}, {}, {} sessions, {}/s): not comparable",
                earlier.scenario, earlier.protocol, earlier.sessions, earlier.intended_rate
            ));
        }
        for (name, report) in [("this", self), ("the earlier", earlier)] {
            if report.bottleneck == Bottleneck::Client {
                return Err(format!(
                    "{name} run was limited by its client: not comparable"
                ));
            }
        }
        let normal =
            |report: &Self| median(&report.p50_by_second_ns) / (report.floor_ns.p50.max(1) as f64);
        let ratio = normal(self) / normal(earlier);
        let noise = scatter(&self.p50_by_second_ns)
            .max(scatter(&earlier.p50_by_second_ns))
            .max(SMALLEST);
        let slower = if ratio > 1.0 + 2.0 * noise {
            Some(true)
        } else if ratio < 1.0 / (1.0 + 2.0 * noise) {
            Some(false)
        } else {
            None
        };
        Ok(Comparison {
            ratio,
            noise,
            slower,
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{} over {} sessions: {} sent in {:.1} s, intended {:.0}/s, achieved {:.0}/s, {} \
             answered, {} refused, {} unanswered",
            self.protocol,
            self.sessions,
            self.sent,
            self.seconds,
            self.intended_rate,
            self.achieved_rate,
            self.answered,
            self.refused,
            self.unanswered
        );
        let _ = writeln!(out, "{}", Percentiles::head("microseconds"));
        let _ = writeln!(out, "{}", self.latency_ns.row("answer"));
        for (name, percentiles) in &self.by_request_ns {
            let _ = writeln!(out, "{}", percentiles.row(&format!("  {name}")));
        }
        let _ = writeln!(out, "{}", self.send_lag_ns.row("send lag"));
        let _ = writeln!(out, "{}", self.floor_ns.row("TCP echo"));
        let verdict = match self.bottleneck {
            Bottleneck::Venue => "the client kept its schedule: the figures are the venue's",
            Bottleneck::Client => {
                "THE CLIENT WAS THE BOTTLENECK: it sent late, the figures are not the venue's"
            }
        };
        let _ = writeln!(out, "{verdict}");
        if let Some(makers) = &self.makers {
            out.push_str(&makers.text());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(p50: &[u64], floor: u64) -> Report {
        Report {
            schema: 1,
            version: String::new(),
            scenario: orders(),
            protocol: "binary".into(),
            sessions: 4,
            intended_rate: 1000.0,
            achieved_rate: 1000.0,
            seconds: p50.len() as f64,
            sent: 1,
            answered: 1,
            refused: 0,
            unanswered: 0,
            latency_ns: Percentiles::default(),
            by_request_ns: Vec::new(),
            send_lag_ns: Percentiles::default(),
            floor_ns: Percentiles {
                p50: floor,
                ..Percentiles::default()
            },
            p50_by_second_ns: p50.to_vec(),
            bottleneck: Bottleneck::Venue,
            makers: None,
        }
    }

    #[test]
    fn a_doubled_median_is_slower_and_a_slow_machine_is_not() {
        let before = report(&[100, 101, 99, 100, 102], 50);
        let twice = report(&[200, 201, 199, 200, 202], 50);
        assert_eq!(twice.compare(&before).unwrap().slower, Some(true));
        assert_eq!(before.compare(&twice).unwrap().slower, Some(false));
        let slow_machine = report(&[200, 201, 199, 200, 202], 100);
        assert_eq!(slow_machine.compare(&before).unwrap().slower, None);
    }

    #[test]
    fn scatter_hides_small_differences_and_short_runs_say_little() {
        let before = report(&[100, 140, 80, 120, 100, 70], 50);
        let after = report(&[130, 150, 90, 140, 120, 90], 50);
        assert_eq!(after.compare(&before).unwrap().slower, None);
        let short = report(&[150], 50);
        assert_eq!(short.compare(&report(&[100], 50)).unwrap().slower, None);
    }

    #[test]
    fn other_settings_and_client_bound_runs_are_not_compared() {
        let before = report(&[100; 5], 50);
        let mut other = report(&[100; 5], 50);
        other.sessions = 8;
        assert!(other.compare(&before).is_err());
        let mut quotes = report(&[100; 5], 50);
        quotes.scenario = Report::MARKET_MAKERS.into();
        assert!(quotes.compare(&before).is_err());
        let mut bound = report(&[100; 5], 50);
        bound.bottleneck = Bottleneck::Client;
        assert!(bound.compare(&before).is_err());
    }
}
