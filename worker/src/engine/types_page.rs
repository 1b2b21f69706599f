//! The page that says which types are compared with each other and how. It is
//! made out of the rules themselves, so that it cannot say anything else.

use std::fmt::Write as _;

use shared::options::{ColumnRule, Encoding};

use crate::engine::database::{postgres, sql_server};
use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::kind::Kind;
use crate::engine::values::pairing::{
    ENCODINGS, Pairing, encoding_name, fitting_encodings, meaning, pairing,
};

/// Types that are alike, by their names; the first one says what they hold.
type Group = (&'static str, &'static str);

const SQL_SERVER: [Group; 20] = [
    ("bit", "bit"),
    ("tinyint, smallint, int, bigint", "int"),
    ("decimal, numeric", "decimal"),
    ("money, smallmoney", "money"),
    ("real", "real"),
    ("float", "float"),
    ("char, nchar", "nchar"),
    ("varchar, nvarchar, text, ntext", "nvarchar"),
    ("binary, varbinary, image, rowversion", "varbinary"),
    ("date", "date"),
    ("time(p)", "time"),
    ("datetime", "datetime"),
    ("smalldatetime", "smalldatetime"),
    ("datetime2(p)", "datetime2"),
    ("datetimeoffset(p)", "datetimeoffset"),
    ("uniqueidentifier", "uniqueidentifier"),
    ("xml", "xml"),
    ("json", "json"),
    ("sql_variant", "sql_variant"),
    ("hierarchyid, geography, geometry", "geography"),
];

const POSTGRES: [Group; 17] = [
    ("boolean", "bool"),
    ("smallint, integer, bigint", "int8"),
    ("numeric", "numeric"),
    ("money", "money"),
    ("real", "float4"),
    ("double precision", "float8"),
    ("character(n)", "bpchar"),
    ("varchar, text, name, citext, enums", "text"),
    ("bytea", "bytea"),
    ("date", "date"),
    ("time(p)", "time"),
    ("timestamp(p)", "timestamp"),
    ("timestamptz(p)", "timestamptz"),
    ("uuid", "uuid"),
    ("json, jsonb", "jsonb"),
    ("xml", "xml"),
    (
        "arrays, ranges, composites, interval, timetz and others",
        "interval",
    ),
];

/// The page, in Markdown.
#[must_use]
pub fn types_page() -> String {
    let mut page = String::from(INTRODUCTION);
    let sql_server: Vec<Column> = SQL_SERVER
        .iter()
        // As fine as the type can be.
        .map(|(shown, name)| column(shown, sql_server::catalog::column_type(name, 7)))
        .collect();
    let postgres: Vec<Column> = POSTGRES
        .iter()
        .map(|(shown, name)| column(shown, postgres::catalog::column_type(name, -1)))
        .collect();
    page.push_str("\n## SQL Server and PostgreSQL\n\nEither may be the source.\n");
    for left in &sql_server {
        section(&mut page, left, postgres.iter().collect());
    }
    page.push_str("\n## SQL Server and SQL Server\n\nOf different types; equal ones are compared as themselves.\n");
    same_engine(&mut page, &sql_server);
    page.push_str("\n## PostgreSQL and PostgreSQL\n\nOf different types; equal ones are compared as themselves.\n");
    same_engine(&mut page, &postgres);
    page.push_str(OPTIONS);
    for (encoding, name) in ENCODINGS {
        // A pipe would end the cell.
        writeln!(
            page,
            "| `as = \"{name}\"` | {} | {} |",
            meaning(encoding),
            written_by(encoding)
        )
        .expect("writing to a string does not fail");
    }
    page.push_str(OTHER_OPTIONS);
    page
}

fn column(declared: &str, kind: ColumnType) -> Column {
    Column {
        name: "c".to_owned(),
        kind,
        declared: declared.to_owned(),
        nullable: true,
        read_as: None,
        repertoire: crate::engine::values::column::Repertoire::default(),
    }
}

