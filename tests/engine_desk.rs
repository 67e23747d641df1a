//! What a desk and the venue do beside trading, as `protocol/ORDERS.md` says: mass cancels over users
//! and firms, kill switches, questions, busts and corrections, and definitions that change.

mod support;

use support::counting::{ALLOCATIONS, ARMED, Counting};
use support::venue::{self, Driver, amendment, cancel, enter, fills, replace};
use trading_engine::engine::Engine;
use trading_engine::engine::command::{
    AmendTrade, DayRoll, DefineFirm, DefineInstrument, DefineSession, EnterOrder,
    EnterOrderWithTerms, KillSwitch, MassCancel, NO_PRICE, OrderStatusRequest, OrderTerms, name,
};
use trading_engine::engine::event::{
    EventBody, EventHeader, Fill, OrderState, OrderStatusReport, TradeAmended,
};
use trading_engine::limits::{AMENDED_TRADES_MAX, EngineLimits, STEP_EVENTS_MAX};
use trading_engine_protocol::types::{
    AccountId, ClientOrderId, ExecId, FirmId, InstrumentId, KillScope, MassCancelScope, OrderId,
    OrderStatus, Price, Quantity, Reason, Roles, SessionId, SessionProtocol, Side, TradeId,
    TradingPhase,
};
use zerocopy::IntoBytes;

const VENUE: SessionId = SessionId(0);
/// Firm 1: A and B are user 7's, C is nobody's; D has the risk role.
const A: SessionId = SessionId(1);
const B: SessionId = SessionId(2);
const C: SessionId = SessionId(3);
const D: SessionId = SessionId(4);
/// Firm 2, whose user 7 is another.
const E: SessionId = SessionId(5);
const DAY: u8 = 0;
const IOC: u8 = 3;
const GOOD_TILL_CANCEL: u8 = 1;
const BUY: u8 = 1;
const SELL: u8 = 2;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn limits() -> EngineLimits {
    EngineLimits {
        orders: 1 << 12,
        client_order_ids: 1 << 14,
        instruments: 16,
        firms: 16,
        sessions: 60,
        ..EngineLimits::default()
    }
}

fn member(id: u32, firm: u32, user: u32, roles: u8) -> DefineSession {
    DefineSession {
        firm: FirmId(firm),
        user,
        roles,
        ..venue::session(id, SessionProtocol::Binary)
    }
}

fn members() -> [DefineSession; 5] {
    [
        member(1, 1, 7, 0),
        member(2, 1, 7, 0),
        member(3, 1, 0, 0),
        member(4, 1, 0, Roles::RISK.0),
        member(5, 2, 7, 0),
    ]
}

fn world_with(limits: EngineLimits) -> Driver {
    Driver::world_of(limits, 3, &members())
}

fn world() -> Driver {
    world_with(limits())
}

