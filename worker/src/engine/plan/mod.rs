//! What is read from the two sides of a table and how it is compared: which
//! columns are paired, in which canonical form, and what identifies a row.

pub(crate) mod coverage;
mod general_rules;
mod key;
pub(crate) mod names;
mod pairs;

use shared::coverage::Coverage;
use shared::failure::{Failure, FailureKind};
use shared::message::TableSpec;
use shared::options::ColumnRule;

use crate::engine::plan::coverage::{coverage, narrowed, notes, shown_rule};
use crate::engine::plan::key::choose_key;
use crate::engine::plan::names::Rules;
use crate::engine::plan::pairs::{PairedColumns, pair_columns};
use crate::engine::rows::element::KeyForm;
use crate::engine::values::column::{Column, ColumnType, SideOf, Table};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::kind::{Kind, Resolution};
use crate::engine::values::pair::Pair;
use crate::engine::values::pairing::{Incomparable, pairing};
use crate::engine::values::reading::Reading;

/// The comparison of two tables, decided before a row is read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// The columns that are compared, those of the key first.
    pub columns: Vec<PlannedColumn>,
    /// How many of the columns are the key; none for a multiset of rows.
    pub key_columns: usize,
    /// How a key becomes 128 bits.
    pub key_form: KeyForm,
    /// Whether a row can be fetched by its canonical key: the key's columns
    /// hold exactly what is compared, and no NULL.
    pub fetch_by_key: bool,
    /// What is compared and what is not, for the report.
    pub coverage: Coverage,
    /// What the user should know.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlannedColumn {
    pub source: Column,
    pub target: Column,
    /// The form in which they are compared.
    pub kind: Kind,
    /// How the values of each side are brought into it, if they are converted.
    pub conversions: Pair<Option<Conversion>>,
    pub rule: ColumnRule,
}

impl PlannedColumn {
    pub(crate) fn on(&self, side: SideOf) -> &Column {
        match side {
            SideOf::Source => &self.source,
            SideOf::Target => &self.target,
        }
    }

    /// How the column is read on one side to be compared.
    pub(crate) fn reading(&self, side: SideOf) -> Reading {
        Reading::new(self.kind, &self.on(side).kind, self.conversions[side])
    }
}

impl Plan {
    /// Names of the key's columns, as the source spells them.
    pub(crate) fn key_names(&self) -> Vec<String> {
        self.columns[..self.key_columns]
            .iter()
            .map(|column| column.source.name.clone())
            .collect()
    }
}

/// Plans the comparison of two tables.
///
/// # Errors
///
/// `ColumnNotFound` when the specification names a column that does not exist,
/// `AmbiguousColumn` when similar names leave open which columns belong together,
/// `KeyColumnMissing` when a column of the key has no partner, `IncomparableColumn` when two columns have no common form, `InvalidRule`
/// when a column's options do not fit its types or its place in the key,
/// `NothingToCompare` when no column is on both sides.
pub(crate) fn plan(spec: &TableSpec, tables: &Pair<Table>) -> Result<Plan, Failure> {
    let rules = Rules::resolve(spec, tables)?;
    let mut paired = pair_columns(spec, tables, &rules)?;
    let key = choose_key(spec, tables, &paired)?;
    if paired.pairs.is_empty() {
        return Err(nothing_to_compare(tables));
    }
    let key_columns = key_first(&mut paired, &key.columns);
    let columns = paired
        .pairs
        .iter()
        .map(|pair| planned_column(pair.columns.clone(), &rules))
        .collect::<Result<Vec<_>, Failure>>()?;
    let mut coverage = coverage(spec, tables, &paired);
    coverage.key_origin = key.origin;
    for (shown, column) in coverage.columns.iter_mut().zip(&columns) {
        shown.rule = shown_rule(&column.rule);
        if column.rule.encoding.is_none() {
            shown.narrowed = narrowed(&column.source, &column.target);
        }
    }
    let mut notes = notes(&coverage, &key.columns);

    let key = &columns[..key_columns];
    if let Some(column) = key.iter().find(|column| column.rule.tolerance.is_some()) {
        return Err(Failure::new(
            FailureKind::InvalidRule,
            format!(
                "column `{}` is part of the key and has a tolerance; rows are paired by equal keys, so leave the tolerance out or name another key",
                column.source.name
            ),
        ));
    }
    let both_uuid = |column: &PlannedColumn| {
        column.source.kind == ColumnType::Uuid
            && column.target.kind == ColumnType::Uuid
            && column.kind == Kind::Uuid
    };
    let not_null = |column: &PlannedColumn| !column.source.nullable && !column.target.nullable;
    let key_form = match key {
        [] => KeyForm::WholeRow,
        [column] if both_uuid(column) && not_null(column) => KeyForm::Uuid,
        _ => KeyForm::Compact,
    };
    let fetch_by_key = key_columns > 0
        && key
            .iter()
            .all(|column| not_null(column) && is_stored_as_compared(column));
    if key_columns == 0 {
        notes.push(
            "no key: rows are compared as a multiset; name one with --pk-columns or key = [..]"
                .to_owned(),
        );
    }
    Ok(Plan {
        columns,
        key_columns,
        key_form,
        fetch_by_key,
        coverage,
        notes,
    })
}

