//! The planted faults, a table each, and the correct migrations.

use crate::Migration;

/// A table `{t}` that differs between the two sides.
pub(crate) struct Case {
    pub(crate) table: &'static str,
    /// The side of SQL Server, as the stand-in stores it: comments declare what PostgreSQL does
    /// not have.
    pub(crate) sql_server: &'static str,
    pub(crate) postgres: &'static str,
    /// The rules that find it, with SQL Server as the source.
    pub(crate) forward: &'static [&'static str],
    /// The rules that find it, with PostgreSQL as the source.
    pub(crate) backward: &'static [&'static str],
}

const fn case(
    table: &'static str,
    [sql_server, postgres]: [&'static str; 2],
    forward: &'static [&'static str],
    backward: &'static [&'static str],
) -> Case {
    Case {
        table,
        sql_server,
        postgres,
        forward,
        backward,
    }
}

/// What foreign keys reference, and tables that only one side has.
pub(crate) const PARENTS_OF_SQL_SERVER: &str = "\
CREATE TABLE parent (id int PRIMARY KEY, other int NOT NULL UNIQUE); \
CREATE TABLE parent2 (id int PRIMARY KEY); CREATE TABLE only_source (id int); \
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'";

pub(crate) const PARENTS_OF_POSTGRES: &str = "\
CREATE TABLE parent (id int PRIMARY KEY, other int NOT NULL UNIQUE); \
CREATE TABLE parent2 (id int PRIMARY KEY); CREATE TABLE only_target (id int); \
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
CREATE COLLATION ignores_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)";

