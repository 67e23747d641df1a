//! A look at all metrics at one time, and the Prometheus text of it. Sources fill it; the scrape
//! renders it, DogStatsD sends it.

use std::fmt::Write as _;

use crate::metric_names::{Kind, Metric};
use crate::telemetry::histogram::{Counts, Histogram};

/// One value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Whole(u64),
    /// Another number.
    Real(f64),
    /// Durations.
    Durations(Counts),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Whole(number as u64)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Whole(u64::from(flag))
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<Counts> for Value {
    fn from(counts: Counts) -> Self {
        Self::Durations(counts)
    }
}

impl From<&Histogram> for Value {
    fn from(histogram: &Histogram) -> Self {
        Self::Durations(histogram.counts())
    }
}

/// One series.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Values of the metric's labels, in their order.
    pub labels: Vec<String>,
    /// What it is now.
    pub value: Value,
}

/// A metric and its series.
#[derive(Clone, Debug)]
pub struct Family {
    /// Which.
    pub metric: &'static Metric,
    /// In the order they came.
    pub samples: Vec<Sample>,
}

/// Metrics as they are now.
#[derive(Debug, Default)]
pub struct Exposition {
    families: Vec<Family>,
}

impl Exposition {
    fn family(&mut self, metric: &'static Metric) -> &mut Vec<Sample> {
        let known = self
            .families
            .iter()
            .rposition(|f| f.metric.name == metric.name);
        let at = known.unwrap_or_else(|| {
            self.families.push(Family {
                metric,
                samples: Vec::new(),
            });
            self.families.len() - 1
        });
        &mut self.families[at].samples
    }

    /// The one value of a metric without labels.
    pub fn value(&mut self, metric: &'static Metric, value: impl Into<Value>) {
        self.series(metric, [([""; 0], value)]);
    }

    /// Values of a metric with labels. Without any, the metric is there and has no series.
    pub fn series<const N: usize, S: Into<String>, V: Into<Value>>(
        &mut self,
        metric: &'static Metric,
        rows: impl IntoIterator<Item = ([S; N], V)>,
    ) {
        debug_assert_eq!(metric.labels.len(), N, "Invariant: labels as in the table");
        let samples = self.family(metric);
        samples.extend(rows.into_iter().map(|(labels, value)| Sample {
            labels: labels.into_iter().map(Into::into).collect(),
            value: value.into(),
        }));
    }

    /// What there is.
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// Prometheus text.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(64 << 10);
        for Family { metric, samples } in &self.families {
            let _ = writeln!(text, "# HELP {} {}", metric.name, metric.help);
            let _ = writeln!(text, "# TYPE {} {}", metric.name, metric.kind);
            for sample in samples {
                write_sample(&mut text, metric, sample);
            }
        }
        text
    }
}

fn write_sample(text: &mut String, metric: &Metric, sample: &Sample) {
    let labels = label_text(metric, &sample.labels);
    match (&sample.value, metric.kind) {
        (Value::Whole(number), _) => write_line(text, metric.name, "", &labels, None, *number),
        (Value::Real(number), _) => write_line(text, metric.name, "", &labels, None, *number),
        (Value::Durations(counts), Kind::Histogram(view)) => {
            for (bound, count) in counts.buckets(view) {
                let bound = bound.to_string();
                write_line(text, metric.name, "_bucket", &labels, Some(&bound), count);
            }
            let count = counts.count();
            write_line(text, metric.name, "_bucket", &labels, Some("+Inf"), count);
            write_line(
                text,
                metric.name,
                "_sum",
                &labels,
                None,
                counts.sum_seconds(),
            );
            write_line(text, metric.name, "_count", &labels, None, count);
        }
        (Value::Durations(_), Kind::Counter | Kind::Gauge) => {
            debug_assert!(false, "Invariant: durations are a histogram's");
        }
    }
}

fn write_line(
    text: &mut String,
    name: &str,
    suffix: &str,
    labels: &str,
    bound: Option<&str>,
    value: impl std::fmt::Display,
) {
    let _ = write!(text, "{name}{suffix}");
    match (labels, bound) {
        ("", None) => {}
        (labels, None) => {
            let _ = write!(text, "{{{labels}}}");
        }
        ("", Some(bound)) => {
            let _ = write!(text, "{{le=\"{bound}\"}}");
        }
        (labels, Some(bound)) => {
            let _ = write!(text, "{{{labels},le=\"{bound}\"}}");
        }
    }
    let _ = writeln!(text, " {value}");
}

/// `name="value",...`, as the text format wants it.
fn label_text(metric: &Metric, values: &[String]) -> String {
    let mut text = String::new();
    for (name, value) in metric.labels.iter().zip(values) {
        if !text.is_empty() {
            text.push(',');
        }
        let _ = write!(text, "{name}=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric_names as names;

    #[test]
    fn text_has_a_head_once_and_escaped_labels() {
        let mut out = Exposition::default();
        out.series(&names::REJECTS, [(["a\"b\\c\nd"], 3u64)]);
        out.value(&names::UPTIME, 1.5);
        out.series(&names::REJECTS, [(["late"], 4u64)]);
        let histogram = Histogram::default();
        histogram.record(900);
        out.series(&names::STAGE, [(["s"], &histogram)]);
        out.value(&names::HTTP_IN_FLIGHT, 2usize);
        let text = out.to_text();
        let head = "# HELP trading_engine_rejects_total Refused orders, requests and commands, by reason.\n\
                    # TYPE trading_engine_rejects_total counter\n\
                    trading_engine_rejects_total{reason=\"a\\\"b\\\\c\\nd\"} 3\n\
                    trading_engine_rejects_total{reason=\"late\"} 4\n";
        assert!(text.starts_with(head), "{text}");
        assert!(
            text.contains("\ntrading_engine_uptime_seconds 1.5\n"),
            "{text}"
        );
        for line in [
            "_bucket{stage=\"s\",le=\"0.00000075\"} 0",
            "_bucket{stage=\"s\",le=\"0.000001\"} 1",
            "_bucket{stage=\"s\",le=\"+Inf\"} 1",
            "_sum{stage=\"s\"} 0.0000009",
            "_count{stage=\"s\"} 1",
        ] {
            let line = format!("\ntrading_engine_stage_seconds{line}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}
