//! Whether a row that differed is still different or only on its way: the
//! decision, from what has been seen of it at several looks.

use tokio_util::sync::CancellationToken;

use crate::engine::rows::version::{Version, next};
use crate::engine::task::Stop;
use crate::engine::tolerate::nearness::Nearness;

/// The most versions of a source's row that are remembered.
const HISTORY: usize = 200;

/// The most rows in all remembered versions together; the two latest ones are
/// remembered whatever their size.
const HISTORY_ROWS: usize = 4096;

/// What has been seen of the rows of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watched {
    /// Differences that the survey found under the key.
    differences: u64,
    /// What only the source and only the target had at the survey, until the
    /// first look at a key that several rows may have.
    surveyed: Option<(Version, Version)>,
    /// What the source has been, the latest at the end.
    history: Vec<Version>,
    /// What the target was at the last look.
    target: Version,
    /// Something changed between two looks, of which the survey is the first.
    moved: bool,
}

impl Watched {
    /// A key that at most one row of each side has, as the survey found it.
    pub(crate) fn whole(source: Version, target: Version) -> Self {
        Self {
            differences: 1,
            surveyed: None,
            history: vec![source],
            target,
            moved: false,
        }
    }

    /// A key that several rows may have, under which the survey found so many
    /// differences, with these rows; what both sides have is not among them.
    pub(crate) fn in_part(differences: u64, source: Version, target: Version) -> Self {
        Self {
            differences,
            surveyed: Some((source, target)),
            history: Vec::new(),
            target: Version::default(),
            moved: false,
        }
    }

    /// Differences that the survey found under the key.
    pub(crate) fn differences(&self) -> u64 {
        self.differences
    }

    /// Looks at the key and tells whether it has settled: the target is what
    /// the source is, or what the source was at an earlier look, which is how a
    /// copy that lags behind looks. With tolerances near is enough.
    pub(crate) fn look(
        &mut self,
        source: Version,
        target: Version,
        nearness: &Nearness,
        stop: &CancellationToken,
    ) -> Result<bool, Stop> {
        if nearness.is_copy(&source, &target, stop)? {
            return Ok(true);
        }
        for past in &self.history {
            if nearness.is_copy(past, &target, stop)? {
                return Ok(true);
            }
        }
        self.moved |= match self.surveyed.take() {
            Some(surveyed) => {
                let (left, right) = nearness.differing(&source, &target, stop)?;
                surveyed != (left.into(), right.into())
            }
            None => self.target != target || self.history.last() != Some(&source),
        };
        // Of the same version more may be known now than the survey knew.
        self.history.pop_if(|last| *last == source);
        self.forget();
        self.history.push(source);
        self.target = target;
        Ok(false)
    }

    /// Makes room in the history for one more version.
    fn forget(&mut self) {
        let mut rows: usize = self.history.iter().map(Version::distinct).sum();
        let mut forgotten = 0;
        let older = self.history.len().saturating_sub(1);
        for past in &self.history[..older] {
            if rows <= HISTORY_ROWS && self.history.len() - forgotten < HISTORY {
                break;
            }
            rows -= past.distinct();
            forgotten += 1;
        }
        self.history.drain(..forgotten);
    }

    /// Whether it may be that the rows change all the time.
    pub(crate) fn moves(&self) -> bool {
        self.moved
    }

    /// Source and target at the last look.
    pub(crate) fn last(&self) -> (&Version, &Version) {
        // Before the first look nothing is known of a key that several rows may have.
        (self.history.last().unwrap_or(&self.target), &self.target)
    }

