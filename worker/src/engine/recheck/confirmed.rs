//! The differences that remained at the last observation, and the check that
//! they are all of them and no more.

use shared::failure::{Failure, FailureKind};
use std::sync::Arc;

use shared::outcome::RowCounts;
use tokio_util::sync::CancellationToken;

use crate::engine::error::disk;
use crate::engine::recheck::history::KeyHistory;
use crate::engine::rows::difference::RowDifference;
use crate::engine::rows::differing::Differing;
use crate::engine::rows::version::SeenRow;
use crate::engine::task::Stop;
use crate::engine::tolerate::nearness::Nearness;
use crate::engine::values::pair::Pair;

/// Confirmed differences, and the account that they must agree with.
#[derive(Debug)]
pub(crate) struct Confirmed {
    differing: Differing,
    nearness: Arc<Nearness>,
    stop: CancellationToken,
    account: Account,
}

/// What follows from the rows of both sides for the differences between them,
/// without comparing the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Account {
    /// Rows of the source less those of the target.
    surplus: i128,
    /// The sum of the source's hashes less that of the target's, modulo 2^128.
    sum: u128,
    /// Differences there must be at least.
    least: u64,
    /// Differences there can be at most.
    most: u64,
}

impl Account {
    /// A key that has not changed has the differences that the survey found. One
    /// that has changed has at least one, and at most as many as the larger side
    /// has rows.
    fn take(&mut self, history: &KeyHistory) {
        let Pair { source, target } = history.last();
        let (left, right) = (source.count(), target.count());
        self.surplus += i128::from(left) - i128::from(right);
        self.sum = self
            .sum
            .wrapping_add(source.sum())
            .wrapping_sub(target.sum());
        let (least, most) = if history.has_changed() {
            (1, left.max(right))
        } else {
            (history.differences(), history.differences())
        };
        self.least += least;
        self.most += most;
    }

    /// Whether differences with these counts and, where only equal rows are
    /// paired, with this sum can be those of the rows.
    fn admits(&self, counts: &RowCounts, sum: Option<u128>) -> bool {
        self.surplus == i128::from(counts.missing) - i128::from(counts.extra)
            && sum.is_none_or(|sum| sum == self.sum)
            && (self.least..=self.most).contains(&counts.total())
    }
}

impl Confirmed {
    /// Confirmed differences are added to `differing`, which is empty.
    pub(crate) fn new(
        differing: Differing,
        nearness: Arc<Nearness>,
        stop: &CancellationToken,
    ) -> Self {
        Self {
            differing,
            nearness,
            stop: stop.clone(),
            account: Account::default(),
        }
    }

    /// Takes in a key that still differs, as it was at the last observation.
    pub(crate) fn take(&mut self, key: u128, history: &KeyHistory) -> Result<(), Stop> {
        self.account.take(history);
        let Pair { source, target } = history.last();
        let (source, target) = self.nearness.differing(source, target, &self.stop)?;
        let each = |rows: Vec<SeenRow>| {
            rows.into_iter()
                .flat_map(|row| (0..row.copies).map(move |_| row.hash))
        };
        let (mut source, mut target) = (each(source), each(target));
        loop {
            let (source, target) = (source.next(), target.next());
            if source.is_none() && target.is_none() {
                return Ok(());
            }
            let difference = RowDifference {
                key,
                source,
                target,
            };
            self.differing.push(difference).map_err(disk)?;
        }
    }

    /// All that was confirmed.
    pub(crate) fn finish(self) -> Result<Differing, Stop> {
        let counts = self.differing.counts();
        let sum = self.nearness.is_exact().then(|| self.differing.sum());
        if self.account.admits(&counts, sum) {
            return Ok(self.differing);
        }
        Err(Failure::new(
            FailureKind::InternalError,
            format!(
                "the differences confirmed ({} missing, {} extra, {} modified) do not account for the rows that were rechecked; the result is withheld, please report this",
                counts.missing, counts.extra, counts.modified
            ),
        )
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rows::version::Version;
    use proptest::prelude::*;

    fn versions() -> impl Strategy<Value = (Version, Version)> {
        let version = || {
            proptest::collection::vec(1_u128..5, 0..5).prop_map(|rows| {
                let rows = rows.into_iter().map(SeenRow::hashed);
                Version::from(rows.collect::<Vec<_>>())
            })
        };
        (version(), version())
    }

    fn confirmed() -> Confirmed {
        Confirmed::new(
            Differing::first(10),
            Arc::default(),
            &CancellationToken::new(),
        )
    }

    /// A key as the survey found it, after these observations, unless it has settled.
    fn history(
        surveyed: &(Version, Version),
        observations: &[(Version, Version)],
    ) -> Option<KeyHistory> {
        let (left, right) = surveyed.0.subtract(&surveyed.1);
        let (left, right) = (Version::from(left), Version::from(right));
        let differences = left.count().max(right.count());
        let surveyed = Pair {
            source: left,
            target: right,
        };
        let mut history = KeyHistory::in_part(differences, surveyed);
        let (nearness, stop) = (Nearness::default(), CancellationToken::new());
        for (source, target) in observations {
            let (source, target) = (source.clone(), target.clone());
            if history.observe(source, target, &nearness, &stop).unwrap() {
                return None;
            }
        }
        Some(history)
    }

    proptest! {
        #[test]
        fn what_is_confirmed_accounts_for_the_rows(keys in proptest::collection::vec((versions(), proptest::collection::vec(versions(), 1..4), any::<bool>()), 1..6)) {
            let mut confirmed = confirmed();
            for (key, (surveyed, observations, at_rest)) in (0..).zip(&keys) {
                let still = [surveyed.clone(), surveyed.clone()];
                if let Some(history) = history(surveyed, if *at_rest { &still } else { observations }) {
                    confirmed.take(key, &history).unwrap();
                }
            }
            prop_assert!(confirmed.finish().is_ok());
        }

        #[test]
        fn a_difference_too_few_or_too_many_is_withheld(surveyed in versions(), twice in any::<bool>()) {
            let Some(history) = history(&surveyed, std::slice::from_ref(&surveyed)) else {
                return Ok(());
            };
            let mut confirmed = confirmed();
            confirmed.take(1, &history).unwrap();
            if twice {
                let extra = confirmed.differing.listed()[0];
                confirmed.differing.push(extra).unwrap();
            } else {
                confirmed.differing = Differing::first(10);
            }
            prop_assert!(matches!(confirmed.finish(), Err(Stop::Failed(failure)) if failure.kind == FailureKind::InternalError));
        }
    }
}
