//! Repairs from generation to undo: after a repair the tables are equal, after the
//! undo they differ as before, and rows that changed in between are skipped.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::json;
use tests::product::{finish, result};
use tests::repair::Kind::{Postgres, SqlServer};
use tests::repair::{Kind, Scene, said, schema};

/// A table with every kind of column, called `kinds`.
fn kinds(kind: Kind) -> String {
    let columns = match kind {
        Postgres => {
            "flag boolean, small smallint, whole integer, large bigint, price numeric(12,3), huge numeric(38,10), cash money, \
             single real, double double precision, code char(5), name varchar(40), note text, raw bytea, day date, clock time(3), \
             moment timestamp(3), fine timestamp(6), instant timestamptz(6), token uuid"
        }
        SqlServer => {
            "flag bit, small smallint, whole int, large bigint, price decimal(12,3), huge decimal(38,10), cash money, \
             single real, double float, code nchar(5), name nvarchar(40), note nvarchar(max), raw varbinary(max), day date, clock time(3), \
             moment datetime2(3), fine datetime2(6), instant datetimeoffset(6), token uniqueidentifier"
        }
    };
    let schema = schema(kind);
    format!("CREATE TABLE {schema}.kinds (id int NOT NULL PRIMARY KEY, {columns});")
}

/// A row of `kinds`, one of several sets of values; none: NULL everywhere.
fn kinds_row(kind: Kind, id: u32, values: Option<usize>) -> String {
    let schema = schema(kind);
    let (text, bytes, yes, no): (&str, fn(&str) -> String, &str, &str) = match kind {
        Postgres => ("", |hex| format!("'\\x{hex}'"), "true", "false"),
        SqlServer => ("N", |hex| format!("0x{hex}"), "1", "0"),
    };
    let zone = |value: &str| match kind {
        Postgres => format!("'{value}'"),
        SqlServer => format!("CAST('{value}' AS datetimeoffset(6))"),
    };
    let list = match values {
        None => vec!["NULL".to_owned(); 19],
        Some(0) => vec![
            yes.to_owned(),
            "-32768".to_owned(),
            "2147483647".to_owned(),
            "-9223372036854775807".to_owned(),
            "-123456789.125".to_owned(),
            "1234567890123456789012345678.0123456789".to_owned(),
            "-1234.5600".to_owned(),
            "0.1".to_owned(),
            "1e300".to_owned(),
            format!("{text}'ab'"),
            format!("{text}'it''s \\ \"quoted\" $(x) 😀 ä '"),
            format!("{text}'two\nGO\nlines -- of /* text */ '';DROP TABLE kinds;'"),
            bytes("00ff10"),
            "'0001-01-01'".to_owned(),
            "'23:59:59.999'".to_owned(),
            "'2024-02-29 12:34:56.789'".to_owned(),
            "'9999-12-31 23:59:59.999999'".to_owned(),
            zone("2024-06-01 12:00:00.123456+02:00"),
            "'6F9619FF-8B86-D011-B42D-00C04FC964FF'".to_owned(),
        ],
        Some(_) => vec![
            no.to_owned(),
            "0".to_owned(),
            "-2147483648".to_owned(),
            "1".to_owned(),
            "0.001".to_owned(),
            "-0.0000000001".to_owned(),
            "922337203685477.58".to_owned(),
            "-1.5".to_owned(),
            "-0.30000000000000004".to_owned(),
            format!("{text}''"),
            format!("{text}''"),
            format!("{text}'  blanks  '"),
            bytes(""),
            "'9999-12-31'".to_owned(),
            "'00:00:00'".to_owned(),
            "'1753-01-01 00:00:00'".to_owned(),
            "'1999-12-31 23:59:59.999999'".to_owned(),
            zone("1970-01-01 00:00:00+00:00"),
            "'00000000-0000-0000-0000-000000000000'".to_owned(),
        ],
    };
    format!(
        "INSERT INTO {schema}.kinds VALUES ({id}, {});",
        list.join(", ")
    )
}

fn kinds_table(kind: Kind, rows: &[(u32, Option<usize>)]) -> String {
    let rows: String = rows
        .iter()
        .map(|(id, values)| kinds_row(kind, *id, *values))
        .collect();
    kinds(kind) + &rows
}

