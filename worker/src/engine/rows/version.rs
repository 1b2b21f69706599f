//! The rows that one side has under one key at one time: their hashes, and how
//! often each occurs.

/// A row as it was read.
#[derive(Debug, Clone)]
pub(crate) struct SeenRow {
    /// The hash of all values.
    pub(crate) hash: u128,
    /// How many equal rows there are.
    pub(crate) copies: u64,
    /// What a comparison under tolerances needs; absent if no column has one, or
    /// if only the hash is known.
    pub(crate) tolerated: Option<Box<Tolerated>>,
}

/// A row split into values that must be equal and values that must be near.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tolerated {
    /// The hash of the values of all columns without a tolerance.
    pub(crate) exact: u128,
    /// The encoded values of the columns with a tolerance, one after the other.
    pub(crate) values: Vec<u8>,
}

/// Rows are equal if their hashes are.
impl PartialEq for SeenRow {
    fn eq(&self, other: &Self) -> bool {
        (self.hash, self.copies) == (other.hash, other.copies)
    }
}

impl Eq for SeenRow {}

impl SeenRow {
    /// One row of which only the hash is known.
    pub(crate) fn hashed(hash: u128) -> Self {
        Self {
            hash,
            copies: 1,
            tolerated: None,
        }
    }

    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.hash.to_le_bytes());
        bytes.extend_from_slice(&self.copies.to_le_bytes());
        // A row under tolerances has at least one value, of at least one byte.
        let length = self.tolerated.as_ref().map_or(0, |row| row.values.len());
        bytes.extend_from_slice(&(length as u64).to_le_bytes());
        if let Some(tolerated) = &self.tolerated {
            bytes.extend_from_slice(&tolerated.exact.to_le_bytes());
            bytes.extend_from_slice(&tolerated.values);
        }
    }

    pub(crate) fn read(bytes: &mut &[u8]) -> Self {
        let hash = u128::from_le_bytes(next(bytes));
        let copies = u64::from_le_bytes(next(bytes));
        let length = usize::try_from(u64::from_le_bytes(next(bytes))).expect("it was in memory");
        let tolerated = (length > 0).then(|| {
            let exact = u128::from_le_bytes(next(bytes));
            let (values, after) = bytes.split_at(length);
            *bytes = after;
            Box::new(Tolerated {
                exact,
                values: values.to_vec(),
            })
        });
        Self {
            hash,
            copies,
            tolerated,
        }
    }
}

/// The next bytes of a record.
pub(crate) fn next<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (these, rest) = bytes
        .split_first_chunk::<N>()
        .expect("records are not split between blocks");
    *bytes = rest;
    *these
}

/// The rows that one side has under one key. Two versions are equal when they
/// have the same rows, once [`Version::sort`] was called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Version {
    rows: Vec<SeenRow>,
}

impl Version {
    pub(crate) fn add(&mut self, row: SeenRow) {
        match self.rows.last_mut() {
            Some(last) if last.hash == row.hash => last.copies += row.copies,
            _ => self.rows.push(row),
        }
    }

    /// Sorts the rows and merges equal ones.
    pub(crate) fn sort(&mut self) {
        self.rows.sort_unstable_by_key(|row| row.hash);
        self.rows.dedup_by(|next, row| {
            let same = next.hash == row.hash;
            if same {
                row.copies += next.copies;
            }
            same
        });
    }

    /// The number of different rows.
    pub(crate) fn distinct(&self) -> usize {
        self.rows.len()
    }

    /// The number of rows.
    pub(crate) fn count(&self) -> u64 {
        self.rows.iter().map(|row| row.copies).sum()
    }

    /// The sum of the hashes of its rows, modulo 2^128.
    pub(crate) fn sum(&self) -> u128 {
        self.rows.iter().fold(0, |sum, row| {
            sum.wrapping_add(row.hash.wrapping_mul(row.copies.into()))
        })
    }

