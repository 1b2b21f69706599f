//! The documentation of which types are compared with each other and how,
//! generated from the rules themselves.

use shared::options::{ColumnRule, Encoding};

use crate::engine::database::dialect::Dialect;
use crate::engine::database::filter::functions;
use crate::engine::database::postgres::Postgres;
use crate::engine::database::sql_server::SqlServer;
use crate::engine::database::{postgres, sql_server};
use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::kind::Kind;
use crate::engine::values::pairing::encoding::{
    ENCODINGS, encoding_name, fitting_encodings, meaning, zoned,
};
use crate::engine::values::pairing::{Pairing, pairing};

/// Types with the same rules: their names, and one of them.
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
    ("boolean, bit(1)", "bool"),
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

/// How two types are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypePair {
    /// A type, or several types with the same rules.
    pub one: &'static str,
    /// The type that it is compared with.
    pub other: &'static str,
    /// The canonical form; `needs an option` if the options of `as` are needed.
    pub form: &'static str,
    /// Under which rule two values are equal.
    pub rule: &'static str,
    /// The values of `as` that fit, and `zone`.
    pub options: Vec<&'static str>,
}

/// All pairs of types of SQL Server and PostgreSQL that can be compared without `as_text`.
#[must_use]
pub fn type_pairs() -> Vec<TypePair> {
    let (sql_server, postgres) = (sql_server_columns(), postgres_columns());
    let shown = |groups: &[Group], at: usize| groups[at].0;
    let mut pairs = Vec::new();
    for (left_at, left) in sql_server.iter().enumerate() {
        for (right_at, right) in postgres.iter().enumerate() {
            if let Some((form, rule)) = compared(left, right) {
                pairs.push(TypePair {
                    one: shown(&SQL_SERVER, left_at),
                    other: shown(&POSTGRES, right_at),
                    form,
                    rule,
                    options: options(left, right),
                });
            }
        }
    }
    pairs
}

fn sql_server_columns() -> Vec<Column> {
    SQL_SERVER
        .iter()
        // The largest precision of the type.
        .map(|(shown, name)| Column::new("c", sql_server::catalog::column_type(name, 7), shown))
        .collect()
}

fn postgres_columns() -> Vec<Column> {
    POSTGRES
        .iter()
        .map(|(shown, name)| Column::new("c", postgres::catalog::column_type(name, -1), shown))
        .collect()
}

/// The form in which two types are compared, and the rule; `None` if only `as_text` helps.
fn compared(left: &Column, right: &Column) -> Option<(&'static str, &'static str)> {
    match pairing(left, right, &ColumnRule::default()) {
        Ok(pairing) => Some((form(pairing.kind), rule(pairing, left, right))),
        Err(_) if fitting_encodings(&left.kind, &right.kind).is_empty() => None,
        Err(_) => Some((
            "needs an option",
            "without one, the table fails with an error that names them",
        )),
    }
}

/// The values of `as` that fit two types, and `zone`.
fn options(left: &Column, right: &Column) -> Vec<&'static str> {
    let zone = zoned(&left.kind, &right.kind).map(|_| "zone");
    fitting_encodings(&left.kind, &right.kind)
        .iter()
        .map(|encoding| encoding_name(*encoding))
        .chain(zone)
        .collect()
}

/// The page, in Markdown.
#[must_use]
pub fn types_page() -> String {
    let mut page = String::from(INTRODUCTION);
    let (sql_server, postgres) = (sql_server_columns(), postgres_columns());
    page.push_str("\n## SQL Server and PostgreSQL\n\nEither side may be the source.\n");
    for left in &sql_server {
        section(&mut page, left, postgres.iter().collect());
    }
    page.push_str(
        "\n## SQL Server and SQL Server\n\nDifferent types; equal types are always compared.\n",
    );
    same_engine(&mut page, &sql_server);
    page.push_str(
        "\n## PostgreSQL and PostgreSQL\n\nDifferent types; equal types are always compared.\n",
    );
    same_engine(&mut page, &postgres);
    page.push_str(OPTIONS);
    for (encoding, name) in ENCODINGS {
        // A pipe would end the cell.
        page += &format!(
            "| `as = \"{name}\"` | {} | {} |\n",
            meaning(encoding),
            written_by(encoding)
        );
    }
    page.push_str(OTHER_OPTIONS);
    page.push_str(CALLS);
    let of = |dialect: &dyn Dialect| dialect.facts().functions;
    for (whose, names) in [
        ("both", functions::COMMON),
        ("PostgreSQL", of(&Postgres)),
        ("SQL Server", of(&SqlServer)),
    ] {
        page += &format!("| {whose} | `{}` |\n", names.join("`, `"));
    }
    page
}