/// Rows that are equal, changed in every column, to and from NULL, missing and extra.
const SOURCE_ROWS: &[(u32, Option<usize>)] = &[
    (1, Some(0)),
    (2, Some(0)),
    (3, Some(1)),
    (4, None),
    (5, Some(1)),
    (6, Some(0)),
    (7, Some(1)),
];
const TARGET_ROWS: &[(u32, Option<usize>)] = &[
    (1, Some(0)),
    (2, Some(1)),
    (3, Some(0)),
    (4, Some(0)),
    (5, None),
    (8, Some(0)),
    (9, Some(1)),
    (10, None),
];

fn every_kind(source: Kind, target: Kind) {
    let scene = Scene::new(
        (source, &kinds_table(source, SOURCE_ROWS)),
        (target, &kinds_table(target, TARGET_ROWS)),
    );
    let report = scene.there_and_back("kinds");
    let table = result(&report, "kinds");
    assert_eq!(
        (&table["missing"], &table["extra"], &table["modified"]),
        (&2.into(), &3.into(), &4.into()),
        "{table}"
    );
    assert_eq!(table["repair"]["statements"], 9, "{table}");
}

#[test]
fn every_kind_from_postgres_to_postgres() {
    every_kind(Postgres, Postgres);
}

#[test]
fn every_kind_from_sql_server_to_postgres() {
    every_kind(SqlServer, Postgres);
}

#[test]
fn every_kind_from_postgres_to_sql_server() {
    every_kind(Postgres, SqlServer);
}

#[test]
fn every_kind_from_sql_server_to_sql_server() {
    every_kind(SqlServer, SqlServer);
}

#[test]
fn what_only_postgres_can_hold() {
    let table = "CREATE TYPE mood AS ENUM ('fine', 'it''s bad'); \
        CREATE TABLE own (id int PRIMARY KEY, f double precision, r real, n numeric, d date, t timestamp, i timestamptz, m mood, x int GENERATED ALWAYS AS (id * 2) STORED);";
    let source = format!(
        "{table} INSERT INTO own VALUES (1, 'NaN', 'NaN', 'NaN', 'infinity', '-infinity', 'infinity', 'fine'), \
         (2, '-Infinity', 'Infinity', 1e100, '0044-03-15 BC', '0001-01-01 BC', '20000-01-01', 'it''s bad'), (3, -0.0, 1e-40, -0.5e-30, '5874897-12-31', '294276-12-31 23:59:59.999999', '-infinity', NULL)"
    );
    let target = format!(
        "{table} INSERT INTO own VALUES (1, 1, 1, 1, '2000-01-01', '2000-01-01', '2000-01-01', NULL), \
         (2, 'NaN', 'NaN', 'NaN', 'infinity', '-infinity', 'infinity', 'fine'), (4, 'NaN', '-Infinity', 1e-100, '4713-01-01 BC', 'infinity', '2000-01-01', 'fine')"
    );
    Scene::new((Postgres, &source), (Postgres, &target)).there_and_back("own");
}

#[test]
fn a_row_that_has_changed_since_is_left_alone_and_said() {
    for kind in [Postgres, SqlServer] {
        let schema = schema(kind);
        let table = format!(
            "CREATE TABLE {schema}.t (id int NOT NULL PRIMARY KEY, a varchar(20), b varchar(20));"
        );
        let scene = Scene::new(
            (
                Postgres,
                "CREATE TABLE t (id int PRIMARY KEY, a varchar(20), b varchar(20)); INSERT INTO t VALUES (1, 'right', 'x'), (2, 'right', 'x'), (3, 'right', 'x'), (5, 'new', 'x')",
            ),
            (
                kind,
                &format!(
                    "{table} INSERT INTO {schema}.t VALUES (1, 'wrong', 'x'), (2, 'wrong', 'x'), (3, 'wrong', 'x'), (4, 'extra', 'x');"
                ),
            ),
        );
        scene.generate("t");
        scene.target.execute(&format!(
            "UPDATE {schema}.t SET a = 'Wrong' WHERE id = 2; UPDATE {schema}.t SET b = 'y' WHERE id = 3; UPDATE {schema}.t SET b = 'x ' WHERE id = 4; INSERT INTO {schema}.t VALUES (5, 'there', 'x');"
        ));
        let applied = scene.apply(&["out"]);
        assert_eq!(applied.code, 1, "{applied:?}");
        let report = said(&applied);
        assert_eq!(report["verification"], "FAIL", "{report}");
        let table = &report["tables"][0];
        assert_eq!(
            (&table["applied"], &table["skipped"]),
            (
                &serde_json::json!({ "delete": 0, "update": 2, "insert": 0 }),
                &serde_json::json!({ "delete": 1, "update": 1, "insert": 1 })
            ),
            "another column of row 3 does not matter; {kind:?}: {report}"
        );
    }
}

