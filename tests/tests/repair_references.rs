//! A repair changes no row through a foreign key, a generated column, a partition or an
//! inheritance child, and assigns no column that the comparison considers equal.

use serde_json::{Value as Json, json};
use tests::repair::Kind::{Postgres, SqlServer};
use tests::repair::{Kind, Scene, said, schema};

/// Both sides in PostgreSQL.
fn scene(source: &str, target: &str) -> Scene {
    Scene::new((Postgres, source), (Postgres, target))
}

/// Fails unless the target meets the condition.
fn check(scene: &Scene, condition: &str) {
    scene
        .target
        .execute_in_postgres(&format!("DO $$ BEGIN ASSERT {condition}; END $$"));
}

/// Generates a repair of the table and applies it, which skips so many rows. Returns the
/// report of the run.
fn repair(scene: &Scene, table: &str, skipped: u64) -> Json {
    let report = scene.generate(table);
    let applied = scene.apply(&["out"]);
    let counts = &said(&applied)["tables"][0]["skipped"];
    let total: u64 = counts
        .as_object()
        .map_or(0, |counts| counts.values().filter_map(Json::as_u64).sum());
    assert_eq!(total, skipped, "{applied:?}");
    report
}

fn notes(report: &Json) -> String {
    report["results"][0]["repair"]["notes"].to_string()
}

fn statements(report: &Json) -> &Json {
    &report["results"][0]["repair"]["statements"]
}

#[test]
fn a_row_that_another_row_of_its_table_references_is_not_deleted_with_it() {
    for (action, key) in [("CASCADE", "NOT NULL"), ("SET NULL", "NULL")] {
        let columns = |code: &str| {
            format!("(tenant int, id int, code int {code}, up int, PRIMARY KEY (tenant, id))")
        };
        let scene = scene(
            &format!(
                "CREATE TABLE n {}; INSERT INTO n VALUES (1, 6, 60, 50)",
                columns(key)
            ),
            &format!(
                "CREATE TABLE n {}; ALTER TABLE n ADD UNIQUE (code); ALTER TABLE n ADD FOREIGN KEY (up) REFERENCES n (code) ON DELETE {action}; \
                 INSERT INTO n VALUES (1, 5, 50, NULL), (1, 6, 60, 50)",
                columns(key)
            ),
        );
        let report = repair(&scene, "n", 1);
        assert!(
            notes(&report).contains("a row of public.n references"),
            "{report:#}"
        );
        check(
            &scene,
            "(SELECT array_agg(up ORDER BY id) FROM n) = '{NULL,50}'",
        );
    }
    // The first column of the reference is the same in both rows.
    let columns = "(tenant int, id int, up int, PRIMARY KEY (tenant, id))";
    let composite = scene(
        &format!("CREATE TABLE n {columns}; INSERT INTO n VALUES (1, 6, 5)"),
        &format!(
            "CREATE TABLE n {columns}; ALTER TABLE n ADD FOREIGN KEY (tenant, up) REFERENCES n ON DELETE CASCADE; \
             INSERT INTO n VALUES (1, 5, NULL), (1, 6, 5)"
        ),
    );
    repair(&composite, "n", 1);
    check(
        &composite,
        "(SELECT array_agg(id ORDER BY id) FROM n) = '{5,6}'",
    );
}

#[test]
fn a_row_that_only_references_itself_is_deleted() {
    let columns = "(tenant int, id int, up int, PRIMARY KEY (tenant, id))";
    let scene = scene(
        &format!("CREATE TABLE n {columns}; INSERT INTO n VALUES (1, 6, NULL)"),
        &format!(
            "CREATE TABLE n {columns}; ALTER TABLE n ADD FOREIGN KEY (tenant, up) REFERENCES n ON DELETE CASCADE; \
             INSERT INTO n VALUES (1, 5, 5), (1, 6, NULL)"
        ),
    );
    scene.there_and_back("n");
}

