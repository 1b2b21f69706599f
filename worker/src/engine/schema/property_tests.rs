//! Properties of all rules together: equal schemas have no finding, and a change of one object has
//! findings of its rules only.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use shared::finding::Finding;
use shared::message::{ColumnSelection, Side, TableSpec};
use shared::options::TableOptions;
use shared::outcome::Depth;

use crate::engine::database::dialect::Dialect;
use crate::engine::database::postgres::Postgres;
use crate::engine::database::schema::{
    Action, Check, ConstraintState, ForeignKey, Index, KeyPart, KeyTerm, Numbering, TableSchema,
    TextComparison, Trigger,
};
use crate::engine::schema::all_rules::compare_tables;
use crate::engine::schema::findings::Findings;
use crate::engine::schema::table_pair::TablePair;
use crate::engine::values::column::{Column, ColumnType, Table, Visibility};
use crate::engine::values::pair::Pair;

const COLUMNS: usize = 6;

fn spec() -> TableSpec {
    let side = || Side {
        endpoint: "any".to_owned(),
        table: "t".parse().unwrap(),
    };
    TableSpec {
        source: side(),
        target: side(),
        depth: Depth::Rows,
        key: None,
        columns: ColumnSelection::default(),
        max_differences: 1,
        chunk_size: 1,
        timeout: Duration::from_secs(1),
        options: TableOptions::default(),
    }
}

fn compare(source: &TableSchema, target: &TableSchema) -> Vec<Finding> {
    let spec = spec();
    let schemas = Pair {
        source: source.clone(),
        target: target.clone(),
    };
    let dialects = Pair::of(|_| &Postgres as &dyn Dialect);
    let pair = TablePair::new(&spec, schemas, dialects).unwrap();
    let comparisons = Pair::of(|_| Some(TextComparison::EXACT));
    let (found, _) = compare_tables(&[pair], comparisons);
    found.into_iter().flat_map(Findings::into_vec).collect()
}

fn table(nullable: &[bool], defaults: &[usize]) -> TableSchema {
    const DEFAULTS: [Option<&str>; 4] = [None, Some("1"), Some("now()"), Some("f(1)")];
    let columns = nullable.iter().enumerate().map(|(at, nullable)| Column {
        nullable: *nullable,
        ..Column::new(&format!("c{at}"), ColumnType::Int, "integer")
    });
    let mut schema = TableSchema::new(Table {
        object: 1,
        schema: "public".to_owned(),
        name: "t".to_owned(),
        columns: columns.collect(),
        keys: Vec::new(),
        estimated_rows: Some(5),
        condition: None,
        hint: "",
        visibility: Visibility::default(),
    });
    for (at, default) in defaults.iter().enumerate() {
        let default = DEFAULTS[default % DEFAULTS.len()];
        schema.details_mut(&format!("c{at}")).default = default.map(str::to_owned);
    }
    schema
}

prop_compose! {
    fn an_index()(
        columns in proptest::sample::subsequence((0..COLUMNS).collect::<Vec<_>>(), 1..4).prop_shuffle(),
        is_unique: bool,
        is_descending: bool,
        filter in proptest::option::of(0..9),
    ) -> Index {
        let parts = columns.into_iter().map(|at| KeyPart {
            term: KeyTerm::Column(format!("c{at}")),
            is_descending,
        });
        Index {
            name: "i".to_owned(),
            parts: parts.collect(),
            is_primary: false,
            is_unique,
            is_enabled: true,
            filter: filter.map(|value| format!("(c0 > {value})")),
            method: "btree".to_owned(),
            nulls_are_equal: false,
        }
    }
}

prop_compose! {
    fn a_schema()(
        nullable in proptest::collection::vec(any::<bool>(), COLUMNS),
        // Without the default that has no common form.
        defaults in proptest::collection::vec(0..3_usize, COLUMNS),
        indexes in proptest::collection::vec(an_index(), 0..4),
        checks in proptest::collection::btree_set(0..9, 0..4),
        references in proptest::collection::btree_set(0..COLUMNS, 0..3),
        triggers in proptest::collection::btree_set(0..9, 0..3),
        is_numbered: bool,
    ) -> TableSchema {
        let mut schema = table(&nullable, &defaults);
        schema.indexes = indexes;
        schema.checks = checks.iter().map(|at| Check {
            name: format!("check_{at}"),
            condition: format!("((c1 >= {at}) OR (c2 = ANY (ARRAY[{at}, 3])))"),
            state: ConstraintState::Valid,
        }).collect();
        schema.foreign_keys = references.iter().map(|at| ForeignKey {
            name: format!("fk_{at}"),
            columns: vec![(format!("c{at}"), "id".to_owned())],
            schema: "public".to_owned(),
            table: format!("parent_{at}"),
            on_delete: Action::Cascade,
            on_update: Action::Refuse,
            state: ConstraintState::Valid,
        }).collect();
        schema.triggers = triggers.iter().map(|at| Trigger {
            name: format!("trigger_{at}"),
            is_enabled: true,
        }).collect();
        if is_numbered {
            let details = schema.details_mut("c0");
            details.default = None;
            details.numbering = Some(Numbering {
                sequence: Some(("public".to_owned(), "s".to_owned())),
                increment: 1,
                range: None,
                cycles: false,
            });
        }
        schema
    }
}

