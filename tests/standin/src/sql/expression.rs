//! Expressions: columns, constants, operators and conversions.

use sqlparser::ast::{BinaryOperator, CaseWhen, DataType, Expr, Query, UnaryOperator, Value};

use super::convert;
use super::translator::{Scope, TranslateError, Translator};
use super::type_rules::{arithmetic, common_type};
use super::typed::TypedSql;
use crate::catalog::{find_column, same_name};
use crate::error::SqlError;
use crate::types::sql_type::{Family, SqlType};
use crate::types::text;

impl Translator {
    pub(super) fn expression(
        &self,
        expression: &Expr,
        scope: &Scope<'_>,
    ) -> Result<TypedSql, TranslateError> {
        match expression {
            Expr::Identifier(ident) if ident.value.starts_with('@') => {
                Ok(self.variable(&ident.value)?)
            }
            Expr::Identifier(ident) => Ok(column(scope, None, &ident.value)?),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., table, name] => Ok(column(scope, Some(&table.value), &name.value)?),
                _ => Err(SqlError::unsupported(expression).into()),
            },
            Expr::Value(value) => Ok(constant(&value.value)?),
            Expr::Nested(inner) => {
                let inner = self.expression(inner, scope)?;
                Ok(TypedSql {
                    sql: format!("({})", inner.sql),
                    ..inner
                })
            }
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr,
            } => {
                let inner = self.expression(expr, scope)?;
                Ok(inner.with_sql(format!("(- {})", inner.sql)))
            }
            Expr::UnaryOp {
                op: UnaryOperator::Plus,
                expr,
            }
            | Expr::Collate { expr, .. } => self.expression(expr, scope),
            Expr::BinaryOp { left, op, right } => self.operation(left, op, right, scope),
            Expr::Cast {
                expr, data_type, ..
            } => self.conversion(expr, data_type, None, scope),
            Expr::Convert {
                expr,
                data_type: Some(data_type),
                styles,
                ..
            } => match styles.as_slice() {
                [] => self.conversion(expr, data_type, None, scope),
                [style] => self.conversion(expr, data_type, Some(number(style)?), scope),
                _ => Err(SqlError::unsupported(expression).into()),
            },
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => {
                let otherwise = else_result.as_deref();
                self.case(operand.as_deref(), conditions, otherwise, scope)
            }
            Expr::Function(function) => self.function(function, scope),
            Expr::Subquery(query) => self.scalar(query, scope),
            Expr::Trim {
                expr,
                trim_where: None,
                trim_what: None,
                ..
            } => {
                let inner = self.expression(expr, scope)?;
                Ok(inner.with_sql(format!("btrim({})", inner.sql)).inexact())
            }
            Expr::Substring {
                expr,
                substring_from: Some(from),
                substring_for: Some(length),
                ..
            } => {
                let value = self.expression(expr, scope)?;
                self.substring(&value, from, length, scope)
            }
            other => Err(SqlError::unsupported(other).into()),
        }
    }

    /// A parameter of the call such as `@P1`, or a system variable such as `@@SPID`.
    fn variable(&self, name: &str) -> Result<TypedSql, SqlError> {
        if let Some(value) = self.parameters.get(&name.to_lowercase()) {
            return Ok(value.clone());
        }
        let known = |value: String, sql_type| Ok(TypedSql::new(value, sql_type).not_null());
        match name.to_ascii_uppercase().as_str() {
            "@@SPID" => known(self.session.number.to_string(), SqlType::SmallInt),
            "@@TRANCOUNT" => known(self.session.transactions.to_string(), SqlType::Int),
            "@@ROWCOUNT" => known(self.session.row_count.to_string(), SqlType::Int),
            "@@VERSION" => Ok(TypedSql::text(
                "Microsoft SQL Server 2019 (stand-in over PostgreSQL)".to_owned(),
                SqlType::NVarChar(Some(300)),
            )),
            "@@SERVERNAME" => Ok(TypedSql::text(
                "sqlserver-standin".to_owned(),
                SqlType::NVarChar(Some(128)),
            )),
            "@@MAX_CONNECTIONS" => known("32767".to_owned(), SqlType::Int),
            "@@MAX_PRECISION" => known("38".to_owned(), SqlType::TinyInt),
            "@@MICROSOFTVERSION" => known("251658240".to_owned(), SqlType::Int),
            _ => Err(
                SqlError::new(137, format!("Must declare the scalar variable \"{name}\"."))
                    .with_severity(15),
            ),
        }
    }

    fn substring(
        &self,
        value: &TypedSql,
        from: &Expr,
        length: &Expr,
        scope: &Scope<'_>,
    ) -> Result<TypedSql, TranslateError> {
        let from = self.expression(from, scope)?.sql;
        let length = self.expression(length, scope)?.sql;
        let sql = format!("substring({} FROM {from} FOR {length})", value.sql);
        Ok(value.with_sql(sql).inexact())
    }

    /// `CAST` and `CONVERT`.
    fn conversion(
        &self,
        value: &Expr,
        data_type: &DataType,
        style: Option<i64>,
        scope: &Scope<'_>,
    ) -> Result<TypedSql, TranslateError> {
        let value = self.expression(value, scope)?;
        let to = SqlType::parse_in_cast(&data_type.to_string())?;
        Ok(convert::cast(value, to, style)?)
    }

    fn operation(
        &self,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
        scope: &Scope<'_>,
    ) -> Result<TypedSql, TranslateError> {
        let symbol = match op {
            BinaryOperator::Plus => '+',
            BinaryOperator::Minus => '-',
            BinaryOperator::Multiply => '*',
            BinaryOperator::Divide => '/',
            BinaryOperator::Modulo => '%',
            other => return Err(SqlError::unsupported(other).into()),
        };
        let (left, right) = (
            self.expression(left, scope)?,
            self.expression(right, scope)?,
        );
        let nullable = left.nullable || right.nullable;
        let (Some(l), Some(r)) = (left.sql_type, right.sql_type) else {
            return Ok(TypedSql::untyped(format!(
                "({} {symbol} {})",
                left.sql, right.sql
            )));
        };
        let is_text = |t: SqlType| t.family() == Family::Character;
        let (symbol, sql_type) = if symbol == '+' && is_text(l) && is_text(r) {
            let sql_type = if l.is_unicode() || r.is_unicode() {
                SqlType::NVarChar(None)
            } else {
                SqlType::VarChar(None)
            };
            ("||".to_owned(), sql_type)
        } else {
            (symbol.to_string(), arithmetic(symbol, l, r))
        };
        let sql = format!("({} {symbol} {})", left.sql, right.sql);
        Ok(TypedSql {
            nullable,
            ..TypedSql::new(sql, sql_type)
        })
    }

    fn case(
        &self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
        scope: &Scope<'_>,
    ) -> Result<TypedSql, TranslateError> {
        let mut sql = String::from("CASE");
        let mut results = Vec::new();
        for CaseWhen { condition, result } in conditions {
            let condition = match operand {
                Some(operand) => self.comparison(operand, "=", condition, scope)?,
                None => self.condition(condition, scope)?,
            };
            let result = self.expression(result, scope)?;
            sql.push_str(&format!(" WHEN {condition} THEN {}", result.sql));
            results.push(result);
        }
        if let Some(otherwise) = otherwise {
            let result = self.expression(otherwise, scope)?;
            sql.push_str(&format!(" ELSE {}", result.sql));
            results.push(result);
        }
        sql.push_str(" END");
        Ok(TypedSql {
            sql,
            ..common_type(&results)
        })
    }

    /// A sub-query that is used as a value.
    fn scalar(&self, query: &Query, scope: &Scope<'_>) -> Result<TypedSql, TranslateError> {
        let rows = self.query(query, Some(scope))?;
        match rows.columns.as_slice() {
            [column] => Ok(column
                .with_sql(format!("({})", rows.sql))
                .nullable()
                .exact()),
            _ => Err(SqlError::new(116, "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.").into()),
        }
    }
}