#[test]
fn parents_and_children_are_repaired_in_order_and_cycles_at_the_end() {
    for kind in [Postgres, SqlServer] {
        let schema = schema(kind);
        let tables = format!(
            "CREATE TABLE {schema}.a_child (id int NOT NULL PRIMARY KEY, parent int, CONSTRAINT child_fk FOREIGN KEY (parent) REFERENCES {schema}.z_parent (id)); \
             CREATE TABLE {schema}.tree (id int NOT NULL PRIMARY KEY, up int, CONSTRAINT tree_fk FOREIGN KEY (up) REFERENCES {schema}.tree (id));"
        );
        let parent = format!("CREATE TABLE {schema}.z_parent (id int NOT NULL PRIMARY KEY);");
        let scene = Scene::new(
            (
                Postgres,
                "CREATE TABLE z_parent (id int PRIMARY KEY); CREATE TABLE a_child (id int PRIMARY KEY, parent int); CREATE TABLE tree (id int PRIMARY KEY, up int); \
                 INSERT INTO z_parent VALUES (1), (2), (3); INSERT INTO a_child VALUES (1, 3), (2, 1), (3, 2); INSERT INTO tree VALUES (1, 9), (2, 1), (5, 2), (9, NULL)",
            ),
            (
                kind,
                &format!(
                    "{parent} {tables} INSERT INTO {schema}.z_parent VALUES (1), (7), (8); INSERT INTO {schema}.a_child VALUES (2, 7), (9, 8); \
                     INSERT INTO {schema}.tree VALUES (20, NULL); INSERT INTO {schema}.tree VALUES (10, 20); INSERT INTO {schema}.tree VALUES (30, 10);"
                ),
            ),
        );
        scene.there_and_back("a_child,tree,z_parent");
        // The order is known from the scripts themselves, however they are listed.
        let files: Vec<String> = ["a_child", "z_parent", "tree"]
            .iter()
            .map(|table| {
                let file = scene.file(&format!("{schema}.{table}.repair.sql"));
                file.display().to_string()
            })
            .collect();
        let arguments: Vec<&str> = files.iter().map(String::as_str).collect();
        let applied = scene.apply(&arguments);
        assert_eq!(applied.code, 0, "{kind:?}: {applied:?}");
        scene
            .target
            .execute(&format!("INSERT INTO {schema}.z_parent VALUES (77);"));
    }
}

#[test]
fn columns_that_fill_themselves_are_minded() {
    let target = [
        (
            Postgres,
            "CREATE TABLE public.t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v varchar(9), doubled int GENERATED ALWAYS AS (id * 2) STORED, own varchar(9) DEFAULT 'mine'); \
             INSERT INTO public.t (id, v, own) OVERRIDING SYSTEM VALUE VALUES (1, 'x', 'kept'), (4, 'extra', NULL)",
        ),
        (
            SqlServer,
            "CREATE TABLE dbo.t (id int IDENTITY(1,1) NOT NULL PRIMARY KEY, v varchar(9), doubled AS (id * 2), own varchar(9) DEFAULT 'mine', ver rowversion); SET IDENTITY_INSERT dbo.t ON; \
             INSERT INTO dbo.t (id, v, own) VALUES (1, 'x', 'kept'), (4, 'extra', NULL); SET IDENTITY_INSERT dbo.t OFF;",
        ),
    ];
    for (kind, sql) in target {
        let scene = Scene::new(
            (
                Postgres,
                "CREATE TABLE t (id int PRIMARY KEY, v varchar(9), doubled int); INSERT INTO t VALUES (1, 'y', 2), (7, 'new', 14)",
            ),
            (kind, sql),
        );
        scene.there_and_back("t");
        let schema = schema(kind);
        scene.target.execute(&format!(
            "DELETE FROM {schema}.t WHERE own = 'kept' OR own IS NULL; INSERT INTO {schema}.t (v, own) VALUES ('left', 'left');"
        ));
        let left = scene.run(&["--tables", "t"]);
        assert_eq!(left.report()["results"][0]["target_count"], 1, "{left:?}");
    }
}