    /// The rows of which this version has more copies than `other`, and those of
    /// which `other` has more, with the number of surplus copies.
    pub(crate) fn subtract(&self, other: &Self) -> (Vec<SeenRow>, Vec<SeenRow>) {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        let more = |row: &SeenRow, less: u64| SeenRow {
            copies: row.copies - less,
            ..row.clone()
        };
        let (mut left, mut right) = (self.rows.iter().peekable(), other.rows.iter().peekable());
        loop {
            match (left.peek(), right.peek()) {
                (Some(a), Some(b)) if a.hash == b.hash => {
                    if a.copies > b.copies {
                        here.push(more(a, b.copies));
                    } else if b.copies > a.copies {
                        there.push(more(b, a.copies));
                    }
                    left.next();
                    right.next();
                }
                (Some(a), b) if b.is_none_or(|b| a.hash < b.hash) => {
                    here.push(more(a, 0));
                    left.next();
                }
                (_, Some(b)) => {
                    there.push(more(b, 0));
                    right.next();
                }
                _ => return (here, there),
            }
        }
    }

    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&(self.rows.len() as u64).to_le_bytes());
        self.rows.iter().for_each(|row| row.write(bytes));
    }

    pub(crate) fn read(bytes: &mut &[u8]) -> Self {
        let count = u64::from_le_bytes(next(bytes));
        Self {
            rows: (0..count).map(|_| SeenRow::read(bytes)).collect(),
        }
    }
}

impl From<Vec<SeenRow>> for Version {
    fn from(rows: Vec<SeenRow>) -> Self {
        let mut version = Self { rows };
        version.sort();
        version
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(rows: &[u128]) -> Version {
        let mut version = Version::default();
        rows.iter()
            .for_each(|row| version.add(SeenRow::hashed(*row)));
        version.sort();
        version
    }

    #[test]
    fn versions_do_not_depend_on_the_order_of_rows() {
        assert_eq!(version(&[3, 1, 2, 1]), version(&[1, 1, 2, 3]));
        assert_ne!(version(&[1, 1]), version(&[1]));
        assert_eq!(version(&[2, 1, 2]).count(), 3);
        assert_eq!(version(&[2, 1, 2]).distinct(), 2);
        assert_eq!(version(&[2, 1, 2]).sum(), 5);
    }

    proptest! {
        #[test]
        fn what_is_taken_away_and_what_is_left_are_the_whole(left in proptest::collection::vec(0_u128..6, 0..20), right in proptest::collection::vec(0_u128..6, 0..20)) {
            let (here, there) = version(&left).subtract(&version(&right));
            for hash in 0..6 {
                let count = |rows: &[u128]| rows.iter().filter(|row| **row == hash).count() as u64;
                let copies = |rows: &[SeenRow]| rows.iter().filter(|row| row.hash == hash).map(|row| row.copies).sum::<u64>();
                prop_assert_eq!(copies(&here), count(&left).saturating_sub(count(&right)));
                prop_assert_eq!(copies(&there), count(&right).saturating_sub(count(&left)));
            }
        }

        #[test]
        fn what_is_written_is_read(rows in proptest::collection::vec((any::<u128>(), proptest::option::of((any::<u128>(), proptest::collection::vec(any::<u8>(), 1..9)))), 0..9)) {
            let version = Version::from(rows.into_iter().map(|(hash, tolerated)| SeenRow {
                tolerated: tolerated.map(|(exact, values)| Box::new(Tolerated { exact, values })),
                ..SeenRow::hashed(hash)
            }).collect::<Vec<_>>());
            let mut bytes = Vec::new();
            version.write(&mut bytes);
            let mut rest = &*bytes;
            let read = Version::read(&mut rest);
            prop_assert!(rest.is_empty());
            prop_assert_eq!(&read, &version);
            for (a, b) in read.rows.iter().zip(&version.rows) {
                prop_assert_eq!(&a.tolerated, &b.tolerated);
            }
        }
    }
}
