//! The documentation of the rules, generated from them.

use shared::finding::Severity;

use crate::engine::schema::rule::rules;

const INTRODUCTION: &str = "\
# What is compared around the rows

`reconcile check` compares the schemas of the tables in both catalogs. This page lists its rules.
A rule is turned off by its name:

```toml
[check]
ignore = [\"index-extra\", \"row-estimate\"]
```

Columns are paired as in a run, with the same `naming`, `columns.map` and `columns.exclude`. What
belongs to a column that is left out is not compared.

These differences are those of a migration, and no rule finds them: types that
[types.md](types.md) pairs and that hold all values; names of constraints, indexes, triggers and
sequences; clustered and included columns of indexes; the seventh digit of a second; how many
NULLs a unique index accepts; a check that only says what the other side's type says, such as
`BETWEEN 0 AND 255` for a `tinyint`; an identity column on one side and a `serial` one on the other.

Conditions and defaults are compared in a simple form, in which parentheses, brackets, case of
names, conversions of constants, and functions such as `getdate()` and `now()` are equal. What does
not have this form is compared by its presence only, and a note says so.

The next value of an identity or a sequence of the target is compared with the largest value of its
column. This is the only statement that reads rows, and only where an index of the target begins
with the column. In PostgreSQL it needs the privilege SELECT on the sequence.

| rule | severity | what it finds |
|---|---|---|
";

/// The page, in Markdown.
#[must_use]
pub fn schema_rules_page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for rule in rules() {
        let severity = match rule.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        page += &format!("| `{}` | {severity} | {} |\n", rule.name, rule.meaning);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_the_documentation_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema-rules.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, schema_rules_page()).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap_or_default(),
            schema_rules_page(),
            "docs/schema-rules.md differs from the rules; run with UPDATE_DOCS=1"
        );
    }
}
