//! `docs/configuration.md`: the table of all options, rendered from their declarations.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Arg, Args, Command};

use super::options::Declared;
use super::section::{Passwords, Sources, variable_name};
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

/// The keys of `[broker]`: key, default and meaning.
const BROKER: [(&str, &str, &str); 7] = [
    (
        "url",
        "no broker",
        "The broker, `amqp://…` or `amqps://…`; also `--broker` and `RECONCILE_BROKER`",
    ),
    ("url_file", "none", "File that contains the URL"),
    (
        "prefix",
        "reconcile",
        "Prefix of the names of queues and exchanges; also `--prefix`",
    ),
    (
        "ca_file",
        "none",
        "PEM file of authorities that are trusted in addition to those of the system",
    ),
    (
        "signing_key_file",
        "messages are not signed",
        "File with the key that signs all messages",
    ),
    (
        "signing_max_age",
        "7days",
        "How old a signed task or event may be that is accepted",
    ),
    (
        "max_message_size",
        "1MiB",
        "Size of the largest message that is published",
    ),
];

/// Variables that belong to no key.
const OTHER_VARIABLES: [(&str, &str); 9] = [
    ("RECONCILE_CONFIG", "The configuration file, as `--config`"),
    ("RECONCILE_BROKER", "The URL of the broker, as `--broker`"),
    (
        "RECONCILE_METRICS_ADDR",
        "The address of the metrics, as `--metrics-addr`",
    ),
    (
        "RECONCILE_LOG_FORMAT",
        "The form of log lines, as `--log-format`",
    ),
    (
        "RUST_LOG",
        "Which log lines are printed; see [observability.md](observability.md#logs)",
    ),
    ("NO_COLOR", "No colours, if it is set and not empty"),
    (
        "XDG_STATE_HOME",
        "The directory that contains that of the stored runs",
    ),
    (
        "TMPDIR",
        "The directory of temporary files, unless it is in memory",
    ),
    (
        "OTEL_…",
        "Settings of OpenTelemetry; see [observability.md](observability.md)",
    ),
];

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
    let mut page = INTRODUCTION.to_owned() + &tables.collect::<String>();
    page.push_str("\n## Broker\n\n| key | variable | default | meaning |\n|---|---|---|---|\n");
    for (key, default, meaning) in BROKER {
        let variable = variable_name(&format!("broker.{key}"));
        page += &format!("| `[broker] {key}` | `{variable}` | {default} | {meaning} |\n");
    }
    page.push_str("\n## Other variables\n\n| variable | meaning |\n|---|---|\n");
    for (variable, meaning) in OTHER_VARIABLES {
        page += &format!("| `{variable}` | {meaning} |\n");
    }
    page
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
fn every_key_of_the_broker_is_on_the_page() {
    let environment = BTreeMap::new();
    let mut sources = Sources::new("f".into(), "", &environment, Passwords::Read);
    let mut root = sources.root().unwrap();
    let section = sources.section(&mut root, "broker").unwrap();
    let broker = super::broker::read(section, &mut sources).unwrap();
    assert_eq!(broker, None);
    let keys = BROKER.map(|(key, ..)| variable_name(&format!("broker.{key}")));
    assert_eq!(*sources.readable(), keys.into_iter().collect());
    let default = super::BrokerConfig::default();
    let shown = [
        humantime::format_duration(default.signing_max_age).to_string(),
        default.max_message_size.to_string(),
    ];
    let defaults = BROKER.map(|(_, default, _)| default);
    for value in shown {
        assert!(defaults.contains(&value.as_str()), "{value}");
    }
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
