//! Applies all rules that need no rows to all tables.

use crate::engine::database::schema::{NumberedColumn, TextComparison};
use crate::engine::schema::findings::Findings;
use crate::engine::schema::foreign_keys::{Partner, Partners};
use crate::engine::schema::table_pair::TablePair;
use crate::engine::schema::{
    checks, columns, defaults, foreign_keys, indexes, numbering, tables, triggers,
};
use crate::engine::values::pair::Pair;

/// Returns the findings of each table, and the numbered
/// columns of the target, each with the position of its table.
pub(super) fn compare_tables(
    pairs: &[TablePair<'_>],
    comparisons: Pair<Option<TextComparison>>,
) -> (Vec<Findings>, Vec<(usize, NumberedColumn)>) {
    let partners = partners(pairs);
    let (mut found, mut numbered) = (Vec::new(), Vec::new());
    for (at, pair) in pairs.iter().enumerate() {
        let mut findings = Findings::of_spec(pair.spec);
        columns::check(pair, comparisons, &mut findings);
        if !pair.has_view() {
            indexes::check(pair, &mut findings);
            numbering::check(pair, &mut findings);
            let columns = numbering::to_read(pair, &mut findings).into_iter();
            numbered.extend(columns.map(|column| (at, column)));
        }
        if pair.has_constraints() {
            defaults::check(pair, &mut findings);
            foreign_keys::check(pair, &partners, &mut findings);
            checks::check(pair, &mut findings);
            triggers::check(pair, &mut findings);
        }
        tables::check(pair, &mut findings);
        found.push(findings);
    }
    (found, numbered)
}

fn partners(pairs: &[TablePair<'_>]) -> Partners {
    let of_pair = |pair: &TablePair<'_>| {
        let names = pair
            .schemas
            .as_ref()
            .map(|schema| (schema.table.schema.clone(), schema.table.name.clone()));
        let columns = pair.columns.pairs.iter().map(|pair| {
            let Pair { source, target } = &pair.columns;
            (source.name.clone(), target.name.clone())
        });
        let partner = Partner {
            name: names.target,
            columns: columns.collect(),
        };
        (names.source, partner)
    };
    pairs.iter().map(of_pair).collect()
}
