//! Which rows of a table take part: the user's condition, checked before it is
//! sent, and the mark of rows that are deleted though they are there.

pub(crate) mod functions;
pub(crate) mod lexical;

use shared::endpoint::DatabaseKind;
use shared::failure::{Failure, FailureKind};
use shared::options::SoftDelete;
use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

use crate::engine::database::dialect::Dialect;
use crate::engine::database::kinds::database;
use crate::engine::plan::names::existing;
use crate::engine::values::column::{Column, ColumnType, Table};

/// The longest condition that is looked at, in bytes.
const LONGEST: usize = 64 * 1024;

/// Why a condition cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(String);

/// Checks that `text` is exactly one boolean expression in the SQL of `kind`.
/// Returns the condition, to be put in parentheses.
///
/// # Errors
///
/// When it is not: it does not parse, goes on, could leave its parentheses,
/// holds comments, statement separators or parameters, calls a function that is not
/// listed, or has no truth value.
pub fn validate(kind: DatabaseKind, text: &str) -> Result<&str, FilterError> {
    let refused = |why: String| Err(FilterError(why));
    let condition = text.trim();
    if condition.is_empty() {
        return refused("the condition is empty; leave `where` out to compare all rows".to_owned());
    }
    let shown = condition.chars().take(200).collect::<String>();
    let forbidden = |what: &str| {
        FilterError(format!(
            "`{shown}` contains {what}, which has no place in a condition; leave it out"
        ))
    };
    if condition.len() > LONGEST {
        return Err(forbidden("more than 64 KiB"));
    }
    if condition.contains('\0') {
        return Err(forbidden("a NUL character"));
    }
    // The parser reads many dialects, and not each as its database does.
    let dialect = database(kind);
    lexical::check(dialect, condition).map_err(&forbidden)?;
    functions::check(dialect, condition).map_err(|what| {
        FilterError(format!(
            "`{shown}` contains {what}; a condition calls only the functions that docs/types.md lists under \"Which rows are compared\", and `reconcile types --markdown` prints; compare a view that calls others"
        ))
    })?;
    let parser_rules = dialect.parser();
    let syntax = |reason: &dyn std::fmt::Display| {
        FilterError(format!(
            "`{shown}` is not a condition in {kind}'s SQL: {reason}"
        ))
    };
    let tokens = Tokenizer::new(&*parser_rules, condition)
        .tokenize()
        .map_err(|error| syntax(&error))?;
    for token in &tokens {
        match token {
            Token::Whitespace(
                Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_),
            ) => {
                return Err(forbidden("a comment"));
            }
            Token::SemiColon => return Err(forbidden("`;`")),
            Token::Placeholder(name) => return Err(forbidden(&format!("the parameter `{name}`"))),
            // The statements have parameters of their own.
            Token::Word(word)
                if word.quote_style.is_none()
                    && word.value.starts_with('@')
                    && !word.value.starts_with("@@") =>
            {
                return Err(forbidden(&format!("the variable `{}`", word.value)));
            }
            _ => {}
        }
    }
    let mut parser = Parser::new(&*parser_rules).with_tokens(tokens);
    let expression = parser.parse_expr().map_err(|error| syntax(&error))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return refused(format!(
            "`{shown}` goes on after its condition, at `{}`; write one expression that is true for the rows to compare, without WHERE, ORDER BY or `;`",
            rest.token
        ));
    }
    if !is_condition(&expression, dialect.facts().has_boolean_expressions) {
        return refused(format!(
            "`{shown}` is a value and not a condition; compare it with something, as in `{shown} = 1`"
        ));
    }
    Ok(condition)
}

/// Whether an expression may be true or false. With `has_booleans`, so may a
/// column or a function; only the database knows its type.
fn is_condition(expression: &Expr, has_booleans: bool) -> bool {
    match expression {
        Expr::Nested(inner) => is_condition(inner, has_booleans),
        Expr::UnaryOp { op, expr } => *op == UnaryOperator::Not && is_condition(expr, has_booleans),
        Expr::BinaryOp { left, op, right } => match op {
            BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor => {
                is_condition(left, has_booleans) && is_condition(right, has_booleans)
            }
            BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo
            | BinaryOperator::StringConcat
            | BinaryOperator::BitwiseAnd
            | BinaryOperator::BitwiseOr
            | BinaryOperator::BitwiseXor => false,
            _ => true,
        },
        Expr::Value(value) => has_booleans && matches!(value.value, Value::Boolean(_)),
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Function(_)
        | Expr::Cast { .. }
        | Expr::Case { .. } => has_booleans,
        Expr::Array(_) | Expr::Tuple(_) | Expr::Interval(_) | Expr::Subquery(_) => false,
        _ => true,
    }
}

