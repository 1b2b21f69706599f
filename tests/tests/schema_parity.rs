//! What surrounds the rows: each planted fault is found by its rule, in both directions and by
//! nothing else, and correct migrations have no finding.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

#[path = "schema_parity/cases.rs"]
mod cases;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use cases::{CASES, Case, PARENTS_OF_POSTGRES, PARENTS_OF_SQL_SERVER};
use harness::services::{Database, Standin, StandinTls, shared_postgres};
use shared::endpoint::Endpoint;
use shared::finding::{Finding, Severity};
use shared::message::{ColumnSelection, Side, TableSpec};
use shared::options::TableOptions;
use shared::outcome::Depth;
use tests::cases::Maker;
use worker::engine::{compare_schemas, schema_rules};

/// A database behind the stand-in, and one of PostgreSQL.
struct Scene {
    backing: Database,
    plain: Database,
    standin: Standin,
}

impl Scene {
    fn new() -> Self {
        let server = shared_postgres();
        let backing = server.create_database("schema_source").unwrap();
        let plain = server.create_database("schema_target").unwrap();
        let standin = Standin::start(&backing.url(), "shop", StandinTls::Off).unwrap();
        Self {
            backing,
            plain,
            standin,
        }
    }

    fn sql_server(&self) -> Endpoint {
        Endpoint::from_url("shop", &self.standin.url()).unwrap()
    }

    fn postgres(&self) -> Endpoint {
        Endpoint::from_url("warehouse", &self.plain.url()).unwrap()
    }

    /// Creates what SQL Server has, in the form in which the stand-in stores it.
    fn make_sql_server(&self, sql: &str) {
        let sql = format!("SET search_path TO dbo; {sql}");
        self.backing.execute(&sql).unwrap();
    }

    fn make_postgres(&self, sql: &str) {
        self.plain.execute(sql).unwrap();
    }
}

fn spec(source: &str, target: &str) -> TableSpec {
    let side = |name: &str| Side {
        endpoint: "any".to_owned(),
        table: name.parse().unwrap(),
    };
    TableSpec {
        source: side(source),
        target: side(target),
        depth: Depth::Rows,
        key: None,
        columns: ColumnSelection::default(),
        max_differences: 10,
        chunk_size: 1000,
        timeout: Duration::from_secs(60),
        options: TableOptions::default(),
    }
}

/// The names of the rules that found something, by table.
fn by_table(findings: &[Finding]) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for finding in findings {
        let table = finding.table.clone().unwrap_or_default();
        found.entry(table).or_default().push(finding.rule.clone());
    }
    found
}

/// Compares all tables of the cases and expects of each exactly its findings.
async fn expect(
    (source, target): (&Endpoint, &Endpoint),
    expected: fn(&Case) -> &'static [&'static str],
    of_run: &[&str],
) {
    let specs: Vec<TableSpec> = CASES
        .iter()
        .map(|case| spec(case.table, case.table))
        .collect();
    let findings = compare_schemas(source, target, &specs).await.unwrap();
    let mut found = by_table(&findings);
    assert_eq!(
        found.remove("").unwrap_or_default(),
        of_run,
        "{findings:#?}"
    );
    for case in CASES {
        let rules = found.remove(case.table).unwrap_or_default();
        let details: Vec<&Finding> = findings
            .iter()
            .filter(|finding| finding.table.as_deref() == Some(case.table))
            .collect();
        assert_eq!(rules, expected(case), "{}: {details:#?}", case.table);
    }
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_planted_fault_is_found_by_its_rule_in_both_directions() {
    let scene = Scene::new();
    let script = |parents: &str, of: fn(&Case) -> &'static str| {
        let statements = CASES.iter().map(|case| of(case).replace("{t}", case.table));
        format!("{parents}; {}", statements.collect::<Vec<_>>().join(";\n"))
    };
    scene.make_sql_server(&script(PARENTS_OF_SQL_SERVER, |case| case.sql_server));
    scene.make_postgres(&script(PARENTS_OF_POSTGRES, |case| case.postgres));
    let (shop, warehouse) = (scene.sql_server(), scene.postgres());
    // The names of the parents are no cases.
    let of_run = ["collation-default", "table-unlisted", "table-unlisted"];
    expect((&shop, &warehouse), |case| case.forward, &of_run).await;
    expect((&warehouse, &shop), |case| case.backward, &of_run).await;

    let planted: usize = CASES
        .iter()
        .map(|case| case.forward.len() + case.backward.len())
        .sum();
    assert!(planted >= 40, "{planted}");
    let found = |name: &str| {
        let mut of_cases = CASES
            .iter()
            .flat_map(|case| case.forward.iter().chain(case.backward));
        of_cases.any(|rule| *rule == name) || of_run.contains(&name)
    };
    let never: Vec<&str> = schema_rules()
        .iter()
        .map(|rule| rule.name)
        .filter(|name| !found(name))
        .collect();
    // These have tests of their own.
    assert_eq!(never, ["definitions-hidden"]);
}

