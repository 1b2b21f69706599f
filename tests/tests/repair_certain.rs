//! Repairs touch only rows that are certain, and lose nothing: keys that are not unique,
//! values that were not compared, constraints and triggers of the target.

use std::process::Command;

use serde_json::{Value as Json, json};
use tests::product::{Run, finish, result};
use tests::repair::Kind::{Postgres, SqlServer};
use tests::repair::{Kind, Scene, findings, said, schema};

/// The repair of the only table of a report.
fn repair(report: &Json) -> &Json {
    &report["results"][0]["repair"]
}

fn counts(delete: u64, update: u64, insert: u64) -> Json {
    json!({ "delete": delete, "update": update, "insert": insert })
}

/// Checks what was applied and what was skipped of the only table.
fn check(applied: &Run, expected: [&Json; 2]) {
    let report = said(applied);
    let table = &report["tables"][0];
    assert_eq!(
        [&table["applied"], &table["skipped"]],
        expected,
        "{applied:?}"
    );
}

/// Copies of rows, of which the sides have different numbers.
fn bag(kind: Kind) -> Scene {
    let schema = schema(kind);
    Scene::new(
        (
            Postgres,
            "CREATE TABLE bag (v varchar(9), n int); INSERT INTO bag VALUES ('a', 1), ('a', 1), ('a', 1), ('b', NULL), ('c', 3)",
        ),
        (
            kind,
            &format!(
                "CREATE TABLE {schema}.bag (v varchar(9), n int); INSERT INTO {schema}.bag VALUES ('a', 1), ('b', NULL), ('b', NULL), ('b', NULL), ('d', 4), ('A', 1);"
            ),
        ),
    )
}

#[test]
fn rows_without_a_key_are_repaired_on_request_only() {
    let report = bag(Postgres).generate("bag");
    let repair = repair(&report);
    assert_eq!(repair["statements"], 0, "{repair}");
    let notes = repair["notes"].to_string();
    assert!(
        notes.contains("7 not repaired: the table has no key")
            && notes.contains("--repair-keyless"),
        "{notes}"
    );
}

#[test]
fn rows_without_a_key_are_repaired_one_by_one_and_guarded_by_their_copies() {
    for kind in [Postgres, SqlServer] {
        let scene = bag(kind);
        scene.configure("repair_keyless = true");
        scene.there_and_back("bag");
        for file in ["bag.repair.sql", "bag.undo.sql"] {
            let file = format!("{}.{file}", schema(kind));
            let text = std::fs::read_to_string(scene.file(&file)).unwrap();
            let is_statement =
                |line: &&str| line.starts_with("INSERT") || line.starts_with("DELETE");
            for statement in text.lines().filter(is_statement) {
                let statement = statement.to_lowercase();
                assert!(statement.contains("(select count"), "{statement}");
            }
        }
    }
}

#[test]
fn an_extra_row_with_values_that_were_not_compared_is_left() {
    let target = [
        (
            Postgres,
            "CREATE TABLE public.t (sk int GENERATED ALWAYS AS IDENTITY, code varchar(9) NOT NULL PRIMARY KEY)",
        ),
        (
            SqlServer,
            "CREATE TABLE dbo.t (sk int IDENTITY(1,1), code varchar(9) NOT NULL PRIMARY KEY);",
        ),
    ];
    for (kind, sql) in target {
        let schema = schema(kind);
        let scene = Scene::new(
            (
                Postgres,
                "CREATE TABLE t (code varchar(9) PRIMARY KEY); INSERT INTO t VALUES ('a'), ('new')",
            ),
            (
                kind,
                &format!("{sql}; INSERT INTO {schema}.t (code) VALUES ('a'), ('extra')"),
            ),
        );
        let report = scene.generate("t");
        let repair = repair(&report);
        assert_eq!(repair["statements"], 1, "{repair}");
        let notes = repair["notes"].to_string();
        assert!(
            notes.contains("1 not repaired: the row is extra")
                && notes.contains("`sk`, which is not compared")
                && notes.contains("(code=extra)"),
            "{notes}"
        );
        assert_eq!(scene.apply(&["out"]).code, 0);
        let left = scene.run(&["--tables", "t"]).report();
        let left = result(&left, "t");
        assert_eq!((&left["missing"], &left["extra"]), (&0.into(), &1.into()));
    }
}