#[test]
fn sequences_go_on_after_the_rows_that_were_added() {
    let tables = |identity: &str, serial: &str| {
        format!(
            "CREATE TABLE numbered (id {identity} PRIMARY KEY, v text); CREATE TABLE \"it's\" (\"No\" {serial} PRIMARY KEY, v text);"
        )
    };
    let scene = Scene::new(
        (
            Postgres,
            &(tables("int", "int")
                + "INSERT INTO numbered VALUES (1, 'a'), (-7, 'b'); INSERT INTO \"it's\" VALUES (1, 'a'), (41, 'b'), (3000000, 'c')"),
        ),
        (
            Postgres,
            &(tables(
                "int GENERATED BY DEFAULT AS IDENTITY (INCREMENT -1 MINVALUE -1000 START -1)",
                "serial",
            ) + "INSERT INTO numbered (v) VALUES ('x'); INSERT INTO \"it's\" (v) VALUES ('a'), ('y')"),
        ),
    );
    let next = |expected: [i64; 2]| {
        scene.target.execute(&format!(
            "INSERT INTO numbered (v) VALUES ('next'); INSERT INTO \"it's\" (v) VALUES ('next'); \
             DO $$ BEGIN ASSERT array(SELECT id FROM numbered WHERE v = 'next') = '{{{}}}'; \
             ASSERT array(SELECT \"No\" FROM \"it's\" WHERE v = 'next') = '{{{}}}'; END $$; \
             DELETE FROM numbered WHERE v = 'next'; DELETE FROM \"it's\" WHERE v = 'next'",
            expected[0], expected[1]
        ));
    };
    scene.generate("numbered,it's");
    assert_eq!(scene.apply(&["out", "--dry-run"]).code, 0);
    next([-2, 3]);
    let applied = scene.apply(&["out"]);
    assert_eq!(applied.code, 0, "{applied:?}");
    next([-8, 3_000_001]);
    // What lies beyond already stays where it is.
    next([-9, 3_000_002]);
    assert_eq!(scene.apply(&["out", "--undo"]).code, 0);
    next([-10, 3_000_003]);
}

#[test]
fn a_sequence_that_is_to_go_on_elsewhere_stays_there() {
    let scene = Scene::new(
        (
            Postgres,
            "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (30), (50)",
        ),
        (
            Postgres,
            "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY); \
             INSERT INTO t OVERRIDING SYSTEM VALUE VALUES (50); ALTER TABLE t ALTER COLUMN id RESTART WITH 1000",
        ),
    );
    scene.generate("t");
    assert_eq!(scene.apply(&["out"]).code, 0);
    scene.target.execute(
        "INSERT INTO t DEFAULT VALUES; DO $$ BEGIN ASSERT (SELECT max(id) FROM t) = 1000; END $$",
    );
}

#[test]
fn a_sequence_that_may_not_be_moved_does_not_stand_in_the_way() {
    let scene = Scene::new(
        (
            Postgres,
            "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (5, 'a')",
        ),
        (Postgres, "CREATE TABLE t (id serial PRIMARY KEY, v text)"),
    );
    scene.generate("t");
    let applied = scene.apply_without_ownership("t");
    assert_eq!(applied.code, 0, "{applied:?}");
    scene.target.execute(
        "INSERT INTO t (v) VALUES ('next'); DO $$ BEGIN ASSERT (SELECT id FROM t WHERE v = 'next') = 1; END $$",
    );
}

