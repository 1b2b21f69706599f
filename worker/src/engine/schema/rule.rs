//! The rules: what each of them finds, and how much it matters.

use shared::finding::Severity;
use shared::finding::Severity::{Error, Note, Warning};

/// One rule of the comparison of schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaRule {
    /// The name, as `[check] ignore` lists it.
    pub name: &'static str,
    /// How much a finding of the rule matters.
    pub severity: Severity,
    /// What the rule finds, in one line.
    pub meaning: &'static str,
}

/// Defines a constant for each rule, and the list of all of them.
macro_rules! rules {
    ($($constant:ident = $name:literal, $severity:ident, $meaning:literal;)+) => {
        $(pub(super) const $constant: SchemaRule = SchemaRule {
            name: $name,
            severity: $severity,
            meaning: $meaning,
        };)+

        static RULES: &[SchemaRule] = &[$($constant),+];
    };
}

rules! {
    TABLE_MISSING = "table-missing", Error, "one side has no table of the name, or several similar ones";
    TABLE_UNLISTED = "table-unlisted", Note, "a schema that is compared has tables on this side that the other side does not have";
    DEFINITIONS_HIDDEN = "definitions-hidden", Warning, "the endpoint's user may not see constraints, triggers and defaults of a table, so these were not compared";
    COLUMNS_UNPAIRED = "columns-unpaired", Error, "the columns cannot be paired, so nothing else of the table was compared";
    COLUMN_MISSING = "column-missing", Error, "a column of the source has no partner in the target";
    COLUMN_EXTRA = "column-extra", Note, "a column of the target has no partner in the source, and may be NULL or has a default";
    COLUMN_EXTRA_REQUIRED = "column-extra-required", Warning, "a column of the target has no partner in the source, is NOT NULL and has no default";
    TYPE_NARROWER = "type-narrower", Error, "the target's type cannot hold all values of the source's type";
    NULL_ALLOWED = "null-allowed", Warning, "the column is NOT NULL in the source only";
    NULL_REFUSED = "null-refused", Warning, "the column is NOT NULL in the target only";
    DEFAULT_MISSING = "default-missing", Warning, "the column has a default in the source only";
    DEFAULT_EXTRA = "default-extra", Warning, "the column has a default in the target only";
    DEFAULT_DIFFERENT = "default-different", Warning, "the defaults are different";
    DEFAULT_UNKNOWN = "default-unknown", Note, "both sides have a default, and whether these are equal cannot be decided";
    GENERATED_MISSING = "generated-missing", Warning, "the column is computed in the source only, or the computed column is missing in the target";
    GENERATED_EXTRA = "generated-extra", Warning, "the column is computed in the target only";
    GENERATED_DIFFERENT = "generated-different", Warning, "the column is computed by different expressions";
    GENERATED_UNKNOWN = "generated-unknown", Note, "both sides compute the column, and whether the expressions are equal cannot be decided";
    COLLATION = "collation", Warning, "texts of the column are compared in another way, beyond the difference of the databases' defaults";
    COLLATION_DEFAULT = "collation-default", Note, "the default collations of the two databases compare texts differently";
    PRIMARY_KEY_MISSING = "primary-key-missing", Error, "the table has a primary key in the source only";
    PRIMARY_KEY_EXTRA = "primary-key-extra", Warning, "the table has a primary key in the target only";
    PRIMARY_KEY_DIFFERENT = "primary-key-different", Error, "the primary keys have different columns";
    UNIQUE_MISSING = "unique-missing", Error, "columns are unique in the source only";
    UNIQUE_EXTRA = "unique-extra", Warning, "columns are unique in the target only";
    INDEX_MISSING = "index-missing", Warning, "no index of the target begins with the columns of an index of the source";
    INDEX_EXTRA = "index-extra", Note, "no index of the source has the columns of an index of the target";
    INDEX_ORDER = "index-order", Warning, "an index has the same columns in another order, or in other directions";
    INDEX_FILTER = "index-filter", Warning, "an index covers other rows, because its condition is different";
    INDEX_DISABLED = "index-disabled", Warning, "an index of the target is disabled or invalid";
    INDEX_UNKNOWN = "index-unknown", Note, "whether an index has a counterpart cannot be decided: it has an expression, a condition or a kind that the other side does not have";
    FOREIGN_KEY_MISSING = "foreign-key-missing", Warning, "a foreign key is enforced in the source only";
    FOREIGN_KEY_EXTRA = "foreign-key-extra", Warning, "a foreign key exists in the target only";
    FOREIGN_KEY_DIFFERENT = "foreign-key-different", Warning, "the same columns reference another table or other columns";
    FOREIGN_KEY_ACTION = "foreign-key-action", Warning, "a foreign key deletes or changes other rows along, or refuses what the source allows";
    FOREIGN_KEY_UNTRUSTED = "foreign-key-untrusted", Warning, "a foreign key of the target is disabled or not validated, and that of the source is";
    CHECK_MISSING = "check-missing", Warning, "a check constraint is enforced in the source only";
    CHECK_EXTRA = "check-extra", Warning, "a check constraint exists in the target only";
    CHECK_DIFFERENT = "check-different", Warning, "check constraints of the same name have different conditions";
    CHECK_UNKNOWN = "check-unknown", Note, "both sides have a check constraint, and whether the conditions are equal cannot be decided";
    CHECK_UNTRUSTED = "check-untrusted", Warning, "a check constraint of the target is disabled or not validated, and that of the source is";
    IDENTITY_MISSING = "identity-missing", Warning, "the source numbers the column, by an identity or a sequence, and the target does not";
    IDENTITY_EXTRA = "identity-extra", Note, "the target numbers the column and the source does not";
    IDENTITY_STEP = "identity-step", Warning, "the two sides number the column in different steps, or only one begins again at the end";
    NEXT_VALUE = "next-value", Error, "the next number of an identity or a sequence of the target is not beyond the largest value in its column";
    NEXT_VALUE_UNKNOWN = "next-value-unknown", Note, "the next number of the target could not be compared with the values in its column";
    TRIGGER_MISSING = "trigger-missing", Warning, "the source has more enabled triggers than the target";
    TRIGGER_EXTRA = "trigger-extra", Warning, "the target has more enabled triggers than the source";
    TRIGGER_DISABLED = "trigger-disabled", Warning, "a trigger of the target is disabled, and that of the source is enabled";
    PARTITIONING = "partitioning", Warning, "only one side is partitioned, or the sides are partitioned by different columns";
    ROW_ESTIMATE = "row-estimate", Note, "the catalogs estimate very different numbers of rows; a run counts them";
}

/// All rules, in the order of the documentation.
#[must_use]
pub fn rules() -> &'static [SchemaRule] {
    RULES
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_is_that_of_one_rule_and_can_be_written_without_quotes() {
        let names: BTreeSet<&str> = rules().iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), rules().len());
        for rule in rules() {
            let is_plain = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(rule.name.chars().all(is_plain), "{}", rule.name);
            assert!(!rule.meaning.ends_with('.'), "{}", rule.meaning);
        }
    }
}
