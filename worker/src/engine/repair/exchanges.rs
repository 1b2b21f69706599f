//! Finds updates that wait for each other: a unique constraint refuses a value that
//! another row still has.
//!
//! Updates are executed in the order in which they are added here. Their guards skip an
//! update whose value is not free yet.

use std::collections::{HashMap, HashSet};

/// The most values that are remembered; beyond, only the guards find them.
const MOST: usize = 100_000;

/// A hash of the values of a unique constraint in one row.
pub(crate) type Values = u128;

/// The updates that change the values of one unique constraint.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    /// Values that no row has any more.
    freed: HashSet<Values>,
    /// Values that blocked updates leave in place.
    kept: HashSet<Values>,
    /// New values that no earlier update has freed, with the key of the update and its
    /// former values.
    pending: HashMap<Values, (Vec<u8>, Option<Values>)>,
}

impl Exchanges {
    /// Adds an update. Values that the constraint does not compare are `None`. Returns the
    /// keys of the updates that are now known to be skipped: this one, or an earlier one.
    pub(crate) fn add(
        &mut self,
        key: &[u8],
        old: Option<Values>,
        new: Option<Values>,
    ) -> Vec<Vec<u8>> {
        let mut blocked = Vec::new();
        let waiting = old.and_then(|old| self.pending.remove(&old));
        if let Some((earlier, values)) = waiting {
            if let Some(values) = values {
                self.freed.remove(&values);
                self.kept.insert(values);
            }
            blocked.push(earlier);
        }
        if new.is_some_and(|new| self.kept.contains(&new)) {
            self.kept.extend(old);
            blocked.push(key.to_vec());
        } else if self.freed.len() < MOST {
            if let Some(new) = new
                && !self.freed.remove(&new)
            {
                self.pending.insert(new, (key.to_vec(), old));
            }
            self.freed.extend(old);
        }
        blocked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(updates: &[(u8, u128, u128)]) -> Vec<u8> {
        let mut exchanges = Exchanges::default();
        let mut all: Vec<u8> = updates
            .iter()
            .flat_map(|(key, old, new)| exchanges.add(&[*key], Some(*old), Some(*new)))
            .map(|key| key[0])
            .collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn a_value_must_be_free_before_another_row_takes_it() {
        let (a, b, c, x, y) = (1, 2, 3, 8, 9);
        assert_eq!(blocked(&[(1, a, x), (2, b, a), (3, c, b)]), [0; 0]);
        assert_eq!(blocked(&[(1, a, b), (2, b, a)]), [1, 2]);
        assert_eq!(blocked(&[(1, a, b), (2, b, c), (3, c, a)]), [1, 2, 3]);
        assert_eq!(blocked(&[(1, a, b), (2, b, x)]), [1]);
        assert_eq!(blocked(&[(1, a, y), (2, b, x)]), [0; 0]);
    }
}
