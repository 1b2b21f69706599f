//! How rows and keys are hashed: under a secret key, so that the writer of a row does
//! not know its hash and cannot give two rows the same one.
//!
//! The hash is SipHash with 128 bits of output, one round for each word and three at
//! the end (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012). No two
//! inputs are known to collide under more than a negligible share of the keys
//! (Dobraunig, Mendel and Schläffer, "Differential Cryptanalysis of SipHash", 2014).
//! The sum of such hashes modulo 2^128 is a hash of a multiset: to find two multisets
//! with the same sum is as hard as to distinguish the hashes from random numbers
//! (Clarke et al., "Incremental Multiset Hash Functions", 2003, MSet-Add-Hash).

use std::hash::Hasher;
use std::sync::LazyLock;

use shared::hash_key::HashKey;
use siphasher::sip::SipHasher13 as Sip64;
use siphasher::sip128::SipHasher13 as Sip128;

use crate::engine::rows::element::{Element, HASHED, INLINE_KEY, KeyForm};
use crate::engine::values::canonical::Tag;

/// A secret key of SipHash.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(Default))]
pub(crate) struct SipKey(u64, u64);

impl SipKey {
    /// The key of a run for one purpose.
    pub(crate) fn derive(key: &HashKey, purpose: &str) -> Self {
        let [first, second, ..] = words(&key.derive(purpose));
        Self(first, second)
    }

    fn random() -> Self {
        Self::derive(&HashKey::generate(), "random")
    }

    #[inline]
    pub(crate) fn hash(self, bytes: &[u8]) -> u128 {
        self.hasher().hash(bytes).into()
    }

    /// Hashes bytes that are added one part after the other, with the same result as
    /// [`SipKey::hash`].
    #[inline]
    pub(crate) fn hasher(self) -> Sip128 {
        Sip128::new_with_keys(self.0, self.1)
    }
}

impl std::fmt::Debug for SipKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SipKey(…)")
    }
}

/// A secret key for the cells of a sketch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CellKey(pub(crate) [u64; 4]);

impl std::fmt::Debug for CellKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CellKey(…)")
    }
}

fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|at| u64::from_le_bytes(words[at]))
}

/// Turns the rows of one comparison into elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowHasher {
    form: KeyForm,
    /// Hashes rows, and keys that do not fit into an element.
    sip: SipKey,
    cells: CellKey,
}

impl RowHasher {
    pub(crate) fn new(form: KeyForm, key: &HashKey) -> Self {
        Self {
            form,
            sip: SipKey::derive(key, "rows"),
            cells: CellKey(words(&key.derive("cells"))),
        }
    }

    pub(crate) fn form(self) -> KeyForm {
        self.form
    }

    /// The key under which rows are hashed.
    pub(crate) fn sip(self) -> SipKey {
        self.sip
    }

    /// The key of the sketches into which the elements are added.
    pub(crate) fn cells(self) -> CellKey {
        self.cells
    }

    /// The element of an encoded row whose first bytes are the encoded key.
    #[inline]
    pub(crate) fn element(&self, key: &[u8], row: &[u8]) -> Element {
        let hash = self.sip.hash(row);
        let key = match (self.form, row.first_chunk()) {
            (KeyForm::WholeRow, _) => hash,
            (KeyForm::Compact, Some(first)) if key.len() <= INLINE_KEY => inline(first, key.len()),
            _ => self.key(key),
        };
        Element { key, row: hash }
    }

    /// The key of an encoded key.
    #[inline]
    pub(crate) fn key(&self, key: &[u8]) -> u128 {
        match self.form {
            KeyForm::Uuid => match key.split_first_chunk::<1>() {
                Some(([tag], uuid)) if *tag == Tag::Uuid as u8 && uuid.len() == 16 => {
                    let mut bytes = [0; 16];
                    bytes.copy_from_slice(uuid);
                    u128::from_be_bytes(bytes)
                }
                _ => unreachable!(
                    "the plan chooses this form only if both sides are UUIDs and not null"
                ),
            },
            KeyForm::Compact if key.len() <= INLINE_KEY => {
                let mut bytes = [0; INLINE_KEY];
                bytes[..key.len()].copy_from_slice(key);
                inline(&bytes, key.len())
            }
            KeyForm::Compact => {
                let mut bytes = self.sip.hash(key).to_be_bytes();
                bytes[0] = HASHED;
                u128::from_be_bytes(bytes)
            }
            KeyForm::WholeRow => self.sip.hash(key),
        }
    }
}

