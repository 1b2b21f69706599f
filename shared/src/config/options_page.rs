//! `docs/configuration.md`: the table of all options, rendered from their declarations.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Arg, Args, Command};

use crate::endpoint::{DatabaseKind, IGNORED, LIBPQ_VARIABLES, OPTIONS};

use super::broker;
use super::endpoint::{self, VARIABLE_PARTS};
use super::keys::DeclaredKey;
use super::options::Declared;
use super::section::variable_name;
use super::{
    CheckOptions, LogOptions, MetricsOptions, ProgressOptions, ReportOptions, RunOptions,
    StoreOptions, TraceOptions, WorkerLimits,
};

const INTRODUCTION: &str = "\
# Configuration

Options of `reconcile run` and `reconcile check`, and the limits of `reconcile-worker`, are set by a flag, by an
environment variable, or by a key in `reconcile.toml` (`--config FILE` names another file). A flag overrides the variable, the
variable overrides the file, the file overrides the default. OpenTelemetry's own `OTEL_…`
variables come between the variables of this table and the file. A key `row_level` of `[run]`
is written

```toml
[run]
row_level = true
```

A variable holds `true` or `false` for a flag without a value, and a list is separated by
commas. `reconcile config` prints the settings of the file and the variables, without
secrets. Unknown keys and unknown `RECONCILE_…` variables of these sections are errors.
[tables.md](tables.md) describes lists of tables, `[[tables]]` and `[[rules]]`.

