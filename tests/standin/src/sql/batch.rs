//! Splits a batch into its statements.

use std::time::Duration;

use sqlparser::ast::{Expr, ObjectName, Statement, Value};
use sqlparser::dialect::MsSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, Tokenizer, Word};

use super::rewrite::{TOP_1_MARK, rewrite};
use crate::error::SqlError;

/// The limit on the nesting of expressions.
const DEPTH: usize = 200;

/// One statement of a batch.
#[derive(Debug)]
pub(crate) enum Command {
    Sql(Box<Statement>),
    Begin,
    Commit,
    Rollback,
    Use(String),
    Wait(Duration),
    Isolation(Isolation),
    /// In milliseconds; -1 waits without a limit.
    LockTimeout(i64),
    NoCount(bool),
    IdentityInsert(bool),
    /// Enables or disables the check of a foreign key.
    CheckConstraint {
        table: ObjectName,
        name: String,
        checked: bool,
    },
    Print(String),
    /// Hexadecimal digits.
    ContextInfo(String),
    /// A SET option that is accepted without an effect.
    Ignored,
}

/// The supported isolation levels. READ UNCOMMITTED is READ COMMITTED.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    ReadCommitted,
    RepeatableRead,
    Serializable,
    Snapshot,
}

/// Splits a batch into statements. Semicolons between them are optional.
///
/// # Errors
/// 102 at the first unsupported token, 148 for a malformed delay.
pub(crate) fn parse(text: &str) -> Result<Vec<Command>, SqlError> {
    let dialect = MsSqlDialect {};
    let tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|error| SqlError::unsupported(error.message))?;
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(DEPTH)
        .with_tokens_with_locations(rewrite(tokens));
    let mut commands = Vec::new();
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        if parser.peek_token_ref().token == Token::EOF {
            return Ok(commands);
        }
        commands.push(parse_command(&mut parser)?);
    }
}

/// The next token in upper case, if it is a word without quotes; else an empty text.
fn peek_word(parser: &Parser) -> String {
    match &parser.peek_token_ref().token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    }
}

/// Consumes the next word if it is the expected one.
fn consume_word(parser: &mut Parser, expected: &str) -> bool {
    let found = peek_word(parser) == expected;
    if found {
        parser.next_token();
    }
    found
}

fn parse_command(parser: &mut Parser) -> Result<Command, SqlError> {
    let [_, second] = parser.peek_tokens_ref::<2>();
    let followed_by_transaction = matches!(&second.token, Token::Word(word)
        if word.value.eq_ignore_ascii_case("TRAN")
            || word.value.eq_ignore_ascii_case("TRANSACTION"));
    match peek_word(parser).as_str() {
        "SET" => {
            parser.next_token();
            parse_set(parser)
        }
        "USE" => {
            parser.next_token();
            let name = parser.parse_identifier().map_err(SqlError::unsupported)?;
            Ok(Command::Use(name.value))
        }
        "WAITFOR" => {
            parser.next_token();
            if !consume_word(parser, "DELAY") {
                return Err(SqlError::unsupported("WAITFOR"));
            }
            let Token::SingleQuotedString(delay) = parser.next_token().token else {
                return Err(SqlError::unsupported("DELAY"));
            };
            parse_delay(&delay).map(Command::Wait)
        }
        "BEGIN" if followed_by_transaction => {
            skip_transaction(parser);
            Ok(Command::Begin)
        }
        "COMMIT" => {
            skip_transaction(parser);
            Ok(Command::Commit)
        }
        "ROLLBACK" => {
            skip_transaction(parser);
            Ok(Command::Rollback)
        }
        "PRINT" => {
            parser.next_token();
            match parser.next_token().token {
                Token::SingleQuotedString(text) | Token::NationalStringLiteral(text) => {
                    Ok(Command::Print(text))
                }
                other => Err(SqlError::unsupported(other)),
            }
        }
        TOP_1_MARK => {
            parser.next_token();
            let mut statement = parser.parse_statement().map_err(SqlError::unsupported)?;
            let one = Some(Expr::value(Value::Number("1".to_owned(), false)));
            match &mut statement {
                Statement::Update(update) => update.limit = one,
                Statement::Delete(delete) => delete.limit = one,
                other => return Err(SqlError::unsupported(other)),
            }
            Ok(Command::Sql(Box::new(statement)))
        }
        first => {
            if first == "ALTER"
                && let Some(command) = parser
                    .maybe_parse(parse_check_constraint)
                    .map_err(SqlError::unsupported)?
            {
                return Ok(command);
            }
            let statement = parser.parse_statement().map_err(SqlError::unsupported)?;
            Ok(Command::Sql(Box::new(statement)))
        }
    }
}