/// An event, as short as a test can tell it from others.
type Told = (u32, &'static str, u64, Reason);

fn told(bytes: &[u8]) -> Vec<Told> {
    let mut told = Vec::new();
    let number = |id: &ClientOrderId| id.as_u64().unwrap_or(0);
    venue::for_each_event(bytes, |header, body| {
        let (kind, id) = match body {
            EventBody::OrderAccepted(e) => ("accepted", number(&e.order.client_order_id)),
            EventBody::OrderAcceptedWithTerms(e) => ("accepted", number(&e.order.client_order_id)),
            EventBody::OrderReplaced(e) => ("replaced", number(&e.order.client_order_id)),
            EventBody::OrderCanceled(e) => ("ended", number(&e.order.client_order_id)),
            EventBody::OrderRejected(e) => ("rejected", number(&e.client_order_id)),
            EventBody::RequestRejected(e) => ("refused", number(&e.client_order_id)),
            EventBody::Fill(e) => ("fill", number(&e.order.client_order_id)),
            EventBody::MassCancelDone(e) => ("mass canceled", u64::from(e.canceled)),
            EventBody::KillSwitchDone(e) => ("killed", e.canceled),
            EventBody::TradeAmended(e) => ("amended", number(&e.order.client_order_id)),
            EventBody::OrderStatusReport(e) => ("stated", number(&e.order.client_order_id)),
            EventBody::CommandRefused(e) => ("ignored", u64::from(e.command)),
            EventBody::DefinitionRefused(e) => ("not defined", u64::from(e.id)),
            EventBody::InstrumentDefined(_)
            | EventBody::FirmDefined(_)
            | EventBody::SessionDefined(_) => ("defined", 0),
            _ => ("other", 0),
        };
        let reason = Reason::try_from(header.reason).unwrap();
        told.push((header.session.0, kind, id, reason));
    });
    told
}

macro_rules! apply {
    ($driver:expr, $session:expr, $body:expr) => {{
        let mut out = Vec::new();
        $driver.apply($session, $body, &mut out);
        told(&out)
    }};
}

/// Sessions, in order, whose order of this id ended so, then how it all ended.
fn ends(ended: &[(SessionId, u64)], reason: Reason, last: Told) -> Vec<Told> {
    let each = ended.iter().map(|(s, id)| (s.0, "ended", *id, reason));
    each.chain([last]).collect()
}

fn mass_cancel(id: u64, scope: MassCancelScope) -> MassCancel {
    MassCancel {
        client_order_id: ClientOrderId::from_u64(id),
        scope: scope.as_u8(),
        ..MassCancel::default()
    }
}

fn kill(id: u64, scope: KillScope, target: u32) -> KillSwitch {
    KillSwitch {
        client_order_id: ClientOrderId::from_u64(id),
        scope: scope.as_u8(),
        target,
        ..KillSwitch::default()
    }
}

fn release(id: u64, scope: KillScope, target: u32) -> KillSwitch {
    KillSwitch {
        release: 1,
        ..kill(id, scope, target)
    }
}

/// One order at rest for each session: its id is the session's number.
fn rest_one_each(driver: &mut Driver) {
    for session in [E, C, A, D, B] {
        let order = enter(u64::from(session.0), 1, BUY, DAY, 100, 5);
        driver.apply(session, order, &mut Vec::new());
    }
}

// Roles, users, definitions.

#[test]
fn a_second_definition_changes_key_roles_and_user_of_a_session_and_nothing_else() {
    let mut driver = world();
    let base = members()[0];
    let refused = [(0, "not defined", 1, Reason::InvalidDefinition)];
    let defined = [(0, "defined", 0, Reason::None)];
    for roles in [2, 3, 0x80, 0xFF] {
        let wrong = DefineSession { roles, ..base };
        assert_eq!(apply!(driver, VENUE, wrong), refused);
    }
    let changed = DefineSession {
        public_key: [3; 32],
        roles: Roles::RISK.0,
        user: 9,
        ..base
    };
    assert_eq!(apply!(driver, VENUE, changed), defined);
    let known = driver.engine.sessions().next().unwrap().definition;
    assert_eq!(known, changed);
    for wrong in [
        DefineSession {
            firm: FirmId(2),
            ..changed
        },
        DefineSession {
            reset_at_day_roll: 1,
            ..changed
        },
        DefineSession {
            reserved: 1,
            ..changed
        },
        DefineSession {
            name: name("OTHER").unwrap(),
            ..changed
        },
    ] {
        assert_eq!(apply!(driver, VENUE, wrong), refused);
    }
    // What it may do now, it may do at once.
    let firm = mass_cancel(1, MassCancelScope::Firm);
    assert_eq!(
        apply!(driver, A, firm),
        [(1, "mass canceled", 0, Reason::None)]
    );
    driver.apply(VENUE, base, &mut Vec::new());
    assert_eq!(
        apply!(driver, A, firm),
        [(1, "mass canceled", 0, Reason::NotPermitted)]
    );
    let unknown = DefineSession {
        roles: 2,
        ..member(6, 1, 0, 0)
    };
    let refused = [(0, "not defined", 6, Reason::InvalidDefinition)];
    assert_eq!(apply!(driver, VENUE, unknown), refused);
}

#[test]
fn a_second_definition_changes_what_does_not_say_what_prices_and_lots_of_an_instrument_are() {
    let mut driver = world();
    driver.apply(A, enter(1, 1, BUY, DAY, 100, 5), &mut Vec::new());
    let base = venue::instrument(1);
    let defined = [(0, "defined", 0, Reason::None)];
    let refused = [(0, "not defined", 1, Reason::InvalidDefinition)];
    let changed = DefineInstrument {
        price_decimals: 4,
        quantity_min: Quantity(2),
        quantity_max: Quantity(50),
        quantity_increment: Quantity(2),
        protection_ticks: 7,
        static_band: 20,
        dynamic_band: 10,
        interruption_ms: 5,
        product: u32::MAX,
        tick_table: 64,
        first_phase: TradingPhase::ClosingAuction.as_u8(),
        ..base
    };
    assert_eq!(apply!(driver, VENUE, changed), defined);
    assert_eq!(driver.engine.instrument(InstrumentId(1)), Some(&changed));
    // The book is what it was.
    let best = driver.engine.best(InstrumentId(1), Side::Buy);
    assert_eq!(best, Some((Price(100), Quantity(5))));
    for wrong in [
        DefineInstrument {
            symbol: name("OTHER").unwrap(),
            ..changed
        },
        DefineInstrument {
            price_unit_e8: 1,
            ..changed
        },
        DefineInstrument {
            lot_size_e8: 1,
            ..changed
        },
        DefineInstrument {
            tick: 100,
            price_min: Price(100),
            ..changed
        },
        DefineInstrument {
            price_min: Price(2),
            ..changed
        },
        DefineInstrument {
            price_max: Price(199_999),
            ..changed
        },
        DefineInstrument {
            quantity_min: Quantity(0),
            ..changed
        },
        DefineInstrument {
            quantity_increment: Quantity(0),
            ..changed
        },
        DefineInstrument {
            static_band: 1 << 63,
            ..changed
        },
        DefineInstrument {
            dynamic_band: u64::MAX,
            ..changed
        },
        DefineInstrument {
            tick_table: 65,
            ..changed
        },
        DefineInstrument {
            first_phase: 7,
            ..changed
        },
    ] {
        assert_eq!(apply!(driver, VENUE, wrong), refused, "{wrong:?}");
        assert_eq!(driver.engine.instrument(InstrumentId(1)), Some(&changed));
    }
    // A first definition is held to the same.
    let new = DefineInstrument {
        first_phase: 7,
        ..venue::instrument(9)
    };
    let refused = [(0, "not defined", 9, Reason::InvalidDefinition)];
    assert_eq!(apply!(driver, VENUE, new), refused);
}

// Mass cancel.

#[test]
fn a_users_mass_cancel_reaches_his_sessions_of_the_firm() {
    let mut driver = world();
    rest_one_each(&mut driver);
    let request = mass_cancel(10, MassCancelScope::User);
    let done = (2, "mass canceled", 2, Reason::None);
    assert_eq!(
        apply!(driver, B, request),
        ends(&[(A, 1), (B, 2)], Reason::MassCanceled, done)
    );
    let refused = [(3, "mass canceled", 0, Reason::InvalidMassCancel)];
    assert_eq!(apply!(driver, C, request), refused, "C is nobody's");
    assert_eq!(driver.engine.open_orders(), 3);
}

#[test]
fn a_firms_mass_cancel_needs_the_risk_role() {
    let mut driver = world();
    rest_one_each(&mut driver);
    let request = mass_cancel(10, MassCancelScope::Firm);
    let refused = [(1, "mass canceled", 0, Reason::NotPermitted)];
    assert_eq!(apply!(driver, A, request), refused);
    let ended = [(C, 3), (A, 1), (D, 4), (B, 2)];
    let done = (4, "mass canceled", 4, Reason::None);
    assert_eq!(
        apply!(driver, D, request),
        ends(&ended, Reason::MassCanceled, done)
    );
    assert_eq!(driver.engine.open_orders(), 1, "another firm's stays");
}

/// "In ascending order id", over all sessions, whatever a step may do.
#[test]
fn a_firms_orders_are_canceled_in_the_order_of_their_entry_over_many_steps() {
    let mut driver = world();
    let mut entered = Vec::new();
    for id in 0..1_000u64 {
        let session = [A, B, C, E][(id * id % 11 % 4) as usize];
        let order = enter(100 + id, 1 + (id % 3) as u32, BUY, DAY, 100, 1);
        driver.apply(session, order, &mut Vec::new());
        if session != E {
            entered.push((session, 100 + id));
        }
    }
    let steps = driver.resumed;
    let done = (4, "mass canceled", entered.len() as u64, Reason::None);
    assert_eq!(
        apply!(driver, D, mass_cancel(1, MassCancelScope::Firm)),
        ends(&entered, Reason::MassCanceled, done)
    );
    assert_eq!(
        driver.resumed - steps,
        entered.len() as u64 / (STEP_EVENTS_MAX as u64 - 2)
    );
}

#[test]
fn filters_of_a_mass_cancel_hold_together() {
    let mut driver = world();
    for (instrument, product) in [(1, 5), (2, 5), (3, 6)] {
        let definition = DefineInstrument {
            product,
            ..venue::instrument(instrument)
        };
        driver.apply(VENUE, definition, &mut Vec::new());
    }
    let all = [
        (A, 1, 1, BUY, 1),
        (B, 2, 2, BUY, 2),
        (A, 3, 3, BUY, 1),
        (C, 4, 2, SELL, 1),
        (B, 5, 1, BUY, 2),
    ];
    for (session, id, instrument, side, account) in all {
        let order = EnterOrder {
            account: AccountId(account),
            ..enter(
                id,
                instrument,
                side,
                DAY,
                if side == BUY { 90 } else { 110 },
                5,
            )
        };
        driver.apply(session, order, &mut Vec::new());
    }
    let firm = mass_cancel(10, MassCancelScope::Firm);
    let none = |request: MassCancel| (request, &[][..]);
    for (request, ended) in [
        none(MassCancel { kinds: 1, ..firm }),
        none(MassCancel {
            protection_group: 1,
            ..firm
        }),
        none(MassCancel { product: 7, ..firm }),
        none(MassCancel {
            product: 6,
            side: SELL,
            ..firm
        }),
        none(MassCancel {
            product: 6,
            instrument: InstrumentId(1),
            ..firm
        }),
        (
            MassCancel {
                product: 5,
                side: BUY,
                by_account: 1,
                account: AccountId(2),
                kinds: 2,
                ..firm
            },
            &[(B, 2), (B, 5)][..],
        ),
        (MassCancel { product: 5, ..firm }, &[(A, 1), (C, 4)]),
        (MassCancel { kinds: 2, ..firm }, &[(A, 3)]),
    ] {
        let done = (4, "mass canceled", ended.len() as u64, Reason::None);
        assert_eq!(
            apply!(driver, D, request),
            ends(ended, Reason::MassCanceled, done),
            "{request:?}"
        );
    }
}

/// "ClientOrderId, side, scope, account flag, kinds, role, instrument": the first that fails.
#[test]
fn a_mass_cancel_is_checked_in_order() {
    let mut driver = world();
    let everything_wrong = MassCancel {
        side: 3,
        scope: 9,
        by_account: 2,
        kinds: 3,
        instrument: InstrumentId(99),
        ..MassCancel::default()
    };
    let mut request = everything_wrong;
    let mut expect = |request: MassCancel, reason| {
        let refused = [(1, "mass canceled", 0, reason)];
        assert_eq!(apply!(driver, A, request), refused, "{request:?}");
    };
    expect(request, Reason::InvalidClientOrderId);
    request.client_order_id = ClientOrderId::from_u64(1);
    expect(request, Reason::InvalidMassCancel);
    request.side = 0;
    expect(request, Reason::InvalidMassCancel);
    request.scope = MassCancelScope::Firm.as_u8();
    expect(request, Reason::InvalidMassCancel);
    request.by_account = 0;
    expect(request, Reason::InvalidMassCancel);
    request.kinds = 2;
    expect(request, Reason::NotPermitted);
    request.scope = MassCancelScope::User.as_u8();
    expect(request, Reason::UnknownInstrument);
    request.instrument = InstrumentId(1);
    expect(request, Reason::None);
}

// Kill switch.

fn entry_is(driver: &mut Driver, session: SessionId, id: u64, instrument: u32, reason: Reason) {
    let kind = if reason == Reason::None {
        "accepted"
    } else {
        "rejected"
    };
    let order = enter(id, instrument, BUY, DAY, 50, 1);
    let expected = [(session.0, kind, id, reason)];
    assert_eq!(apply!(driver, session, order), expected);
}

#[test]
fn every_scope_of_the_kill_switch_cancels_and_blocks_who_is_in_it() {
    type Case<'a> = (KillScope, u32, &'a [(SessionId, u64)]);
    let cases: [Case<'_>; 5] = [
        (KillScope::Session, 3, &[(C, 3)]),
        // The venue means the users of all firms.
        (KillScope::User, 7, &[(E, 5), (A, 1), (B, 2)]),
        (KillScope::Firm, 1, &[(C, 3), (A, 1), (D, 4), (B, 2)]),
        (
            KillScope::Instrument,
            1,
            &[(E, 5), (C, 3), (A, 1), (D, 4), (B, 2)],
        ),
        (
            KillScope::Venue,
            0,
            &[(E, 5), (C, 3), (A, 1), (D, 4), (B, 2)],
        ),
    ];
    for (scope, target, ended) in cases {
        let mut driver = world();
        rest_one_each(&mut driver);
        // What rests in another instrument is in the scope of everything but an instrument.
        let elsewhere = enter(20, 2, BUY, DAY, 100, 5);
        driver.apply(C, elsewhere, &mut Vec::new());
        let mut ended = ended.to_vec();
        if ended.contains(&(C, 3)) && scope != KillScope::Instrument {
            ended.push((C, 20));
        }
        let done = (0, "killed", ended.len() as u64, Reason::None);
        assert_eq!(
            apply!(driver, VENUE, kill(0, scope, target)),
            ends(&ended, Reason::KilledBySwitch, done),
            "{scope:?}"
        );
        let under = |session| ended.iter().any(|(whose, _)| *whose == session);
        for session in [A, B, C, D, E] {
            let blocked = [Reason::None, Reason::TradingBlocked][usize::from(under(session))];
            entry_is(&mut driver, session, 30, 1, blocked);
            let other = match scope {
                KillScope::Instrument => Reason::None,
                _ => blocked,
            };
            entry_is(&mut driver, session, 31, 2, other);
        }
        // Again: what is there goes, if anything could come.
        assert_eq!(
            apply!(driver, VENUE, kill(0, scope, target)),
            [(0, "killed", 0, Reason::None)]
        );
        assert_eq!(
            apply!(driver, VENUE, release(0, scope, target)),
            [(0, "killed", 0, Reason::None)]
        );
        for session in [A, B, C, D, E] {
            entry_is(&mut driver, session, 40, 1, Reason::None);
        }
    }
}