#[test]
fn references_to_a_partition_are_seen() {
    let source = "CREATE TABLE p (id int PRIMARY KEY, code int); INSERT INTO p VALUES (1, 11)";
    let scene = scene(
        source,
        "CREATE TABLE p (id int PRIMARY KEY, code int) PARTITION BY RANGE (id); \
         CREATE TABLE part PARTITION OF p DEFAULT PARTITION BY RANGE (id); CREATE TABLE leaf PARTITION OF part DEFAULT; \
         ALTER TABLE leaf ADD UNIQUE (code); \
         CREATE TABLE z (id int REFERENCES part (id) ON DELETE CASCADE, code int REFERENCES leaf (code) ON UPDATE CASCADE); \
         INSERT INTO p VALUES (1, 10), (5, 50); INSERT INTO z VALUES (5, NULL), (NULL, 10)",
    );
    let report = repair(&scene, "p", 2);
    assert_eq!(*statements(&report), json!(2), "{report:#}");
    check(
        &scene,
        "(SELECT count(*) FROM p) = 2 AND (SELECT array_agg(id || '') || array_agg(code || '') FROM z) = '{5,NULL,NULL,10}'",
    );
    // Without the references, nothing is in the way.
    scene.target.execute("DROP TABLE z");
    std::fs::remove_dir_all(scene.here.path().join("out")).unwrap();
    scene.there_and_back("p");
}

#[test]
fn a_unique_value_of_a_partition_is_seen() {
    let source =
        "CREATE TABLE p (id int PRIMARY KEY, code int); INSERT INTO p VALUES (1, 20), (2, 20)";
    let scene = scene(
        source,
        "CREATE TABLE p (id int PRIMARY KEY, code int) PARTITION BY RANGE (id); \
         CREATE TABLE part PARTITION OF p DEFAULT; ALTER TABLE part ADD UNIQUE (code); \
         INSERT INTO p VALUES (1, 10), (2, 20)",
    );
    repair(&scene, "p", 1);
    check(
        &scene,
        "(SELECT array_agg(code ORDER BY id) FROM p) = '{10,20}'",
    );
}

#[test]
fn an_update_changes_no_row_that_references_its_own_table() {
    let scene = scene(
        "CREATE TABLE n (id int PRIMARY KEY, code int, up int); INSERT INTO n VALUES (1, 10, NULL), (2, 20, 11)",
        "CREATE TABLE n (id int PRIMARY KEY, code int UNIQUE, up int REFERENCES n (code) ON UPDATE CASCADE); \
         INSERT INTO n VALUES (1, 11, NULL), (2, 20, 11)",
    );
    repair(&scene, "n", 1);
    check(
        &scene,
        "(SELECT array_agg(up ORDER BY id) FROM n) = '{NULL,11}'",
    );
}

#[test]
fn an_update_changes_no_row_of_a_table_that_it_references_in_turn() {
    for kind in [Postgres, SqlServer] {
        let schema = schema(kind);
        let scene = Scene::new(
            (
                Postgres,
                "CREATE TABLE a (id int PRIMARY KEY, code int, b int); INSERT INTO a VALUES (1, 10, NULL)",
            ),
            (
                kind,
                &format!(
                    "CREATE TABLE {schema}.a (id int NOT NULL PRIMARY KEY, code int UNIQUE, b int); \
                     CREATE TABLE {schema}.b (id int NOT NULL PRIMARY KEY, code int); \
                     INSERT INTO {schema}.a VALUES (1, 11, NULL); INSERT INTO {schema}.b VALUES (1, 11);"
                ),
            ),
        );
        scene.target.execute_in_postgres(&format!(
            "ALTER TABLE {schema}.a ADD FOREIGN KEY (b) REFERENCES {schema}.b (id); \
             ALTER TABLE {schema}.b ADD FOREIGN KEY (code) REFERENCES {schema}.a (code) ON UPDATE CASCADE"
        ));
        repair(&scene, "a", 1);
        check(&scene, &format!("(SELECT code FROM {schema}.b) = 11"));
    }
}

#[test]
fn a_reference_to_a_generated_column_is_seen() {
    let scene = scene(
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 9), (2, 8)",
        "CREATE TABLE t (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v * 2) STORED UNIQUE); \
         CREATE TABLE z (g int REFERENCES t (g) ON UPDATE CASCADE); \
         INSERT INTO t VALUES (1, 3), (2, 4); INSERT INTO z VALUES (6)",
    );
    repair(&scene, "t", 1);
    check(
        &scene,
        "(SELECT g FROM z) = 6 AND (SELECT array_agg(v ORDER BY id) FROM t) = '{3,8}'",
    );
}

