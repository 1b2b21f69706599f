//! The product as a user runs it: `reconcile` and `reconcile-worker`, with a
//! configuration in a private directory.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use jsonschema::Validator;
use serde_json::Value as Json;
use tempfile::TempDir;

use harness::executable::binary;
use harness::process::{Finished, Process, run_to_end};

/// How long a run of a test may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Variables that the product reads; a test must not inherit them.
const VARIABLES: [&str; 39] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_SDK_DISABLED",
    "RECONCILE_LOG_FORMAT",
    "RECONCILE_BROKER",
    "RECONCILE_CONFIG",
    "RECONCILE_SOURCE_PASSWORD",
    "RECONCILE_TARGET_PASSWORD",
    "RUST_LOG",
    "SQLSERVER_HOST",
    "SQLSERVER_PORT",
    "SQLSERVER_DATABASE",
    "SQLSERVER_USER",
    "SQLSERVER_PASSWORD",
    "MSSQL_HOST",
    "MSSQL_DATABASE",
    "MSSQL_USER",
    "MSSQL_PASSWORD",
    "MSSQL_SA_PASSWORD",
    "POSTGRES_HOST",
    "POSTGRES_PORT",
    "POSTGRES_DB",
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "PGHOST",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGCONNECT_TIMEOUT",
    "TMPDIR",
];

/// A directory in which the product runs.
#[derive(Debug)]
pub struct Workplace {
    directory: TempDir,
}

/// The result of a command.
#[derive(Debug)]
pub struct Run {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// From start to end.
    pub elapsed: Duration,
}

impl Workplace {
    /// An empty directory with `configuration` as its `reconcile.toml`.
    ///
    /// # Panics
    ///
    /// When the directory cannot be made.
    #[must_use]
    pub fn new(configuration: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("reconcile.toml"), configuration)
            .expect("a new file in a new directory");
        Self { directory }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A command of the product, to be run here.
    ///
    /// # Panics
    ///
    /// When the product has not been built.
    #[must_use]
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command =
            Command::new(binary(program).expect("the workspace's binaries are built"));
        command.args(arguments).current_dir(self.path());
        // Keeps the runs out of the state directory of the user.
        command.env("XDG_STATE_HOME", self.path());
        for variable in VARIABLES {
            command.env_remove(variable);
        }
        // Many workers share this host; a test that needs metrics sets an address.
        command.env("RECONCILE_METRICS_ADDR", "off");
        command
    }

    /// Runs `reconcile` to its end.
    ///
    /// # Panics
    ///
    /// When it does not end in two minutes.
    #[must_use]
    pub fn reconcile(&self, arguments: &[&str]) -> Run {
        finish(&mut self.command("reconcile", arguments))
    }

    /// Starts `reconcile` and does not wait for it.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Process {
        Process::start("reconcile", &mut self.command("reconcile", arguments))
            .expect("reconcile starts")
    }

    /// Starts a worker and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it does not become ready.
    #[must_use]
    pub fn worker(&self, arguments: &[&str]) -> Process {
        let mut worker = Process::start(
            "reconcile-worker",
            &mut self.command("reconcile-worker", arguments),
        )
        .expect("reconcile-worker starts");
        worker
            .wait_for_line("ready", Duration::from_secs(30))
            .expect("the worker becomes ready");
        worker
    }
}

/// Runs a command to its end.
///
/// # Panics
///
/// When it does not end in two minutes.
#[must_use]
pub fn finish(command: &mut Command) -> Run {
    let Finished {
        status,
        stdout,
        stderr,
        elapsed,
    } = run_to_end("reconcile", command, PATIENCE).expect("reconcile ends");
    Run {
        code: status.code().unwrap_or(-1),
        stdout,
        stderr,
        elapsed,
    }
}

impl Run {
    /// The report on standard output.
    ///
    /// # Panics
    ///
    /// When standard output is not a JSON document and nothing else.
    #[must_use]
    pub fn report(&self) -> Json {
        let report: Json = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("standard output is no report ({error}): {self:?}"));
        check_counts(&report);
        report
    }
}