#[test]
fn a_kill_switch_cancels_in_the_order_of_entry_over_many_steps() {
    let mut driver = world();
    let mut entered = Vec::new();
    for id in 0..700u64 {
        let session = [A, E, C, B][(id % 7 % 4) as usize];
        if id % 5 == 0 {
            let terms = OrderTerms {
                stop_price: Price(150),
                ..OrderTerms::NONE
            };
            let stop = EnterOrder {
                order_type: 3,
                ..enter(100 + id, 1, BUY, DAY, NO_PRICE.0, 1)
            };
            let order = EnterOrderWithTerms { order: stop, terms };
            driver.apply(session, order, &mut Vec::new());
        } else {
            let order = enter(100 + id, 1, BUY, DAY, 100, 1);
            driver.apply(session, order, &mut Vec::new());
        }
        entered.push((session, 100 + id));
    }
    let mut out = Vec::new();
    driver.apply(VENUE, kill(0, KillScope::Instrument, 1), &mut out);
    let done = (0, "killed", 700, Reason::None);
    assert_eq!(told(&out), ends(&entered, Reason::KilledBySwitch, done));
    let mut numbered = true;
    venue::for_each_event(&out, |header, body| match body {
        EventBody::KillSwitchDone(_) => numbered = header.session_seq.0 != 0,
        _ => assert_ne!(header.session_seq.0, 0),
    });
    assert!(!numbered, "the venue's own is an answer to nobody");
    assert_eq!(driver.engine.open_orders(), 0);
}

#[test]
fn a_risk_desk_stops_what_is_of_its_firm() {
    let mut driver = world();
    rest_one_each(&mut driver);
    let mut expect = |session: SessionId, request: KillSwitch, reason| {
        let refused = [(session.0, "killed", 0, reason)];
        assert_eq!(apply!(driver, session, request), refused, "{request:?}");
    };
    for (scope, target, reason) in [
        (KillScope::Session, 5, Reason::NotPermitted),
        (KillScope::Session, 9, Reason::UnknownSession),
        (KillScope::Session, 0, Reason::UnknownSession),
        (KillScope::Session, u32::MAX, Reason::UnknownSession),
        (KillScope::User, 0, Reason::UnknownSession),
        (KillScope::User, 8, Reason::UnknownSession),
        (KillScope::Firm, 2, Reason::NotPermitted),
        (KillScope::Firm, u32::MAX, Reason::NotPermitted),
        (KillScope::Instrument, 1, Reason::NotPermitted),
        (KillScope::Instrument, 99, Reason::NotPermitted),
        (KillScope::Venue, 0, Reason::NotPermitted),
    ] {
        expect(D, kill(10, scope, target), reason);
        // Nobody else may, whatever it is.
        expect(A, kill(10, scope, target), Reason::NotPermitted);
    }
    let nameless = kill(0, KillScope::Session, 1);
    expect(D, nameless, Reason::InvalidClientOrderId);
    let scopeless = KillSwitch {
        scope: 6,
        ..kill(1, KillScope::Session, 1)
    };
    expect(D, scopeless, Reason::UnsupportedInstruction);
    expect(A, scopeless, Reason::UnsupportedInstruction);
    let neither = KillSwitch {
        release: 2,
        ..kill(1, KillScope::Session, 1)
    };
    expect(D, neither, Reason::UnsupportedInstruction);
    // To cancel only is the venue's, and no release.
    for (session, release, cancels_only) in [(D, 0, 1), (A, 0, 1), (VENUE, 1, 1), (VENUE, 0, 2)] {
        let canceling = KillSwitch {
            release,
            cancels_only,
            ..kill(1, KillScope::Session, 1)
        };
        expect(session, canceling, Reason::UnsupportedInstruction);
    }
    // Firms number their users themselves: E's is another.
    let done = (4, "killed", 2, Reason::None);
    assert_eq!(
        apply!(driver, D, kill(11, KillScope::User, 7)),
        ends(&[(A, 1), (B, 2)], Reason::KilledBySwitch, done)
    );
    entry_is(&mut driver, E, 30, 1, Reason::None);
    entry_is(&mut driver, A, 30, 1, Reason::TradingBlocked);
    for (scope, target, reason) in [
        (KillScope::Firm, 9, Reason::UnknownSession),
        (KillScope::Firm, 0, Reason::UnknownSession),
        (KillScope::Firm, u32::MAX, Reason::UnknownSession),
        (KillScope::Instrument, 0, Reason::UnknownInstrument),
        (KillScope::Instrument, 9, Reason::UnknownInstrument),
        (KillScope::Instrument, u32::MAX, Reason::UnknownInstrument),
        (KillScope::User, 8, Reason::UnknownSession),
        (KillScope::Session, 9, Reason::UnknownSession),
    ] {
        let refused = [(0, "killed", 0, reason)];
        assert_eq!(apply!(driver, VENUE, kill(0, scope, target)), refused);
    }
}