#[test]
fn a_row_is_not_added_without_a_value_that_the_target_needs() {
    let scene = Scene::new(
        (
            Postgres,
            "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'new'), (2, 'right')",
        ),
        (
            Postgres,
            "CREATE TABLE t (id int PRIMARY KEY, v text, region text NOT NULL); INSERT INTO t VALUES (2, 'wrong', 'north')",
        ),
    );
    let report = scene.generate("t");
    let repair = repair(&report);
    assert_eq!(repair["statements"], 1, "{repair}");
    assert!(repair["notes"].to_string().contains("`region`"), "{repair}");
    let applied = scene.apply(&["out"]);
    check(&applied, [&counts(0, 1, 0), &counts(0, 0, 0)]);
}

#[test]
fn a_key_that_several_rows_of_the_target_have_is_not_repaired() {
    for kind in [Postgres, SqlServer] {
        let schema = schema(kind);
        let scene = Scene::new(
            (
                SqlServer,
                "CREATE TABLE dbo.Customer (CustomerId int NOT NULL PRIMARY KEY, FirstName nvarchar(40) NULL, City nvarchar(40) NULL); \
                 INSERT INTO dbo.Customer VALUES (54, N'Steve', N'Edinburgh '), (55, N'Mark', N'Sidney'), (56, N'Ann', N'Oslo');",
            ),
            (
                kind,
                &format!(
                    "CREATE TABLE {schema}.customer (customer_id int, first_name varchar(40), city varchar(40), credit_limit int); \
                     INSERT INTO {schema}.customer VALUES (54, 'Steve', 'Edinburgh', 1000), (55, 'Mark', 'Sydney', 2000), (55, 'Mark', 'Sidney', 3000);"
                ),
            ),
        );
        let report = scene.generate("dbo.Customer");
        let repair = repair(&report);
        assert_eq!(repair["statements"], 2, "{kind:?}: {report:#}");
        let notes = repair["notes"].to_string();
        assert!(
            notes.contains("several rows of the target have the key"),
            "{notes}"
        );
        // Another row has got the key since.
        scene.target.execute(&format!(
            "INSERT INTO {schema}.customer VALUES (54, 'Eve', 'Rome', 1);"
        ));
        let applied = scene.apply(&["out"]);
        assert_eq!(applied.code, 1, "{kind:?}: {applied:?}");
        check(&applied, [&counts(0, 0, 1), &counts(0, 1, 0)]);
        scene.target.execute_in_postgres(&format!(
            "DO $$ BEGIN ASSERT (SELECT array_agg(credit_limit ORDER BY credit_limit) FROM {schema}.customer) = '{{1,1000,2000,3000,NULL}}'; \
             ASSERT (SELECT city FROM {schema}.customer WHERE credit_limit = 1000) = 'Edinburgh'; END $$"
        ));
    }
}

#[test]
fn a_row_is_changed_where_only_the_target_has_columns() {
    for kind in [Postgres, SqlServer] {
        let schema = schema(kind);
        let scene = Scene::new(
            (
                SqlServer,
                "CREATE TABLE dbo.Customer (CustomerId int NOT NULL PRIMARY KEY, City nvarchar(40) NULL); \
                 INSERT INTO dbo.Customer VALUES (54, N'Edinburgh '), (55, N'Sidney');",
            ),
            (
                kind,
                &format!(
                    "CREATE TABLE {schema}.customer (customer_id int, city varchar(40), credit_limit int); \
                     INSERT INTO {schema}.customer VALUES (54, 'Edinburgh', 1000), (55, 'Sidney', 2000);"
                ),
            ),
        );
        let before = scene.there_and_back("dbo.Customer");
        assert_eq!(repair(&before)["statements"], 1, "{before:#}");
        // Without its key, a row of the source may be any of the target.
        scene.configure(
            "repair_keyless = true\n[[tables]]\nsource = 'dbo.Customer'\ncolumns = { exclude = ['CustomerId'] }",
        );
        let report = scene
            .run(&[
                "--tables",
                "dbo.Customer",
                "--generate-repair",
                "--output-dir",
                "keyless",
            ])
            .report();
        let notes = repair(&report)["notes"].to_string();
        assert!(
            notes.contains("1 not repaired: the row is extra"),
            "{notes}"
        );
    }
}