fn same_engine(page: &mut String, columns: &[Column]) {
    for (at, left) in columns.iter().enumerate() {
        let others: Vec<&Column> = columns[at + 1..].iter().collect();
        if !others.is_empty() {
            section(page, left, others);
        }
    }
}

/// What one type does with others.
fn section(page: &mut String, left: &Column, others: Vec<&Column>) {
    let mut lines = String::new();
    let mut without: Vec<&str> = Vec::new();
    for right in others {
        let plain = pairing(left, right, &ColumnRule::default()).ok();
        let encodings = fitting_encodings(&left.kind, &right.kind);
        if plain.is_none() && encodings.is_empty() {
            without.push(&right.declared);
            continue;
        }
        let (form, how) = match plain {
            Some(pairing) => (form(pairing.kind), rule(pairing, left, right)),
            None => ("error".to_owned(), "names the option that fits".to_owned()),
        };
        let options: Vec<String> = encodings
            .iter()
            .map(|encoding| format!("`{}`", encoding_name(*encoding)))
            .collect();
        writeln!(
            lines,
            "| {} | {form} | {how} | {} |",
            right.declared,
            options.join(", ")
        )
        .expect("writing to a string does not fail");
    }
    write!(page, "\n### {}\n\n", left.declared).expect("writing to a string does not fail");
    if !lines.is_empty() {
        page.push_str("| with | compared as | rule | with `as` |\n|---|---|---|---|\n");
        page.push_str(&lines);
    }
    if !without.is_empty() {
        if !lines.is_empty() {
            page.push('\n');
        }
        writeln!(
            page,
            "With no other form than `as_text`: {}.",
            without.join("; ")
        )
        .expect("writing to a string does not fail");
    }
}

fn form(kind: Kind) -> String {
    match kind {
        Kind::Bool => "truth value",
        Kind::Int => "integer",
        Kind::Decimal => "decimal",
        Kind::Float64 => "float of 64 bits",
        Kind::Float32 => "float of 32 bits",
        Kind::Text => "text",
        Kind::Bytes => "bytes",
        Kind::Date => "date",
        Kind::Time(_) => "time",
        Kind::Timestamp(_) => "timestamp",
        Kind::Instant(_) => "instant",
        Kind::Uuid => "UUID",
        Kind::Json => "JSON",
    }
    .to_owned()
}

fn rule(pairing: Pairing, left: &Column, right: &Column) -> String {
    use ColumnType::{Bool, DateTime, Float32, Float64, Int, Text, Uuid};
    let one = |kind: fn(&ColumnType) -> bool| kind(&left.kind) || kind(&right.kind);
    let padded = one(|kind| matches!(kind, Text { padded: true }));
    let converted = pairing.source.or(pairing.target);
    match (pairing.kind, converted) {
        (Kind::Bool, _) if one(|kind| *kind == Int) => "0 and 1 are false and true; no other number is either".to_owned(),
        (Kind::Bool | Kind::Int | Kind::Bytes, _) => "exactly".to_owned(),
        (Kind::Decimal, _) if one(|kind| *kind == Bool) => "false and true are 0 and 1".to_owned(),
        (Kind::Decimal, Some(_)) if one(|kind| matches!(kind, Float32 | Float64)) => {
            "a whole float by its exact value, another by the shortest decimal that reads back as it; digits that a float cannot hold differ".to_owned()
        }
        (Kind::Decimal, _) => "by value, whatever the scale; any number of digits".to_owned(),
        (Kind::Float64, _) => "by bits; -0 is 0, all NaN are one".to_owned(),
        (Kind::Float32, _) if one(|kind| *kind == Float64) => "the wider one narrowed to 32 bits; -0 is 0, all NaN are one".to_owned(),
        (Kind::Float32, _) => "by bits; -0 is 0, all NaN are one".to_owned(),
        (Kind::Text, _) if one(|kind| *kind == ColumnType::Xml) => "as text, as each database writes its XML".to_owned(),
        (Kind::Text, _) if padded => "by Unicode characters; blanks at the end of the fixed length mean nothing".to_owned(),
        (Kind::Text, _) => "by Unicode characters".to_owned(),
        (Kind::Date, _) => "by day; PostgreSQL's infinities are values of their own".to_owned(),
        (Kind::Timestamp(_), Some(Conversion::StartOfDay)) => "a date is its midnight; a timestamp with a time of day differs".to_owned(),
        (Kind::Timestamp(_), _) if one(|kind| *kind == DateTime) => "at milliseconds or the coarser precision, rounded: .9966667 is .997".to_owned(),
        (Kind::Timestamp(_) | Kind::Time(_), _) => "at the coarser precision, further digits cut".to_owned(),
        (Kind::Instant(_), _) => "as UTC, at the coarser precision, further digits cut".to_owned(),
        (Kind::Uuid, _) if left.kind != Uuid || right.kind != Uuid => "text in any of the usual notations; other text differs".to_owned(),
        (Kind::Uuid, _) => "by its 16 bytes".to_owned(),
        (Kind::Json, _) => "by meaning: blanks and the order of members mean nothing, numbers by value, the last of members with one name; text that is no JSON differs".to_owned(),
    }
}

