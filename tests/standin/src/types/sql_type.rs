//! The types of SQL Server: how they are written, and how PostgreSQL stores them.

use std::fmt;

use crate::error::SqlError;

/// The declared length of a variable-length type; `None` is `max`.
pub(crate) type Length = Option<u16>;

/// A type as a column or an expression has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SqlType {
    Bit,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Decimal(u8, u8),
    Money,
    SmallMoney,
    Real,
    Float,
    Char(u16),
    VarChar(Length),
    NChar(u16),
    NVarChar(Length),
    Text,
    NText,
    Xml,
    Binary(u16),
    VarBinary(Length),
    Image,
    RowVersion,
    Date,
    Time(u8),
    DateTime,
    SmallDateTime,
    DateTime2(u8),
    DateTimeOffset(u8),
    UniqueIdentifier,
    /// A type that can be declared but not read: only its name is stored in the catalog.
    CatalogOnly(&'static str),
}

/// A group of types that are converted in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Bit,
    Integer,
    Exact,
    Approximate,
    Character,
    Binary,
    Date,
    Time,
    DateTime,
    Offset,
    Uuid,
    Other,
}

/// How PostgreSQL stores a time or a date and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    /// `time` or `timestamp`, whose unit is a microsecond.
    Native,
    /// `bigint`, whose unit is 100 ns.
    Ticks,
}

/// The types without arguments and the names that SQL Server gives them.
const PLAIN: [(&str, SqlType); 22] = [
    ("bit", SqlType::Bit),
    ("tinyint", SqlType::TinyInt),
    ("smallint", SqlType::SmallInt),
    ("int", SqlType::Int),
    ("bigint", SqlType::BigInt),
    ("money", SqlType::Money),
    ("smallmoney", SqlType::SmallMoney),
    ("real", SqlType::Real),
    ("float", SqlType::Float),
    ("text", SqlType::Text),
    ("ntext", SqlType::NText),
    ("xml", SqlType::Xml),
    ("image", SqlType::Image),
    ("rowversion", SqlType::RowVersion),
    ("date", SqlType::Date),
    ("datetime", SqlType::DateTime),
    ("smalldatetime", SqlType::SmallDateTime),
    ("uniqueidentifier", SqlType::UniqueIdentifier),
    ("sql_variant", SqlType::CatalogOnly("sql_variant")),
    ("hierarchyid", SqlType::CatalogOnly("hierarchyid")),
    ("geography", SqlType::CatalogOnly("geography")),
    ("geometry", SqlType::CatalogOnly("geometry")),
];

/// The arguments that a type is written with.
struct Arguments<'a> {
    type_name: &'a str,
    text: &'a str,
}

impl Arguments<'_> {
    fn number(&self, index: usize) -> Option<u16> {
        self.text
            .split(',')
            .filter_map(|number| number.trim().parse().ok())
            .nth(index)
    }

    /// The first argument as a precision or a scale.
    fn digits(&self, default: u8, most: u8) -> Result<u8, SqlError> {
        let Some(number) = self.number(0) else {
            return Ok(default);
        };
        u8::try_from(number)
            .ok()
            .filter(|digits| *digits <= most)
            .ok_or_else(|| {
                SqlError::new(
                    1002,
                    format!("Line 1: Specified scale {number} is invalid."),
                )
            })
    }

    /// The scale of a date or time type.
    fn scale(&self) -> Result<u8, SqlError> {
        self.digits(7, 7)
    }

    fn length(&self, most: u16) -> Result<Length, SqlError> {
        if self.text == "max" {
            return Ok(None);
        }
        match self.number(0).unwrap_or(1) {
            n if (1..=most).contains(&n) => Ok(Some(n)),
            n => Err(SqlError::new(
                131,
                format!(
                    "The size ({n}) given to the type '{}' exceeds the maximum allowed ({most}).",
                    self.type_name
                ),
            )),
        }
    }

    fn fixed_length(&self, most: u16) -> Result<u16, SqlError> {
        self.length(most).map(|length| length.unwrap_or(most))
    }

    fn decimal(&self) -> Result<SqlType, SqlError> {
        let precision = self.digits(18, 38)?.max(1);
        u8::try_from(self.number(1).unwrap_or(0))
            .ok()
            .filter(|scale| *scale <= precision)
            .map(|scale| SqlType::Decimal(precision, scale))
            .ok_or_else(|| {
                SqlError::new(
                    192,
                    "The scale must be less than or equal to the precision.",
                )
            })
    }
}

