//! Comparisons as data: one TOML file a case, with the SQL that makes both
//! sides and the outcome that is expected.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use shared::endpoint::{DatabaseKind, Endpoint};
use shared::ids::{Attempt, RunId, TableId};
use shared::message::{ColumnSelection, Scope, Side, TableSpec, Task};
use shared::options::MissingColumns;
use shared::options::TableOptions;
use shared::outcome::{
    CauseGroup, Comparison, Depth, Difference, DifferenceKind, Failure, FailureKind,
    RepairStatement,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};
use tokio_util::sync::CancellationToken;
use worker::engine::{Engine, FindingBatch, Progress, ReconcileEngine, Stop, TaskContext};

/// One comparison.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub about: String,
    /// The table, where both sides call it the same.
    #[serde(default = "default_table")]
    pub table: String,
    /// The table on the target, where it is called something else.
    pub target_table: Option<String>,
    /// Key columns; absent: what the catalog says.
    pub key: Option<Vec<String>>,
    /// Which columns are compared.
    #[serde(default)]
    pub columns: ColumnSelection,
    /// How deep to look.
    #[serde(default = "default_depth")]
    pub depth: Depth,
    /// How many differences are listed.
    #[serde(default = "default_max_differences")]
    pub max_differences: u32,
    /// How the comparison is made beyond that.
    #[serde(default)]
    pub options: TableOptions,
    /// Set: it means nothing with the sides swapped, as an option of the target has it.
    #[serde(default)]
    pub one_way: bool,
    /// Unset: it is not repaired too, as its values are so long that the stand-in
    /// takes minutes over the statements.
    #[serde(default = "default_repair")]
    pub repair: bool,
    /// How the source is made.
    pub source: SideSql,
    /// How the target is made.
    pub target: SideSql,
    /// What must come out.
    pub expect: Expectation,
}

/// The statements that make one side, in each dialect that the case covers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SideSql {
    /// For PostgreSQL.
    pub postgres: Option<String>,
    /// For SQL Server.
    pub sqlserver: Option<String>,
}

/// What must come out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Rows on the source.
    pub source_count: Option<u64>,
    /// Rows on the target.
    pub target_count: Option<u64>,
    /// All differences, in any order.
    #[serde(default)]
    pub differences: Vec<ExpectedDifference>,
    /// The numbers of missing, extra and modified rows, where they are not all listed.
    pub counts: Option<[u64; 3]>,
    /// The failure, where the tables cannot be compared.
    pub error: Option<ExpectedError>,
    /// All columns of the source without a partner in the target.
    #[serde(default)]
    pub missing_columns: Vec<String>,
    /// All columns of the target without a partner in the source.
    #[serde(default)]
    pub extra_columns: Vec<String>,
    /// Words that must be in the notes.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Causes that must be among those that explain the differences.
    #[serde(default)]
    pub causes: Vec<String>,
    /// Texts that must be in the causes, each of which reads
    /// `COLUMN: NAME: EXPLANATION; OPTION; ROWS of EXAMINED`, without what it does not have.
    #[serde(default)]
    pub explained: Vec<String>,
    /// No cause may be reported.
    #[serde(default)]
    pub unexplained: bool,
    /// How many differences a recheck found settled.
    pub settled: Option<u64>,
    /// Words of the reasons for which rows are not repaired, in whatever
    /// direction; without any, a repair makes the tables equal.
    #[serde(default)]
    pub unrepaired: Vec<String>,
}

/// A difference.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedDifference {
    /// On which side the row is.
    pub kind: DifferenceKind,
    /// The values of the key, by column.
    #[serde(default)]
    pub key: BTreeMap<String, serde_json::Value>,
    /// The differing columns.
    #[serde(default)]
    pub columns: Vec<String>,
}

/// A failure.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedError {
    /// Its kind.
    pub kind: FailureKind,
    /// Words that must be in the message.
    #[serde(default)]
    pub mentions: Vec<String>,
}

fn default_table() -> String {
    "t".to_owned()
}

fn default_repair() -> bool {
    true
}

fn default_depth() -> Depth {
    Depth::Rows
}

fn default_max_differences() -> u32 {
    100
}

/// The cases in a directory, by file name.
///
/// # Errors
///
/// When a file cannot be read or is no case.
pub fn load(directory: &Path) -> anyhow::Result<BTreeMap<String, Case>> {
    let mut cases = BTreeMap::new();
    for entry in std::fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path: PathBuf = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let text = std::fs::read_to_string(&path)?;
            let case: Case = toml::from_str(&text).with_context(|| path.display().to_string())?;
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            cases.insert(name, case);
        }
    }
    Ok(cases)
}

