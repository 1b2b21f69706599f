//! Splits a row into its encoded values.

use crate::engine::values::canonical::long::LongValue;
use crate::engine::values::canonical::tag::Tag;

/// The bytes are not a row of canonical values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed row: no canonical value at byte {position} of {length}")]
pub(crate) struct MalformedRow {
    /// The first byte that is not part of a value.
    pub position: usize,
    pub length: usize,
}

/// The encoded values of a row, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Values<'a> {
    row: &'a [u8],
    position: usize,
}

impl<'a> Values<'a> {
    pub(crate) fn new(row: &'a [u8]) -> Self {
        Self { row, position: 0 }
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<&'a [u8], MalformedRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.row[self.position..];
        if rest.is_empty() {
            return None;
        }
        match length_of(rest).filter(|length| *length <= rest.len()) {
            Some(length) => {
                self.position += length;
                Some(Ok(&rest[..length]))
            }
            None => {
                let error = MalformedRow {
                    position: self.position,
                    length: self.row.len(),
                };
                self.position = self.row.len();
                Some(Err(error))
            }
        }
    }
}

/// The length of the encoded value at the start of `bytes`.
fn length_of(bytes: &[u8]) -> Option<usize> {
    let (tag, parameter) = Tag::parse(*bytes.first()?)?;
    Some(match tag {
        Tag::Null | Tag::False | Tag::True => 1,
        Tag::Int => 1 + usize::from(parameter),
        Tag::Decimal => 5 + 2 * usize::from(u16::from_le_bytes([*bytes.get(3)?, *bytes.get(4)?])),
        Tag::Float32 | Tag::Date => 5,
        Tag::Float64 | Tag::Time | Tag::Timestamp | Tag::Instant => 9,
        Tag::Text | Tag::Bytes | Tag::Json => match *bytes.get(1)? {
            0xFF => 6 + u32::from_le_bytes(bytes.get(2..6)?.try_into().ok()?) as usize,
            length => 2 + usize::from(length),
        },
        Tag::Uuid => 17,
        Tag::LongText | Tag::LongBytes | Tag::LongJson => LongValue::ENCODED,
    })
}
