//! A row reduced to 32 bytes: its key, whole if it fits, and a hash of all its values.

use crate::engine::values::canonical::Tag;

/// The longest encoded key, in bytes, that is carried whole.
pub(crate) const INLINE_KEY: usize = 15;

/// The first byte of a key that is carried as its hash.
pub(crate) const HASHED: u8 = 0xFF;

/// How the keys of a table become 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyForm {
    /// The key is one UUID that is never NULL: its 128 bits.
    Uuid,
    /// Up to 15 encoded bytes are carried whole after their length; longer
    /// keys as 120 bits of their hash.
    Compact,
    /// There is no key: a row is identified by the hash of all its values.
    WholeRow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Element {
    pub key: u128,
    /// The hash of the encoded row under the key of the run, 128 bits.
    pub row: u128,
}

impl KeyForm {
    /// The encoded key that `key` carries; `None` if it is a hash.
    pub(crate) fn carried(self, key: u128) -> Option<Vec<u8>> {
        let bytes = key.to_be_bytes();
        match self {
            Self::WholeRow => None,
            Self::Uuid => Some([&[Tag::Uuid as u8][..], &bytes].concat()),
            Self::Compact => match bytes[0] {
                HASHED => None,
                length => bytes.get(1..=usize::from(length)).map(<[u8]>::to_vec),
            },
        }
    }
}
