//! What one worker has sent of an attempt: which batches, and the differing rows that the report
//! lists.
//!
//! Both are bounded, so that a broken worker cannot exhaust the coordinator: the numbers of batches
//! are kept as ranges, and rows are kept up to a number and a size.

use std::collections::BTreeMap;

use shared::outcome::Difference;

/// The most ranges of batch numbers. Batches arrive almost in order, so there is usually one.
const MOST_RANGES: usize = 1_024;

/// Bytes of the listed rows of one attempt: 1,000 rows with 30 KiB each.
const ATTEMPT_BYTES: usize = 32 << 20;

/// Bytes of the listed rows of a run, counted as they arrive.
pub(super) const RUN_BYTES: usize = 1 << 30;

/// Bytes that a key column or a differing column takes beside its texts.
const COLUMN_BYTES: usize = 220;

/// What to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It was not received before.
    New,
    /// It was received before, or there are so many gaps before it that it is not kept.
    Ignored,
}

/// What one worker has sent of an attempt.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// The numbers of the batches, as ranges: the first number of each and the last.
    ranges: BTreeMap<u32, u32>,
    /// Differing rows by the number of their batch.
    rows: BTreeMap<u32, Vec<Difference>>,
    /// How many rows are in `rows`, and their bytes.
    listed: usize,
    bytes: usize,
    /// Rows that are not listed because of their size.
    too_large: usize,
}

impl Received {
    /// Records the number of a batch.
    pub(super) fn record(&mut self, batch: u32) -> Arrival {
        let before = self.ranges.range(..=batch).next_back();
        let before = before.map(|(&first, &last)| (first, last));
        if before.is_some_and(|(_, last)| last >= batch) {
            return Arrival::Ignored;
        }
        let begins_after = batch.checked_add(1);
        let after = begins_after.and_then(|next| self.ranges.get(&next).copied());
        let joins = before.filter(|(_, last)| last + 1 == batch);
        if joins.is_none() && after.is_none() && self.ranges.len() >= MOST_RANGES {
            return Arrival::Ignored;
        }
        if let (Some(next), Some(_)) = (begins_after, after) {
            self.ranges.remove(&next);
        }
        let first = joins.map_or(batch, |(first, _)| first);
        self.ranges.insert(first, after.unwrap_or(batch));
        Arrival::New
    }

    /// Lists the rows of a batch, at most `most` of the attempt and within the bytes of the attempt
    /// and of the run.
    pub(super) fn list(
        &mut self,
        batch: u32,
        mut rows: Vec<Difference>,
        most: usize,
        run_bytes: &mut usize,
    ) {
        rows.truncate(most.saturating_sub(self.listed));
        let mut kept = 0;
        for row in &rows {
            let bytes = memory(row);
            if self.too_large > 0 || bytes > *run_bytes || self.bytes + bytes > ATTEMPT_BYTES {
                break;
            }
            self.bytes += bytes;
            *run_bytes -= bytes;
            kept += 1;
        }
        self.too_large += rows.len() - kept;
        rows.truncate(kept);
        self.listed += kept;
        if !rows.is_empty() {
            rows.shrink_to_fit();
            rows.iter_mut().for_each(compact);
            self.rows.insert(batch, rows);
        }
    }

    /// How many batches there are.
    pub(super) fn batches(&self) -> u64 {
        let length = |(&first, &last): (&u32, &u32)| u64::from(last - first) + 1;
        self.ranges.iter().map(length).sum()
    }

    /// Whether the batches are exactly the numbers 0 to `count - 1`.
    pub(super) fn is_complete(&self, count: u32) -> bool {
        match count.checked_sub(1) {
            None => self.ranges.is_empty(),
            Some(last) => self.ranges.len() == 1 && self.ranges.get(&0) == Some(&last),
        }
    }