#[test]
fn a_table_with_inheritance_children_is_not_repaired() {
    let scene = scene(
        "CREATE TABLE p (id int PRIMARY KEY, v text); INSERT INTO p VALUES (2, 'b')",
        "CREATE TABLE p (id int PRIMARY KEY, v text); CREATE TABLE c (extra text) INHERITS (p); \
         INSERT INTO p VALUES (2, 'x'); INSERT INTO c VALUES (2, 'y', NULL), (4, 'z', 'precious')",
    );
    let report = scene.generate("p");
    assert_eq!(*statements(&report), json!(0), "{report:#}");
    assert!(
        notes(&report).contains("inheritance children"),
        "{report:#}"
    );
    let differences = &report["results"][0];
    assert_eq!(
        [&differences["modified"], &differences["extra"]],
        [&json!(1), &json!(2)],
        "{report:#}"
    );
}

#[test]
fn a_row_whose_key_is_generated_is_not_changed() {
    let scene = scene(
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (6, 9)",
        "CREATE TABLE t (v int, id int GENERATED ALWAYS AS (v * 2) STORED PRIMARY KEY); INSERT INTO t VALUES (3)",
    );
    let report = scene.generate("t");
    assert_eq!(*statements(&report), json!(0), "{report:#}");
    assert!(
        notes(&report).contains("`id` of the key is generated"),
        "{report:#}"
    );
}

#[test]
fn a_column_within_its_tolerance_is_not_assigned() {
    let scene = scene(
        "CREATE TABLE t (id int PRIMARY KEY, price numeric(9,3), n numeric(4,1), g numeric(9,3), note text); \
         INSERT INTO t VALUES (1, 10.004, 1.5, 20.004, 'new'), (2, 5, 1, 10.1, 'b')",
        "CREATE TABLE t (id int PRIMARY KEY, price numeric(9,3), n int, g numeric(9,3) GENERATED ALWAYS AS (price * 2) STORED, note text); \
         INSERT INTO t (id, price, n, note) VALUES (1, 10, 2, 'old'), (2, 5, 1, 'b')",
    );
    scene.configure(
        "[[tables]]\nsource = 't'\n[tables.rules]\nprice = { tolerance = { absolute = '0.005' } }\ng = { tolerance = { absolute = '0.005' } }\nn = { tolerance = { absolute = '0.6' } }",
    );
    let report = scene.generate("t");
    assert_eq!(*statements(&report), json!(1), "{report:#}");
    // Row 2 differs in the generated column, row 1 does not.
    let note = notes(&report);
    assert!(
        note.contains("`g` is generated by the target and differs (id=2)"),
        "{note}"
    );
    let applied = scene.apply(&["out"]);
    assert_eq!(
        said(&applied)["tables"][0]["applied"]["update"],
        1,
        "{applied:?}"
    );
    check(
        &scene,
        "(SELECT (price, n, note) FROM t WHERE id = 1) = (10.000::numeric(9,3), 2, 'new'::text)",
    );
}

#[test]
fn a_null_that_the_target_refuses_is_left_out() {
    for kind in [Postgres, SqlServer] {
        let schema = schema(kind);
        let scene = Scene::new(
            (
                Postgres,
                "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, NULL), (2, NULL), (3, 3)",
            ),
            (
                kind,
                &format!(
                    "CREATE TABLE {schema}.t (id int NOT NULL PRIMARY KEY, v int NOT NULL); INSERT INTO {schema}.t VALUES (1, 1);"
                ),
            ),
        );
        let report = repair(&scene, "t", 0);
        assert_eq!(*statements(&report), json!(1), "{report:#}");
        let note = notes(&report);
        assert!(
            note.contains("2 not repaired: `v` is NULL in the source and NOT NULL in the target"),
            "{note}"
        );
    }
}

