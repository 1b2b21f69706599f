//! Canonical values: the one form in which values of both databases are equal
//! exactly when they mean the same.
//!
//! A row is the concatenation of its encoded values, key columns first. The first
//! byte of a value gives its kind, from which its length follows. So two rows of
//! the same columns have the same bytes exactly when all their values are equal:
//! NULL, an empty text and the text `NULL` differ, and so do `('x|y', 'z')` and
//! `('x', 'y|z')`.
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
pub(crate) mod encoder;
pub(crate) mod iso8601;
pub(crate) mod json;
pub(crate) mod number;
pub(crate) mod row;
pub(crate) mod tag;

pub(crate) use decimal::{Decimal, DecimalClass, DigitBuffer};
pub use encoder::RowEncoder;
pub(crate) use encoder::RowSink;
pub(crate) use iso8601::{Count, Iso8601};
pub(crate) use json::canonical_json;
pub(crate) use number::{float32_decimal, float64_decimal, parse_decimal, twos_complement_decimal};
pub(crate) use row::{MalformedRow, Values};
pub(crate) use tag::{Tag, TimeUnit};
