//! Patterns of names: `*`, `?` and `[…]`, as in shells. Case is ignored.
//!
//! A name, or a part of one, in double quotes is meant literally. So is one in square brackets
//! if they enclose all of it, as SQL Server quotes names: `[order*]` is a name, `[m-o]*` and
//! `order[12]` are patterns.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{TableName, TableNameError};
use crate::naming::{Naming, normalised};

/// Why a text is neither a name nor a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is not a name.
    #[error("{0}")]
    Name(#[from] TableNameError),
    /// A set of characters has no end.
    #[error("`{0}` has a `[` without `]`; write a name that contains it in double quotes")]
    Unclosed(String),
    /// A range of characters ends before it begins.
    #[error("`{0}` has a range of characters that ends before it begins")]
    Range(String),
    /// It leaves tables out, where a table is expected.
    #[error(
        "`{0}` begins with `!`, which leaves tables out in a list of --tables or --tables-file; here write the name without it, and in double quotes a name that begins so"
    )]
    Exclusion(String),
    /// A pattern of target names is not one.
    #[error(
        "`{0}` is not a pattern of target tables: one `*` stands there for what the last `*` of the source matched, and nothing else may vary"
    )]
    Target(String),
    /// A pattern of source names has one name in the target.
    #[error(
        "`{0}` may be several tables, and `{1}` is one; a pattern needs a target with one `*`, or none"
    )]
    OneTarget(String, String),
    /// A target pattern has nothing to stand for.
    #[error("`{1}` has a `*`, and `{0}` has none that it can stand for")]
    NothingMatched(String, String),
}