/// A change of a schema, and the rules that find it in the target and in the source.
type Change<'a> = (&'a dyn Fn(&mut TableSchema), &'a str, &'a str);

fn rules(findings: &[Finding]) -> BTreeSet<&str> {
    let rules = findings.iter().map(|finding| finding.rule.as_str());
    // Without an index, the largest value is not read.
    rules.filter(|rule| *rule != "next-value-unknown").collect()
}

proptest! {
    #[test]
    fn equal_schemas_have_no_finding(schema in a_schema()) {
        let found = compare(&schema, &schema);
        prop_assert!(rules(&found).is_empty(), "{found:#?}");
    }

    /// Names in another case, and with other names of constraints, are equal.
    #[test]
    fn renamed_schemas_have_no_finding(schema in a_schema()) {
        let mut renamed = schema.clone();
        for column in &mut renamed.table.columns {
            column.name = column.name.to_uppercase();
        }
        renamed.details = schema.details.iter()
            .map(|(name, details)| (name.to_uppercase(), details.clone()))
            .collect();
        for index in &mut renamed.indexes {
            index.name = "other".to_owned();
            for part in &mut index.parts {
                if let KeyTerm::Column(name) = &mut part.term {
                    *name = name.to_uppercase();
                }
            }
        }
        for key in &mut renamed.foreign_keys {
            key.name = "other".to_owned();
            key.columns.iter_mut().for_each(|(own, _)| *own = own.to_uppercase());
        }
        for (at, trigger) in renamed.triggers.iter_mut().enumerate() {
            trigger.name = format!("other{at}");
        }
        for (left, right) in [(&schema, &renamed), (&renamed, &schema)] {
            let found = compare(left, right);
            prop_assert!(rules(&found).is_empty(), "{found:#?}");
        }
    }

    /// Without one of its objects, the target has findings about that kind of object only.
    #[test]
    fn a_missing_object_is_found_by_its_rules(schema in a_schema(), at in 0..4_usize) {
        let without = |change: &dyn Fn(&mut TableSchema)| {
            let mut target = schema.clone();
            change(&mut target);
            let is_changed = target != schema;
            (compare(&schema, &target), compare(&target, &schema), is_changed)
        };
        fn remove<T>(from: &mut Vec<T>, at: usize) {
            if at < from.len() {
                from.remove(at);
            }
        }
        let changes: [Change<'_>; 4] = [
            (&|schema| remove(&mut schema.checks, at), "check-missing", "check-extra"),
            (&|schema| remove(&mut schema.foreign_keys, at), "foreign-key-missing", "foreign-key-extra"),
            (&|schema| remove(&mut schema.triggers, at), "trigger-missing", "trigger-extra"),
            (&|schema| schema.table.columns[at].nullable = !schema.table.columns[at].nullable, "null-", "null-"),
        ];
        for (change, missing, extra) in changes {
            let (forward, backward, is_changed) = without(change);
            for (found, rule) in [(forward, missing), (backward, extra)] {
                let rules = rules(&found);
                prop_assert_eq!(rules.len(), usize::from(is_changed), "{:#?}", found);
                prop_assert!(rules.iter().all(|name| name.starts_with(rule)), "{:#?}", found);
            }
        }
    }

    /// Without one of its indexes, only rules of indexes find something.
    #[test]
    fn a_missing_index_is_found_by_rules_of_indexes(schema in a_schema(), at in 0..4_usize) {
        let mut target = schema.clone();
        if at < target.indexes.len() {
            target.indexes.remove(at);
        }
        for found in [compare(&schema, &target), compare(&target, &schema)] {
            let known = ["index-missing", "index-extra", "index-order", "index-filter", "unique-missing", "unique-extra"];
            prop_assert!(rules(&found).iter().all(|rule| known.contains(rule)), "{found:#?}");
        }
    }
}

/// What has no common form is a note, and never equal or different.
#[test]
fn an_unknown_default_is_a_note() {
    let source = table(&[true], &[3]);
    let mut target = source.clone();
    target.details_mut("c0").default = Some("f(2)".to_owned());
    assert_eq!(
        rules(&compare(&source, &target)),
        BTreeSet::from(["default-unknown"])
    );
}
