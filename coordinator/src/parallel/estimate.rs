//! Estimates how many workers a list of tables needs.

/// Why there is no estimate.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum EstimateError {
    /// The budget is not a number above 0.
    #[error("the budget is {0} s; it must be a number of seconds above 0")]
    Budget(f64),
    /// The average is not a number of at least 0.
    #[error("a table takes {0} s on average; it must be a number of seconds, 0 or more")]
    TableSeconds(f64),
    /// No worker is allowed.
    #[error("at most 0 workers are allowed; allow at least 1")]
    MaxWorkers,
}

/// How many workers are needed to compare `table_count` tables that take
/// `avg_table_seconds` each within `budget_seconds`: the work over the budget,
/// rounded up, but at least 1 and at most `max_workers` and `table_count`.
///
/// If that limit is below the need, the result is the limit, and the work takes
/// longer than the budget. For no tables the result is 1. The rounding is exact:
/// 3 tables of 0.1 s in 0.1 s need 3 workers.
///
/// # Errors
///
/// When the budget is not finite and above 0, the average not finite and at
/// least 0, or `max_workers` is 0.
///
/// ```
/// use coordinator::parallel::{EstimateError, estimate_optimal_workers};
///
/// assert_eq!(estimate_optimal_workers(20, 60.0, 300.0, 10), Ok(4));
/// assert_eq!(estimate_optimal_workers(50, 90.0, 900.0, 10), Ok(5));
/// assert_eq!(estimate_optimal_workers(50, 90.0, 0.0, 10), Err(EstimateError::Budget(0.0)));
/// ```
pub fn estimate_optimal_workers(
    table_count: usize,
    avg_table_seconds: f64,
    budget_seconds: f64,
    max_workers: u32,
) -> Result<u32, EstimateError> {
    if !(budget_seconds.is_finite() && budget_seconds > 0.0) {
        return Err(EstimateError::Budget(budget_seconds));
    }
    if !(avg_table_seconds.is_finite() && avg_table_seconds >= 0.0) {
        return Err(EstimateError::TableSeconds(avg_table_seconds));
    }
    if max_workers == 0 {
        return Err(EstimateError::MaxWorkers);
    }
    // A run has at most so many tables.
    let table_count = u32::try_from(table_count).unwrap_or(u32::MAX);
    let limit = f64::from(max_workers.min(table_count).max(1));
    let tables = f64::from(table_count);
    let nearest = (tables * avg_table_seconds / budget_seconds)
        .round()
        .min(limit);
    // The quotient is rounded; only the exact products show whether it is enough.
    let is_enough = product(nearest, budget_seconds) >= product(tables, avg_table_seconds);
    let workers = if is_enough { nearest } else { nearest + 1.0 };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number from 1 to a u32"
    )]
    Ok(workers.clamp(1.0, limit) as u32)
}

/// An exact product as its nearest number and the rest. Such pairs are ordered
/// as the products are, because rounding keeps the order.
fn product(count: f64, seconds: f64) -> (f64, f64) {
    let nearest = count * seconds;
    (nearest, count.mul_add(seconds, -nearest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn work_over_budget_is_rounded_up() {
        for (tables, seconds, budget, max, workers) in [
            (20, 60.0, 300.0, 10, 4),
            (50, 90.0, 900.0, 10, 5),
            (20, 60.0, 299.0, 10, 5),
            (3, 0.1, 0.1, 10, 3),
            (100, 60.0, 60.0, 10, 10),
            (3, 600.0, 1.0, 10, 3),
            (10, 0.0, 1.0, 10, 1),
            (0, 60.0, 300.0, 10, 1),
            (1, f64::MAX, f64::MIN_POSITIVE, 10, 1),
            (usize::MAX, f64::MAX, 1.0, u32::MAX, u32::MAX),
        ] {
            assert_eq!(
                estimate_optimal_workers(tables, seconds, budget, max),
                Ok(workers),
                "{tables} tables of {seconds} s in {budget} s with at most {max}"
            );
        }
    }

    #[test]
    fn arguments_out_of_range_are_errors() {
        for budget in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = estimate_optimal_workers(1, 1.0, budget, 1).unwrap_err();
            assert!(
                matches!(error, EstimateError::Budget(_)),
                "{budget}: {error}"
            );
        }
        for seconds in [-1.0, f64::NAN, f64::INFINITY] {
            let error = estimate_optimal_workers(1, seconds, 1.0, 1).unwrap_err();
            assert!(
                matches!(error, EstimateError::TableSeconds(_)),
                "{seconds}: {error}"
            );
        }
        assert_eq!(
            estimate_optimal_workers(1, 1.0, 1.0, 0),
            Err(EstimateError::MaxWorkers)
        );
    }

    proptest! {
        /// Whole milliseconds against integer arithmetic.
        #[test]
        fn it_is_the_ceiling_within_its_limits(
            tables in 0_u32..100_000,
            seconds in 0_u32..1_000_000,
            budget in 1_u32..1_000_000,
            max in 1_u32..5_000,
        ) {
            let ceiling = (u64::from(tables) * u64::from(seconds)).div_ceil(budget.into());
            let limit = u64::from(max.min(tables)).max(1);
            let estimate = estimate_optimal_workers(
                tables as usize, seconds.into(), budget.into(), max,
            );
            prop_assert_eq!(estimate.map(u64::from), Ok(ceiling.clamp(1, limit)));
        }

        /// Products near a multiple of the budget, against integer arithmetic.
        #[test]
        fn it_is_exact_where_the_quotient_is_rounded(
            tables in 1_u32..1_000,
            budget in 2_u64..1 << 40,
            multiple in 0_u64..1 << 12,
            above in 0_u64..3,
        ) {
            let seconds = (budget * multiple + above).saturating_sub(1);
            let ceiling = (u64::from(tables) * seconds).div_ceil(budget);
            let estimate = estimate_optimal_workers(
                tables as usize, seconds as f64, budget as f64, u32::MAX,
            );
            prop_assert_eq!(estimate.map(u64::from), Ok(ceiling.clamp(1, tables.into())));
        }

        /// Any numbers: a result within the limits or an error.
        #[test]
        fn it_never_panics(
            tables: usize,
            seconds in any::<f64>(),
            budget in any::<f64>(),
            max: u32,
        ) {
            if let Ok(workers) = estimate_optimal_workers(tables, seconds, budget, max) {
                prop_assert!(workers >= 1 && workers <= max);
                prop_assert!(tables == 0 || workers as usize <= tables);
            }
        }

        /// More time never needs more workers, more tables never fewer.
        #[test]
        fn it_is_monotone(
            tables in 0_usize..10_000,
            seconds in 0.0..1e6,
            budget in 1e-3..1e6,
            more in 1.0..10.0,
            max in 1_u32..1_000,
        ) {
            let few = estimate_optimal_workers(tables, seconds, budget, max).unwrap();
            prop_assert!(estimate_optimal_workers(tables, seconds, budget * more, max).unwrap() <= few);
            prop_assert!(estimate_optimal_workers(tables + 1, seconds, budget, max).unwrap() >= few);
        }
    }
}
