//! Which tables a run compares, as a user sees it: patterns, exclusions, the names of the tables
//! in both databases, and what is left out.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use harness::services::{Database, Standin, StandinTls, shared_postgres, shared_rabbitmq};
use serde_json::{Value as Json, json};
use shared::endpoint::Endpoint;
use tests::cases::Maker;
use tests::product::{Run, Workplace, result};

/// Two databases and a configuration that names them.
struct Scene {
    here: Workplace,
    source_url: String,
    target_url: String,
    /// Dropped after the test, the stand-in before its database.
    _standin: Option<Standin>,
    _databases: [Database; 2],
}

impl Scene {
    fn postgres(source_sql: &str, target_sql: &str) -> Self {
        let server = shared_postgres();
        let source = server.create_database("source").unwrap();
        source.execute(source_sql).unwrap();
        Self::of(source.url(), None, source, target_sql)
    }

    /// With SQL Server as the source, whose database `prepare` changes behind its back.
    fn sql_server(batches: &[&str], prepare: &str, target_sql: &str) -> Self {
        let backing = shared_postgres().create_database("source").unwrap();
        let standin = Standin::start(&backing.url(), "tables", StandinTls::Off).unwrap();
        let endpoint = Endpoint::from_url("source", &standin.url()).unwrap();
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let mut maker = Maker::connect(&endpoint).await.unwrap();
            for batch in batches {
                maker.execute(batch).await.unwrap();
            }
        });
        backing.execute(prepare).unwrap();
        Self::of(standin.url(), Some(standin), backing, target_sql)
    }

    fn of(
        source_url: String,
        standin: Option<Standin>,
        source: Database,
        target_sql: &str,
    ) -> Self {
        let target = shared_postgres().create_database("target").unwrap();
        target.execute(target_sql).unwrap();
        let target_url = target.url();
        let here = Workplace::new(&configuration(&source_url, &target_url, ""));
        Self {
            here,
            source_url,
            target_url,
            _standin: standin,
            _databases: [source, target],
        }
    }

    fn configure(&self, more: &str) {
        let text = configuration(&self.source_url, &self.target_url, more);
        std::fs::write(self.here.path().join("reconcile.toml"), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let start = ["run", "--row-level", "--format", "json"];
        self.here.reconcile(&[&start[..], arguments].concat())
    }
}

fn configuration(source_url: &str, target_url: &str, more: &str) -> String {
    format!(
        "[endpoints.source]\nurl = '{source_url}'\n[endpoints.target]\nurl = '{target_url}'\n[run]\nsource = 'source'\ntarget = 'target'\n{more}"
    )
}

fn texts(list: &Json) -> Vec<&str> {
    let list = list.as_array().unwrap().iter();
    list.map(|text| text.as_str().unwrap()).collect()
}

fn tables(report: &Json) -> Vec<&str> {
    let results = report["results"].as_array().unwrap().iter();
    results.map(|it| it["table"].as_str().unwrap()).collect()
}

fn shop() -> Scene {
    Scene::sql_server(
        &[
            "CREATE TABLE dbo.Orders (OrderID int NOT NULL PRIMARY KEY, Freight money)",
            "CREATE TABLE dbo.[Order Details] (ID int NOT NULL PRIMARY KEY, Quantity int)",
            "CREATE TABLE dbo.sysdiagrams (diagram_id int NOT NULL PRIMARY KEY, version int)",
            "CREATE TABLE dbo.__EFMigrationsHistory (MigrationId nvarchar(150) NOT NULL PRIMARY KEY)",
            "CREATE TABLE dbo.__RefactorLog (OperationKey int NOT NULL PRIMARY KEY)",
            "INSERT INTO dbo.Orders VALUES (1, 1.5); INSERT INTO dbo.[Order Details] VALUES (1, 2)",
            "CREATE VIEW dbo.[Orders Qry] AS SELECT OrderID, Freight FROM dbo.Orders",
        ],
        "COMMENT ON TABLE dbo.\"__RefactorLog\" IS 'microsoft_database_tools_support'",
        "CREATE TABLE orders (orderid int PRIMARY KEY, freight numeric(19,4)); INSERT INTO orders VALUES (1, 1.5); \
         CREATE TABLE order_details (id int PRIMARY KEY, quantity int); INSERT INTO order_details VALUES (1, 2); \
         CREATE TABLE server1_erp_dbo_orders (orderid int PRIMARY KEY, freight numeric(19,4)); INSERT INTO server1_erp_dbo_orders VALUES (1, 1.5); \
         CREATE TABLE server1_erp_dbo_order_details (id int PRIMARY KEY, quantity int); INSERT INTO server1_erp_dbo_order_details VALUES (1, 3); \
         CREATE VIEW seen AS SELECT 1 AS one; CREATE TABLE of_extension (id int); ALTER EXTENSION plpgsql ADD TABLE of_extension",
    )
}

