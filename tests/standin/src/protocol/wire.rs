//! The fields of messages: little-endian numbers, UTF-16 text and the mixed endianness of GUIDs.

use crate::error::SqlError;

/// A cursor over a message. Every method returns error 4002 at the end of the message.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

fn truncated() -> SqlError {
    SqlError::new(
        4002,
        "The incoming tabular data stream (TDS) protocol stream is incorrect. The stream ended unexpectedly.",
    )
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], SqlError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], SqlError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, SqlError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, SqlError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, SqlError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, SqlError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number of `count` bytes, at most eight.
    pub(crate) fn unsigned(&mut self, count: usize) -> Result<u64, SqlError> {
        let mut bytes = [0; 8];
        bytes
            .get_mut(..count)
            .ok_or_else(truncated)?
            .copy_from_slice(self.bytes(count)?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// Text of `units` UTF-16 units. Unpaired surrogates are replaced.
    pub(crate) fn utf16(&mut self, units: usize) -> Result<String, SqlError> {
        Ok(utf16(self.bytes(units * 2)?))
    }

    /// Skips the ALL_HEADERS block, the first part of batches, calls and transaction requests.
    pub(crate) fn skip_headers(&mut self) -> Result<(), SqlError> {
        let length = self.clone().u32()? as usize;
        self.bytes(length.max(4)).map(drop)
    }

    /// The bytes that are left, as UTF-16 text. Unpaired surrogates are replaced.
    pub(crate) fn remaining_utf16(self) -> String {
        utf16(self.rest)
    }
}

/// UTF-16LE bytes as text. Unpaired surrogates are replaced.
pub(crate) fn utf16(bytes: &[u8]) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    String::from_utf16_lossy(&units)
}

/// Converts between the byte order of a UUID and that of a GUID on the wire, which reverses the
/// first three groups.
pub(crate) fn mixed_endian(b: [u8; 16]) -> [u8; 16] {
    [
        b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13],
        b[14], b[15],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_mixed_endian() {
        let uuid: [u8; 16] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        assert_eq!(
            mixed_endian(uuid),
            [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
        );
    }
}