/// Who writes an encoding.
fn written_by(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::EpochDays => "Debezium, of `date`",
        Encoding::EpochSeconds => "",
        Encoding::EpochMillis => "Debezium, of `datetime`, `smalldatetime`, `datetime2(0-3)`",
        Encoding::EpochMicros => "Debezium, of `datetime2(4-6)`",
        Encoding::EpochNanos => "Debezium, of `datetime2(7)`",
        Encoding::MidnightMillis => "Debezium, of `time(0-3)`",
        Encoding::MidnightMicros => "Debezium, of `time(4-6)`",
        Encoding::MidnightNanos => "Debezium, of `time(7)`",
        Encoding::Iso8601 => {
            "Debezium, of `datetimeoffset`; a text with a zone is no timestamp without one, and the other way round"
        }
        Encoding::DecimalText => "Debezium with `decimal.handling.mode=string`",
        Encoding::DecimalBytes => "Debezium with `decimal.handling.mode=precise`; needs `scale`",
        Encoding::Base64 => "Debezium with `binary.handling.mode=base64` or `base64-url-safe`",
        Encoding::Hex => {
            "Debezium with `binary.handling.mode=hex`; `0x` or `\\x` may stand before it"
        }
        Encoding::Json => "`nvarchar` and `text` on both sides that hold JSON",
        Encoding::Utc => "a `datetime2` that was copied into a `timestamptz`",
    }
}

const INTRODUCTION: &str = "\
# Which types are compared, and how

This page is printed by `reconcile types`.

Values are compared in a canonical form, never as text that a database made of
them. For each pair of types there is a rule under which two values are equal
only if they mean the same, or the table fails with an error that names the
column, both types and the option that helps. A value that cannot be brought
into the form (text that is no number, a count of milliseconds that is no time)
is a value of its own: it is reported as a difference, and is no error.

Types that are not listed, domains and aliases count as what they are made of.
Precisions `(p)` are digits of a second.
";

const OPTIONS: &str = r#"
## Options of columns

They are written under a table of the configuration, by the name of the column
on the source:

```toml
[[tables]]
source = "dbo.orders"

[tables.rules.created]
as = "epoch-micros"

[tables.rules.amount]
tolerance = { absolute = "0.005" }
```

or in one line each, as `rules.created.as = "epoch-micros"`. A rule for a column
that neither side has is an error, and so is an option that does not fit the
column's types.

### `as`: what the side that holds numbers, text or bytes means by them

The other side holds the real type.

| option | says that | written by |
|---|---|---|
"#;

const OTHER_OPTIONS: &str = r#"
A decimal in bytes needs its scale:

```toml
[[tables]]
source = "dbo.prices"

[tables.rules.price]
as = "decimal-bytes"
scale = 2
```

### Times: `precision`, `rounding`

`precision` is how many digits of a second are compared at most, 0 to 7.
`rounding` says what happens to further ones: `truncate` (they are cut, the
default), `half-up` (the default of `datetime`) or `half-even` (what PostgreSQL
does when it stores a seventh digit). With `half-up`, half a step goes up on the
clock. Where PostgreSQL's column has the fewer digits, and less than six, it goes
away from 2000-01-01, so before that day down, as PostgreSQL rounds what it stores.

