//! The grammar of repair statements, as a recursive descent over their tokens.

use shared::outcome::RepairAction;

use super::lexer::{Lexer, Token};
use super::names::ColumnNames;
use crate::engine::database::script::StatementRules;

/// How deep parentheses and casts may be nested. The engine renders at most five levels.
const DEEPEST: usize = 16;

/// The words that follow the first word of a type's name.
const TYPE_WORDS: [&str; 14] = [
    "varying",
    "precision",
    "with",
    "without",
    "local",
    "time",
    "zone",
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "to",
];

/// What stands where the grammar has something else.
type Refused = String;

/// What an expression depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Operand {
    Constant,
    Column,
}

/// Where a condition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Of an UPDATE or DELETE: its columns are those of the row.
    Row,
    /// Of an INSERT: there is no row yet, only guards.
    NewRow,
    /// Of a guard.
    Guard,
}

/// The table of the guard that is parsed.
struct GuardTable<'a> {
    name: (String, String),
    alias: Option<&'a str>,
}

pub(super) struct Parser<'a, 'n> {
    rules: &'static StatementRules,
    lexer: Lexer<'a>,
    table: (&'a str, &'a str),
    depth: usize,
    guard: Option<GuardTable<'a>>,
    names: &'n mut ColumnNames,
}

fn refused<T>(what: &str) -> Result<T, Refused> {
    Err(what.to_owned())
}

impl<'a, 'n> Parser<'a, 'n> {
    pub(super) fn new(
        rules: &'static StatementRules,
        sql: &'a str,
        table: (&'a str, &'a str),
        names: &'n mut ColumnNames,
    ) -> Self {
        Self {
            rules,
            lexer: Lexer::new(rules, sql),
            table,
            depth: 0,
            guard: None,
            names,
        }
    }

    pub(super) fn position(&self) -> usize {
        self.lexer.position()
    }

    /// The whole text as one statement.
    pub(super) fn statement(&mut self, action: RepairAction) -> Result<(), Refused> {
        match action {
            RepairAction::Delete => self.delete()?,
            RepairAction::Update => self.update()?,
            RepairAction::Insert => self.insert()?,
        }
        self.symbol(";")?;
        match self.next()? {
            Token::End => Ok(()),
            _ => refused("more than one statement"),
        }
    }

    fn delete(&mut self) -> Result<(), Refused> {
        self.word("DELETE")?;
        self.top_one()?;
        self.word("FROM")?;
        self.target()?;
        self.row_condition()
    }

    fn update(&mut self) -> Result<(), Refused> {
        self.word("UPDATE")?;
        self.top_one()?;
        self.target()?;
        self.word("SET")?;
        loop {
            self.own_column()?;
            self.symbol("=")?;
            self.constant()?;
            if !self.is_symbol(",")? {
                break;
            }
        }
        self.row_condition()
    }

    fn insert(&mut self) -> Result<(), Refused> {
        self.word("INSERT")?;
        self.word("INTO")?;
        self.target()?;
        self.symbol("(")?;
        let mut columns = 1;
        self.own_column()?;
        while self.is_symbol(",")? {
            self.own_column()?;
            columns += 1;
        }
        self.symbol(")")?;
        if self.is_word("OVERRIDING")? {
            self.word("SYSTEM")?;
            self.word("VALUE")?;
        }
        self.word("SELECT")?;
        let mut values = 1;
        self.constant()?;
        while self.is_symbol(",")? {
            self.constant()?;
            values += 1;
        }
        if columns != values {
            return refused("another number of values than of columns");
        }
        self.word("WHERE")?;
        self.condition(Place::NewRow).map(drop)
    }

    /// A condition that names at least one value of the row, so that it cannot hold for all rows.
    fn row_condition(&mut self) -> Result<(), Refused> {
        self.word("WHERE")?;
        if self.condition(Place::Row)? == 0 {
            return refused("no guard by a value of the row");
        }
        Ok(())
    }

