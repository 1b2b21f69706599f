//! Compares what surrounds the rows of tables: keys, constraints, indexes, sequences, triggers.

mod all_rules;
mod capacity;
mod checks;
mod columns;
mod compare;
mod defaults;
mod expression;
mod findings;
mod foreign_keys;
mod form;
mod index_shape;
mod indexes;
mod numbering;
mod page;
#[cfg(test)]
mod property_tests;
mod read;
mod rule;
mod table_pair;
mod tables;
mod triggers;

pub use compare::compare_schemas;
pub use page::schema_rules_page;
pub use rule::{SchemaRule, rules};