fn nothing_to_compare(tables: &Pair<Table>) -> Failure {
    let Pair { source, target } = tables;
    Failure::new(
        FailureKind::NothingToCompare,
        format!(
            "{}.{} and {}.{} have no column in common; pair them with columns.map",
            source.schema, source.name, target.schema, target.name
        ),
    )
}

/// Puts the pairs of the key's columns first, in the order of the key, before the others in the
/// source's order. Returns how many columns the key has.
fn key_first(paired: &mut PairedColumns, key: &[String]) -> usize {
    let place = |name: &String| key.iter().position(|it| it == name);
    paired
        .pairs
        .sort_by_key(|pair| place(&pair.columns.source.name).unwrap_or(key.len()));
    key.len()
}

fn planned_column(pair: Pair<Column>, rules: &Rules<'_>) -> Result<PlannedColumn, Failure> {
    let Pair { source, target } = pair;
    let rule = rules
        .on(SideOf::Source, &source.name)
        .or_else(|| rules.on(SideOf::Target, &target.name))
        .cloned()
        .unwrap_or_default();
    let pairing = pairing(&source, &target, &rule).map_err(|error| {
        let kind = match error {
            Incomparable::NoForm { .. } => FailureKind::IncomparableColumn,
            Incomparable::Unfit { .. } => FailureKind::InvalidRule,
        };
        Failure::new(kind, error.to_string())
    })?;
    Ok(PlannedColumn {
        source,
        target,
        kind: pairing.kind,
        conversions: Pair {
            source: pairing.source,
            target: pairing.target,
        },
        rule,
    })
}