/// What rows of a side must meet to take part, in its database's SQL: the
/// condition of the user and, of the target, not to be marked as deleted.
/// `None`: all take part.
///
/// # Errors
///
/// `InvalidFilter` when the condition cannot be sent, `ColumnNotFound` when
/// there is no column with the mark, `InvalidRule` when it is not known which
/// value of it marks a row.
pub(crate) fn condition(
    kind: DatabaseKind,
    table: &Table,
    filter: Option<&str>,
    mark: Option<&SoftDelete>,
) -> Result<Option<String>, Failure> {
    let filter = filter
        .map(|text| validate(kind, text))
        .transpose()
        .map_err(|error| Failure::new(FailureKind::InvalidFilter, format!("where: {error}")))?;
    let mark = mark
        .map(|mark| {
            let column = existing(table, &mark.column, "soft_delete")?;
            not_deleted(database(kind), column, mark).ok_or_else(|| {
                Failure::new(
                    FailureKind::InvalidRule,
                    format!(
                        "soft_delete: column `{}` is {}, which has no usual mark; say which value marks a deleted row: soft_delete = {{ column = \"{}\", value = \"…\" }}",
                        column.name, column.declared, column.name
                    ),
                )
            })
        })
        .transpose()?;
    Ok(match (filter, mark) {
        (None, None) => None,
        (Some(filter), None) => Some(filter.to_owned()),
        (None, Some(mark)) => Some(mark),
        (Some(filter), Some(mark)) => Some(format!("({filter}) AND {mark}")),
    })
}

