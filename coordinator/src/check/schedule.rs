//! How long a run of several tables takes when some are compared at the same time.

/// How much tables slow each other down that are compared at the same time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Slowdown {
    /// Tables that were measured at the same time, at least 2.
    at_once: u32,
    /// How much longer each of them took than alone, from 1 to `at_once`.
    factor: f64,
}

impl Slowdown {
    /// What was measured; `None` if fewer than two tables were measured at the same time.
    pub(crate) fn measured(at_once: usize, alone: f64, together: f64) -> Option<Self> {
        let at_once = u32::try_from(at_once).ok().filter(|count| *count >= 2)?;
        let factor = together / alone;
        factor.is_finite().then_some(Self {
            at_once,
            // Tables that are compared one after the other take no longer than that.
            factor: factor.clamp(1.0, f64::from(at_once)),
        })
    }

    /// How much longer a table takes if `count` tables are compared at the same time: what every
    /// further table adds is taken as constant.
    pub(crate) fn factor(this: Option<Self>, count: u32) -> f64 {
        this.map_or(1.0, |Self { at_once, factor }| {
            let per_table = (factor - 1.0) / f64::from(at_once - 1);
            1.0 + per_table * f64::from(count.saturating_sub(1))
        })
    }
}

/// Seconds until the last table ends, if the longest remaining table begins whenever one of
/// `slots` is free.
pub(crate) fn makespan(seconds: &[f64], slots: usize) -> f64 {
    let mut longest_first = seconds.to_vec();
    longest_first.sort_by(|a, b| b.total_cmp(a));
    let mut ends = vec![0.0_f64; slots.clamp(1, seconds.len().max(1))];
    for length in longest_first {
        let first = ends.iter_mut().min_by(|a, b| a.total_cmp(b));
        if let Some(end) = first {
            *end += length;
        }
    }
    ends.into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tables_are_distributed_over_the_slots() {
        let tables = [3.0, 1.0, 2.0, 2.0];
        assert!((makespan(&tables, 1) - 8.0).abs() < 1e-9);
        assert!((makespan(&tables, 2) - 4.0).abs() < 1e-9);
        assert!((makespan(&tables, 9) - 3.0).abs() < 1e-9);
        assert!(makespan(&[], 4).abs() < 1e-9);
    }

    #[test]
    fn tables_slow_each_other_down_as_measured() {
        let slowdown = Slowdown::measured(4, 1.0, 2.5);
        assert!((Slowdown::factor(slowdown, 1) - 1.0).abs() < 1e-9);
        assert!((Slowdown::factor(slowdown, 4) - 2.5).abs() < 1e-9);
        assert!((Slowdown::factor(slowdown, 7) - 4.0).abs() < 1e-9);
        assert_eq!(Slowdown::measured(1, 1.0, 1.0), None);
        assert_eq!(Slowdown::measured(4, 0.0, 0.0), None);
        let crowded = Slowdown::measured(4, 1.0, 6.0);
        assert!((Slowdown::factor(crowded, 8) - 8.0).abs() < 1e-9);
        // A sample that is faster beside others is chance.
        let faster = Slowdown::measured(2, 2.0, 1.0);
        assert!((Slowdown::factor(faster, 8) - 1.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn a_run_takes_at_least_its_longest_table_and_at_most_all_one_after_the_other(
            seconds in proptest::collection::vec(0.0..1e4_f64, 1..40),
            slots in 1_usize..20,
        ) {
            let sum: f64 = seconds.iter().sum();
            let longest = seconds.iter().copied().fold(0.0, f64::max);
            #[expect(clippy::cast_precision_loss, reason = "few slots")]
            let share = sum / slots as f64;
            let found = makespan(&seconds, slots);
            prop_assert!(found >= longest.max(share) - 1e-6);
            prop_assert!(found <= sum + 1e-6);
            // Graham's bound for the longest first.
            prop_assert!(found <= longest.max(share) * 2.0 + 1e-6);
        }
    }
}
