//! Pages of a list, each with a bounded cost whatever is filtered by.
//!
//! A list goes along a key that ascends with the log. Conditions are of two kinds: `by` those that an index
//! finds rows by, together with that key, and `is` those that rows are looked at for. With any of the second
//! kind a page looks at [`ROWS_LOOKED_AT`] rows at most; one that found fewer rows than it may show has a
//! `next` all the same, and the next page looks further. A time is a place on the key: it is searched
//! for by halves, so that last month costs no more than today.

use trading_engine_protocol::types::UtcNanos;

use super::fold::signed;
use super::queries::Kind;
use super::shapes::{Cursor, CursorError, Page};
use super::{Record, Sql, Store, StoreError, Value};

/// Rows of a page at most.
pub const LIMIT_MAX: u32 = 1_000;
/// Rows that a page looks at.
pub const ROWS_LOOKED_AT: u32 = 50_000;

/// What a list goes along.
pub(super) struct Keys {
    /// With its alias.
    pub(super) table: &'static str,
    /// A unique key of it, which the first column begins.
    pub(super) columns: &'static [&'static str],
    /// When, ns UTC.
    pub(super) time: &'static str,
    /// By months of that time, in PostgreSQL.
    pub(super) partitioned: bool,
    /// Which rows have times that ascend with the key; the times of others are later than that. `None`: all.
    pub(super) in_order: Option<&'static str>,
}

/// A list being asked for.
pub(super) struct List {
    select: &'static str,
    keys: &'static Keys,
    by: Vec<Sql>,
    is: Vec<Sql>,
    since: Option<i64>,
    until: Option<i64>,
}

fn equal(column: &str, value: impl Into<Value>) -> Sql {
    let mut sql = Sql::new(column);
    sql.push(" = ").bind(value);
    sql
}

impl List {
    pub(super) fn of(select: &'static str, keys: &'static Keys) -> Self {
        Self {
            select,
            keys,
            by: Vec::new(),
            is: Vec::new(),
            since: None,
            until: None,
        }
    }

    /// A condition that an index knows.
    pub(super) fn by(&mut self, column: &str, value: Option<impl Into<Value>>) -> &mut Self {
        self.by.extend(value.map(|value| equal(column, value)));
        self
    }

    pub(super) fn by_text(&mut self, condition: &str) -> &mut Self {
        self.by_sql(Sql::new(condition))
    }

    pub(super) fn by_sql(&mut self, condition: Sql) -> &mut Self {
        self.by.push(condition);
        self
    }

    /// A condition that rows are looked at for.
    pub(super) fn is(&mut self, column: &str, value: Option<impl Into<Value>>) -> &mut Self {
        self.is.extend(value.map(|value| equal(column, value)));
        self
    }

    pub(super) fn is_text(&mut self, condition: &str) -> &mut Self {
        self.is.push(Sql::new(condition));
        self
    }

    pub(super) fn either(&mut self, columns: [&str; 2], value: Option<u32>) -> &mut Self {
        if let Some(value) = value {
            let value = i64::from(value);
            let mut sql = Sql::new("(");
            sql.push(columns[0]).push(" = ").bind(value);
            sql.push(" OR ").push(columns[1]).push(" = ").bind(value);
            sql.push(")");
            self.is.push(sql);
        }
        self
    }

    /// From a time on, and before another.
    pub(super) fn between(&mut self, since: Option<u64>, until: Option<u64>) -> &mut Self {
        self.since = since.map(signed);
        self.until = until.map(signed);
        self
    }

    fn conditions<'a>(sql: &mut Sql, conditions: impl Iterator<Item = &'a Sql>) {
        for (at, condition) in conditions.enumerate() {
            sql.push(if at == 0 { " WHERE " } else { " AND " });
            sql.append(condition);
        }
    }

    fn descending(&self, sql: &mut Sql) {
        let columns = self.keys.columns.iter();
        let order: Vec<String> = columns.map(|name| format!("{name} DESC")).collect();
        sql.push(" ORDER BY ").push(&order.join(", "));
    }

    /// Where the key is, against this one.
    fn against(&self, comparison: &str, key: &[i64]) -> Sql {
        let columns = self.keys.columns;
        let mut sql = Sql::new(&format!("({}) {comparison} (", columns.join(", ")));
        sql.bind_all(key.iter().map(|number| Value::from(*number)))
            .push(")");
        // PostgreSQL does not know how many rows a comparison of several columns leaves, and reads them all.
        if let ([first, _, ..], [begin, ..]) = (columns, key) {
            let about = if comparison == "<" { " <= " } else { " >= " };
            sql.push(" AND ").push(first).push(about).bind(*begin);
        }
        sql
    }
}

/// What a list's key is in a row, without the tables' aliases.
fn bare(column: &str) -> &str {
    column.split_once('.').map_or(column, |(_, name)| name)
}