```toml
[[tables]]
source = "dbo.events"

[tables.rules.happened]
precision = 6
rounding = "half-even"
```

### Text: `trim`, `case_insensitive`, `unicode`

`trim` (`end`, `start`, `both`) takes blanks away, U+0020 and no other.
`case_insensitive` folds letters by Unicode's full case folding, so that
`STRASSE` equals `straße`. `unicode` brings text to a normal form first: `nfc`,
`nfd`, `nfkc` or `nfkd`.

```toml
[[tables]]
source = "dbo.people"

[tables.rules.name]
trim = "end"
case_insensitive = true
unicode = "nfc"
```

### Near enough: `tolerance`

For numbers and times that may differ by a little: `absolute`, a decimal, for
times in seconds, or `relative`, a fraction of the larger magnitude. The limit
itself is near enough. The comparison is exact decimal arithmetic. A column of
the key cannot have a tolerance, and a table without a key cannot use one.

```toml
[[tables]]
source = "dbo.measures"

[tables.rules.value]
tolerance = { relative = 0.000001 }

[tables.rules.taken]
tolerance = { absolute = "0.001" }
```

### Types without a rule: `as_text`, `ignore`

`as_text` has both databases convert the column to text, and compares that;
`trim`, `case_insensitive` and `unicode` apply to it. SQL Server's `sql_variant`,
`hierarchyid` and spatial types and PostgreSQL's arrays and ranges can be
compared so where both write the same. It also reads an `nvarchar` that holds
halves of characters (unpaired surrogates), which are no Unicode: such a value
equals none that PostgreSQL can hold, and reading it otherwise is an error.
`ignore` leaves the column out.

SQL Server writes a `sql_variant` by the type of each value, without losing
digits: floats with 17, money with four, times in ISO 8601 with all their
digits, bytes in hexadecimal; text of more than 4,000 bytes in a code page as its
collation and its bytes. A `geography` or `geometry` becomes the text that
PostGIS' `ST_AsEWKT` writes, `SRID=4326;POINT(1 2)`, without `SRID` where that is
0; with measures (M) the two write otherwise. A `geometry` of PostGIS itself
becomes hexadecimal text: compare a view that has its `ST_AsEWKT`. PostgreSQL
writes floats with all their digits, dates as `2020-12-31`, bytes in hexadecimal
and instants in UTC, whatever the server is set to.

```toml
[[tables]]
source = "dbo.shops"

[tables.rules.place]
as_text = true

[tables.rules.updated_by]
ignore = true
```

### Discretion: `redact`

The column's values never leave the worker; reports show a keyed hash.

```toml
[[tables]]
source = "dbo.patients"

[tables.rules.diagnosis]
redact = true
```

## Which rows take part

`where` is one condition for each side, in that database's SQL. It cannot hold
comments. PostgreSQL reads it in UTC, whatever the server is set to: a time
without a zone that is compared with a `timestamptz` is UTC. `soft_delete`
names the target's column that marks rows as deleted: they count as absent, and
the column is not compared. What marks a row, unless `value` says it, is true in
a truth value, 1 in an integer, `true` in text, and in a time any value but NULL.

```toml
[[tables]]
source = "dbo.invoices"
where = { source = "year >= 2020", target = "year >= 2020" }
soft_delete = { column = "__deleted" }
```
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_the_documentation_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/types.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == types_page(),
            "docs/types.md is not what the rules say; run `cargo run --bin reconcile -- types > docs/types.md`"
        );
    }

    #[test]
    fn every_example_is_a_configuration() {
        let page = types_page();
        let examples: Vec<&str> = page
            .split("```toml\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .collect();
        assert!(examples.len() >= 7, "{}", examples.len());
        for example in examples {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), example).unwrap();
            let loaded = shared::config::load(Some(file.path()));
            assert!(loaded.is_ok(), "{example}\n{loaded:?}");
        }
    }
}
