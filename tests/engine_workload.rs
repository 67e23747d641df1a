//! The engine on the seeded workload: every figure and hash of the published table.

mod support;

use support::venue::{self, Driver, SESSION};
use support::workload::{Fnv, Kind, Shape, Step, Stream};
use trading_engine::engine::event::EventBody;
use trading_engine::limits::EngineLimits;
use trading_engine_protocol::types::{InstrumentId, Side};

struct Expected {
    shape: Shape,
    instruments: u32,
    resting: u64,
    accepted: u64,
    unknown: u64,
    trades: u64,
    lots: u64,
    open: (u64, u64),
    bid: (i64, u64),
    ask: (i64, u64),
    command_hash: u64,
    trade_hash: u64,
}

const COMMANDS: u64 = 1_000_000;

/// Client order ids carry the workload's id in their low half, so trades map back.
struct Names {
    current: Vec<u64>,
    filled: Vec<u64>,
    renamed: u64,
}

impl Names {
    fn apply(&mut self, driver: &mut Driver, step: &Step, out: &mut Vec<u8>) {
        let side = step.side + 1;
        let at = step.id as usize;
        match step.kind {
            Kind::New => {
                self.current.resize(at + 1, 0);
                self.filled.resize(at + 1, 0);
                self.current[at] = step.id;
                let tif = if step.tif == 1 { 3 } else { 0 };
                let order = venue::enter(
                    step.id,
                    step.instrument + 1,
                    side,
                    tif,
                    step.price,
                    step.quantity,
                );
                driver.apply(SESSION, order, out);
            }
            Kind::Cancel => driver.apply(SESSION, venue::cancel(1, self.current[at]), out),
            Kind::Replace => {
                self.renamed += 1;
                let id = self.renamed << 32 | step.id;
                let total = step.quantity + self.filled[at];
                let body =
                    venue::replace(id, self.current[at], step.instrument + 1, step.price, total);
                driver.apply(SESSION, body, out);
            }
        }
    }
}

fn check(expected: &Expected) {
    let limits = EngineLimits {
        orders: (expected.resting as u32 * 2).max(1 << 16),
        client_order_ids: 1 << 21,
        instruments: 128,
        price_pages: 1 << 13,
        ..EngineLimits::default()
    };
    let mut driver = Driver::world(limits, expected.instruments, 1);
    let mut stream = Stream::new(expected.shape, 42, expected.instruments, expected.resting);
    let mut names = Names {
        current: Vec::new(),
        filled: Vec::new(),
        renamed: 0,
    };
    let (mut accepted, mut unknown, mut trades, mut lots) = (0u64, 0u64, 0u64, 0u64);
    let mut trade_hash = Fnv::default();
    let mut out = Vec::new();
    for _ in 0..expected.resting + COMMANDS {
        let step = stream.next_step();
        out.clear();
        names.apply(&mut driver, &step, &mut out);
        let mut refused = false;
        let mut maker = 0;
        venue::for_each_event(&out, |_, body| match body {
            EventBody::RequestRejected(_) => refused = true,
            EventBody::OrderRejected(rejected) => panic!("rejected {rejected:?}"),
            EventBody::OrderReplaced(replaced) => {
                let id = replaced.order.client_order_id.as_u64().unwrap();
                names.current[(id & 0xFFFF_FFFF) as usize] = id;
            }
            EventBody::Fill(fill) => {
                let id = fill.order.client_order_id.as_u64().unwrap() & 0xFFFF_FFFF;
                names.filled[id as usize] += fill.last_quantity.0;
                if fill.liquidity == 1 {
                    maker = id;
                } else {
                    trade_hash.trade(maker, id, fill.last_price.0, fill.last_quantity.0);
                    trades += 1;
                    lots += fill.last_quantity.0;
                }
            }
            _ => {}
        });
        if refused {
            unknown += 1;
        } else {
            accepted += 1;
        }
    }
    let engine = &driver.engine;
    let mut open = (0, 0);
    for id in 1..=expected.instruments {
        for side in [Side::Buy, Side::Sell] {
            for (_, quantity, orders) in engine.levels(InstrumentId(id), side) {
                open.0 += u64::from(orders);
                open.1 += quantity.0;
            }
        }
    }
    let best = |side| {
        engine
            .best(InstrumentId(1), side)
            .map(|(p, q)| (p.0, q.0))
            .unwrap()
    };
    let label = format!(
        "{:?}, I = {}, R = {}",
        expected.shape, expected.instruments, expected.resting
    );
    assert_eq!(
        stream.hash.0, expected.command_hash,
        "{label}: command hash"
    );
    assert_eq!(
        (accepted, unknown),
        (expected.accepted, expected.unknown),
        "{label}: accepted"
    );
    assert_eq!(
        (trades, lots),
        (expected.trades, expected.lots),
        "{label}: trades"
    );
    assert_eq!(open, expected.open, "{label}: open orders and lots");
    assert_eq!(
        u64::from(engine.open_orders()),
        expected.open.0,
        "{label}: slab"
    );
    assert_eq!(best(Side::Buy), expected.bid, "{label}: bid");
    assert_eq!(best(Side::Sell), expected.ask, "{label}: ask");
    assert_eq!(trade_hash.0, expected.trade_hash, "{label}: trade hash");
}