pub(crate) const CASES: &[Case] = &[
    // Tables and columns.
    case(
        "table_only_source",
        ["CREATE TABLE {t} (id int)", ""],
        &["table-missing"],
        &["table-missing"],
    ),
    case(
        "table_only_target",
        ["", "CREATE TABLE {t} (id int)"],
        &["table-missing"],
        &["table-missing"],
    ),
    case(
        "column_missing",
        [
            "CREATE TABLE {t} (id int, v int NOT NULL)",
            "CREATE TABLE {t} (id int)",
        ],
        &["column-missing"],
        &["column-extra-required"],
    ),
    case(
        "column_extra",
        [
            "CREATE TABLE {t} (id int)",
            "CREATE TABLE {t} (id int, v int)",
        ],
        &["column-extra"],
        &["column-missing"],
    ),
    case(
        "column_ambiguous",
        [
            "CREATE TABLE {t} (id int, a_b int)",
            "CREATE TABLE {t} (id int, \"a b\" int, \"a-b\" int)",
        ],
        &["columns-unpaired"],
        &["columns-unpaired"],
    ),
    case(
        "type_int",
        ["CREATE TABLE {t} (v bigint)", "CREATE TABLE {t} (v int)"],
        &["type-narrower"],
        &[],
    ),
    case(
        "type_tinyint",
        [
            "CREATE TABLE {t} (v smallint); COMMENT ON COLUMN {t}.v IS 'tinyint'",
            "CREATE TABLE {t} (v smallint)",
        ],
        &[],
        &["type-narrower"],
    ),
    case(
        "type_decimal",
        [
            "CREATE TABLE {t} (v numeric(12,4))",
            "CREATE TABLE {t} (v numeric(12,2))",
        ],
        &["type-narrower"],
        &["type-narrower"],
    ),
    case(
        "type_float",
        [
            "CREATE TABLE {t} (v double precision)",
            "CREATE TABLE {t} (v real)",
        ],
        &["type-narrower"],
        &[],
    ),
    case(
        "type_text",
        [
            "CREATE TABLE {t} (v varchar(50))",
            "CREATE TABLE {t} (v varchar(40))",
        ],
        &["type-narrower"],
        &[],
    ),
    case(
        "type_code_page",
        [
            "CREATE TABLE {t} (v text); COMMENT ON COLUMN {t}.v IS 'varchar(max)'",
            "CREATE TABLE {t} (v text)",
        ],
        &[],
        &["type-narrower"],
    ),
    case(
        "type_time",
        [
            "CREATE TABLE {t} (v timestamp(3))",
            "CREATE TABLE {t} (v timestamp(0))",
        ],
        &["type-narrower"],
        &[],
    ),
    case(
        "null_in_target",
        [
            "CREATE TABLE {t} (v int NOT NULL)",
            "CREATE TABLE {t} (v int)",
        ],
        &["null-allowed"],
        &["null-refused"],
    ),
    case(
        "null_in_source",
        [
            "CREATE TABLE {t} (v int)",
            "CREATE TABLE {t} (v int NOT NULL)",
        ],
        &["null-refused"],
        &["null-allowed"],
    ),
    case(
        "collation_case",
        [
            "CREATE TABLE {t} (v varchar(20)); COMMENT ON COLUMN {t}.v IS 'nvarchar(20) COLLATE Latin1_General_CS_AS'",
            "CREATE TABLE {t} (v varchar(20) COLLATE ignores_case)",
        ],
        &["collation"],
        &["collation"],
    ),
    case(
        "collation_accents",
        [
            "CREATE TABLE {t} (v varchar(20)); COMMENT ON COLUMN {t}.v IS 'nvarchar(20) COLLATE Latin1_General_CI_AI'",
            "CREATE TABLE {t} (v varchar(20) COLLATE ignores_case)",
        ],
        &["collation"],
        &["collation"],
    ),
    // Defaults and computed columns.
    case(
        "default_in_source",
        [
            "CREATE TABLE {t} (v int DEFAULT 5)",
            "CREATE TABLE {t} (v int)",
        ],
        &["default-missing"],
        &["default-extra"],
    ),
    case(
        "default_in_target",
        [
            "CREATE TABLE {t} (v int)",
            "CREATE TABLE {t} (v int DEFAULT 5)",
        ],
        &["default-extra"],
        &["default-missing"],
    ),
    case(
        "default_number",
        [
            "CREATE TABLE {t} (v int DEFAULT 5)",
            "CREATE TABLE {t} (v int DEFAULT 6)",
        ],
        &["default-different"],
        &["default-different"],
    ),
    case(
        "default_utc",
        [
            "CREATE TABLE {t} (v timestamp(3) DEFAULT now()); COMMENT ON COLUMN {t}.v IS 'datetime2(3) DEFAULT (getutcdate())'",
            "CREATE TABLE {t} (v timestamp(3) DEFAULT now())",
        ],
        &["default-different"],
        &["default-different"],
    ),
    case(
        "default_unknown",
        [
            "CREATE TABLE {t} (v int DEFAULT 1); COMMENT ON COLUMN {t}.v IS 'int DEFAULT ([dbo].[first]())'",
            "CREATE TABLE {t} (v int DEFAULT 1)",
        ],
        &["default-unknown"],
        &["default-unknown"],
    ),
    case(
        "computed_missing",
        [
            "CREATE TABLE {t} (a int, v int GENERATED ALWAYS AS (a * 2) STORED)",
            "CREATE TABLE {t} (a int)",
        ],
        &["generated-missing"],
        &["column-extra"],
    ),
    case(
        "computed_plain",
        [
            "CREATE TABLE {t} (a int, v int GENERATED ALWAYS AS (a * 2) STORED)",
            "CREATE TABLE {t} (a int, v int)",
        ],
        &["generated-missing"],
        &["generated-extra"],
    ),
    case(
        "computed_different",
        [
            "CREATE TABLE {t} (a int, v int GENERATED ALWAYS AS (a * 2) STORED)",
            "CREATE TABLE {t} (a int, v int GENERATED ALWAYS AS (a * 3) STORED)",
        ],
        &["generated-different"],
        &["generated-different"],
    ),
    case(
        "computed_unknown",
        [
            "CREATE TABLE {t} (a int, v int GENERATED ALWAYS AS (a * 2) STORED); COMMENT ON COLUMN {t}.v IS 'int AS ([dbo].[twice]([a]))'",
            "CREATE TABLE {t} (a int, v int GENERATED ALWAYS AS (a * 2) STORED)",
        ],
        &["generated-unknown"],
        &["generated-unknown"],
    ),
    // Keys and indexes.
    case(
        "key_in_source",
        [
            "CREATE TABLE {t} (id int PRIMARY KEY)",
            "CREATE TABLE {t} (id int NOT NULL)",
        ],
        &["primary-key-missing"],
        &["primary-key-extra"],
    ),
    case(
        "key_in_target",
        [
            "CREATE TABLE {t} (id int NOT NULL)",
            "CREATE TABLE {t} (id int PRIMARY KEY)",
        ],
        &["primary-key-extra"],
        &["primary-key-missing"],
    ),
    case(
        "key_different",
        [
            "CREATE TABLE {t} (a int PRIMARY KEY, b int NOT NULL)",
            "CREATE TABLE {t} (a int NOT NULL, b int PRIMARY KEY)",
        ],
        &["primary-key-different"],
        &["primary-key-different"],
    ),
    case(
        "key_order",
        [
            "CREATE TABLE {t} (a int, b int, PRIMARY KEY (a, b))",
            "CREATE TABLE {t} (a int, b int, PRIMARY KEY (b, a))",
        ],
        &["index-order"],
        &["index-order"],
    ),
    case(
        "unique_in_source",
        [
            "CREATE TABLE {t} (a int UNIQUE)",
            "CREATE TABLE {t} (a int)",
        ],
        &["unique-missing"],
        &["unique-extra"],
    ),
    case(
        "unique_in_target",
        [
            "CREATE TABLE {t} (a int)",
            "CREATE TABLE {t} (a int UNIQUE)",
        ],
        &["unique-extra"],
        &["unique-missing"],
    ),
    case(
        "unique_as_index",
        [
            "CREATE TABLE {t} (a int UNIQUE)",
            "CREATE TABLE {t} (a int); CREATE INDEX ON {t} (a)",
        ],
        &["unique-missing"],
        &["unique-extra"],
    ),
    case(
        "index_in_source",
        [
            "CREATE TABLE {t} (a int); CREATE INDEX ON {t} (a)",
            "CREATE TABLE {t} (a int)",
        ],
        &["index-missing"],
        &["index-extra"],
    ),
    case(
        "index_in_target",
        [
            "CREATE TABLE {t} (a int)",
            "CREATE TABLE {t} (a int); CREATE INDEX ON {t} (a)",
        ],
        &["index-extra"],
        &["index-missing"],
    ),
    case(
        "index_order",
        [
            "CREATE TABLE {t} (a int, b int); CREATE INDEX ON {t} (a, b)",
            "CREATE TABLE {t} (a int, b int); CREATE INDEX ON {t} (b, a)",
        ],
        &["index-order"],
        &["index-order"],
    ),
    case(
        "index_direction",
        [
            "CREATE TABLE {t} (a int, b int); CREATE INDEX ON {t} (a, b DESC)",
            "CREATE TABLE {t} (a int, b int); CREATE INDEX ON {t} (a, b)",
        ],
        &["index-order"],
        &["index-order"],
    ),
    case(
        "index_filter",
        [
            "CREATE TABLE {t} (a int); CREATE UNIQUE INDEX ON {t} (a) WHERE a > 5",
            "CREATE TABLE {t} (a int UNIQUE)",
        ],
        &["index-filter"],
        &["index-filter"],
    ),
    case(
        "index_filter_different",
        [
            "CREATE TABLE {t} (a int, b int); CREATE INDEX ON {t} (a) WHERE b = 1",
            "CREATE TABLE {t} (a int, b int); CREATE INDEX ON {t} (a) WHERE b = 2",
        ],
        &["index-filter"],
        &["index-filter"],
    ),
    case(
        "index_filter_in_target",
        [
            "CREATE TABLE {t} (a int); CREATE INDEX ON {t} (a)",
            "CREATE TABLE {t} (a int); CREATE INDEX ON {t} (a) WHERE a > 5",
        ],
        &["index-filter"],
        &[],
    ),
    case(
        "index_invalid",
        [
            "CREATE TABLE {t} (a int); CREATE INDEX ON {t} (a)",
            "CREATE TABLE {t} (a int); CREATE INDEX ON {t} (a); UPDATE pg_index SET indisvalid = false WHERE indrelid = '{t}'::regclass",
        ],
        &["index-disabled"],
        &["index-extra"],
    ),
    case(
        "index_disabled",
        [
            "CREATE TABLE {t} (a int); CREATE INDEX ON {t} (a); UPDATE pg_index SET indisvalid = false WHERE indrelid = '{t}'::regclass",
            "CREATE TABLE {t} (a int); CREATE INDEX ON {t} (a)",
        ],
        &["index-extra"],
        &["index-disabled"],
    ),
    case(
        "index_expression",
        [
            "CREATE TABLE {t} (a int)",
            "CREATE TABLE {t} (a int); CREATE INDEX ON {t} ((a & 1))",
        ],
        &["index-unknown"],
        &["index-unknown"],
    ),
    // Foreign keys.
    case(
        "reference_in_source",
        [
            "CREATE TABLE {t} (p int REFERENCES parent)",
            "CREATE TABLE {t} (p int)",
        ],
        &["foreign-key-missing"],
        &["foreign-key-extra"],
    ),
    case(
        "reference_in_target",
        [
            "CREATE TABLE {t} (p int)",
            "CREATE TABLE {t} (p int REFERENCES parent)",
        ],
        &["foreign-key-extra"],
        &["foreign-key-missing"],
    ),
    case(
        "reference_to_other",
        [
            "CREATE TABLE {t} (p int REFERENCES parent)",
            "CREATE TABLE {t} (p int REFERENCES parent2)",
        ],
        &["foreign-key-different"],
        &["foreign-key-different"],
    ),
    case(
        "reference_to_other_column",
        [
            "CREATE TABLE {t} (p int REFERENCES parent (id))",
            "CREATE TABLE {t} (p int REFERENCES parent (other))",
        ],
        &["foreign-key-different"],
        &["foreign-key-different"],
    ),
    case(
        "reference_action",
        [
            "CREATE TABLE {t} (p int REFERENCES parent ON DELETE CASCADE)",
            "CREATE TABLE {t} (p int REFERENCES parent)",
        ],
        &["foreign-key-action"],
        &["foreign-key-action"],
    ),
    case(
        "reference_action_update",
        [
            "CREATE TABLE {t} (p int REFERENCES parent)",
            "CREATE TABLE {t} (p int REFERENCES parent ON UPDATE SET NULL)",
        ],
        &["foreign-key-action"],
        &["foreign-key-action"],
    ),
    case(
        "reference_not_valid",
        [
            "CREATE TABLE {t} (p int REFERENCES parent)",
            "CREATE TABLE {t} (p int); ALTER TABLE {t} ADD FOREIGN KEY (p) REFERENCES parent NOT VALID",
        ],
        &["foreign-key-untrusted"],
        &[],
    ),
    case(
        "reference_untrusted",
        [
            "CREATE TABLE {t} (p int); ALTER TABLE {t} ADD FOREIGN KEY (p) REFERENCES parent NOT VALID",
            "CREATE TABLE {t} (p int REFERENCES parent)",
        ],
        &[],
        &["foreign-key-untrusted"],
    ),
    case(
        "reference_disabled",
        [
            "CREATE TABLE {t} (p int REFERENCES parent)",
            "CREATE TABLE {t} (p int REFERENCES parent); ALTER TABLE {t} DISABLE TRIGGER ALL",
        ],
        &["foreign-key-untrusted"],
        &[],
    ),
    // Checks.
    case(
        "check_in_source",
        [
            "CREATE TABLE {t} (a int CHECK (a > 0))",
            "CREATE TABLE {t} (a int)",
        ],
        &["check-missing"],
        &["check-extra"],
    ),
    case(
        "check_in_target",
        [
            "CREATE TABLE {t} (a int)",
            "CREATE TABLE {t} (a int CHECK (a > 0))",
        ],
        &["check-extra"],
        &["check-missing"],
    ),
    case(
        "check_different",
        [
            "CREATE TABLE {t} (a int CONSTRAINT c CHECK (a > 0))",
            "CREATE TABLE {t} (a int CONSTRAINT c CHECK (a > 5))",
        ],
        &["check-different"],
        &["check-different"],
    ),
    case(
        "check_unknown",
        [
            "CREATE TABLE {t} (a varchar(9) CHECK (a <> '')); COMMENT ON CONSTRAINT {t}_a_check ON {t} IS '([a] like ''[A-Z]%'')'",
            "CREATE TABLE {t} (a varchar(9) CHECK (a ~ '^[A-Z]'))",
        ],
        &["check-unknown"],
        &["check-unknown"],
    ),
    case(
        "check_not_valid",
        [
            "CREATE TABLE {t} (a int CHECK (a > 0))",
            "CREATE TABLE {t} (a int); ALTER TABLE {t} ADD CHECK (a > 0) NOT VALID",
        ],
        &["check-untrusted"],
        &[],
    ),
    case(
        "check_untrusted",
        [
            "CREATE TABLE {t} (a int); ALTER TABLE {t} ADD CHECK (a > 0) NOT VALID",
            "CREATE TABLE {t} (a int CHECK (a > 0))",
        ],
        &[],
        &["check-untrusted"],
    ),
    // Identity columns and sequences.
    case(
        "identity_in_source",
        [
            "CREATE TABLE {t} (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY)",
            "CREATE TABLE {t} (id int PRIMARY KEY)",
        ],
        &["identity-missing"],
        &["identity-extra"],
    ),
    case(
        "identity_in_target",
        [
            "CREATE TABLE {t} (id int PRIMARY KEY)",
            "CREATE TABLE {t} (id serial PRIMARY KEY)",
        ],
        &["identity-extra"],
        &["identity-missing"],
    ),
    case(
        "identity_step",
        [
            "CREATE TABLE {t} (id int GENERATED BY DEFAULT AS IDENTITY (INCREMENT 2) PRIMARY KEY)",
            "CREATE TABLE {t} (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY)",
        ],
        &["identity-step"],
        &["identity-step"],
    ),
    case(
        "identity_behind_in_target",
        [
            "CREATE TABLE {t} (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY); INSERT INTO {t} VALUES (1), (10); SELECT setval('{t}_id_seq', 10)",
            "CREATE TABLE {t} (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY); INSERT INTO {t} VALUES (1), (10); SELECT setval('{t}_id_seq', 9)",
        ],
        &["next-value"],
        &[],
    ),
    case(
        "identity_behind_in_source",
        [
            "CREATE TABLE {t} (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY); INSERT INTO {t} VALUES (1), (10)",
            "CREATE TABLE {t} (id serial PRIMARY KEY); INSERT INTO {t} VALUES (1), (10); SELECT setval('{t}_id_seq', 11, false)",
        ],
        &[],
        &["next-value"],
    ),
    case(
        "identity_downwards",
        [
            "CREATE TABLE {t} (id int GENERATED BY DEFAULT AS IDENTITY (INCREMENT -1) PRIMARY KEY); INSERT INTO {t} VALUES (-1), (-10); SELECT setval('{t}_id_seq', -10)",
            "CREATE TABLE {t} (id int GENERATED BY DEFAULT AS IDENTITY (INCREMENT -1) PRIMARY KEY); INSERT INTO {t} VALUES (-1), (-10); SELECT setval('{t}_id_seq', -5)",
        ],
        &["next-value"],
        &[],
    ),
    case(
        "sequence_behind",
        [
            "CREATE SEQUENCE {t}_numbers; CREATE TABLE {t} (id int DEFAULT nextval('{t}_numbers') PRIMARY KEY); COMMENT ON COLUMN {t}.id IS 'int DEFAULT (NEXT VALUE FOR [dbo].[{t}_numbers])'; INSERT INTO {t} VALUES (1), (10)",
            "CREATE SEQUENCE {t}_numbers; CREATE TABLE {t} (id int DEFAULT nextval('{t}_numbers') PRIMARY KEY); INSERT INTO {t} VALUES (1), (10); SELECT setval('{t}_numbers', 10)",
        ],
        &[],
        &["next-value"],
    ),
    case(
        "sequence_exhausted",
        [
            "CREATE TABLE {t} (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY); INSERT INTO {t} VALUES (3); SELECT setval('{t}_id_seq', 3)",
            "CREATE TABLE {t} (id int GENERATED BY DEFAULT AS IDENTITY (MAXVALUE 3) PRIMARY KEY); INSERT INTO {t} VALUES (3); SELECT setval('{t}_id_seq', 3)",
        ],
        &["next-value"],
        &[],
    ),
    case(
        "sequence_cycles",
        [
            "CREATE TABLE {t} (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY)",
            "CREATE TABLE {t} (id int GENERATED BY DEFAULT AS IDENTITY (CYCLE) PRIMARY KEY)",
        ],
        &["identity-step", "next-value-unknown"],
        &["identity-step"],
    ),
    case(
        "sequence_without_index",
        [
            "CREATE TABLE {t} (id int GENERATED BY DEFAULT AS IDENTITY)",
            "CREATE TABLE {t} (id int GENERATED BY DEFAULT AS IDENTITY)",
        ],
        &["next-value-unknown"],
        &["next-value-unknown"],
    ),
    // Triggers, partitions and numbers of rows.
    case(
        "trigger_in_source",
        [
            "CREATE TABLE {t} (a int); CREATE TRIGGER {t}_audit BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION fire()",
            "CREATE TABLE {t} (a int)",
        ],
        &["trigger-missing"],
        &["trigger-extra"],
    ),
    case(
        "trigger_in_target",
        [
            "CREATE TABLE {t} (a int)",
            "CREATE TABLE {t} (a int); CREATE TRIGGER audit BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION fire()",
        ],
        &["trigger-extra"],
        &["trigger-missing"],
    ),
    case(
        "trigger_disabled",
        [
            "CREATE TABLE {t} (a int); CREATE TRIGGER audit BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION fire()",
            "CREATE TABLE {t} (a int); CREATE TRIGGER audit BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION fire(); ALTER TABLE {t} DISABLE TRIGGER audit",
        ],
        &["trigger-disabled"],
        &[],
    ),
    case(
        "trigger_renamed_and_disabled",
        [
            "CREATE TABLE {t} (a int); CREATE TRIGGER tr1 BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION fire(); ALTER TABLE {t} DISABLE TRIGGER tr1",
            "CREATE TABLE {t} (a int); CREATE TRIGGER audit BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION fire()",
        ],
        &["trigger-extra"],
        &["trigger-disabled"],
    ),
    case(
        "partitioned_in_target",
        [
            "CREATE TABLE {t} (a int)",
            "CREATE TABLE {t} (a int) PARTITION BY RANGE (a)",
        ],
        &["partitioning"],
        &["partitioning"],
    ),
    case(
        "partitioned_differently",
        [
            "CREATE TABLE {t} (a int, b int) PARTITION BY RANGE (a)",
            "CREATE TABLE {t} (a int, b int) PARTITION BY RANGE (b)",
        ],
        &["partitioning"],
        &["partitioning"],
    ),
    case(
        "rows_in_source",
        [
            "CREATE TABLE {t} (a int); INSERT INTO {t} SELECT generate_series(1, 5000); ANALYZE {t}",
            "CREATE TABLE {t} (a int); INSERT INTO {t} VALUES (1); ANALYZE {t}",
        ],
        &["row-estimate"],
        &["row-estimate"],
    ),
    // No faults.
    case(
        "right_notation",
        [
            "CREATE TABLE {t} (a int CHECK (a >= 1), b varchar(9) CHECK (b IN ('x', 'y')), c boolean DEFAULT false); COMMENT ON CONSTRAINT {t}_b_check ON {t} IS '([b]=''y'' OR [b]=''x'')'; COMMENT ON COLUMN {t}.c IS 'bit DEFAULT ((0))'",
            "CREATE TABLE {t} (a int CONSTRAINT positive CHECK (a > 0), b varchar(9) CHECK (b IN ('x', 'y')), c boolean DEFAULT false)",
        ],
        &[],
        &[],
    ),
    case(
        "right_unique",
        [
            "CREATE TABLE {t} (a int); CREATE UNIQUE INDEX ON {t} (a) WHERE a IS NOT NULL",
            "CREATE TABLE {t} (a int UNIQUE)",
        ],
        &[],
        &[],
    ),
    case(
        "right_types",
        [
            "CREATE TABLE {t} (a smallint, b smallint); COMMENT ON COLUMN {t}.a IS 'tinyint'",
            "CREATE TABLE {t} (a smallint CHECK (a BETWEEN 0 AND 255), b smallint)",
        ],
        &[],
        &["type-narrower"],
    ),
    case(
        "right_triggers",
        [
            "CREATE TABLE {t} (a int); CREATE TRIGGER tr_audit_insert BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION fire()",
            "CREATE TABLE {t} (a int); CREATE TRIGGER audit BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION fire()",
        ],
        &[],
        &[],
    ),
];