    /// Terms joined by AND. Returns how many compare a column with a constant.
    fn condition(&mut self, place: Place) -> Result<usize, Refused> {
        self.descend()?;
        let mut anchors = self.term(place)?;
        while self.is_word("AND")? {
            anchors += self.term(place)?;
        }
        self.depth -= 1;
        Ok(anchors)
    }

    fn term(&mut self, place: Place) -> Result<usize, Refused> {
        let is_guarded = place != Place::Guard;
        if self.is_word("NOT")? {
            if is_guarded {
                self.word("EXISTS")?;
                return self.existence();
            }
            self.symbol("(")?;
            self.condition(place)?;
            self.symbol(")")?;
            return Ok(0);
        }
        if is_guarded && self.is_word("EXISTS")? {
            return self.existence();
        }
        if self.is_symbol("(")? {
            return match self.peek()? {
                Token::Word(word) if is_guarded && word.eq_ignore_ascii_case("SELECT") => {
                    self.count()
                }
                Token::Word(word) if Some(word) == self.first_row_column() => self.one_row(place),
                _ => {
                    let anchors = self.condition(place)?;
                    self.symbol(")")?;
                    Ok(anchors)
                }
            };
        }
        if place == Place::NewRow {
            return refused("a condition of an INSERT that is no guard");
        }
        self.comparison(place)
    }

    fn comparison(&mut self, place: Place) -> Result<usize, Refused> {
        if self.expression()? != Operand::Column {
            return refused("a comparison that does not begin with a column");
        }
        if self.is_word("IS")? {
            self.word("NULL")?;
            return Ok(1);
        }
        let is_equality = self.is_symbol("=")?;
        if !is_equality {
            if place != Place::Guard {
                return refused("a guard that is no equality");
            }
            self.symbol("<>")?;
        }
        let right = self.expression()?;
        if place != Place::Guard && right != Operand::Constant {
            return refused("a comparison with another column");
        }
        Ok(usize::from(is_equality && right == Operand::Constant))
    }

    /// `(SELECT 1 FROM table [AS alias] WHERE condition)`
    fn existence(&mut self) -> Result<usize, Refused> {
        self.symbol("(")?;
        self.word("SELECT")?;
        self.number("1")?;
        self.word("FROM")?;
        let table = self.table()?;
        self.guard_condition(table)?;
        Ok(0)
    }

    /// `[AS alias] WHERE condition)`, behind the name of a guard's table.
    fn guard_condition(&mut self, name: (String, String)) -> Result<(), Refused> {
        let alias = if self.is_word("AS")? {
            Some(self.alias()?)
        } else {
            None
        };
        self.word("WHERE")?;
        let outer = self.guard.replace(GuardTable { name, alias });
        self.condition(Place::Guard)?;
        self.guard = outer;
        self.symbol(")")
    }

    /// `SELECT count(*) FROM target [AS alias] WHERE condition) = number`, behind the first
    /// parenthesis.
    fn count(&mut self) -> Result<usize, Refused> {
        self.word("SELECT")?;
        if !self.is_word("COUNT")? {
            self.word("COUNT_BIG")?;
        }
        self.symbol("(")?;
        self.symbol("*")?;
        self.symbol(")")?;
        self.word("FROM")?;
        let table = self.target()?;
        self.guard_condition(table)?;
        self.symbol("=")?;
        match self.next()? {
            Token::Number(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => Ok(0),
            _ => refused("a count that is compared with something else than a number"),
        }
    }

    /// `columns) = (SELECT columns FROM target WHERE condition LIMIT 1)`, behind the first
    /// parenthesis: one of the rows that meet the condition.
    fn one_row(&mut self, place: Place) -> Result<usize, Refused> {
        if place != Place::Row {
            return refused("a choice of one row outside of an UPDATE or DELETE");
        }
        self.row_columns()?;
        self.symbol(")")?;
        self.symbol("=")?;
        self.symbol("(")?;
        self.word("SELECT")?;
        self.row_columns()?;
        self.word("FROM")?;
        self.target()?;
        self.word("WHERE")?;
        let anchors = self.condition(Place::Row)?;
        self.word("LIMIT")?;
        self.number("1")?;
        self.symbol(")")?;
        Ok(anchors)
    }

    fn first_row_column(&self) -> Option<&'static str> {
        self.rules.row_columns.first().copied()
    }