/// What an engine says of two tables.
pub type Answer = Result<(Comparison, Vec<Difference>), Stop>;

/// The real engine between two databases, for so many tables at a time.
#[must_use]
pub fn engine(source: &Endpoint, target: &Endpoint, concurrency: u32) -> ReconcileEngine {
    let endpoints = [("source", source), ("target", target)].map(|(name, endpoint)| {
        (
            name.to_owned(),
            Endpoint {
                name: name.to_owned(),
                ..endpoint.clone()
            },
        )
    });
    ReconcileEngine::new(endpoints.into(), concurrency)
}

/// Compares two tables.
pub async fn compare(engine: &ReconcileEngine, spec: TableSpec) -> Answer {
    compare_and_repair(engine, spec).await.0
}

/// Compares two tables, and gives the statements of the repair, if `spec` asks for one.
pub async fn compare_and_repair(
    engine: &ReconcileEngine,
    spec: TableSpec,
) -> (Answer, Vec<RepairStatement>) {
    let (sender, mut receiver) = mpsc::channel(4);
    let context = TaskContext {
        cancel: CancellationToken::new(),
        progress: Arc::new(Progress::default()),
        running: Arc::default(),
        findings: sender,
    };
    let task = Task {
        run: RunId::generate(),
        table: TableId(0),
        attempt: Attempt::FIRST,
        scope: Scope::WholeTable,
        spec,
        databases: Vec::new(),
        avoid: Vec::new(),
    };
    let gather = async {
        let (mut differences, mut statements) = (Vec::new(), Vec::new());
        while let Some(batch) = receiver.recv().await {
            match batch {
                FindingBatch::Rows(rows) => differences.extend(rows),
                FindingBatch::Repair(made) => statements.extend(made),
            }
        }
        (differences, statements)
    };
    let run = async {
        let result = engine.reconcile(&task, &context).await;
        drop(context);
        result
    };
    let (result, (differences, statements)) = tokio::join!(run, gather);
    (
        result.map(|comparison| (comparison, differences)),
        statements,
    )
}

impl Case {
    /// The comparison that the case asks for, `mirrored` with the sides swapped.
    ///
    /// # Errors
    ///
    /// When a table's name is none.
    pub fn spec(&self, mirrored: bool) -> anyhow::Result<TableSpec> {
        let side = |endpoint: &str, table: &str| {
            anyhow::Ok(Side {
                endpoint: endpoint.to_owned(),
                table: table.parse()?,
            })
        };
        let target_table = self.target_table.as_ref().unwrap_or(&self.table);
        let (source, target) = if mirrored {
            (target_table, &self.table)
        } else {
            (&self.table, target_table)
        };
        let mut columns = self.columns.clone();
        if mirrored {
            let renamed = |name: &String| {
                self.columns
                    .map
                    .get(name)
                    .cloned()
                    .unwrap_or_else(|| name.clone())
            };
            columns.map = columns
                .map
                .into_iter()
                .map(|(from, to)| (to, from))
                .collect();
            columns.include = columns.include.iter().map(renamed).collect();
        }
        let renamed_key = |names: &Vec<String>| {
            names
                .iter()
                .map(|name| self.target_name(name, mirrored))
                .collect()
        };
        Ok(TableSpec {
            source: side("source", source)?,
            target: side("target", target)?,
            depth: self.depth,
            key: self.key.as_ref().map(renamed_key),
            columns,
            max_differences: self.max_differences,
            chunk_size: 3,
            timeout: Duration::from_secs(60),
            options: self.options(mirrored),
        })
    }

    fn options(&self, mirrored: bool) -> TableOptions {
        let mut options = self.options.clone();
        if mirrored {
            std::mem::swap(&mut options.filters.source, &mut options.filters.target);
            options.rules = options
                .rules
                .into_iter()
                .map(|(name, rule)| (self.target_name(&name, true), rule))
                .collect();
        }
        options
    }

    fn target_name(&self, source_name: &str, mirrored: bool) -> String {
        let mapped = self.columns.map.get(source_name).filter(|_| mirrored);
        mapped.cloned().unwrap_or_else(|| source_name.to_owned())
    }

