//! Reads the little-endian fields of a client's message.

use crate::error::SqlError;

/// A cursor over a message. Reading beyond its end is an error, never a panic.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

fn short() -> SqlError {
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
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], SqlError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(short)?;
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

    /// Up to eight bytes as a number.
    pub(crate) fn unsigned(&mut self, count: usize) -> Result<u64, SqlError> {
        let mut bytes = [0; 8];
        bytes
            .get_mut(..count)
            .ok_or_else(short)?
            .copy_from_slice(self.bytes(count)?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// UTF-16 text of so many units; what is no text is replaced.
    pub(crate) fn utf16(&mut self, units: usize) -> Result<String, SqlError> {
        Ok(utf16(self.bytes(units * 2)?))
    }

    /// Skips the ALL_HEADERS block that stands before batches, calls and transactions.
    pub(crate) fn skip_headers(&mut self) -> Result<(), SqlError> {
        let mut peek = self.clone();
        let length = peek.u32()? as usize;
        self.bytes(length.max(4)).map(drop)
    }
}

/// UTF-16LE bytes as text; what is no text is replaced.
pub(crate) fn utf16(bytes: &[u8]) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    String::from_utf16_lossy(&units)
}