/// "Each scope is a block of its own": one release leaves the others.
#[test]
fn whoever_is_under_any_block_is_blocked() {
    let mut driver = world();
    let blocks = [
        (KillScope::Session, 1),
        (KillScope::User, 7),
        (KillScope::Firm, 1),
        (KillScope::Venue, 0),
        (KillScope::Instrument, 1),
    ];
    for (scope, target) in blocks {
        driver.apply(VENUE, kill(0, scope, target), &mut Vec::new());
    }
    let mut id = 10;
    for (scope, target) in blocks {
        id += 1;
        entry_is(&mut driver, A, id, 1, Reason::TradingBlocked);
        driver.apply(VENUE, release(0, scope, target), &mut Vec::new());
    }
    entry_is(&mut driver, A, 20, 1, Reason::None);
}

/// New orders: after the ClientOrderId, before the instrument. Replaces: after what is stated, before
/// the quantity. Cancels are not refused.
#[test]
fn a_block_refuses_in_its_place_among_the_checks() {
    let mut driver = world();
    driver.apply(VENUE, kill(0, KillScope::Session, 1), &mut Vec::new());
    let rejected = |id, reason| [(1, "rejected", id, reason)];
    let nameless = enter(0, 99, BUY, DAY, 50, 1);
    assert_eq!(
        apply!(driver, A, nameless),
        rejected(0, Reason::InvalidClientOrderId)
    );
    entry_is(&mut driver, A, 1, 99, Reason::TradingBlocked);
    entry_is(&mut driver, A, 1, 1, Reason::DuplicateClientOrderId);
    entry_is(&mut driver, B, 1, 99, Reason::UnknownInstrument);
    driver.apply(VENUE, release(0, KillScope::Session, 1), &mut Vec::new());
    driver.apply(VENUE, kill(0, KillScope::Instrument, 1), &mut Vec::new());
    let sideless = enter(2, 1, 9, DAY, 50, 1);
    assert_eq!(
        apply!(driver, A, sideless),
        rejected(2, Reason::TradingBlocked)
    );
    let target = replace(3, 1, 1, 50, 1);
    assert_eq!(
        apply!(driver, A, target),
        [(1, "refused", 3, Reason::UnknownOrder)]
    );
}

#[test]
fn a_block_that_comes_with_a_new_definition_refuses_replaces_and_leaves_cancels() {
    let mut driver = world();
    driver.apply(C, enter(1, 1, BUY, DAY, 50, 5), &mut Vec::new());
    driver.apply(VENUE, kill(0, KillScope::User, 7), &mut Vec::new());
    // C becomes the blocked user's, with an order at rest.
    driver.apply(VENUE, member(3, 1, 7, 0), &mut Vec::new());
    let refused = |id, reason| [(3, "refused", id, reason)];
    let mut change = replace(2, 1, 1, 50, 0);
    change.order_type = 1;
    assert_eq!(
        apply!(driver, C, change),
        refused(2, Reason::ReplaceNotAllowed)
    );
    change.order_type = 0;
    assert_eq!(
        apply!(driver, C, change),
        refused(2, Reason::TradingBlocked)
    );
    assert_eq!(
        apply!(driver, C, cancel(3, 1)),
        [(3, "ended", 1, Reason::CanceledByRequest)]
    );
    // And nobody's again, it is under nobody's block.
    driver.apply(VENUE, member(3, 1, 0, 0), &mut Vec::new());
    entry_is(&mut driver, C, 4, 1, Reason::None);
}

#[test]
fn a_session_defined_later_is_under_what_is_above_it_and_blocks_outlive_days() {
    for (scope, target) in [
        (KillScope::User, 7),
        (KillScope::Firm, 1),
        (KillScope::Venue, 0),
    ] {
        let mut driver = world();
        let late = SessionId(6);
        driver.apply(VENUE, kill(0, scope, target), &mut Vec::new());
        driver.apply(VENUE, member(6, 1, 7, 0), &mut Vec::new());
        driver.logon(late, &mut Vec::new());
        entry_is(&mut driver, late, 1, 1, Reason::TradingBlocked);
        let roll = DayRoll {
            trading_day: 20_260_102,
            reserved: 0,
        };
        driver.apply(VENUE, roll, &mut Vec::new());
        entry_is(&mut driver, late, 1, 1, Reason::TradingBlocked);
        driver.apply(VENUE, release(0, scope, target), &mut Vec::new());
        entry_is(&mut driver, late, 2, 1, Reason::None);
    }
    // A firm that has no session yet, and a session of another.
    let mut driver = world();
    let firm = DefineFirm {
        firm: FirmId(3),
        name: name("LATE").unwrap(),
        ..DefineFirm::default()
    };
    driver.apply(VENUE, firm, &mut Vec::new());
    let done = [(0, "killed", 0, Reason::None)];
    assert_eq!(apply!(driver, VENUE, kill(0, KillScope::Firm, 3)), done);
    for (id, firm, reason) in [(6, 3, Reason::TradingBlocked), (7, 2, Reason::None)] {
        driver.apply(VENUE, member(id, firm, 7, 0), &mut Vec::new());
        driver.logon(SessionId(id), &mut Vec::new());
        entry_is(&mut driver, SessionId(id), 1, 1, reason);
    }
}

// Order status.

fn reports(bytes: &[u8]) -> Vec<(EventHeader, OrderStatusReport)> {
    let mut reports = Vec::new();
    venue::for_each_event(bytes, |header, body| {
        if let EventBody::OrderStatusReport(report) = body {
            reports.push((*header, *report));
        }
    });
    reports
}

fn status_of(original: u64) -> OrderStatusRequest {
    OrderStatusRequest {
        client_order_id: ClientOrderId::from_u64(500),
        original: ClientOrderId::from_u64(original),
        ..OrderStatusRequest::default()
    }
}