impl Store {
    /// A page behind the cursor, the highest key first.
    pub(super) async fn page<T>(
        &self,
        mut list: List,
        cursor: Option<&Cursor>,
        limit: u32,
        row: impl Fn(&Record) -> Result<T, StoreError>,
        key: impl Fn(&T) -> Vec<i64>,
    ) -> Result<Page<T>, StoreError> {
        if let Some(cursor) = cursor {
            if cursor.0.len() != list.keys.columns.len() {
                return Err(StoreError::Data(CursorError.to_string()));
            }
            let behind = list.against("<", &cursor.0);
            list.by.push(behind);
        }
        self.bound_by_time(&mut list).await?;
        let end = self.end_of_look(&list).await?;
        if let Some(end) = &end {
            let before = list.against(">=", end);
            list.by.push(before);
        }
        let mut sql = Sql::new(list.select);
        List::conditions(&mut sql, list.by.iter().chain(&list.is));
        list.descending(&mut sql);
        let limit = limit.clamp(1, LIMIT_MAX);
        sql.push(" LIMIT ").bind(i64::from(limit) + 1);
        let records = self.fetch(Kind::Read, sql).await?;
        let shown = records.iter().take(limit as usize).map(row);
        let items = shown.collect::<Result<Vec<T>, StoreError>>()?;
        let next = if records.len() > limit as usize {
            items.last().map(key)
        } else {
            end
        };
        Ok(Page {
            items,
            next: next.map(Cursor),
        })
    }

    /// Where a page ends that finds too little: the key of the last row it looks at, if there are more.
    async fn end_of_look(&self, list: &List) -> Result<Option<Vec<i64>>, StoreError> {
        if list.is.is_empty() {
            return Ok(None);
        }
        let columns = list.keys.columns;
        let mut sql = Sql::new("SELECT ");
        sql.push(&columns.join(", "));
        sql.push(" FROM ").push(list.keys.table);
        List::conditions(&mut sql, list.by.iter());
        list.descending(&mut sql);
        let skipped = i64::from(ROWS_LOOKED_AT) - 1;
        sql.push(" LIMIT 1 OFFSET ").bind(skipped);
        let found = self.fetch(Kind::Read, sql).await?;
        let Some(last) = found.first() else {
            return Ok(None);
        };
        let key = columns.iter().map(|column| last.int(bare(column)));
        key.collect::<Result<_, _>>().map(Some)
    }

    /// Makes times conditions of the key.
    async fn bound_by_time(&self, list: &mut List) -> Result<(), StoreError> {
        let keys = list.keys;
        if let Some(until) = list.until {
            let mut before = Sql::new(keys.time);
            before.push(" < ").bind(until);
            list.by.push(before);
            let end = self.first_at(keys, until).await?;
            list.by.extend(end.map(|end| {
                let mut before = Sql::new(keys.columns[0]);
                before.push(" < ").bind(end);
                before
            }));
        }
        if let Some(since) = list.since {
            let mut from = Sql::new(keys.time);
            from.push(" >= ").bind(since);
            if keys.in_order.is_some() {
                // A row of a later time may have a key of before.
                list.is.push(from);
                return Ok(());
            }
            list.by.push(from);
            let begin = self.first_at(keys, since).await?;
            list.by.extend(begin.map(|begin| {
                let mut from = Sql::new(keys.columns[0]);
                from.push(" >= ").bind(begin);
                from
            }));
        }
        Ok(())
    }

    /// The first key of a time or later; `None`: not known.
    async fn first_at(&self, keys: &Keys, time: i64) -> Result<Option<i64>, StoreError> {
        let column = keys.columns[0];
        let mut rows = Vec::new();
        rows.extend(keys.in_order.map(Sql::new));
        if keys.partitioned && self.kind() == "postgresql" {
            // The time finds the partition, and the search stays there.
            let month = UtcNanos(u64::try_from(time).unwrap_or(0)).month();
            let mut of_month = Sql::new(keys.time);
            of_month.push(" >= ").bind(signed(month.start));
            of_month.push(" AND ").push(keys.time);
            of_month.push(" < ").bind(signed(month.end));
            rows.push(of_month);
        }
        let at = async |from: Option<i64>, order: &str| {
            let mut from_here = Sql::new(column);
            from_here.push(" >= ").bind(from.unwrap_or(i64::MIN));
            let mut sql = Sql::new("SELECT ");
            sql.push(column).push(" AS found, ").push(keys.time);
            sql.push(" AS found_at FROM ").push(keys.table);
            List::conditions(&mut sql, rows.iter().chain(from.map(|_| &from_here)));
            sql.push(" ORDER BY ")
                .push(column)
                .push(order)
                .push(" LIMIT 1");
            let found = self.fetch(Kind::Read, sql).await?;
            let found = found.first();
            found
                .map(|row| Ok::<_, StoreError>((row.int("found")?, row.int("found_at")?)))
                .transpose()
        };
        let (Some(first), Some(last)) = (at(None, "").await?, at(None, " DESC").await?) else {
            return Ok(None);
        };
        // Below `low` all are of before; `high` is not, or is behind the last.
        let (mut low, mut high) = (first.0, last.0.saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            match at(Some(middle), "").await? {
                Some((found, found_at)) if found_at < time => low = found.saturating_add(1),
                Some(_) | None => high = middle,
            }
        }
        // What is not in the order of times may be behind the last row that is.
        let is_known = keys.in_order.is_none() || low <= last.0;
        Ok(is_known.then_some(low))
    }
}
