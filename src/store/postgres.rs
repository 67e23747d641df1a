//! Writes the projector's batches into PostgreSQL: COPY in binary for what grows, COPY into a temporary
//! table and one statement for orders and positions, all in one transaction with the progress, but for the
//! execution reports.
//!
//! Those are half of the server's work, and a backend is one thread: they have a connection of their own and
//! a transaction of their own, which ends before the one of the progress. What a failure between the two ends
//! leaves is at most the reports of one batch, beyond the progress; a start deletes them before it goes on.
//!
//! What grows by the million has a partition a month. A statement that names no time locks every partition and
//! each of its indexes, and the server has room for some thousand locks: with days it had none after some years.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use trading_engine_protocol::types::UtcNanos;

use super::fold::{Batch, EXECUTIONS, ORDERS, ORDERS_CHANGE, OpenAudit, signed};
use super::projector::{Known, Progress, Writer};
use super::rows::{CopyRows, RowSink as _, Table};
use super::url::DatabaseUrl;
use super::{Record, Sql, StoreError, projector};

/// Partitions are made for so many days beyond those that rows are of: that of a month before it begins.
const DAYS_AHEAD: u64 = 2;
/// Wait before a partition is tried again: a try may wait for locks, and rows with it.
const PARTITION_RETRY: Duration = Duration::from_secs(60);
const PARTITIONED: [&str; 3] = ["executions", "trades", "quotes"];

const ACCOUNTS: Table = Table {
    name: "new_accounts",
    columns: &["firm", "account", "sequence", "idx"],
};
const POSITIONS: Table = Table {
    name: "new_positions",
    columns: &[
        "firm",
        "account",
        "instrument",
        "bought",
        "sold",
        "bought_notional",
        "sold_notional",
        "sequence",
        "idx",
    ],
};

pub(super) struct PostgresWriter {
    connection: PgConnection,
    /// For execution reports alone; its transaction is never ended after the other's.
    reports: PgConnection,
    /// It has a transaction.
    has_reports: bool,
    /// Days that have partitions.
    days: BTreeSet<u64>,
    /// Days that could not be given one, and when that is tried again.
    again: BTreeMap<u64, Instant>,
}

impl PostgresWriter {
    pub async fn connect(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let DatabaseUrl::Postgres(options) = url else {
            return Err(StoreError::Data(format!("{url} is not PostgreSQL")));
        };
        // What a crash of the server takes, it takes with the progress that speaks of it.
        let options = options
            .as_ref()
            .clone()
            .disable_statement_logging()
            .options([
                ("synchronous_commit", "off"),
                ("lock_timeout", "5s"),
                ("statement_timeout", "60s"),
                ("client_min_messages", "warning"),
                ("idle_in_transaction_session_timeout", "60s"),
            ]);
        let mut connection = PgConnection::connect_with(&options).await?;
        let reports = PgConnection::connect_with(&options).await?;
        let staging = [
            ("new_orders", "orders"),
            ("new_accounts", "accounts"),
            ("new_positions", "positions"),
        ];
        for (name, like) in staging {
            let text = format!("CREATE TEMP TABLE {name} (LIKE {like}) ON COMMIT DELETE ROWS");
            connection.execute(AssertSqlSafe(text)).await?;
        }
        Ok(Self {
            connection,
            reports,
            has_reports: false,
            days: BTreeSet::new(),
            again: BTreeMap::new(),
        })
    }

    /// Makes partitions for months that have none. Where that of a month cannot be made, because there are
    /// some of its days, or the default partition has rows of it, its days get their own. Where none can be
    /// made, rows go on to the default one, and it is tried again later.
    async fn partitions(&mut self, days: &BTreeSet<u64>) -> Result<(), StoreError> {
        let wanted: BTreeSet<u64> = days
            .iter()
            .flat_map(|day| *day..=day + DAYS_AHEAD)
            .collect();
        for day in wanted.difference(&self.days.clone()) {
            let again = self.again.get(day).copied();
            if again.is_some_and(|at| Instant::now() < at) {
                continue;
            }
            let begin = day.saturating_mul(UtcNanos::DAY);
            let mut is_whole = true;
            for table in PARTITIONED {
                let made = match self.partition(table, UtcNanos(begin).month(), "").await? {
                    Made::No(error) if is_taken(&*error) => {
                        let (_, _, date) = UtcNanos(begin).date();
                        let of_day = begin..begin.saturating_add(UtcNanos::DAY);
                        self.partition(table, of_day, &format!("{date:02}")).await?
                    }
                    made @ (Made::Yes | Made::No(_)) => made,
                };
                if let Made::No(error) = made {
                    is_whole = false;
                    if again.is_none() {
                        tracing::warn!(%error, table, "no partition for a day; its rows go to the default one");
                    }
                }
            }
            if is_whole {
                self.days.insert(*day);
                self.again.remove(day);
            } else {
                self.again.insert(*day, Instant::now() + PARTITION_RETRY);
            }
        }
        Ok(())
    }

