//! Tables of the console: columns with PostgreSQL's types, rows, and how both are written.

use std::borrow::Cow;
use std::sync::Arc;

use tidegate_wire::backend::Message;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `int4`.
    Int4,
    /// `int8`.
    Int8,
    /// `numeric`; whole numbers only.
    Numeric,
    /// `text`.
    Text,
}

impl Type {
    /// PostgreSQL's number of the type (`pg_type.dat`).
    pub const fn oid(self) -> u32 {
        match self {
            Self::Int4 => 23,
            Self::Int8 => 20,
            Self::Numeric => 1700,
            Self::Text => 25,
        }
    }

    /// Its length in bytes; -1 where it varies.
    const fn length(self) -> i16 {
        match self {
            Self::Int4 => 4,
            Self::Int8 => 8,
            Self::Numeric | Self::Text => -1,
        }
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: Cow<'static, str>,
    /// What it holds.
    pub kind: Type,
}

/// The columns of a table.
pub type Columns = Arc<[Column]>;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// NULL.
    Null,
    /// A number; what a column can't hold is told as the most that it can.
    Number(u64),
    /// Text.
    Text(String),
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Cell {
    fn from(is: bool) -> Self {
        Self::Number(is.into())
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row: a value for each column.
pub type Row = Vec<Cell>;

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As text.
    Text,
    /// As PostgreSQL's `typsend` functions write them.
    Binary,
}

/// Formats of all columns: one for each, or one for all, or none, which is text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Formats(pub(super) Vec<Format>);

impl Formats {
    pub(super) fn fit(&self, columns: usize) -> bool {
        self.0.len() <= 1 || self.0.len() == columns
    }

    fn of(&self, column: usize) -> Format {
        let one = if self.0.len() == 1 { self.0.first() } else { self.0.get(column) };
        one.copied().unwrap_or(Format::Text)
    }
}

/// Appends a RowDescription.
pub(super) fn push_columns(out: &mut Vec<u8>, columns: &[Column], formats: &Formats) {
    let mut body = count(columns.len()).to_vec();
    for (place, Column { name, kind }) in columns.iter().enumerate() {
        body.extend(name.bytes().filter(|byte| *byte != 0));
        body.push(0);
        body.extend_from_slice(&[0; 6]); // It is a column of no table.
        body.extend_from_slice(&kind.oid().to_be_bytes());
        body.extend_from_slice(&kind.length().to_be_bytes());
        body.extend_from_slice(&(-1_i32).to_be_bytes());
        let format: u16 = if formats.of(place) == Format::Binary { 1 } else { 0 };
        body.extend_from_slice(&format.to_be_bytes());
    }
    // Names without zero bytes can be encoded.
    let _ = Message::RowDescription(&body).encode(out);
}

/// Appends a DataRow. Values that are missing are NULL.
pub(super) fn push_row(out: &mut Vec<u8>, columns: &[Column], row: &Row, formats: &Formats) {
    let mut body = count(columns.len()).to_vec();
    for (place, column) in columns.iter().enumerate() {
        let value = row.get(place).unwrap_or(&Cell::Null);
        match written(value, column.kind, formats.of(place)) {
            None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
            Some(bytes) => {
                let length = u32::try_from(bytes.len()).unwrap_or(0);
                body.extend_from_slice(&length.to_be_bytes());
                body.extend_from_slice(&bytes);
            }
        }
    }
    let _ = Message::DataRow(&body).encode(out);
}

fn count(columns: usize) -> [u8; 2] {
    u16::try_from(columns).unwrap_or(u16::MAX).to_be_bytes()
}

fn written(cell: &Cell, kind: Type, format: Format) -> Option<Vec<u8>> {
    let number = match cell {
        Cell::Null => return None,
        Cell::Text(text) => return Some(text.bytes().filter(|byte| *byte != 0).collect()),
        Cell::Number(number) => *number,
    };
    let small = i32::try_from(number).unwrap_or(i32::MAX);
    let large = i64::try_from(number).unwrap_or(i64::MAX);
    Some(match (kind, format) {
        (Type::Int4, Format::Text) => small.to_string().into_bytes(),
        (Type::Int4, Format::Binary) => small.to_be_bytes().to_vec(),
        (Type::Int8, Format::Text) => large.to_string().into_bytes(),
        (Type::Int8, Format::Binary) => large.to_be_bytes().to_vec(),
        (Type::Numeric, Format::Binary) => numeric(number),
        (Type::Numeric | Type::Text, _) => number.to_string().into_bytes(),
    })
}

/// A whole number as `numeric_send` writes it: digits of base 10 000, the highest first, without
/// zeros at the end (PostgreSQL 15, `numeric.c`).
fn numeric(number: u64) -> Vec<u8> {
    let mut digits = Vec::new();
    let mut rest = number;
    while rest > 0 {
        digits.push(u16::try_from(rest % 10_000).unwrap_or(0));
        rest /= 10_000;
    }
    let weight = u16::try_from(digits.len().saturating_sub(1)).unwrap_or(0);
    digits.reverse();
    while digits.last() == Some(&0) {
        digits.pop();
    }
    let length = u16::try_from(digits.len()).unwrap_or(0);
    // How many digits, the weight of the first, the sign, the digits behind the point.
    let head = [length, weight, 0, 0];
    head.iter().chain(&digits).flat_map(|word| word.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_postgresql_writes_them() {
        let words = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let expected: [(u64, Vec<u8>); 5] = [
            (0, words(&[0, 0, 0, 0])),
            (7, words(&[1, 0, 0, 0, 7])),
            (10_000, words(&[1, 1, 0, 0, 1])),
            (120_000_003, words(&[3, 2, 0, 0, 1, 2000, 3])),
            (12_345_678, words(&[2, 1, 0, 0, 1234, 5678])),
        ];
        for (number, bytes) in expected {
            assert_eq!(numeric(number), bytes, "{number}");
        }
        let of = |number: u64, kind, format| written(&Cell::from(number), kind, format);
        assert_eq!(of(7, Type::Int4, Format::Binary), Some(vec![0, 0, 0, 7]));
        assert_eq!(of(7, Type::Int8, Format::Binary), Some(vec![0, 0, 0, 0, 0, 0, 0, 7]));
        assert_eq!(of(1 << 40, Type::Int4, Format::Text), Some(b"2147483647".to_vec()));
        assert_eq!(of(1 << 40, Type::Int8, Format::Text), Some(b"1099511627776".to_vec()));
        assert_eq!(written(&Cell::Null, Type::Text, Format::Text), None);
    }
}