    fn row_columns(&mut self) -> Result<(), Refused> {
        for (at, column) in self.rules.row_columns.iter().enumerate() {
            if at > 0 {
                self.symbol(",")?;
            }
            self.word(column)?;
        }
        Ok(())
    }

    fn constant(&mut self) -> Result<(), Refused> {
        match self.expression()? {
            Operand::Constant => Ok(()),
            Operand::Column => refused("a column in place of a value"),
        }
    }

    /// Parts joined by `+` or `||`.
    fn expression(&mut self) -> Result<Operand, Refused> {
        self.descend()?;
        let mut operand = self.part()?;
        while self.is_symbol("+")? || self.is_symbol("||")? {
            operand = operand.max(self.part()?);
        }
        self.depth -= 1;
        Ok(operand)
    }

    /// A primary expression with the casts and the collation behind it.
    fn part(&mut self) -> Result<Operand, Refused> {
        let operand = self.primary()?;
        loop {
            if self.is_symbol("::")? {
                self.type_name()?;
            } else if self.is_word("COLLATE")? {
                match self.next()? {
                    Token::Word(_) | Token::Identifier(_) => {}
                    _ => return refused("no name of a collation"),
                }
            } else {
                return Ok(operand);
            }
        }
    }

    fn primary(&mut self) -> Result<Operand, Refused> {
        match self.next()? {
            Token::Literal | Token::Number(_) => Ok(Operand::Constant),
            Token::Symbol("-") => match self.next()? {
                Token::Number(_) => Ok(Operand::Constant),
                _ => refused("a sign without a number"),
            },
            Token::Symbol("(") => {
                let operand = self.expression()?;
                self.symbol(")")?;
                Ok(operand)
            }
            Token::Identifier(name) => {
                if !self.is_symbol(".")? {
                    self.add_inner_column(&name);
                    return Ok(Operand::Column);
                }
                let table = self.identifier()?;
                self.symbol(".")?;
                if (&*name, &*table) != self.table {
                    return refused("a column of another table");
                }
                self.own_column()?;
                Ok(Operand::Column)
            }
            Token::Word(word) => self.named(word),
            _ => refused("no value"),
        }
    }

    /// What begins with an unquoted word.
    fn named(&mut self, word: &str) -> Result<Operand, Refused> {
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        if is("NULL") || is("TRUE") || is("FALSE") {
            return Ok(Operand::Constant);
        }
        if is("CAST") {
            self.symbol("(")?;
            let operand = self.expression()?;
            self.word("AS")?;
            self.type_name()?;
            self.symbol(")")?;
            return Ok(operand);
        }
        if self.rules.functions.iter().any(|function| is(function)) {
            self.symbol("(")?;
            let mut operand = self.expression()?;
            while self.is_symbol(",")? {
                operand = operand.max(self.expression()?);
            }
            self.symbol(")")?;
            return Ok(operand);
        }
        // A column behind the alias of a guard's table.
        if self.is_symbol(".")? {
            let alias = self.guard.as_ref().and_then(|guard| guard.alias);
            if alias != Some(word) {
                return refused("an alias of no table");
            }
            let column = self.identifier()?;
            self.add_inner_column(&column);
            return Ok(Operand::Column);
        }
        refused("a function or a word that repair statements do not have")
    }

    /// The name of a type with its length, as a catalog declares it.
    fn type_name(&mut self) -> Result<(), Refused> {
        match self.next()? {
            Token::Word(_) | Token::Identifier(_) => {}
            _ => return refused("no name of a type"),
        }
        if self.is_symbol(".")? {
            match self.next()? {
                Token::Word(_) | Token::Identifier(_) => {}
                _ => return refused("no name of a type"),
            }
        }
        loop {
            match self.peek()? {
                Token::Word(word)
                    if TYPE_WORDS
                        .iter()
                        .any(|known| word.eq_ignore_ascii_case(known)) =>
                {
                    self.next()?;
                }
                Token::Symbol("(") => self.type_length()?,
                Token::Symbol("[") => {
                    self.symbol("[")?;
                    self.symbol("]")?;
                }
                _ => return Ok(()),
            }
        }
    }