    /// Whether `answer` is the expected one.
    ///
    /// # Errors
    ///
    /// The first deviation.
    pub fn check(&self, answer: &Answer, mirrored: bool) -> anyhow::Result<()> {
        match (answer, &self.expect.error) {
            (Err(Stop::Failed(failure)), Some(error)) => check_failure(failure, error),
            (Err(stop), _) => bail!("did not compare: {stop:?}"),
            (Ok(answer), Some(error)) => bail!("expected {error:?}, got {answer:?}"),
            (Ok((comparison, differences)), None) => {
                self.check_counts(comparison, mirrored)?;
                self.check_structure(comparison, mirrored)?;
                if !mirrored {
                    self.check_notes_and_causes(comparison)?;
                }
                self.check_rows(comparison, differences, mirrored)
            }
        }
    }

    fn check_counts(&self, comparison: &Comparison, mirrored: bool) -> anyhow::Result<()> {
        let expect = &self.expect;
        let (source_count, target_count) = if mirrored {
            (expect.target_count, expect.source_count)
        } else {
            (expect.source_count, expect.target_count)
        };
        for (wanted, found, side) in [
            (source_count, comparison.source_count, "source"),
            (target_count, comparison.target_count, "target"),
        ] {
            ensure!(
                wanted.is_none_or(|wanted| wanted == found),
                "{found} rows on the {side}, not {wanted:?}"
            );
        }
        Ok(())
    }

    fn check_structure(&self, comparison: &Comparison, mirrored: bool) -> anyhow::Result<()> {
        let coverage = comparison
            .coverage
            .as_ref()
            .context("there is no coverage")?;
        let missing = coverage.missing_columns.iter();
        let missing: Vec<&str> = missing.map(|column| column.name.as_str()).collect();
        let wanted = self.missing(mirrored);
        ensure!(
            missing == *wanted,
            "missing columns: expected {wanted:?}, got {missing:?}"
        );
        Ok(())
    }

    fn missing(&self, mirrored: bool) -> &Vec<String> {
        if mirrored {
            &self.expect.extra_columns
        } else {
            &self.expect.missing_columns
        }
    }

    fn check_notes_and_causes(&self, comparison: &Comparison) -> anyhow::Result<()> {
        for word in &self.expect.notes {
            ensure!(
                comparison.notes.iter().any(|note| note.contains(word)),
                "no note mentions {word}: {:?}",
                comparison.notes
            );
        }
        for cause in &self.expect.causes {
            ensure!(
                comparison.causes.iter().any(|group| group.cause == *cause),
                "{cause} is not among the causes: {:?}",
                comparison.causes
            );
        }
        let lines: Vec<String> = comparison.causes.iter().map(cause_line).collect();
        for text in &self.expect.explained {
            ensure!(
                lines.iter().any(|line| line.contains(text)),
                "`{text}` is not among the causes: {lines:#?}"
            );
        }
        ensure!(
            lines.is_empty() || !self.expect.unexplained,
            "causes are reported: {lines:#?}"
        );
        Ok(())
    }

    fn check_rows(
        &self,
        comparison: &Comparison,
        differences: &[Difference],
        mirrored: bool,
    ) -> anyhow::Result<()> {
        let expect = &self.expect;
        let [missing, extra, modified] = self.expected_rows(mirrored);
        let structure = self.options.missing_columns == MissingColumns::Note
            || self.missing(mirrored).is_empty();
        ensure!(
            comparison.is_match() == (structure && missing + extra + modified == 0),
            "match is {}: {comparison:?}",
            comparison.is_match()
        );
        let Some(rows) = &comparison.rows else {
            return Ok(());
        };
        ensure!(
            (rows.missing, rows.extra, rows.modified) == (missing, extra, modified),
            "expected {missing} missing, {extra} extra, {modified} modified; got {rows:?}, {differences:?}"
        );
        ensure!(
            expect.settled.is_none_or(|settled| settled == rows.settled),
            "{} differences settled, not {:?}",
            rows.settled,
            expect.settled
        );
        ensure!(
            rows.truncated == (rows.total() > differences.len() as u64),
            "truncated is {} with {} listed",
            rows.truncated,
            differences.len()
        );
        if expect.counts.is_none() {
            let mut found: Vec<String> = differences
                .iter()
                .map(|difference| self.found(difference, mirrored))
                .collect();
            let mut wanted: Vec<String> = expect.differences.iter().map(wanted).collect();
            found.sort();
            wanted.sort();
            ensure!(
                found == wanted,
                "differences: expected {wanted:#?}, got {found:#?}"
            );
        }
        Ok(())
    }

