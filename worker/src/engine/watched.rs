//! Whether a row that differed is still different or only on its way: the
//! decision, from what has been seen of it at several looks.

use super::sinks::KeyMap;

/// The most versions of a source's row that are remembered.
const HISTORY: usize = 200;

/// The rows that one side has under one key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Version {
    /// None.
    #[default]
    Absent,
    /// One, with this hash.
    One(u128),
    /// Several, with these hashes: in their order once [`Version::sort`] was called.
    Many(Vec<u128>),
}

impl Version {
    /// Takes one more row in.
    pub(super) fn add(&mut self, row: u128) {
        match self {
            Self::Absent => *self = Self::One(row),
            Self::One(first) => *self = Self::Many(vec![*first, row]),
            Self::Many(rows) => rows.push(row),
        }
    }

    /// Makes it equal to every version with the same rows.
    pub(super) fn sort(&mut self) {
        if let Self::Many(rows) = self {
            rows.sort_unstable();
        }
    }

    /// The hashes of the rows.
    pub(super) fn rows(&self) -> &[u128] {
        match self {
            Self::Absent => &[],
            Self::One(row) => std::slice::from_ref(row),
            Self::Many(rows) => rows,
        }
    }
}

/// Versions of one side, by key; what is absent is not in it.
pub(super) type Versions = KeyMap<Version>;

/// What has been seen of the rows of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watched {
    /// Differences that the survey found under the key.
    pub(super) differences: u32,
    /// What the source has been, the latest at the end.
    history: Vec<Version>,
    /// What the target was at the last look.
    target: Version,
    /// Something changed between two looks, or it is not known what was before.
    moved: bool,
    /// Whether there was a look before.
    seen: bool,
}

impl Watched {
    /// A key with so many differences, of which nothing else is known.
    pub(super) fn unknown(differences: u32) -> Self {
        Self {
            differences,
            history: Vec::new(),
            target: Version::Absent,
            moved: true,
            seen: false,
        }
    }

    /// A key that at most one row of each side has, as the survey found it.
    pub(super) fn surveyed(source: Version, target: Version) -> Self {
        Self {
            differences: 1,
            history: vec![source],
            target,
            moved: false,
            seen: true,
        }
    }

    /// Looks at the key and tells whether it has settled: the target is what
    /// the source is, or what the source was at an earlier look, which is how a
    /// copy that lags behind looks.
    pub(super) fn look(&mut self, source: Version, target: Version) -> bool {
        if source == target || self.history.contains(&target) {
            return true;
        }
        let changed = self.target != target || self.history.last() != Some(&source);
        self.moved |= self.seen && changed;
        self.seen = true;
        if self.history.last() != Some(&source) {
            if self.history.len() == HISTORY {
                self.history.remove(0);
            }
            self.history.push(source);
        }
        self.target = target;
        false
    }

    /// Whether it may be that the rows change all the time.
    pub(super) fn moves(&self) -> bool {
        self.moved
    }

    /// Source and target at the last look.
    pub(super) fn last(&self) -> (&Version, &Version) {
        (
            self.history.last().unwrap_or(&Version::Absent),
            &self.target,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_do_not_depend_on_the_order_of_rows() {
        let version = |rows: &[u128]| {
            let mut version = Version::Absent;
            rows.iter().for_each(|row| version.add(*row));
            version.sort();
            version
        };
        assert_eq!(version(&[3, 1, 2, 1]), version(&[1, 1, 2, 3]));
        assert_ne!(version(&[1, 1]), version(&[1]));
        assert_eq!(version(&[2, 1]).rows(), [1, 2]);
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
        if of.is_multiple_of(5) {
            Version::Absent
        } else {
            Version::One(of)
        }
    }

    proptest! {
        /// A copy that is always what the source was `lag` moments ago: looks at
        /// every moment settle it once the lag has passed since the survey.
        #[test]
        fn a_lagging_copy_settles(source in timeline(), lag in 0_usize..60, start in 60_usize..80) {
            let target = |at: usize| version(source[at - lag]);
            let mut watched = Watched::surveyed(version(source[start]), target(start));
            let settled = (start + 1..=start + lag + 1).any(|at| watched.look(version(source[at]), target(at)));
            prop_assert!(settled || version(source[start]) == target(start));
        }

        /// The same with looks so rare that versions are missed: then it may go
        /// on to differ, but it is seen to move, and not confirmed without a chase.
        #[test]
        fn a_lagging_copy_is_never_confirmed_at_rest(source in timeline(), lag in 1_usize..30, gap in 31_usize..40) {
            let target = |at: usize| version(source[at - lag]);
            let start = 60;
            let mut watched = Watched::surveyed(version(source[start]), target(start));
            let settled = (1..4).any(|look| {
                let at = start + look * gap;
                watched.look(version(source[at]), target(at))
            });
            prop_assert!(settled || watched.moves(), "{:?}", watched);
        }

        /// A target that has a version of its own is found however the source moves.
        #[test]
        fn a_broken_row_never_settles(source in timeline(), known in any::<bool>()) {
            let broken = Version::One(u128::MAX);
            let mut watched = if known {
                Watched::surveyed(version(source[0]), broken.clone())
            } else {
                Watched::unknown(1)
            };
            for at in &source[1..] {
                prop_assert!(!watched.look(version(*at), broken.clone()));
            }
            prop_assert_eq!(watched.last(), (&version(source[199]), &broken));
        }

        /// What never changes and differs is confirmed without a chase, where the survey saw it whole.
        #[test]
        fn what_does_not_move_is_confirmed_at_once(source in 1_u128..9, target in 10_u128..19, looks in 1_usize..5) {
            let (source, target) = (Version::One(source), Version::One(target));
            let mut watched = Watched::surveyed(source.clone(), target.clone());
            for _ in 0..looks {
                prop_assert!(!watched.look(source.clone(), target.clone()));
            }
            prop_assert!(!watched.moves());
        }
    }
}
