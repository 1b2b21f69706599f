//! What is read from the two sides of a table and how it is compared: which
//! columns belong together, in which canonical form, and what identifies a row.

pub(crate) mod names;
pub(crate) mod pairs;

use pairs::pair_columns;
use shared::message::TableSpec;
use shared::options::ColumnRule;
use shared::outcome::Failure;

use crate::engine::error::failure;
use crate::engine::plan::names::{Rules, existing};
use crate::engine::rows::element::KeyForm;
use crate::engine::values::column::{Column, ColumnType, SideOf, Table};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::kind::{Kind, Resolution};
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
    /// What the user should know.
    pub notes: Vec<String>,
}

/// A pair of columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlannedColumn {
    /// The column on the source.
    pub source: Column,
    /// The column on the target.
    pub target: Column,
    /// The form in which they are compared.
    pub kind: Kind,
    /// What is done to the source's values to bring them into it; mostly nothing.
    pub source_conversion: Option<Conversion>,
    /// The same for the target's.
    pub target_conversion: Option<Conversion>,
    /// What the user says about the comparison.
    pub rule: ColumnRule,
}

impl PlannedColumn {
    /// The column on one side.
    #[must_use]
    pub(crate) fn on(&self, side: SideOf) -> &Column {
        match side {
            SideOf::Source => &self.source,
            SideOf::Target => &self.target,
        }
    }

    /// How the column is read on one side to be compared.
    #[must_use]
    pub(crate) fn reading(&self, side: SideOf) -> Reading {
        let conversion = match side {
            SideOf::Source => self.source_conversion,
            SideOf::Target => self.target_conversion,
        };
        Reading::new(self.kind, &self.on(side).kind, conversion)
    }
}

impl Plan {
    /// Names of the key's columns, as the source spells them.
    #[must_use]
    pub(crate) fn key_names(&self) -> Vec<String> {
        self.columns[..self.key_columns]
            .iter()
            .map(|column| column.source.name.clone())
            .collect()
    }
}

