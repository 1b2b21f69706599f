//! Which of the rows with a wanted key is the row that the survey found.

use crate::engine::rows::keys::KeyMap;

/// The rows that one side has under a wanted key. Very many rows may share a key,
/// so only the wanted ones are kept, by their hashes, and one other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowsOfKey<T> {
    wanted: KeyMap<T>,
    other: Option<T>,
    /// More rows exist that are not wanted.
    more: bool,
}

impl<T> Default for RowsOfKey<T> {
    fn default() -> Self {
        Self {
            wanted: KeyMap::default(),
            other: None,
            more: false,
        }
    }
}

impl<T> RowsOfKey<T> {
    /// Adds a row. Returns whether it is kept; of copies of a row one is.
    pub(crate) fn add(&mut self, hash: u128, is_wanted: bool, row: impl FnOnce() -> T) -> bool {
        let before = self.wanted.len();
        if is_wanted {
            self.wanted.entry(hash).or_insert_with(row);
            self.wanted.len() > before
        } else if self.other.is_none() {
            self.other = Some(row());
            true
        } else {
            self.more = true;
            false
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.other.is_none()
    }

    /// The row with this hash, or what it was changed to: the only row that has
    /// the key now. When several rows have the key, none is known to be that row.
    pub(crate) fn of(&self, hash: u128) -> Option<&T> {
        let is_alone = !self.more && self.wanted.is_empty();
        self.wanted
            .get(&hash)
            .or_else(|| self.other.as_ref().filter(|_| is_alone))
    }

    /// The same, where no other row of the key is needed any more.
    pub(crate) fn into_row(mut self, hash: u128) -> Option<T> {
        let is_alone = !self.more && self.wanted.is_empty();
        self.wanted
            .remove(&hash)
            .or_else(|| self.other.filter(|_| is_alone))
    }

    pub(crate) fn any(self) -> Option<T> {
        self.other.or_else(|| self.wanted.into_values().next())
    }
}