#[test]
fn a_row_with_a_new_id_on_the_target_is_not_replaced() {
    for kind in [Postgres, SqlServer] {
        let schema = schema(kind);
        let (identity, flag) = match kind {
            Postgres => ("serial PRIMARY KEY", "boolean NOT NULL DEFAULT false"),
            SqlServer => (
                "int IDENTITY(1,1) NOT NULL PRIMARY KEY",
                "bit NOT NULL DEFAULT 0",
            ),
        };
        let scene = Scene::new(
            (
                SqlServer,
                "CREATE TABLE dbo.Customers (CustomerId int NOT NULL PRIMARY KEY, Email nvarchar(50) NOT NULL, Name nvarchar(50) NULL); \
                 INSERT INTO dbo.Customers VALUES (1, N'a@x', N'Ann'), (2, N'b@x', N'Bob');",
            ),
            (
                kind,
                &format!(
                    "CREATE TABLE {schema}.customers (customer_id {identity}, email varchar(50), name varchar(50), vip {flag}); \
                     INSERT INTO {schema}.customers (email, name, vip) VALUES ('a@x', 'Ann', '1'), ('b@y', 'Bob', '1');"
                ),
            ),
        );
        let generate = |arguments: &[&str]| {
            let table = ["--tables", "dbo.Customers", "--generate-repair"];
            scene.run(&[&table[..], arguments].concat()).report()
        };
        // The row of the target is extra and stays, and so its number is taken.
        let report = generate(&["--pk-columns", "Email", "--output-dir", "by_email"]);
        let notes = repair(&report)["notes"].to_string();
        assert!(notes.contains("`vip`, which is not compared"), "{notes}");
        let applied = scene.apply(&["by_email"]);
        assert_eq!(applied.code, 1, "{kind:?}: {applied:?}");
        check(&applied, [&counts(0, 0, 0), &counts(0, 0, 1)]);
        scene.generate("dbo.Customers");
        let applied = scene.apply(&["out"]);
        assert_eq!(applied.code, 0, "{kind:?}: {applied:?}");
        scene.target.execute_in_postgres(&format!(
            "DO $$ BEGIN ASSERT (SELECT array_agg(customer_id || email ORDER BY customer_id) FROM {schema}.customers WHERE vip) = '{{1a@x,2b@x}}'; END $$"
        ));
        // Where identifiers are new on the target, nothing identifies a row.
        scene.configure(
            "[[tables]]\nsource = 'dbo.Customers'\ncolumns = { exclude = ['CustomerId', 'Name'] }",
        );
        scene
            .source
            .execute("UPDATE dbo.Customers SET Email = N'new' WHERE CustomerId = 1;");
        let report = generate(&["--output-dir", "without_key"]);
        assert_eq!(repair(&report)["statements"], 0, "{kind:?}: {report:#}");
    }
}

#[test]
fn rows_that_exchange_unique_values_are_named_and_skipped() {
    for kind in [Postgres, SqlServer] {
        let schema = schema(kind);
        let scene = Scene::new(
            (
                Postgres,
                "CREATE TABLE t (id int PRIMARY KEY, u varchar(9)); INSERT INTO t VALUES (1, 'b'), (2, 'a'), (3, 'new'), (4, 'taken')",
            ),
            (
                kind,
                &format!(
                    "CREATE TABLE {schema}.t (id int NOT NULL PRIMARY KEY, u varchar(9) UNIQUE, note varchar(9)); \
                     INSERT INTO {schema}.t VALUES (1, 'a', NULL), (2, 'b', NULL), (3, 'c', NULL), (9, 'taken', 'kept');"
                ),
            ),
        );
        let report = scene.generate("t");
        let notes = repair(&report)["notes"].to_string();
        assert!(
            notes.contains("2 not repaired: another row has the row's new value")
                && notes.contains("(id=1, id=2)"),
            "{kind:?}: {notes}"
        );
        let applied = scene.apply(&["out"]);
        assert_eq!(applied.code, 1, "{kind:?}: {applied:?}");
        check(&applied, [&counts(0, 1, 0), &counts(0, 2, 1)]);
    }
}

