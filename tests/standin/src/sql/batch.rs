//! A batch is cut into its statements.

use std::time::Duration;

use sqlparser::ast::{Expr, ObjectName, Statement, Value};
use sqlparser::dialect::MsSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Word};

use crate::error::SqlError;

/// How deep expressions may nest.
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
    /// Milliseconds; -1 waits without end.
    LockTimeout(i64),
    NoCount(bool),
    IdentityInsert(bool),
    /// Whether a foreign key is checked.
    CheckConstraint {
        table: ObjectName,
        name: String,
        checked: bool,
    },
    Print(String),
    /// A SET option that changes nothing here.
    Accepted,
}

/// The isolation levels that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    ReadCommitted,
    RepeatableRead,
    Serializable,
    Snapshot,
}

/// Cuts a batch into statements, which need not be separated by semicolons.
///
/// # Errors
/// 102 at the first thing that is not understood.
pub(crate) fn parse(text: &str) -> Result<Vec<Command>, SqlError> {
    let dialect = MsSqlDialect {};
    let tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|error| SqlError::unsupported(error.message))?;
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(DEPTH)
        .with_tokens_with_locations(with_computed_types(with_one_row(tokens)));
    let mut commands = Vec::new();
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        if parser.peek_token_ref().token == Token::EOF {
            return Ok(commands);
        }
        commands.push(next(&mut parser)?);
    }
}

fn syntax(error: impl std::fmt::Display) -> SqlError {
    SqlError::unsupported(error)
}

fn word(parser: &Parser) -> String {
    match &parser.peek_token_ref().token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    }
}

/// Takes the next word when it is this one.
fn take(parser: &mut Parser, expected: &str) -> bool {
    let found = word(parser) == expected;
    if found {
        parser.next_token();
    }
    found
}

fn next(parser: &mut Parser) -> Result<Command, SqlError> {
    let [first, second] = parser.peek_tokens_ref::<2>();
    let is_transaction = |token: &Token| {
        matches!(token, Token::Word(word)
            if word.value.eq_ignore_ascii_case("TRAN") || word.value.eq_ignore_ascii_case("TRANSACTION"))
    };
    let followed_by_transaction = is_transaction(&second.token);
    let first = match &first.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    match first.as_str() {
        "SET" => {
            parser.next_token();
            set(parser)
        }
        "USE" => {
            parser.next_token();
            let name = parser.parse_identifier().map_err(syntax)?;
            Ok(Command::Use(name.value))
        }
        "WAITFOR" => {
            parser.next_token();
            if !take(parser, "DELAY") {
                return Err(syntax("WAITFOR"));
            }
            let Token::SingleQuotedString(delay) = parser.next_token().token else {
                return Err(syntax("DELAY"));
            };
            delay_of(&delay).map(Command::Wait)
        }
        "BEGIN" if followed_by_transaction => {
            transaction(parser);
            Ok(Command::Begin)
        }
        "COMMIT" => {
            transaction(parser);
            Ok(Command::Commit)
        }
        "ROLLBACK" => {
            transaction(parser);
            Ok(Command::Rollback)
        }
        "PRINT" => {
            parser.next_token();
            match parser.next_token().token {
                Token::SingleQuotedString(text) | Token::NationalStringLiteral(text) => {
                    Ok(Command::Print(text))
                }
                other => Err(syntax(other)),
            }
        }
        ONE_ROW => {
            parser.next_token();
            let mut statement = parser.parse_statement().map_err(syntax)?;
            let one = Some(Expr::value(Value::Number("1".to_owned(), false)));
            match &mut statement {
                Statement::Update(update) => update.limit = one,
                Statement::Delete(delete) => delete.limit = one,
                other => return Err(syntax(other)),
            }
            Ok(Command::Sql(Box::new(statement)))
        }
        "ALTER" => match parser.maybe_parse(check_constraint).map_err(syntax)? {
            Some(command) => Ok(command),
            None => parser
                .parse_statement()
                .map(|statement| Command::Sql(Box::new(statement)))
                .map_err(syntax),
        },
        _ => parser
            .parse_statement()
            .map(|statement| Command::Sql(Box::new(statement)))
            .map_err(syntax),
    }
}

