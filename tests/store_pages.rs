//! Lists of history that are long: whatever they are filtered by, a page has a bounded cost, and pages meet
//! without a gap. On a real PostgreSQL, whose own log tells how it went about it, and on SQLite.
//!
//! `TEST_DATABASE_URL` names a server to use instead of one of our own; its plans are not looked at.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};
use support::postgres::{Database, Postgres, block_on};
use trading_engine::store::history::{
    AuditFilter, Cursor, ExecutionFilter, OrderFilter, Page, QuoteFilter, ROWS_LOOKED_AT,
    TradeFilter,
};
use trading_engine::store::url::DatabaseUrl;
use trading_engine::store::{Store, StoreError, migrate};
use trading_engine_protocol::types::UtcNanos;

/// Rows of every table, numbered from 1 on.
const ROWS: u64 = 120_000;
/// Quotes behind the last order.
const QUOTES: u64 = 60_000;
/// Between two rows, ns.
const STEP: u64 = 20_000_000_000;
const DAY: u64 = 86_400_000_000_000;
/// When row 0 would be.
const BEGIN: u64 = 20_000 * DAY;
/// Months that rows are of, and the one behind them.
const MONTHS: [(u32, u32); 3] = [(2024, 10), (2024, 11), (2024, 12)];
/// The one row that has what others have not.
const ODD: u64 = 10;

const TABLES: [&str; 7] = [
    "INSERT INTO orders (order_id, session, firm, account, instrument, client_order_id, side, order_type, \
     time_in_force, status, quantity, leaves, cumulative, notional, instructions, self_trade_prevention, \
     protection_group, is_quote, reason, exec_id, entered_at, updated_at, sequence, idx) \
     SELECT n * 16, n % 7, $odd, $odd, $odd, 'c' || n, $odd, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, n, $at, $at, n, 0",
    "INSERT INTO orders (order_id, session, firm, account, instrument, client_order_id, side, order_type, \
     time_in_force, status, quantity, leaves, cumulative, notional, instructions, self_trade_prevention, \
     protection_group, is_quote, reason, exec_id, entered_at, updated_at, sequence, idx) \
     SELECT ($rows + n) * 16, 8, 1, 1, 1, 'q' || n, 1, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, $rows + n, \
     $at + $rows * $step, 0, n, 0",
    "INSERT INTO executions (exec_id, sequence, idx, sequenced_at, kind, reason, session, epoch, session_seq, \
     order_id, client_order_id, instrument, account, side, order_type, time_in_force, status, quantity, leaves, \
     cumulative) SELECT n, n, 0, $at, 20, 0, n % 7, 1, n, n * 16, 'c' || n, $odd, 0, 1, 2, 0, 0, 1, 1, 0",
    "INSERT INTO trades (trade_id, sequence, idx, sequenced_at, instrument, price, quantity, aggressor, \
     buy_order_id, buy_exec_id, buy_session, buy_firm, buy_account, sell_order_id, sell_exec_id, sell_session, \
     sell_firm, sell_account, busted) SELECT n, n, 0, $at, $odd, 1, 1, 1, n * 16, n, $odd, $odd, 0, n * 16, n, \
     9, 9, 0, $odd - 1",
    "INSERT INTO quotes (sequence, idx, entry, sequenced_at, session, session_seq, account, quote_id, \
     protection_group, reason, instrument) SELECT n, 0, 0, $at, n % 7, n, 0, 'q' || n, 0, 0, $odd",
    "INSERT INTO admin_audit (sequence, idx, sequenced_at, received_at, request, actor, role, action, target, \
     address, reason) SELECT n, 0, $at, $at, '', 'anna', 1, $odd, 0, '', 0",
    "INSERT INTO sessions (session, firm, protocol, name, roles, user_number, reset_at_day_roll, sequence, idx) \
     SELECT n, 1, 1, 's' || n, 0, 0, 0, n, 0",
];

/// Fills the tables: `from` gives the numbers.
fn filling(from: impl Fn(u64) -> String) -> Vec<String> {
    let odd = format!("(CASE WHEN n = {ODD} THEN 2 ELSE 1 END)");
    let at = format!("({BEGIN} + n * {STEP})");
    let rows = [ROWS, QUOTES, ROWS, ROWS, ROWS, ROWS, 7];
    let texts = TABLES.iter().zip(rows);
    texts
        .map(|(text, rows)| {
            let text = text.replace("$odd", &odd).replace("$at", &at);
            let text = text.replace("$rows", &ROWS.to_string());
            let text = text.replace("$step", &STEP.to_string());
            // PostgreSQL does not take a bare number for another kind of one.
            format!("{text} FROM {}", from(rows))
        })
        .collect()
}