    /// The listed rows in the order of their batches, and a note if rows were not listed because of
    /// their size.
    pub(super) fn into_rows(self) -> (Vec<Difference>, Option<String>) {
        let note = (self.too_large > 0).then(|| {
            format!(
                "{} differing rows are not listed: the listed rows of a table may take {} MiB of memory, and those of a run {} MiB",
                self.too_large,
                ATTEMPT_BYTES >> 20,
                RUN_BYTES >> 20
            )
        });
        (self.rows.into_values().flatten().collect(), note)
    }
}

/// Frees the spare capacity of a decoded row, which is more than its content.
fn compact(row: &mut Difference) {
    row.columns.shrink_to_fit();
    let mut key = serde_json::Map::with_capacity(row.key.len());
    key.extend(std::mem::take(&mut row.key));
    row.key = key;
}

/// About the bytes of memory that a row takes.
fn memory(row: &Difference) -> usize {
    use serde_json::Value as Json;
    fn of(value: &Json) -> usize {
        match value {
            Json::String(text) => text.len(),
            Json::Array(values) => values.iter().map(|value| COLUMN_BYTES + of(value)).sum(),
            Json::Object(fields) => fields
                .iter()
                .map(|(name, value)| COLUMN_BYTES + name.len() + of(value))
                .sum(),
            Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        }
    }
    let columns = row.columns.iter();
    let columns = columns
        .map(|column| COLUMN_BYTES + column.name.len() + of(&column.source) + of(&column.target));
    let key = row.key.iter();
    let key = key.map(|(name, value)| COLUMN_BYTES + name.len() + of(value));
    size_of::<Difference>() + columns.sum::<usize>() + key.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use shared::outcome::DifferenceKind;

    use super::*;

    fn row(bytes: usize) -> Difference {
        Difference {
            kind: DifferenceKind::Missing,
            key: serde_json::Map::from_iter([("id".to_owned(), "x".repeat(bytes).into())]),
            columns: Vec::new(),
        }
    }

    proptest! {
        #[test]
        fn batches_are_complete_exactly_if_each_has_arrived(
            mut arrivals in proptest::collection::vec(0_u32..12, 0..40),
            count in 0_u32..12,
            largest in any::<bool>(),
        ) {
            if largest {
                arrivals.push(u32::MAX);
            }
            let mut received = Received::default();
            let mut known = BTreeSet::new();
            for batch in arrivals {
                let expected = if known.insert(batch) { Arrival::New } else { Arrival::Ignored };
                prop_assert_eq!(received.record(batch), expected);
            }
            prop_assert_eq!(received.batches(), known.len() as u64);
            let all: BTreeSet<u32> = (0..count).collect();
            prop_assert_eq!(received.is_complete(count), known == all);
        }
    }

    #[test]
    fn gaps_without_end_are_not_kept() {
        let mut received = Received::default();
        let kept = (0..100_000_u32)
            .filter(|number| received.record(number * 2) == Arrival::New)
            .count();
        assert_eq!(kept, MOST_RANGES);
        assert_eq!(received.record(1), Arrival::New, "it closes a gap");
    }

    #[test]
    fn rows_are_listed_up_to_a_number_and_a_size() {
        let mut run_bytes = RUN_BYTES;
        let mut received = Received::default();
        received.list(0, vec![row(10); 5], 3, &mut run_bytes);
        assert_eq!(received.into_rows(), (vec![row(10); 3], None));

        let mut received = Received::default();
        for batch in 0..100 {
            received.list(batch, vec![row(1 << 20)], usize::MAX, &mut run_bytes);
        }
        let (rows, note) = received.into_rows();
        assert_eq!(rows.len(), 31);
        assert!(note.unwrap().starts_with("69 differing rows"));

        run_bytes = 2_000;
        let mut received = Received::default();
        received.list(0, vec![row(1_000); 5], usize::MAX, &mut run_bytes);
        assert_eq!(received.into_rows().0.len(), 1);
    }
}