    async fn partition(
        &mut self,
        table: &str,
        times: Range<u64>,
        date: &str,
    ) -> Result<Made, StoreError> {
        let (year, month, _) = UtcNanos(times.start).date();
        let (from, to) = (signed(times.start), signed(times.end));
        let text = format!(
            "CREATE TABLE IF NOT EXISTS {table}_{year:04}{month:02}{date} \
             PARTITION OF {table} FOR VALUES FROM ({from}) TO ({to})"
        );
        match self.connection.execute(AssertSqlSafe(text)).await {
            Ok(_) => Ok(Made::Yes),
            Err(sqlx::Error::Database(error)) => Ok(Made::No(error)),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a partition is there.
enum Made {
    Yes,
    No(Box<dyn DatabaseError>),
}

/// Some of a partition's times are another's: it would overlap one, or the default one has rows of them.
fn is_taken(error: &dyn DatabaseError) -> bool {
    matches!(error.code().as_deref(), Some("42P17" | "23514"))
}

/// Everything but the execution reports, with the progress.
async fn write_rest(
    connection: &mut PgConnection,
    mut batch: Batch<CopyRows>,
    progress: &Progress,
    before: Option<&Progress>,
) -> Result<(), StoreError> {
    for (table, rows) in batch.appended() {
        if rows.rows() > 0 {
            copy(connection, table, rows).await?;
        }
    }
    if batch.orders_changed.rows() > 0 {
        let staging = Table {
            name: "new_orders",
            columns: ORDERS.columns,
        };
        copy(
            connection,
            &staging,
            std::mem::take(&mut batch.orders_changed),
        )
        .await?;
        let columns = ORDERS.columns.join(", ");
        run(
            connection,
            format!(
                "INSERT INTO orders ({columns}) SELECT {columns} FROM new_orders{ORDERS_CHANGE}"
            ),
        )
        .await?;
    }
    if !batch.accounts.is_empty() {
        let mut rows = CopyRows::default();
        for ((firm, account), at) in &batch.accounts {
            rows.row(ACCOUNTS.columns.len());
            rows.int8(i64::from(*firm));
            rows.int8(i64::from(*account));
            rows.int8(signed(at.sequence));
            rows.int4(i32::try_from(at.index).unwrap_or(i32::MAX));
        }
        copy(connection, &ACCOUNTS, rows).await?;
        run(
            connection,
            "INSERT INTO accounts SELECT * FROM new_accounts \
             ON CONFLICT (firm, account) DO NOTHING"
                .into(),
        )
        .await?;
    }
    if !batch.positions.is_empty() {
        let mut rows = CopyRows::default();
        for ((firm, account, instrument), change) in &batch.positions {
            rows.row(POSITIONS.columns.len());
            for id in [firm, account, instrument] {
                rows.int8(i64::from(*id));
            }
            rows.int8(change.bought);
            rows.int8(change.sold);
            rows.wide(change.bought_notional);
            rows.wide(change.sold_notional);
            rows.int8(signed(change.at.sequence));
            rows.int4(i32::try_from(change.at.index).unwrap_or(i32::MAX));
        }
        copy(connection, &POSITIONS, rows).await?;
        run(
            connection,
            "INSERT INTO positions AS p SELECT * FROM new_positions \
             ON CONFLICT (firm, account, instrument) DO UPDATE SET \
             bought = p.bought + excluded.bought, sold = p.sold + excluded.sold, \
             bought_notional = p.bought_notional + excluded.bought_notional, \
             sold_notional = p.sold_notional + excluded.sold_notional, \
             sequence = excluded.sequence, idx = excluded.idx"
                .into(),
        )
        .await?;
    }
    for statement in std::mem::take(&mut batch.statements) {
        statement.postgres().execute(&mut *connection).await?;
    }
    let moved = progress.statement(before).postgres();
    let moved = moved.execute(&mut *connection).await?.rows_affected();
    projector::moved_once(moved)
}

async fn copy(
    connection: &mut PgConnection,
    table: &Table,
    rows: CopyRows,
) -> Result<(), StoreError> {
    let (name, columns) = (table.name, table.columns.join(", "));
    let text = format!("COPY {name} ({columns}) FROM STDIN (FORMAT binary)");
    let mut copy = connection.copy_in_raw(&text).await?;
    copy.send(rows.finish()).await?;
    copy.finish().await?;
    Ok(())
}

async fn run(connection: &mut PgConnection, text: String) -> Result<(), StoreError> {
    connection.execute(AssertSqlSafe(text)).await?;
    Ok(())
}

impl Writer for PostgresWriter {
    type Rows = CopyRows;

    async fn progress(&mut self) -> Result<Option<Progress>, StoreError> {
        let rows = Progress::select()
            .postgres()
            .fetch_all(&mut self.connection)
            .await?;
        let rows: Vec<Record> = rows.into_iter().map(Record::Postgres).collect();
        rows.first().map(Progress::of).transpose()
    }

    async fn cut(&mut self, progress: Option<&Progress>) -> Result<(), StoreError> {
        // The locks wait for connections before these, which may be about to end their transactions.
        self.reports
            .execute(
                "BEGIN; LOCK TABLE ONLY executions, ONLY projector_progress \
                 IN SHARE ROW EXCLUSIVE MODE",
            )
            .await?;
        // From the newest on, down to the first that the progress covers; what is beyond is not of a month
        // before its own. The time is in the text, so that the plan leaves other partitions alone.
        let month = progress.map_or(0, |progress| UtcNanos(progress.sequenced_at).month().start);
        let since = format!("sequenced_at >= {}", signed(month));
        let delete = Sql::new(&format!(
            "DELETE FROM executions WHERE {since} AND exec_id > COALESCE((SELECT exec_id \
             FROM executions WHERE {since} \
             AND (sequence, idx) <= (SELECT sequence, idx FROM projector_progress) \
             ORDER BY exec_id DESC LIMIT 1), 0)",
        ));
        let deleted = delete.postgres().execute(&mut self.reports).await?;
        self.reports.execute("COMMIT").await?;
        let reports = deleted.rows_affected();
        if reports > 0 {
            tracing::info!(reports, "reports beyond the progress are written again");
        }
        Ok(())
    }

    async fn known(&mut self) -> Result<Known, StoreError> {
        let mut known = Known::default();
        let sessions = Sql::new(Known::SESSIONS).postgres();
        for row in sessions.fetch_all(&mut self.connection).await? {
            known.session(&Record::Postgres(row))?;
        }
        let audits = Sql::new(Known::AUDITS).postgres();
        for row in audits.fetch_all(&mut self.connection).await? {
            let audit: OpenAudit = Known::audit(&Record::Postgres(row))?;
            known.audits.push(audit);
        }
        Ok(known)
    }

    async fn write(
        &mut self,
        mut batch: Batch<CopyRows>,
        progress: &Progress,
        before: Option<&Progress>,
    ) -> Result<(), StoreError> {
        let days = batch.days.clone();
        self.partitions(&days).await?;
        // After an error both connections are dropped, and their transactions with them.
        let executions = std::mem::take(&mut batch.executions);
        self.has_reports = executions.rows() > 0;
        let reports = async {
            if self.has_reports {
                self.reports.execute("BEGIN").await?;
                copy(&mut self.reports, &EXECUTIONS, executions).await?;
            }
            Ok(())
        };
        let rest = async {
            self.connection.execute("BEGIN").await?;
            write_rest(&mut self.connection, batch, progress, before).await
        };
        tokio::try_join!(reports, rest).map(drop)
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        if std::mem::take(&mut self.has_reports) {
            self.reports.execute("COMMIT").await?;
        }
        self.connection.execute("COMMIT").await?;
        Ok(())
    }
}