#[test]
fn one_order_is_stated_as_it_is() {
    let (mut driver, mut out) = (world(), Vec::new());
    let terms = OrderTerms {
        display: Quantity(3),
        ..OrderTerms::NONE
    };
    let order = enter(1, 1, BUY, DAY, 100, 10);
    driver.apply(A, EnterOrderWithTerms { order, terms }, &mut out);
    driver.apply(B, enter(2, 1, SELL, DAY, 100, 4), &mut out);
    out.clear();
    driver.apply(A, status_of(1), &mut out);
    let (header, report) = reports(&out)[0];
    assert_eq!(header.session, A);
    assert_ne!(header.session_seq.0, 0);
    assert_eq!(header.inbound_seq, driver.last_inbound(A));
    assert_eq!(report.request, ClientOrderId::from_u64(500));
    assert_eq!((report.total, report.is_last, report.all), (1, 1, 0));
    assert_eq!((report.is_quote, report.waits), (0, 0));
    assert_eq!(report.terms, terms);
    assert_eq!(report.shown, Quantity(2), "3 and then 1 of the next 3");
    let state = report.order;
    assert_eq!(state.exec_id, ExecId(0));
    assert_eq!((state.leaves.0, state.cumulative.0), (6, 4));
    assert_eq!(state.status, OrderStatus::PartiallyFilled.as_u8());
    // By the venue's id, and by both; as a cancel names it, from its session only.
    let by_id = |order_id, original| OrderStatusRequest {
        order_id,
        ..status_of(original)
    };
    for request in [by_id(state.order_id, 0), by_id(state.order_id, 1)] {
        assert_eq!(apply!(driver, A, request), [(1, "stated", 1, Reason::None)]);
    }
    let refused = |session: SessionId, reason| [(session.0, "refused", 500, reason)];
    for (session, request, reason) in [
        (B, by_id(state.order_id, 0), Reason::UnknownOrder),
        (A, status_of(99), Reason::UnknownOrder),
        (A, by_id(OrderId(u64::MAX), 0), Reason::UnknownOrder),
        (A, by_id(OrderId(99), 1), Reason::IdMismatch),
        (B, status_of(2), Reason::TooLateToCancel),
        (
            A,
            OrderStatusRequest {
                side: SELL,
                ..status_of(1)
            },
            Reason::TermsMismatch,
        ),
        (
            A,
            OrderStatusRequest {
                instrument: InstrumentId(2),
                ..status_of(1)
            },
            Reason::TermsMismatch,
        ),
    ] {
        assert_eq!(apply!(driver, session, request), refused(session, reason));
    }
    // A question is no execution.
    out.clear();
    driver.apply(A, enter(9, 2, BUY, DAY, 100, 1), &mut out);
    venue::for_each_event(&out, |_, body| {
        if let EventBody::OrderAccepted(e) = body {
            assert_eq!(e.order.exec_id, ExecId(7));
        }
    });
}

#[test]
fn a_stop_that_waits_is_stated_as_waiting() {
    let (mut driver, mut out) = (world(), Vec::new());
    let terms = OrderTerms {
        stop_price: Price(150),
        ..OrderTerms::NONE
    };
    let order = EnterOrder {
        order_type: 3,
        ..enter(1, 1, BUY, DAY, NO_PRICE.0, 10)
    };
    driver.apply(A, EnterOrderWithTerms { order, terms }, &mut out);
    out.clear();
    driver.apply(A, status_of(1), &mut out);
    let (_, report) = reports(&out)[0];
    assert_eq!((report.waits, report.shown), (1, Quantity(0)));
    assert_eq!(report.terms, terms);
    assert_eq!(report.order.leaves, Quantity(10));
}

#[test]
fn all_open_orders_are_stated_at_one_point_of_the_log_over_many_steps() {
    let (mut driver, mut out) = (world(), Vec::new());
    for id in 1..=600u64 {
        let side = if id % 2 == 0 { BUY } else { SELL };
        let price = if side == BUY { 90 } else { 110 };
        let order = enter(id, 1 + (id % 3) as u32, side, DAY, price, 1);
        driver.apply(A, order, &mut out);
        driver.apply(B, order, &mut out);
    }
    let all = OrderStatusRequest {
        client_order_id: ClientOrderId::from_u64(7_000),
        all: 1,
        ..OrderStatusRequest::default()
    };
    let mut check = |request: OrderStatusRequest, expected: Vec<u64>| {
        out.clear();
        let steps = driver.resumed;
        driver.apply(A, request, &mut out);
        assert_eq!(
            driver.resumed - steps,
            (expected.len() as u64).saturating_sub(1) / (STEP_EVENTS_MAX as u64 - 2)
        );
        let reports = reports(&out);
        let ids: Vec<u64> = (reports.iter())
            .map(|(_, r)| r.order.client_order_id.as_u64().unwrap())
            .collect();
        assert_eq!(ids, expected);
        for (index, (header, report)) in reports.iter().enumerate() {
            assert_eq!(report.request, request.client_order_id);
            assert_eq!(report.total as usize, expected.len());
            assert_eq!(report.is_last == 1, index + 1 == expected.len());
            assert_eq!((report.all, header.session), (1, A));
            assert_eq!(header.index as usize, index);
            assert_eq!(header.inbound_seq, driver.last_inbound(A));
        }
    };
    check(all, (1..=600).collect());
    let buys = OrderStatusRequest { side: BUY, ..all };
    check(buys, (1..=600).filter(|id| id % 2 == 0).collect());
    let instrument = InstrumentId(2);
    let both = OrderStatusRequest { instrument, ..buys };
    check(
        both,
        (1..=600).filter(|id| id % 2 == 0 && id % 3 == 1).collect(),
    );
    // Exactly a step's worth, and one more.
    for id in 255..=600 {
        driver.apply(A, cancel(10_000 + id, id), &mut Vec::new());
    }
    let mut out = Vec::new();
    let steps = driver.resumed;
    driver.apply(A, all, &mut out);
    assert_eq!((reports(&out).len(), driver.resumed - steps), (254, 0));
    driver.apply(A, enter(255_000, 1, BUY, DAY, 90, 1), &mut Vec::new());
    out.clear();
    driver.apply(A, all, &mut out);
    assert_eq!((reports(&out).len(), driver.resumed - steps), (255, 1));
}

#[test]
fn of_nothing_there_is_one_answer_without_an_order() {
    let (mut driver, mut out) = (world(), Vec::new());
    let all = OrderStatusRequest {
        client_order_id: ClientOrderId::from_u64(5),
        instrument: InstrumentId(u32::MAX),
        side: 9,
        all: 1,
        ..OrderStatusRequest::default()
    };
    driver.apply(A, all, &mut out);
    let (header, report) = reports(&out)[0];
    assert_eq!(header.reason, 0);
    assert_eq!(report.order, OrderState::default());
    assert_eq!((report.total, report.is_last, report.all), (0, 1, 1));
    assert_eq!(report.terms, OrderTerms::NONE);
}

// Busts and corrections.

fn amended(bytes: &[u8]) -> Vec<(EventHeader, TradeAmended)> {
    let mut amended = Vec::new();
    venue::for_each_event(bytes, |header, body| {
        if let EventBody::TradeAmended(event) = body {
            amended.push((*header, *event));
        }
    });
    amended
}

/// A buys 10 at 100: 4 of B in trade 1, 3 of E in trade 2, 3 stay open. Returns all fills.
fn two_trades(driver: &mut Driver) -> Vec<(SessionId, Fill)> {
    let mut out = Vec::new();
    driver.apply(A, enter(1, 1, BUY, DAY, 100, 10), &mut out);
    driver.apply(B, enter(2, 1, SELL, DAY, 100, 4), &mut out);
    driver.apply(E, enter(3, 1, SELL, DAY, 90, 3), &mut out);
    fills(&out)
}

