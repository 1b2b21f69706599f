//! Rules for foreign keys.

use std::collections::BTreeMap;

use crate::engine::database::schema::{ConstraintState, ForeignKey, QualifiedName};
use crate::engine::schema::findings::Findings;
use crate::engine::schema::rule::{
    FOREIGN_KEY_ACTION, FOREIGN_KEY_DIFFERENT, FOREIGN_KEY_EXTRA, FOREIGN_KEY_MISSING,
    FOREIGN_KEY_UNTRUSTED,
};
use crate::engine::schema::table_pair::{TablePair, are_similar};
use crate::engine::values::column::SideOf;

/// The table of the target that belongs to one of the source.
#[derive(Debug)]
pub(super) struct Partner {
    pub(super) name: QualifiedName,
    /// The columns of the target by those of the source.
    pub(super) columns: BTreeMap<String, String>,
}

/// The partners of the source's tables that are compared.
pub(super) type Partners = BTreeMap<QualifiedName, Partner>;

/// A foreign key whose columns all have partners.
#[derive(Debug)]
struct Reference<'a> {
    key: &'a ForeignKey,
    /// The common names of its columns, sorted, each with the column that it references.
    columns: Vec<(String, &'a str)>,
}

impl<'a> Reference<'a> {
    fn of_side(pair: &'a TablePair<'_>, side: SideOf) -> Vec<Self> {
        let mut found = Vec::new();
        for key in &pair.schemas[side].foreign_keys {
            if pair.has_unpaired(side, key.columns.iter().map(|(own, _)| own.as_str())) {
                continue;
            }
            let mut columns: Vec<(String, &str)> = key
                .columns
                .iter()
                .map(|(own, referenced)| (pair.common_name(side, own), referenced.as_str()))
                .collect();
            columns.sort_unstable();
            found.push(Self { key, columns });
        }
        found
    }

    fn has_columns_of(&self, other: &Self) -> bool {
        let names = |reference: &Self| -> Vec<String> {
            let columns = reference.columns.iter();
            columns.map(|(own, _)| own.clone()).collect()
        };
        names(self) == names(other)
    }

    /// Whether both reference the same columns of the same table.
    fn references_same(&self, target: &Self, partners: &Partners) -> bool {
        let from = (self.key.schema.clone(), self.key.table.clone());
        let partner = partners.get(&from);
        let is_table = match partner {
            Some(partner) => {
                partner.name.0 == target.key.schema && partner.name.1 == target.key.table
            }
            None => are_similar(&from.1, &target.key.table),
        };
        let mut columns = self.columns.iter().zip(&target.columns);
        is_table
            && columns.all(|((_, from), (_, to))| {
                let paired = partner.and_then(|partner| partner.columns.get(*from));
                paired.map_or_else(|| are_similar(from, to), |paired| paired == to)
            })
    }

    fn describe(&self) -> String {
        let columns = |of: fn(&(String, String)) -> &String| {
            let names: Vec<&str> = self
                .key
                .columns
                .iter()
                .map(|pair| of(pair).as_str())
                .collect();
            names.join(", ")
        };
        format!(
            "`{}` ({}) REFERENCES {}.{} ({})",
            self.key.name,
            columns(|pair| &pair.0),
            self.key.schema,
            self.key.table,
            columns(|pair| &pair.1)
        )
    }
}

/// Compares the foreign keys of a table. One that the source has disabled is not missed.
pub(super) fn check(pair: &TablePair<'_>, partners: &Partners, findings: &mut Findings) {
    let source = Reference::of_side(pair, SideOf::Source);
    let mut target: Vec<Option<Reference<'_>>> = Reference::of_side(pair, SideOf::Target)
        .into_iter()
        .map(Some)
        .collect();
    let mut unmatched = Vec::new();
    for from in source {
        let same = target.iter_mut().find(|to| {
            to.as_ref()
                .is_some_and(|to| to.has_columns_of(&from) && from.references_same(to, partners))
        });
        match same.and_then(Option::take) {
            Some(to) => check_pair(&from, &to, findings),
            None => unmatched.push(from),
        }
    }
    for from in unmatched {
        let other = target
            .iter_mut()
            .find(|to| to.as_ref().is_some_and(|to| to.has_columns_of(&from)));
        if let Some(to) = other.and_then(Option::take) {
            let message = format!(
                "the source has {}, and the target has {}",
                from.describe(),
                to.describe()
            );
            findings.add_object(FOREIGN_KEY_DIFFERENT, &from.key.name, message);
        } else if from.key.state != ConstraintState::Disabled {
            let message = format!("only the source has the foreign key {}", from.describe());
            findings.add_object(FOREIGN_KEY_MISSING, &from.key.name, message);
        }
    }
    for to in target.into_iter().flatten() {
        let message = format!("only the target has the foreign key {}", to.describe());
        findings.add_object(FOREIGN_KEY_EXTRA, &to.key.name, message);
    }
}

fn check_pair(from: &Reference<'_>, to: &Reference<'_>, findings: &mut Findings) {
    let (name, (source, target)) = (&from.key.name, (from.key, to.key));
    if (source.on_delete, source.on_update) != (target.on_delete, target.on_update) {
        let shown = |key: &ForeignKey| {
            format!(
                "ON DELETE {} ON UPDATE {}",
                key.on_delete.sql(),
                key.on_update.sql()
            )
        };
        let message = format!(
            "{} is {} in the source and {} in the target",
            from.describe(),
            shown(source),
            shown(target)
        );
        findings.add_object(FOREIGN_KEY_ACTION, name, message);
    }
    if target.state < source.state {
        let message = format!(
            "the foreign key {} of the target is {}, and that of the source is {}",
            to.describe(),
            target.state.describe(),
            source.state.describe()
        );
        findings.add_object(FOREIGN_KEY_UNTRUSTED, name, message);
    }
}