fn postgres() -> Database {
    let server = Arc::new(Postgres::start_with(
        "fsync=off max_connections=50 session_preload_libraries=auto_explain auto_explain.log_min_duration=0",
    ));
    let database = Database::on(server);
    block_on(migrate::up(&database.parsed())).unwrap();
    let (_, name) = database.url.rsplit_once('/').unwrap();
    let mut texts = Vec::new();
    for table in ["executions", "trades", "quotes"] {
        for month in MONTHS.windows(2) {
            let [from, to] =
                [month[0], month[1]].map(|(year, month)| UtcNanos::from_date(year, month, 1).0);
            let (year, month) = month[0];
            texts.push(format!(
                "CREATE TABLE {table}_{year}{month} PARTITION OF {table} FOR VALUES FROM ({from}) TO ({to})"
            ));
        }
    }
    texts.extend(filling(|rows| {
        format!("generate_series(1, {rows}::bigint) AS n")
    }));
    texts.push("ANALYZE".into());
    for text in texts {
        database.server.execute(name, &text);
    }
    database
}

fn sqlite(url: &DatabaseUrl, path: &std::path::Path) {
    block_on(async {
        migrate::up(url).await.unwrap();
        let path = format!("sqlite:{}", path.display());
        let mut connection = SqliteConnection::connect(&path).await.unwrap();
        let numbers = |rows| {
            format!(
                "(WITH RECURSIVE one(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM one WHERE n < {rows}) \
                 SELECT n FROM one)"
            )
        };
        for text in filling(numbers) {
            connection.execute(AssertSqlSafe(text)).await.unwrap();
        }
        connection.close().await.unwrap();
    });
}

/// Every row of a list, and how many pages it has. Each page has its bounded cost.
async fn all<T>(ask: impl AsyncFn(Option<Cursor>) -> Result<Page<T>, StoreError>) -> (Vec<T>, u64) {
    let (mut rows, mut pages, mut cursor) = (Vec::new(), 0, None);
    loop {
        let begun = Instant::now();
        let page = ask(cursor).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5));
        rows.extend(page.items);
        pages += 1;
        match page.next {
            Some(next) => cursor = Some(next),
            None => return (rows, pages),
        }
    }
}

/// Rows of a span of time: those numbered so.
fn span(first: u64, last: u64) -> (Option<u64>, Option<u64>) {
    (Some(BEGIN + first * STEP), Some(BEGIN + last * STEP + 1))
}