#[test]
fn a_bust_takes_a_trade_out_of_both_orders() {
    let (mut driver, mut out) = (world(), Vec::new());
    let fills = two_trades(&mut driver);
    let bust = amendment(&fills, 1, NO_PRICE);
    driver.apply(VENUE, bust, &mut out);
    let told = amended(&out);
    let [(first, maker), (second, taker)] = told[..] else {
        panic!("both sides are told: {told:?}");
    };
    assert_eq!((first.session, second.session), (A, B));
    assert_ne!(first.session_seq.0, 0);
    assert_eq!((first.inbound_seq, second.inbound_seq), (0, 0));
    for event in [maker, taker] {
        assert_eq!(event.trade_id, TradeId(1));
        assert_eq!((event.price, event.quantity), (Price(100), Quantity(4)));
        assert_eq!(event.new_price, NO_PRICE);
    }
    assert_eq!(maker.reference, fills[0].1.order.exec_id);
    assert_eq!(taker.reference, fills[1].1.order.exec_id);
    assert!(maker.order.exec_id > fills[3].1.order.exec_id);
    assert_eq!(taker.order.exec_id.0, maker.order.exec_id.0 + 1);
    // Open: 10 less 4 that did not happen, 3 of trade 2 filled, 3 open as before.
    let state = maker.order;
    assert_eq!(
        (state.quantity.0, state.cumulative.0, state.leaves.0),
        (6, 3, 3)
    );
    assert_eq!(state.notional, [300, 0]);
    assert_eq!(state.status, OrderStatus::PartiallyFilled.as_u8());
    // It was filled, and is not any more: nothing is left of it, and nothing is open.
    let state = taker.order;
    assert_eq!(
        (state.quantity.0, state.cumulative.0, state.leaves.0),
        (4, 0, 0)
    );
    assert_eq!(state.notional, [0, 0]);
    assert_eq!(state.status, OrderStatus::Canceled.as_u8());
    // The book is as it was, and the order goes on.
    let best = driver.engine.best(InstrumentId(1), Side::Buy);
    assert_eq!(best, Some((Price(100), Quantity(3))));
    out.clear();
    driver.apply(B, enter(4, 1, SELL, DAY, 100, 3), &mut out);
    assert_eq!(
        self::fills(&out)[0].1.order.status,
        OrderStatus::Filled.as_u8()
    );
    // The last trade of all of an open order.
    out.clear();
    driver.apply(A, enter(5, 2, BUY, DAY, 100, 10), &mut out);
    driver.apply(B, enter(6, 2, SELL, DAY, 100, 4), &mut out);
    let bust = amendment(&self::fills(&out), 4, NO_PRICE);
    out.clear();
    driver.apply(VENUE, bust, &mut out);
    let state = amended(&out)[0].1.order;
    assert_eq!((state.quantity.0, state.cumulative.0), (6, 0));
    assert_eq!(state.status, OrderStatus::New.as_u8());
    // Its owner's next total is of what is left.
    out.clear();
    driver.apply(A, replace(7, 5, 2, 100, 6), &mut out);
    venue::for_each_event(&out, |_, body| {
        if let EventBody::OrderReplaced(e) = body {
            assert_eq!((e.order.leaves.0, e.priority_kept), (6, 1));
        }
    });
}

#[test]
fn a_correction_changes_the_notional_only() {
    let (mut driver, mut out) = (world(), Vec::new());
    let fills = two_trades(&mut driver);
    driver.apply(VENUE, amendment(&fills, 2, Price(95)), &mut out);
    let told = amended(&out);
    let states = [told[0].1.order, told[1].1.order];
    assert_eq!([told[0].0.session, told[1].0.session], [A, E]);
    assert_eq!(told[0].1.new_price, Price(95));
    assert_eq!(states[0].notional, [4 * 100 + 3 * 95, 0]);
    assert_eq!(states[1].notional, [3 * 95, 0]);
    let numbers = |s: OrderState| (s.quantity.0, s.cumulative.0, s.leaves.0);
    assert_eq!(numbers(states[0]), (10, 7, 3));
    assert_eq!(numbers(states[1]), (3, 3, 0));
    // The other trade of the same order is another.
    out.clear();
    driver.apply(VENUE, amendment(&fills, 1, NO_PRICE), &mut out);
    assert_eq!(amended(&out)[0].1.order.notional, [3 * 95, 0]);
}

/// An order that ended since: what the command says of it, ended.
#[test]
fn an_order_that_ended_is_not_opened_again() {
    let (mut driver, mut out) = (world(), Vec::new());
    let fills = two_trades(&mut driver);
    driver.apply(A, cancel(9, 1), &mut out);
    out.clear();
    driver.apply(VENUE, amendment(&fills, 1, NO_PRICE), &mut out);
    let state = amended(&out)[0].1.order;
    assert_eq!(
        (state.quantity.0, state.cumulative.0, state.leaves.0),
        (10, 0, 0)
    );
    assert_eq!(state.status, OrderStatus::Canceled.as_u8());
    assert_eq!(driver.engine.open_orders(), 0);
}

fn ignored(reason: Reason) -> [Told; 1] {
    [(0, "ignored", 34, reason)]
}

#[test]
fn a_trade_is_busted_once_and_must_have_been_today() {
    let mut driver = world();
    let fills = two_trades(&mut driver);
    let bust = amendment(&fills, 1, NO_PRICE);
    let twice = |driver: &mut Driver| apply!(driver, VENUE, bust);
    assert_eq!(twice(&mut driver).len(), 2);
    assert_eq!(twice(&mut driver), ignored(Reason::TradeAlreadyBusted));
    let correction = amendment(&fills, 1, Price(99));
    assert_eq!(
        apply!(driver, VENUE, correction),
        ignored(Reason::TradeAlreadyBusted)
    );
    for trade in [0, 3, u64::MAX] {
        let unknown = AmendTrade {
            trade_id: TradeId(trade),
            ..bust
        };
        assert_eq!(
            apply!(driver, VENUE, unknown),
            ignored(Reason::UnknownTrade)
        );
    }
    let from_session = apply!(driver, A, amendment(&fills, 2, NO_PRICE));
    assert_eq!(from_session, [(1, "ignored", 34, Reason::NotPermitted)]);
    for (price, reason) in [
        (0, Reason::PriceBelowMinimum),
        (200_001, Reason::PriceAboveMaximum),
    ] {
        let correction = amendment(&fills, 2, Price(price));
        assert_eq!(apply!(driver, VENUE, correction), ignored(reason));
    }
    let roll = DayRoll {
        trading_day: 20_260_102,
        reserved: 0,
    };
    driver.apply(VENUE, roll, &mut Vec::new());
    for trade in [1, 2] {
        let late = amendment(&fills, trade, NO_PRICE);
        assert_eq!(apply!(driver, VENUE, late), ignored(Reason::UnknownTrade));
    }
}

/// The same trade as the last correction left it: its price, its reports, its orders.
fn from_there_on(before: &AmendTrade, told: &[(EventHeader, TradeAmended)]) -> AmendTrade {
    let mut request = *before;
    request.price = before.new_price;
    for (fill, (_, amended)) in request.fills.iter_mut().zip(told) {
        fill.order = amended.order;
    }
    request
}

