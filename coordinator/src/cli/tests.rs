//! Flags, settings and exit codes.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use clap::{Args as _, CommandFactory as _, Parser as _};
use shared::config::{
    Config, ConfigError, FailFast, MetricsOptions, ProgressOptions, ReportFormat, ReportOptions,
    RunOptions, TraceOptions, parse,
};
use shared::ids::RunId;
use shared::outcome::{Depth, Failure, FailureKind};
use shared::transport::TransportError;

use super::connections::Mode;
use super::exit::{self, CommandError};
use super::flags::{Command, Flags};
use super::selection::Catalogs;
use super::settings::RunSettings;
use super::table_list::TableListError;
use super::usage::UsageError;
use crate::report::{
    OutputError, ReportVerdict, Requested, RunReport, RunStatus, SCHEMA_VERSION, Scope,
};
use crate::run::RunLost;
use crate::run_state::{Limits, PlannedTable, TableScope, Window};

const CONFIG: &str = "
[endpoints.erp]
url = 'mssql://u:p@h/d'
[endpoints.copy]
url = 'postgres://u:p@h/d'
[run]
source = 'erp'
target = 'copy'
";

fn config(text: &str) -> Config {
    parse(Path::new("reconcile.toml"), text, &BTreeMap::new()).unwrap()
}

fn resolve_with(config: Config, arguments: &[&str]) -> Result<RunSettings, UsageError> {
    let flags = Flags::try_parse_from([&["reconcile", "run"], arguments].concat()).unwrap();
    let Command::Run(flags) = flags.command else {
        panic!("it is a run")
    };
    RunSettings::resolve(*flags, config)
}

fn resolve(arguments: &[&str]) -> Result<RunSettings, UsageError> {
    resolve_with(config(CONFIG), arguments)
}

fn plan(arguments: &[&str]) -> Result<Vec<PlannedTable>, UsageError> {
    planned(&resolve(arguments)?)
}

/// The tables of a run for which no catalog was read.
fn planned(settings: &RunSettings) -> Result<Vec<PlannedTable>, UsageError> {
    let selected = settings
        .tables
        .listed()
        .unwrap()
        .plan(&Catalogs::default())?;
    assert_eq!(selected.scope, TableScope::default());
    Ok(selected.tables)
}

#[test]
fn the_flags_are_consistent() {
    Flags::command().debug_assert();
}

#[test]
fn every_flag_of_a_run_is_declared_with_a_key_unless_it_is_listed_here() {
    let declared = clap::Command::new("declared");
    let declared = RunOptions::augment_args(declared);
    let declared = ReportOptions::augment_args(declared);
    let declared = ProgressOptions::augment_args(declared);
    let declared = MetricsOptions::augment_args(declared);
    let declared = TraceOptions::augment_args(declared);
    let has_key = |flag: &str| {
        declared
            .get_arguments()
            .any(|arg| arg.get_long() == Some(flag))
    };
    let flags = Flags::command();
    let run = flags.find_subcommand("run").unwrap();
    let without_key: Vec<&str> = run
        .get_arguments()
        .filter_map(clap::Arg::get_long)
        .filter(|flag| !has_key(flag) && *flag != "jaeger-agent")
        .collect();
    assert_eq!(
        without_key,
        [
            "tables",
            "tables-file",
            "only-differing",
            "where",
            "source-url",
            "source-password-file",
            "target-url",
            "target-password-file",
            "continue-on-error",
            "check",
            "allow-missing-columns",
            // Keys of [broker].
            "broker",
            "prefix",
            "local",
            "no-store"
        ]
    );
}

#[test]
fn flags_that_contradict_each_other_or_make_no_sense_are_refused() {
    for (arguments, word) in [
        (
            &["--tables", "a", "--tables-file", "f"][..],
            "--tables-file",
        ),
        (&["--source", "a", "--source-url", "u"], "--source-url"),
        (
            &["--fail-fast", "--continue-on-error"],
            "--continue-on-error",
        ),
        (&["--parallel-workers", "0"], "above 0"),
        (&["--parallel-workers", "100000"], "1024"),
        (&["--parallel-timeout", "0"], "above zero"),
        (&["--claim-timeout", "soon"], "500ms"),
        (&["--format", "jsn"], "did you mean `json`?"),
        (&["--fail-fast", "never"], "never"),
        (&["--row-levle"], "--row-level"),
    ] {
        let error = Flags::try_parse_from([&["reconcile", "run"], arguments].concat()).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(word), "{arguments:?}: {error}");
    }
}

