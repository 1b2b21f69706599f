//! Canonical values: the one form in which values of both databases are equal
//! exactly when they mean the same.
//!
//! A row is the concatenation of its encoded values, key columns first. Every
//! value says by its first byte what it is and where it ends, so that two rows
//! of the same columns have the same bytes exactly when all their values are
//! equal: NULL, an empty text and the text `NULL` differ, and so do
//! `('x|y', 'z')` and `('x', 'y|z')`.
//!
//! | first byte | value | what follows |
//! |---|---|---|
//! | 00 | NULL | |
//! | 01, 02 | false, true | |
//! | 10+n | integer | its zigzag form in n little-endian bytes, n minimal |
//! | 20+c | decimal of class c | weight, number of digits, base-10000 digits |
//! | 30, 31 | float of 64, 32 bits | the bits, -0 as 0, one NaN |
//! | 40, 50 | text, bytes | length (1 byte, or FF and 4), the bytes |
//! | 60 | date | days since 2000-01-01, 4 bytes |
//! | 70+u | time of day | units since midnight, 8 bytes |
//! | 80+u, 90+u | timestamp, instant | units since 2000-01-01, 8 bytes |
//! | A0 | UUID | 16 bytes in network order |
//! | B0 | JSON | length as of text, the canonical text |
//!
//! The unit u of times is 6 (microseconds) or 7 (100 ns).

pub(crate) mod decimal;
pub(crate) mod iso8601;
pub(crate) mod json;
pub(crate) mod number;
pub(crate) mod value;
pub(crate) mod view;

pub(crate) use decimal::{Decimal, DecimalClass, DecimalRoom};
pub(crate) use iso8601::{Count, Iso8601};
pub(crate) use json::canonical_json;
pub(crate) use number::{float32_decimal, float64_decimal, parse_decimal, twos_complement_decimal};
pub(crate) use value::{MalformedRow, Values, to_json, to_text};
pub(crate) use view::{UnitCount, View, view};

pub(crate) const NULL: u8 = 0x00;
pub(crate) const FALSE: u8 = 0x01;
pub(crate) const TRUE: u8 = 0x02;
pub(crate) const INT: u8 = 0x10;
pub(crate) const DECIMAL: u8 = 0x20;
pub(crate) const FLOAT64: u8 = 0x30;
pub(crate) const FLOAT32: u8 = 0x31;
pub(crate) const TEXT: u8 = 0x40;
pub(crate) const BYTES: u8 = 0x50;
pub(crate) const DATE: u8 = 0x60;
pub(crate) const TIME: u8 = 0x70;
pub(crate) const TIMESTAMP: u8 = 0x80;
pub(crate) const INSTANT: u8 = 0x90;
pub(crate) const UUID: u8 = 0xA0;
pub(crate) const JSON: u8 = 0xB0;

/// In what steps a time is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// A millionth of a second: PostgreSQL's finest.
    Micros,
    /// 100 nanoseconds: SQL Server's finest.
    Ticks,
}

impl TimeUnit {
    /// The decimal digits of a second that a unit stands for.
    #[must_use]
    pub fn digits(self) -> u8 {
        match self {
            Self::Micros => 6,
            Self::Ticks => 7,
        }
    }

    /// How many units make a second.
    #[must_use]
    pub fn per_second(self) -> i64 {
        match self {
            Self::Micros => 1_000_000,
            Self::Ticks => 10_000_000,
        }
    }
}

/// Builds rows out of canonical values, one after the other in one buffer.
#[derive(Debug, Default)]
pub struct RowEncoder {
    buffer: Vec<u8>,
    key_end: usize,
    /// Bytes of the rows before this one.
    before: u64,
}

impl RowEncoder {
    /// Forgets the row before.
    pub fn start_row(&mut self) {
        self.before += self.buffer.len() as u64;
        self.buffer.clear();
        self.key_end = 0;
    }

    /// What was written so far is the key.
    pub fn end_key(&mut self) {
        self.key_end = self.buffer.len();
    }