/// `ALTER TABLE t NOCHECK CONSTRAINT c` and `ALTER TABLE t WITH CHECK CHECK CONSTRAINT c`.
fn parse_check_constraint(parser: &mut Parser) -> Result<Command, ParserError> {
    let expect = |parser: &mut Parser, expected: &str| {
        if consume_word(parser, expected) {
            Ok(())
        } else {
            parser.expected_ref(expected, parser.peek_token_ref())
        }
    };
    expect(parser, "ALTER")?;
    expect(parser, "TABLE")?;
    let table = parser.parse_object_name(false)?;
    let checked = !consume_word(parser, "NOCHECK");
    if checked {
        expect(parser, "WITH")?;
        expect(parser, "CHECK")?;
        expect(parser, "CHECK")?;
    }
    expect(parser, "CONSTRAINT")?;
    let name = parser.parse_identifier()?.value;
    Ok(Command::CheckConstraint {
        table,
        name,
        checked,
    })
}

/// Skips the words of `BEGIN TRAN [name]`, `COMMIT` or `ROLLBACK`. Transaction names are ignored.
fn skip_transaction(parser: &mut Parser) {
    parser.next_token();
    for optional in ["TRANSACTION", "TRAN", "WORK"] {
        if consume_word(parser, optional) {
            break;
        }
    }
    if let Token::Word(Word {
        keyword: Keyword::NoKeyword,
        ..
    }) = parser.peek_token_ref().token
    {
        parser.next_token();
    }
}

fn parse_set(parser: &mut Parser) -> Result<Command, SqlError> {
    let option = peek_word(parser);
    parser.next_token();
    match option.as_str() {
        "TRANSACTION" => parse_isolation(parser).map(Command::Isolation),
        "LOCK_TIMEOUT" => {
            let negative = parser.consume_token(&Token::Minus);
            match parser.next_token().token {
                Token::Number(digits, _) => {
                    let value: i64 = digits.parse().map_err(SqlError::unsupported)?;
                    Ok(Command::LockTimeout(if negative { -value } else { value }))
                }
                other => Err(SqlError::unsupported(other)),
            }
        }
        "IDENTITY_INSERT" => {
            parser
                .parse_object_name(false)
                .map_err(SqlError::unsupported)?;
            parse_on_off(parser).map(Command::IdentityInsert)
        }
        "TEXTSIZE"
        | "ROWCOUNT"
        | "DATEFIRST"
        | "QUERY_GOVERNOR_COST_LIMIT"
        | "DEADLOCK_PRIORITY"
        | "LANGUAGE"
        | "DATEFORMAT" => {
            if parser.next_token().token == Token::Minus {
                parser.next_token();
            }
            Ok(Command::Ignored)
        }
        "CONTEXT_INFO" => match parser.next_token().token {
            Token::HexStringLiteral(digits) => Ok(Command::ContextInfo(digits)),
            other => Err(SqlError::unsupported(other)),
        },
        "NOCOUNT" => parse_on_off(parser).map(Command::NoCount),
        "XACT_ABORT"
        | "ANSI_NULLS"
        | "ANSI_PADDING"
        | "ANSI_WARNINGS"
        | "ANSI_DEFAULTS"
        | "ANSI_NULL_DFLT_ON"
        | "ANSI_NULL_DFLT_OFF"
        | "ARITHABORT"
        | "ARITHIGNORE"
        | "CONCAT_NULL_YIELDS_NULL"
        | "CURSOR_CLOSE_ON_COMMIT"
        | "FMTONLY"
        | "FORCEPLAN"
        | "IMPLICIT_TRANSACTIONS"
        | "NOEXEC"
        | "NUMERIC_ROUNDABORT"
        | "PARSEONLY"
        | "QUOTED_IDENTIFIER"
        | "NO_BROWSETABLE"
        | "REMOTE_PROC_TRANSACTIONS" => {
            // Several options may be set in one statement.
            while parser.consume_token(&Token::Comma) {
                parser.next_token();
            }
            parse_on_off(parser).map(|_| Command::Ignored)
        }
        other => Err(SqlError::unsupported(format!("SET {other}"))),
    }
}