/// The key of an encoded key that is carried whole: its length, then the first `length`
/// of `bytes`, then zeros. Copying a constant number of bytes is faster than copying as
/// many as the key has.
#[inline]
fn inline(bytes: &[u8; INLINE_KEY], length: usize) -> u128 {
    let mut whole = [0; 16];
    whole[1..].copy_from_slice(bytes);
    let zeros = 8 * (INLINE_KEY - length);
    let key = u128::from_be_bytes(whole) >> zeros << zeros;
    (length as u128) << 120 | key
}

/// A hasher for maps whose keys are element keys or elements.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(16) {
            let mut key = [0; 16];
            key[..part.len()].copy_from_slice(part);
            self.write_u128(u128::from_le_bytes(key));
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = mix(key ^ u128::from(self.0));
    }
}

/// The secret key of [`mix`]. No result depends on it, and it never leaves the process,
/// so all comparisons of a process have the same.
static MIXING: LazyLock<SipKey> = LazyLock::new(SipKey::random);

/// 64 well-mixed bits of a key, for places in memory and on disk. A key of an element
/// may be the value itself, and many such keys cannot be chosen to have one place.
#[inline]
pub(crate) fn mix(key: u128) -> u64 {
    let SipKey(first, second) = *MIXING;
    Sip64::new_with_keys(first, second).hash(&key.to_le_bytes())
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
    use crate::engine::values::canonical::RowEncoder;
    use proptest::prelude::*;
    use siphasher::sip128::Hasher128 as _;
    use std::collections::HashSet;

    fn hasher(form: KeyForm) -> RowHasher {
        RowHasher::new(form, &HashKey::generate())
    }

    proptest! {
        #[test]
        fn a_short_key_comes_back_and_a_long_one_does_not(key in proptest::collection::vec(any::<u8>(), 0..40)) {
            let carried = KeyForm::Compact.carried(hasher(KeyForm::Compact).key(&key));
            prop_assert_eq!(carried, (key.len() <= 15).then_some(key));
        }

        #[test]
        fn different_keys_have_different_forms(a in proptest::collection::vec(0_u8..3, 0..20), b in proptest::collection::vec(0_u8..3, 0..20)) {
            for form in [KeyForm::Compact, KeyForm::WholeRow] {
                let hasher = hasher(form);
                prop_assert_eq!(hasher.key(&a) == hasher.key(&b), a == b);
            }
        }

        #[test]
        fn a_key_is_the_same_with_its_row_and_alone(row in proptest::collection::vec(any::<u8>(), 0..40), end in any::<proptest::sample::Index>()) {
            let hasher = hasher(KeyForm::Compact);
            let key = &row[..end.index(row.len() + 1)];
            prop_assert_eq!(hasher.element(key, &row).key, hasher.key(key));
        }

        #[test]
        fn a_uuid_comes_back(uuid in any::<[u8; 16]>()) {
            let key = [&[Tag::Uuid as u8][..], &uuid].concat();
            prop_assert_eq!(KeyForm::Uuid.carried(hasher(KeyForm::Uuid).key(&key)), Some(key));
        }

        #[test]
        fn bytes_hash_alike_at_once_and_in_parts(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in any::<proptest::sample::Index>()) {
            let key = SipKey::random();
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let mut parts = key.hasher();
            parts.write(first);
            parts.write(second);
            prop_assert_eq!(parts.finish128().as_u128(), key.hash(&bytes));
        }
    }

    #[test]
    fn one_key_gives_one_hash_and_two_keys_give_two() {
        let (one, other) = (HashKey::generate(), HashKey::generate());
        let element =
            |form, key| RowHasher::new(form, key).element(b"a key of 18 bytes.", b"a row");
        for form in [KeyForm::Compact, KeyForm::WholeRow] {
            assert_eq!(element(form, &one), element(form, &one));
            let (one, other) = (element(form, &one), element(form, &other));
            assert_ne!(one.row, other.row);
            assert_ne!(one.key, other.key);
        }
    }

    /// Bytes of which 16 at `lane` are `low` and `high`, and all others a dot.
    fn with_lane(length: usize, lane: usize, low: u64, high: u64) -> Vec<u8> {
        let mut bytes = vec![b'.'; length];
        bytes[lane..lane + 8].copy_from_slice(&low.to_le_bytes());
        bytes[lane + 8..lane + 16].copy_from_slice(&high.to_le_bytes());
        bytes
    }

    /// Two values that begin at `offset` of a row of 64 bytes. XXH3 multiplies the lanes
    /// at byte 16 by constants that are published. With these values one factor is 0 in
    /// either row, and the sums of the lanes are equal: the hashes of the rows are too.
    fn crafted_bytes(offset: usize) -> [Vec<u8>; 2] {
        const FIRST: u64 = u64::from_le_bytes([0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78]);
        const SECOND: u64 = u64::from_le_bytes([0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21]);
        let dots = u64::from_le_bytes([b'.'; 8]);
        let value = |low, high| with_lane(64 - offset, 16 - offset, low, high);
        [
            value(FIRST, dots),
            value(FIRST.wrapping_add(dots).wrapping_sub(SECOND), SECOND),
        ]
    }

    /// Two texts with the same XXH3 in a row after a key of two bytes. The words after
    /// the exchanged ones are those with which XXH3 combines them, so that it multiplies
    /// the exchanged ones by 0, and otherwise adds them up.
    fn crafted_texts() -> [String; 2] {
        let text = |one, other| {
            let (start, between, end) = (".".repeat(440), ".".repeat(248), ".".repeat(87));
            format!("{start}{one}Á:&L{between}{other}é\u{7ac}\u{600}{end}")
        };
        [text("abc", "xyz"), text("xyz", "abc")]
    }

    /// The elements of rows of one value each, after the key 1 unless the value is the key.
    fn elements<T>(
        values: &[T],
        is_key: bool,
        append: impl Fn(&mut RowEncoder, &T),
    ) -> Vec<Element> {
        let hasher = hasher(KeyForm::Compact);
        let element = |value: &T| {
            let mut encoder = RowEncoder::default();
            if !is_key {
                encoder.int(1);
                encoder.end_key();
            }
            append(&mut encoder, value);
            if is_key {
                encoder.end_key();
            }
            hasher.element(encoder.key(), encoder.row())
        };
        values.iter().map(element).collect()
    }

    #[test]
    fn rows_that_collide_without_a_key_do_not_collide() {
        let bytes = |encoder: &mut RowEncoder, value: &Vec<u8>| encoder.bytes(value);
        let found = elements(&crafted_bytes(4), false, bytes);
        assert_ne!(found[0].row, found[1].row);
        let found = elements(&crafted_texts(), false, |encoder, text| {
            encoder.text(text.as_bytes());
        });
        assert_ne!(found[0].row, found[1].row);
        let found = elements(&crafted_bytes(2), true, bytes);
        assert_ne!(found[0].key, found[1].key);
        assert_ne!(found[0].row, found[1].row);
    }

    /// UUIDs with one lower half: the one that made the product 0 by which keys were once
    /// mixed, so that all of them had one place.
    #[test]
    fn keys_of_one_pattern_have_places_of_their_own() {
        let keys = (0..4096_u128).map(|upper| upper << 64 | 0x9E37_79B9_7F4A_7C15);
        let mixed: HashSet<u64> = keys.map(mix).collect();
        assert_eq!(mixed.len(), 4096);
        for shift in [0, 8, 32, 40, 57] {
            let places: HashSet<u64> = mixed.iter().map(|bits| bits >> shift & 63).collect();
            assert_eq!(places.len(), 64, "bits from {shift}");
        }
    }

    #[test]
    fn an_element_hashes_as_a_whole() {
        let hash = |key, row| {
            let mut hasher = KeyHasher::default();
            std::hash::Hash::hash(&Element { key, row }, &mut hasher);
            hasher.finish()
        };
        assert_ne!(hash(1, 2), hash(2, 2));
        assert_ne!(hash(1, 2), hash(1, 3));
    }
}