#[test]
fn a_pattern_compares_the_users_tables_and_says_what_it_leaves_out() {
    let scene = shop();
    let run = scene.run(&["--tables", "dbo.*,!dbo.sysdiagrams"]);
    let report = run.report();
    assert_eq!(run.code, 3, "{report:#}");
    assert_eq!(
        tables(&report),
        [
            "dbo.Order Details",
            "dbo.Orders",
            "dbo.__EFMigrationsHistory"
        ]
    );
    assert_eq!(report["errors"][0]["type"], "TableNotFound");
    let notes = texts(&report["notes"]);
    for expected in [
        "1 table excluded: dbo.sysdiagrams",
        "1 table left out, as made by the database or its tools: dbo.__RefactorLog",
        "1 view left out: dbo.Orders Qry; --include-views compares them",
    ] {
        assert!(notes.contains(&expected), "{expected}: {notes:?}");
    }
    let only = [
        "public.server1_erp_dbo_order_details",
        "public.server1_erp_dbo_orders",
    ];
    assert_eq!(texts(&report["target_only_tables"]), only);

    let list = ["--tables", "DBO.*", "--exclude", "__*"];
    let run = scene.run(&list);
    assert_eq!(run.code, 0, "{run:?}");
    let strict = scene.run(&[&list[..], &["--strict-tables"]].concat());
    assert_eq!(
        (strict.code, &strict.report()["status"]),
        (1, &json!("FAIL")),
        "{strict:?}"
    );
    let stored = scene
        .here
        .reconcile(&["report", "latest", "--format", "json"]);
    assert_eq!(
        (stored.code, stored.report()),
        (1, strict.report()),
        "the stored run has the same report"
    );
    let views = scene.run(&["--tables", "dbo.Orders*", "--include-views"]);
    assert_eq!(tables(&views.report()), ["dbo.Orders", "dbo.Orders Qry"]);
    let by_name = scene.run(&["--tables", "dbo.[Orders Qry]=orders"]);
    assert_eq!(by_name.report()["results"][0]["source_count"], 1);
}

#[test]
fn a_target_pattern_finds_tables_that_are_named_after_topics() {
    let scene = shop();
    scene.configure("exclude = ['__*']\nstrict_tables = true\n");
    let run = scene.run(&["--tables", "dbo.*=public.server1_erp_dbo_*"]);
    let report = run.report();
    assert_eq!(run.code, 1, "{report:#}");
    assert_eq!(result(&report, "dbo.Orders")["match"], json!(true));
    assert_eq!(result(&report, "dbo.Order Details")["modified"], json!(1));
    assert!(
        texts(&report["target_only_tables"]).is_empty(),
        "{report:#}"
    );
}

#[test]
fn names_of_sql_server_are_found_in_any_case() {
    let scene = shop();
    for list in [
        "DBO.Orders",
        "[dbo].[ORDERS]",
        "DBO.O*s,!*details*",
        "dbo.orders=PUBLIC.ORDERS",
        "[order details]",
        "Order_Details=public.[ORDER-DETAILS]",
    ] {
        let run = scene.run(&["--tables", list]);
        assert_eq!(
            (run.code, run.report()["matched"].clone()),
            (0, json!(1)),
            "{list}: {run:?}"
        );
    }
}

#[test]
fn schemas_and_tables_of_similar_names_are_found() {
    let scene = Scene::postgres(
        "CREATE SCHEMA \"HumanResources\"; CREATE TABLE \"HumanResources\".\"Employee Pay-History\" (id int PRIMARY KEY); CREATE TABLE \"ErrorLog\" (id int PRIMARY KEY)",
        "CREATE SCHEMA human_resources; CREATE TABLE human_resources.employee_pay_history (id int PRIMARY KEY); CREATE TABLE error_log (id int PRIMARY KEY); CREATE TABLE human_resources.more (id int PRIMARY KEY)",
    );
    let run = scene.run(&["--tables", "*.*"]);
    let report = run.report();
    assert_eq!((run.code, &report["matched"]), (0, &json!(2)), "{report:#}");
    assert_eq!(
        texts(&report["target_only_tables"]),
        ["human_resources.more"]
    );
    let exact = scene.run(&["--tables", "HumanResources.*", "--naming", "ignore-case"]);
    assert_eq!(exact.code, 3, "{exact:?}");
}