pub(crate) const MIGRATIONS: &[Migration] = &[
    // Names in snake case, foreign keys and a filtered index.
    Migration {
        sample: "music",
        tables: &[
            ("dbo.Artist", "artist"),
            ("dbo.Album", "album"),
            ("dbo.MediaKind", "media_kind"),
            ("dbo.Genre", "genre"),
            ("dbo.Track", "track"),
            ("dbo.Play List", "play_list"),
            ("dbo.Play List Track", "play_list_track"),
            ("dbo.Employee", "employee"),
            ("dbo.Customer", "customer"),
            ("dbo.Invoice", "invoice"),
            ("dbo.InvoiceLine", "invoice_line"),
        ],
        sql_server: "\
            ALTER TABLE \"Album\" ADD CONSTRAINT \"FK_Album_Artist\" FOREIGN KEY (\"ArtistId\") REFERENCES \"Artist\"; \
            ALTER TABLE \"Play List Track\" ADD CONSTRAINT \"FK_PLT\" FOREIGN KEY (\"TrackId\") REFERENCES \"Track\" ON DELETE CASCADE; \
            CREATE INDEX \"IX_Track_Album\" ON \"Track\" (\"AlbumId\", \"Name\" DESC); \
            CREATE UNIQUE INDEX \"UX_Employee_Mail\" ON \"Employee\" (\"E-Mail\") WHERE \"E-Mail\" IS NOT NULL; \
            ALTER TABLE \"Track\" ADD CONSTRAINT \"CK_Track\" CHECK (\"Milliseconds\" > 0); \
            ALTER TABLE \"Invoice\" ALTER \"InvoiceDate\" SET DEFAULT now(); \
            COMMENT ON COLUMN \"Invoice\".\"InvoiceDate\" IS 'datetime2(3) DEFAULT (sysdatetime())'; \
            ALTER TABLE \"Play List\" ALTER \"Public\" SET DEFAULT false; \
            COMMENT ON COLUMN \"Play List\".\"Public\" IS 'bit DEFAULT ((0))'",
        postgres: "\
            ALTER TABLE album ADD FOREIGN KEY (artist_id) REFERENCES artist; \
            ALTER TABLE play_list_track ADD FOREIGN KEY (track_id) REFERENCES track ON DELETE CASCADE; \
            CREATE INDEX ON track (album_id, name DESC); \
            CREATE UNIQUE INDEX ON employee (e_mail); \
            ALTER TABLE track ADD CHECK (milliseconds >= 1); \
            ALTER TABLE invoice ALTER invoice_date SET DEFAULT CURRENT_TIMESTAMP; \
            ALTER TABLE play_list ALTER public SET DEFAULT false",
    },
    // Names in lower case, an identity column, and texts of the types that SQL Server calls old.
    Migration {
        sample: "office",
        tables: &[
            ("dbo.Categories", "categories"),
            ("dbo.Suppliers", "suppliers"),
            ("dbo.Products", "products"),
            ("dbo.Customers", "customers"),
            ("dbo.Shippers", "shippers"),
            ("dbo.Employees", "employees"),
            ("dbo.Orders", "orders"),
            ("dbo.Order Details", "Order-Details"),
            ("dbo.Region", "region"),
            ("dbo.Territories", "territories"),
            ("dbo.EmployeeTerritories", "employeeterritories"),
        ],
        sql_server: "\
            SELECT setval('\"Categories_CategoryID_seq\"', 2); \
            ALTER TABLE \"Products\" ADD CONSTRAINT \"FK_Products_Categories\" FOREIGN KEY (\"CategoryID\") REFERENCES \"Categories\"; \
            ALTER TABLE \"Employees\" ADD CONSTRAINT \"FK_Boss\" FOREIGN KEY (\"ReportsTo\") REFERENCES \"Employees\"; \
            ALTER TABLE \"Products\" ADD CONSTRAINT \"CK_UnitPrice\" CHECK (\"UnitPrice\" >= 0); \
            COMMENT ON CONSTRAINT \"CK_UnitPrice\" ON \"Products\" IS '([UnitPrice]>=(0))'; \
            ALTER TABLE \"Products\" ALTER \"UnitPrice\" SET DEFAULT 0; \
            COMMENT ON COLUMN \"Products\".\"UnitPrice\" IS 'money DEFAULT ((0))'; \
            CREATE INDEX \"CompanyName\" ON \"Customers\" (\"CompanyName\"); \
            CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
            CREATE TRIGGER \"TR_Orders_Audit\" BEFORE INSERT ON \"Orders\" FOR EACH ROW EXECUTE FUNCTION fire()",
        postgres: "\
            SELECT setval('categories_categoryid_seq', 2); \
            ALTER TABLE employees ALTER birthdate TYPE timestamp(3), ALTER hiredate TYPE timestamp(3); \
            ALTER TABLE products ADD CONSTRAINT fk_products_categories FOREIGN KEY (categoryid) REFERENCES categories; \
            ALTER TABLE employees ADD FOREIGN KEY (reportsto) REFERENCES employees ON DELETE RESTRICT; \
            ALTER TABLE products ADD CHECK (unitprice >= 0::numeric); \
            ALTER TABLE products ALTER unitprice SET DEFAULT 0::numeric; \
            CREATE INDEX idx_customers_companyname ON customers (companyname); \
            CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
            CREATE TRIGGER orders_audit BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION fire()",
    },
    // Several schemas, a computed column, and UUIDs that the database makes.
    Migration {
        sample: "bicycles",
        tables: &[
            ("Person.Person", "person.person"),
            ("Person.Address", "person.address"),
            ("Person.PhoneNumberType", "person.phone_number_type"),
            ("Production.ProductCategory", "production.product_category"),
            ("Production.Product", "production.product"),
            ("Production.Location", "production.location"),
            (
                "Production.ProductInventory",
                "production.product_inventory",
            ),
            ("Sales.Currency", "sales.currency"),
            ("Sales.SalesOrderHeader", "sales.sales_order_header"),
            ("Sales.SalesOrderDetail", "sales.sales_order_detail"),
        ],
        sql_server: "\
            ALTER TABLE \"Person\".\"Person\" ALTER rowguid SET DEFAULT gen_random_uuid(); \
            COMMENT ON COLUMN \"Person\".\"Person\".rowguid IS 'uniqueidentifier DEFAULT (newid())'; \
            ALTER TABLE \"Person\".\"Person\" ALTER \"ModifiedDate\" SET DEFAULT now(); \
            COMMENT ON COLUMN \"Person\".\"Person\".\"ModifiedDate\" IS 'datetime DEFAULT (getdate())'; \
            COMMENT ON COLUMN \"Sales\".\"SalesOrderHeader\".\"TotalDue\" IS 'money AS ([SubTotal]+[TaxAmt])'; \
            ALTER TABLE \"Person\".\"Person\" ADD CONSTRAINT \"CK_Type\" CHECK (\"PersonType\" IN ('EM', 'IN')); \
            COMMENT ON CONSTRAINT \"CK_Type\" ON \"Person\".\"Person\" IS '([PersonType]=''IN'' OR [PersonType]=''EM'')'; \
            CREATE UNIQUE INDEX \"AK_Product\" ON \"Production\".\"Product\" (\"ProductNumber\"); \
            ALTER TABLE \"Sales\".\"SalesOrderDetail\" ADD CONSTRAINT \"FK_Detail\" FOREIGN KEY (\"SalesOrderID\") REFERENCES \"Sales\".\"SalesOrderHeader\" ON DELETE CASCADE",
        postgres: "\
            ALTER TABLE person.person ALTER row_guid SET DEFAULT gen_random_uuid(); \
            ALTER TABLE person.person ALTER modified_date SET DEFAULT now(); \
            ALTER TABLE sales.sales_order_header ADD total_due numeric(19,4) GENERATED ALWAYS AS (sub_total + tax_amt) STORED; \
            ALTER TABLE person.person ADD CHECK (person_type IN ('EM', 'IN')); \
            ALTER TABLE production.product ADD CONSTRAINT ak_product UNIQUE (product_number); \
            ALTER TABLE sales.sales_order_detail ADD FOREIGN KEY (sales_order_id) REFERENCES sales.sales_order_header ON DELETE CASCADE",
    },
];
