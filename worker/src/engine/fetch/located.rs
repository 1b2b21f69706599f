//! A differing row with its bytes on both sides.

use crate::engine::error::malformed;
use crate::engine::rows::difference::RowDifference;
use crate::engine::task::Stop;
use crate::engine::values::canonical::Values;

/// A row that differs, as it is on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocatedRow {
    /// What the survey found.
    pub(crate) difference: RowDifference,
    /// The encoded columns of the key. Empty for a table without one, and for a
    /// row that has gone since the survey and whose key is known only as a hash.
    pub(crate) key: Vec<u8>,
    /// The encoded row on the source; absent where there is none, or none any more.
    pub(crate) source: Option<Vec<u8>>,
    /// The encoded row on the target.
    pub(crate) target: Option<Vec<u8>>,
}

pub(crate) fn values(row: &[u8]) -> Result<Vec<&[u8]>, Stop> {
    Values::new(row)
        .collect::<Result<_, _>>()
        .map_err(malformed)
}
