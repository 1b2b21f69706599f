//! Identifiers in messages and reports.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Identifies one run over a list of tables. It is random from its first digit on (UUID version
/// 4), so that a user can name a run by the beginning of its identifier. Runs of earlier versions
/// have identifiers that begin with the time (version 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

impl RunId {
    /// A new identifier.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Position of a table in the list of its run, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableId(pub u32);

impl TableId {
    /// The position as an index into the run's table list.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The number of a dispatch of a table, from 1.
///
/// `(run, table, attempt)` identifies a piece of work. The coordinator ignores events of every
/// attempt but the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(pub u32);

impl Attempt {
    /// The first dispatch of a table.
    pub const FIRST: Self = Self(1);

    /// The dispatch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identifies a worker process in the fleet: host name, process id and a random part.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(String);

impl WorkerId {
    /// A new identifier for this process; every call returns another one.
    #[must_use]
    pub fn generate() -> Self {
        let host = gethostname::gethostname();
        Self(format!(
            "{}-{}-{:06x}",
            host.to_string_lossy(),
            std::process::id(),
            fastrand::u32(0..1 << 24)
        ))
    }

    /// An identifier with a name that the user or a test chose.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The text that appears in queue names and reports.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A table as a user names it: `table` or `schema.table`.
///
/// A part that contains a dot, a comma, a quote or a wildcard is written in double quotes
/// or square brackets, with the closing character doubled inside:
/// `"a.b"."say ""hi"""` or `[a.b].[c]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TableName {
    /// `None`: the endpoint's default schema.
    pub schema: Option<String>,
    /// The name without quotes.
    pub name: String,
}

/// Why a text is not a table name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableNameError {
    /// A part is empty, or the text is.
    #[error("`{0}` is not a table name: a part of it is empty")]
    EmptyPart(String),
    /// There are three or more parts.
    #[error(
        "`{0}` has more than two parts; write `schema.table`, and quote a name that contains a dot: \"a.b\""
    )]
    TooManyParts(String),
    /// A quote is not closed, or text follows the closing quote.
    #[error("`{0}` has a quote that is not closed, or text after a closing quote")]
    Quote(String),
}

impl FromStr for TableName {
    type Err = TableNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = Vec::new();
        let mut chars = text.trim().chars().peekable();
        loop {
            let mut part = String::new();
            let closing = match chars.peek() {
                Some('"') => Some('"'),
                Some('[') => Some(']'),
                _ => None,
            };
            if let Some(closing) = closing {
                chars.next();
                loop {
                    match chars.next() {
                        // A doubled closing character stands for itself.
                        Some(c) if c == closing && chars.next_if_eq(&c).is_none() => break,
                        Some(c) => part.push(c),
                        None => return Err(TableNameError::Quote(text.to_owned())),
                    }
                }
                if !matches!(chars.peek(), None | Some('.')) {
                    return Err(TableNameError::Quote(text.to_owned()));
                }
            } else {
                while let Some(c) = chars.next_if(|c| *c != '.') {
                    part.push(c);
                }
                part = part.trim().to_owned();
            }
            if part.is_empty() {
                return Err(TableNameError::EmptyPart(text.to_owned()));
            }
            parts.push(part);
            if chars.next().is_none() {
                break;
            }
        }
        let mut parts = parts.into_iter();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), None, _) => Ok(Self { schema: None, name }),
            (Some(schema), Some(name), None) => Ok(Self {
                schema: Some(schema),
                name,
            }),
            _ => Err(TableNameError::TooManyParts(text.to_owned())),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, part) in self.schema.iter().chain([&self.name]).enumerate() {
            if position > 0 {
                f.write_str(".")?;
            }
            let plain = !part.contains(['.', ',', '"', '[', ']', '=', '*', '?', '!'])
                && part.trim() == part;
            if plain {
                f.write_str(part)?;
            } else {
                write!(f, "\"{}\"", part.replace('"', "\"\""))?;
            }
        }
        Ok(())
    }
}

impl From<TableName> for String {
    fn from(name: TableName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for TableName {
    type Error = TableNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_table_name_survives_printing_and_parsing(
            schema in proptest::option::of("\\PC{1,12}"),
            name in "\\PC{1,12}",
        ) {
            let table = TableName { schema, name };
            prop_assert_eq!(table.to_string().parse::<TableName>(), Ok(table));
        }
    }

    #[test]
    fn names_are_split_at_dots_outside_quotes() {
        let parse = |text: &str| text.parse::<TableName>();
        assert_eq!(
            parse(" dbo.customers ").unwrap(),
            TableName {
                schema: Some("dbo".into()),
                name: "customers".into()
            }
        );
        assert_eq!(
            parse("[a.b].[c]]d]").unwrap(),
            TableName {
                schema: Some("a.b".into()),
                name: "c]d".into()
            }
        );
        assert_eq!(parse("\"\"\"quoted\"\"\"").unwrap().name, "\"quoted\"");
        assert!(matches!(
            parse("a.b.c"),
            Err(TableNameError::TooManyParts(_))
        ));
        assert!(matches!(parse("a."), Err(TableNameError::EmptyPart(_))));
        assert!(matches!(parse(""), Err(TableNameError::EmptyPart(_))));
        assert!(matches!(parse("\"a"), Err(TableNameError::Quote(_))));
        assert!(matches!(parse("\"a\"b"), Err(TableNameError::Quote(_))));
    }
}
