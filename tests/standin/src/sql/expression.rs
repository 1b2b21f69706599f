//! Expressions: columns, constants, operators, conversions.

use sqlparser::ast::{BinaryOperator, CaseWhen, Expr, InTarget, UnaryOperator, Value};

use super::convert::{self, Constant, Typed};
use super::{Fault, Scope, Translator, idents, same_name};
use crate::error::SqlError;
use crate::sqltype::{Family, SqlType};
use crate::text;

impl Translator {
    /// An expression of PostgreSQL, with the type that SQL Server gives it.
    pub(crate) fn expression(&self, expression: &Expr, scope: &Scope<'_>) -> Result<Typed, Fault> {
        match expression {
            Expr::Identifier(ident) if ident.value.starts_with('@') => {
                self.variable(&ident.value).map_err(Fault::Sql)
            }
            Expr::Identifier(ident) => Ok(column(scope, None, &ident.value)?),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., table, name] => Ok(column(scope, Some(&table.value), &name.value)?),
                _ => Err(SqlError::unsupported(expression).into()),
            },
            Expr::Value(value) => Ok(constant(&value.value)?),
            Expr::Nested(inner) => {
                let inner = self.expression(inner, scope)?;
                Ok(Typed {
                    sql: format!("({})", inner.sql),
                    ..inner
                })
            }
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr,
            } => {
                let inner = self.expression(expr, scope)?;
                Ok(Typed {
                    sql: format!("(- {})", inner.sql),
                    constant: None,
                    ..inner
                })
            }
            Expr::UnaryOp {
                op: UnaryOperator::Plus,
                expr,
            } => self.expression(expr, scope),
            Expr::BinaryOp { left, op, right } => self.operation(left, op, right, scope),
            Expr::Cast {
                expr, data_type, ..
            } => {
                let value = self.expression(expr, scope)?;
                Ok(convert::cast(
                    value,
                    SqlType::parse_in_cast(&data_type.to_string())?,
                    None,
                )?)
            }
            Expr::Convert {
                expr,
                data_type: Some(data_type),
                styles,
                ..
            } => {
                let value = self.expression(expr, scope)?;
                let style = match styles.as_slice() {
                    [] => None,
                    [style] => Some(number(style)?),
                    _ => return Err(SqlError::unsupported(expression).into()),
                };
                Ok(convert::cast(
                    value,
                    SqlType::parse_in_cast(&data_type.to_string())?,
                    style,
                )?)
            }
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(
                operand.as_deref(),
                conditions,
                else_result.as_deref(),
                scope,
            ),
            Expr::Function(function) => self.function(function, scope),
            Expr::Subquery(query) => self.scalar(query, scope),
            Expr::Collate { expr, .. } => self.expression(expr, scope),
            Expr::Trim {
                expr,
                trim_where: None,
                trim_what: None,
                ..
            } => {
                let inner = self.expression(expr, scope)?;
                Ok(Typed {
                    sql: format!("btrim({})", inner.sql),
                    exact: false,
                    constant: None,
                    ..inner
                })
            }
            Expr::Substring {
                expr,
                substring_from: Some(from),
                substring_for: Some(length),
                ..
            } => {
                let (value, from, length) = (
                    self.expression(expr, scope)?,
                    self.expression(from, scope)?,
                    self.expression(length, scope)?,
                );
                let sql = format!(
                    "substring({} FROM {} FOR {})",
                    value.sql, from.sql, length.sql
                );
                Ok(Typed {
                    sql,
                    exact: false,
                    constant: None,
                    ..value
                })
            }
            other => Err(SqlError::unsupported(other).into()),
        }
    }

    /// `@P1` of the call, or `@@SPID` and the like.
    fn variable(&self, name: &str) -> Result<Typed, SqlError> {
        if let Some(value) = self.parameters.get(&name.to_lowercase()) {
            return Ok(value.clone());
        }
        let fact = |value: String, sql_type| Ok(Typed::new(value, sql_type).not_null());
        match name.to_ascii_uppercase().as_str() {
            "@@SPID" => fact(self.facts.session.to_string(), SqlType::SmallInt),
            "@@TRANCOUNT" => fact(self.facts.transactions.to_string(), SqlType::Int),
            "@@ROWCOUNT" => fact(self.facts.row_count.to_string(), SqlType::Int),
            "@@VERSION" => Ok(Typed::text(
                "Microsoft SQL Server 2019 (stand-in over PostgreSQL)".to_owned(),
                SqlType::NVarChar(Some(300)),
            )),
            "@@SERVERNAME" => Ok(Typed::text(
                "sqlserver-standin".to_owned(),
                SqlType::NVarChar(Some(128)),
            )),
            "@@MAX_PRECISION" => fact("38".to_owned(), SqlType::TinyInt),
            "@@MICROSOFTVERSION" => fact("251658240".to_owned(), SqlType::Int),
            _ => Err(
                SqlError::new(137, format!("Must declare the scalar variable \"{name}\"."))
                    .with_severity(15),
            ),
        }
    }

    fn operation(
        &self,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
        scope: &Scope<'_>,
    ) -> Result<Typed, Fault> {
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
            return Ok(Typed::untyped(format!(
                "({} {symbol} {})",
                left.sql, right.sql
            )));
        };
        let character = |t: SqlType| t.family() == Family::Character;
        if symbol == '+' && character(l) && character(r) {
            let sql_type = if matches!(l, SqlType::NVarChar(_) | SqlType::NChar(_))
                || matches!(r, SqlType::NVarChar(_) | SqlType::NChar(_))
            {
                SqlType::NVarChar(None)
            } else {
                SqlType::VarChar(None)
            };
            let sql = format!("({} || {})", left.sql, right.sql);
            return Ok(Typed {
                nullable,
                ..Typed::new(sql, sql_type)
            });
        }
        let sql = format!("({} {symbol} {})", left.sql, right.sql);
        Ok(Typed {
            nullable,
            ..Typed::new(sql, convert::arithmetic(symbol, l, r))
        })
    }

    fn case(
        &self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
        scope: &Scope<'_>,
    ) -> Result<Typed, Fault> {
        let mut sql = String::from("CASE");
        let mut results = Vec::new();
        for CaseWhen { condition, result } in conditions {
            let condition = match operand {
                Some(operand) => {
                    let (left, right) = convert::comparable(
                        self.expression(operand, scope)?,
                        self.expression(condition, scope)?,
                    )?;
                    format!("{left} = {right}")
                }
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
        Ok(Typed {
            sql,
            ..common_type(&results)
        })
    }

    /// A condition, which is no value in SQL Server.
    pub(crate) fn condition(&self, expression: &Expr, scope: &Scope<'_>) -> Result<String, Fault> {
        Ok(match expression {
            Expr::Nested(inner) => format!("({})", self.condition(inner, scope)?),
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => format!("NOT ({})", self.condition(expr, scope)?),
            Expr::BinaryOp {
                left,
                op: op @ (BinaryOperator::And | BinaryOperator::Or),
                right,
            } => {
                format!(
                    "({} {op} {})",
                    self.condition(left, scope)?,
                    self.condition(right, scope)?
                )
            }
            Expr::BinaryOp { left, op, right } => {
                let symbol = match op {
                    BinaryOperator::Eq => "=",
                    BinaryOperator::NotEq => "<>",
                    BinaryOperator::Lt => "<",
                    BinaryOperator::LtEq => "<=",
                    BinaryOperator::Gt => ">",
                    BinaryOperator::GtEq => ">=",
                    other => return Err(SqlError::unsupported(other).into()),
                };
                let (left, right) = convert::comparable(
                    self.expression(left, scope)?,
                    self.expression(right, scope)?,
                )?;
                format!("{left} {symbol} {right}")
            }
            Expr::IsNull(inner) => format!("{} IS NULL", self.expression(inner, scope)?.sql),
            Expr::IsNotNull(inner) => format!("{} IS NOT NULL", self.expression(inner, scope)?.sql),
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let value = self.expression(expr, scope)?;
                let (at_least, low) =
                    convert::comparable(value.clone(), self.expression(low, scope)?)?;
                let (at_most, high) = convert::comparable(value, self.expression(high, scope)?)?;
                format!(
                    "{}({at_least} >= {low} AND {at_most} <= {high})",
                    not(*negated)
                )
            }
            Expr::In {
                expr,
                target: InTarget::List(list),
                negated,
                ..
            } => {
                let value = self.expression(expr, scope)?;
                let mut terms = Vec::new();
                for item in list {
                    let (left, right) =
                        convert::comparable(value.clone(), self.expression(item, scope)?)?;
                    terms.push(format!("{left} = {right}"));
                }
                format!("{}({})", not(*negated), terms.join(" OR "))
            }
            Expr::In {
                expr,
                target: InTarget::Subquery(query),
                negated,
                ..
            } => {
                let value = self.expression(expr, scope)?;
                let rows = self.query(query, Some(scope))?;
                format!("{}({} IN ({}))", not(*negated), value.sql, rows.sql)
            }
            Expr::Exists { subquery, negated } => {
                format!(
                    "{}EXISTS ({})",
                    not(*negated),
                    self.query(subquery, Some(scope))?.sql
                )
            }
            Expr::Like {
                negated,
                expr,
                pattern,
                escape_char: None,
                ..
            } => {
                let (value, pattern) = (
                    self.expression(expr, scope)?,
                    self.expression(pattern, scope)?,
                );
                // Nondeterministic collations know no LIKE.
                format!(
                    "{}(lower({}) COLLATE \"C\" LIKE lower({}) COLLATE \"C\")",
                    not(*negated),
                    value.sql,
                    pattern.sql
                )
            }
            other => return Err(SqlError::unsupported(other).into()),
        })
    }

    /// A sub-query that stands for one value.
    fn scalar(&self, query: &sqlparser::ast::Query, scope: &Scope<'_>) -> Result<Typed, Fault> {
        let rows = self.query(query, Some(scope))?;
        match rows.columns.as_slice() {
            [column] => Ok(Typed { sql: format!("({})", rows.sql), nullable: true, constant: None, exact: true, ..column.clone() }),
            _ => Err(SqlError::new(116, "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.").into()),
        }
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

/// The type of an expression that is one of several.
pub(super) fn common_type(values: &[Typed]) -> Typed {
    let mut typed = values.iter().filter(|value| value.sql_type.is_some());
    let Some(first) = typed.next() else {
        return Typed::null();
    };
    let mut sql_type = first.sql_type;
    for value in typed {
        sql_type = sql_type
            .zip(value.sql_type)
            .map(|(left, right)| convert::common(left, right));
    }
    Typed {
        sql_type,
        nullable: true,
        constant: None,
        exact: false,
        identity: false,
        computed: false,
        ..first.clone()
    }
}

/// A number that is written out, such as a style.
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

fn column(scope: &Scope<'_>, qualifier: Option<&str>, name: &str) -> Result<Typed, SqlError> {
    let mut found = None;
    for source in &scope.sources {
        if qualifier.is_some_and(|qualifier| !same_name(qualifier, &source.alias)) {
            continue;
        }
        let exact = source.columns.iter().find(|column| column.name == name);
        if let Some(column) = exact.or_else(|| {
            source
                .columns
                .iter()
                .find(|column| same_name(&column.name, name))
        }) {
            if found.is_some() {
                return Err(SqlError::new(
                    209,
                    format!("Ambiguous column name '{name}'."),
                ));
            }
            found = Some(Typed::column(&source.alias, column));
        }
    }
    match (found, scope.outer) {
        (Some(column), _) => Ok(column),
        (None, Some(outer)) => column_of_outer(outer, qualifier, name),
        (None, None) => Err(SqlError::no_column(name)),
    }
}

fn column_of_outer(
    outer: &Scope<'_>,
    qualifier: Option<&str>,
    name: &str,
) -> Result<Typed, SqlError> {
    column(outer, qualifier, name)
}

fn constant(value: &Value) -> Result<Typed, SqlError> {
    Ok(match value {
        Value::Number(digits, _) => numeral(&digits.to_string()),
        Value::SingleQuotedString(content) => {
            let length = u16::try_from(content.chars().count().max(1))
                .ok()
                .filter(|n| *n <= 8000);
            Typed::text(text::from_str(content)?, SqlType::VarChar(length))
        }
        Value::NationalStringLiteral(content) => {
            let length = u16::try_from(content.encode_utf16().count().max(1))
                .ok()
                .filter(|n| *n <= 4000);
            Typed::text(text::from_str(content)?, SqlType::NVarChar(length))
        }
        Value::HexStringLiteral(digits) => {
            // An odd number of digits has a zero before it.
            let padded = if digits.len().is_multiple_of(2) {
                digits.clone()
            } else {
                format!("0{digits}")
            };
            Typed::bytes(text::unhex(&padded).ok_or_else(|| SqlError::unsupported(digits))?)
        }
        Value::Null => Typed::null(),
        Value::Placeholder(name) => return Err(SqlError::unsupported(name)),
        other => return Err(SqlError::unsupported(other)),
    })
}

/// A number by its looks: whole, with a point, or with an exponent.
fn numeral(digits: &str) -> Typed {
    if digits.contains(['e', 'E']) {
        return Typed::new(
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
    // PostgreSQL takes a whole number for a bigint if it can, and would do
    // arithmetic with it as a float.
    let sql = match sql_type {
        SqlType::Int => digits.to_owned(),
        _ => format!("CAST({digits} AS numeric)"),
    };
    Typed::new(sql, sql_type).not_null()
}

/// The last part of a function's name, in capitals.
pub(super) fn function_name(name: &sqlparser::ast::ObjectName) -> Result<String, SqlError> {
    let parts = idents(name)?;
    Ok(parts
        .last()
        .map(|ident| ident.value.to_ascii_uppercase())
        .unwrap_or_default())
}

/// Whether a value is the constant NULL.
pub(super) fn is_null(value: &Typed) -> bool {
    value.constant == Some(Constant::Null)
}