#[test]
fn two_tables_that_differ_in_case_do_not_pass_for_one() {
    let scene = Scene::postgres(
        "CREATE TABLE \"Users\" (id int PRIMARY KEY); CREATE TABLE users (id int PRIMARY KEY); CREATE TABLE orders (id int PRIMARY KEY)",
        "CREATE TABLE users (id int PRIMARY KEY); CREATE TABLE orders (id int PRIMARY KEY)",
    );
    for list in ["*", "Users,users", "orders,public.users,Users"] {
        let run = scene.run(&["--tables", list]);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:?}");
        for name in ["Users", "users", "both resolve to public.users"] {
            assert!(run.stderr.contains(name), "{list}: {run:?}");
        }
    }

    // Only the workers know the databases.
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let _worker = scene.here.worker(&["--broker", broker.amqp_url()]);
    let elsewhere = Workplace::new("[run]\nsource = 'source'\ntarget = 'target'\n");
    let run = elsewhere.reconcile(&[
        "run",
        "--broker",
        broker.amqp_url(),
        "--tables",
        "Users,users,orders",
        "--parallel-workers",
        "1",
        "--format",
        "json",
    ]);
    let report = run.report();
    assert_eq!((run.code, &report["matched"]), (3, &json!(2)), "{report:#}");
    let error = &report["errors"][0];
    assert_eq!(error["type"], "SharedTarget");
    for name in ["Users", "users", "public.users"] {
        assert!(error["error"].as_str().unwrap().contains(name), "{error}");
    }
}

#[test]
fn names_that_postgresql_cuts_are_one_name() {
    let cut = "connector_server1_erp_dbo_customer_loyalty_programme_membership";
    let long = format!("{cut}_history_2024");
    let sql = |value: u8| {
        format!(
            "CREATE TABLE {long} (id int PRIMARY KEY, v int); INSERT INTO {long} VALUES (1, {value})"
        )
    };
    let scene = Scene::postgres(&sql(1), &sql(2));
    let run = scene.run(&["--tables", &format!("{cut}={long}")]);
    assert_eq!(
        (run.code, &run.report()["mismatched"]),
        (1, &json!(1)),
        "{run:?}"
    );
    scene.configure(&format!(
        "[[tables]]\nsource = '{cut}'\ntarget = '{long}'\n[[tables]]\nsource = '{cut}'\ntarget = '{cut}'\n"
    ));
    let twice = scene.run(&[]);
    assert_eq!(twice.code, 2, "{twice:?}");
    for word in [cut, &long, "listed twice", "63 bytes"] {
        assert!(twice.stderr.contains(word), "{twice:?}");
    }
}

#[test]
fn settings_and_rules_may_be_for_patterns() {
    let scene = Scene::postgres(
        "CREATE SCHEMA sales; CREATE TABLE sales.a (id int PRIMARY KEY, code char(4), made_at timestamp(6)); INSERT INTO sales.a VALUES (1, 'x', '2026-01-02 03:04:05.678'); \
         CREATE TABLE sales.b (id int PRIMARY KEY, note text); INSERT INTO sales.b VALUES (1, 'x ')",
        "CREATE SCHEMA archive; CREATE TABLE archive.a_2026 (id int PRIMARY KEY, code char(4), made_at timestamp(6)); INSERT INTO archive.a_2026 VALUES (1, 'x', '2026-01-02 03:04:05.6'); \
         CREATE TABLE archive.b_2026 (id int PRIMARY KEY, note text); INSERT INTO archive.b_2026 VALUES (1, 'x')",
    );
    let tables = "[[tables]]\nsource = 'sales.*'\ntarget = 'archive.*_2026'\n";
    scene.configure(tables);
    let run = scene.run(&[]);
    assert_eq!(
        (run.code, &run.report()["mismatched"]),
        (1, &json!(2)),
        "{run:?}"
    );
    let rules = "[[rules]]\ncolumns = '*_at'\ntype = 'timestamp'\ntables = 'sales.*'\nprecision = 1\n\
                 [[rules]]\ntype = 'text'\ntrim = 'end'\n[[rules]]\ntables = 'sales.b'\ncolumns = 'i*'\nignore = false\nredact = true\n";
    scene.configure(&format!("{tables}{rules}"));
    let run = scene.run(&[]);
    assert_eq!(
        (run.code, &run.report()["matched"]),
        (0, &json!(2)),
        "{run:?}"
    );

    let shown = scene.here.reconcile(&["config", "--table", "sales.a"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    for line in [
        "# settings of the entry of [[tables]] with source = \"sales.*\"",
        "source = \"sales.a\"",
        "target = \"archive.a_2026\"",
        "columns = \"*_at\"",
        "type = \"text\"",
        "trim = \"end\"",
    ] {
        assert!(
            shown.stdout.lines().any(|it| it == line),
            "{line}: {shown:?}"
        );
    }
    assert!(!shown.stdout.contains("redact"), "{shown:?}");
    let several = scene.here.reconcile(&["config", "--table", "sales.*"]);
    assert_eq!(several.code, 2, "{several:?}");
    assert!(several.stderr.contains("name one of them"), "{several:?}");
}