/// The next number is set by the statement that the finding names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_remedy_of_a_sequence_that_is_behind_ends_the_finding() {
    let scene = Scene::new();
    scene.make_sql_server(
        "CREATE TABLE \"Order's\" (\"Id\" int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY); \
         INSERT INTO \"Order's\" VALUES (1), (7)",
    );
    scene.make_postgres(
        "CREATE SCHEMA \"S'x\"; CREATE TABLE \"S'x\".\"Order's\" (\"Id\" serial PRIMARY KEY); \
         INSERT INTO \"S'x\".\"Order's\" VALUES (1), (7)",
    );
    let (shop, warehouse) = (scene.sql_server(), scene.postgres());
    let tables = [spec("dbo.\"Order's\"", "\"S'x\".\"Order's\"")];
    let next = |findings: Vec<Finding>| {
        let mut findings = findings.into_iter();
        findings.find(|finding| finding.rule == "next-value")
    };
    let found = next(compare_schemas(&shop, &warehouse, &tables).await.unwrap()).unwrap();
    assert_eq!(found.severity, Severity::Error);
    assert!(found.message.contains('7'), "{found:?}");
    scene.make_postgres(&found.remedy.unwrap());
    let again = next(compare_schemas(&shop, &warehouse, &tables).await.unwrap());
    assert_eq!(again, None);
    let inserted = "INSERT INTO \"S'x\".\"Order's\" DEFAULT VALUES";
    scene.make_postgres(inserted);

    let back = [spec("\"S'x\".\"Order's\"", "dbo.\"Order's\"")];
    let found = next(compare_schemas(&warehouse, &shop, &back).await.unwrap()).unwrap();
    assert_eq!(
        found.remedy.as_deref(),
        Some("DBCC CHECKIDENT (N'[dbo].[Order''s]', RESEED, 7);")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_user_may_not_see_is_not_compared() {
    let scene = Scene::new();
    scene.make_sql_server(
        "CREATE TABLE t (id int PRIMARY KEY, v int DEFAULT 1 CHECK (v > 0)); \
         COMMENT ON SCHEMA dbo IS 'no VIEW DEFINITION'",
    );
    scene.make_postgres("CREATE TABLE t (id int PRIMARY KEY, v int)");
    let tables = [spec("t", "t")];
    let (shop, warehouse) = (scene.sql_server(), scene.postgres());
    let findings = compare_schemas(&shop, &warehouse, &tables).await.unwrap();
    assert_eq!(
        by_table(&findings)["t"],
        ["definitions-hidden"],
        "{findings:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequence_that_cannot_be_read_is_a_note_and_affects_no_other() {
    let scene = Scene::new();
    let tables: String = ["a", "b", "c"]
        .iter()
        .map(|name| {
            format!("CREATE TABLE {name} (id serial PRIMARY KEY); INSERT INTO {name} VALUES (3); ")
        })
        .collect();
    scene.make_postgres(&format!(
        "{tables} CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}; \
         GRANT SELECT ON SEQUENCE a_id_seq, c_id_seq TO {role}",
        role = scene.plain.name()
    ));
    scene.make_sql_server(&tables.replace("serial", "int GENERATED BY DEFAULT AS IDENTITY"));
    let mut reader = scene.postgres();
    reader.user = scene.plain.name().to_owned();
    reader.password = shared::endpoint::Secret::new("x");
    let specs: Vec<TableSpec> = ["a", "b", "c"]
        .iter()
        .map(|name| spec(name, name))
        .collect();
    let findings = compare_schemas(&scene.sql_server(), &reader, &specs).await;
    scene.make_postgres(&format!(
        "DROP OWNED BY {role}; DROP ROLE {role}",
        role = scene.plain.name()
    ));
    let findings = findings.unwrap();
    let found = by_table(&findings);
    assert_eq!(found["a"], ["next-value"], "{findings:?}");
    assert_eq!(found["b"], ["next-value-unknown"], "{findings:?}");
    assert_eq!(found["c"], ["next-value"], "{findings:?}");
    let note = findings
        .iter()
        .find(|finding| finding.rule == "next-value-unknown");
    assert!(note.unwrap().message.contains("b_id_seq"), "{note:?}");
}

/// What the migration of a sample has beside the columns: statements for both sides.
struct Migration {
    sample: &'static str,
    tables: &'static [(&'static str, &'static str)],
    sql_server: &'static str,
    postgres: &'static str,
}

async fn verify(migration: &Migration) {
    let scene = Scene::new();
    let read = |file: &str| {
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
        std::fs::read_to_string(samples.join(migration.sample).join(file)).unwrap()
    };
    let (shop, warehouse) = (scene.sql_server(), scene.postgres());
    let mut maker = Maker::connect(&shop).await.unwrap();
    for batch in read("source.sql").split("\nGO\n") {
        maker.execute(batch).await.unwrap();
    }
    scene.make_postgres(&read("target.sql"));
    scene.make_sql_server(migration.sql_server);
    scene.make_postgres(migration.postgres);
    let tables: Vec<TableSpec> = migration
        .tables
        .iter()
        .map(|(from, to)| spec(from, to))
        .collect();
    let findings = compare_schemas(&shop, &warehouse, &tables).await.unwrap();
    // The note that the two databases compare texts differently by default.
    assert_eq!(
        by_table(&findings),
        BTreeMap::from([(String::new(), vec!["collation-default".to_owned()])]),
        "{findings:#?}"
    );
    let mirrored: Vec<TableSpec> = migration
        .tables
        .iter()
        .map(|(from, to)| spec(to, from))
        .collect();
    let serious = compare_schemas(&warehouse, &shop, &mirrored).await.unwrap();
    let unexpected = ["collation-default", "type-narrower"];
    let serious: Vec<&Finding> = serious
        .iter()
        // A text type of PostgreSQL may have no limit where that of SQL Server has one.
        .filter(|finding| !unexpected.contains(&finding.rule.as_str()))
        .collect();
    assert!(serious.is_empty(), "{serious:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn correct_migrations_have_no_finding() {
    for migration in cases::MIGRATIONS {
        verify(migration).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_tables_are_compared_within_ten_seconds() {
    const TABLES: usize = 300;
    let scene = Scene::new();
    let script: String = (0..TABLES)
        .map(|number| {
            format!(
                "CREATE TABLE t{number} (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, parent int, a int NOT NULL DEFAULT 1, \
                 b varchar(50) NOT NULL, c numeric(10,2), d timestamp(3) DEFAULT now(), e boolean NOT NULL DEFAULT false, f uuid, \
                 CONSTRAINT p{number} CHECK (a > 0)); \
                 CREATE INDEX ON t{number} (b, c); CREATE UNIQUE INDEX ON t{number} (f); \
                 ALTER TABLE t{number} ADD FOREIGN KEY (parent) REFERENCES t0 (id);\n"
            )
        })
        .collect();
    scene.make_sql_server(&script);
    scene.make_postgres(&script);
    let tables: Vec<TableSpec> = (0..TABLES)
        .map(|number| format!("t{number}"))
        .map(|name| spec(&name, &name))
        .collect();
    let begin = Instant::now();
    let findings = compare_schemas(&scene.sql_server(), &scene.postgres(), &tables)
        .await
        .unwrap();
    let elapsed = begin.elapsed();
    // The note that the two databases compare texts differently by default.
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
}
