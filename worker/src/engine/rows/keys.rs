//! Sets and maps of keys, and a Bloom filter of keys.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;

use crate::engine::rows::hash::{KeyHasher, fold, mix};

pub(crate) type KeySet = HashSet<u128, BuildHasherDefault<KeyHasher>>;

pub(crate) type KeyMap<T> = HashMap<u128, T, BuildHasherDefault<KeyHasher>>;

/// The hashes of the rows to be read, by key.
pub(crate) type WantedRows = KeyMap<KeySet>;

/// The bits of a [`KeyFilter`] for each key, if memory allows.
pub(crate) const BITS_OF_KEY: u64 = 64;

/// The largest number of bits that are set for a key. With 64 bits for each key,
/// fewer than one of ten million other keys is a false positive; more set bits
/// would only take more time.
pub(crate) const MOST_PLACES: u32 = 8;

/// A Bloom filter: a set of keys in a fixed number of bits, with false positives.
#[derive(Debug, Clone)]
pub(crate) struct KeyFilter {
    words: Vec<u64>,
    /// The number of bits that are set for a key.
    places: u32,
}

impl KeyFilter {
    /// An empty set for about `keys` keys, in at most `memory` bytes.
    pub(crate) fn new(keys: u64, memory: usize) -> Self {
        let most = 1 << (memory / size_of::<u64>()).max(1).ilog2();
        let wanted = keys.saturating_mul(BITS_OF_KEY) / u64::from(u64::BITS);
        let words = usize::try_from(wanted)
            .ok()
            .and_then(|words| words.max(64).checked_next_power_of_two())
            .map_or(most, |words| words.min(most));
        // A filter has the fewest false positives with ln 2 of its bits for each key.
        let bits = words as u64 * u64::from(u64::BITS);
        let places = (bits / keys.max(1)).saturating_mul(7) / 10;
        Self {
            words: vec![0; words],
            places: u32::try_from(places)
                .unwrap_or(u32::MAX)
                .clamp(1, MOST_PLACES),
        }
    }

    pub(crate) fn insert(&mut self, key: u128) {
        let length = self.words.len();
        for (word, bit) in places(key, length).take(self.places as usize) {
            self.words[word] |= bit;
        }
    }

    /// Whether `key` may have been added.
    #[inline]
    pub(crate) fn may_hold(&self, key: u128) -> bool {
        places(key, self.words.len())
            .take(self.places as usize)
            .all(|(word, bit)| self.words[word] & bit != 0)
    }
}

/// The bits of a key in a number of words that is a power of two: an endless series.
#[inline]
pub(crate) fn places(key: u128, words: usize) -> impl Iterator<Item = (usize, u64)> {
    let next = |hash: &u64| Some(fold(hash ^ 0x9E37_79B9_7F4A_7C15, 0xD6E8_FEB8_6659_FD93));
    std::iter::successors(Some(mix(key)), next)
        .map(move |hash| ((hash >> 6) as usize & (words - 1), 1 << (hash & 63)))
}

/// The partition of a key's rows. The number of partitions is a power of two.
pub(crate) fn partition_of(key: u128, partitions: usize) -> usize {
    (mix(key) >> 40) as usize & (partitions - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rows::element::KeyForm;
    use crate::engine::rows::hash::RowHasher;
    use proptest::prelude::*;
    use shared::hash_key::HashKey;
    use std::sync::LazyLock;

    static KEY: LazyLock<HashKey> = LazyLock::new(HashKey::generate);

    /// Keys as tables have them: numbers in a row, and hashes.
    fn keys(form: KeyForm, from: u64, step: u64, count: u64) -> impl Iterator<Item = u128> {
        let hasher = RowHasher::new(form, &KEY);
        (0..count).map(move |at| {
            let number = from.wrapping_add(at.wrapping_mul(step)).to_be_bytes();
            hasher.key(&number)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_filter_takes_hardly_another_key_in_where_memory_allows(
            form in prop_oneof![Just(KeyForm::Compact), Just(KeyForm::WholeRow)],
            count in 1_u64..5_000,
            from in any::<u64>(),
            step in prop_oneof![Just(1_u64), any::<u64>().prop_map(|step| step | 1)],
        ) {
            let mut filter = KeyFilter::new(count, 8 << 20);
            keys(form, from, step, count).for_each(|key| filter.insert(key));
            prop_assert!(keys(form, from, step, count).all(|key| filter.may_hold(key)));
            let others = keys(form, from.wrapping_add(count.wrapping_mul(step)), step, 100_000);
            prop_assert!(others.filter(|key| filter.may_hold(*key)).count() <= 2);
            prop_assert!(filter.words.len() as u64 <= 64.max(2 * count), "no larger than needed");
        }

        #[test]
        fn a_filter_makes_the_best_of_little_memory(
            count in 10_000_u64..40_000,
            memory in 8_usize..64 << 10,
            from in any::<u64>(),
        ) {
            let mut filter = KeyFilter::new(count, memory);
            prop_assert!(filter.words.len() * 8 <= memory);
            keys(KeyForm::Compact, from, 1, count).for_each(|key| filter.insert(key));
            prop_assert!(keys(KeyForm::Compact, from, 1, count).all(|key| filter.may_hold(key)));
            let others = keys(KeyForm::Compact, from.wrapping_add(count), 1, 20_000);
            let taken = others.filter(|key| filter.may_hold(*key)).count();
            // The best that a Bloom filter can do is 0.6185 to the power of the bits of a key.
            #[expect(clippy::cast_precision_loss, reason = "a rate and not a count")]
            let (bits, rate) = (
                (filter.words.len() * 64) as f64 / count as f64,
                taken as f64 / 20_000.0,
            );
            let best = 0.6185_f64.powf(bits);
            prop_assert!(rate <= 1.3 * best + 0.005, "{rate} at {bits} bits a key");
        }
    }
}
