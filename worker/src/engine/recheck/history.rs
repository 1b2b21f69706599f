//! Decides whether the rows of a key differ, or whether the target only lags behind the
//! source. The decision compares what several observations have read.

use tokio_util::sync::CancellationToken;

use crate::engine::rows::version::{Version, next};
use crate::engine::task::Stop;
use crate::engine::tolerate::nearness::Nearness;
use crate::engine::values::pair::Pair;

/// The most versions of a source's rows that are remembered.
const MOST_VERSIONS: usize = 200;

/// The most rows in all remembered versions together. The two latest versions
/// are remembered whatever their size.
const MOST_ROWS: usize = 4096;

/// What has been seen of the rows of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyHistory {
    /// Differences that the survey found under the key.
    differences: u64,
    /// The rows of the differences that the survey found. Present only before the first
    /// observation of a key that several rows may have.
    surveyed: Option<Pair<Version>>,
    /// The versions of the source, the latest at the end.
    past: Vec<Version>,
    /// The version of the target at the last observation.
    target: Version,
    /// Whether the rows changed between two observations. The survey is the first
    /// observation.
    changed: bool,
}

impl KeyHistory {
    /// The history of a key that at most one row of each side has. `surveyed` has all
    /// rows that the survey found with this key.
    pub(crate) fn whole(surveyed: Pair<Version>) -> Self {
        Self {
            differences: 1,
            surveyed: None,
            past: vec![surveyed.source],
            target: surveyed.target,
            changed: false,
        }
    }

    /// The history of a key that several rows may have. The survey found this number of
    /// `differences`. `surveyed` has the rows of these differences, and no row that both
    /// sides have.
    pub(crate) fn in_part(differences: u64, surveyed: Pair<Version>) -> Self {
        Self {
            differences,
            surveyed: Some(surveyed),
            past: Vec::new(),
            target: Version::default(),
            changed: false,
        }
    }

    pub(crate) fn differences(&self) -> u64 {
        self.differences
    }

    /// Compares what both sides have now, and returns whether the key has settled. It has
    /// if the target equals the source, or an earlier version of the source: then the
    /// target only lags behind. Values within the tolerance of their column are equal.
    /// If the key has not settled, the new versions are recorded.
    pub(crate) fn observe(
        &mut self,
        source: Version,
        target: Version,
        nearness: &Nearness,
        stop: &CancellationToken,
    ) -> Result<bool, Stop> {
        for version in std::iter::once(&source).chain(&self.past) {
            if nearness.is_copy(version, &target, stop)? {
                return Ok(true);
            }
        }
        self.changed |= match self.surveyed.take() {
            Some(surveyed) => {
                let (left, right) = nearness.differing(&source, &target, stop)?;
                (surveyed.source, surveyed.target) != (left.into(), right.into())
            }
            None => self.target != target || self.past.last() != Some(&source),
        };
        // An equal version is replaced: the survey's version contains only hashes, and the
        // new one may contain the values that a comparison under tolerances needs.
        self.past.pop_if(|last| *last == source);
        self.forget();
        self.past.push(source);
        self.target = target;
        Ok(false)
    }

    /// Drops the oldest versions, so that one more can be added.
    fn forget(&mut self) {
        let mut rows: usize = self.past.iter().map(Version::distinct).sum();
        let mut forgotten = 0;
        let older = self.past.len().saturating_sub(1);
        for version in &self.past[..older] {
            if rows <= MOST_ROWS && self.past.len() - forgotten < MOST_VERSIONS {
                break;
            }
            rows -= version.distinct();
            forgotten += 1;
        }
        self.past.drain(..forgotten);
    }

    /// Whether the rows changed between two observations. If so, they may change all the
    /// time, and the key must be polled.
    pub(crate) fn has_changed(&self) -> bool {
        self.changed
    }