/// A mistake in a correction can be put right, and what was corrected can be busted.
#[test]
fn what_was_corrected_can_be_corrected_again_and_busted_once() {
    let (mut driver, mut out) = (world(), Vec::new());
    let fills = two_trades(&mut driver);
    let first = amendment(&fills, 1, Price(1_000));
    driver.apply(VENUE, first, &mut out);
    let corrected = amended(&out);
    let mut second = from_there_on(&first, &corrected);
    second.new_price = Price(101);
    // Where it starts from is held against what it was corrected to.
    let mut others = [first, second, second];
    others[1].price = Price(100);
    others[2].fills[1].order.exec_id = fills[1].1.order.exec_id;
    for other in others {
        assert_eq!(apply!(driver, VENUE, other), ignored(Reason::UnknownTrade));
    }
    // A snapshot knows it too.
    let saved = driver.engine.save().unwrap();
    driver.engine = Engine::restore(limits(), &saved).unwrap();
    out.clear();
    driver.apply(VENUE, second, &mut out);
    let again = amended(&out);
    for ((_, now), (_, before)) in again.iter().zip(&corrected) {
        assert_eq!(now.reference, before.order.exec_id);
        assert_eq!((now.price, now.new_price), (Price(1_000), Price(101)));
        assert_eq!(now.order.cumulative, before.order.cumulative);
    }
    assert_eq!(again[0].1.order.notional, [4 * 101 + 3 * 100, 0]);
    assert_eq!(again[1].1.order.notional, [4 * 101, 0]);
    let mut bust = from_there_on(&second, &again);
    bust.new_price = NO_PRICE;
    out.clear();
    driver.apply(VENUE, bust, &mut out);
    let busted = amended(&out);
    assert_eq!(busted[0].1.order.notional, [3 * 100, 0]);
    assert_eq!(busted[1].1.order.notional, [0, 0]);
    assert_eq!(busted[1].1.reference, again[1].1.order.exec_id);
    assert_eq!(busted[1].1.price, Price(101));
    for more in [bust, second] {
        assert_eq!(
            apply!(driver, VENUE, more),
            ignored(Reason::TradeAlreadyBusted)
        );
    }
}

/// What a command says of a trade is held against what the core knows.
#[test]
fn an_amendment_that_cannot_be_so_does_nothing() {
    let mut driver = world();
    let fills = two_trades(&mut driver);
    let right = amendment(&fills, 1, NO_PRICE);
    let before = driver.engine.state_hash();
    type Spoiled = (&'static str, fn(&mut AmendTrade));
    let wrong: &[Spoiled] = &[
        ("no lots", |a| a.quantity = Quantity(0)),
        ("more than was filled", |a| a.quantity = Quantity(8)),
        ("far more", |a| a.quantity = Quantity(u64::MAX)),
        ("no price", |a| a.price = NO_PRICE),
        ("not that price", |a| a.price = Price(150_000)),
        ("an order that never was", |a| {
            a.fills[0].order.order_id = OrderId(u64::MAX);
        }),
        ("no order", |a| a.fills[1].order.order_id = OrderId(0)),
        ("one order", |a| a.fills[1].order = a.fills[0].order),
        ("another session", |a| a.fills[0].session = B),
        ("no session", |a| a.fills[1].session = SessionId(0)),
        ("an undefined one", |a| a.fills[1].session = SessionId(9)),
        ("one of nowhere", |a| {
            a.fills[1].session = SessionId(u32::MAX);
        }),
        ("the wrong way round", |a| a.fills.swap(0, 1)),
        ("an execution to come", |a| {
            a.fills[1].order.exec_id = ExecId(1_000);
        }),
        ("no instrument", |a| {
            a.fills[0].order.instrument = InstrumentId(0);
            a.fills[1].order.instrument = InstrumentId(0);
        }),
        ("another instrument", |a| {
            a.fills[0].order.instrument = InstrumentId(2);
            a.fills[1].order.instrument = InstrumentId(2);
        }),
        ("two instruments", |a| {
            a.fills[1].order.instrument = InstrumentId(2);
        }),
        ("no side", |a| a.fills[1].order.side = 9),
        ("one side", |a| a.fills[1].order.side = BUY),
        ("no type", |a| a.fills[1].order.order_type = 9),
        ("no time in force", |a| a.fills[1].order.time_in_force = 9),
        ("no status", |a| a.fills[1].order.status = 9),
        ("no instruction", |a| a.fills[1].order.instructions = 0x80),
        ("no prevention", |a| {
            a.fills[1].order.self_trade_prevention = 9;
        }),
        ("no id", |a| {
            a.fills[1].order.client_order_id = ClientOrderId::NONE;
        }),
        ("filled more than ordered", |a| {
            a.fills[1].order.cumulative = Quantity(5);
        }),
        ("a quantity out of range", |a| {
            a.fills[1].order.quantity = Quantity(u64::MAX);
        }),
        ("a notional out of range", |a| {
            a.fills[1].order.notional = [0, 1 << 63];
        }),
        ("a notional of more", |a| {
            a.fills[1].order.notional = [401, 0];
        }),
    ];
    for (what, spoil) in wrong {
        let mut request = right;
        spoil(&mut request);
        assert_eq!(
            apply!(driver, VENUE, request),
            ignored(Reason::UnknownTrade),
            "{what}"
        );
    }
    // Only time and sequence passed.
    let mut same = world();
    two_trades(&mut same);
    for (_, spoil) in wrong {
        let mut request = right;
        spoil(&mut request);
        same.apply(VENUE, request, &mut Vec::new());
    }
    assert_eq!(same.engine.state_hash(), driver.engine.state_hash());
    assert_ne!(before, driver.engine.state_hash());
    assert_eq!(apply!(driver, VENUE, right).len(), 2);
}

/// Refused when full, and at the day roll there is room again.
#[test]
fn so_many_trades_of_a_day_can_be_amended() {
    let limits = EngineLimits {
        client_order_ids: 1 << 18,
        ..limits()
    };
    let mut driver = world_with(limits);
    let trade = |driver: &mut Driver, id: u64| {
        let mut out = Vec::new();
        driver.apply(A, enter(id, 1, BUY, DAY, 100, 1), &mut out);
        driver.apply(B, enter(id, 1, SELL, DAY, 100, 1), &mut out);
        fills(&out)
    };
    let count = AMENDED_TRADES_MAX as u64;
    // From the last to the first: the worst order to remember them in.
    let trades: Vec<_> = (1..=count + 1).map(|id| trade(&mut driver, id)).collect();
    for id in (2..=count).rev() {
        let bust = amendment(&trades[id as usize - 1], id, NO_PRICE);
        assert_eq!(apply!(driver, VENUE, bust).len(), 2, "{id}");
    }
    let correction = amendment(&trades[0], 1, Price(99));
    let mut out = Vec::new();
    driver.apply(VENUE, correction, &mut out);
    let one_more = amendment(&trades[count as usize], count + 1, NO_PRICE);
    assert_eq!(
        apply!(driver, VENUE, one_more),
        ignored(Reason::AmendmentCapacity)
    );
    // It takes no more room to amend what was amended.
    let mut again = from_there_on(&correction, &amended(&out));
    again.new_price = NO_PRICE;
    assert_eq!(apply!(driver, VENUE, again).len(), 2);
    let known = amendment(&trades[4_999], 5_000, NO_PRICE);
    assert_eq!(
        apply!(driver, VENUE, known),
        ignored(Reason::TradeAlreadyBusted)
    );
    let roll = DayRoll {
        trading_day: 20_260_102,
        reserved: 0,
    };
    driver.apply(VENUE, roll, &mut Vec::new());
    let fills = trade(&mut driver, 1);
    let bust = amendment(&fills, count + 2, NO_PRICE);
    assert_eq!(apply!(driver, VENUE, bust).len(), 2);
}

// All of it.

/// No bytes of these commands make the engine panic, and what it says of open orders adds up.
#[test]
fn bytes_that_nobody_would_send_are_answered() {
    let mut driver = world();
    let mut draw = 88_172_645_463_325_252u64;
    let mut next = move || {
        draw ^= draw << 13;
        draw ^= draw >> 7;
        draw ^= draw << 17;
        draw
    };
    let mut known = Vec::new();
    let mut accepted = 0;
    for round in 0..20_000u64 {
        let mut out = Vec::new();
        let session = [A, B, C, D, E][(next() % 5) as usize];
        let side = [BUY, SELL][(next() % 2) as usize];
        let price = 95 + (next() % 10) as i64;
        driver.apply(
            session,
            enter(round + 1, 1, side, GOOD_TILL_CANCEL, price, 1 + next() % 9),
            &mut out,
        );
        known.extend(fills(&out));
        if known.len() > 200 {
            known.drain(..100);
        }
        out.clear();
        let mut spoil = |bytes: &mut [u8]| {
            for _ in 0..next() % 4 {
                let at = next() as usize % bytes.len();
                bytes[at] = [0, 1, 2, 0x7F, 0x80, 0xFF, next() as u8][(next() % 7) as usize];
            }
        };
        if let Some((_, fill)) = known.first() {
            let trade = fill.trade_id.0 + round % 40;
            let there = known.iter().filter(|(_, f)| f.trade_id.0 == trade).count() == 2;
            if there {
                let mut request = amendment(&known, trade, NO_PRICE);
                spoil(request.as_mut_bytes());
                driver.apply(VENUE, request, &mut out);
                accepted += u64::from(!amended(&out).is_empty());
            }
        }
        let mut request = kill(1, KillScope::Session, 1 + (round % 7) as u32);
        spoil(request.as_mut_bytes());
        driver.apply(D, request, &mut out);
        spoil(request.as_mut_bytes());
        request.release = 1;
        driver.apply(VENUE, request, &mut out);
        for scope in KillScope::ALL {
            for target in 0..8 {
                if round % 16 == 0 {
                    driver.apply(VENUE, release(0, *scope, target), &mut out);
                }
            }
        }
        let mut request = status_of(round);
        request.all = (round % 2) as u8;
        spoil(request.as_mut_bytes());
        driver.apply(session, request, &mut out);
        let mut request = mass_cancel(1, MassCancelScope::Firm);
        request.instrument = InstrumentId(2);
        spoil(request.as_mut_bytes());
        driver.apply(D, request, &mut out);
        venue::for_each_event(&out, |_, body| {
            let state = match body {
                EventBody::TradeAmended(e) if e.order.leaves.0 > 0 => e.order,
                EventBody::OrderStatusReport(e) if e.order.leaves.0 > 0 => e.order,
                _ => return,
            };
            let sum = state.leaves.0 + state.cumulative.0;
            assert_eq!(sum, state.quantity.0, "{state:?}");
        });
    }
    assert!(accepted > 1_000, "{accepted} amendments were as they came");
}

/// Two engines that differ in what these commands leave behind do not agree.
#[test]
fn the_state_hash_covers_blocks_and_amended_trades() {
    let after = |commands: fn(&mut Driver, &[(SessionId, Fill)])| {
        let mut driver = world();
        let fills = two_trades(&mut driver);
        commands(&mut driver, &fills);
        driver.engine.state_hash()
    };
    let apply_kill = |scope, target| {
        let mut driver = world();
        two_trades(&mut driver);
        driver.apply(VENUE, kill(0, scope, target), &mut Vec::new());
        // All of them cancel the same: the one order that is open.
        driver.engine.state_hash()
    };
    let mut hashes = vec![
        after(|_, _| {}),
        after(|driver, fills| {
            driver.apply(VENUE, amendment(fills, 1, NO_PRICE), &mut Vec::new());
        }),
        after(|driver, fills| {
            driver.apply(VENUE, amendment(fills, 1, Price(99)), &mut Vec::new());
        }),
        after(|driver, fills| {
            driver.apply(VENUE, amendment(fills, 1, Price(100)), &mut Vec::new());
        }),
        apply_kill(KillScope::Session, 1),
        apply_kill(KillScope::User, 7),
        apply_kill(KillScope::Firm, 1),
        apply_kill(KillScope::Instrument, 1),
        apply_kill(KillScope::Venue, 0),
    ];
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 9);
}

