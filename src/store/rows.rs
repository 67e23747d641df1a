//! Rows on their way into a database, in the form that database takes them in bulk: the fold writes cells, a
//! sink lays them out. One sink holds rows of one table, in the order of its columns.

/// A table that rows are added to in bulk.
#[derive(Debug)]
pub(super) struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its columns, in the order the fold writes their cells.
    pub columns: &'static [&'static str],
}

/// Takes cells, row by row.
pub(super) trait RowSink: Default + Send {
    /// A row of so many cells begins.
    fn row(&mut self, columns: usize);
    /// BIGINT.
    fn int8(&mut self, number: i64);
    /// INTEGER.
    fn int4(&mut self, number: i32);
    /// SMALLINT.
    fn int2(&mut self, number: i16);
    /// TEXT.
    fn text(&mut self, text: &str);
    /// JSONB, or its text.
    fn json(&mut self, text: &str);
    /// NUMERIC, a whole one, or its text.
    fn wide(&mut self, number: i128);
    /// NULL.
    fn null(&mut self);
    /// Rows so far.
    fn rows(&self) -> usize;

    /// BIGINT or NULL.
    fn int8_or_null(&mut self, number: Option<i64>) {
        match number {
            Some(number) => self.int8(number),
            None => self.null(),
        }
    }

    /// SMALLINT or NULL.
    fn int2_or_null(&mut self, number: Option<i16>) {
        match number {
            Some(number) => self.int2(number),
            None => self.null(),
        }
    }

    /// TEXT or NULL.
    fn text_or_null(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }
}

/// PostgreSQL's binary COPY format.
#[derive(Debug, Default)]
pub(super) struct CopyRows {
    bytes: Vec<u8>,
    rows: usize,
}

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

impl CopyRows {
    /// The whole stream, with its end.
    pub fn finish(mut self) -> Vec<u8> {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(SIGNATURE);
        }
        self.bytes.extend_from_slice(&(-1i16).to_be_bytes());
        self.bytes
    }

    fn cell(&mut self, bytes: &[u8]) {
        #[allow(clippy::cast_possible_truncation, reason = "cells are far shorter")]
        let length = bytes.len() as i32;
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(bytes);
    }
}

impl RowSink for CopyRows {
    #[inline]
    fn row(&mut self, columns: usize) {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(SIGNATURE);
        }
        self.rows += 1;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "tables have tens of columns"
        )]
        let columns = columns as i16;
        self.bytes.extend_from_slice(&columns.to_be_bytes());
    }

    #[inline]
    fn int8(&mut self, number: i64) {
        let mut cell = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        cell[4..].copy_from_slice(&number.to_be_bytes());
        self.bytes.extend_from_slice(&cell);
    }

    #[inline]
    fn int4(&mut self, number: i32) {
        let mut cell = [0, 0, 0, 4, 0, 0, 0, 0];
        cell[4..].copy_from_slice(&number.to_be_bytes());
        self.bytes.extend_from_slice(&cell);
    }

    #[inline]
    fn int2(&mut self, number: i16) {
        let [high, low] = number.to_be_bytes();
        self.bytes.extend_from_slice(&[0, 0, 0, 2, high, low]);
    }

    #[inline]
    fn text(&mut self, text: &str) {
        self.cell(text.as_bytes());
    }

    fn json(&mut self, text: &str) {
        let mut cell = Vec::with_capacity(text.len() + 1);
        // Version of the format.
        cell.push(1);
        cell.extend_from_slice(text.as_bytes());
        self.cell(&cell);
    }

    /// NUMERIC: how many digits of 10^4, the first one's weight, sign, decimals shown, the digits.
    fn wide(&mut self, number: i128) {
        let mut digits = [0i16; 10];
        let mut count = 0usize;
        let mut rest = number.unsigned_abs();
        while rest > 0 {
            #[allow(clippy::cast_possible_truncation, reason = "below 10^4")]
            let digit = (rest % 10_000) as i16;
            digits[count] = digit;
            count += 1;
            rest /= 10_000;
        }
        // Of a number that ends with them, zeros are not sent.
        let zeros = digits[..count]
            .iter()
            .take_while(|&&digit| digit == 0)
            .count();
        #[allow(clippy::cast_possible_truncation, reason = "at most 10")]
        let (sent, weight) = ((count - zeros) as i16, count.max(1) as i16 - 1);
        let sign: i16 = if number < 0 { 0x4000 } else { 0 };
        let head = [sent, weight, sign, 0];
        let words = head.iter().chain(digits[zeros..count].iter().rev());
        let cell: Vec<u8> = words.flat_map(|word| word.to_be_bytes()).collect();
        self.cell(&cell);
    }

    #[inline]
    fn null(&mut self) {
        self.bytes.extend_from_slice(&(-1i32).to_be_bytes());
    }

    fn rows(&self) -> usize {
        self.rows
    }
}

/// A cell for SQLite.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Text(String),
}

/// Cells for SQLite, all rows behind one another.
#[derive(Debug, Default)]
pub(super) struct CellRows {
    pub cells: Vec<Cell>,
    rows: usize,
}

impl RowSink for CellRows {
    fn row(&mut self, _columns: usize) {
        self.rows += 1;
    }

    fn int8(&mut self, number: i64) {
        self.cells.push(Cell::Int(number));
    }

    fn int4(&mut self, number: i32) {
        self.int8(i64::from(number));
    }

    fn int2(&mut self, number: i16) {
        self.int8(i64::from(number));
    }

    fn text(&mut self, text: &str) {
        self.cells.push(Cell::Text(text.to_owned()));
    }

    fn json(&mut self, text: &str) {
        self.text(text);
    }

    fn wide(&mut self, number: i128) {
        self.cells.push(Cell::Text(number.to_string()));
    }

    fn null(&mut self) {
        self.cells.push(Cell::Null);
    }

    fn rows(&self) -> usize {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(number: i128) -> Vec<i16> {
        let mut rows = CopyRows::default();
        rows.wide(number);
        let words = rows.bytes[4..].chunks(2);
        words
            .map(|word| i16::from_be_bytes([word[0], word[1]]))
            .collect()
    }

    #[test]
    fn wide_numbers_are_as_postgresql_sends_them() {
        assert_eq!(numeric(0), [0, 0, 0, 0]);
        assert_eq!(numeric(1), [1, 0, 0, 0, 1]);
        assert_eq!(numeric(-12_345), [2, 1, 0x4000, 0, 1, 2_345]);
        assert_eq!(numeric(120_000_000), [2, 2, 0, 0, 1, 2_000]);
        assert_eq!(numeric(10_000), [1, 1, 0, 0, 1]);
        let most = numeric(i128::MAX);
        assert_eq!((most[0], most[1], most[4]), (10, 9, 170));
    }

    #[test]
    fn a_stream_without_rows_is_whole() {
        let bytes = CopyRows::default().finish();
        assert_eq!(bytes.len(), SIGNATURE.len() + 2);
        assert_eq!(SIGNATURE.len(), 19);
    }
}