#[test]
fn the_defaults_are_those_of_the_help() {
    let settings = resolve(&["--tables", "a"]).unwrap();
    assert_eq!(settings.limits.window, Window::Fixed(NonZeroU32::MIN));
    assert_eq!(
        (settings.limits.fail_fast, settings.delivery.format()),
        (FailFast::Off, Some(ReportFormat::Console))
    );
    assert_eq!(
        (
            settings.limits.max_attempts.get(),
            settings.limits.claim_timeout.as_secs()
        ),
        (3, 60)
    );
    let default = Limits::default();
    assert_eq!(
        (settings.limits.max_attempts, settings.limits.claim_timeout),
        (default.max_attempts, default.claim_timeout)
    );
    assert!(matches!(settings.mode, Mode::Local { concurrency: 1, .. }));
    let spec = &planned(&settings).unwrap()[0].spec;
    assert_eq!(
        (spec.depth, spec.timeout, spec.max_differences),
        (Depth::Counts, Duration::from_secs(3600), 1000)
    );
}

#[test]
fn how_many_run_at_a_time() {
    let window = |arguments: &[&str]| {
        resolve(&[&["--tables", "a"], arguments].concat())
            .unwrap()
            .limits
            .window
    };
    let fixed = |count: u32| Window::Fixed(NonZeroU32::new(count).unwrap());
    assert_eq!(window(&["--parallel"]), fixed(4));
    assert_eq!(window(&["--parallel", "--parallel-workers", "9"]), fixed(9));
    assert_eq!(window(&["--parallel-workers", "9"]), fixed(9));
    assert_eq!(window(&["--broker", "amqp://h"]), Window::Fleet);
    assert_eq!(
        window(&["--broker", "amqp://h", "--parallel-workers", "9"]),
        fixed(9)
    );
}

#[test]
fn flags_go_over_the_configuration() {
    let text = format!(
        "{CONFIG}fail_fast = 'mismatch'\nrow_level = true\nformat = 'csv'\nclaim_timeout = '5s'\n"
    );
    let from_file = resolve_with(config(&text), &["--tables", "a"]).unwrap();
    assert_eq!(
        (from_file.limits.fail_fast, from_file.delivery.format()),
        (FailFast::Mismatch, Some(ReportFormat::Csv))
    );
    assert_eq!(planned(&from_file).unwrap()[0].spec.depth, Depth::Rows);
    let arguments = [
        "--tables",
        "a",
        "--continue-on-error",
        "--format",
        "json",
        "--claim-timeout",
        "1m",
    ];
    let from_flags = resolve_with(config(&text), &arguments).unwrap();
    assert_eq!(
        (from_flags.limits.fail_fast, from_flags.delivery.format()),
        (FailFast::Off, Some(ReportFormat::Json))
    );
    assert_eq!(from_flags.limits.claim_timeout.as_secs(), 60);
    let error = resolve(&["--tables", "a", "--fail-fast"])
        .unwrap()
        .limits
        .fail_fast;
    assert_eq!(error, FailFast::Error);
}

#[test]
fn with_files_a_report_is_printed_only_in_a_chosen_form() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.md").display().to_string();
    let form = |more: &[&str]| {
        let arguments = [&["--tables", "a", "--output", &file], more].concat();
        resolve(&arguments).unwrap().delivery.format()
    };
    assert_eq!(form(&[]), None);
    assert_eq!(form(&["--format", "csv"]), Some(ReportFormat::Csv));
    let several = format!("{CONFIG}format = 'json'\noutput = ['{file}']\n");
    let several = resolve_with(config(&several), &["--tables", "a"]).unwrap();
    assert_eq!(several.delivery.format(), Some(ReportFormat::Json));
    let wrong = resolve(&["--tables", "a", "--output", "report"]).unwrap_err();
    assert!(wrong.to_string().contains("end it in .json"), "{wrong}");
}