async fn questions(store: &Store) {
    // What one row has that nobody else has is found by looking on, and pages say how far.
    let most = (ROWS + QUOTES).div_ceil(u64::from(ROWS_LOOKED_AT)) + 1;
    let orders = |filter: OrderFilter| async move {
        let (rows, pages) =
            all(async |cursor| store.orders(&filter, cursor.as_ref(), 100).await).await;
        let ids: Vec<u64> = rows.iter().map(|row| row.order_id.0 / 16).collect();
        (ids, pages)
    };
    let executions = |filter: ExecutionFilter| async move {
        let (rows, pages) =
            all(async |cursor| store.executions(&filter, cursor.as_ref(), 100).await).await;
        let ids: Vec<u64> = rows.iter().map(|row| row.exec_id.0).collect();
        (ids, pages)
    };
    let trades = |filter: TradeFilter| async move {
        let (rows, pages) =
            all(async |cursor| store.trades(&filter, cursor.as_ref(), 100).await).await;
        let ids: Vec<u64> = rows.iter().map(|row| row.trade_id.0).collect();
        (ids, pages)
    };
    let quotes = |filter: QuoteFilter| async move {
        let (rows, pages) =
            all(async |cursor| store.quotes(&filter, cursor.as_ref(), 100).await).await;
        let ids: Vec<u64> = rows.iter().map(|row| row.sequence).collect();
        (ids, pages)
    };
    let audit = |filter: AuditFilter| async move {
        let (rows, pages) =
            all(async |cursor| store.audit(&filter, cursor.as_ref(), 100).await).await;
        let ids: Vec<u64> = rows.iter().map(|row| row.sequence).collect();
        (ids, pages)
    };
    let o = OrderFilter::default;
    for filter in [
        OrderFilter {
            firm: Some(2),
            ..o()
        },
        OrderFilter {
            account: Some(2),
            ..o()
        },
        OrderFilter {
            instrument: Some(2),
            ..o()
        },
        OrderFilter {
            side: Some(2),
            ..o()
        },
        OrderFilter {
            client_order_id: Some("c10".into()),
            ..o()
        },
        OrderFilter {
            client_order_id: Some("c10".into()),
            session: Some(3),
            ..o()
        },
        OrderFilter {
            instrument: Some(2),
            session: Some(3),
            ..o()
        },
        OrderFilter {
            instrument: Some(2),
            until: span(0, 20).1,
            ..o()
        },
        OrderFilter {
            instrument: Some(2),
            since: span(5, 20).0,
            ..o()
        },
    ] {
        let (found, pages) = orders(filter.clone()).await;
        assert!(
            found == [ODD] && pages <= most,
            "{filter:?}: {found:?} in {pages}"
        );
    }
    let e = ExecutionFilter::default;
    for filter in [
        ExecutionFilter {
            instrument: Some(2),
            ..e()
        },
        ExecutionFilter {
            client_order_id: Some("c10".into()),
            ..e()
        },
        ExecutionFilter {
            client_order_id: Some("c10".into()),
            session: Some(3),
            ..e()
        },
        ExecutionFilter {
            instrument: Some(2),
            session: Some(3),
            ..e()
        },
        ExecutionFilter {
            trade_id: None,
            order_id: Some(160),
            ..e()
        },
        ExecutionFilter {
            exec_id: Some(ODD),
            ..e()
        },
    ] {
        let (found, pages) = executions(filter.clone()).await;
        assert!(
            found == [ODD] && pages <= most,
            "{filter:?}: {found:?} in {pages}"
        );
    }
    let t = TradeFilter::default;
    for filter in [
        TradeFilter {
            instrument: Some(2),
            ..t()
        },
        TradeFilter {
            firm: Some(2),
            ..t()
        },
        TradeFilter {
            session: Some(2),
            ..t()
        },
        TradeFilter {
            busted: Some(true),
            ..t()
        },
    ] {
        let (found, pages) = trades(filter.clone()).await;
        assert!(
            found == [ODD] && pages <= most,
            "{filter:?}: {found:?} in {pages}"
        );
    }
    let q = QuoteFilter::default;
    for filter in [
        QuoteFilter {
            instrument: Some(2),
            ..q()
        },
        QuoteFilter {
            quote_id: Some("q10".into()),
            ..q()
        },
        QuoteFilter {
            instrument: Some(2),
            session: Some(3),
            ..q()
        },
    ] {
        let (found, pages) = quotes(filter.clone()).await;
        assert!(
            found == [ODD] && pages <= most,
            "{filter:?}: {found:?} in {pages}"
        );
    }
    let a = AuditFilter::default;
    for filter in [
        AuditFilter {
            action: Some(2),
            ..a()
        },
        AuditFilter {
            action: Some(2),
            actor: Some("anna".into()),
            ..a()
        },
    ] {
        let (found, pages) = audit(filter.clone()).await;
        assert!(
            found == [ODD] && pages <= most,
            "{filter:?}: {found:?} in {pages}"
        );
    }
    // The past is as near as the present: a span of it has its own pages and no more.
    for (first, last) in [
        (1, 250),
        (21_590, 21_720),
        (60_000, 60_099),
        (119_800, 120_000),
    ] {
        let (since, until) = span(first, last);
        let expected: Vec<u64> = (first..=last).rev().collect();
        let most = (last - first + 1).div_ceil(100) + 1;
        let some = |what: &str, (found, pages): (Vec<u64>, u64)| {
            assert!(
                found == expected && pages <= most,
                "{what} {first}: {pages}"
            );
        };
        some(
            "executions",
            executions(ExecutionFilter {
                since,
                until,
                ..e()
            })
            .await,
        );
        some(
            "trades",
            trades(TradeFilter {
                since,
                until,
                ..t()
            })
            .await,
        );
        some(
            "quotes",
            quotes(QuoteFilter {
                since,
                until,
                ..q()
            })
            .await,
        );
        some(
            "audit",
            audit(AuditFilter {
                since,
                until,
                ..a()
            })
            .await,
        );
        let of = ExecutionFilter {
            since,
            until,
            instrument: Some(1),
            ..e()
        };
        let (found, _) = executions(of).await;
        assert_eq!(
            found.len() as u64,
            last - first + 1 - u64::from(first <= ODD)
        );
        let (found, pages) = orders(OrderFilter { until, ..o() }).await;
        assert!(
            found.first() == Some(&last) && found.len() as u64 == last,
            "{pages}"
        );
    }
}

#[test]
fn pages_of_a_long_history_have_a_bounded_cost_in_postgresql() {
    let database = postgres();
    let before = database.server.log().map(|log| log.len());
    block_on(async {
        let store = Store::connect(&database.parsed()).unwrap();
        questions(&store).await;
        store.close().await;
    });
    let Some(log) = database.server.log() else {
        eprintln!("SKIPPED: the plans of a server that is not ours cannot be seen");
        return;
    };
    let log = &log[before.unwrap_or(0)..];
    assert!(log.contains("Index"), "plans are in the log: {log}");
    // A page reads the month that all rows are of from end to end only where it has to look at nearly half of
    // it, and a time is never found so.
    for plan in log.split("Query Text:") {
        let scanned = |table: &str| plan.matches(&format!("Seq Scan on {table}")).count();
        // A time is searched for past any number of quotes.
        let searches_orders = plan.contains("AS found") && plan.contains("FROM orders");
        assert!(
            !searches_orders || plan.contains("orders_in_order"),
            "{plan}"
        );
        for table in ["orders", "admin_audit"] {
            assert_eq!(scanned(table), 0, "{plan}");
        }
        let most = usize::from(!plan.contains("AS found_at"));
        for table in ["executions_202410", "trades_202410", "quotes_202410"] {
            assert!(scanned(table) <= most, "{plan}");
        }
    }
}

#[test]
fn pages_of_a_long_history_have_a_bounded_cost_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::embedded(folder.path());
    sqlite(&url, &folder.path().join("history.sqlite"));
    block_on(async {
        let store = Store::connect(&url).unwrap();
        questions(&store).await;
        store.close().await;
    });
}