fn same_engine(page: &mut String, columns: &[Column]) {
    for (at, left) in columns.iter().enumerate() {
        let others: Vec<&Column> = columns[at + 1..].iter().collect();
        if !others.is_empty() {
            section(page, left, others);
        }
    }
}

/// The rules of one type with others.
fn section(page: &mut String, left: &Column, others: Vec<&Column>) {
    let mut lines = String::new();
    let mut without: Vec<&str> = Vec::new();
    for right in others {
        let Some((form, how)) = compared(left, right) else {
            without.push(&right.declared);
            continue;
        };
        let options: Vec<String> = options(left, right)
            .into_iter()
            .map(|option| format!("`{option}`"))
            .collect();
        lines += &format!(
            "| {} | {form} | {how} | {} |\n",
            right.declared,
            options.join(", ")
        );
    }
    *page += &format!("\n### {}\n\n", left.declared);
    if !lines.is_empty() {
        page.push_str(
            "| with | compared as | rule | options of `as`, and `zone` |\n|---|---|---|---|\n",
        );
        page.push_str(&lines);
    }
    if !without.is_empty() {
        if !lines.is_empty() {
            page.push('\n');
        }
        *page += &format!("Compared with `as_text` only: {}.\n", without.join("; "));
    }
}

fn form(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "boolean",
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
}

fn rule(pairing: Pairing, left: &Column, right: &Column) -> &'static str {
    use ColumnType::{Bool, DateTime, Float32, Float64, Int, Text, Uuid};
    let one = |kind: fn(&ColumnType) -> bool| kind(&left.kind) || kind(&right.kind);
    let padded = one(|kind| matches!(kind, Text { padded: true }));
    let converted = pairing.source.or(pairing.target);
    match (pairing.kind, converted) {
        (Kind::Bool, _) if one(|kind| *kind == Int) => {
            "0 is false, 1 is true; any other number differs from both"
        }
        (Kind::Bool | Kind::Int | Kind::Bytes, _) => "exact",
        (Kind::Decimal, _) if one(|kind| *kind == Bool) => "false and true are 0 and 1",
        (Kind::Decimal, Some(_)) if one(|kind| matches!(kind, Float32 | Float64)) => {
            "a float with an integer value is that integer, any other the shortest decimal that reads back as the same float; a number that the float cannot represent differs"
        }
        (Kind::Decimal, _) => "by value, independent of scale; any number of digits",
        (Kind::Float64, _) => "by bits; -0 equals 0, all NaN are equal",
        (Kind::Float32, _) if one(|kind| *kind == Float64) => {
            "the wider float rounded to 32 bits; -0 equals 0, all NaN are equal"
        }
        (Kind::Float32, _) => "by bits; -0 equals 0, all NaN are equal",
        (Kind::Text, _) if one(|kind| *kind == ColumnType::Xml) => {
            "the text that each database sends for its XML"
        }
        (Kind::Text, _) if padded => {
            "by Unicode characters; blanks at the end mean nothing, on both sides"
        }
        (Kind::Text, _) => "by Unicode characters",
        (Kind::Date, _) => "by day; PostgreSQL's infinities equal only themselves",
        (Kind::Timestamp(_), Some(Conversion::StartOfDay)) => {
            "a date equals its midnight; a timestamp with another time of day differs"
        }
        (Kind::Timestamp(_), _) if one(|kind| *kind == DateTime) => {
            "in milliseconds, or the coarser precision, rounded: .9966667 is .997"
        }
        (Kind::Timestamp(_) | Kind::Time(_), _) => {
            "in the coarser precision, further digits are cut"
        }
        (Kind::Instant(_), _) => "in UTC and the coarser precision, further digits are cut",
        (Kind::Uuid, _) if left.kind != Uuid || right.kind != Uuid => {
            "text is parsed in any of the usual notations; other text differs"
        }
        (Kind::Uuid, _) => "by its 16 bytes",
        (Kind::Json, _) => {
            "by meaning: white space and the order of members are ignored, numbers are compared by value, the last of several members with the same name counts; text that is not valid JSON differs"
        }
    }
}