    /// How many rows are expected to be missing, extra and modified.
    fn expected_rows(&self, mirrored: bool) -> [u64; 3] {
        let expect = &self.expect;
        let of_kind = |kind| {
            let listed = expect.differences.iter();
            listed.filter(|difference| difference.kind == kind).count() as u64
        };
        let listed = [
            of_kind(DifferenceKind::Missing),
            of_kind(DifferenceKind::Extra),
            of_kind(DifferenceKind::Modified),
        ];
        let [missing, extra, modified] = expect.counts.unwrap_or(listed);
        if mirrored {
            [extra, missing, modified]
        } else {
            [missing, extra, modified]
        }
    }

    /// A found difference in words, as the unmirrored case would say it.
    fn found(&self, difference: &Difference, mirrored: bool) -> String {
        let back = |name: &str| {
            let original = self
                .columns
                .map
                .iter()
                .find(|(_, to)| *to == name)
                .filter(|_| mirrored);
            original.map_or_else(|| name.to_owned(), |(from, _)| from.clone())
        };
        let kind = match (difference.kind, mirrored) {
            (DifferenceKind::Missing, true) => DifferenceKind::Extra,
            (DifferenceKind::Extra, true) => DifferenceKind::Missing,
            (kind, _) => kind,
        };
        let key: BTreeMap<String, _> = difference
            .key
            .iter()
            .map(|(name, value)| (back(name).to_lowercase(), value))
            .collect();
        let mut columns: Vec<_> = difference
            .columns
            .iter()
            .map(|column| back(&column.name).to_lowercase())
            .collect();
        columns.sort();
        format!("{kind:?} {key:?} {columns:?}")
    }
}

fn cause_line(group: &CauseGroup) -> String {
    let column = group.column.iter().map(|column| format!("{column}: "));
    let option = group.option.iter().map(|option| format!("; {option}"));
    format!(
        "{}{}: {}{}; {} of {}",
        column.collect::<String>(),
        group.cause,
        group.explanation,
        option.collect::<String>(),
        group.rows,
        group.examined
    )
}

fn check_failure(failure: &Failure, expected: &ExpectedError) -> anyhow::Result<()> {
    ensure!(
        failure.kind == expected.kind,
        "failed with {failure:?}, not with {}",
        expected.kind
    );
    for word in &expected.mentions {
        ensure!(
            failure.message.contains(word),
            "the message does not mention {word}: {}",
            failure.message
        );
    }
    Ok(())
}

fn wanted(difference: &ExpectedDifference) -> String {
    let key: BTreeMap<String, _> = difference
        .key
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value))
        .collect();
    let mut columns: Vec<_> = difference
        .columns
        .iter()
        .map(|name| name.to_lowercase())
        .collect();
    columns.sort();
    format!("{:?} {key:?} {columns:?}", difference.kind)
}

/// A connection on which tables are made, as the endpoint's own user would.
pub enum Maker {
    /// To PostgreSQL.
    Postgres(tokio_postgres::Client),
    /// To SQL Server.
    SqlServer(Box<tiberius::Client<Compat<TcpStream>>>),
}

impl std::fmt::Debug for Maker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Maker")
    }
}

impl Maker {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When the endpoint refuses.
    pub async fn connect(endpoint: &Endpoint) -> anyhow::Result<Self> {
        match endpoint.kind {
            DatabaseKind::Postgres => {
                let url = format!(
                    "postgres://{}:{}@{}:{}/{}",
                    endpoint.user,
                    endpoint.password.reveal(),
                    endpoint.host,
                    endpoint.port,
                    endpoint.database
                );
                Ok(Self::Postgres(
                    harness::services::database::connect(&url).await?,
                ))
            }
            DatabaseKind::SqlServer => {
                let mut config = tiberius::Config::new();
                config.host(&endpoint.host);
                config.port(endpoint.port);
                config.database(&endpoint.database);
                config.authentication(tiberius::AuthMethod::sql_server(
                    &endpoint.user,
                    endpoint.password.reveal(),
                ));
                config.encryption(tiberius::EncryptionLevel::NotSupported);
                let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
                // Boxed: the handshake is a large future.
                let connecting = Box::pin(tiberius::Client::connect(config, stream.compat_write()));
                Ok(Self::SqlServer(Box::new(connecting.await?)))
            }
        }
    }

    /// Runs a batch of statements.
    ///
    /// # Errors
    ///
    /// When one of them fails.
    pub async fn execute(&mut self, sql: &str) -> anyhow::Result<()> {
        match self {
            Self::Postgres(client) => client
                .batch_execute(sql)
                .await
                .with_context(|| sql.to_owned()),
            Self::SqlServer(client) => {
                client
                    .simple_query(sql)
                    .await?
                    .into_results()
                    .await
                    .with_context(|| sql.to_owned())?;
                Ok(())
            }
        }
    }
}
