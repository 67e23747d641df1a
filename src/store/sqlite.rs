//! Writes the projector's batches into SQLite: prepared inserts of many rows, all in one transaction with
//! the progress.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use super::fold::{Batch, ORDERS, ORDERS_CHANGE, PositionChange, PositionKey, signed};
use super::projector::{self, Known, Progress, Writer};
use super::rows::{Cell, CellRows, RowSink as _, Table};
use super::url::DatabaseUrl;
use super::{Record, Sql, StoreError};

/// Rows of one statement, the largest first: few statements, all of them prepared once. SQLite takes
/// 32,766 arguments.
const CHUNKS: [usize; 4] = [512, 64, 8, 1];

const ACCOUNTS: Table = Table {
    name: "accounts",
    columns: &["firm", "account", "sequence", "idx"],
};

pub(super) struct SqliteWriter {
    connection: SqliteConnection,
    /// Statements by table, end and rows.
    inserts: HashMap<(&'static str, &'static str, usize), Arc<str>>,
}

impl SqliteWriter {
    pub async fn connect(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let DatabaseUrl::Sqlite(path) = url else {
            return Err(StoreError::Data(format!("{url} is not SQLite")));
        };
        let options = DatabaseUrl::sqlite_options(path).disable_statement_logging();
        let connection = SqliteConnection::connect_with(&options).await?;
        Ok(Self {
            connection,
            inserts: HashMap::new(),
        })
    }

    fn insert(&mut self, table: &Table, end: &'static str, rows: usize) -> Arc<str> {
        let text = self.inserts.entry((table.name, end, rows));
        let text = text.or_insert_with(|| {
            let row = format!("({})", vec!["?"; table.columns.len()].join(", "));
            let (name, columns) = (table.name, table.columns.join(", "));
            let rows = vec![row; rows].join(", ");
            format!("INSERT INTO {name} ({columns}) VALUES {rows}{end}").into()
        });
        Arc::clone(text)
    }

    async fn add(
        &mut self,
        table: &Table,
        end: &'static str,
        rows: CellRows,
    ) -> Result<(), StoreError> {
        let mut left = rows.rows();
        let mut cells = rows.cells.into_iter();
        while left > 0 {
            let chunk = CHUNKS.into_iter().find(|chunk| *chunk <= left).unwrap_or(1);
            left -= chunk;
            let text = self.insert(table, end, chunk);
            let mut arguments = SqliteArguments::default();
            for cell in cells.by_ref().take(chunk * table.columns.len()) {
                let added = match cell {
                    Cell::Int(number) => arguments.add(number),
                    Cell::Text(text) => arguments.add(text),
                    Cell::Null => arguments.add(Option::<i64>::None),
                };
                added.map_err(|error| StoreError::Sql(sqlx::Error::Encode(error)))?;
            }
            let query = sqlx::query_with(AssertSqlSafe(text), arguments);
            query.execute(&mut self.connection).await?;
        }
        Ok(())
    }

    /// Sums outgrow SQLite's numbers, so they are added here.
    async fn position(
        &mut self,
        (firm, account, instrument): PositionKey,
        change: &PositionChange,
    ) -> Result<(), StoreError> {
        let mut sql = Sql::new(
            "SELECT bought, sold, bought_notional, sold_notional FROM positions WHERE firm = ",
        );
        sql.bind(i64::from(firm));
        sql.push(" AND account = ").bind(i64::from(account));
        sql.push(" AND instrument = ").bind(i64::from(instrument));
        let row = sql.sqlite().fetch_optional(&mut self.connection).await?;
        let mut now = *change;
        if let Some(row) = row.map(Record::Sqlite) {
            now.bought = now.bought.saturating_add(row.int("bought")?);
            now.sold = now.sold.saturating_add(row.int("sold")?);
            now.bought_notional = now
                .bought_notional
                .saturating_add(row.wide("bought_notional")?);
            now.sold_notional = now.sold_notional.saturating_add(row.wide("sold_notional")?);
        }
        let mut sql = Sql::new(
            "INSERT INTO positions (firm, account, instrument, bought, sold, bought_notional, \
             sold_notional, sequence, idx) VALUES (",
        );
        sql.bind_all([
            i64::from(firm).into(),
            i64::from(account).into(),
            i64::from(instrument).into(),
            now.bought.into(),
            now.sold.into(),
            now.bought_notional.to_string().into(),
            now.sold_notional.to_string().into(),
            signed(now.at.sequence).into(),
            i64::from(now.at.index).into(),
        ]);
        sql.push(
            ") ON CONFLICT (firm, account, instrument) DO UPDATE SET bought = excluded.bought, \
             sold = excluded.sold, bought_notional = excluded.bought_notional, \
             sold_notional = excluded.sold_notional, sequence = excluded.sequence, \
             idx = excluded.idx",
        );
        sql.sqlite().execute(&mut self.connection).await?;
        Ok(())
    }

    async fn write_all(
        &mut self,
        mut batch: Batch<CellRows>,
        progress: &Progress,
        before: Option<&Progress>,
    ) -> Result<(), StoreError> {
        for (table, rows) in batch.appended() {
            self.add(table, "", rows).await?;
        }
        let changed = std::mem::take(&mut batch.orders_changed);
        self.add(&ORDERS, ORDERS_CHANGE, changed).await?;
        let mut accounts = CellRows::default();
        for ((firm, account), at) in &batch.accounts {
            accounts.row(ACCOUNTS.columns.len());
            accounts.int8(i64::from(*firm));
            accounts.int8(i64::from(*account));
            accounts.int8(signed(at.sequence));
            accounts.int8(i64::from(at.index));
        }
        let end = " ON CONFLICT (firm, account) DO NOTHING";
        self.add(&ACCOUNTS, end, accounts).await?;
        for (key, change) in std::mem::take(&mut batch.positions) {
            self.position(key, &change).await?;
        }
        for statement in std::mem::take(&mut batch.statements) {
            statement.sqlite().execute(&mut self.connection).await?;
        }
        let moved = progress.statement(before).sqlite();
        let moved = moved.execute(&mut self.connection).await?.rows_affected();
        projector::moved_once(moved)
    }
}

impl Writer for SqliteWriter {
    type Rows = CellRows;

    async fn progress(&mut self) -> Result<Option<Progress>, StoreError> {
        let rows = Progress::select()
            .sqlite()
            .fetch_all(&mut self.connection)
            .await?;
        let rows: Vec<Record> = rows.into_iter().map(Record::Sqlite).collect();
        rows.first().map(Progress::of).transpose()
    }

    async fn cut(&mut self, _progress: Option<&Progress>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn known(&mut self) -> Result<Known, StoreError> {
        let mut known = Known::default();
        let sessions = Sql::new(Known::SESSIONS).sqlite();
        for row in sessions.fetch_all(&mut self.connection).await? {
            known.session(&Record::Sqlite(row))?;
        }
        let audits = Sql::new(Known::AUDITS).sqlite();
        for row in audits.fetch_all(&mut self.connection).await? {
            known.audits.push(Known::audit(&Record::Sqlite(row))?);
        }
        Ok(known)
    }

    async fn write(
        &mut self,
        batch: Batch<CellRows>,
        progress: &Progress,
        before: Option<&Progress>,
    ) -> Result<(), StoreError> {
        // After an error the connection is dropped, and the transaction with it.
        self.connection.execute("BEGIN IMMEDIATE").await?;
        self.write_all(batch, progress, before).await
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        self.connection.execute("COMMIT").await?;
        Ok(())
    }
}