[Endpoints](#endpoints) and the [broker](#broker) have keys and variables and no flags. The section
[Connections](#connections) describes how a database is written.

<!-- The tables are generated: UPDATE_DOCS=1 cargo test -p shared --lib options_page -->
";

const ENDPOINTS: &str = "
## Endpoints

`[endpoints.NAME]` describes the database `NAME`, for the coordinator and for a worker. Its
variables contain the name in capital letters: the password of `[endpoints.erp]` is set by
`RECONCILE_ENDPOINTS_ERP_PASSWORD`. A password has one source: only one of the keys that begin
with `password` may be set.

";

const CONNECTIONS: &str = "
## Connections

`--source-url`, `--target-url` and the key `url` take a connection in one of these forms:

| form | example |
|---|---|
| URL of SQL Server | `mssql://reader@sql1:1433/erp`, `sqlserver://reader@sql1?database=erp` |
| ADO.NET | `Server=tcp:sql1,1433;Database=erp;User Id=reader;Password=\"a;b\"` |
| ODBC | `Driver={ODBC Driver 18 for SQL Server};Server=sql1;Database=erp;UID=reader;PWD={a;b}` |
| JDBC of SQL Server | `jdbc:sqlserver://sql1:1433;databaseName=erp;user=reader` |
| URL of PostgreSQL | `postgres://reader@pg1:5432/erp?sslmode=require`, `postgresql:///erp?host=/run/postgresql` |
| libpq | `host=pg1 dbname=erp user=reader`, `service=erp` |
| JDBC of PostgreSQL | `jdbc:postgresql://pg1/erp?user=reader` |
| Npgsql | `Host=pg1;Database=erp;Username=reader` |

An IPv6 address in a URL is written `[::1]`. In the user or the password of a URL, write `@` as
`%40`, `/` as `%2F`, `?` as `%3F`, `#` as `%23`, `:` as `%3A` and `%` as `%25`.

These are the options. Their names are compared without case, blanks, `_` and `-`. An option that
is neither in this table nor in the list below it is an error.

";

const PASSWORDS: &str = "
A password does not have to be in the text. The first of these sources that has one decides:

1. the text, or for an endpoint a key that begins with `password`;
2. for `--source-url` and `--target-url`: `--source-password-file` and `--target-password-file`,
   then the variables `RECONCILE_SOURCE_PASSWORD` and `RECONCILE_TARGET_PASSWORD`;
3. for PostgreSQL: the service, `PGPASSWORD`, then the password file (`~/.pgpass`), which is
   ignored with a warning if its group or others have access to it;
4. for `--source-url` and `--target-url` on a terminal: a prompt.

## Variables of databases

If `--source` or `--target` is absent, these variables describe the endpoints `sqlserver` and
`postgres`, the source and the target. Variables with two prefixes do not describe one endpoint.

";

const LIBPQ: &str = "
What a PostgreSQL connection does not say comes from its service (`service`, or the variable
`PGSERVICE`) in `~/.pg_service.conf` (or the file that `PGSERVICEFILE` names) or in
`pg_service.conf` in `PGSYSCONFDIR` (`/etc/postgresql-common`), then from these variables.
`PGHOST` or `PGSERVICE` alone also describe the endpoint `postgres`. `PGPASSFILE` names the
password file. Other variables of libpq are not read.

";

const BROKER: &str = "
## Broker

";

const OTHER_VARIABLES: &str = "
## Other variables

| variable | meaning |
|---|---|
| `RECONCILE_CONFIG` | the file of `--config` |
| `RECONCILE_BROKER` | the URL of `--broker` |
| `RECONCILE_SOURCE_PASSWORD`, `RECONCILE_TARGET_PASSWORD` | the passwords of `--source-url` and `--target-url` |
| `RECONCILE_SPILL_DIR` | the directory of `reconcile-worker --spill-dir` |
| `RECONCILE_METRICS_ADDR` | the address of `--metrics-addr` |
| `RECONCILE_LOG_FORMAT` | the form of `--log-format` |
| `RUST_LOG` | which log lines are printed, in the notation of the crate `tracing-subscriber` |
| `NO_COLOR` | not empty: log lines have no colours |
| `XDG_STATE_HOME`, `HOME` | where runs are stored without `--state-dir` |
| `TMPDIR` | the directory of temporary files without `--spill-dir` |
";

/// A table of keys that have no flag. `section` is written with the name in place of which a key
/// of a section stands.
fn table_of_keys(section: &str, keys: &[DeclaredKey]) -> String {
    let rows = keys.iter().map(|declared| {
        let DeclaredKey {
            key,
            default,
            meaning,
        } = declared;
        let variable = variable_name(&format!("{section}.{key}"));
        format!("| `[{section}] {key}` | `{variable}` | {default} | {meaning} |\n")
    });
    "| key | variable | default | meaning |\n|---|---|---|---|\n".to_owned()
        + &rows.collect::<String>()
}

/// The options of connections, and those without effect.
fn table_of_connection_options() -> String {
    let rows = OPTIONS.iter().map(|option| {
        let names = option.names.replace(", ", "`, `");
        format!("| `{names}` | {} | {} |\n", option.database, option.meaning)
    });
    format!(
        "| option | database | meaning |\n|---|---|---|\n{}\nThese have no effect here, and are accepted: `{}`.\n",
        rows.collect::<String>(),
        IGNORED.join("`, `")
    )
}

/// The variables that describe endpoints.
fn tables_of_database_variables() -> String {
    let mut rows = String::new();
    for kind in [DatabaseKind::SqlServer, DatabaseKind::Postgres] {
        for (parts, meaning) in VARIABLE_PARTS {
            let parts: Vec<&str> = match parts {
                ["SA_PASSWORD"] if kind.administrator().is_none() => continue,
                ["DATABASE"] => kind.database_variables().to_vec(),
                parts => parts.to_vec(),
            };
            let names: Vec<String> = kind
                .variable_prefixes()
                .iter()
                .flat_map(|prefix| parts.iter().map(move |part| format!("`{prefix}_{part}`")))
                .collect();
            rows += &format!("| {} | {meaning} |\n", names.join(", "));
        }
    }
    let libpq = LIBPQ_VARIABLES
        .iter()
        .map(|(variable, option)| format!("| `{variable}` | `{option}` |\n"));
    format!(
        "| variable | meaning |\n|---|---|\n{rows}{LIBPQ}| variable | option |\n|---|---|\n{}",
        libpq.collect::<String>()
    )
}

/// An option: its declaration, and its flag as clap has it.
fn options() -> Vec<(Declared, Arg)> {
    fn group<T: Args>(declared: Vec<Declared>) -> Vec<(Declared, Arg)> {
        let command = T::augment_args(Command::new("run"));
        let flags: Vec<Arg> = command.get_arguments().cloned().collect();
        assert_eq!(declared.len(), flags.len(), "{declared:?}");
        declared.into_iter().zip(flags).collect()
    }
    let groups = [
        group::<RunOptions>(RunOptions::declared()),
        group::<ReportOptions>(ReportOptions::declared()),
        group::<ProgressOptions>(ProgressOptions::declared()),
        group::<StoreOptions>(StoreOptions::declared()),
        group::<CheckOptions>(CheckOptions::declared()),
        group::<WorkerLimits>(WorkerLimits::declared()),
        group::<MetricsOptions>(MetricsOptions::declared()),
        group::<TraceOptions>(TraceOptions::declared()),
        group::<LogOptions>(LogOptions::declared()),
    ];
    groups.into_iter().flatten().collect()
}

fn variable(option: &Declared) -> String {
    variable_name(&format!("{}.{}", option.section, option.key))
}

/// The help of a flag without the default, which has a column of its own.
fn meaning(flag: &Arg) -> String {
    let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
    help.split(" [default: ")
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn page() -> String {
    let mut headings: Vec<&str> = Vec::new();
    let mut tables: BTreeMap<&str, String> = BTreeMap::new();
    for (option, flag) in options() {
        if !headings.contains(&option.heading) {
            headings.push(option.heading);
        }
        let is_switch = flag
            .get_num_args()
            .is_some_and(|values| !values.takes_values());
        let value = match flag.get_value_names() {
            Some([name]) if !is_switch => format!(" {}", name.replace('|', "\\|")),
            _ => String::new(),
        };
        let mut variables = vec![variable(&option)];
        let of_clap = flag
            .get_env()
            .and_then(|name| name.to_str())
            .map(str::to_owned);
        variables.extend(of_clap.filter(|name| *name != variable(&option)));
        let row = format!(
            "| `--{}{value}` | `[{}] {}` | `{}` | {} | {} |\n",
            flag.get_long().unwrap_or_default(),
            option.section,
            option.key,
            variables.join("`, `"),
            option.default,
            meaning(&flag)
        );
        tables.entry(option.heading).or_default().push_str(&row);
    }
    let tables = headings.into_iter().map(|heading| {
        format!(
            "\n## {heading}\n\n| flag | key | variable | default | meaning |\n|---|---|---|---|---|\n{}",
            tables[heading]
        )
    });
    [
        INTRODUCTION.to_owned(),
        tables.collect::<String>(),
        ENDPOINTS.to_owned(),
        table_of_keys("endpoints.NAME", &endpoint::KEYS),
        CONNECTIONS.to_owned(),
        table_of_connection_options(),
        PASSWORDS.to_owned(),
        tables_of_database_variables(),
        BROKER.to_owned(),
        table_of_keys("broker", &broker::KEYS),
        OTHER_VARIABLES.to_owned(),
    ]
    .concat()
}

#[test]
fn every_key_without_a_flag_is_declared() {
    for (section, keys) in [
        ("endpoints.a", &endpoint::KEYS[..]),
        ("broker", &broker::KEYS),
    ] {
        let text = format!("[{section}]\nqqqqqqqqqqqqqqqqqqqqqqqqqqqq = 1\n");
        let error = super::parse(Path::new("f"), &text, &BTreeMap::new()).unwrap_err();
        let error = error.to_string();
        let (_, known) = error.split_once("known are ").unwrap();
        let mut known: Vec<&str> = known.split(", ").collect();
        let mut declared: Vec<&str> = keys.iter().map(|it| it.key).collect();
        known.sort_unstable();
        declared.sort_unstable();
        assert_eq!(known, declared);
    }
}

#[test]
fn the_page_in_the_documentation_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap_or_default() == page(),
        "docs/configuration.md differs from the declared options; run `UPDATE_DOCS=1 cargo test -p shared --lib options_page`"
    );
}

#[test]
fn every_option_has_a_flag_a_key_a_variable_a_default_and_a_meaning() {
    let parse = |text: &str, variables: &BTreeMap<String, String>| {
        super::parse(Path::new("f"), text, variables).map_err(|error| error.to_string())
    };
    let is_known = |result: Result<_, String>| {
        result.map_or_else(
            |error| !error.contains("unknown key"),
            |_: super::Config| true,
        )
    };
    for (option, flag) in options() {
        let Declared {
            section,
            key,
            default,
            ..
        } = &option;
        assert_eq!(flag.get_long(), Some(key.replace('_', "-").as_str()));
        assert!(!default.is_empty(), "{key} has no default");
        assert!(meaning(&flag).len() > 10, "{key} has no meaning");
        let in_file = parse(&format!("[{section}]\n{key} = 'x'\n"), &BTreeMap::new());
        assert!(is_known(in_file), "{key} is not read from the file");
        let variables = BTreeMap::from([(variable(&option), "x".to_owned())]);
        assert!(
            is_known(parse("", &variables)),
            "{key} is not read from its variable"
        );
    }
}

#[test]
fn every_option_is_printed_as_it_was_read() {
    for (option, _) in options() {
        let Declared { section, key, .. } = &option;
        let samples = [
            "true", "7", "'7s'", "'7KiB'", "'error'", "'csv'", "['k']", "'grpc'",
        ];
        let printed = samples
            .iter()
            .chain(&["'json'", "'127.0.0.1:7'", "'exact'", "'note'", "'x'"])
            .any(|sample| {
                let text = format!("[{section}]\n{key} = {sample}\n");
                super::parse(Path::new("f"), &text, &BTreeMap::new())
                    .is_ok_and(|config| config.to_string().ends_with(&text.replace('\'', "\"")))
            });
        assert!(printed, "{key}");
    }
}