    /// Writes what is known behind what is in `bytes`.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.differences.to_le_bytes());
        bytes.push(self.moved.into());
        bytes.push(self.surveyed.is_some().into());
        if let Some((source, target)) = &self.surveyed {
            source.write(bytes);
            target.write(bytes);
        }
        bytes.extend_from_slice(&(self.history.len() as u64).to_le_bytes());
        self.history.iter().for_each(|past| past.write(bytes));
        self.target.write(bytes);
    }

    /// Reads what [`Watched::write`] wrote.
    pub(crate) fn read(bytes: &mut &[u8]) -> Self {
        let differences = u64::from_le_bytes(next(bytes));
        let [moved, surveyed] = next(bytes).map(|flag: u8| flag != 0);
        let surveyed = surveyed.then(|| (Version::read(bytes), Version::read(bytes)));
        let history = u64::from_le_bytes(next(bytes));
        Self {
            differences,
            surveyed,
            history: (0..history).map(|_| Version::read(bytes)).collect(),
            target: Version::read(bytes),
            moved,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rows::version::SeenRow;
    use proptest::prelude::*;

    fn look(watched: &mut Watched, source: Version, target: Version) -> bool {
        let stop = CancellationToken::new();
        watched
            .look(source, target, &Nearness::default(), &stop)
            .unwrap()
    }

    fn versions(rows: &[u128]) -> Version {
        let rows = rows.iter().map(|row| SeenRow::hashed(*row));
        Version::from(rows.collect::<Vec<_>>())
    }

    /// What the source is at each moment: nothing (0) or a version.
    fn timeline() -> impl Strategy<Value = Vec<u128>> {
        // Some rows never change, some all the time.
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

    /// What the survey knows of a key: all, or what the sides do not share.
    fn surveyed(known: bool, source: Version, target: Version) -> Watched {
        if known {
            Watched::whole(source, target)
        } else {
            let (left, right) = source.subtract(&target);
            Watched::in_part(1, left.into(), right.into())
        }
    }

    proptest! {
        /// A copy that is always what the source was `lag` moments ago: looks at
        /// every moment settle it once the lag has passed since the survey.
        #[test]
        fn a_lagging_copy_settles(source in timeline(), lag in 0_usize..60, start in 60_usize..80) {
            let target = |at: usize| version(source[at - lag]);
            let mut watched = Watched::whole(version(source[start]), target(start));
            let settled = (start + 1..=start + lag + 1).any(|at| look(&mut watched, version(source[at]), target(at)));
            prop_assert!(settled || version(source[start]) == target(start));
        }

        /// The same with looks so rare that versions are missed: then it may go
        /// on to differ, but it is seen to move, and not confirmed without a
        /// chase. Also after one look, and where several rows may have the key.
        #[test]
        fn a_lagging_copy_is_never_confirmed_at_rest(source in timeline(), lag in 1_usize..30, gap in 31_usize..40, known in any::<bool>(), looks in 1_usize..4) {
            let target = |at: usize| version(source[at - lag]);
            let start = 60;
            let mut watched = surveyed(known, version(source[start]), target(start));
            let settled = (1..=looks).any(|number| {
                let at = start + number * gap;
                look(&mut watched, version(source[at]), target(at))
            });
            prop_assert!(settled || watched.moves(), "{:?}", watched);
        }

        /// A target that has a version of its own is found however the source moves.
        #[test]
        fn a_broken_row_never_settles(source in timeline(), known in any::<bool>()) {
            let broken = versions(&[u128::MAX]);
            let mut watched = surveyed(known, version(source[0]), broken.clone());
            for at in &source[1..] {
                prop_assert!(!look(&mut watched, version(*at), broken.clone()));
            }
            prop_assert_eq!(watched.last(), (&version(source[199]), &broken));
        }

        /// What never changes and differs is confirmed without a chase.
        #[test]
        fn what_does_not_move_is_confirmed_at_once(source in proptest::collection::vec(1_u128..9, 1..4), target in 10_u128..19, shared in proptest::collection::vec(20_u128..29, 0..4), looks in 1_usize..5) {
            let (source, target) = (versions(&[&source[..], &shared].concat()), versions(&[&[target][..], &shared].concat()));
            let mut watched = surveyed(false, source.clone(), target.clone());
            for _ in 0..looks {
                prop_assert!(!look(&mut watched, source.clone(), target.clone()));
            }
            prop_assert!(!watched.moves());
        }

        #[test]
        fn what_is_written_is_read(source in timeline(), known in any::<bool>(), looks in 0_usize..4) {
            let mut watched = surveyed(known, version(source[0]), version(1));
            for at in &source[..looks] {
                look(&mut watched, version(*at), versions(&[1, 2]));
            }
            let mut bytes = Vec::new();
            watched.write(&mut bytes);
            let mut rest = &*bytes;
            prop_assert_eq!(Watched::read(&mut rest), watched);
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn the_history_has_an_end_and_never_lacks_the_latest() {
        let mut watched = Watched::whole(version(1), Version::default());
        for at in 0..3 * HISTORY as u128 {
            look(&mut watched, version(5 * at + 1), version(2));
        }
        assert_eq!(watched.history.len(), HISTORY);
        let many: Vec<u128> = (0..2 * HISTORY_ROWS as u128).collect();
        for at in 0..3 {
            let source = versions(&many[at..]);
            look(&mut watched, source.clone(), version(2));
            assert_eq!(watched.last().0, &source);
            assert!(at == 0 || watched.history.len() == 2);
        }
    }
}
