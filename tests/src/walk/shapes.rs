//! The tables of the walk: one for each shape that a repair treats in its own way.

use crate::repair::Kind;

/// A table of both sides.
#[derive(Debug)]
pub struct Shape {
    /// Its name without schema, on both sides.
    pub name: &'static str,
    /// The columns that identify a row; empty: rows are compared as a multiset.
    pub key: &'static [&'static str],
    /// The other columns that both sides have.
    pub values: &'static [&'static str],
    /// Columns that only the target has.
    pub target_only: &'static [&'static str],
    /// Whether the first column of the key, and `parent` if there is one, are numbers.
    pub numbered: bool,
    source: &'static str,
    /// The target of each kind, if it is another than the source.
    postgres: &'static str,
    sql_server: &'static str,
}

/// Every shape. A parent precedes its children.
pub const SHAPES: &[Shape] = &[
    Shape {
        name: "plain",
        key: &["id"],
        values: &["v", "w"],
        target_only: &[],
        numbered: true,
        source: "id int NOT NULL PRIMARY KEY, v varchar(20), w varchar(20)",
        postgres: "",
        sql_server: "",
    },
    Shape {
        name: "composite",
        key: &["x", "y"],
        values: &["v"],
        target_only: &[],
        numbered: true,
        source: "x int NOT NULL, y varchar(9) NOT NULL, v varchar(20), PRIMARY KEY (x, y)",
        postgres: "",
        sql_server: "",
    },
    Shape {
        name: "keyless",
        key: &[],
        values: &["v", "w"],
        target_only: &[],
        numbered: false,
        source: "v varchar(20), w varchar(20)",
        postgres: "",
        sql_server: "",
    },
    Shape {
        name: "new_ids",
        key: &["email"],
        values: &["v"],
        target_only: &["id", "vip"],
        numbered: false,
        source: "email varchar(9) NOT NULL PRIMARY KEY, v varchar(20)",
        postgres: "id serial PRIMARY KEY, email varchar(9) NOT NULL UNIQUE, v varchar(20), vip int NOT NULL DEFAULT 0",
        sql_server: "id int IDENTITY(1,1) NOT NULL PRIMARY KEY, email varchar(9) NOT NULL UNIQUE, v varchar(20), vip int NOT NULL DEFAULT 0",
    },
    Shape {
        name: "more_columns",
        key: &["id"],
        values: &["v"],
        target_only: &["note"],
        numbered: true,
        source: "id int NOT NULL PRIMARY KEY, v varchar(20)",
        postgres: "id int NOT NULL PRIMARY KEY, v varchar(20), note varchar(20)",
        sql_server: "id int NOT NULL PRIMARY KEY, v varchar(20), note varchar(20)",
    },
    Shape {
        name: "triggered",
        key: &["id"],
        values: &["v"],
        target_only: &[],
        numbered: true,
        source: "id int NOT NULL PRIMARY KEY, v varchar(20)",
        postgres: "",
        sql_server: "",
    },
    Shape {
        name: "numbered",
        key: &["id"],
        values: &["v"],
        target_only: &[],
        numbered: true,
        source: "id int NOT NULL PRIMARY KEY, v varchar(20)",
        postgres: "id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v varchar(20)",
        sql_server: "id int IDENTITY(1,1) NOT NULL PRIMARY KEY, v varchar(20)",
    },
    Shape {
        name: "parents",
        key: &["id"],
        values: &["v"],
        target_only: &[],
        numbered: true,
        source: "id int NOT NULL PRIMARY KEY, v varchar(20)",
        postgres: "",
        sql_server: "",
    },
    Shape {
        name: "cascading",
        key: &["id"],
        values: &["parent", "v"],
        target_only: &[],
        numbered: true,
        source: "id int NOT NULL PRIMARY KEY, parent int, v varchar(20)",
        postgres: "",
        sql_server: "",
    },
    Shape {
        name: "restricting",
        key: &["id"],
        values: &["parent", "v"],
        target_only: &[],
        numbered: true,
        source: "id int NOT NULL PRIMARY KEY, parent int, v varchar(20)",
        postgres: "",
        sql_server: "",
    },
    Shape {
        name: "tree",
        key: &["id"],
        values: &["parent", "v"],
        target_only: &[],
        numbered: true,
        source: "id int NOT NULL PRIMARY KEY, parent int, v varchar(20)",
        postgres: "",
        sql_server: "",
    },
];

/// Foreign keys, and a trigger behind every change of `triggered`.
const CONSTRAINTS: &str = "\
    ALTER TABLE {schema}.cascading ADD FOREIGN KEY (parent) REFERENCES {schema}.parents (id) ON DELETE CASCADE; \
    ALTER TABLE {schema}.restricting ADD FOREIGN KEY (parent) REFERENCES {schema}.parents (id); \
    ALTER TABLE {schema}.tree ADD FOREIGN KEY (parent) REFERENCES {schema}.tree (id)";

const TRIGGER: &str = "\
    CREATE TABLE {schema}.audit (id int, at text); \
    CREATE FUNCTION {schema}.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    INSERT INTO {schema}.audit VALUES (COALESCE(NEW.id, OLD.id), TG_OP), (COALESCE(NEW.id, OLD.id), 'again'); \
    RETURN NULL; END $$; \
    CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON {schema}.triggered \
    FOR EACH ROW EXECUTE FUNCTION {schema}.note()";

/// The statements that create the tables of a source.
#[must_use]
pub fn create_tables(kind: Kind, target: bool) -> String {
    let schema = crate::repair::schema(kind);
    let tables = SHAPES.iter().map(|shape| {
        let own = match kind {
            Kind::Postgres => shape.postgres,
            Kind::SqlServer => shape.sql_server,
        };
        let columns = if target && !own.is_empty() {
            own
        } else {
            shape.source
        };
        format!("CREATE TABLE {schema}.{} ({columns});", shape.name)
    });
    tables.collect::<Vec<_>>().join(" ")
}

/// The statements that PostgreSQL executes behind the tables of a side of this kind.
#[must_use]
pub fn create_constraints(kind: Kind, target: bool) -> String {
    let trigger = if target { TRIGGER } else { "" };
    let schema = crate::repair::schema(kind);
    format!("{CONSTRAINTS}; {trigger}").replace("{schema}", schema)
}
