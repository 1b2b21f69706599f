//! Which of the tables that a lost worker ran is blamed.
//!
//! A worker that the system killed for its memory takes all of its tables with it, and the
//! coordinator cannot see which of them needed the memory. An attempt counts if the table was the
//! only one, or the only one under the strongest suspicion. Otherwise no attempt counts, and the
//! suspicion of the tables grows. Of the tables under strong suspicion only one is outstanding at
//! a time, so that the next loss decides.
//!
//! A table that ends workers is in every such loss. Its suspicion is therefore never weaker than
//! that of a table that merely runs beside it, and if there is one such table, only its attempts
//! count. Every loss counts an attempt or raises the suspicion of at least two tables, so the
//! number of losses is bounded.

/// How much speaks for a table being what ended a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suspicion {
    #[default]
    None,
    /// It ran beside other tables when a worker was lost.
    Weak,
    /// It ran beside another suspected table when a worker was lost.
    Strong,
}

/// Which of the tables that a lost worker ran is blamed, by its position; raises the suspicion of
/// the others. `beside_others`: whether the worker ran tables of other runs too.
pub(super) fn blame(suspicions: &mut [Suspicion], beside_others: bool) -> Option<usize> {
    let most = suspicions.iter().copied().max()?;
    let mut suspects = (0..).zip(&*suspicions).filter(|(_, of)| **of == most);
    let only = match (suspects.next(), suspects.next()) {
        (Some((only, _)), None) => Some(only),
        _ => None,
    };
    let is_alone = suspicions.len() == 1 && !beside_others;
    let blamed = only.filter(|_| is_alone || most > Suspicion::None);
    for (at, suspicion) in suspicions.iter_mut().enumerate() {
        let next = if most > Suspicion::None && *suspicion == most && blamed.is_none() {
            Suspicion::Strong
        } else {
            Suspicion::Weak
        };
        if blamed != Some(at) {
            *suspicion = next.max(*suspicion);
        }
    }
    blamed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How often a table may be blamed before it fails.
    const ATTEMPTS: u32 = 3;

    /// Workers run groups of the tables that `order` chooses. A group with a fatal table is lost.
    /// Returns how often each table was blamed, and how many workers were lost.
    fn simulate(tables: usize, fatal: &[usize], order: &[usize]) -> (Vec<u32>, usize) {
        let mut suspicions = vec![Suspicion::None; tables];
        let mut blames = vec![0; tables];
        let mut open: Vec<usize> = (0..tables).collect();
        let mut lost = 0;
        let mut choices = order.iter().cycle();
        while !open.is_empty() {
            let size = choices.next().map_or(1, |choice| choice % 4 + 1);
            let mut group: Vec<usize> = Vec::new();
            for _ in 0..size {
                let table = open[choices.next().unwrap_or(&0) % open.len()];
                let is_strong = |table: usize| suspicions[table] == Suspicion::Strong;
                let is_held = is_strong(table) && group.iter().any(|&other| is_strong(other));
                if !is_held && !group.contains(&table) {
                    group.push(table);
                }
            }
            if !group.iter().any(|table| fatal.contains(table)) {
                open.retain(|table| !group.contains(table));
                continue;
            }
            lost += 1;
            let mut of: Vec<Suspicion> = group.iter().map(|&table| suspicions[table]).collect();
            let blamed = blame(&mut of, false).map(|at| group[at]);
            for (&table, &suspicion) in group.iter().zip(&of) {
                suspicions[table] = suspicion;
            }
            if let Some(blamed) = blamed {
                blames[blamed] += 1;
                open.retain(|&table| table != blamed || blames[table] < ATTEMPTS);
            }
        }
        (blames, lost)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

        #[test]
        fn only_the_table_that_ends_workers_is_blamed(
            tables in 1..12_usize,
            fatal in 0..12_usize,
            order in proptest::collection::vec(0..1000_usize, 1..60),
        ) {
            let (blames, lost) = simulate(tables, &[fatal], &order);
            for (table, &blames) in blames.iter().enumerate() {
                prop_assert_eq!(blames, if table == fatal { ATTEMPTS } else { 0 }, "table {}", table);
            }
            prop_assert!(lost <= tables + ATTEMPTS as usize, "{} workers", lost);
        }

        #[test]
        fn several_such_tables_all_fail_and_workers_are_lost_a_bounded_number_of_times(
            tables in 1..12_usize,
            fatal in proptest::collection::vec(0..12_usize, 0..5),
            order in proptest::collection::vec(0..1000_usize, 1..60),
        ) {
            let (blames, lost) = simulate(tables, &fatal, &order);
            for table in fatal.iter().filter(|&&table| table < tables) {
                prop_assert_eq!(blames[*table], ATTEMPTS);
            }
            prop_assert!(lost <= tables * (ATTEMPTS as usize + 1), "{} workers", lost);
        }
    }

    #[test]
    fn a_table_beside_those_of_another_run_is_blamed_at_the_second_loss() {
        let mut alone = [Suspicion::None];
        assert_eq!(blame(&mut alone, true), None);
        assert_eq!(blame(&mut alone, true), Some(0));
        assert_eq!(blame(&mut [Suspicion::None], false), Some(0));
    }
}