impl SqlType {
    /// Parses a type as it is written in a statement, such as `nvarchar(40)` or `DATETIME2`.
    ///
    /// # Errors
    /// 2715 for an unknown type; 131, 192 or 1002 for a length, precision or scale out of range.
    pub(crate) fn parse(text: &str) -> Result<Self, SqlError> {
        let lower = text.trim().to_ascii_lowercase();
        let (name, arguments) = match lower.split_once('(') {
            Some((name, rest)) => (name.trim(), rest.trim_end_matches(')').trim()),
            None => (lower.as_str(), ""),
        };
        let name = name.trim_matches(['[', ']', '"']);
        let arguments = Arguments {
            type_name: name,
            text: arguments,
        };
        Ok(match name {
            "integer" => Self::Int,
            "decimal" | "numeric" | "dec" => arguments.decimal()?,
            "float" if arguments.number(0).is_some_and(|bits| bits <= 24) => Self::Real,
            "double precision" | "double" => Self::Float,
            "char" | "character" => Self::Char(arguments.fixed_length(8000)?),
            "varchar" | "character varying" | "char varying" => {
                Self::VarChar(arguments.length(8000)?)
            }
            "nchar" | "national character" => Self::NChar(arguments.fixed_length(4000)?),
            "nvarchar" => Self::NVarChar(arguments.length(4000)?),
            "sysname" => Self::NVarChar(Some(128)),
            "binary" => Self::Binary(arguments.fixed_length(8000)?),
            "varbinary" => Self::VarBinary(arguments.length(8000)?),
            "timestamp" => Self::RowVersion,
            "time" => Self::Time(arguments.scale()?),
            "datetime2" => Self::DateTime2(arguments.scale()?),
            "datetimeoffset" => Self::DateTimeOffset(arguments.scale()?),
            other => match PLAIN.iter().find(|(plain, _)| *plain == other) {
                Some((_, sql_type)) => *sql_type,
                None => {
                    return Err(SqlError::new(
                        2715,
                        format!("Cannot find data type {name}."),
                    ));
                }
            },
        })
    }

