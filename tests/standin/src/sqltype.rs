//! The types of SQL Server: how they are written, stored underneath and announced on the wire.

use std::fmt;

use crate::collation::Collation;
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
    /// A type that can be declared but not read: its name stands in the catalog only.
    CatalogOnly(&'static str),
}

/// What kind of value a type holds; conversions go by it.
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

/// How a point in time is stored underneath.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    /// A type of PostgreSQL with microseconds.
    Native,
    /// A `bigint` of 100 ns ticks.
    Ticks,
}

const CATALOG_ONLY: [&str; 4] = ["sql_variant", "hierarchyid", "geography", "geometry"];

impl SqlType {
    /// Reads a type as it is written in a statement, such as `nvarchar(40)` or `DATETIME2`.
    ///
    /// # Errors
    /// 2715 for a type that does not exist, 131 or 1002 for a length, precision or scale out of range.
    pub(crate) fn parse(text: &str) -> Result<Self, SqlError> {
        let lower = text.trim().to_ascii_lowercase();
        let (name, arguments) = match lower.split_once('(') {
            Some((name, rest)) => (name.trim(), rest.trim_end_matches(')').trim()),
            None => (lower.as_str(), ""),
        };
        let name = name.trim_matches(|c| c == '[' || c == ']' || c == '"');
        let numbers: Vec<u16> = arguments
            .split(',')
            .filter_map(|n| n.trim().parse().ok())
            .collect();
        let first = numbers.first().copied();
        let small = |default: u8, most: u8| match first {
            None => Ok(default),
            Some(n) => u8::try_from(n).ok().filter(|n| *n <= most).ok_or_else(|| {
                SqlError::new(1002, format!("Line 1: Specified scale {n} is invalid."))
            }),
        };
        let length = |most: u16| -> Result<Length, SqlError> {
            if arguments == "max" {
                return Ok(None);
            }
            match first.unwrap_or(1) {
                n if (1..=most).contains(&n) => Ok(Some(n)),
                n => Err(SqlError::new(
                    131,
                    format!(
                        "The size ({n}) given to the type '{name}' exceeds the maximum allowed ({most})."
                    ),
                )),
            }
        };
        let fixed = |most: u16| length(most).map(|n| n.unwrap_or(most));
        Ok(match name {
            "bit" => Self::Bit,
            "tinyint" => Self::TinyInt,
            "smallint" => Self::SmallInt,
            "int" | "integer" => Self::Int,
            "bigint" => Self::BigInt,
            "decimal" | "numeric" | "dec" => {
                let precision = small(18, 38)?.max(1);
                let scale = numbers.get(1).copied().unwrap_or(0);
                let scale = u8::try_from(scale).ok().filter(|s| *s <= precision);
                Self::Decimal(
                    precision,
                    scale.ok_or_else(|| {
                        SqlError::new(
                            192,
                            "The scale must be less than or equal to the precision.",
                        )
                    })?,
                )
            }
            "money" => Self::Money,
            "smallmoney" => Self::SmallMoney,
            "real" => Self::Real,
            "float" if first.is_some_and(|bits| bits <= 24) => Self::Real,
            "float" | "double precision" | "double" => Self::Float,
            "char" | "character" => Self::Char(fixed(8000)?),
            "varchar" | "character varying" | "char varying" => Self::VarChar(length(8000)?),
            "nchar" | "national character" => Self::NChar(fixed(4000)?),
            "nvarchar" => Self::NVarChar(length(4000)?),
            "sysname" => Self::NVarChar(Some(128)),
            "text" => Self::Text,
            "ntext" => Self::NText,
            "xml" => Self::Xml,
            "binary" => Self::Binary(fixed(8000)?),
            "varbinary" => Self::VarBinary(length(8000)?),
            "image" => Self::Image,
            "rowversion" | "timestamp" => Self::RowVersion,
            "date" => Self::Date,
            "time" => Self::Time(small(7, 7)?),
            "datetime" => Self::DateTime,
            "smalldatetime" => Self::SmallDateTime,
            "datetime2" => Self::DateTime2(small(7, 7)?),
            "datetimeoffset" => Self::DateTimeOffset(small(7, 7)?),
            "uniqueidentifier" => Self::UniqueIdentifier,
            other => match CATALOG_ONLY.iter().find(|known| **known == other) {
                Some(known) => Self::CatalogOnly(known),
                None => {
                    return Err(SqlError::new(
                        2715,
                        format!("Cannot find data type {name}."),
                    ));
                }
            },
        })
    }

    /// The type of a `CAST` or `CONVERT`, where a missing length is 30.
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

    /// Which of two types the other side of a comparison is converted to: the higher one.
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

    /// How a `time` or `datetime2` is stored: seven digits do not fit into PostgreSQL's types.
    pub(crate) fn storage(self) -> Storage {
        match self {
            Self::Time(7) | Self::DateTime2(7) => Storage::Ticks,
            _ => Storage::Native,
        }
    }

    /// Whether values are text on the wire, whose column has a collation.
    pub(crate) fn has_collation(self) -> bool {
        self.family() == Family::Character && self != Self::Xml
    }

    /// The type in UTF-16 that SQL Server sends to a client that did not say that it reads UTF-8.
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