    /// Source and target at the last observation.
    pub(crate) fn last(&self) -> Pair<&Version> {
        Pair {
            // If several rows may have the key, `past` is empty before the first observation.
            // The target's version is empty then, too.
            source: self.past.last().unwrap_or(&self.target),
            target: &self.target,
        }
    }

    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.differences.to_le_bytes());
        bytes.push(self.changed.into());
        bytes.push(self.surveyed.is_some().into());
        if let Some(Pair { source, target }) = &self.surveyed {
            source.write(bytes);
            target.write(bytes);
        }
        bytes.extend_from_slice(&(self.past.len() as u64).to_le_bytes());
        self.past.iter().for_each(|version| version.write(bytes));
        self.target.write(bytes);
    }

    pub(crate) fn read(bytes: &mut &[u8]) -> Self {
        let differences = u64::from_le_bytes(next(bytes));
        let [changed, surveyed] = next(bytes).map(|flag: u8| flag != 0);
        let surveyed = surveyed.then(|| Pair::of(|_| Version::read(bytes)));
        let past = u64::from_le_bytes(next(bytes));
        Self {
            differences,
            surveyed,
            past: (0..past).map(|_| Version::read(bytes)).collect(),
            target: Version::read(bytes),
            changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rows::version::SeenRow;
    use proptest::prelude::*;

    fn observe(history: &mut KeyHistory, source: Version, target: Version) -> bool {
        let stop = CancellationToken::new();
        history
            .observe(source, target, &Nearness::default(), &stop)
            .unwrap()
    }

    fn versions(rows: &[u128]) -> Version {
        let rows = rows.iter().map(|row| SeenRow::hashed(*row));
        Version::from(rows.collect::<Vec<_>>())
    }

    /// The version of the source at each of 200 moments, as a number for [`version`].
    fn timeline() -> impl Strategy<Value = Vec<u128>> {
        // The version changes after a fixed number of moments, from 1 to 11.
        (1_usize..12).prop_flat_map(|pace| {
            proptest::collection::vec(0_u128..1_000_000, 200 / pace + 1).prop_map(move |versions| {
                versions
                    .iter()
                    .flat_map(|version| vec![*version; pace])
                    .take(200)
                    .collect()
            })
        })
    }

    fn version(of: u128) -> Version {
        versions(if of.is_multiple_of(5) {
            &[]
        } else {
            std::slice::from_ref(&of)
        })
    }

    /// The history of a key after the survey. If `known`, the survey has read all rows of
    /// the key. Otherwise it has read only the rows that one side has and the other lacks.
    fn surveyed(known: bool, source: Version, target: Version) -> KeyHistory {
        if known {
            KeyHistory::whole(Pair { source, target })
        } else {
            let (left, right) = source.subtract(&target);
            KeyHistory::in_part(
                1,
                Pair {
                    source: left.into(),
                    target: right.into(),
                },
            )
        }
    }

    proptest! {
        /// The target always equals the source `lag` moments earlier. If it is observed at
        /// every moment, it settles at most `lag` + 1 moments after the survey.
        #[test]
        fn a_lagging_copy_settles(source in timeline(), lag in 0_usize..60, start in 60_usize..80) {
            let target = |at: usize| version(source[at - lag]);
            let mut history = KeyHistory::whole(Pair { source: version(source[start]), target: target(start) });
            let settled = (start + 1..=start + lag + 1).any(|at| observe(&mut history, version(source[at]), target(at)));
            prop_assert!(settled || version(source[start]) == target(start));
        }

        /// The target lags as above, but observations are so rare that they miss versions.
        /// The key may then not settle. But its rows have changed, so it is polled before it
        /// is confirmed. One observation is enough for this, and several rows may have the
        /// key.
        #[test]
        fn a_lagging_copy_is_never_confirmed_at_rest(source in timeline(), lag in 1_usize..30, gap in 31_usize..40, known in any::<bool>(), observations in 1_usize..4) {
            let target = |at: usize| version(source[at - lag]);
            let start = 60;
            let mut history = surveyed(known, version(source[start]), target(start));
            let settled = (1..=observations).any(|number| {
                let at = start + number * gap;
                observe(&mut history, version(source[at]), target(at))
            });
            prop_assert!(settled || history.has_changed(), "{:?}", history);
        }

        /// If the target has a row that the source never had, the key does not settle, however
        /// the source changes.
        #[test]
        fn a_broken_row_never_settles(source in timeline(), known in any::<bool>()) {
            let broken = versions(&[u128::MAX]);
            let mut history = surveyed(known, version(source[0]), broken.clone());
            for at in &source[1..] {
                prop_assert!(!observe(&mut history, version(*at), broken.clone()));
            }
            prop_assert_eq!(history.last(), Pair { source: &version(source[199]), target: &broken });
        }

        /// Rows that differ and never change are confirmed without polls.
        #[test]
        fn what_does_not_change_is_confirmed_at_once(source in proptest::collection::vec(1_u128..9, 1..4), target in 10_u128..19, shared in proptest::collection::vec(20_u128..29, 0..4), observations in 1_usize..5) {
            let (source, target) = (versions(&[&source[..], &shared].concat()), versions(&[&[target][..], &shared].concat()));
            let mut history = surveyed(false, source.clone(), target.clone());
            for _ in 0..observations {
                prop_assert!(!observe(&mut history, source.clone(), target.clone()));
            }
            prop_assert!(!history.has_changed());
        }

        #[test]
        fn what_is_written_is_read(source in timeline(), known in any::<bool>(), observations in 0_usize..4) {
            let mut history = surveyed(known, version(source[0]), version(1));
            for at in &source[..observations] {
                observe(&mut history, version(*at), versions(&[1, 2]));
            }
            let mut bytes = Vec::new();
            history.write(&mut bytes);
            let mut rest = &*bytes;
            prop_assert_eq!(KeyHistory::read(&mut rest), history);
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn the_history_has_an_end_and_never_lacks_the_latest() {
        let mut history = KeyHistory::whole(Pair {
            source: version(1),
            target: Version::default(),
        });
        for at in 0..3 * MOST_VERSIONS as u128 {
            observe(&mut history, version(5 * at + 1), version(2));
        }
        assert_eq!(history.past.len(), MOST_VERSIONS);
        let many: Vec<u128> = (0..2 * MOST_ROWS as u128).collect();
        for at in 0..3 {
            let source = versions(&many[at..]);
            observe(&mut history, source.clone(), version(2));
            assert_eq!(history.last().source, &source);
            assert!(at == 0 || history.past.len() == 2);
        }
    }
}
