//! Two databases, and the commands by which a user repairs their differences.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use shared::endpoint::Endpoint;
use shared::ids::RunId;

use crate::cases::Maker;
use crate::product::{Run, Workplace};
use harness::services::{Database, Standin, StandinTls, shared_postgres};

/// The kind of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// The stand-in for SQL Server.
    SqlServer,
}

/// A database of either kind.
#[derive(Debug)]
pub struct Side {
    /// The server of the database.
    pub database: Database,
    standin: Option<Standin>,
}

impl Side {
    /// Creates a database and executes `sql` in it.
    ///
    /// # Panics
    ///
    /// When it cannot be created.
    #[must_use]
    pub fn new(name: &str, kind: Kind, sql: &str) -> Self {
        let database = shared_postgres().create_database(name).unwrap();
        let standin = (kind == Kind::SqlServer)
            .then(|| Standin::start(&database.url(), name, StandinTls::Off).unwrap());
        let side = Self { database, standin };
        side.execute(sql);
        side
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.standin {
            Some(standin) => standin.url(),
            None => self.database.url(),
        }
    }

    /// Executes statements.
    ///
    /// # Panics
    ///
    /// When the database refuses.
    pub fn execute(&self, sql: &str) {
        execute(&self.url(), sql);
    }

    /// Executes statements of PostgreSQL, in which the stand-in stores its tables.
    ///
    /// # Panics
    ///
    /// When the database refuses.
    pub fn execute_in_postgres(&self, sql: &str) {
        execute(&self.database.url(), sql);
    }
}

fn execute(url: &str, sql: &str) {
    let endpoint = Endpoint::from_url("side", url).unwrap();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            let mut maker = Maker::connect(&endpoint).await.unwrap();
            maker.execute(sql).await.unwrap();
        });
}

/// Two databases, and a directory whose configuration names them.
#[derive(Debug)]
pub struct Scene {
    /// The source.
    pub source: Side,
    /// The target.
    pub target: Side,
    /// The directory in which the product runs.
    pub here: Workplace,
}

impl Scene {
    /// Creates both databases, each by its statements.
    #[must_use]
    pub fn new(source: (Kind, &str), target: (Kind, &str)) -> Self {
        Self::with(source, target, "")
    }

    /// As [`Self::new`], with more lines under `[run]` in the configuration.
    #[must_use]
    pub fn with(source: (Kind, &str), target: (Kind, &str), configuration: &str) -> Self {
        let source = Side::new("source", source.0, source.1);
        let target = Side::new("target", target.0, target.1);
        let here = Workplace::new(&format!(
            "[endpoints.source]\nurl = '{}'\n[endpoints.target]\nurl = '{}'\n[run]\nsource = 'source'\ntarget = 'target'\nrow_level = true\n{configuration}",
            source.url(),
            target.url()
        ));
        Self {
            source,
            target,
            here,
        }
    }

    /// Adds a line under `[run]` to the configuration.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn configure(&self, line: &str) {
        let file = self.here.path().join("reconcile.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, format!("{text}\n{line}\n")).unwrap();
    }

    /// Compares.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.here
            .reconcile(&[&["run", "--format", "json"][..], arguments].concat())
    }

    /// Runs with a repair into `out`, which must find something.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn generate(&self, tables: &str) -> Json {
        let run = self.run(&[
            "--tables",
            tables,
            "--generate-repair",
            "--output-dir",
            "out",
        ]);
        assert_eq!(run.code, 1, "{run:?}");
        if self.target.standin.is_some() {
            self.record_scripts();
        }
        run.report()
    }

    /// Copies the scripts of the last run to where the tests record T-SQL, if they do.
    fn record_scripts(&self) {
        let Some(directory) = std::env::var_os("STANDIN_STATEMENTS") else {
            return;
        };
        for script in std::fs::read_dir(self.file("")).unwrap() {
            let script = script.unwrap().path();
            if script.extension().is_some_and(|suffix| suffix == "sql") {
                let name = format!("{}.sql", RunId::generate());
                std::fs::copy(&script, Path::new(&directory).join(name)).unwrap();
            }
        }
    }

    /// Applies.
    #[must_use]
    pub fn apply(&self, arguments: &[&str]) -> Run {
        self.here
            .reconcile(&[&["apply", "--yes", "--format", "json"][..], arguments].concat())
    }

    /// Applies `out` as a user of PostgreSQL that may write to `table` and owns nothing.
    ///
    /// # Panics
    ///
    /// When the user cannot be created or dropped.
    #[must_use]
    pub fn apply_without_ownership(&self, table: &str) -> Run {
        let name = self.target.database.name();
        let user = format!("mender_{name}");
        self.target.execute(&format!(
            "CREATE ROLE \"{user}\" LOGIN PASSWORD 'hunter2'; GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO \"{user}\""
        ));
        let Endpoint { host, port, .. } = Endpoint::from_url("target", &self.target.url()).unwrap();
        let limited = format!("postgres://{user}:hunter2@{host}:{port}/{name}");
        let applied = self.apply(&["out", "--target-url", &limited]);
        self.target
            .execute(&format!("DROP OWNED BY \"{user}\"; DROP ROLE \"{user}\""));
        applied
    }

    /// A file in the directory of the last run that wrote into `out`.
    ///
    /// # Panics
    ///
    /// When no run wrote into it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        let runs = std::fs::read_dir(self.here.path().join("out")).unwrap();
        let run = runs.map(|run| run.unwrap().path()).max();
        run.unwrap().join(name)
    }

    /// Repair, verify, undo, verify: what every repair must do.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn there_and_back(&self, tables: &str) -> Json {
        let before = self.generate(tables);
        let dry = self.apply(&["out", "--dry-run"]);
        assert_eq!(dry.code, 0, "{dry:?}");
        let still = self.run(&["--tables", tables]);
        assert_eq!(
            findings(&still.report()),
            findings(&before),
            "a dry run changes nothing"
        );

        let applied = self.apply(&["out"]);
        assert_eq!(applied.code, 0, "{applied:?}");
        assert_eq!(said(&applied)["verification"], "PASS", "{applied:?}");
        let equal = self.run(&["--tables", tables]);
        assert_eq!(equal.code, 0, "{equal:?}");

        let undone = self.apply(&["out", "--undo"]);
        assert_eq!(undone.code, 0, "{undone:?}");
        let again = self.run(&["--tables", tables]);
        assert_eq!(findings(&again.report()), findings(&before));
        before
    }
}

/// The JSON output of `reconcile apply`.
///
/// # Panics
///
/// When it is not JSON.
#[must_use]
pub fn said(applied: &Run) -> Json {
    serde_json::from_str(&applied.stdout).unwrap()
}

/// The counts of rows in a report.
///
/// # Panics
///
/// When it is not a report.
#[must_use]
pub fn findings(report: &Json) -> Vec<Json> {
    report["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            let mut differences: Vec<String> = result["differences"]
                .as_array()
                .unwrap()
                .iter()
                .map(ToString::to_string)
                .collect();
            differences.sort();
            serde_json::json!([
                result["table"],
                result["source_count"],
                result["target_count"],
                result["checksum_match"],
                differences
            ])
        })
        .collect()
}

/// The schema of tables that are named without one.
#[must_use]
pub fn schema(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => "public",
        Kind::SqlServer => "dbo",
    }
}