#[test]
fn a_row_that_others_reference_with_cascade_is_not_deleted() {
    for kind in [Postgres, SqlServer] {
        let schema = schema(kind);
        for action in ["CASCADE", "SET NULL"] {
            let scene = Scene::new(
                (
                    Postgres,
                    "CREATE TABLE parent (id int PRIMARY KEY, u int); INSERT INTO parent VALUES (1, 1)",
                ),
                (
                    kind,
                    &format!(
                        "CREATE TABLE {schema}.parent (id int NOT NULL PRIMARY KEY, u int); \
                         CREATE TABLE {schema}.child (id int NOT NULL PRIMARY KEY, up int, FOREIGN KEY (up) REFERENCES {schema}.parent (id) ON DELETE {action}); \
                         INSERT INTO {schema}.parent VALUES (1, 1), (7, 7), (8, 8); INSERT INTO {schema}.child VALUES (1, 7);"
                    ),
                ),
            );
            scene.generate("parent");
            let applied = scene.apply(&["out"]);
            assert_eq!(applied.code, 1, "{applied:?}");
            let report = said(&applied);
            let table = &report["tables"][0];
            assert_eq!(
                (&table["applied"]["delete"], &table["skipped"]["delete"]),
                (&1.into(), &1.into()),
                "{kind:?}, {action}: {report}"
            );
            let left = scene.run(&["--tables", "parent"]).report();
            assert_eq!(result(&left, "parent")["extra"], 1, "{left}");
            // The child is as it was: taken away by hand it does no more harm.
            scene
                .target
                .execute(&format!("DELETE FROM {schema}.child WHERE up = 7;"));
            assert_eq!(
                scene.apply(&["out", "--again"]).code,
                1,
                "the first row is gone already"
            );
            assert_eq!(scene.run(&["--tables", "parent"]).code, 0);
        }
    }
}

#[test]
fn values_that_the_target_makes_do_not_guard_the_undo() {
    let scene = Scene::with(
        (
            Postgres,
            "CREATE TABLE t (id int, n int); INSERT INTO t VALUES (1, 1), (2, 2)",
        ),
        (
            Postgres,
            "CREATE TABLE t (id int NOT NULL, n int, twice int GENERATED ALWAYS AS (n * 2) STORED); INSERT INTO t (id, n) VALUES (1, 1), (2, 3)",
        ),
        "pk_columns = ['id']\n",
    );
    scene.there_and_back("t");
}

#[test]
fn a_view_is_left_to_its_tables() {
    let scene = Scene::new(
        (
            Postgres,
            "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1), (2, 2)",
        ),
        (
            Postgres,
            "CREATE TABLE under (id int, v int); INSERT INTO under VALUES (1, 1); CREATE VIEW t AS SELECT * FROM under",
        ),
    );
    let report = scene.generate("t");
    let repair = &result(&report, "t")["repair"];
    assert_eq!(repair["statements"], 0, "{repair}");
    assert!(repair.to_string().contains("is a view"), "{repair}");
}

