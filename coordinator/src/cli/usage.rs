//! Errors of usage.

use std::path::PathBuf;

use shared::config::ByteSize;
use shared::endpoint::{DatabaseKind, EndpointError};
use shared::ids::{RunId, TableName};
use shared::options::EngineLimits;
use shared::outcome::Failure;
use shared::signing::SigningKeyError;
use shared::telemetry::metrics::push::PushError;
use worker::engine::FilterError;

use super::table_list::TableListError;
use crate::report::OutputError;
use crate::store::StoreError;

/// Why a command cannot start: flags and configuration do not fit. Every message
/// contains what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum UsageError {
    #[error(transparent)]
    Tables(#[from] TableListError),
    #[error(
        "no tables; name them with --tables or --tables-file, or as [[tables]] in the configuration"
    )]
    NoTables,
    #[error("the tables of an earlier run are not checked; leave out --only-differing, or --check")]
    CheckOfRun,
    #[error("a check has no report in the form {0}; choose console, json or csv")]
    CheckForm(String),
    #[error("cannot read the list of tables {}: {reason}", path.display())]
    TablesFile {
        path: PathBuf,
        reason: std::io::Error,
    },
    #[error("no {side}; name an endpoint with --{side}, give --{side}-url, or set {variables}{}", incomplete(reason.as_deref()))]
    NoSide {
        side: &'static str,
        variables: &'static str,
        reason: Option<String>,
    },
    #[error("there is no endpoint `{name}`{suggestion}")]
    UnknownEndpoint { name: String, suggestion: String },
    #[error(
        "--{side}-url cannot be used with a broker: no URL is sent to workers; name an endpoint of theirs with --{side}, or compare here with --local"
    )]
    UrlWithBroker { side: &'static str },
    #[error("--{side}-url: {reason}")]
    Url {
        side: &'static str,
        reason: EndpointError,
    },
    #[error("--{side}-password-file: {reason}")]
    PasswordFile { side: &'static str, reason: String },
    #[error(
        "--{side}-url has a password and --{side}-password-file has another one; take the password out of the URL"
    )]
    TwoPasswords { side: &'static str },
    #[error(
        "cannot ask for the password of the {side}: {reason}; give it with --{side}-password-file"
    )]
    Prompt {
        side: &'static str,
        reason: std::io::Error,
    },
    #[error("--prefix is empty; leave it out for `reconcile`")]
    EmptyPrefix,
    #[error(
        "--recheck, --generate-repair and --rows-output need the rows that differ; add --row-level"
    )]
    NeedsRows,
    #[error(
        "--redact and --generate-repair exclude each other: a repair contains the values in clear text"
    )]
    RepairShowsValues,
    #[error(
        "--max-value-size is {0}, and the smallest is {smallest}",
        smallest = ByteSize(EngineLimits::SMALLEST_VALUE_BYTES)
    )]
    SmallValueSize(ByteSize),
    #[error("temporary files cannot be created: {0}; name another directory with --spill-dir")]
    SpillDirectory(std::io::Error),
    #[error(
        "--generate-repair excludes redact = true of column `{column}` of {table}: a repair contains the values in clear text; remove one of them"
    )]
    RepairShowsColumn { table: String, column: String },
    #[error(
        "--generate-repair excludes redact = true of [[rules]] that apply to {table}: a repair contains the values in clear text; remove one of them"
    )]
    RepairShowsColumns { table: String },
    #[error("`{pattern}` may be several tables; name one of them")]
    OneTable { pattern: String },
    #[error(
        "{one} and {other} of the source both resolve to {target} of the target{hint}; name another target for one of them, as in source=target, or leave one out with --exclude"
    )]
    SharedTarget {
        one: String,
        other: String,
        target: String,
        hint: &'static str,
    },
    #[error(
        "the target of {source_table} may be {one} or {other}, and both exist; name it, as in source=target"
    )]
    SeveralTargets {
        source_table: String,
        one: String,
        other: String,
    },
    #[error(
        "--strict-tables needs the target's catalog, and endpoint `{endpoint}` is not in this configuration; add it, or leave --strict-tables out"
    )]
    StrictWithoutEndpoint { endpoint: String },
    #[error("the target's catalog, which --strict-tables needs, cannot be read: {reason}")]
    TargetCatalog { reason: Failure },
    #[error(
         "the {side} of the run was the endpoint `{name}`, which is not configured here; name the endpoint with --{side} or --{side}-url{}",
         if *side == "source" { ", or skip the comparison with --no-verify" } else { "" }
     )]
    ScriptEndpoint { side: &'static str, name: String },
    #[error("{} is a script for {wanted}, but the target is {found}", file.display())]
    OtherDialect {
        file: PathBuf,
        wanted: DatabaseKind,
        found: DatabaseKind,
    },
    #[error("{} is a script for the target {before}, but the configured target is {now}; name the right one with --target or --target-url", file.display())]
    ScriptTarget {
        file: PathBuf,
        before: String,
        now: String,
    },
    #[error(
        "standard input is no terminal, so the command cannot ask for confirmation; add --yes to apply the scripts, or --dry-run to execute them and roll back"
    )]
    NotConfirmed,
    #[error(
        "`{name}` cannot be the name of a run; use up to {longest} characters, none of them a control character and no - at the beginning, and not `latest`"
    )]
    RunName { name: String, longest: usize },
    #[error("no type has `{0}` in its name; `reconcile types` lists all")]
    NoType(String),
    #[error("cannot write the manual pages to {}: {reason}", directory.display())]
    ManualPages {
        directory: PathBuf,
        reason: std::io::Error,
    },
    #[error("--where `{value}`: {reason}; write --where 'TABLE: CONDITION'")]
    Where { value: String, reason: String },
    #[error("--where `{0}` applies to no table of the list; check the name")]
    UnusedWhere(String),
    #[error("--pk-columns names no column; leave it out for the primary key")]
    NoKeyColumns,
    #[error(
        "the pattern `{pattern}` needs the source's catalog, and endpoint `{endpoint}` is not in this configuration; add it, or list the tables"
    )]
    PatternWithoutEndpoint { pattern: String, endpoint: String },
    #[error("the catalog that pattern `{pattern}` needs cannot be read: {reason}")]
    Catalog { pattern: String, reason: Failure },
    #[error("table {table}: where on the {side}: {reason}")]
    Filter {
        table: TableName,
        side: &'static str,
        // Boxed: errors are returned everywhere, and this one is large.
        reason: Box<FilterError>,
    },
    #[error("[broker] signing_key_file: {0}")]
    SigningKey(#[from] SigningKeyError),
    #[error("no broker; give --broker, or `url` under [broker] in the configuration")]
    NoBroker,
    #[error(
        "the {side} of run {run} was a URL, which is not stored; give it again with --{side}-url"
    )]
    UrlNeeded { run: RunId, side: &'static str },
    #[error(
        "the {side} of run {run} is the endpoint `{name}` and not a URL; leave --{side}-url out"
    )]
    UrlUnwanted {
        run: RunId,
        side: &'static str,
        name: String,
    },
    #[error(
        "the {side} of run {run} is {before}, but the configured one is {now}; a run cannot continue with another database"
    )]
    OtherDatabase {
        run: RunId,
        side: &'static str,
        before: String,
        now: String,
    },
    #[error("run {run} has no table `{name}`{suggestion}")]
    NoSuchTable {
        run: String,
        name: String,
        suggestion: String,
    },
    #[error("--table and --rows print console or json; leave other forms to whole reports")]
    FormOfPart,
    #[error(
        "run {run} has no table that differs or was not verified, so there is nothing to compare"
    )]
    NothingDiffers { run: RunId },
    #[error(
        "the {side} of run {run} is {before}, but the configured one is {now}; --only-differing compares the same databases"
    )]
    OtherDatabaseThanBefore {
        run: RunId,
        side: &'static str,
        before: String,
        now: String,
    },
    #[error(transparent)]
    Push(#[from] PushError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Output(#[from] OutputError),
}

fn incomplete(reason: Option<&str>) -> String {
    reason
        .map(|reason| format!(" ({reason})"))
        .unwrap_or_default()
}