/// A table whose script is applied after `change`, with what the message must name. `None`: the
/// script is applied.
fn change_before_apply(kind: Kind, change: &str, named: Option<&str>) {
    let schema = schema(kind);
    let scene = Scene::new(
        (
            Postgres,
            "CREATE TABLE t (id int PRIMARY KEY, n numeric(9,1), u int); INSERT INTO t VALUES (1, 5.5, 1)",
        ),
        (
            kind,
            &format!(
                "CREATE TABLE {schema}.p (id int NOT NULL PRIMARY KEY); \
                 CREATE TABLE {schema}.t (id int NOT NULL CONSTRAINT t_pkey PRIMARY KEY, n decimal(9,1), u int UNIQUE); \
                 INSERT INTO {schema}.p VALUES (1), (2); INSERT INTO {schema}.t VALUES (1, 4, 1), (2, 4, 2);"
            ),
        ),
    );
    scene.target.execute_in_postgres(&format!(
        "ALTER TABLE {schema}.t ADD CONSTRAINT up FOREIGN KEY (u) REFERENCES {schema}.p (id)"
    ));
    scene.generate("t");
    let altered = change.replace("SCHEMA", schema);
    scene.target.execute_in_postgres(&altered);
    let applied = scene.apply(&["out"]);
    let Some(named) = named else {
        assert_eq!(applied.code, 0, "{change}: {applied:?}");
        let undone = scene.apply(&["out", "--undo"]);
        assert_eq!(undone.code, 0, "{change}: {undone:?}");
        return;
    };
    assert_eq!(applied.code, 3, "{change}: {applied:?}");
    let expected = format!("the {named} of {schema}.t");
    // A table that is gone cannot be locked before it is compared.
    let is_gone = change.contains("RENAME TO") && applied.stderr.contains("does not exist");
    assert!(
        applied.stderr.contains("nothing was changed")
            && (applied.stderr.contains(&expected) || is_gone),
        "{change}: {applied:?}"
    );
    let dry = scene.apply(&["out", "--dry-run"]);
    assert_eq!(dry.code, 3, "{change}: {dry:?}");
}

#[test]
fn a_script_is_refused_if_its_table_has_changed_since() {
    let changes = [
        (
            "ALTER TABLE SCHEMA.t ADD extra text DEFAULT 'precious'",
            "columns",
        ),
        ("ALTER TABLE SCHEMA.t ALTER n TYPE int", "columns"),
        ("ALTER TABLE SCHEMA.t RENAME TO other", "columns"),
        ("ALTER TABLE SCHEMA.t DROP CONSTRAINT t_pkey", "keys"),
        ("ALTER TABLE SCHEMA.t DROP CONSTRAINT up", "foreign keys"),
        (
            "CREATE TABLE SCHEMA.c (t int REFERENCES SCHEMA.t (id) ON DELETE CASCADE)",
            "references to rows",
        ),
    ];
    for (change, named) in &changes {
        change_before_apply(Postgres, change, Some(*named));
    }
    let (change, named) = changes[5];
    change_before_apply(SqlServer, change, Some(named));
    change_before_apply(
        Postgres,
        "ALTER TABLE SCHEMA.t ALTER CONSTRAINT up DEFERRABLE",
        Some("foreign keys"),
    );
}

#[test]
fn a_script_is_applied_after_a_harmless_change() {
    for change in [
        "CREATE INDEX ON SCHEMA.t (n)",
        "ALTER TABLE SCHEMA.t ALTER u SET NOT NULL, ALTER n SET DEFAULT 3",
        "ALTER TABLE SCHEMA.t RENAME CONSTRAINT t_pkey TO another",
    ] {
        change_before_apply(Postgres, change, None);
    }
}

#[test]
fn an_undo_is_refused_if_its_table_has_changed_since() {
    let scene = scene(
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)",
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 2)",
    );
    scene.generate("t");
    let applied = scene.apply(&["out"]);
    assert_eq!(applied.code, 0, "{applied:?}");
    scene
        .target
        .execute("ALTER TABLE t ALTER v TYPE text USING v::text");
    let undone = scene.apply(&["out", "--undo"]);
    assert_eq!(undone.code, 3, "{undone:?}");
    assert!(
        undone.stderr.contains("the columns of public.t"),
        "{undone:?}"
    );
    check(&scene, "(SELECT v FROM t) = '1'");
}
