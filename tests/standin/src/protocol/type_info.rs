//! TYPE_INFO of MS-TDS 2.2.5.4 and 2.2.5.5: the types of columns and parameters on the wire.

use crate::error::SqlError;
use crate::types::collation::Collation;
use crate::types::sql_type::SqlType;

/// The length that announces a value sent in chunks.
pub(crate) const MAX_LENGTH: u16 = 0xFFFF;

/// The type tokens, named as in MS-TDS without the suffix TYPE. A token with `_N` announces a value
/// that may be NULL.
pub(crate) mod type_token {
    pub(crate) const NULL: u8 = 0x1F;
    pub(crate) const IMAGE: u8 = 0x22;
    pub(crate) const TEXT: u8 = 0x23;
    pub(crate) const GUID: u8 = 0x24;
    pub(crate) const INT_N: u8 = 0x26;
    pub(crate) const DATE_N: u8 = 0x28;
    pub(crate) const TIME_N: u8 = 0x29;
    pub(crate) const DATETIME2_N: u8 = 0x2A;
    pub(crate) const DATETIMEOFFSET_N: u8 = 0x2B;
    pub(crate) const INT1: u8 = 0x30;
    pub(crate) const BIT: u8 = 0x32;
    pub(crate) const INT2: u8 = 0x34;
    pub(crate) const INT4: u8 = 0x38;
    pub(crate) const DATETIM4: u8 = 0x3A;
    pub(crate) const FLT4: u8 = 0x3B;
    pub(crate) const MONEY: u8 = 0x3C;
    pub(crate) const DATETIME: u8 = 0x3D;
    pub(crate) const FLT8: u8 = 0x3E;
    pub(crate) const NTEXT: u8 = 0x63;
    pub(crate) const BIT_N: u8 = 0x68;
    pub(crate) const DECIMAL_N: u8 = 0x6A;
    pub(crate) const NUMERIC_N: u8 = 0x6C;
    pub(crate) const FLT_N: u8 = 0x6D;
    pub(crate) const MONEY_N: u8 = 0x6E;
    pub(crate) const DATETIM_N: u8 = 0x6F;
    pub(crate) const MONEY4: u8 = 0x7A;
    pub(crate) const INT8: u8 = 0x7F;
    pub(crate) const BIGVARBINARY: u8 = 0xA5;
    pub(crate) const BIGVARCHAR: u8 = 0xA7;
    pub(crate) const BIGBINARY: u8 = 0xAD;
    pub(crate) const BIGCHAR: u8 = 0xAF;
    pub(crate) const NVARCHAR: u8 = 0xE7;
    pub(crate) const NCHAR: u8 = 0xEF;
    pub(crate) const XML: u8 = 0xF1;
}

/// Appends the TYPE_INFO of a result column.
///
/// # Errors
/// 102 for a type that is known to the catalog only.
pub(crate) fn push_type_info(
    out: &mut Vec<u8>,
    sql_type: SqlType,
    nullable: bool,
    collation: &Collation,
) -> Result<(), SqlError> {
    use type_token::*;
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
    let long = |out: &mut Vec<u8>, token: u8, bytes: u32| {
        out.push(token);
        out.extend_from_slice(&bytes.to_le_bytes());
    };
    match sql_type {
        SqlType::Bit => fixed(out, BIT_N, BIT, 1),
        SqlType::TinyInt => fixed(out, INT_N, INT1, 1),
        SqlType::SmallInt => fixed(out, INT_N, INT2, 2),
        SqlType::Int => fixed(out, INT_N, INT4, 4),
        SqlType::BigInt => fixed(out, INT_N, INT8, 8),
        SqlType::Real => fixed(out, FLT_N, FLT4, 4),
        SqlType::Float => fixed(out, FLT_N, FLT8, 8),
        SqlType::Money => fixed(out, MONEY_N, MONEY, 8),
        SqlType::SmallMoney => fixed(out, MONEY_N, MONEY4, 4),
        SqlType::DateTime => fixed(out, DATETIM_N, DATETIME, 8),
        SqlType::SmallDateTime => fixed(out, DATETIM_N, DATETIM4, 4),
        SqlType::Decimal(precision, scale) => {
            out.extend_from_slice(&[DECIMAL_N, decimal_bytes(precision) + 1, precision, scale]);
        }
        SqlType::UniqueIdentifier => out.extend_from_slice(&[GUID, 16]),
        SqlType::Date => out.push(DATE_N),
        SqlType::Time(scale) => out.extend_from_slice(&[TIME_N, scale]),
        SqlType::DateTime2(scale) => out.extend_from_slice(&[DATETIME2_N, scale]),
        SqlType::DateTimeOffset(scale) => out.extend_from_slice(&[DATETIMEOFFSET_N, scale]),
        SqlType::Char(n) => sized(out, BIGCHAR, n),
        SqlType::VarChar(n) => sized(out, BIGVARCHAR, n.unwrap_or(MAX_LENGTH)),
        SqlType::NChar(n) => sized(out, NCHAR, n * 2),
        SqlType::NVarChar(n) => sized(out, NVARCHAR, n.map_or(MAX_LENGTH, |n| n * 2)),
        SqlType::Binary(n) => sized(out, BIGBINARY, n),
        SqlType::RowVersion => sized(out, BIGBINARY, 8),
        SqlType::VarBinary(n) => sized(out, BIGVARBINARY, n.unwrap_or(MAX_LENGTH)),
        // Without a schema.
        SqlType::Xml => out.extend_from_slice(&[XML, 0]),
        SqlType::Text => long(out, TEXT, 0x7FFF_FFFF),
        SqlType::NText => long(out, NTEXT, 0x7FFF_FFFE),
        SqlType::Image => long(out, IMAGE, 0x7FFF_FFFF),
        SqlType::CatalogOnly(name) => {
            return Err(SqlError::unsupported(format!(
                "{name}, which the stand-in knows in the catalog only"
            )));
        }
    }
    if sql_type.has_collation() {
        out.extend_from_slice(&collation.to_bytes());
    }
    if matches!(sql_type, SqlType::Text | SqlType::NText | SqlType::Image) {
        // The number of parts of the table's name.
        out.push(0);
    }
    Ok(())
}

/// Bytes of the magnitude of a decimal.
pub(crate) fn decimal_bytes(precision: u8) -> u8 {
    match precision {
        0..=9 => 4,
        10..=19 => 8,
        20..=28 => 12,
        _ => 16,
    }
}

/// Bytes of a time of day.
pub(crate) fn time_bytes(scale: u8) -> u8 {
    match scale {
        0..=2 => 3,
        3 | 4 => 4,
        _ => 5,
    }
}