#[test]
fn a_row_that_another_table_references_is_skipped_and_the_rest_is_applied() {
    for kind in [Postgres, SqlServer] {
        let schema = schema(kind);
        let scene = Scene::new(
            (
                Postgres,
                "CREATE TABLE parent (id int PRIMARY KEY, code int); INSERT INTO parent VALUES (1, 10), (2, 20), (5, 50)",
            ),
            (
                kind,
                &format!(
                    "CREATE TABLE {schema}.parent (id int NOT NULL PRIMARY KEY, code int NOT NULL UNIQUE); \
                     CREATE TABLE {schema}.child (id int NOT NULL PRIMARY KEY, up int, code int, FOREIGN KEY (up) REFERENCES {schema}.parent (id), FOREIGN KEY (code) REFERENCES {schema}.parent (code)); \
                     INSERT INTO {schema}.parent VALUES (1, 11), (2, 22), (7, 7), (8, 8); INSERT INTO {schema}.child VALUES (1, 7, 11);"
                ),
            ),
        );
        let report = scene.generate("parent");
        let notes = repair(&report)["notes"].to_string();
        assert!(
            notes.contains(&format!(
                "1 not repaired: a row of {schema}.child references"
            )) && notes.contains("(id=7)"),
            "{notes}"
        );
        let applied = scene.apply(&["out"]);
        assert_eq!(applied.code, 1, "{kind:?}: {applied:?}");
        check(&applied, [&counts(1, 1, 1), &counts(1, 1, 0)]);
    }
}

#[test]
fn what_a_trigger_sends_or_changes_is_not_counted() {
    for kind in [Postgres, SqlServer] {
        let schema = schema(kind);
        let table = |name: &str| {
            format!("CREATE TABLE {schema}.{name} (id int NOT NULL PRIMARY KEY, v varchar(9));")
        };
        let scene = Scene::new(
            (
                Postgres,
                "CREATE TABLE t (id int PRIMARY KEY, v varchar(9)); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')",
            ),
            (
                kind,
                &format!(
                    "{} {} INSERT INTO {schema}.t VALUES (1, 'x'), (2, 'y'), (4, 'z');",
                    table("t"),
                    table("audit")
                ),
            ),
        );
        // Two result sets, and two changed rows of its own; row 2 is kept as it is.
        scene.target.execute_in_postgres(&format!(
            "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
               PERFORM set_config('standin.sent', 'SELECT N''audited'' AS said; SELECT CAST(7 AS int) AS a, CAST(8 AS bigint) AS b', true); \
               INSERT INTO {schema}.audit SELECT (SELECT coalesce(max(id), 0) FROM {schema}.audit) + n, 'row' FROM (VALUES (1), (2)) AS v (n); RETURN NULL; END $$; \
             CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON {schema}.t FOR EACH ROW EXECUTE FUNCTION audit(); \
             CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; \
             CREATE TRIGGER keep BEFORE UPDATE ON {schema}.t FOR EACH ROW WHEN (OLD.id = 2) EXECUTE FUNCTION keep();"
        ));
        scene.generate("t");
        let applied = scene.apply(&["out"]);
        assert_eq!(applied.code, 1, "{kind:?}: {applied:?}");
        check(&applied, [&counts(1, 1, 1), &counts(0, 1, 0)]);
    }
}

#[test]
fn a_table_with_instead_of_triggers_is_not_repaired() {
    let scene = Scene::new(
        (
            Postgres,
            "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)",
        ),
        (
            SqlServer,
            "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY);",
        ),
    );
    scene.target.execute_in_postgres(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; \
         CREATE TRIGGER instead BEFORE INSERT ON dbo.t FOR EACH ROW EXECUTE FUNCTION f(); \
         COMMENT ON TRIGGER instead ON dbo.t IS 'INSTEAD OF'",
    );
    let report = scene.generate("t");
    let repair = repair(&report);
    assert_eq!(repair["statements"], 0, "{repair}");
    let notes = repair["notes"].to_string();
    assert!(notes.contains("INSTEAD OF triggers"), "{notes}");
}

