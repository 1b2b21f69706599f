//! The types of results: of an expression that has several types, and of arithmetic.

use super::typed::TypedSql;
use crate::types::sql_type::{Family, SqlType};

/// The type of an expression that has one of several values.
pub(super) fn common_type(values: &[TypedSql]) -> TypedSql {
    let mut typed = values.iter().filter(|value| value.sql_type.is_some());
    let Some(first) = typed.next() else {
        return TypedSql::null();
    };
    let sql_type = typed.fold(first.sql_type, |sql_type, value| {
        sql_type
            .zip(value.sql_type)
            .map(|(left, right)| common(left, right))
    });
    TypedSql {
        sql_type,
        nullable: true,
        constant: None,
        exact: false,
        identity: false,
        computed: false,
        ..first.clone()
    }
}

/// The type of an expression that has one of two types: the one of higher precedence.
fn common(left: SqlType, right: SqlType) -> SqlType {
    let (lf, rf) = (left.family(), right.family());
    if lf != rf {
        return if left.precedence() >= right.precedence() {
            left
        } else {
            right
        };
    }
    match (left, right) {
        (SqlType::Decimal(p1, s1), SqlType::Decimal(p2, s2)) => {
            let scale = s1.max(s2);
            SqlType::Decimal(((p1 - s1).max(p2 - s2) + scale).min(38), scale)
        }
        _ if lf == Family::Integer && integer_rank(left) < integer_rank(right) => right,
        _ if lf == Family::Integer => left,
        _ if lf == Family::Character => wider_text(left, right),
        (SqlType::Real, other) => other,
        (SqlType::Decimal(..), _) | (SqlType::DateTime2(_), _) => left,
        (_, SqlType::Decimal(..) | SqlType::DateTime2(_)) => right,
        _ => left,
    }
}

fn integer_rank(sql_type: SqlType) -> u8 {
    match sql_type {
        SqlType::TinyInt => 0,
        SqlType::SmallInt => 1,
        SqlType::Int => 2,
        _ => 3,
    }
}

fn text_length(sql_type: SqlType) -> Option<u16> {
    match sql_type {
        SqlType::Char(n) | SqlType::NChar(n) => Some(n),
        SqlType::VarChar(n) | SqlType::NVarChar(n) => n,
        _ => None,
    }
}

fn wider_text(left: SqlType, right: SqlType) -> SqlType {
    let length = match (text_length(left), text_length(right)) {
        (Some(l), Some(r)) => Some(l.max(r)),
        _ => None,
    };
    let is_wide = |t: SqlType| t.is_unicode() || t == SqlType::Xml;
    if is_wide(left) || is_wide(right) {
        SqlType::NVarChar(length.filter(|n| *n <= 4000))
    } else {
        SqlType::VarChar(length)
    }
}

/// The type of the result of an operator between two numbers.
pub(super) fn arithmetic(operator: char, left: SqlType, right: SqlType) -> SqlType {
    let as_decimal = |t| match t {
        SqlType::Decimal(p, s) => (i16::from(p), i16::from(s)),
        SqlType::Money => (19, 4),
        SqlType::SmallMoney => (10, 4),
        SqlType::BigInt => (19, 0),
        SqlType::Int => (10, 0),
        SqlType::SmallInt => (5, 0),
        _ => (3, 0),
    };
    match (left.family(), right.family()) {
        (Family::Approximate, _) | (_, Family::Approximate) => SqlType::Float,
        (Family::Integer, Family::Integer) => common(left, right),
        _ if !matches!(left, SqlType::Decimal(..)) && !matches!(right, SqlType::Decimal(..)) => {
            SqlType::Money
        }
        _ => {
            let ((p1, s1), (p2, s2)) = (as_decimal(left), as_decimal(right));
            let (precision, scale) = match operator {
                '*' => (p1 + p2 + 1, s1 + s2),
                '/' => {
                    let scale = (s1 + p2 + 1).max(6);
                    (p1 - s1 + s2 + scale, scale)
                }
                _ => {
                    let scale = s1.max(s2);
                    ((p1 - s1).max(p2 - s2) + scale + 1, scale)
                }
            };
            // A precision above 38 shortens the scale, but not below six digits.
            let excess = (precision - 38).max(0);
            let scale = if excess > 0 {
                (scale - excess).max(scale.min(6))
            } else {
                scale
            };
            SqlType::Decimal(
                u8::try_from(precision.clamp(1, 38)).unwrap_or(38),
                u8::try_from(scale.clamp(0, 38)).unwrap_or(0),
            )
        }
    }
}