/// A pattern of one name, such as that of a column or a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct NamePattern {
    /// As the user wrote it.
    text: String,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`
    One,
    /// `*`
    Any,
    /// `[…]`
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Token {
    fn matches(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c || fold(*own) == fold(c),
            Self::One => true,
            Self::Any => false,
            Self::Set { negated, ranges } => {
                let spellings = [Some(c), one(c.to_lowercase()), one(c.to_uppercase())];
                let is_in_set = spellings
                    .into_iter()
                    .flatten()
                    .any(|c| ranges.iter().any(|&(from, to)| (from..=to).contains(&c)));
                is_in_set != *negated
            }
        }
    }
}

fn one(mut chars: impl Iterator<Item = char>) -> Option<char> {
    let first = chars.next()?;
    chars.next().is_none().then_some(first)
}

/// The character in lower case, if that is one character.
fn fold(c: char) -> char {
    one(c.to_lowercase()).unwrap_or(c)
}

/// What a pattern matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched<'a> {
    /// What its last `*` stands for, if it has one.
    pub star: Option<&'a str>,
}

impl NamePattern {
    /// Whether it is a name and has nothing that varies.
    #[must_use]
    pub fn is_name(&self) -> bool {
        self.tokens
            .iter()
            .all(|token| matches!(token, Token::Char(_)))
    }

    /// The name, if it is one; else its literal characters.
    #[must_use]
    pub fn name(&self) -> String {
        self.fill("")
    }

    /// How many of its characters are meant literally. More of them make it more specific.
    #[must_use]
    pub fn literal_length(&self) -> usize {
        let literal = |token: &&Token| matches!(token, Token::Char(_));
        self.tokens.iter().filter(literal).count()
    }

    /// Whether it matches the whole name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Like [`matches`](Self::matches), without regard to what `naming` ignores. A pattern that
    /// would have no literal characters left keeps them.
    #[must_use]
    pub fn matches_under(&self, name: &str, naming: Naming) -> bool {
        match naming {
            Naming::Exact | Naming::IgnoreCase => self.matches(name),
            Naming::Normalised => {
                let ignored = |c: char| matches!(c, '_' | '-') || c.is_whitespace();
                let mut pattern = self.clone();
                pattern
                    .tokens
                    .retain(|token| !matches!(token, Token::Char(c) if ignored(*c)));
                let is_literal = pattern.literal_length() > 0;
                self.matches(name) || (is_literal && pattern.matches(&normalised(name)))
            }
        }
    }

    /// Matches the whole name. Every `*` but the last one stands for as little as possible.
    #[must_use]
    pub fn find<'a>(&self, name: &'a str) -> Option<Matched<'a>> {
        let chars: Vec<(usize, char)> = name.char_indices().collect();
        let (mut at, mut next) = (0, 0);
        // The last `*`: its position in the pattern and what it stands for so far.
        let mut star: Option<(usize, Range<usize>)> = None;
        while at < chars.len() || next < self.tokens.len() {
            match (self.tokens.get(next), chars.get(at)) {
                (Some(Token::Any), _) => {
                    star = Some((next, at..at));
                    next += 1;
                }
                (Some(token), Some(&(_, c))) if token.matches(c) => {
                    at += 1;
                    next += 1;
                }
                _ => {
                    let (position, range) = star.as_mut()?;
                    if range.end == chars.len() {
                        return None;
                    }
                    range.end += 1;
                    (at, next) = (range.end, *position + 1);
                }
            }
        }
        let offset = |at: usize| chars.get(at).map_or(name.len(), |&(offset, _)| offset);
        Some(Matched {
            star: star.map(|(_, range)| &name[offset(range.start)..offset(range.end)]),
        })
    }

    fn has_star(&self) -> bool {
        self.tokens.contains(&Token::Any)
    }

    /// The name with `text` in place of every `*`.
    fn fill(&self, text: &str) -> String {
        let mut name = String::new();
        for token in &self.tokens {
            match token {
                Token::Char(c) => name.push(*c),
                Token::One | Token::Any | Token::Set { .. } => name.push_str(text),
            }
        }
        name
    }
}

impl FromStr for NamePattern {
    type Err = PatternError;

    /// Parses the text as one part of a name, in which a dot has no meaning.
    fn from_str(text: &str) -> Result<Self, PatternError> {
        let trimmed = text.trim();
        let tokens = match quoted(trimmed) {
            Some(name) => name.chars().map(Token::Char).collect(),
            None if trimmed.is_empty() => {
                return Err(TableNameError::EmptyPart(text.to_owned()).into());
            }
            None if trimmed.starts_with('"') => {
                return Err(TableNameError::Quote(text.to_owned()).into());
            }
            None => tokens(trimmed)?,
        };
        Ok(Self {
            text: trimmed.to_owned(),
            tokens,
        })
    }
}

/// The name in quotes or brackets, if they enclose all of the text.
fn quoted(text: &str) -> Option<String> {
    let closing = match text.chars().next()? {
        '"' => '"',
        '[' => ']',
        _ => return None,
    };
    let mut chars = text.chars().skip(1).peekable();
    let mut name = String::new();
    while let Some(c) = chars.next() {
        if c == closing && chars.next_if_eq(&closing).is_none() {
            return (chars.next().is_none() && !name.is_empty()).then_some(name);
        }
        name.push(c);
    }
    None
}

fn tokens(text: &str) -> Result<Vec<Token>, PatternError> {
    let mut chars = text.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Any,
            '?' => Token::One,
            '[' => {
                let negated = chars.next_if(|c| matches!(c, '!' | '^')).is_some();
                let mut ranges = Vec::new();
                loop {
                    let Some(from) = chars.next() else {
                        return Err(PatternError::Unclosed(text.to_owned()));
                    };
                    // As in shells, `]` is a member of the set if it comes first.
                    if from == ']' && !ranges.is_empty() {
                        break;
                    }
                    let mut ahead = chars.clone();
                    let to = match (ahead.next(), ahead.next()) {
                        (Some('-'), Some(to)) if to != ']' => {
                            chars = ahead;
                            to
                        }
                        _ => from,
                    };
                    if to < from {
                        return Err(PatternError::Range(text.to_owned()));
                    }
                    ranges.push((from, to));
                }
                Token::Set { negated, ranges }
            }
            c => Token::Char(c),
        });
    }
    Ok(tokens)
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.text
    }
}

impl TryFrom<String> for NamePattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

/// One table by its name, or all whose names match a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableSelector {
    /// One table.
    Name(TableName),
    /// All that match.
    Pattern(TablePattern),
}

/// A pattern of table names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePattern {
    /// As the user wrote it.
    text: String,
    /// The pattern of the schema; `None`: the default schema.
    pub schema: Option<NamePattern>,
    /// The pattern of the name.
    pub name: NamePattern,
}

impl TablePattern {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let mut patterns = parts(text)
            .into_iter()
            .map(str::parse)
            .collect::<Result<Vec<NamePattern>, _>>()?
            .into_iter();
        let (schema, name) = match (patterns.next(), patterns.next(), patterns.next()) {
            (Some(name), None, _) => (None, name),
            (Some(schema), Some(name), None) => (Some(schema), name),
            _ => return Err(TableNameError::TooManyParts(text.to_owned()).into()),
        };
        Ok(Self {
            text: text.trim().to_owned(),
            schema,
            name,
        })
    }

    /// Matches a table of `schema`; `is_default` says whether that is the default schema.
    #[must_use]
    pub fn find<'a>(
        &self,
        schema: &'a str,
        name: &'a str,
        is_default: bool,
    ) -> Option<Matched<'a>> {
        let of_schema = match &self.schema {
            Some(pattern) => pattern.find(schema)?,
            None if is_default => Matched { star: None },
            None => return None,
        };
        let of_name = self.name.find(name)?;
        Some(Matched {
            star: of_name.star.or(of_schema.star),
        })
    }

    /// How many of its characters are meant literally. More of them make it more specific.
    #[must_use]
    pub fn literal_length(&self) -> usize {
        let schema = self.schema.as_ref();
        self.name.literal_length() + schema.map_or(0, NamePattern::literal_length)
    }

    fn has_star(&self) -> bool {
        self.name.has_star() || self.schema.as_ref().is_some_and(NamePattern::has_star)
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for TableSelector {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.trim_start().starts_with('!') {
            return Err(PatternError::Exclusion(text.trim().to_owned()));
        }
        let has_wildcard = |part: &str| {
            let part = part.trim();
            quoted(part).is_none() && !part.starts_with('"') && part.contains(['*', '?', '['])
        };
        if !parts(text).into_iter().any(has_wildcard) {
            return Ok(Self::Name(text.parse()?));
        }
        TablePattern::parse(text).map(Self::Pattern)
    }
}

impl fmt::Display for TableSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Pattern(pattern) => pattern.fmt(f),
        }
    }
}

/// The parts of a name, which are separated by dots outside quotes and brackets.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let begins_part = text[start..at].trim().is_empty();
        let closing = match c {
            '.' => {
                parts.push(&text[start..at]);
                start = at + 1;
                continue;
            }
            '"' if begins_part => '"',
            '[' => ']',
            _ => continue,
        };
        while let Some((_, c)) = chars.next() {
            let mut is_doubled = || chars.next_if(|&(_, next)| next == closing).is_some();
            if c == closing && !(begins_part && is_doubled()) {
                break;
            }
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The target of a table, or of all tables that match a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetSelector {
    /// One table.
    Name(TableName),
    /// For each table its own.
    Pattern(TargetPattern),
}

/// A name with one `*`, which stands for what the last `*` of the source's pattern matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetPattern(TablePattern);

impl TargetPattern {
    /// The names that the table may have in the target, the first one first: with what `*`
    /// matched in the source, and where the name is only `*` also with its whole name.
    #[must_use]
    pub fn names(&self, matched: &str, source_name: &str) -> Vec<TableName> {
        let schema = self.0.schema.as_ref();
        let fill = |text: &str| TableName {
            schema: schema.map(|pattern| pattern.fill(text)),
            name: self.0.name.fill(text),
        };
        let mut names = vec![fill(matched)];
        if self.0.name.tokens == [Token::Any] && matched != source_name {
            names.push(fill(source_name));
        }
        names
    }

    /// The pattern as one of the tables that it may stand for.
    #[must_use]
    pub fn tables(&self) -> &TablePattern {
        &self.0
    }
}

impl FromStr for TargetSelector {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let pattern = match text.parse()? {
            TableSelector::Name(name) => return Ok(Self::Name(name)),
            TableSelector::Pattern(pattern) => pattern,
        };
        let schema = pattern.schema.iter().flat_map(|schema| &schema.tokens);
        let varying: Vec<&Token> = schema
            .chain(&pattern.name.tokens)
            .filter(|token| !matches!(token, Token::Char(_)))
            .collect();
        if varying == [&Token::Any] {
            Ok(Self::Pattern(TargetPattern(pattern)))
        } else {
            Err(PatternError::Target(text.trim().to_owned()))
        }
    }
}

impl fmt::Display for TargetSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Pattern(pattern) => pattern.0.fmt(f),
        }
    }
}

/// Checks that a target can belong to its source: names to a name, a pattern to a pattern.
///
/// # Errors
///
/// When they cannot.
pub fn check_target(
    source: &TableSelector,
    target: Option<&TargetSelector>,
) -> Result<(), PatternError> {
    match (source, target) {
        (_, None) | (TableSelector::Name(_), Some(TargetSelector::Name(_))) => Ok(()),
        (TableSelector::Pattern(from), Some(TargetSelector::Pattern(_))) if from.has_star() => {
            Ok(())
        }
        (from, Some(to @ TargetSelector::Pattern(_))) => Err(PatternError::NothingMatched(
            from.to_string(),
            to.to_string(),
        )),
        (from, Some(to)) => Err(PatternError::OneTarget(from.to_string(), to.to_string())),
    }
}

#[cfg(test)]
mod tests;
