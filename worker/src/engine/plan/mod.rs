//! What is read from the two sides of a table and how it is compared: which
//! columns are paired, in which canonical form, and what identifies a row.

pub(crate) mod names;
pub(crate) mod pairs;

use pairs::pair_columns;
use shared::failure::{Failure, FailureKind};
use shared::message::TableSpec;
use shared::options::ColumnRule;

use crate::engine::plan::names::{Rules, existing};
use crate::engine::rows::element::KeyForm;
use crate::engine::values::column::{Column, ColumnType, SideOf, Table};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::kind::{Kind, Resolution};
use crate::engine::values::pair::Pair;
use crate::engine::values::pairing::{Incomparable, pairing};
use crate::engine::values::reading::Reading;
use crate::engine::values::zone::{Ambiguous, Zone};

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
        let conversion = self.conversions[side].clone();
        let reading = Reading::new(self.kind, &self.on(side).kind, conversion);
        if self.source.kind.is_padded() || self.target.kind.is_padded() {
            return reading.without_padding();
        }
        reading
    }
}

impl Plan {
    /// Ends the first pass over all rows, in which local times are counted.
    pub(crate) fn end_first_pass(&self) {
        self.zones().for_each(|(_, zone)| zone.end_first_pass());
    }

    /// How many local times are not those of exactly one instant.
    pub(crate) fn zone_notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (column, zone) in self.zones() {
            let (name, zone_name) = (&column.source.name, zone.name());
            let Ambiguous { skipped, repeated } = zone.ambiguous();
            if repeated > 0 {
                notes.push(format!(
                    "`{name}`: local times that occur twice because clocks in {zone_name} are set back: {repeated}; each equals both of its instants"
                ));
            }
            if skipped > 0 {
                notes.push(format!(
                    "`{name}`: local times that are skipped because clocks in {zone_name} are set forward: {skipped}; each is compared as the time that is later by as much as the clocks are set forward"
                ));
            }
        }
        notes
    }

    /// The columns with local times of a zone.
    fn zones(&self) -> impl Iterator<Item = (&PlannedColumn, &Zone)> {
        self.columns.iter().filter_map(|column| {
            let Some(Conversion::LocalTime(zone)) = &column.conversions.source else {
                return None;
            };
            Some((column, zone))
        })
    }

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
/// `AmbiguousColumn` when names that differ by case only leave open which columns
/// belong together, `IncomparableColumn` when two columns have no common form, `InvalidRule`
/// when a column's options do not fit its types or its place in the key,
/// `NothingToCompare` when no column is on both sides.
pub(crate) fn plan(spec: &TableSpec, tables: &Pair<Table>) -> Result<Plan, Failure> {
    let mut notes = Vec::new();
    let rules = Rules::resolve(spec, tables)?;
    let pairs = pair_columns(spec, tables, &rules, &mut notes)?;
    let key = choose_key(spec, tables, &pairs, &mut notes)?;
    let (pairs, key_columns) = key_first(pairs, &key);
    let columns = pairs
        .into_iter()
        .map(|pair| planned_column(pair, &rules))
        .collect::<Result<Vec<_>, Failure>>()?;

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
        notes,
    })
}

/// Key columns first, in the order of the key, and then the others, in the
/// source's order. Returns also how many columns the key has.
fn key_first(mut pairs: Vec<Pair<Column>>, key: &[String]) -> (Vec<Pair<Column>>, usize) {
    let mut columns = Vec::with_capacity(pairs.len());
    for name in key {
        if let Some(at) = pairs.iter().position(|pair| pair.source.name == *name) {
            columns.push(pairs.remove(at));
        }
    }
    let key_columns = columns.len();
    columns.append(&mut pairs);
    (columns, key_columns)
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
        Kind::Text => alike(ColumnType::is_text) && finds_padded(column),
        Kind::Uuid => column.source.kind == column.target.kind,
        Kind::Time(resolution) | Kind::Timestamp(resolution) => exact(resolution),
        Kind::Instant(resolution) => {
            exact(resolution) && alike(|kind| matches!(kind, ColumnType::Instant(_)))
        }
        // A database's `=` compares floats by value and not by bits; JSON may have no `=`.
        Kind::Float32 | Kind::Float64 | Kind::Json => false,
    }
}

/// Whether a look-up on either side finds a text with any number of blanks at its
/// end, where the column of the other side is filled with blanks to a fixed length.
fn finds_padded(column: &PlannedColumn) -> bool {
    let is_padded = |side: &Column| side.kind.is_padded();
    let finds = |side: &Column| {
        is_padded(side)
            || side.repertoire.ignores_trailing_blanks
            || side.short_varying_length().is_some()
    };
    let columns = [&column.source, &column.target];
    !columns.into_iter().any(is_padded) || columns.into_iter().all(finds)
}

/// Names of the key's columns as the source spells them; empty without a key.
fn choose_key(
    spec: &TableSpec,
    tables: &Pair<Table>,
    pairs: &[Pair<Column>],
    notes: &mut Vec<String>,
) -> Result<Vec<String>, Failure> {
    let is_compared = |name: &String| pairs.iter().any(|pair| pair.source.name == *name);
    if let Some(names) = &spec.key {
        let mut key: Vec<String> = Vec::new();
        for name in names {
            let column = existing(&tables.source, name, "the key")?;
            if !is_compared(&column.name) {
                return Err(Failure::new(
                    FailureKind::ColumnNotFound,
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
    let mut source_keys = tables.source.keys.iter();
    if let Some(key) = source_keys.find(|key| key.iter().all(is_compared)) {
        return Ok(key.clone());
    }
    let source_name = |name: &String| {
        let pair = pairs.iter().find(|pair| pair.target.name == *name)?;
        Some(pair.source.name.clone())
    };
    let mut target_keys = tables.target.keys.iter();
    let target_key =
        target_keys.find_map(|key| key.iter().map(source_name).collect::<Option<Vec<_>>>());
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
        assert_eq!(plan.notes, ["only on the target, not compared: more"]);
    }

    #[test]
    fn a_padded_key_is_looked_up_where_all_its_forms_are_found() {
        let key = |declared: &str, padded: bool, ignores_trailing_blanks: bool| {
            let mut column = Column {
                nullable: false,
                ..Column::new("id", ColumnType::Text { padded }, declared)
            };
            column.repertoire.ignores_trailing_blanks = ignores_trailing_blanks;
            table(vec![column], &[&["id"]])
        };
        let is_looked_up = |target: Table| {
            let tables = pair(key("char(9)", true, true), target);
            let plan = plan(&spec(None, ColumnSelection::default()), &tables).unwrap();
            for side in [SideOf::Source, SideOf::Target] {
                let stored = plan.columns[0].reading(side).stored;
                assert_eq!(stored, crate::engine::values::reading::Stored::PaddedText);
            }
            plan.fetch_by_key
        };
        assert!(is_looked_up(key("character(9)", true, false)));
        assert!(is_looked_up(key("character varying(9)", false, false)));
        assert!(is_looked_up(key("varchar(900)", false, true)));
        assert!(!is_looked_up(key("character varying(900)", false, false)));
        assert!(!is_looked_up(key("text", false, false)));
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