#[test]
fn sides_come_from_one_place_each() {
    let error = |arguments: &[&str]| {
        resolve(&[&["--tables", "a"], arguments].concat())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(&["--source", "epr"]),
        "there is no endpoint `epr`; did you mean `erp`?"
    );
    assert!(error(&["--source", "warehouse"]).contains("known are copy, erp"));
    assert!(error(&["--source-url", "mysql://u:hunter2@h/d"]).contains("mssql://"));
    let url = "postgres://u:hunter2@h/d";
    let both = error(&["--source-url", url, "--broker", "amqp://h"]);
    assert!(
        both.contains("no URL is sent to workers") && !both.contains("hunter2"),
        "{both}"
    );
    let none = resolve_with(Config::default(), &["--tables", "a"])
        .unwrap_err()
        .to_string();
    assert!(
        none.contains("--source") && none.contains("SQLSERVER_HOST"),
        "{none}"
    );
    let elsewhere = [
        "--source", "x", "--target", "y", "--broker", "amqp://h", "--tables", "a",
    ];
    assert!(
        resolve_with(Config::default(), &elsewhere).is_ok(),
        "the workers know the endpoints"
    );
}

#[test]
fn a_configured_broker_can_be_overruled() {
    let text = format!("{CONFIG}[broker]\nurl = 'amqp://h'\nprefix = 'p'\n");
    let mode = |arguments: &[&str]| {
        resolve_with(config(&text), &[&["--tables", "a"], arguments].concat())
            .unwrap()
            .mode
    };
    assert!(matches!(mode(&[]), Mode::Broker(options) if options.prefix == "p"));
    assert!(matches!(mode(&["--prefix", "q"]), Mode::Broker(options) if options.prefix == "q"));
    assert!(matches!(mode(&["--local"]), Mode::Local { .. }));
}

#[test]
fn a_table_is_listed_once() {
    let twice = |list: &str| {
        matches!(
            plan(&["--tables", list]),
            Err(UsageError::Tables(TableListError::Twice(_)))
        )
    };
    assert!(twice("a,b,a"));
    assert!(twice("a, \"a\""));
    assert!(twice("a,dbo.a"), "the endpoint's own schema");
    assert!(!twice("a=b,a=c"), "two copies of one table");
    assert!(!twice("dbo.a,sales.a"));
    assert!(matches!(
        plan(&["--tables", " ,"]),
        Err(UsageError::Tables(TableListError::Empty))
    ));
    assert!(matches!(plan(&[]), Err(UsageError::NoTables)));
}

#[test]
fn the_configuration_says_what_is_particular_to_a_table() {
    let text = format!(
        "{CONFIG}[[tables]]\nsource = 'dbo.a'\ntarget = 'b'\nkey = ['k']\npriority = 3\ntimeout = 9\n"
    );
    for (arguments, expected) in [
        (&[][..], vec![("dbo.a", "b", 3)]),
        (&["--tables", "a,c"], vec![("a", "b", 3), ("c", "c", 0)]),
        (&["--tables", "a=other"], vec![("a", "other", 0)]),
    ] {
        let tables = planned(&resolve_with(config(&text), arguments).unwrap()).unwrap();
        let found: Vec<(String, String, i32)> = tables
            .iter()
            .map(|table| {
                (
                    table.spec.source.table.to_string(),
                    table.spec.target.table.to_string(),
                    table.priority,
                )
            })
            .collect();
        let found: Vec<(&str, &str, i32)> = found
            .iter()
            .map(|(a, b, n)| (a.as_str(), b.as_str(), *n))
            .collect();
        assert_eq!(found, expected, "{arguments:?}");
    }
    let tables = resolve_with(config(&text), &["--pk-columns", "x, y", "--tables", "a,c"]).unwrap();
    let keys: Vec<_> = planned(&tables)
        .unwrap()
        .into_iter()
        .map(|table| table.spec.key.unwrap())
        .collect();
    assert_eq!(
        keys,
        [vec!["k".to_owned()], vec!["x".to_owned(), "y".to_owned()]]
    );
}

