//! Unit and property tests of plans.

use super::*;
use proptest::prelude::*;
use shared::coverage::{ColumnSide, Uncompared};
use shared::message::{ColumnSelection, Side};
use shared::naming::Naming;
use shared::outcome::Depth;

use crate::engine::values::column::Visibility;

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
        object: 1,
        schema: "s".to_owned(),
        name: "t".to_owned(),
        columns,
        keys,
        condition: None,
        estimated_rows: None,
        hint: "",
        visibility: Visibility::default(),
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
fn the_exact_name_comes_before_one_in_another_case() {
    let column = |name: &str| column(name, ColumnType::Int);
    let paired = |source: &[&str], target: &[&str], selection: ColumnSelection| {
        let table = |names: &[&str]| table(names.iter().map(|name| column(name)).collect(), &[]);
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

/// What happens to a column of the source on its way to the target.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Kept,
    Lower,
    Snake,
    Blanks,
    Renamed,
    Dropped,
}

fn arrived(name: &str, fate: Fate) -> Option<String> {
    let parted = |by: char| {
        let mut text = String::new();
        for c in name.chars() {
            if c.is_uppercase() && !text.is_empty() {
                text.push(by);
            }
            text.push(c);
        }
        text
    };
    match fate {
        Fate::Kept => Some(name.to_owned()),
        Fate::Lower => Some(name.to_lowercase()),
        Fate::Snake => Some(parted('_').to_lowercase()),
        Fate::Blanks => Some(parted(' ')),
        Fate::Renamed => Some(format!("renamed{name}")),
        Fate::Dropped => None,
    }
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        3 => Just(Fate::Kept),
        3 => Just(Fate::Lower),
        3 => Just(Fate::Snake),
        1 => Just(Fate::Blanks),
        1 => Just(Fate::Renamed),
        1 => Just(Fate::Dropped),
    ];
    proptest::collection::vec(fate, 1..8)
}

proptest! {
    /// Every column of the source is compared, missing, or left out by the user; and a table
    /// with a missing column is never equal.
    #[test]
    fn no_column_of_the_source_is_skipped_silently(
        fates in fates(),
        added in 0_usize..3,
        shuffled in any::<u64>(),
        excluded in proptest::option::of(0_usize..8),
        naming in prop_oneof![Just(Naming::Exact), Just(Naming::IgnoreCase), Just(Naming::Normalised)],
    ) {
        let source_names: Vec<String> = (0..fates.len()).map(|at| format!("ColumnOf{at}")).collect();
        let mut target_names: Vec<String> = source_names
            .iter()
            .zip(&fates)
            .filter_map(|(name, fate)| arrived(name, *fate))
            .collect();
        target_names.extend((0..added).map(|at| format!("added{at}")));
        let turn = usize::try_from(shuffled % 97).unwrap() % target_names.len().max(1);
        target_names.rotate_left(turn);
        if shuffled % 2 == 0 {
            target_names.reverse();
        }
        let of = |names: &[String]| names.iter().map(|name| column(name, ColumnType::Int)).collect();
        let tables = pair(table(of(&source_names), &[]), table(of(&target_names), &[]));
        let excluded = excluded.and_then(|at| source_names.get(at)).cloned();
        let selection = ColumnSelection {
            exclude: excluded.clone().into_iter().collect(),
            ..ColumnSelection::default()
        };
        let mut spec = spec(None, selection);
        spec.options.naming = naming;
        let plan = match plan(&spec, &tables) {
            Ok(plan) => plan,
            Err(failure) => {
                prop_assert_eq!(failure.kind, FailureKind::NothingToCompare);
                return Ok(());
            }
        };
        let coverage = &plan.coverage;
        let names = |found: &mut dyn Iterator<Item = &String>| found.cloned().collect::<Vec<_>>();
        let compared = names(&mut coverage.columns.iter().map(|column| &column.source));
        let missing = names(&mut coverage.missing_columns.iter().map(|column| &column.name));
        let left_out = names(
            &mut coverage
                .uncompared
                .iter()
                .filter(|column| column.side == ColumnSide::Source)
                .map(|column| &column.name),
        );
        let mut all: Vec<String> = [compared.clone(), missing.clone(), left_out.clone()].concat();
        all.sort();
        prop_assert_eq!(&all, &source_names);
        prop_assert_eq!(left_out, excluded.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(coverage.structure_differs(), !missing.is_empty());
        prop_assert_eq!(
            compared,
            names(&mut plan.columns.iter().map(|column| &column.source.name))
        );
        // A partner is the column that the fate made of it.
        for column in &coverage.columns {
            let at = source_names.iter().position(|name| *name == column.source).unwrap();
            prop_assert_eq!(Some(column.target.clone()), arrived(&column.source, fates[at]));
        }
        let of_target = coverage.uncompared.iter().filter(|column| column.side == ColumnSide::Target);
        for column in of_target {
            prop_assert!(
                matches!(column.reason, Uncompared::TargetOnlyRequired | Uncompared::LeftOut),
                "{:?}", column
            );
        }
    }
}

#[test]
fn all_columns_without_a_rule_are_problems_at_once() {
    use crate::engine::plan::problems::problems;

    let columns = || {
        vec![
            column("id", ColumnType::Int),
            column("a", ColumnType::Other),
            column("b", ColumnType::Date),
            column("c", ColumnType::Other),
        ]
    };
    let mut target = columns();
    target[2] = column("b", ColumnType::Bool);
    let tables = pair(table(columns(), &[&["id"]]), table(target, &[&["id"]]));
    let spec = spec(None, ColumnSelection::default());
    let found = problems(&spec, &tables);
    let columns: Vec<_> = found.iter().filter_map(|it| it.column.as_deref()).collect();
    assert_eq!(columns, ["a", "b", "c"]);
    assert!(
        found
            .iter()
            .all(|it| it.failure.kind == FailureKind::IncomparableColumn),
        "{found:?}"
    );
    assert_eq!(found[0].solved_as_text.as_deref(), Some("Other"));
    // The plan reports one of them.
    assert_eq!(plan(&spec, &tables).unwrap_err(), found[0].failure);
}

#[test]
fn two_tables_that_can_be_compared_have_no_problem() {
    use crate::engine::plan::problems::problems;

    let columns = || vec![column("id", ColumnType::Int)];
    let tables = pair(table(columns(), &[&["id"]]), table(columns(), &[]));
    let spec = spec(None, ColumnSelection::default());
    assert_eq!(problems(&spec, &tables), []);
}