    /// Appends the TYPE_INFO of a result column.
    ///
    /// # Errors
    /// 102 for a type that stands in the catalog only.
    pub(crate) fn push_type_info(
        self,
        out: &mut Vec<u8>,
        nullable: bool,
        collation: &Collation,
    ) -> Result<(), SqlError> {
        // (token when it may be NULL, token when not, bytes)
        let fixed = |out: &mut Vec<u8>, nullable_token: u8, token: u8, size: u8| {
            if nullable {
                out.extend_from_slice(&[nullable_token, size]);
            } else {
                out.push(token);
            }
        };
        let sized = |out: &mut Vec<u8>, token: u8, bytes: u16| {
            out.push(token);
            out.extend_from_slice(&bytes.to_le_bytes());
        };
        const MAX: u16 = 0xFFFF;
        match self {
            Self::Bit => fixed(out, 0x68, 0x32, 1),
            Self::TinyInt => fixed(out, 0x26, 0x30, 1),
            Self::SmallInt => fixed(out, 0x26, 0x34, 2),
            Self::Int => fixed(out, 0x26, 0x38, 4),
            Self::BigInt => fixed(out, 0x26, 0x7F, 8),
            Self::Real => fixed(out, 0x6D, 0x3B, 4),
            Self::Float => fixed(out, 0x6D, 0x3E, 8),
            Self::Money => fixed(out, 0x6E, 0x3C, 8),
            Self::SmallMoney => fixed(out, 0x6E, 0x7A, 4),
            Self::DateTime => fixed(out, 0x6F, 0x3D, 8),
            Self::SmallDateTime => fixed(out, 0x6F, 0x3A, 4),
            Self::Decimal(precision, scale) => {
                out.extend_from_slice(&[0x6A, decimal_bytes(precision) + 1, precision, scale]);
            }
            Self::UniqueIdentifier => out.extend_from_slice(&[0x24, 16]),
            Self::Date => out.push(0x28),
            Self::Time(scale) => out.extend_from_slice(&[0x29, scale]),
            Self::DateTime2(scale) => out.extend_from_slice(&[0x2A, scale]),
            Self::DateTimeOffset(scale) => out.extend_from_slice(&[0x2B, scale]),
            Self::Char(n) => sized(out, 0xAF, n),
            Self::VarChar(n) => sized(out, 0xA7, n.unwrap_or(MAX)),
            Self::NChar(n) => sized(out, 0xEF, n * 2),
            Self::NVarChar(n) => sized(out, 0xE7, n.map_or(MAX, |n| n * 2)),
            Self::Binary(n) => sized(out, 0xAD, n),
            Self::RowVersion => sized(out, 0xAD, 8),
            Self::VarBinary(n) => sized(out, 0xA5, n.unwrap_or(MAX)),
            Self::Xml => out.extend_from_slice(&[0xF1, 0]),
            Self::Text => out.extend_from_slice(&[0x23, 0xFF, 0xFF, 0xFF, 0x7F]),
            Self::NText => out.extend_from_slice(&[0x63, 0xFE, 0xFF, 0xFF, 0x7F]),
            Self::Image => out.extend_from_slice(&[0x22, 0xFF, 0xFF, 0xFF, 0x7F]),
            Self::CatalogOnly(name) => {
                return Err(SqlError::unsupported(format!(
                    "{name}, which the stand-in knows in the catalog only"
                )));
            }
        }
        if self.has_collation() {
            out.extend_from_slice(&collation.wire());
        }
        if matches!(self, Self::Text | Self::NText | Self::Image) {
            // The table name, in no parts.
            out.push(0);
        }
        Ok(())
    }
}

/// Bytes of the magnitude of a decimal on the wire.
pub(crate) fn decimal_bytes(precision: u8) -> u8 {
    match precision {
        0..=9 => 4,
        10..=19 => 8,
        20..=28 => 12,
        _ => 16,
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sized = |f: &mut fmt::Formatter<'_>, name: &str, length: &Length| match length {
            Some(n) => write!(f, "{name}({n})"),
            None => write!(f, "{name}(max)"),
        };
        match self {
            Self::Bit => f.write_str("bit"),
            Self::TinyInt => f.write_str("tinyint"),
            Self::SmallInt => f.write_str("smallint"),
            Self::Int => f.write_str("int"),
            Self::BigInt => f.write_str("bigint"),
            Self::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
            Self::Money => f.write_str("money"),
            Self::SmallMoney => f.write_str("smallmoney"),
            Self::Real => f.write_str("real"),
            Self::Float => f.write_str("float"),
            Self::Char(n) => write!(f, "char({n})"),
            Self::VarChar(n) => sized(f, "varchar", n),
            Self::NChar(n) => write!(f, "nchar({n})"),
            Self::NVarChar(n) => sized(f, "nvarchar", n),
            Self::Text => f.write_str("text"),
            Self::NText => f.write_str("ntext"),
            Self::Xml => f.write_str("xml"),
            Self::Binary(n) => write!(f, "binary({n})"),
            Self::VarBinary(n) => sized(f, "varbinary", n),
            Self::Image => f.write_str("image"),
            Self::RowVersion => f.write_str("rowversion"),
            Self::Date => f.write_str("date"),
            Self::Time(scale) => write!(f, "time({scale})"),
            Self::DateTime => f.write_str("datetime"),
            Self::SmallDateTime => f.write_str("smalldatetime"),
            Self::DateTime2(scale) => write!(f, "datetime2({scale})"),
            Self::DateTimeOffset(scale) => write!(f, "datetimeoffset({scale})"),
            Self::UniqueIdentifier => f.write_str("uniqueidentifier"),
            Self::CatalogOnly(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        for text in [
            "bit",
            "decimal(38,10)",
            "nvarchar(max)",
            "varchar(8000)",
            "datetime2(7)",
            "time(0)",
            "rowversion",
            "hierarchyid",
        ] {
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
