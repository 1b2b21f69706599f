//! A row reduced to 32 bytes: its key, whole if it fits, and a hash of all its values.

use std::hash::Hasher;

use xxhash_rust::xxh3::xxh3_128;

use crate::engine::values::canonical::Tag;

/// The longest encoded key, in bytes, that is carried whole.
const INLINE_KEY: usize = 15;

/// The first byte of a key that is carried as its hash.
const HASHED: u8 = 0xFF;

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
    /// xxh3 of the encoded row, 128 bits.
    pub row: u128,
}

impl KeyForm {
    /// The element of an encoded row whose first bytes are the encoded key.
    #[inline]
    pub(crate) fn element(self, key: &[u8], row: &[u8]) -> Element {
        let hash = xxh3_128(row);
        let key = match self {
            Self::WholeRow => hash,
            _ => self.key(key),
        };
        Element { key, row: hash }
    }

    /// The key of an encoded key.
    #[inline]
    pub(crate) fn key(self, key: &[u8]) -> u128 {
        match self {
            Self::Uuid => match key.split_first_chunk::<1>() {
                Some(([tag], uuid)) if *tag == Tag::Uuid as u8 && uuid.len() == 16 => {
                    let mut bytes = [0; 16];
                    bytes.copy_from_slice(uuid);
                    u128::from_be_bytes(bytes)
                }
                _ => unreachable!(
                    "the plan chooses this form only if both sides are UUIDs and not null"
                ),
            },
            Self::Compact if key.len() <= INLINE_KEY => {
                let mut bytes = [0; 16];
                bytes[0] = u8::try_from(key.len()).expect("at most 15");
                bytes[1..=key.len()].copy_from_slice(key);
                u128::from_be_bytes(bytes)
            }
            Self::Compact => {
                let mut bytes = xxh3_128(key).to_be_bytes();
                bytes[0] = HASHED;
                u128::from_be_bytes(bytes)
            }
            Self::WholeRow => xxh3_128(key),
        }
    }

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

/// A hasher for maps whose keys are element keys. Hashed keys are distributed
/// already, and inline keys are mixed once.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = mix(key);
    }
}

/// 64 well-mixed bits of a key.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves of a 128-bit number are wanted"
)]
pub(crate) fn mix(key: u128) -> u64 {
    fold(
        key as u64 ^ 0x9E37_79B9_7F4A_7C15,
        (key >> 64) as u64 ^ 0xD6E8_FEB8_6659_FD93,
    )
}

/// The two halves of a full product, combined.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves of a 128-bit number are wanted"
)]
pub(crate) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_short_key_comes_back_and_a_long_one_does_not(key in proptest::collection::vec(any::<u8>(), 0..40)) {
            let carried = KeyForm::Compact.carried(KeyForm::Compact.key(&key));
            prop_assert_eq!(carried, (key.len() <= 15).then_some(key));
        }

        #[test]
        fn different_keys_have_different_forms(a in proptest::collection::vec(0_u8..3, 0..20), b in proptest::collection::vec(0_u8..3, 0..20)) {
            for form in [KeyForm::Compact, KeyForm::WholeRow] {
                prop_assert_eq!(form.key(&a) == form.key(&b), a == b);
            }
        }

        #[test]
        fn a_uuid_comes_back(uuid in any::<[u8; 16]>()) {
            let key = [&[Tag::Uuid as u8][..], &uuid].concat();
            prop_assert_eq!(KeyForm::Uuid.carried(KeyForm::Uuid.key(&key)), Some(key));
        }
    }
}