/// The condition that holds for rows that are not marked as deleted; `None`:
/// the column's type has no usual mark, so that `value` must be given.
pub(crate) fn not_deleted(
    dialect: &dyn Dialect,
    column: &Column,
    mark: &SoftDelete,
) -> Option<String> {
    if let Some(value) = &mark.value {
        return Some(dialect.differs(column, value));
    }
    Some(match column.kind {
        ColumnType::Bool | ColumnType::Int => dialect.differs(column, "1"),
        ColumnType::Text { .. } => dialect.differs(column, "true"),
        _ if column.kind.is_time() => format!("{} IS NULL", dialect.identifier(&column.name)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [DatabaseKind; 2] = [DatabaseKind::Postgres, DatabaseKind::SqlServer];

    #[test]
    fn conditions_pass_as_they_are() {
        for engine in BOTH {
            for text in [
                "id > 10",
                "  (a = 1 OR b IS NULL) AND NOT c LIKE 'x%;--' ",
                "created >= '2020-01-01' AND created < '2021-01-01'",
                "id IN (SELECT id FROM other WHERE flag = 1)",
                "EXISTS (SELECT 1 FROM other)",
                "name = 'O''Brien'",
                "a BETWEEN 1 AND 2",
                "lower(name) <> 'x'",
                "CASE WHEN a = 1 THEN 2 ELSE 3 END = 2",
            ] {
                assert_eq!(validate(engine, text), Ok(text.trim()));
            }
        }
        for text in [
            "active",
            "true",
            "NOT active",
            "a ->> 'x' = 'y'",
            "a @> '{1}'",
            "name ~ '^x'",
            "a::boolean",
        ] {
            assert!(
                validate(DatabaseKind::Postgres, text).is_ok(),
                "{text}: {:?}",
                validate(DatabaseKind::Postgres, text)
            );
        }
        for text in [
            "[my col] = 1",
            "\"a b\" = N'x'",
            "a % 2 = 1",
            "YEAR(d) = 2020",
        ] {
            assert!(
                validate(DatabaseKind::SqlServer, text).is_ok(),
                "{text}: {:?}",
                validate(DatabaseKind::SqlServer, text)
            );
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for engine in BOTH {
            for text in [
                "",
                " ",
                "1",
                "'x'",
                "a + 1",
                "a = 1; DROP TABLE t",
                "a = 1 -- x",
                "a = 1 /* x */",
                "1 = 1) OR (1 = 1",
                "(a = 1",
                "a = 'x",
                "a =",
                "WHERE a = 1",
                "a = 1 ORDER BY a",
                "a = 1 UNION SELECT 1",
                "SELECT 1",
                "a = 1, b = 2",
                "a = 1 b",
                "a = 1\0",
                "(SELECT 1)",
                "1 AND a",
                "DELETE FROM t",
                "a = 1 GO",
                "a = 1 AND",
                "1 = 1 LIMIT 1",
                "a = 1 FOR UPDATE",
            ] {
                assert!(validate(engine, text).is_err(), "{text:?} on {engine:?}");
            }
        }
        assert!(validate(DatabaseKind::Postgres, "a = $1").is_err());
        // In PostgreSQL's SQL the same is an absolute value.
        assert!(validate(DatabaseKind::SqlServer, "a = @P1").is_err());
        assert!(validate(DatabaseKind::SqlServer, "active").is_err());
        // What a parser of many dialects takes for one expression.
        let text = r"EXISTS (SELECT x'\' FROM (SELECT 1 AS x) AS q)) DELETE FROM dbo.t --')";
        assert!(validate(DatabaseKind::SqlServer, text).is_err(), "{text}");
        for text in [
            "id %-- '\n 2 = 0) UNION ALL SELECT 1 -- '",
            "id ||-- '\n 'a' = 'a') UNION ALL SELECT 1 -- '",
            "id </* ' */ 1) UNION ALL SELECT 1 -- '",
        ] {
            assert!(validate(DatabaseKind::Postgres, text).is_err(), "{text}");
        }
        let deep = format!("{}a = 1{}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(validate(DatabaseKind::Postgres, &deep).is_err());
    }

    #[test]
    fn errors_say_what_to_do() {
        let message = |text| {
            validate(DatabaseKind::Postgres, text)
                .unwrap_err()
                .to_string()
        };
        assert!(
            message("a = 1 ORDER BY a").contains("`ORDER`"),
            "{}",
            message("a = 1 ORDER BY a")
        );
        assert!(message("a + 1").contains("`a + 1 = 1`"));
        assert!(message("a = 1 -- x").contains("a comment"));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[a-c0-9 ()='\"\\[\\];@$,.<>*/+-]{0,40}|\\PC{0,20}") {
            for engine in BOTH {
                if let Ok(filter) = validate(engine, &text) {
                    proptest::prop_assert_eq!(filter, text.trim());
                }
            }
        }
    }

    fn column(kind: ColumnType, declared: &str) -> Column {
        Column::new("d", kind, declared)
    }

    #[test]
    fn a_mark_is_what_the_type_usually_has() {
        let mark = |value: Option<&str>| SoftDelete {
            column: "d".to_owned(),
            value: value.map(str::to_owned),
        };
        let text = || column(ColumnType::Text { padded: false }, "varchar(5)");
        for (engine, column, value, sql) in [
            (
                DatabaseKind::Postgres,
                column(ColumnType::Bool, "boolean"),
                None,
                Some("\"d\" IS DISTINCT FROM '1'::boolean"),
            ),
            (
                DatabaseKind::SqlServer,
                column(ColumnType::Bool, "bit"),
                None,
                Some("([d] IS NULL OR [d] <> CAST(N'1' AS bit))"),
            ),
            (
                DatabaseKind::Postgres,
                text(),
                None,
                Some("\"d\"::text IS DISTINCT FROM 'true'"),
            ),
            (
                DatabaseKind::SqlServer,
                text(),
                Some("o'k"),
                Some("([d] IS NULL OR [d] <> N'o''k')"),
            ),
            (
                DatabaseKind::Postgres,
                column(ColumnType::Instant(6), "timestamptz"),
                None,
                Some("\"d\" IS NULL"),
            ),
            (
                DatabaseKind::Postgres,
                column(ColumnType::Decimal, "numeric"),
                None,
                None,
            ),
            (
                DatabaseKind::Postgres,
                column(ColumnType::Decimal, "numeric"),
                Some("2"),
                Some("\"d\" IS DISTINCT FROM '2'::numeric"),
            ),
        ] {
            assert_eq!(
                not_deleted(database(engine), &column, &mark(value)).as_deref(),
                sql
            );
        }
    }
}