#[test]
fn foreign_keys_that_are_not_touched_need_no_right_to_alter() {
    let scene = Scene::new(
        (
            Postgres,
            "CREATE TABLE tree (id int PRIMARY KEY, up int, v text); INSERT INTO tree VALUES (1, NULL, 'a'), (2, 1, 'b'), (3, NULL, 'c')",
        ),
        (
            Postgres,
            "CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree (id), v text); INSERT INTO tree VALUES (1, NULL, 'a'), (2, 1, 'x')",
        ),
    );
    scene.generate("tree");
    let applied = scene.apply_without_ownership("tree");
    assert_eq!(applied.code, 0, "{applied:?}");
}

#[test]
fn psql_runs_scripts_of_related_tables_one_by_one_as_their_headers_say() {
    let tables = "CREATE TABLE z_parent (id int PRIMARY KEY); CREATE TABLE a_child (id int PRIMARY KEY, up int REFERENCES z_parent (id));";
    let scene = Scene::new(
        (
            Postgres,
            &format!(
                "{tables} INSERT INTO z_parent VALUES (1), (2); INSERT INTO a_child VALUES (1, 2), (2, 1)"
            ),
        ),
        (
            Postgres,
            &format!(
                "{tables} INSERT INTO z_parent VALUES (1), (7), (8); INSERT INTO a_child VALUES (2, 7), (9, 8)"
            ),
        ),
    );
    let before = scene.generate("a_child,z_parent");
    for kind in ["repair", "undo"] {
        let script = scene.file(&format!("public.a_child.{kind}.sql"));
        let script = std::fs::read_to_string(script).unwrap();
        let order: Vec<&str> = script
            .lines()
            .skip_while(|line| !line.contains("one by one in this order"))
            .skip_while(|line| !line.starts_with("--   "))
            .map_while(|line| line.strip_prefix("--   "))
            .collect();
        assert_eq!(order.len(), 3, "{order:?} {script}");
        for file in order {
            let mut psql = Command::new("psql");
            psql.args(["-X", "-v", "ON_ERROR_STOP=1", "-d", &scene.target.url()]);
            let psql = finish(psql.arg("-f").arg(scene.file(file)));
            assert_eq!(psql.code, 0, "{psql:?}");
        }
        let run = scene.run(&["--tables", "a_child,z_parent"]);
        match kind {
            "repair" => assert_eq!(run.code, 0, "{run:?}"),
            _ => assert_eq!(findings(&run.report()), findings(&before)),
        }
    }
}

#[test]
fn no_line_of_a_script_begins_with_a_value() {
    for kind in [Postgres, SqlServer] {
        let schema = schema(kind);
        let table = "(k varchar(40) NOT NULL PRIMARY KEY, v varchar(40))";
        let source = format!(
            "CREATE TABLE t {table}; \
             INSERT INTO t VALUES (E'a\\nGO\\n:!!x', E'x\\r\\n\\\\! y'), (E'\\n', E'GO\\n\\\\x')"
        );
        let target = format!(
            "CREATE TABLE {schema}.t {table}; INSERT INTO {schema}.t VALUES ('a\n\\! touch x\nGO', 'b');"
        );
        let scene = Scene::new((Postgres, &source), (kind, &target));
        scene.there_and_back("t");
        for name in ["repair", "undo"] {
            let file = scene.file(&format!("{schema}.t.{name}.sql"));
            let text = std::fs::read_to_string(file).unwrap();
            let ours = [
                "--", "BEGIN", "LOCK ", "COMMIT", "SET ", "GO", "IF @@", "INSERT ", "DELETE ",
                "UPDATE ",
            ];
            for line in text.lines() {
                assert!(ours.iter().any(|word| line.starts_with(word)), "{line}");
            }
        }
    }
}