/// The software that writes an encoding.
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
            "Debezium, of `datetimeoffset`; a date without hyphens and a blank before the offset are read too; a text with a zone never equals a timestamp without one, nor a text without a zone an instant"
        }
        Encoding::DecimalText => "Debezium with `decimal.handling.mode=string`",
        Encoding::SqlServerText => {
            "SQL Server's `CONVERT` in the styles 0, 112, 120, 121, 126 and 127, `bcp`; what is ISO 8601 is read too"
        }
        Encoding::DecimalBytes => {
            "Debezium with `decimal.handling.mode=precise`, as Base64 in its JSON; needs `scale`"
        }
        Encoding::Base64 => "Debezium with `binary.handling.mode=base64` or `base64-url-safe`",
        Encoding::Hex => "Debezium with `binary.handling.mode=hex`; `0x` or `\\x` may precede it",
        Encoding::Json => "`nvarchar` or `text` with JSON on both sides",
        Encoding::Xml => "`xml` in a database that keeps less of its notation",
        Encoding::BooleanText => "type maps of converters; see below for the words",
        Encoding::Utc => "a `datetime2` that was copied into a `timestamptz`",
    }
}

const INTRODUCTION: &str = "\
# Which types are compared, and how

`reconcile types --markdown` prints this page, and `reconcile types datetime` the pairs with
a type of this name.

Values are compared in a canonical form, never as text to which a database
converted them. For each pair of types there is a rule under which two values are
equal only if they mean the same, or the table fails with an error that names the
column, both types and the options to use. A value that cannot be converted (text
that is not a number, a number of milliseconds out of range) is not an error: it
is reported as a difference.

Domains and alias types are compared as their base types. Precisions `(p)` are
digits of a second.
";

const OPTIONS: &str = r#"
## Options of columns

Options are set under a table of the configuration, by the column's name on the
source:

```toml
[[tables]]
source = "dbo.orders"

[tables.rules.created]
as = "epoch-micros"

[tables.rules.amount]
tolerance = { absolute = "0.005" }
```