macro_rules! streams {
    ($($name:ident: $shape:ident, $instruments:literal, $resting:literal,
       $accepted:literal, $unknown:literal, $trades:literal, $lots:literal,
       $open:expr, $bid:expr, $ask:expr, $command:literal, $trade:literal;)+) => {
        $(#[test]
        fn $name() {
            check(&Expected {
                shape: Shape::$shape,
                instruments: $instruments,
                resting: $resting,
                accepted: $accepted,
                unknown: $unknown,
                trades: $trades,
                lots: $lots,
                open: $open,
                bid: $bid,
                ask: $ask,
                command_hash: $command,
                trade_hash: $trade,
            });
        })+
    };
}

streams! {
    mixed_1_1k: Mixed, 1, 1_000, 950_052, 50_948, 425_654, 18_030_551, (1_288, 64_821),
        (100_031, 145), (100_033, 93), 0xc5bb_d040_ac89_26f3, 0x5a29_87fa_fd13_69ec;
    mixed_1_10k: Mixed, 1, 10_000, 950_251, 59_749, 438_560, 18_559_543, (8_536, 434_671),
        (100_040, 41), (100_045, 319), 0xbc81_df4e_e37d_a7e1, 0xaa1d_6428_c694_92d2;
    mixed_1_100k: Mixed, 1, 100_000, 1_047_947, 52_053, 454_698, 19_186_348, (77_384, 3_910_357),
        (100_072, 120), (100_073, 6_346), 0xac87_d983_209f_69fc, 0x2f39_7fbd_be03_872a;
    mixed_1_1m: Mixed, 1, 1_000_000, 1_982_932, 17_068, 486_365, 19_947_988,
        (911_397, 45_992_881),
        (100_059, 29), (100_062, 341), 0x18dc_3c12_8f4a_728d, 0xe663_628b_47e0_8970;
    mixed_100_10k: Mixed, 100, 10_000, 968_216, 41_784, 409_768, 17_389_912, (13_997, 707_156),
        (99_997, 69), (99_999, 37), 0xbae1_02b0_452f_dbee, 0x3457_fbf6_7302_b244;
    cancel_heavy_1_1k: CancelHeavy, 1, 1_000, 940_411, 60_589, 5_059, 101_190, (991, 40_019),
        (99_927, 73), (99_931, 228), 0x3166_dfdf_00da_e1d0, 0xacbf_ee57_ad7f_2790;
    cancel_heavy_100_10k: CancelHeavy, 100, 10_000, 962_740, 47_260, 4_804, 98_059,
        (9_407, 389_828),
        (99_995, 7_655), (100_001, 6_927), 0xbb28_f1e0_31da_b2fc, 0x4ca9_13bb_2d7d_90c8;
    sweep_1_1k: Sweep, 1, 1_000, 1_001_000, 0, 976_530, 10_179_548, (838, 36_477),
        (99_876, 2), (99_885, 15), 0x2ca4_42bb_de52_3747, 0x056c_2bad_fb76_887f;
    sweep_100_10k: Sweep, 100, 10_000, 1_010_000, 0, 968_945, 10_169_524, (17_378, 502_359),
        (99_907, 6), (99_920, 14), 0x79fe_cafb_9d2b_e0c5, 0x4ae0_a419_a335_0700;
}
