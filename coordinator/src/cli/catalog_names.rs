//! Names of tables, resolved in a catalog by the rules of the workers.

use std::collections::{BTreeMap, BTreeSet};

use shared::ids::TableName;
use shared::naming::{Naming, find_name, shared_forms};
use worker::engine::CatalogTable;

/// A catalog in which tables are found by the names that users give them.
#[derive(Debug)]
pub(super) struct CatalogNames<'a> {
    tables: &'a [CatalogTable],
    default_schema: &'a str,
    naming: Naming,
    /// The schemas of the tables.
    schemas: BTreeSet<&'a str>,
    /// Positions of tables by their schema in lower case and a form of their name.
    by_form: BTreeMap<(String, String), Vec<usize>>,
}

impl<'a> CatalogNames<'a> {
    pub(super) fn new(tables: &'a [CatalogTable], default_schema: &'a str, naming: Naming) -> Self {
        let mut by_form: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (at, table) in tables.iter().enumerate() {
            for form in shared_forms(&table.name) {
                let key = (table.schema.to_lowercase(), form);
                by_form.entry(key).or_default().push(at);
            }
        }
        Self {
            tables,
            default_schema,
            naming,
            schemas: tables.iter().map(|table| table.schema.as_str()).collect(),
            by_form,
        }
    }

    /// A schema in lower case: of this name in any case, else of a similar name.
    fn schema(&self, name: &str) -> String {
        let lower = name.to_lowercase();
        let mut schemas = self.schemas.iter();
        if schemas.any(|schema| schema.to_lowercase() == lower) {
            return lower;
        }
        let schemas: Vec<&str> = self.schemas.iter().copied().collect();
        let found = find_name(name, &schemas, self.naming).ok().flatten();
        found.map_or(lower, |(at, _)| schemas[at].to_lowercase())
    }

    pub(super) fn tables(&self) -> &'a [CatalogTable] {
        self.tables
    }

    /// The position of the table with this name; `None` if there is none, or if it may be any of
    /// several, which the worker reports.
    pub(super) fn find(&self, name: &TableName) -> Option<usize> {
        let schema = name.schema.as_deref().unwrap_or(self.default_schema);
        let lower = self.schema(schema);
        let mut candidates: Vec<usize> = shared_forms(&name.name)
            .into_iter()
            .filter_map(|form| self.by_form.get(&(lower.clone(), form)))
            .flatten()
            .copied()
            .collect();
        candidates.sort_unstable();
        candidates.dedup();
        let exact = candidates.iter().find(|&&at| {
            let table = &self.tables[at];
            table.schema == schema && table.name == name.name
        });
        if let Some(&exact) = exact {
            return Some(exact);
        }
        let names: Vec<&str> = candidates
            .iter()
            .map(|&at| self.tables[at].name.as_str())
            .collect();
        let (found, _) = find_name(&name.name, &names, self.naming).ok().flatten()?;
        Some(candidates[found])
    }

    /// Schema and name of the table as the catalog has them, or as the user wrote them.
    pub(super) fn resolve(&self, name: &TableName) -> (String, String) {
        match self.find(name) {
            Some(at) => {
                let table = &self.tables[at];
                (table.schema.clone(), table.name.clone())
            }
            None => {
                let schema = name.schema.as_deref().unwrap_or(self.default_schema);
                (schema.to_owned(), name.name.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_as_the_workers_find_them() {
        let long = "server1_erp_dbo_".to_owned() + &"customer_loyalty_".repeat(4);
        let cut = &long[..63];
        let tables: Vec<CatalogTable> = [
            ("public", "Users"),
            ("public", "users"),
            ("public", "order_details"),
            ("public", cut),
            ("sales", "a_b"),
            ("sales", "ab_"),
            ("human_resources", "pay"),
        ]
        .into_iter()
        .map(|(schema, name)| CatalogTable::new(schema, name))
        .collect();
        let found = |text: &str, naming| {
            let names = CatalogNames::new(&tables, "public", naming);
            let name: TableName = text.parse().unwrap();
            let at = names.find(&name);
            at.map_or("none", |at| tables[at].name.as_str()).to_owned()
        };
        let all = Naming::Normalised;
        for (text, naming, expected) in [
            ("users", all, "users"),
            ("Users", all, "Users"),
            ("PUBLIC.Users", all, "Users"),
            ("USERS", all, "none"),
            ("[Order Details]", all, "order_details"),
            ("OrderDetails", Naming::IgnoreCase, "none"),
            ("ORDER_DETAILS", Naming::IgnoreCase, "order_details"),
            ("ORDER_DETAILS", Naming::Exact, "none"),
            (&long, Naming::Exact, cut),
            ("sales.AB", all, "none"),
            ("sales.ab_", all, "ab_"),
            ("HumanResources.Pay", all, "pay"),
            ("HumanResources.Pay", Naming::IgnoreCase, "none"),
        ] {
            assert_eq!(found(text, naming), expected, "{text}");
        }
    }
}