    fn type_length(&mut self) -> Result<(), Refused> {
        self.symbol("(")?;
        loop {
            let is_negative = self.is_symbol("-")?;
            match self.next()? {
                Token::Number(_) => {}
                Token::Word(word) if !is_negative && word.eq_ignore_ascii_case("max") => {}
                _ => return refused("no length of a type"),
            }
            if !self.is_symbol(",")? {
                return self.symbol(")");
            }
        }
    }

    /// `TOP (1)`, which may be absent.
    fn top_one(&mut self) -> Result<(), Refused> {
        if self.is_word("TOP")? {
            self.symbol("(")?;
            self.number("1")?;
            self.symbol(")")?;
        }
        Ok(())
    }

    /// The table that is repaired.
    fn target(&mut self) -> Result<(String, String), Refused> {
        let (schema, table) = self.table()?;
        if (&*schema, &*table) == self.table {
            Ok((schema, table))
        } else {
            refused("another table")
        }
    }

    /// Schema and name of a table.
    fn table(&mut self) -> Result<(String, String), Refused> {
        let schema = self.identifier()?;
        self.symbol(".")?;
        Ok((schema, self.identifier()?))
    }

    /// A column of the table that is repaired.
    fn own_column(&mut self) -> Result<(), Refused> {
        let column = self.identifier()?;
        self.names.add_own(&column);
        Ok(())
    }

    /// A column of the guard's table, or of the repaired one outside of guards.
    fn add_inner_column(&mut self, column: &str) {
        match &self.guard {
            Some(GuardTable { name, .. }) if (&*name.0, &*name.1) != self.table => {
                self.names.add_of_guard(name, column);
            }
            _ => self.names.add_own(column),
        }
    }

    fn identifier(&mut self) -> Result<String, Refused> {
        match self.next()? {
            Token::Identifier(name) if !name.is_empty() => Ok(name.into_owned()),
            _ => refused("no quoted name"),
        }
    }

    fn alias(&mut self) -> Result<&'a str, Refused> {
        match self.next()? {
            Token::Word(alias) => Ok(alias),
            _ => refused("no alias"),
        }
    }

    fn number(&mut self, expected: &str) -> Result<(), Refused> {
        match self.next()? {
            Token::Number(number) if number == expected => Ok(()),
            _ => Err(format!("something else than {expected}")),
        }
    }

    fn word(&mut self, expected: &str) -> Result<(), Refused> {
        match self.next()? {
            Token::Word(word) if word.eq_ignore_ascii_case(expected) => Ok(()),
            _ => Err(format!("something else than {expected}")),
        }
    }

    fn symbol(&mut self, expected: &str) -> Result<(), Refused> {
        match self.next()? {
            Token::Symbol(symbol) if symbol == expected => Ok(()),
            _ => Err(format!("something else than `{expected}`")),
        }
    }

    /// Takes the next token if it is this word.
    fn is_word(&mut self, expected: &str) -> Result<bool, Refused> {
        let is_next =
            matches!(self.peek()?, Token::Word(word) if word.eq_ignore_ascii_case(expected));
        if is_next {
            self.next()?;
        }
        Ok(is_next)
    }

    /// Takes the next token if it is this symbol.
    fn is_symbol(&mut self, expected: &str) -> Result<bool, Refused> {
        let is_next = matches!(self.peek()?, Token::Symbol(symbol) if symbol == expected);
        if is_next {
            self.next()?;
        }
        Ok(is_next)
    }

    fn peek(&self) -> Result<Token<'a>, Refused> {
        self.lexer.clone().next().map_err(str::to_owned)
    }

    fn next(&mut self) -> Result<Token<'a>, Refused> {
        self.lexer.next().map_err(str::to_owned)
    }

    fn descend(&mut self) -> Result<(), Refused> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return refused("parentheses that are nested too deeply");
        }
        Ok(())
    }
}