#[test]
fn redaction_has_one_key_a_run_and_excludes_repairs() {
    let rules = format!(
        "{CONFIG}[[tables]]\nsource = 'people'\nrules.Email.redact = true\n[[tables]]\nsource = 'orders'\n[[tables]]\nsource = 'cards'\nrules.Number.redact = true\n"
    );
    let redactions = |arguments: &[&str]| {
        let settings = resolve_with(config(&rules), arguments)?;
        let tables = planned(&settings)?;
        Ok::<_, UsageError>(
            tables
                .into_iter()
                .map(|table| table.spec.options.redaction)
                .collect::<Vec<_>>(),
        )
    };
    let found = redactions(&["--row-level"]).unwrap();
    assert!(!found[0].as_ref().unwrap().all);
    assert_eq!(found[1], None, "it hides nothing");
    assert_eq!(found[0], found[2], "one key for all");
    let all = redactions(&["--row-level", "--redact"]).unwrap();
    assert!(all.iter().all(|it| it.as_ref().is_some_and(|it| it.all)));
    assert_ne!(all[0].as_ref().unwrap().key, found[0].as_ref().unwrap().key);

    let refused = redactions(&["--row-level", "--generate-repair"]).unwrap_err();
    assert!(
        matches!(&refused, UsageError::RepairShowsColumn { table, column } if table == "people" && column == "Email"),
        "{refused}"
    );
    let refused = redactions(&["--row-level", "--generate-repair", "--redact"]).unwrap_err();
    assert!(
        matches!(refused, UsageError::RepairShowsValues),
        "{refused}"
    );
    let of_another = ["--row-level", "--generate-repair", "--tables", "orders"];
    assert_eq!(redactions(&of_another).unwrap(), [None]);
}

#[test]
fn all_tables_of_a_run_are_hashed_under_one_key_and_two_runs_under_two() {
    let keys = || {
        let settings = resolve(&["--tables", "a,b", "--row-level"]).unwrap();
        let tables = settings
            .tables
            .listed()
            .unwrap()
            .plan(&Catalogs::default())
            .unwrap();
        let keys = tables
            .tables
            .into_iter()
            .map(|table| table.spec.options.hash_key);
        keys.map(Option::unwrap).collect::<Vec<_>>()
    };
    let (one, other) = (keys(), keys());
    assert_eq!(one[0], one[1]);
    assert_ne!(one[0], other[0]);
}

#[test]
fn every_end_has_its_exit_code() {
    let report = |status: RunStatus, interrupted: bool| RunReport {
        schema_version: SCHEMA_VERSION,
        run_id: String::new(),
        status,
        verdict: ReportVerdict::of(status, Depth::Rows),
        depth: Depth::Rows,
        timestamp: String::new(),
        duration_seconds: 0.0,
        max_workers: 1,
        total_tables: 0,
        successful: 0,
        matched: 0,
        mismatched: 0,
        failed: 0,
        timeout: 0,
        cancelled: 0,
        interrupted,
        origin: None,
        source: None,
        target: None,
        scope: Scope::default(),
        results: Vec::new(),
        errors: Vec::new(),
        target_only_tables: Vec::new(),
        strict_tables: false,
        selected_from: None,
        root_cause: None,
        notes: Vec::new(),
        trace_id: None,
        databases: None,
        requested: Requested::default(),
    };
    assert_eq!(exit::of_report(&report(RunStatus::Pass, false)), 0);
    assert_eq!(exit::of_report(&report(RunStatus::Fail, false)), 1);
    assert_eq!(exit::of_report(&report(RunStatus::Incomplete, false)), 3);
    assert_eq!(exit::of_report(&report(RunStatus::Incomplete, true)), 130);
    let failure = Failure::new(FailureKind::ConnectionError, "refused");
    let refused = || std::io::ErrorKind::PermissionDenied.into();
    let errors = [
        (
            CommandError::Config(ConfigError::Unreadable {
                path: "f".into(),
                reason: refused(),
            }),
            2,
        ),
        (
            CommandError::Usage(UsageError::Catalog {
                pattern: "*".to_owned(),
                reason: failure,
            }),
            2,
        ),
        (CommandError::Transport(TransportError::Closed), 2),
        (CommandError::Output(OutputError::Stdout(refused())), 2),
        (CommandError::Signals(refused()), 2),
        (CommandError::Lost(RunLost(RunId::generate())), 3),
    ];
    for (error, code) in errors {
        assert_eq!(exit::of_error(&error), code, "{error}");
    }
}

#[test]
fn every_variable_of_a_flag_is_documented() {
    fn variables(command: &clap::Command) -> Vec<String> {
        let own = command.get_arguments().filter_map(clap::Arg::get_env);
        let own = own.map(|name| name.to_string_lossy().into_owned());
        own.chain(command.get_subcommands().flat_map(variables))
            .collect()
    }
    let page = include_str!("../../../docs/configuration.md");
    let found = variables(&Flags::command());
    assert!(found.len() > 2, "{found:?}");
    for variable in found {
        assert!(page.contains(&format!("`{variable}`")), "{variable}");
    }
}