/// `ISOLATION LEVEL` and the level.
fn parse_isolation(parser: &mut Parser) -> Result<Isolation, SqlError> {
    if !(consume_word(parser, "ISOLATION") && consume_word(parser, "LEVEL")) {
        return Err(SqlError::unsupported("TRANSACTION"));
    }
    let level = peek_word(parser);
    parser.next_token();
    match level.as_str() {
        "READ" if consume_word(parser, "COMMITTED") || consume_word(parser, "UNCOMMITTED") => {
            Ok(Isolation::ReadCommitted)
        }
        "REPEATABLE" if consume_word(parser, "READ") => Ok(Isolation::RepeatableRead),
        "SERIALIZABLE" => Ok(Isolation::Serializable),
        "SNAPSHOT" => Ok(Isolation::Snapshot),
        other => Err(SqlError::unsupported(other)),
    }
}

fn parse_on_off(parser: &mut Parser) -> Result<bool, SqlError> {
    if consume_word(parser, "ON") {
        Ok(true)
    } else if consume_word(parser, "OFF") {
        Ok(false)
    } else {
        Err(SqlError::unsupported(parser.peek_token_ref()))
    }
}

fn parse_delay(text: &str) -> Result<Duration, SqlError> {
    let invalid = || {
        SqlError::new(
            148,
            format!("Incorrect time syntax in time string '{text}' used with WAITFOR."),
        )
    };
    let mut seconds = 0.0;
    let mut parts = 0;
    for part in text.trim().split(':') {
        let value: f64 = part
            .parse()
            .ok()
            .filter(|v| *v >= 0.0)
            .ok_or_else(invalid)?;
        seconds = seconds * 60.0 + value;
        parts += 1;
    }
    match parts {
        2 => Duration::try_from_secs_f64(seconds * 60.0).map_err(|_| invalid()),
        3 => Duration::try_from_secs_f64(seconds).map_err(|_| invalid()),
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_need_no_semicolon() {
        let commands = parse(
            "SET NOCOUNT ON SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRAN\n\
             SELECT 1 AS a -- one\n COMMIT WAITFOR DELAY '00:00:01.5' USE [x]",
        )
        .unwrap();
        assert!(
            matches!(
                commands.as_slice(),
                [
                    Command::NoCount(true),
                    Command::Isolation(Isolation::Snapshot),
                    Command::Begin,
                    Command::Sql(_),
                    Command::Commit,
                    Command::Wait(delay),
                    Command::Use(name),
                ] if *delay == Duration::from_millis(1500) && name == "x"
            ),
            "{commands:?}"
        );
    }

    #[test]
    fn what_is_not_understood_is_error_102() {
        for text in ["SELEC 1", "SET NONSENSE ON", "EXEC sp_who", "SELECT 'open"] {
            let outcome = parse(text);
            let not_statement = matches!(outcome.as_deref(), Ok([Command::Sql(_)]));
            assert!(
                not_statement || outcome.as_ref().is_err_and(|error| error.number == 102),
                "{text}: {outcome:?}"
            );
        }
    }

    #[test]
    fn a_computed_column_parses() {
        let commands =
            parse("CREATE TABLE t (a int, b AS (a * (2)) PERSISTED, c AS (a + 1)) SELECT 1")
                .unwrap();
        assert_eq!(commands.len(), 2, "{commands:?}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_batch_or_an_error(
            words in proptest::collection::vec(
                proptest::sample::select(vec![
                    "SELECT", "CREATE", "TABLE", "t", "(", ")", "AS", ",", "*", "'", "''", "[", "]", "\"", "1",
                    "0x", ";", "BEGIN", "TRAN", "SET", "WAITFOR", "DELAY", "'99:99:99'", "'1e400:0:0'", "--",
                    "/*", "é", "@p", "PERSISTED", "LOCK_TIMEOUT", "-", "9999999999999999999999", "USE", "PRINT",
                ]),
                0..25,
            )
        ) {
            let text = words.join(" ");
            if let Err(error) = parse(&text) {
                assert!([102, 148].contains(&error.number), "{text}: {error}");
            }
        }
    }
}