/// What holds of every report: it has the documented structure, the counts add up, `results` has
/// every table once, `errors` one entry for each that could not be verified.
///
/// # Panics
///
/// When it does not.
pub fn check_counts(report: &Json) {
    check_structure(report);
    let number = |field: &str| {
        report[field]
            .as_u64()
            .unwrap_or_else(|| panic!("{field} is no number in {report:#}"))
    };
    let (matched, mismatched) = (number("matched"), number("mismatched"));
    assert_eq!(number("successful"), matched + mismatched, "{report:#}");
    let unverified = number("failed") + number("timeout") + number("cancelled");
    assert_eq!(
        number("total_tables"),
        matched + mismatched + unverified,
        "{report:#}"
    );
    let results = report["results"].as_array().expect("results");
    let errors = report["errors"].as_array().expect("errors");
    assert_eq!(results.len() as u64, number("total_tables"), "{report:#}");
    assert_eq!(errors.len() as u64, unverified, "{report:#}");
    for status in ["matched", "mismatched", "failed", "timeout", "cancelled"] {
        let of_status = results
            .iter()
            .filter(|result| result["status"] == status)
            .count() as u64;
        assert_eq!(number(status), of_status, "{status}: {report:#}");
    }
    for result in results {
        assert_eq!(result["match"], result["status"] == "matched", "{result:#}");
        let columns = &result["columns"];
        if !columns.is_null() {
            let parts = ["compared", "missing", "uncompared"];
            let parts = parts.map(|part| columns[part].as_u64().expect("a number"));
            let sum: u64 = parts.iter().sum();
            assert_eq!(columns["source"], sum, "{result:#}");
        }
    }
    let target_only = report["target_only_tables"].as_array();
    let counts_them = report["strict_tables"].as_bool().expect("strict_tables");
    let has_more_tables = counts_them && target_only.is_some_and(|tables| !tables.is_empty());
    let expected = if unverified > 0 {
        "INCOMPLETE"
    } else if mismatched > 0 || has_more_tables {
        "FAIL"
    } else {
        "PASS"
    };
    assert_eq!(report["status"], expected, "{report:#}");
}

/// Checks a report against `docs/report.schema.json`.
fn check_structure(report: &Json) {
    static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/report.schema.json");
        let text = std::fs::read_to_string(path).expect("the schema is in docs");
        let schema = serde_json::from_str(&text).expect("the schema is JSON");
        jsonschema::validator_for(&schema).expect("the schema is valid")
    });
    let errors: Vec<String> = SCHEMA
        .iter_errors(report)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?} in {report:#}");
}

/// The result of a table, by its source name.
///
/// # Panics
///
/// When the report has none.
#[must_use]
pub fn result<'a>(report: &'a Json, table: &str) -> &'a Json {
    let results = report["results"].as_array().expect("results");
    results
        .iter()
        .find(|result| result["table"] == table)
        .unwrap_or_else(|| panic!("no result for {table} in {report:#}"))
}

/// A report without what may differ between a run that was disturbed and one that was not, and
/// without the fields `also` of its tables.
///
/// # Panics
///
/// When it is not the report of a run.
#[must_use]
pub fn comparable(mut report: Json, also: &[&str]) -> Json {
    for field in ["run_id", "timestamp", "duration_seconds", "max_workers"] {
        let fields = report.as_object_mut().expect("a report is an object");
        fields.remove(field).expect("a report has the field");
    }
    for list in ["results", "errors"] {
        for entry in report[list].as_array_mut().expect("it is a list") {
            let entry = entry.as_object_mut().expect("it is an object");
            let disturbed = [
                "attempt",
                "worker",
                "duration_seconds",
                "source_read",
                "target_read",
                "source_checksum",
                "target_checksum",
                "checksum_key",
            ];
            for field in disturbed.iter().chain(also) {
                entry.remove(*field);
            }
        }
    }
    report
}