/// `ALTER TABLE t NOCHECK CONSTRAINT c` and `ALTER TABLE t WITH CHECK CHECK CONSTRAINT c`.
fn check_constraint(parser: &mut Parser) -> Result<Command, ParserError> {
    let expect = |parser: &mut Parser, expected: &str| {
        if take(parser, expected) {
            Ok(())
        } else {
            parser.expected_ref(expected, parser.peek_token_ref())
        }
    };
    expect(parser, "ALTER")?;
    expect(parser, "TABLE")?;
    let table = parser.parse_object_name(false)?;
    let checked = !take(parser, "NOCHECK");
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

/// Skips `BEGIN TRAN [name]` and the like; names of transactions mean nothing here.
fn transaction(parser: &mut Parser) {
    parser.next_token();
    for optional in ["TRANSACTION", "TRAN", "WORK"] {
        if take(parser, optional) {
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

fn set(parser: &mut Parser) -> Result<Command, SqlError> {
    let option = word(parser);
    parser.next_token();
    match option.as_str() {
        "TRANSACTION" => {
            if !(take(parser, "ISOLATION") && take(parser, "LEVEL")) {
                return Err(syntax("TRANSACTION"));
            }
            let level = word(parser);
            parser.next_token();
            let isolation = match level.as_str() {
                "READ" if take(parser, "COMMITTED") || take(parser, "UNCOMMITTED") => {
                    Isolation::ReadCommitted
                }
                "REPEATABLE" if take(parser, "READ") => Isolation::RepeatableRead,
                "SERIALIZABLE" => Isolation::Serializable,
                "SNAPSHOT" => Isolation::Snapshot,
                other => return Err(syntax(other)),
            };
            Ok(Command::Isolation(isolation))
        }
        "LOCK_TIMEOUT" => {
            let negative = parser.consume_token(&Token::Minus);
            match parser.next_token().token {
                Token::Number(digits, _) => {
                    let value: i64 = digits.parse().map_err(syntax)?;
                    Ok(Command::LockTimeout(if negative { -value } else { value }))
                }
                other => Err(syntax(other)),
            }
        }
        "IDENTITY_INSERT" => {
            parser.parse_object_name(false).map_err(syntax)?;
            on_or_off(parser).map(Command::IdentityInsert)
        }
        "TEXTSIZE"
        | "ROWCOUNT"
        | "DATEFIRST"
        | "QUERY_GOVERNOR_COST_LIMIT"
        | "DEADLOCK_PRIORITY"
        | "LANGUAGE"
        | "DATEFORMAT"
        | "CONTEXT_INFO" => {
            if parser.next_token().token == Token::Minus {
                parser.next_token();
            }
            Ok(Command::Accepted)
        }
        "NOCOUNT" => on_or_off(parser).map(Command::NoCount),
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
            on_or_off(parser).map(|_| Command::Accepted)
        }
        other => Err(syntax(format!("SET {other}"))),
    }
}

fn on_or_off(parser: &mut Parser) -> Result<bool, SqlError> {
    if take(parser, "ON") {
        Ok(true)
    } else if take(parser, "OFF") {
        Ok(false)
    } else {
        Err(syntax(parser.peek_token_ref()))
    }
}

fn delay_of(text: &str) -> Result<Duration, SqlError> {
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

/// Stands before a statement that was written with `TOP (1)`, which the parser does not know there.
const ONE_ROW: &str = "TOP_1";

/// Takes `TOP (1)` out of `UPDATE TOP (1)` and `DELETE TOP (1)`.
fn with_one_row(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let visible: Vec<usize> = (0..tokens.len())
        .filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_)))
        .collect();
    let word = |at: usize| match &tokens[at].token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    let mut marks = Vec::new();
    let mut dropped = Vec::new();
    for window in visible.windows(5) {
        let [verb, top, open, number, close] = *window else {
            continue;
        };
        let is_one = matches!(&tokens[number].token, Token::Number(digits, _) if digits == "1");
        if matches!(word(verb).as_str(), "UPDATE" | "DELETE")
            && word(top) == "TOP"
            && tokens[open].token == Token::LParen
            && is_one
            && tokens[close].token == Token::RParen
        {
            marks.push(verb);
            dropped.extend([top, open, number, close]);
        }
    }
    let mut kept = Vec::with_capacity(tokens.len() + marks.len());
    for (at, token) in tokens.into_iter().enumerate() {
        if marks.contains(&at) {
            kept.push(TokenWithSpan {
                token: Token::make_word(ONE_ROW, None),
                span: token.span,
            });
        }
        if !dropped.contains(&at) {
            kept.push(token);
        }
    }
    kept
}

/// Gives computed columns of CREATE TABLE, `name AS (…) [PERSISTED]`, the form that the parser
/// understands: a type and a generated value.
fn with_computed_types(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let visible: Vec<usize> = (0..tokens.len())
        .filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_)))
        .collect();
    let is = |at: usize, text: &str| {
        visible.get(at).is_some_and(|at| matches!(&tokens[*at].token,
            Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text)))
    };
    let token = |at: usize| visible.get(at).map(|at| &tokens[*at].token);
    // Where words are put in, and what is left out.
    let mut before: Vec<(usize, &[&str])> = Vec::new();
    let mut dropped = Vec::new();
    let mut at = 0;
    while at + 1 < visible.len() {
        if !(is(at, "CREATE") && is(at + 1, "TABLE")) {
            at += 1;
            continue;
        }
        let mut depth = 0;
        at += 2;
        while let Some(current) = token(at) {
            match current {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                Token::Word(_)
                    if depth == 1
                        && matches!(token(at - 1), Some(Token::LParen | Token::Comma))
                        && is(at + 1, "AS")
                        && token(at + 2) == Some(&Token::LParen) =>
                {
                    before.push((visible[at + 1], &["sql_variant", "GENERATED", "ALWAYS"]));
                    let mut inner = 0;
                    let mut end = at + 2;
                    while let Some(current) = token(end) {
                        match current {
                            Token::LParen => inner += 1,
                            Token::RParen => inner -= 1,
                            _ => {}
                        }
                        end += 1;
                        if inner == 0 {
                            break;
                        }
                    }
                    if is(end, "PERSISTED") {
                        dropped.push(visible[end]);
                        end += 1;
                    }
                    let stored_at = visible.get(end).copied().unwrap_or(tokens.len());
                    before.push((stored_at, &["STORED"]));
                    at = end - 1;
                }
                _ => {}
            }
            at += 1;
            if depth == 0 && matches!(current, Token::RParen | Token::SemiColon) {
                break;
            }
        }
    }
    if before.is_empty() {
        return tokens;
    }
    let mut out = Vec::with_capacity(tokens.len() + before.len() * 3);
    for (at, token) in tokens.into_iter().enumerate() {
        for (_, words) in before.iter().filter(|(place, _)| *place == at) {
            out.extend(
                words
                    .iter()
                    .map(|word| TokenWithSpan::wrap(Token::make_keyword(word))),
            );
        }
        if !dropped.contains(&at) {
            out.push(token);
        }
    }
    out
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
