//! The mapping of the recorded day against a book of plain sorted vectors, without a venue: the
//! figures that the day's description states come out.
//!
//! `TRADING_ENGINE_DATA` names the folder; without it, `shared/data` beside the checkout. Where the
//! day is not there the test says so and ends, except with `CI=true`.

use std::path::PathBuf;

use loadtest::client::{Answer, Side};
use loadtest::replay::FillHash;
use loadtest::replay::lobster::Day;
use loadtest::replay::mapping::{Command, Counts, Key, Mapping};
use loadtest::replay::mirror::{Mirror, PRICE_UNIT, SHARE};

const FILE: &str = "AMZN_2012-06-21_34200000_57600000_message_5.csv.gz";

fn day() -> Option<Day> {
    let folder = std::env::var_os("TRADING_ENGINE_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let file = folder.join(FILE);
    if !file.exists() {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "CI requires the recorded day, and {FILE} is not there"
        );
        println!("SKIPPED: {FILE} is not there");
        return None;
    }
    Some(Day::load(&file, None).unwrap())
}

/// Orders of one side in the order of their entry, scanned for the best price.
#[derive(Default)]
struct Plain {
    orders: Vec<(Key, Side, i64, i64)>,
}

impl Plain {
    fn find(&self, key: Key) -> usize {
        self.orders.iter().position(|order| order.0 == key).unwrap()
    }

    /// What the venue would report, prices and sizes as the mirror takes them.
    fn run(&mut self, command: Command) -> Vec<Answer> {
        match command {
            Command::Enter {
                key,
                side,
                price,
                size,
            } => {
                let crosses = self.orders.iter().any(|order| {
                    order.1 != side
                        && match side {
                            Side::Buy => order.2 <= price,
                            Side::Sell => order.2 >= price,
                        }
                });
                assert!(!crosses, "no recorded entry trades");
                self.orders.push((key, side, price, size));
                vec![Answer::Accepted {
                    id: key,
                    side,
                    price: price * PRICE_UNIT,
                    leaves: size * SHARE,
                }]
            }
            Command::Cancel { key } => {
                self.orders.remove(self.find(key));
                vec![Answer::Canceled {
                    request: Some(0),
                    original: key,
                }]
            }
            Command::Reduce { key, total, price } => {
                let index = self.find(key);
                let order = &mut self.orders[index];
                assert!(total >= order.3 || order.2 == price);
                // The total counts what was filled; the mirror test looks at what stays open.
                order.3 = total;
                vec![Answer::Replaced {
                    id: key,
                    original: key,
                    price: price * PRICE_UNIT,
                    leaves: total * SHARE,
                }]
            }
            Command::Take {
                side, price, size, ..
            } => {
                let better = |a: i64, b: i64| match side {
                    Side::Buy => a < b,
                    Side::Sell => a > b,
                };
                let mut best: Option<usize> = None;
                for (index, order) in self.orders.iter().enumerate() {
                    if order.1 != side
                        && best.is_none_or(|best| better(order.2, self.orders[best].2))
                    {
                        best = Some(index);
                    }
                }
                let index = best.unwrap();
                let order = &mut self.orders[index];
                assert_eq!(order.2, price, "an execution is at the best price");
                assert!(order.3 >= size, "one fill, whole size");
                order.3 -= size;
                let (id, leaves) = (order.0, order.3);
                if leaves == 0 {
                    self.orders.remove(index);
                }
                vec![Answer::Fill {
                    id,
                    price: price * PRICE_UNIT,
                    quantity: size * SHARE,
                    leaves: leaves * SHARE,
                    taker: false,
                }]
            }
        }
    }
}

#[test]
fn the_recorded_day_comes_out_as_described() {
    let Some(day) = day() else { return };
    let mut mapping = Mapping::default();
    let mut plain = Plain::default();
    let mut mirror = Mirror::default();
    let mut hash = FillHash::default();
    let mut filled = std::collections::HashMap::new();
    let (mut levels, mut executed) = (0, 0);
    let mut run = |plain: &mut Plain, mirror: &mut Mirror, mut command: Command| {
        // The plain book counts open shares, the venue total ones.
        if let Command::Reduce { key, total, .. } = &mut command {
            *total -= filled.get(key).copied().unwrap_or(0);
        }
        if let Command::Take { key, size, .. } = &command {
            *filled.entry(*key).or_insert(0) += size;
        }
        for answer in plain.run(command) {
            if let (Answer::Fill { id, .. }, Command::Take { key, .. }) = (&answer, &command) {
                assert_eq!(id, key, "the order named is the one that trades");
            }
            mirror.apply(&answer);
        }
    };
    for command in mapping.seed(&day.rows[0]) {
        run(&mut plain, &mut mirror, command);
    }
    for (index, message) in day.messages.iter().enumerate().skip(1) {
        if let Some(command) = mapping.message(message).unwrap() {
            if let Command::Take { price, size, .. } = command {
                hash.fill(index as u64 + 1, price, size);
                executed += size;
            }
            run(&mut plain, &mut mirror, command);
        }
        let row = &day.rows[index];
        levels += mirror.compare_inside(row).unwrap();
        for command in mapping.edge(row) {
            run(&mut plain, &mut mirror, command);
        }
        mirror.compare_whole(row).unwrap();
    }
    assert_eq!(
        mapping.counts,
        Counts {
            entered: 111_231,
            recorded: 77_381,
            seeded: 10,
            canceled: 105_022,
            canceled_at_edge: 44_148,
            reduced: 6_296,
            taken: 8_939,
            on_stand_ins: 13_849,
        }
    );
    assert_eq!(day.rows.len(), 155_935);
    assert_eq!(levels, 1_525_500);
    assert_eq!(executed, 611_691);
    assert_eq!(hash.0, 0x13c8_8c0a_1e01_875a);
    assert_eq!(mirror.resting(), 14);
}
