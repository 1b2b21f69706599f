//! What the statements of a repair depend on in the target's catalog, as digests: a script
//! that was written for a table as it was must not be executed when the table is another one.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use shared::outcome::TableStructure;

use crate::engine::database::constraints::Constraints;
use crate::engine::values::column::Table;

/// The structure of a table. Names of keys and indexes, the order of columns, defaults and
/// whether a column may be NULL are no part of it: no statement does harm when they change.
pub(crate) fn structure(table: &Table, constraints: &Constraints) -> TableStructure {
    let columns = table.columns.iter().map(|column| {
        let name = &column.name;
        // The schema of a type is written or not as the user's settings say.
        let of_type = column.declared.rsplit('.').next();
        let (generated, identity, fixed) = (
            constraints.generated.contains(name),
            constraints.identity.contains(name),
            constraints.fixed.contains(name),
        );
        format!("{:?}", (name, of_type, generated, identity, fixed))
    });
    // The keys are among them, and become more when a column becomes NOT NULL.
    let unique = constraints.unique.iter();
    let unique = unique.map(|unique| format!("{:?}", (&unique.columns, unique.nulls_are_equal)));
    let inherited = constraints.is_inherited.then(|| "inherited".to_owned());
    let own = constraints.foreign_keys.iter().map(|key| {
        let to = (&key.name, &key.schema, &key.table, &key.columns);
        format!("{:?}", (to, key.deferrable, key.trusted))
    });
    let dependents = constraints.dependents.iter().map(|key| {
        let columns: BTreeSet<_> = key.columns.iter().collect();
        let from = (&key.schema, &key.table, columns);
        format!("{:?}", (from, key.acts_on_delete, key.acts_on_update))
    });
    TableStructure {
        columns: digest_of(columns),
        keys: digest_of(unique.chain(inherited)),
        foreign_keys: digest_of(own),
        references: digest_of(dependents),
    }
}

/// The digest of a set of texts, in hexadecimal: 64 bits of SHA-256, enough to notice a change.
fn digest_of(texts: impl Iterator<Item = String>) -> String {
    let texts: BTreeSet<String> = texts.collect();
    let digest = digest(&SHA256, format!("{texts:?}").as_bytes());
    hex::encode(&digest.as_ref()[..8])
}

#[cfg(test)]
mod tests {
    use shared::outcome::ForeignKey;

    use super::*;
    use crate::engine::database::constraints::{Dependent, UniqueConstraint};
    use crate::engine::values::column::{Column, ColumnType, Visibility};

    type Alteration = fn(&mut Table, &mut Constraints);

    fn described() -> (Table, Constraints) {
        let column = |name: &str| Column::new(name, ColumnType::Int, "integer");
        let table = Table {
            object: 7,
            schema: "s".to_owned(),
            name: "t".to_owned(),
            columns: vec![column("id"), column("v")],
            keys: vec![vec!["id".to_owned()]],
            estimated_rows: Some(1),
            condition: None,
            hint: "",
            visibility: Visibility::default(),
        };
        let unique = UniqueConstraint {
            name: "v_key".to_owned(),
            columns: vec!["v".to_owned()],
            nulls_are_equal: false,
        };
        let key = ForeignKey {
            name: "up".to_owned(),
            schema: "s".to_owned(),
            table: "p".to_owned(),
            deferrable: false,
            trusted: true,
            columns: vec!["v".to_owned()],
            touched: None,
        };
        let dependent = Dependent {
            schema: "s".to_owned(),
            table: "c".to_owned(),
            columns: vec![("up".to_owned(), "id".to_owned())],
            acts_on_delete: false,
            acts_on_update: false,
            is_readable: true,
        };
        let constraints = Constraints {
            unique: vec![unique],
            foreign_keys: vec![key],
            dependents: vec![dependent],
            ..Constraints::default()
        };
        (table, constraints)
    }

    #[test]
    fn a_change_that_statements_depend_on_is_another_structure() {
        let changes: [(&str, Alteration); 9] = [
            ("columns", |table, _| drop(table.columns.pop())),
            ("columns", |table, _| {
                table.columns[1].declared = "bigint".to_owned();
            }),
            ("columns", |_, constraints| {
                constraints.generated.insert("v".to_owned());
            }),
            ("keys", |_, constraints| constraints.unique.clear()),
            ("keys", |_, constraints| constraints.is_inherited = true),
            ("foreign keys", |_, constraints| {
                constraints.foreign_keys[0].deferrable = true;
            }),
            ("references", |_, constraints| {
                constraints.dependents[0].acts_on_delete = true;
            }),
            ("references", |_, constraints| {
                constraints.dependents[0].acts_on_update = true;
            }),
            ("references", |_, constraints| {
                let another = constraints.dependents[0].clone();
                constraints.dependents.push(Dependent {
                    table: "d".to_owned(),
                    ..another
                });
            }),
        ];
        let (table, constraints) = described();
        let before = structure(&table, &constraints);
        for (part, change) in changes {
            let (mut table, mut constraints) = described();
            change(&mut table, &mut constraints);
            let now = structure(&table, &constraints);
            let changed = before.first_difference(&now);
            assert!(
                changed.is_some_and(|it| it.contains(part)),
                "{part}: {changed:?}"
            );
        }
    }

    #[test]
    fn a_harmless_change_is_none() {
        let (table, constraints) = described();
        let before = structure(&table, &constraints);
        let (mut table, mut constraints) = described();
        table.columns.reverse();
        table.columns[0].nullable = false;
        table.columns[1].has_default = true;
        table.columns[1].declared = "public.integer".to_owned();
        table.keys.push(vec!["v".to_owned()]);
        table.estimated_rows = None;
        constraints.unique[0].name = "another".to_owned();
        constraints.dependents[0].is_readable = false;
        let twice = constraints.dependents[0].clone();
        constraints.dependents.push(twice);
        assert_eq!(structure(&table, &constraints), before);
    }
}