/// A number that must be a constant, such as a style.
pub(super) fn number(expression: &Expr) -> Result<i64, SqlError> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits
                .to_string()
                .parse()
                .map_err(|_| SqlError::unsupported(expression)),
            _ => Err(SqlError::unsupported(expression)),
        },
        _ => Err(SqlError::unsupported(expression)),
    }
}

fn column(scope: &Scope<'_>, qualifier: Option<&str>, name: &str) -> Result<TypedSql, SqlError> {
    let mut found = None;
    for table in &scope.tables {
        if qualifier.is_some_and(|qualifier| !same_name(qualifier, &table.alias)) {
            continue;
        }
        if let Some(column) = find_column(&table.columns, name) {
            if found.is_some() {
                return Err(SqlError::new(
                    209,
                    format!("Ambiguous column name '{name}'."),
                ));
            }
            found = Some(TypedSql::column(&table.alias, column));
        }
    }
    match (found, scope.outer) {
        (Some(column), _) => Ok(column),
        (None, Some(outer)) => column(outer, qualifier, name),
        (None, None) => Err(SqlError::no_column(name)),
    }
}

fn constant(value: &Value) -> Result<TypedSql, SqlError> {
    Ok(match value {
        Value::Number(digits, _) => numeral(&digits.to_string()),
        Value::SingleQuotedString(content) => {
            let length = u16::try_from(content.chars().count().max(1))
                .ok()
                .filter(|n| *n <= 8000);
            TypedSql::text(text::from_str(content)?, SqlType::VarChar(length))
        }
        Value::NationalStringLiteral(content) => {
            let length = u16::try_from(content.encode_utf16().count().max(1))
                .ok()
                .filter(|n| *n <= 4000);
            TypedSql::text(text::from_str(content)?, SqlType::NVarChar(length))
        }
        Value::HexStringLiteral(digits) => {
            // An odd number of digits is padded with a leading zero.
            let padded = if digits.len().is_multiple_of(2) {
                digits.clone()
            } else {
                format!("0{digits}")
            };
            TypedSql::bytes(hex::decode(&padded).map_err(|_| SqlError::unsupported(digits))?)
        }
        Value::Null => TypedSql::null(),
        Value::Placeholder(name) => return Err(SqlError::unsupported(name)),
        other => return Err(SqlError::unsupported(other)),
    })
}

/// A numeric constant. Its notation determines the type: whole, with a point, or with an exponent.
fn numeral(digits: &str) -> TypedSql {
    if digits.contains(['e', 'E']) {
        return TypedSql::new(
            format!("CAST('{digits}' AS double precision)"),
            SqlType::Float,
        )
        .exact()
        .not_null();
    }
    let sql_type = match digits.split_once('.') {
        None if digits.parse::<i32>().is_ok() => SqlType::Int,
        None => SqlType::Decimal(u8::try_from(digits.len().clamp(1, 38)).unwrap_or(38), 0),
        Some((whole, fraction)) => {
            let scale = fraction.len().min(38);
            let precision = (whole.trim_start_matches('0').len() + scale).clamp(1, 38);
            SqlType::Decimal(
                u8::try_from(precision).unwrap_or(38),
                u8::try_from(scale).unwrap_or(38),
            )
        }
    };
    // Without the cast PostgreSQL may type a whole number as bigint.
    let sql = match sql_type {
        SqlType::Int => digits.to_owned(),
        _ => format!("CAST({digits} AS numeric)"),
    };
    TypedSql::new(sql, sql_type).not_null()
}
