//! Canonical values: the form into which values of both databases are encoded. Two
//! values have the same bytes exactly when they mean the same.
//!
//! A row is the concatenation of its encoded values, key columns first. The first
//! byte of a value is its tag. The tag defines how long the value is, or where its
//! length is. So two rows of the same columns have the same bytes exactly when all
//! their values are equal. NULL, an empty text and the text `NULL` are three different
//! values, and the rows `('x|y', 'z')` and `('x', 'y|z')` differ.
//!
//! | first byte | value | what follows |
//! |---|---|---|
//! | 00 | NULL | |
//! | 01, 02 | false, true | |
//! | 10+n | integer | zigzag encoding, little-endian, in as few bytes n as possible |
//! | 20+c | decimal of class c | weight, number of digits, base-10000 digits |
//! | 30, 31 | float of 64, 32 bits | the bits; -0 becomes 0, every NaN the same NaN |
//! | 40, 50 | text, bytes | length (1 byte, or FF and 4 bytes), content |
//! | 41, 51, B1 | text, bytes, JSON that are not kept whole | length, 8 bytes, and SHA-256 |
//! | 60 | date | days since 2000-01-01, 4 bytes |
//! | 70+u | time of day | units since midnight, 8 bytes |
//! | 80+u, 90+u | timestamp, instant | units since 2000-01-01, 8 bytes |
//! | A0 | UUID | 16 bytes in network order |
//! | B0 | JSON | length as for text, canonical text |
//!
//! For times, u is the number of digits of a second: 6 (the unit is a microsecond) or
//! 7 (100 ns). First bytes are hexadecimal.

pub(crate) mod decimal;
pub(crate) mod encoder;
pub(crate) mod iso8601;
pub(crate) mod json;
pub(crate) mod long;
pub(crate) mod number;
pub(crate) mod row;
pub(crate) mod sql_server_text;
pub(crate) mod tag;
pub(crate) mod xml;

pub(crate) use decimal::{Decimal, DecimalClass, DigitBuffer};
pub use encoder::RowEncoder;
pub(crate) use encoder::RowSink;
pub(crate) use iso8601::{Count, Iso8601};
pub(crate) use json::canonical_json;
pub(crate) use long::LongValue;
pub(crate) use number::{float32_decimal, float64_decimal, parse_decimal, twos_complement_decimal};
pub(crate) use row::{MalformedRow, Values};
pub(crate) use sql_server_text::{parse_sql_server_local_text, parse_sql_server_text};
pub(crate) use tag::{Tag, TimeUnit};
pub(crate) use xml::{canonical_xml, without_declaration};