    /// The encoded key columns.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.buffer[..self.key_end]
    }

    /// The bytes of all rows up to and with this one.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.before + self.buffer.len() as u64
    }

    /// All encoded columns, those of the key first.
    #[must_use]
    pub fn row(&self) -> &[u8] {
        &self.buffer
    }

    /// Appends NULL.
    #[inline]
    pub fn null(&mut self) {
        self.buffer.push(NULL);
    }

    /// Appends a truth value.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.buffer.push(if value { TRUE } else { FALSE });
    }

    /// Appends an integer.
    #[inline]
    pub fn int(&mut self, value: i64) {
        let zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
        let bytes = (71 - zigzag.leading_zeros()) / 8;
        #[expect(clippy::cast_possible_truncation, reason = "0 to 8")]
        self.buffer.push(INT + bytes as u8);
        self.buffer.extend_from_slice(&zigzag.to_le_bytes());
        self.buffer
            .truncate(self.buffer.len() - (8 - bytes as usize));
    }

    /// Appends a decimal.
    #[inline]
    pub fn decimal(&mut self, value: &Decimal<'_>) {
        value.encode(&mut self.buffer);
    }

    /// Appends a float of 64 bits.
    #[inline]
    pub fn float64(&mut self, value: f64) {
        let value = if value == 0.0 {
            0.0
        } else if value.is_nan() {
            f64::NAN
        } else {
            value
        };
        self.buffer.push(FLOAT64);
        self.buffer
            .extend_from_slice(&value.to_bits().to_le_bytes());
    }

    /// Appends a float of 32 bits.
    #[inline]
    pub fn float32(&mut self, value: f32) {
        let value = if value == 0.0 {
            0.0
        } else if value.is_nan() {
            f32::NAN
        } else {
            value
        };
        self.buffer.push(FLOAT32);
        self.buffer
            .extend_from_slice(&value.to_bits().to_le_bytes());
    }

    /// Appends UTF-8 text.
    #[inline]
    pub fn text(&mut self, value: &[u8]) {
        self.lengthy(TEXT, value);
    }

    /// Appends bytes.
    #[inline]
    pub fn bytes(&mut self, value: &[u8]) {
        self.lengthy(BYTES, value);
    }

    /// Appends JSON, in the form that [`canonical_json`] gives.
    #[inline]
    pub fn json(&mut self, value: &[u8]) {
        self.lengthy(JSON, value);
    }

    #[inline]
    fn lengthy(&mut self, tag: u8, value: &[u8]) {
        match u8::try_from(value.len()) {
            Ok(length) if length < 0xFF => self.buffer.extend_from_slice(&[tag, length]),
            _ => {
                self.buffer.extend_from_slice(&[tag, 0xFF]);
                // Both databases limit a value to 2 GiB.
                let length = u32::try_from(value.len()).expect("a value is shorter than 4 GiB");
                self.buffer.extend_from_slice(&length.to_le_bytes());
            }
        }
        self.buffer.extend_from_slice(value);
    }

    /// Appends a date, in days since 2000-01-01. The extremes are PostgreSQL's infinities.
    #[inline]
    pub fn date(&mut self, days: i32) {
        self.buffer.push(DATE);
        self.buffer.extend_from_slice(&days.to_le_bytes());
    }

    /// Appends a time of day, in units since midnight.
    #[inline]
    pub fn time(&mut self, unit: TimeUnit, value: i64) {
        self.counted(TIME + unit.digits(), value);
    }

    /// Appends a timestamp without zone, in units since 2000-01-01. The
    /// extremes are PostgreSQL's infinities.
    #[inline]
    pub fn timestamp(&mut self, unit: TimeUnit, value: i64) {
        self.counted(TIMESTAMP + unit.digits(), value);
    }

    /// Appends an instant, in units since 2000-01-01 UTC. The extremes are
    /// PostgreSQL's infinities.
    #[inline]
    pub fn instant(&mut self, unit: TimeUnit, value: i64) {
        self.counted(INSTANT + unit.digits(), value);
    }

    #[inline]
    fn counted(&mut self, tag: u8, value: i64) {
        self.buffer.push(tag);
        self.buffer.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends a UUID, bytes in network order.
    #[inline]
    pub fn uuid(&mut self, value: &[u8; 16]) {
        self.buffer.push(UUID);
        self.buffer.extend_from_slice(value);
    }
}

/// Receives rows from a scanner. It knows nothing of databases, and a scanner
/// nothing of what becomes of its rows.
pub(crate) trait RowSink: Send {
    /// Where the scanner writes the values of the next row.
    fn encoder(&mut self) -> &mut RowEncoder;

    /// The row in the encoder is complete.
    ///
    /// # Errors
    ///
    /// When the sink cannot take it, because the disk is full for example.
    fn end_row(&mut self) -> std::io::Result<()>;
}