#[test]
fn psql_runs_a_script_that_only_its_owner_may_read() {
    let scene = Scene::new(
        (Postgres, &kinds_table(Postgres, SOURCE_ROWS)),
        (Postgres, &kinds_table(Postgres, TARGET_ROWS)),
    );
    scene.generate("kinds");
    let file = scene.file("public.kinds.repair.sql");
    for name in [
        "public.kinds.repair.sql",
        "public.kinds.undo.sql",
        "repair.json",
    ] {
        let mode = std::fs::metadata(scene.file(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let directory = std::fs::metadata(scene.file("")).unwrap().permissions();
    assert_eq!(directory.mode() & 0o777, 0o700);
    let left: Vec<_> = std::fs::read_dir(scene.file("")).unwrap().collect();
    assert_eq!(left.len(), 3, "{left:?}");
    let psql = finish(
        Command::new("psql")
            .args([
                "-X",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                &scene.target.url(),
                "-f",
            ])
            .arg(&file),
    );
    assert_eq!(psql.code, 0, "{psql:?}");
    let equal = scene.run(&["--tables", "kinds"]);
    assert_eq!(equal.code, 0, "{equal:?}");
}

#[test]
fn a_script_that_was_changed_or_is_none_is_refused() {
    let scene = Scene::new(
        (
            Postgres,
            "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')",
        ),
        (Postgres, "CREATE TABLE t (id int PRIMARY KEY, v text)"),
    );
    scene.generate("t");
    let file = scene.file("public.t.repair.sql");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("'a'", "'b'")).unwrap();
    let refused = scene.apply(&["out"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("has been changed since the script was written"),
        "{refused:?}"
    );
    std::fs::write(&file, &text[..text.len() / 2]).unwrap();
    assert_eq!(scene.apply(&["out"]).code, 2);
    std::fs::write(&file, "DELETE FROM t;").unwrap();
    let foreign = scene.apply(&[file.to_str().unwrap()]);
    assert_eq!(foreign.code, 2, "{foreign:?}");
    assert!(
        foreign.stderr.contains("not a repair script"),
        "{foreign:?}"
    );
    // What the database refuses changes nothing.
    std::fs::write(&file, &text).unwrap();
    scene
        .target
        .execute("ALTER TABLE t ADD CONSTRAINT no CHECK (v <> 'a')");
    let failed = scene.apply(&["out"]);
    assert_eq!(failed.code, 3, "{failed:?}");
    assert!(failed.stderr.contains("nothing was changed"), "{failed:?}");
}

#[test]
fn a_value_is_repaired_into_the_encoding_that_the_target_has() {
    let scene = Scene::with(
        (
            SqlServer,
            "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, at datetime2(7)); \
             INSERT INTO dbo.t VALUES (1, '2024-05-06 07:08:09.1234567'), (2, '1969-12-31 23:59:59.9999999');",
        ),
        (
            Postgres,
            "CREATE TABLE t (id int PRIMARY KEY, at timestamp(6)); INSERT INTO t VALUES (1, '2024-05-06 07:08:09')",
        ),
        "",
    );
    scene.there_and_back("t");
}

#[test]
fn a_run_with_nothing_to_repair_says_so() {
    let sql = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)";
    let scene = Scene::new((Postgres, sql), (Postgres, sql));
    let run = scene.run(&["--tables", "t", "--generate-repair", "--output-dir", "out"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.report()["results"][0].get("repair").is_none());
    let applied = scene.here.reconcile(&["apply", "--yes", "out"]);
    assert_eq!(applied.code, 0, "{applied:?}");
    assert!(applied.stdout.contains("nothing to apply"), "{applied:?}");
}

#[test]
fn a_repair_keeps_what_only_the_target_has() {
    for kind in [Postgres, SqlServer] {
        let schema = schema(kind);
        let scene = Scene::new(
            (
                Postgres,
                "CREATE TABLE customers (\"CustomerId\" int PRIMARY KEY, \"EMail\" varchar(50), name varchar(50)); \
                 INSERT INTO customers VALUES (1, 'a@x', 'Ann'), (2, 'b@x', 'Bob')",
            ),
            (
                kind,
                &format!(
                    "CREATE TABLE {schema}.customers (customer_id int NOT NULL PRIMARY KEY, e_mail varchar(50), name varchar(50), credit int NOT NULL DEFAULT 0); \
                     INSERT INTO {schema}.customers VALUES (1, 'a@x', 'Ann', 100), (2, 'b@y', 'Bob', 200);"
                ),
            ),
        );
        let report = scene.generate("customers");
        assert_eq!(report["results"][0]["modified"], 1, "{report:#}");
        let applied = scene.apply(&["out"]);
        assert_eq!(
            said(&applied)["tables"][0]["applied"],
            json!({ "delete": 0, "update": 1, "insert": 0 }),
            "{kind:?}: {applied:?}"
        );
        // A table of the credits as they were is equal.
        scene.source.execute(
            "ALTER TABLE customers ADD credit int; UPDATE customers SET credit = \"CustomerId\" * 100",
        );
        let run = scene.run(&["--tables", "customers"]);
        assert_eq!(run.code, 0, "{kind:?}: {run:?}");
    }
}