or on one line each: `rules.created.as = "epoch-micros"`. A rule for a column that
neither side has is an error, and so is an option that does not fit the column's
types. `[[rules]]` has the same options for all columns of a type or with similar names
([tables.md](tables.md#rules-for-columns-of-many-tables)).

### `as`: the encoding of numbers, text or bytes

One side has encoded values, the other the type itself.

| option | meaning | written by |
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

Words that stand for booleans are `true`, `t`, `1`, `yes`, `y`, `on` and `false`, `f`,
`0`, `no`, `n`, `off`, in any case. `true_words` and `false_words` name others, which
replace the usual ones. Any other text is a difference. A repair writes the first word
that is named, else `true` or `false`, or `Y` or `N` to columns of fewer than five
characters.

```toml
[[tables]]
source = "dbo.customers"

[tables.rules.active]
as = "boolean-text"
true_words = ["J", "Ja"]
false_words = ["N", "Nein"]
```

Times that SQL Server writes in style 0, its default for `datetime`, have no seconds:
`Jun 26 2015 12:00AM`. Such a text equals a time without seconds only. The names of the
months are the English ones. Style 127 may write a `Z` behind the time of a type without
a zone, where it means nothing.

XML is compared in a canonical form: without its declaration, white space between
elements, the order of attributes and the kind of quotes; references, CDATA and empty
elements have one form, and prefixes of namespaces are replaced by what they mean. White
space that was written by references or in CDATA, or under `xml:space="preserve"`,
counts. Text that is no XML, has a document type definition, or is larger than 16 MiB
or nested deeper than 256 elements is compared as it is.

### Local times: `zone`

`zone` names the time zone of local times without a zone (`datetime`, `datetime2`,
`smalldatetime`, `timestamp`) that are compared with instants (`datetimeoffset`,
`timestamptz`). Names and rules are those of the IANA time zone database that the
program contains. Both sides are compared as local times:

- When clocks are set back, local times occur twice. Such a time equals both of its
  instants.
- When clocks are set forward, local times are skipped. Such a time is compared as the
  time that is later by as much as the clocks are set forward: 02:30 as 03:30. This is
  what databases store for it.

The report says how many there are. A repair writes the later one of two instants, as
PostgreSQL does. `as = "utc"` is for times in UTC.

```toml
[[tables]]
source = "dbo.orders"

[tables.rules.placed]
zone = "Europe/Berlin"
```

### Times: `precision`, `rounding`

`precision` is the largest number of digits of a second that are compared, 0 to 7.
`rounding` is how further digits are dropped: `truncate` (the default), `half-up`
(the default of `datetime`) or `half-even` (as PostgreSQL rounds a seventh digit).
With `half-up`, half a step is rounded to the later time. If PostgreSQL's column
has fewer digits, and fewer than six, half a step is rounded away from 2000-01-01,
as PostgreSQL does: times before that day are rounded to the earlier one.

```toml
[[tables]]
source = "dbo.events"

[tables.rules.happened]
precision = 6
rounding = "half-even"
```

### Text: `trim`, `case_insensitive`, `unicode`

`trim` (`end`, `start`, `both`) removes blanks (U+0020 only). `case_insensitive`
applies Unicode's full case folding, so that `STRASSE` equals `straße`. `unicode`
converts text to a normalization form first: `nfc`, `nfd`, `nfkc` or `nfkd`.

```toml
[[tables]]
source = "dbo.people"

[tables.rules.name]
trim = "end"
case_insensitive = true
unicode = "nfc"
```

### Numbers and times: `tolerance`

Values whose distance is at most the limit are equal. The limit is `absolute`, a
decimal, in seconds for times, or `relative`, a fraction of the larger magnitude,
for numbers only. The arithmetic is exact. A column of the key cannot have a
tolerance, nor can columns of a table without a key.

```toml
[[tables]]
source = "dbo.measures"

[tables.rules.value]
tolerance = { relative = 0.000001 }

[tables.rules.taken]
tolerance = { absolute = "0.001" }
```

### Types without a rule: `as_text`, `ignore`

With `as_text`, both databases convert the column to text, and the texts are
compared; `trim`, `case_insensitive` and `unicode` apply to them. SQL Server's
`sql_variant`, `hierarchyid` and spatial types and PostgreSQL's arrays and ranges
can be compared this way if both databases convert them to the same text.
`as_text` also reads an `nvarchar` with unpaired surrogates, which are not valid
Unicode: such a value equals none that PostgreSQL can store, and without `as_text`
it is an error. `ignore` leaves the column out.

SQL Server converts a `sql_variant` by the type of each value, without losing
digits: floats with 17 digits, money with four, times in ISO 8601 with all digits,
bytes in hexadecimal; text of more than 4,000 bytes in a code page as its
collation and its bytes. A `geography` or `geometry` becomes the text of PostGIS'
`ST_AsEWKT`, `SRID=4326;POINT(1 2)`, without `SRID` if that is 0; the notations of
measures (M) differ. A `geometry` of PostGIS itself becomes hexadecimal text:
compare a view with its `ST_AsEWKT` instead. PostgreSQL converts floats with all
digits, dates as `2020-12-31`, bytes in hexadecimal and instants in UTC,
independent of the server's settings. SQL Server converts a `bit` to `1` or `0`, as
PostgreSQL does a `bit(1)`; a `boolean` becomes `true` or `false`.

```toml
[[tables]]
source = "dbo.shops"

[tables.rules.place]
as_text = true

[tables.rules.updated_by]
ignore = true
```

### Redaction: `redact`

The column's values never leave the worker; reports contain a keyed hash instead.

```toml
[[tables]]
source = "dbo.patients"

[tables.rules.diagnosis]
redact = true
```

## Which rows are compared

`where` is one condition for each side, in that database's SQL, without comments.
PostgreSQL evaluates it in UTC, independent of the server's settings: a time
without a zone that is compared with a `timestamptz` is in UTC. `soft_delete`
names the target's column that marks rows as deleted. Such rows are treated as
absent, and the column is not compared. A row is deleted if the column equals
`value`; without `value`, if a boolean is true, an integer is 1, a text is `true`,
or a time is not NULL.

```toml
[[tables]]
source = "dbo.invoices"
where = { source = "year >= 2020", target = "year >= 2020" }
soft_delete = { column = "__deleted" }
```
"#;

const CALLS: &str = "
A condition may call these functions, by their names without a schema. Others are refused:
they may wait, write or reach another server. So are table hints, names of four parts and,
where the worker has `[limits] schemas`, sub-queries. For everything else, compare a view.

| database | functions |
|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_the_documentation_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/types.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == types_page(),
            "docs/types.md differs from the rules; run `cargo run --bin reconcile -- types --markdown > docs/types.md`"
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