/// Two engines of which one would go on another way do not agree.
#[test]
fn the_state_hash_covers_which_slots_are_free_and_how_ids_ended() {
    let after = |commands: &[&dyn Fn(&mut Driver)]| {
        let mut driver = world();
        for command in commands {
            command(&mut driver);
        }
        driver
    };
    let next_order = |mut driver: Driver| {
        let mut out = Vec::new();
        driver.apply(A, enter(9, 1, BUY, DAY, 100, 1), &mut out);
        let mut id = OrderId(0);
        venue::for_each_event(&out, |_, body| {
            if let EventBody::OrderAccepted(accepted) = body {
                id = accepted.order.order_id;
            }
        });
        id
    };
    let day = |driver: &mut Driver, id: u64| {
        driver.apply(A, enter(id, 1, BUY, DAY, 100, 1), &mut Vec::new());
    };
    let ioc = |driver: &mut Driver, id: u64| {
        driver.apply(A, enter(id, 1, BUY, IOC, 100, 1), &mut Vec::new());
    };
    let canceled = |driver: &mut Driver, id: u64| {
        driver.apply(A, cancel(90 + id, id), &mut Vec::new());
    };
    // The slot that was freed last is taken first.
    let one = after(&[
        &|it| day(it, 1),
        &|it| day(it, 2),
        &|it| canceled(it, 1),
        &|it| canceled(it, 2),
    ]);
    let other = after(&[
        &|it| day(it, 1),
        &|it| day(it, 2),
        &|it| canceled(it, 2),
        &|it| canceled(it, 1),
    ]);
    assert_ne!(one.engine.state_hash(), other.engine.state_hash());
    assert_ne!(next_order(one), next_order(other));
    // One is told that it expired, the other that it was canceled.
    let one = after(&[&|it| ioc(it, 1), &|it| day(it, 2), &|it| canceled(it, 2)]);
    let other = after(&[&|it| day(it, 1), &|it| canceled(it, 1), &|it| ioc(it, 2)]);
    assert_ne!(one.engine.state_hash(), other.engine.state_hash());
}

#[test]
fn nothing_is_allocated_on_the_way() {
    let mut driver = world();
    let mut out: Vec<u8> = Vec::with_capacity(1 << 20);
    let mut id = 0;
    let mut fill_books = |driver: &mut Driver, out: &mut Vec<u8>| {
        for _ in 0..400 {
            id += 1;
            for session in [A, B, C, E] {
                out.clear();
                driver.apply(session, enter(id, 1, BUY, DAY, 100, 1), out);
            }
        }
        out.clear();
        id += 1;
        driver.apply(D, enter(id, 1, SELL, DAY, 100, 1), out);
        fills(out)
    };
    let all = OrderStatusRequest {
        all: 1,
        ..status_of(0)
    };
    for round in 0..3 {
        let fills = fill_books(&mut driver, &mut out);
        let bust = amendment(&fills, round + 1, NO_PRICE);
        let before = ALLOCATIONS.get();
        ARMED.set(true);
        driver.apply(VENUE, bust, &mut out);
        driver.apply(A, all, &mut out);
        driver.apply(A, status_of(1), &mut out);
        driver.apply(A, mass_cancel(1, MassCancelScope::User), &mut out);
        driver.apply(D, mass_cancel(1, MassCancelScope::Firm), &mut out);
        driver.apply(VENUE, kill(0, KillScope::Venue, 0), &mut out);
        driver.apply(VENUE, release(0, KillScope::Venue, 0), &mut out);
        ARMED.set(false);
        assert_eq!(ALLOCATIONS.get(), before);
        assert_eq!(driver.engine.open_orders(), 0);
    }
}
