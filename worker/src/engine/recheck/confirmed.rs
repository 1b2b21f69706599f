//! The differences that were still there at the last look, and whether they
//! can be all of them and no more.

use std::sync::Arc;

use shared::outcome::RowCounts;
use tokio_util::sync::CancellationToken;

use crate::engine::error::{disk, internal};
use crate::engine::recheck::watched::Watched;
use crate::engine::rows::difference::RowDifference;
use crate::engine::rows::differing::Differing;
use crate::engine::rows::version::SeenRow;
use crate::engine::task::Stop;
use crate::engine::tolerate::nearness::Nearness;

/// Confirmed differences, and what they must come to.
#[derive(Debug)]
pub(crate) struct Confirmed {
    differing: Differing,
    nearness: Arc<Nearness>,
    stop: CancellationToken,
    account: Account,
}

/// What the rows of both sides say of the differences between them, without
/// looking for these.
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
    /// What does not move has the differences that the survey found. What
    /// moves has one at least, and not more than the larger side has rows.
    fn take(&mut self, watched: &Watched) {
        let (source, target) = watched.last();
        let (left, right) = (source.count(), target.count());
        self.surplus += i128::from(left) - i128::from(right);
        self.sum = self
            .sum
            .wrapping_add(source.sum())
            .wrapping_sub(target.sum());
        let (least, most) = if watched.moves() {
            (1, left.max(right))
        } else {
            (watched.differences(), watched.differences())
        };
        self.least += least;
        self.most += most;
    }

    /// Whether differences that come to these counts and, where only equal rows
    /// go together, to this sum can be those of the rows.
    fn admits(&self, counts: &RowCounts, sum: Option<u128>) -> bool {
        self.surplus == i128::from(counts.missing) - i128::from(counts.extra)
            && sum.is_none_or(|sum| sum == self.sum)
            && (self.least..=self.most).contains(&counts.total())
    }
}

impl Confirmed {
    /// Nothing confirmed yet; what is goes into `differing`, which is empty.
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

    /// Takes a key in that still differs, as it was at the last look.
    pub(crate) fn take(&mut self, key: u128, watched: &Watched) -> Result<(), Stop> {
        self.account.take(watched);
        let (source, target) = watched.last();
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
    ///
    /// # Errors
    ///
    /// When it does not account for the rows that were looked at.
    pub(crate) fn finish(self) -> Result<Differing, Stop> {
        let counts = self.differing.counts();
        let sum = self.nearness.is_exact().then(|| self.differing.sum());
        if self.account.admits(&counts, sum) {
            return Ok(self.differing);
        }
        Err(Stop::Failed(internal(
            "InternalError",
            format!(
                "the differences confirmed ({} missing, {} extra, {} modified) do not account for the rows that were looked at again; the result is withheld, please report this",
                counts.missing, counts.extra, counts.modified
            ),
        )))
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

    /// A key as the survey found it, after these looks, unless it has settled.
    fn watched(surveyed: &(Version, Version), looks: &[(Version, Version)]) -> Option<Watched> {
        let (left, right) = surveyed.0.subtract(&surveyed.1);
        let (left, right) = (Version::from(left), Version::from(right));
        let differences = left.count().max(right.count());
        let mut watched = Watched::in_part(differences, left, right);
        let (nearness, stop) = (Nearness::default(), CancellationToken::new());
        for (source, target) in looks {
            let (source, target) = (source.clone(), target.clone());
            if watched.look(source, target, &nearness, &stop).unwrap() {
                return None;
            }
        }
        Some(watched)
    }

    proptest! {
        #[test]
        fn what_is_confirmed_accounts_for_the_rows(keys in proptest::collection::vec((versions(), proptest::collection::vec(versions(), 1..4), any::<bool>()), 1..6)) {
            let mut confirmed = confirmed();
            for (key, (surveyed, looks, at_rest)) in (0..).zip(&keys) {
                let still = [surveyed.clone(), surveyed.clone()];
                if let Some(watched) = watched(surveyed, if *at_rest { &still } else { looks }) {
                    confirmed.take(key, &watched).unwrap();
                }
            }
            prop_assert!(confirmed.finish().is_ok());
        }

        #[test]
        fn a_difference_too_few_or_too_many_is_withheld(surveyed in versions(), twice in any::<bool>()) {
            let Some(watched) = watched(&surveyed, std::slice::from_ref(&surveyed)) else {
                return Ok(());
            };
            let mut confirmed = confirmed();
            confirmed.take(1, &watched).unwrap();
            if twice {
                let extra = confirmed.differing.listed()[0];
                confirmed.differing.push(extra).unwrap();
            } else {
                confirmed.differing = Differing::first(10);
            }
            prop_assert!(matches!(confirmed.finish(), Err(Stop::Failed(failure)) if failure.kind == "InternalError"));
        }
    }
}