/// Plans the comparison of `source` and `target`.
///
/// # Errors
///
/// `ColumnNotFound` when the specification names a column that does not exist,
/// `AmbiguousColumn` when names that differ by case only leave open which columns
/// belong together, `IncomparableColumn` when two columns have no common form, `InvalidRule`
/// when a column's options do not fit its types or its place in the key,
/// `NothingToCompare` when no column is on both sides.
pub(crate) fn plan(spec: &TableSpec, source: &Table, target: &Table) -> Result<Plan, Failure> {
    let mut notes = Vec::new();
    let rules = Rules::resolve(spec, source, target)?;
    let mut pairs = pair_columns(spec, source, target, &rules, &mut notes)?;
    let key = choose_key(spec, source, target, &pairs, &mut notes)?;

    // Key columns first, in the order of the key; the others stay in the source's order.
    let mut columns = Vec::with_capacity(pairs.len());
    for name in &key {
        if let Some(at) = pairs.iter().position(|(left, _)| left.name == *name) {
            columns.push(pairs.remove(at));
        }
    }
    let key_columns = columns.len();
    columns.append(&mut pairs);
    let columns = columns
        .into_iter()
        .map(|(left, right)| {
            let rule = rules.of(&left, &right).cloned().unwrap_or_default();
            let pairing = pairing(&left, &right, &rule).map_err(|error| {
                let kind = match error {
                    Incomparable::NoForm { .. } => "IncomparableColumn",
                    Incomparable::Unfit { .. } => "InvalidRule",
                };
                failure(kind, error.to_string())
            })?;
            Ok(PlannedColumn {
                source: left,
                target: right,
                kind: pairing.kind,
                source_conversion: pairing.source,
                target_conversion: pairing.target,
                rule,
            })
        })
        .collect::<Result<Vec<_>, Failure>>()?;

    let key = &columns[..key_columns];
    if let Some(column) = key.iter().find(|column| column.rule.tolerance.is_some()) {
        return Err(failure(
            "InvalidRule",
            format!(
                "column `{}` is part of the key and has a tolerance; rows belong together by equal keys, so leave the tolerance out or name another key",
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
            .all(|column| not_null(column) && holds_what_is_compared(column));
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
        notes,
    })
}

/// Whether a `WHERE column = value` with the canonical value finds the row on both sides.
fn holds_what_is_compared(column: &PlannedColumn) -> bool {
    if column.source_conversion.is_some() || column.target_conversion.is_some() {
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
        // Equal bits are not what a database's `=` looks for; JSON may have none.
        Kind::Float32 | Kind::Float64 | Kind::Json => false,
    }
}

/// Names of the key's columns as the source spells them; empty: there is no key.
fn choose_key(
    spec: &TableSpec,
    source: &Table,
    target: &Table,
    pairs: &[(Column, Column)],
    notes: &mut Vec<String>,
) -> Result<Vec<String>, Failure> {
    if let Some(names) = &spec.key {
        let mut key: Vec<String> = Vec::new();
        for name in names {
            let column = existing(source, name, "the key")?;
            if !pairs.iter().any(|(left, _)| left.name == column.name) {
                return Err(failure(
                    "ColumnNotFound",
                    format!(
                        "the key's column `{name}` is not compared: it is excluded or not on the target"
                    ),
                ));
            }
            if !key.contains(&column.name) {
                key.push(column.name.clone());
            }
        }
        return Ok(key);
    }
    // A float cannot be looked up; a key of one is as good as none for repair,
    // but it still identifies rows.
    let source_key = source.keys.iter().find(|key| {
        key.iter()
            .all(|name| pairs.iter().any(|(left, _)| left.name == *name))
    });
    if let Some(key) = source_key {
        return Ok(key.clone());
    }
    let by_target = |name: &String| {
        pairs
            .iter()
            .find(|(_, right)| right.name == *name)
            .map(|(left, _)| left.name.clone())
    };
    let target_key = target
        .keys
        .iter()
        .find_map(|key| key.iter().map(by_target).collect::<Option<Vec<_>>>());
    if let Some(key) = &target_key {
        notes.push(format!(
            "the key ({}) is the target's: the source declares none",
            key.join(", ")
        ));
    }
    Ok(target_key.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::message::{ColumnSelection, Side};
    use shared::outcome::Depth;

    fn column(name: &str, kind: ColumnType) -> Column {
        Column {
            name: name.to_owned(),
            declared: format!("{kind:?}"),
            kind,
            nullable: false,
            read_as: None,
            repertoire: crate::engine::values::column::Repertoire::default(),
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
        let plan = plan(&spec(None, ColumnSelection::default()), &source, &target).unwrap();
        assert_eq!(names(&plan), ["Id", "Note"]);
        assert_eq!(
            (plan.key_columns, plan.key_form, plan.fetch_by_key),
            (1, KeyForm::Compact, true)
        );
        assert_eq!(plan.columns[0].kind, Kind::Decimal);
        assert_eq!(plan.notes, ["only on the target, not compared: more"]);
    }

    #[test]
    fn names_that_differ_only_by_case_find_their_own() {
        let text = || ColumnType::Text { padded: false };
        let source = table(vec![column("a", text()), column("A", text())], &[]);
        let target = table(vec![column("A", text()), column("a", text())], &[]);
        let plan = plan(&spec(None, ColumnSelection::default()), &source, &target).unwrap();
        assert!(
            plan.columns
                .iter()
                .all(|column| column.source.name == column.target.name)
        );
        assert_eq!(plan.key_form, KeyForm::WholeRow);
    }

    #[test]
    fn the_exact_name_comes_before_one_in_another_case() {
        let column = |name: &str| column(name, ColumnType::Int);
        let paired = |source: &[&str], target: &[&str], selection: ColumnSelection| {
            let table =
                |names: &[&str]| table(names.iter().map(|name| column(name)).collect(), &[]);
            let plan = plan(&spec(None, selection), &table(source), &table(target))?;
            let pairs: Vec<String> = plan
                .columns
                .iter()
                .map(|pair| format!("{} {}", pair.source.name, pair.target.name))
                .collect();
            Ok::<_, Failure>((pairs.join(", "), plan.notes.join("; ")))
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
        for (source, target, selection, pairs, note) in [
            (
                &["ID", "id"][..],
                &["id"][..],
                usual(),
                "id id",
                "only on the source, not compared: ID",
            ),
            (
                &["id"],
                &["ID", "id"],
                usual(),
                "id id",
                "only on the target, not compared: ID",
            ),
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
            (
                &["ID", "id", "a"],
                &["ID", "a"],
                without("ID"),
                "a a",
                "only on the source, not compared: id",
            ),
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
            let (found, notes) = paired(source, target, selection).unwrap();
            assert_eq!(found, pairs, "{source:?} {target:?}");
            assert!(notes.starts_with(note), "{notes}");
            assert!(!note.is_empty() || !notes.contains("only on"), "{notes}");
        }
        for (source, target) in [
            (&["ID", "id"][..], &["Id"][..]),
            (&["Id"], &["ID", "id"]),
            (&["ID", "id"], &["Id", "iD"]),
        ] {
            let failure = paired(source, target, usual()).unwrap_err();
            assert_eq!(failure.kind, "AmbiguousColumn");
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
        let plan = plan(&spec(None, selection), &source, &target).unwrap();
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
        let failure = plan(&spec(None, ColumnSelection::default()), &source, &target).unwrap_err();
        assert_eq!(failure.kind, "IncomparableColumn");
        for part in ["`place`", "Other", "Text", "columns.exclude"] {
            assert!(failure.message.contains(part), "{}", failure.message);
        }
    }

    #[test]
    fn unknown_columns_are_named() {
        let source = table(vec![column("id", ColumnType::Int)], &[&["id"]]);
        let selection = ColumnSelection {
            exclude: vec!["idd".to_owned()],
            ..ColumnSelection::default()
        };
        assert!(
            plan(&spec(None, selection), &source, &source)
                .unwrap_err()
                .message
                .contains("`idd`")
        );
        assert!(
            plan(
                &spec(Some(&["no"]), ColumnSelection::default()),
                &source,
                &source
            )
            .unwrap_err()
            .message
            .contains("`no`")
        );
    }
}