    /// Parses the type of a `CAST` or `CONVERT`, where the default length is 30.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(crate) fn parse_in_cast(text: &str) -> Result<Self, SqlError> {
        let parsed = Self::parse(text)?;
        if text.contains('(') {
            return Ok(parsed);
        }
        Ok(match parsed {
            Self::Char(_) => Self::Char(30),
            Self::VarChar(Some(1)) => Self::VarChar(Some(30)),
            Self::NChar(_) => Self::NChar(30),
            Self::NVarChar(Some(1)) => Self::NVarChar(Some(30)),
            Self::Binary(_) => Self::Binary(30),
            Self::VarBinary(Some(1)) => Self::VarBinary(Some(30)),
            other => other,
        })
    }

    pub(crate) fn family(self) -> Family {
        match self {
            Self::Bit => Family::Bit,
            Self::TinyInt | Self::SmallInt | Self::Int | Self::BigInt => Family::Integer,
            Self::Decimal(..) | Self::Money | Self::SmallMoney => Family::Exact,
            Self::Real | Self::Float => Family::Approximate,
            Self::Char(_)
            | Self::VarChar(_)
            | Self::NChar(_)
            | Self::NVarChar(_)
            | Self::Text
            | Self::NText
            | Self::Xml => Family::Character,
            Self::Binary(_) | Self::VarBinary(_) | Self::Image | Self::RowVersion => Family::Binary,
            Self::Date => Family::Date,
            Self::Time(_) => Family::Time,
            Self::DateTime | Self::SmallDateTime | Self::DateTime2(_) => Family::DateTime,
            Self::DateTimeOffset(_) => Family::Offset,
            Self::UniqueIdentifier => Family::Uuid,
            Self::CatalogOnly(_) => Family::Other,
        }
    }

    /// In a comparison, the value of the lower precedence is converted to the type of the other.
    pub(crate) fn precedence(self) -> u8 {
        match self.family() {
            Family::Offset => 9,
            Family::DateTime => 8,
            Family::Date => 7,
            Family::Time => 6,
            Family::Approximate => 5,
            Family::Exact => 4,
            Family::Integer => 3,
            Family::Bit => 2,
            Family::Uuid => 1,
            Family::Character | Family::Binary | Family::Other => 0,
        }
    }

    /// How a time or a date and time is stored: PostgreSQL's types have six digits of a second.
    pub(crate) fn storage(self) -> Storage {
        match self {
            Self::Time(7) | Self::DateTime2(7) => Storage::Ticks,
            _ => Storage::Native,
        }
    }

    /// Whether columns of the type have a collation.
    pub(crate) fn has_collation(self) -> bool {
        self.family() == Family::Character && self != Self::Xml
    }

    /// Whether values are declared as UTF-16 and without XML's rules.
    pub(crate) fn is_unicode(self) -> bool {
        matches!(self, Self::NChar(_) | Self::NVarChar(_) | Self::NText)
    }

    /// The UTF-16 type in which SQL Server sends a UTF-8 column to a client that did not request
    /// UTF-8 at its login.
    pub(crate) fn widened(self) -> Self {
        match self {
            Self::Char(n) if n <= 4000 => Self::NChar(n),
            Self::VarChar(Some(n)) if n <= 4000 => Self::NVarChar(Some(n)),
            Self::Char(_) | Self::VarChar(_) => Self::NVarChar(None),
            Self::Text => Self::NText,
            other => other,
        }
    }

    /// The PostgreSQL type of a column, without its collation.
    pub(crate) fn postgres(self) -> String {
        match self {
            Self::Bit => "boolean".into(),
            Self::TinyInt | Self::SmallInt => "smallint".into(),
            Self::Int => "integer".into(),
            Self::BigInt => "bigint".into(),
            Self::Decimal(precision, scale) => format!("numeric({precision},{scale})"),
            Self::Money => "numeric(19,4)".into(),
            Self::SmallMoney => "numeric(10,4)".into(),
            Self::Real => "real".into(),
            Self::Float => "double precision".into(),
            Self::Char(n) | Self::NChar(n) => format!("character({n})"),
            Self::VarChar(Some(n)) | Self::NVarChar(Some(n)) => format!("character varying({n})"),
            Self::VarChar(None)
            | Self::NVarChar(None)
            | Self::Text
            | Self::NText
            | Self::Xml
            | Self::CatalogOnly(_) => "text".into(),
            Self::Binary(_) | Self::VarBinary(_) | Self::Image | Self::RowVersion => "bytea".into(),
            Self::Date => "date".into(),
            Self::Time(7) | Self::DateTime2(7) => "bigint".into(),
            Self::Time(scale) => format!("time({scale})"),
            Self::DateTime => "timestamp(3)".into(),
            Self::SmallDateTime => "timestamp(0)".into(),
            Self::DateTime2(scale) => format!("timestamp({scale})"),
            Self::DateTimeOffset(_) => "sys.datetimeoffset".into(),
            Self::UniqueIdentifier => "uuid".into(),
        }
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sized = |f: &mut fmt::Formatter<'_>, name: &str, length: &Length| match length {
            Some(n) => write!(f, "{name}({n})"),
            None => write!(f, "{name}(max)"),
        };
        match self {
            Self::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
            Self::Char(n) => write!(f, "char({n})"),
            Self::VarChar(n) => sized(f, "varchar", n),
            Self::NChar(n) => write!(f, "nchar({n})"),
            Self::NVarChar(n) => sized(f, "nvarchar", n),
            Self::Binary(n) => write!(f, "binary({n})"),
            Self::VarBinary(n) => sized(f, "varbinary", n),
            Self::Time(scale) => write!(f, "time({scale})"),
            Self::DateTime2(scale) => write!(f, "datetime2({scale})"),
            Self::DateTimeOffset(scale) => write!(f, "datetimeoffset({scale})"),
            plain => {
                let name = PLAIN.iter().find(|(_, sql_type)| sql_type == plain);
                f.write_str(name.map_or("unknown", |(name, _)| name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        for text in [
            "decimal(38,10)",
            "nvarchar(max)",
            "varchar(8000)",
            "datetime2(7)",
            "time(0)",
        ]
        .into_iter()
        .chain(PLAIN.map(|(name, _)| name))
        {
            assert_eq!(SqlType::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn lengths_and_defaults() {
        assert_eq!(
            SqlType::parse("VARCHAR").unwrap(),
            SqlType::VarChar(Some(1))
        );
        assert_eq!(
            SqlType::parse_in_cast("NVARCHAR").unwrap(),
            SqlType::NVarChar(Some(30))
        );
        assert_eq!(SqlType::parse("float(24)").unwrap(), SqlType::Real);
        assert_eq!(SqlType::parse("nvarchar(4001)").unwrap_err().number, 131);
        assert_eq!(SqlType::parse("decimal(39)").unwrap_err().number, 1002);
        assert_eq!(SqlType::parse("jsonb").unwrap_err().number, 2715);
    }
}
