//! Measures samples of the largest tables, alone and beside each other.

use std::time::{Duration, Instant};

use futures::future::join_all;
use shared::message::TableSpec;
use worker::engine::{Measured, Preflight, TableCheck};

use crate::check::Slowdown;

/// The most tables that are measured.
const MOST: usize = 4;

/// No further table is measured after this time.
const LIMIT: Duration = Duration::from_millis(1_500);

/// The speeds of the largest tables by their positions, and how much they slow each other down.
pub(super) struct Samples {
    pub(super) measured: Vec<(usize, Measured)>,
    pub(super) slowdown: Option<Slowdown>,
}

/// A table that cannot be measured has no speed: why it cannot be read is found elsewhere.
pub(super) async fn measure(
    preflight: &Preflight,
    specs: &[TableSpec],
    checks: &[TableCheck],
) -> Samples {
    let began = Instant::now();
    let mut measured = Vec::new();
    for at in largest(checks) {
        if began.elapsed() > LIMIT {
            break;
        }
        match preflight.measure(&specs[at]).await {
            Ok(speed) => measured.push((at, speed)),
            Err(failure) => {
                tracing::debug!(table = %specs[at].source.table, %failure, "a sample was not read")
            }
        }
    }
    let slowdown = if measured.len() > 1 {
        beside(preflight, specs, &measured).await
    } else {
        None
    };
    Samples { measured, slowdown }
}

/// Positions of the largest tables that can be compared, the largest first.
fn largest(checks: &[TableCheck]) -> Vec<usize> {
    let size = |at: usize| {
        let facts = checks[at].facts.as_ref();
        facts.map_or(0, |facts| {
            let of_side = |rows: Option<u64>, bytes: Option<u64>| {
                bytes.unwrap_or(0).max(rows.unwrap_or(0).saturating_mul(8))
            };
            let (source, target) = (facts.source, facts.target);
            of_side(source.rows, source.bytes).max(of_side(target.rows, target.bytes))
        })
    };
    let mut positions: Vec<usize> = (0..checks.len())
        .filter(|&at| checks[at].facts.is_some())
        .collect();
    positions.sort_by_key(|&at| std::cmp::Reverse(size(at)));
    positions.truncate(MOST);
    positions
}

/// Measures the tables again, all at the same time.
async fn beside(
    preflight: &Preflight,
    specs: &[TableSpec],
    alone: &[(usize, Measured)],
) -> Option<Slowdown> {
    let again = alone.iter().map(|(at, _)| preflight.measure(&specs[*at]));
    let again = join_all(again).await;
    let slower_side = |measured: &Measured| {
        let sides = [measured.source, measured.target].into_iter().flatten();
        sides.map(|rate| rate.seconds_per_row).fold(0.0, f64::max)
    };
    let (mut ratios, mut count) = (0.0, 0_u32);
    for ((_, before), after) in alone.iter().zip(&again) {
        let after = after.as_ref().ok()?;
        let (before, after) = (slower_side(before), slower_side(after));
        if before > 0.0 && after > 0.0 {
            ratios += after / before;
            count += 1;
        }
    }
    Slowdown::measured(alone.len(), f64::from(count), ratios)
}
