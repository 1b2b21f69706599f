use proptest::prelude::*;

use super::*;

fn check(kind: DatabaseKind, action: RepairAction, sql: &str) -> Result<(), NotGuarded> {
    GuardedForm::new(kind, "s", "t").check(action, sql)
}

use DatabaseKind::{Postgres, SqlServer};
use RepairAction::{Delete, Insert, Update};

#[test]
fn what_the_engine_renders_is_accepted() {
    for (kind, action, sql) in [
        (
            Postgres,
            Insert,
            r#"INSERT INTO "s"."t" ("id", "no""te") OVERRIDING SYSTEM VALUE SELECT -7, 'it''s; --' WHERE NOT EXISTS (SELECT 1 FROM "s"."t" WHERE "id" = 7);"#,
        ),
        (
            Postgres,
            Delete,
            r#"DELETE FROM "s"."t" WHERE "id" = 7 AND "note"::text COLLATE "C" = 'it''s' AND "n" = (-1.5)::numeric(5,-2) AND "at" = '2020-01-01'::timestamp(6) without time zone AND "x" IS NULL AND "j"::text COLLATE "C" = ('{}'::jsonb)::text AND "m"::s."Mood" = 'ok' AND "b" = B'1' AND "a" = '{1}'::integer[] AND "f" = '1e-1'::double precision AND NOT EXISTS (SELECT 1 FROM "o"."child" AS d WHERE d."up" = "s"."t"."id" AND d."up" <> "s"."t"."id");"#,
        ),
        (
            Postgres,
            Update,
            r#"UPDATE "s"."t" SET "note" = 'a' || chr(10) || 'b', "n" = 1e+30 WHERE (tableoid, ctid) = (SELECT tableoid, ctid FROM "s"."t" WHERE "id" = 7 LIMIT 1);"#,
        ),
        (
            Postgres,
            Delete,
            r#"DELETE FROM "s"."t" WHERE "id" = 7 AND (SELECT count(*) FROM "s"."t" WHERE "id" = 7) = 1;"#,
        ),
        (
            Postgres,
            Update,
            r#"UPDATE "s"."t" SET "u" = E'it''s \\ \n\r\x01' WHERE "id" = 7 AND NOT EXISTS (SELECT 1 FROM "s"."t" WHERE "u" = 'x' AND NOT ("id" = 7 AND "k" = 8));"#,
        ),
        (
            SqlServer,
            Update,
            "UPDATE TOP (1) [s].[t] SET [a]]b] = CAST(N'' AS nvarchar(max)) + N'a' + NCHAR(10), [d] = 0x0aFF WHERE [id] = 7 AND ([b] = 0x AND DATALENGTH([b]) = 0) AND CAST(CAST(RTRIM([c]) AS nvarchar(max)) AS varbinary(max)) = CAST(CAST(N'x' AS nvarchar(max)) AS varbinary(max)) AND [n] = CAST(1.5 AS decimal(5, 2));",
        ),
        (
            SqlServer,
            Delete,
            "DELETE TOP (1) FROM [s].[t] WHERE [id] = CAST('2020-01-01' AS date);",
        ),
    ] {
        assert_eq!(check(kind, action, sql), Ok(()), "{sql}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn everything_else_is_refused() {
    for (action, sql) in [
        (Delete, r#"DELETE FROM "s"."t";"#),
        (Delete, r#"DELETE FROM "s"."t" WHERE 1 = 1;"#),
        (Delete, r#"DELETE FROM "s"."t" WHERE "id" = "id";"#),
        (Delete, r#"DELETE FROM "s"."t" WHERE "id" <> 1;"#),
        (Delete, r#"DELETE FROM "s"."t" WHERE "id" = 1 OR "id" = 2;"#),
        (
            Delete,
            r#"DELETE FROM "s"."t" WHERE NOT EXISTS (SELECT 1 FROM "s"."u" AS d WHERE d."a" = 1);"#,
        ),
        (Delete, r#"DELETE FROM "s"."other" WHERE "id" = 1;"#),
        (Delete, r#"DELETE FROM "S"."t" WHERE "id" = 1;"#),
        (Delete, r#"DELETE FROM t WHERE "id" = 1;"#),
        (
            Delete,
            r#"DELETE FROM "s"."t" USING "s"."u" WHERE "id" = 1;"#,
        ),
        (Delete, r#"DELETE FROM "s"."t" WHERE "id" = 1 RETURNING *;"#),
        (
            Delete,
            r#"DELETE FROM "s"."t" WHERE "id" = 1; DROP TABLE "s"."t";"#,
        ),
        (Delete, r#"DELETE FROM "s"."t" WHERE "id" = 1"#),
        (
            Delete,
            "DELETE FROM \"s\".\"t\" WHERE \"id\" = 'a\n\\! rm';",
        ),
        (
            Delete,
            "DELETE FROM \"s\".\"t\" WHERE \"id\" = 1;\n\\! rm -rf /",
        ),
        (Delete, "DELETE FROM \"s\".\"t\"\nWHERE \"id\" = 1;"),
        (Delete, r#"DELETE FROM "s"."t" WHERE "id" = 1 -- ;"#),
        (Delete, r#"DELETE FROM "s"."t" WHERE "id" = /* */ 1;"#),
        (Delete, r#"DELETE FROM "s"."t" WHERE "id" = pg_sleep(10);"#),
        (
            Delete,
            r#"DELETE FROM "s"."t" WHERE "id" = "pg_sleep"(10);"#,
        ),
        (Delete, r#"DELETE FROM "s"."t" WHERE "id" = dblink.f(10);"#),
        (Delete, r#"DELETE FROM "s"."t" WHERE "id" = (SELECT 1);"#),
        (
            Delete,
            r#"DELETE FROM "s"."t" WHERE "id" = E'\';DROP TABLE x;--';"#,
        ),
        (Delete, r#"DELETE FROM "s"."t" WHERE "id" = E'\x0';"#),
        (Delete, r#"DELETE FROM "s"."t" WHERE "id" = e'a';"#),
        (Delete, r#"DELETE FROM "s"."t" WHERE NOT ("id" = 1);"#),
        (Delete, r#"DELETE FROM "s"."t" WHERE "id" = $$a$$;"#),
        (Delete, r#"DELETE FROM "s"."t" WHERE "id" = $1;"#),
        (Delete, r#"DELETE FROM "s"."t" WHERE "id" = 'a' 'b';"#),
        (Delete, r#"DELETE FROM "s"."t" WHERE "id" = :x;"#),
        (Update, r#"DELETE FROM "s"."t" WHERE "id" = 1;"#),
        (Delete, r#"UPDATE "s"."t" SET "a" = 1 WHERE "id" = 1;"#),
        (Update, r#"UPDATE "s"."t" SET "a" = "b" WHERE "id" = 1;"#),
        (
            Update,
            r#"UPDATE "s"."t" SET "a" = (SELECT 1) WHERE "id" = 1;"#,
        ),
        (Update, r#"UPDATE "s"."t" SET "a" = 1;"#),
        (
            Update,
            r#"UPDATE "s"."t" SET "a" = 1 FROM "s"."u" WHERE "id" = 1;"#,
        ),
        (
            Insert,
            r#"INSERT INTO "s"."t" ("id") SELECT "id" FROM "s"."u";"#,
        ),
        (Insert, r#"INSERT INTO "s"."t" ("id") SELECT 1, 2;"#),
        (Insert, r#"INSERT INTO "s"."t" ("id") SELECT 1;"#),
        (Insert, r#"INSERT INTO "s"."t" ("id") VALUES (1);"#),
        (
            Insert,
            r#"INSERT INTO "s"."t" ("id") SELECT 1 WHERE "id" = 1;"#,
        ),
        (
            Insert,
            r#"INSERT INTO "s"."t" ("id") SELECT 1 WHERE NOT EXISTS (SELECT pg_sleep(1) FROM "s"."t" WHERE "id" = 1);"#,
        ),
        (
            Insert,
            r#"INSERT INTO "s"."t" ("id") SELECT 1 UNION SELECT 2;"#,
        ),
        (Insert, r#"COPY "s"."t" FROM PROGRAM 'rm';"#),
        (Insert, ""),
        (Insert, r#"INSERT INTO "s"."t" ("id") SELECT 'x"#),
    ] {
        assert!(check(Postgres, action, sql).is_err(), "{sql}");
    }
    for (action, sql) in [
        (
            Delete,
            "DELETE FROM [s].[t] WHERE [id] = 1 EXEC xp_cmdshell 'x';",
        ),
        (
            Delete,
            "DELETE FROM [s].[t] WHERE [id] = N'a\nGO\nDROP TABLE x';",
        ),
        (Delete, "DELETE FROM [s].[t] WHERE [id\nGO\n] = 1;"),
        (Delete, "DELETE FROM [s].[t] WHERE [id] = @@SPID;"),
        (
            Delete,
            "DELETE FROM [s].[t] WHERE [id] = OPENQUERY(x, 'y');",
        ),
        (Delete, "DELETE TOP (2) FROM [s].[t] WHERE [id] = 1;"),
        (
            Delete,
            "DELETE FROM [s].[t] OUTPUT deleted.* WHERE [id] = 1;",
        ),
        (Delete, "DELETE FROM [s].[t] WHERE [id] = 0xGG;"),
        (
            Delete,
            "DELETE FROM [s].[t] WHERE [id] = 1 OPTION (RECOMPILE);",
        ),
    ] {
        assert!(check(SqlServer, action, sql).is_err(), "{sql}");
    }
    let deep = format!(
        r#"DELETE FROM "s"."t" WHERE "id" = {}1{};"#,
        "(".repeat(100_000),
        ")".repeat(100_000)
    );
    assert!(check(Postgres, Delete, &deep).is_err());
}

#[test]
fn the_columns_that_a_statement_names_are_collected() {
    let sql = r#"UPDATE "s"."t" SET "a" = 1 WHERE "b" = 2 AND NOT EXISTS (SELECT 1 FROM "o"."c" AS d WHERE d."up" = "s"."t"."k") AND (SELECT count(*) FROM "s"."t" WHERE "n" = 3) = 1;"#;
    let mut names = ColumnNames::default();
    let form = GuardedForm::new(Postgres, "s", "t");
    form.collect(Update, sql, &mut names).unwrap();
    let own: Vec<&str> = names.own.iter().map(String::as_str).collect();
    assert_eq!(own, ["a", "b", "k", "n"]);
    let of_guards: Vec<_> = names.of_guards.into_iter().collect();
    let child = ("o".to_owned(), "c".to_owned());
    assert_eq!(of_guards, [(child, ["up".to_owned()].into())]);
    let other = sql.replace(r#"d."up""#, r#"e."up""#);
    assert!(check(Postgres, Update, &other).is_err());
}

#[test]
fn an_error_names_the_place_and_quotes_no_value() {
    let sql = r#"DELETE FROM "s"."t" WHERE "id" = 'secret' OR 1 = 1;"#;
    let error = check(Postgres, Delete, sql).unwrap_err().to_string();
    assert_eq!(error, "something else than `;`, at byte 44");
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "[a-c0-9 ()='\"\\[\\];@$,.<>*/+-]{0,40}|\\PC{0,20}") {
        for kind in [Postgres, SqlServer] {
            for action in [Delete, Update, Insert] {
                prop_assert!(check(kind, action, &text).is_err());
            }
        }
    }

    /// What is put between the tokens of a statement, or ends its literal, never passes.
    #[test]
    fn a_statement_with_an_addition_is_refused(at in 0_usize..200, how in 0_usize..6) {
        let sql = r#"UPDATE "s"."t" SET "note" = 'it''s' WHERE "id" = 7 AND "note" = 'a b';"#;
        let addition = ["; DROP TABLE x;", "' OR 1 = 1 --", "\n\\! rm", " OR TRUE ", "/**/", "' || f() || '"][how];
        let at = at % (sql.len() + 1);
        let mut edited = sql.to_owned();
        edited.insert_str(at, addition);
        // A part of a name or of a text stays one.
        let quotes = |mark| sql[..at].matches(mark).count() % 2;
        let has_quote = addition.contains('\'');
        prop_assume!(quotes('"') == 0 && (has_quote || quotes('\'') == 0));
        // `''` is a quote within the text.
        let is_by_quote = sql[at..].starts_with('\'') || sql[..at].ends_with('\'');
        prop_assume!(!(has_quote && is_by_quote));
        prop_assert!(check(Postgres, Update, &edited).is_err(), "{}", edited);
    }
}
