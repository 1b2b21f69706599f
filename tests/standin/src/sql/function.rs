//! The functions that tests and tools use.

use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::convert::{self, Typed};
use super::expression::{common_type, function_name, is_null};
use super::{Fault, Scope, Translator};
use crate::error::SqlError;
use crate::sqltype::{Family, SqlType};
use crate::text;

impl Translator {
    pub(super) fn function(&self, function: &Function, scope: &Scope<'_>) -> Result<Typed, Fault> {
        if function.over.is_some() || function.filter.is_some() {
            return Err(SqlError::unsupported(function).into());
        }
        let name = function_name(&function.name)?;
        let (arguments, distinct) = match &function.args {
            FunctionArguments::None => (&[][..], ""),
            FunctionArguments::List(list) => {
                let distinct = match list.duplicate_treatment {
                    Some(sqlparser::ast::DuplicateTreatment::Distinct) => "DISTINCT ",
                    _ => "",
                };
                (list.args.as_slice(), distinct)
            }
            FunctionArguments::Subquery(_) => return Err(SqlError::unsupported(function).into()),
        };
        if let ("COUNT" | "COUNT_BIG", [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]) =
            (name.as_str(), arguments)
        {
            return Ok(count("count(*)".to_owned(), &name));
        }
        let mut values = Vec::new();
        for argument in arguments {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) = argument else {
                return Err(SqlError::unsupported(function).into());
            };
            values.push(self.argument(&name, argument, scope)?);
        }
        Ok(self
            .call(&name, distinct, values)
            .map_err(|error| error.unwrap_or_else(|| SqlError::unsupported(function)))?)
    }

    /// DATALENGTH and friends may name a type or part, which is no column.
    fn argument(&self, function: &str, argument: &Expr, scope: &Scope<'_>) -> Result<Typed, Fault> {
        match (function, argument) {
            ("DATEADD" | "DATEDIFF", Expr::Identifier(part)) => {
                Ok(Typed::untyped(part.value.to_ascii_lowercase()))
            }
            _ => self.expression(argument, scope),
        }
    }

    /// The error is `None` for a function that is not known.
    fn call(
        &self,
        name: &str,
        distinct: &str,
        values: Vec<Typed>,
    ) -> Result<Typed, Option<SqlError>> {
        let text_fact = |value: &str| Typed::text(value.to_owned(), SqlType::NVarChar(Some(128)));
        Ok(match (name, values.as_slice()) {
            ("COUNT" | "COUNT_BIG", [value]) => {
                count(format!("count({distinct}{})", value.sql), name)
            }
            ("SUM", [value]) => {
                let sql_type = match value.sql_type {
                    Some(SqlType::TinyInt | SqlType::SmallInt | SqlType::Int) => SqlType::Int,
                    Some(SqlType::BigInt) => SqlType::BigInt,
                    Some(SqlType::Decimal(_, scale)) => SqlType::Decimal(38, scale),
                    Some(SqlType::Money | SqlType::SmallMoney) => SqlType::Money,
                    _ => SqlType::Float,
                };
                Typed::new(format!("sum({distinct}{})", value.sql), sql_type)
            }
            ("AVG", [value]) => {
                let sql_type = match value.sql_type {
                    Some(t) if t.family() == Family::Integer => t,
                    Some(SqlType::Decimal(_, scale)) => SqlType::Decimal(38, scale.max(6)),
                    Some(SqlType::Money | SqlType::SmallMoney) => SqlType::Money,
                    _ => SqlType::Float,
                };
                let sql = format!("avg({distinct}{})", value.sql);
                let whole = sql_type.family() == Family::Integer;
                Typed::new(if whole { format!("trunc({sql})") } else { sql }, sql_type)
            }
            ("MIN" | "MAX", [value]) => {
                let sql = match value.sql_type.map(SqlType::family) {
                    Some(Family::Uuid | Family::Bit) => return Err(None),
                    _ => format!("{}({})", name.to_lowercase(), value.sql),
                };
                Typed {
                    sql,
                    nullable: true,
                    constant: None,
                    ..value.clone()
                }
            }
            ("COALESCE", _) if !values.is_empty() => {
                let list: Vec<_> = values.iter().map(|value| value.sql.as_str()).collect();
                let nullable = values.iter().all(|value| value.nullable);
                Typed {
                    sql: format!("coalesce({})", list.join(", ")),
                    nullable,
                    ..common_type(&values)
                }
            }
            ("ISNULL", [value, otherwise]) => Typed {
                sql: format!("coalesce({}, {})", value.sql, otherwise.sql),
                nullable: otherwise.nullable,
                constant: None,
                exact: false,
                ..if is_null(value) {
                    otherwise.clone()
                } else {
                    value.clone()
                }
            },
            ("NULLIF", [left, right]) => Typed {
                sql: format!("nullif({}, {})", left.sql, right.sql),
                nullable: true,
                constant: None,
                ..left.clone()
            },
            ("LEN", [value]) => Typed::new(
                format!("length(rtrim(CAST({} AS text)))", value.sql),
                SqlType::Int,
            ),
            ("DATALENGTH", [value]) => {
                let wide = matches!(
                    value.sql_type,
                    Some(SqlType::NVarChar(_) | SqlType::NChar(_) | SqlType::NText)
                );
                let sql = match value.sql_type.map(SqlType::family) {
                    Some(Family::Binary) => format!("length({})", value.sql),
                    Some(Family::Character) if wide => {
                        format!("(2 * length(CAST({} AS text)))", value.sql)
                    }
                    Some(Family::Character) => format!("length(CAST({} AS text))", value.sql),
                    _ => return Err(None),
                };
                Typed::new(sql, SqlType::Int)
            }
            ("UPPER" | "LOWER" | "LTRIM" | "RTRIM", [value]) => Typed {
                sql: format!("{}({})", name.to_lowercase(), value.sql),
                constant: None,
                exact: false,
                ..value.clone()
            },
            ("ABS" | "FLOOR" | "CEILING", [value]) => Typed {
                sql: format!("{}({})", name.to_lowercase(), value.sql),
                constant: None,
                exact: false,
                ..value.clone()
            },
            ("REPLACE", [value, from, to]) => Typed {
                sql: format!("replace({}, {}, {})", value.sql, from.sql, to.sql),
                constant: None,
                exact: false,
                ..value.clone()
            },
            ("REPLICATE", [value, times]) => {
                let wide = matches!(
                    value.sql_type,
                    Some(SqlType::NVarChar(_) | SqlType::NChar(_))
                );
                let sql_type = if wide {
                    SqlType::NVarChar(None)
                } else {
                    SqlType::VarChar(None)
                };
                Typed::new(
                    format!(
                        "repeat(CAST({} AS text), CAST({} AS integer))",
                        value.sql, times.sql
                    ),
                    sql_type,
                )
            }
            // PostgreSQL has no text for U+0000 and half a surrogate pair: only a
            // constant can be kept as what stands for it.
            ("NCHAR", [code]) => {
                let unit: u16 = code.sql.parse().map_err(|_| None)?;
                Typed::text(
                    text::from_utf16le(&unit.to_le_bytes()).map_err(Some)?,
                    SqlType::NVarChar(Some(1)),
                )
            }
            ("CONCAT", _) => {
                let mut parts = Vec::new();
                for value in values {
                    parts.push(convert::cast(value, SqlType::NVarChar(None), None)?.sql);
                }
                Typed::new(
                    format!("concat({})", parts.join(", ")),
                    SqlType::NVarChar(None),
                )
                .not_null()
            }
            ("NEWID", []) => Typed::new("gen_random_uuid()", SqlType::UniqueIdentifier)
                .exact()
                .not_null(),
            ("GETDATE" | "CURRENT_TIMESTAMP", []) => Typed::new(
                "sys.rounded_to_datetime(clock_timestamp()::timestamp)",
                SqlType::DateTime,
            )
            .not_null(),
            ("SYSDATETIME" | "SYSUTCDATETIME" | "GETUTCDATE", []) => Typed::new(
                "sys.ticks(clock_timestamp()::timestamp)",
                SqlType::DateTime2(7),
            )
            .exact()
            .not_null(),
            ("DB_NAME", _) => text_fact(&self.facts.database),
            ("SUSER_SNAME" | "SUSER_NAME" | "SYSTEM_USER" | "ORIGINAL_LOGIN", _) => {
                text_fact(&self.facts.login)
            }
            ("USER_NAME" | "CURRENT_USER", _) => text_fact("dbo"),
            ("SCHEMA_NAME", []) => text_fact("dbo"),
            ("HOST_NAME", []) => text_fact(&self.facts.host),
            ("APP_NAME", []) => text_fact(&self.facts.application),
            ("DB_ID", _) => Typed::new("5", SqlType::SmallInt).not_null(),
            ("COLLATIONPROPERTY", [name, property]) if property.sql.contains("'CodePage'") => {
                Typed::new(format!("sys.code_page({})", name.sql), SqlType::Int)
            }
            ("DATABASEPROPERTYEX", [_, property]) if property.sql.contains("'Collation'") => {
                text_fact("SQL_Latin1_General_CP1_CI_AS")
            }
            ("OBJECT_ID", [name, ..]) => {
                Typed::new(format!("sys.object_id({})", name.sql), SqlType::Int)
            }
            // The stand-in's login may look at everything.
            ("HAS_PERMS_BY_NAME", [_, _, _]) => Typed::new("1", SqlType::Int),
            ("SERVERPROPERTY", [property]) => match property
                .sql
                .trim_matches('\'')
                .to_ascii_lowercase()
                .as_str()
            {
                "productversion" => text_fact("15.0.2000.5"),
                "edition" => text_fact("stand-in"),
                _ => Typed::null(),
            },
            _ => return Err(None),
        })
    }
}

fn count(sql: String, name: &str) -> Typed {
    let sql_type = if name == "COUNT" {
        SqlType::Int
    } else {
        SqlType::BigInt
    };
    Typed::new(sql, sql_type)
}
