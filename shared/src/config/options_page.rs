//! `docs/configuration.md`: the table of all options, rendered from their declarations.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Arg, Args, Command};

use super::options::Declared;
use super::section::variable_name;
use super::{
    LogOptions, MetricsOptions, ProgressOptions, ReportOptions, RunOptions, StoreOptions,
    TraceOptions, WorkerLimits,
};

const INTRODUCTION: &str = "\
# Configuration

Options of `reconcile run`, and the limits of `reconcile-worker`, are set by a flag, by an
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

<!-- The tables are generated: UPDATE_DOCS=1 cargo test -p shared --lib options_page -->
";

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
    INTRODUCTION.to_owned() + &tables.collect::<String>()
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