/// Whether a `WHERE column = value` with the canonical value finds the row on both sides.
fn is_stored_as_compared(column: &PlannedColumn) -> bool {
    if column.conversions != Pair::default() {
        return false;
    }
    let alike =
        |kind: fn(&ColumnType) -> bool| kind(&column.source.kind) && kind(&column.target.kind);
    let exact = |resolution: &Resolution| {
        let digits = |kind: &ColumnType| match kind {
            ColumnType::Time(digits)
            | ColumnType::Timestamp(digits)
            | ColumnType::Instant(digits) => Some(*digits),
            _ => None,
        };
        digits(&column.source.kind) == Some(resolution.digits)
            && digits(&column.target.kind) == Some(resolution.digits)
    };
    match &column.kind {
        Kind::Bool | Kind::Int | Kind::Decimal | Kind::Bytes | Kind::Date => true,
        // XML has no `=`.
        Kind::Text => alike(|kind| matches!(kind, ColumnType::Text { .. })),
        Kind::Uuid => column.source.kind == column.target.kind,
        Kind::Time(resolution) | Kind::Timestamp(resolution) => exact(resolution),
        Kind::Instant(resolution) => {
            exact(resolution) && alike(|kind| matches!(kind, ColumnType::Instant(_)))
        }
        // A database's `=` compares floats by value and not by bits; JSON may have no `=`.
        Kind::Float32 | Kind::Float64 | Kind::Json => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::message::{ColumnSelection, Side};
    use shared::outcome::Depth;

    fn column(name: &str, kind: ColumnType) -> Column {
        let declared = format!("{kind:?}");
        Column {
            nullable: false,
            ..Column::new(name, kind, &declared)
        }
    }

    fn table(columns: Vec<Column>, keys: &[&[&str]]) -> Table {
        let keys = keys
            .iter()
            .map(|key| key.iter().map(|name| (*name).to_owned()).collect())
            .collect();
        Table {
            schema: "s".to_owned(),
            name: "t".to_owned(),
            columns,
            keys,
            condition: None,
            estimated_rows: None,
        }
    }

    fn missing(plan: &Plan) -> String {
        let names: Vec<_> = plan
            .coverage
            .missing_columns
            .iter()
            .map(|it| it.name.as_str())
            .collect();
        names.join(", ")
    }

    fn pair(source: Table, target: Table) -> Pair<Table> {
        Pair { source, target }
    }

    fn spec(key: Option<&[&str]>, columns: ColumnSelection) -> TableSpec {
        let side = |endpoint: &str| Side {
            endpoint: endpoint.to_owned(),
            table: "t".parse().unwrap(),
        };
        TableSpec {
            source: side("a"),
            target: side("b"),
            depth: Depth::Rows,
            key: key.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            columns,
            max_differences: 10,
            chunk_size: 10,
            timeout: std::time::Duration::from_secs(1),
            options: shared::options::TableOptions::default(),
        }
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.columns
            .iter()
            .map(|column| column.source.name.as_str())
            .collect()
    }

    #[test]
    fn columns_pair_by_name_and_the_key_comes_first() {
        let source = table(
            vec![
                column("Note", ColumnType::Text { padded: false }),
                column("Id", ColumnType::Int),
            ],
            &[&["Id"]],
        );
        let target = table(
            vec![
                column("id", ColumnType::Decimal),
                column("note", ColumnType::Text { padded: true }),
                column("more", ColumnType::Int),
            ],
            &[],
        );
        let plan = plan(
            &spec(None, ColumnSelection::default()),
            &pair(source, target),
        )
        .unwrap();
        assert_eq!(names(&plan), ["Id", "Note"]);
        assert_eq!(
            (plan.key_columns, plan.key_form, plan.fetch_by_key),
            (1, KeyForm::Compact, true)
        );
        assert_eq!(plan.columns[0].kind, Kind::Decimal);
        assert_eq!(
            plan.notes,
            [
                "warning: only on the target, NOT NULL and without a default: more; an insert of the source's columns fails"
            ]
        );
        assert_eq!(missing(&plan), "");
    }

    #[test]
    fn names_that_differ_only_by_case_find_their_own() {
        let text = || ColumnType::Text { padded: false };
        let source = table(vec![column("a", text()), column("A", text())], &[]);
        let target = table(vec![column("A", text()), column("a", text())], &[]);
        let plan = plan(
            &spec(None, ColumnSelection::default()),
            &pair(source, target),
        )
        .unwrap();
        assert!(
            plan.columns
                .iter()
                .all(|column| column.source.name == column.target.name)
        );
        assert_eq!(plan.key_form, KeyForm::WholeRow);
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn the_exact_name_comes_before_one_in_another_case() {
        let column = |name: &str| column(name, ColumnType::Int);
        let paired = |source: &[&str], target: &[&str], selection: ColumnSelection| {
            let table =
                |names: &[&str]| table(names.iter().map(|name| column(name)).collect(), &[]);
            let plan = plan(&spec(None, selection), &pair(table(source), table(target)))?;
            let pairs: Vec<String> = plan
                .columns
                .iter()
                .map(|pair| format!("{} {}", pair.source.name, pair.target.name))
                .collect();
            Ok::<_, Failure>((pairs.join(", "), missing(&plan)))
        };
        let usual = ColumnSelection::default;
        let map = |from: &str, to: &str| ColumnSelection {
            map: [(from.to_owned(), to.to_owned())].into(),
            ..usual()
        };
        let without = |name: &str| ColumnSelection {
            exclude: vec![name.to_owned()],
            ..usual()
        };
        for (source, target, selection, pairs, alone) in [
            (&["ID", "id"][..], &["id"][..], usual(), "id id", "ID"),
            (&["id"], &["ID", "id"], usual(), "id id", ""),
            (&["ID", "id"], &["id", "Id"], usual(), "ID Id, id id", ""),
            (
                &["ID", "id"],
                &["Id", "iD"],
                map("id", "iD"),
                "ID Id, id iD",
                "",
            ),
            (&["ID", "id"], &["Id"], without("ID"), "id Id", ""),
            (&["id"], &["Id", "ID"], without("ID"), "id Id", ""),
            // What an excluded column is paired with is no other column's.
            (&["ID", "id", "a"], &["ID", "a"], without("ID"), "a a", "id"),
            // Another one may be paired with what is left of it.
            (
                &["a", "b"],
                &["a"],
                ColumnSelection {
                    exclude: vec!["a".to_owned()],
                    ..map("b", "a")
                },
                "b a",
                "",
            ),
            // The target's spelling leaves the pair out too.
            (&["id", "a"], &["ID", "a"], without("ID"), "a a", ""),
        ] {
            let found = paired(source, target, selection).unwrap();
            assert_eq!(
                found,
                (pairs.to_owned(), alone.to_owned()),
                "{source:?} {target:?}"
            );
        }
        for (source, target) in [
            (&["ID", "id"][..], &["Id"][..]),
            (&["Id"], &["ID", "id"]),
            (&["ID", "id"], &["Id", "iD"]),
        ] {
            let failure = paired(source, target, usual()).unwrap_err();
            assert_eq!(failure.kind, FailureKind::AmbiguousColumn);
            for name in source.iter().chain(target) {
                let quoted = format!("`{name}`");
                assert!(failure.message.contains(&quoted), "{}", failure.message);
            }
        }
    }

    #[test]
    fn selection_maps_and_leaves_out() {
        let source = table(
            vec![
                column("id", ColumnType::Int),
                column("old", ColumnType::Int),
                column("geo", ColumnType::Other),
            ],
            &[&["id"]],
        );
        let target = table(
            vec![
                column("id", ColumnType::Int),
                column("new", ColumnType::Int),
                column("extra", ColumnType::Int),
            ],
            &[],
        );
        let selection = ColumnSelection {
            include: vec![],
            exclude: vec!["GEO".to_owned(), "extra".to_owned()],
            map: [("old".to_owned(), "new".to_owned())].into(),
        };
        let plan = plan(&spec(None, selection), &pair(source, target)).unwrap();
        assert_eq!(names(&plan), ["id", "old"]);
        assert_eq!(plan.columns[1].target.name, "new");
        assert!(plan.notes.is_empty(), "{:?}", plan.notes);
    }

    #[test]
    fn a_pair_without_a_rule_names_column_types_and_option() {
        let source = table(
            vec![
                column("id", ColumnType::Int),
                column("place", ColumnType::Other),
            ],
            &[&["id"]],
        );
        let target = table(
            vec![
                column("id", ColumnType::Int),
                column("place", ColumnType::Text { padded: false }),
            ],
            &[],
        );
        let failure = plan(
            &spec(None, ColumnSelection::default()),
            &pair(source, target),
        )
        .unwrap_err();
        assert_eq!(failure.kind, FailureKind::IncomparableColumn);
        for part in ["`place`", "Other", "Text", "columns.exclude"] {
            assert!(failure.message.contains(part), "{}", failure.message);
        }
    }

    #[test]
    fn unknown_columns_are_named() {
        let source = table(vec![column("id", ColumnType::Int)], &[&["id"]]);
        let tables = pair(source.clone(), source);
        let selection = ColumnSelection {
            exclude: vec!["idd".to_owned()],
            ..ColumnSelection::default()
        };
        assert!(
            plan(&spec(None, selection), &tables)
                .unwrap_err()
                .message
                .contains("`idd`")
        );
        assert!(
            plan(&spec(Some(&["no"]), ColumnSelection::default()), &tables)
                .unwrap_err()
                .message
                .contains("`no`")
        );
    }
}
