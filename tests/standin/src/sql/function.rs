//! The functions of Transact-SQL that tests and tools use.

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
};

use super::convert;
use super::translator::{Scope, TranslateError, Translator, last_ident};
use super::type_rules::common_type;
use super::typed::TypedSql;
use crate::error::SqlError;
use crate::types::collation;
use crate::types::sql_type::{Family, SqlType};
use crate::types::text;

impl Translator {
    pub(super) fn function(
        &self,
        function: &Function,
        scope: &Scope<'_>,
    ) -> Result<TypedSql, TranslateError> {
        if function.over.is_some() || function.filter.is_some() {
            return Err(SqlError::unsupported(function).into());
        }
        let name = last_ident(&function.name)?.to_ascii_uppercase();
        let (arguments, distinct) = match &function.args {
            FunctionArguments::None => (&[][..], ""),
            FunctionArguments::List(list) => {
                let distinct = match list.duplicate_treatment {
                    Some(DuplicateTreatment::Distinct) => "DISTINCT ",
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
            .call(&name, distinct, &values)?
            .ok_or_else(|| SqlError::unsupported(function))?)
    }

    /// The first argument of DATEADD and DATEDIFF is a part of a date, not a column. They are not
    /// supported, and the error is 102, not 207.
    fn argument(
        &self,
        function: &str,
        argument: &Expr,
        scope: &Scope<'_>,
    ) -> Result<TypedSql, TranslateError> {
        match (function, argument) {
            ("DATEADD" | "DATEDIFF", Expr::Identifier(part)) => {
                Ok(TypedSql::untyped(part.value.to_ascii_lowercase()))
            }
            _ => self.expression(argument, scope),
        }
    }

    /// `None` for an unknown function or one with other arguments.
    fn call(
        &self,
        name: &str,
        distinct: &str,
        values: &[TypedSql],
    ) -> Result<Option<TypedSql>, SqlError> {
        let simple = aggregate(name, distinct, values)
            .or_else(|| choice(name, values))
            .or_else(|| generated(name, values))
            .or_else(|| self.session_property(name, values))
            .or_else(|| database_property(name, values));
        match simple {
            Some(result) => Ok(Some(result)),
            None => scalar(name, values),
        }
    }

    fn session_property(&self, name: &str, values: &[TypedSql]) -> Option<TypedSql> {
        Some(match (name, values) {
            ("DB_NAME", _) => name_constant(&self.session.database),
            ("SUSER_SNAME" | "SUSER_NAME" | "SYSTEM_USER" | "ORIGINAL_LOGIN", _) => {
                name_constant(&self.session.login)
            }
            ("USER_NAME" | "CURRENT_USER", _) | ("SCHEMA_NAME", []) => name_constant("dbo"),
            ("HOST_NAME", []) => name_constant(&self.session.host),
            ("APP_NAME", []) => name_constant(&self.session.application),
            _ => return None,
        })
    }
}

/// A constant of the type that names have in SQL Server.
fn name_constant(value: &str) -> TypedSql {
    TypedSql::text(value.to_owned(), SqlType::NVarChar(Some(128)))
}

fn database_property(name: &str, values: &[TypedSql]) -> Option<TypedSql> {
    Some(match (name, values) {
        ("DB_ID", _) => TypedSql::new("5", SqlType::SmallInt).not_null(),
        ("COLLATIONPROPERTY", [name, property]) if property.sql.contains("'CodePage'") => {
            TypedSql::new(format!("sys.code_page({})", name.sql), SqlType::Int)
        }
        ("DATABASEPROPERTYEX", [_, property]) if property.sql.contains("'Collation'") => {
            name_constant(collation::DEFAULT)
        }
        ("DATABASEPROPERTYEX", [_, property]) if property.sql.contains("'Updateability'") => {
            name_constant("READ_WRITE")
        }
        ("OBJECT_ID", [name, ..]) => {
            TypedSql::new(format!("sys.object_id({})", name.sql), SqlType::Int)
        }
        ("HAS_PERMS_BY_NAME", [_, _, permission]) => TypedSql::new(
            format!("sys.has_permission(CAST({} AS text))", permission.sql),
            SqlType::Int,
        ),
        ("HAS_PERMS_BY_NAME", [securable, _, permission, column, _])
            if permission.sql.contains("'SELECT'") =>
        {
            TypedSql::new(
                format!(
                    "sys.may_read(CAST({} AS text), CAST({} AS text))",
                    securable.sql, column.sql
                ),
                SqlType::Int,
            )
        }
        // Of a column, this version knows no permission but those to read and write.
        ("HAS_PERMS_BY_NAME", [_, _, _, _, _]) => {
            TypedSql::new("CAST(NULL AS integer)", SqlType::Int)
        }
        ("QUOTENAME", [name]) => TypedSql::new(
            format!(
                // PostgreSQL replaces nothing in a text whose collation ignores case.
                "('[' || replace(CAST({} AS text) COLLATE \"C\", ']', ']]') || ']')",
                name.sql
            ),
            SqlType::NVarChar(Some(258)),
        ),
        ("SERVERPROPERTY", [property]) => {
            let property = property.sql.trim_matches('\'');
            match property.to_ascii_lowercase().as_str() {
                "productversion" => name_constant("15.0.2000.5"),
                "servername" => name_constant("STANDIN"),
                "edition" => name_constant("stand-in"),
                // Enterprise.
                "engineedition" => TypedSql::new("3", SqlType::Int).not_null(),
                _ => TypedSql::null(),
            }
        }
        _ => return None,
    })
}

fn aggregate(name: &str, distinct: &str, values: &[TypedSql]) -> Option<TypedSql> {
    let [value] = values else {
        return None;
    };
    Some(match name {
        "COUNT" | "COUNT_BIG" => count(format!("count({distinct}{})", value.sql), name),
        "SUM" => {
            let sql_type = match value.sql_type {
                Some(SqlType::TinyInt | SqlType::SmallInt | SqlType::Int) => SqlType::Int,
                Some(SqlType::BigInt) => SqlType::BigInt,
                Some(SqlType::Decimal(_, scale)) => SqlType::Decimal(38, scale),
                Some(SqlType::Money | SqlType::SmallMoney) => SqlType::Money,
                _ => SqlType::Float,
            };
            TypedSql::new(format!("sum({distinct}{})", value.sql), sql_type)
        }
        "AVG" => {
            let sql_type = match value.sql_type {
                Some(t) if t.family() == Family::Integer => t,
                Some(SqlType::Decimal(_, scale)) => SqlType::Decimal(38, scale.max(6)),
                Some(SqlType::Money | SqlType::SmallMoney) => SqlType::Money,
                _ => SqlType::Float,
            };
            let sql = format!("avg({distinct}{})", value.sql);
            let whole = sql_type.family() == Family::Integer;
            TypedSql::new(if whole { format!("trunc({sql})") } else { sql }, sql_type)
        }
        "MIN" | "MAX" => match value.sql_type.map(SqlType::family) {
            Some(Family::Uuid | Family::Bit) => return None,
            _ => value.with_sql(call_of(name, value)).nullable(),
        },
        _ => return None,
    })
}

fn count(sql: String, name: &str) -> TypedSql {
    let sql_type = if name == "COUNT" {
        SqlType::Int
    } else {
        SqlType::BigInt
    };
    TypedSql::new(sql, sql_type)
}

/// The call of a function that has the same name in PostgreSQL.
fn call_of(name: &str, value: &TypedSql) -> String {
    format!("{}({})", name.to_lowercase(), value.sql)
}

/// Functions that choose one of their arguments.
fn choice(name: &str, values: &[TypedSql]) -> Option<TypedSql> {
    Some(match (name, values) {
        ("COALESCE", [_, ..]) => {
            let list: Vec<_> = values.iter().map(|value| value.sql.as_str()).collect();
            TypedSql {
                sql: format!("coalesce({})", list.join(", ")),
                nullable: values.iter().all(|value| value.nullable),
                ..common_type(values)
            }
        }
        ("ISNULL", [value, otherwise]) => {
            let sql = format!("coalesce({}, {})", value.sql, otherwise.sql);
            let typed = if value.is_null() { otherwise } else { value };
            TypedSql {
                nullable: otherwise.nullable,
                ..typed.with_sql(sql).inexact()
            }
        }
        ("NULLIF", [left, right]) => left
            .with_sql(format!("nullif({}, {})", left.sql, right.sql))
            .nullable(),
        _ => return None,
    })
}

/// Functions that generate a value: the current time, or a random one.
fn generated(name: &str, values: &[TypedSql]) -> Option<TypedSql> {
    let generated = match (name, values) {
        ("GETDATE" | "CURRENT_TIMESTAMP", []) => TypedSql::new(
            "sys.rounded_to_datetime(clock_timestamp()::timestamp)",
            SqlType::DateTime,
        ),
        ("SYSDATETIME" | "SYSUTCDATETIME" | "GETUTCDATE", []) => TypedSql::new(
            "sys.ticks(clock_timestamp()::timestamp)",
            SqlType::DateTime2(7),
        )
        .exact(),
        ("NEWID", []) => TypedSql::new("gen_random_uuid()", SqlType::UniqueIdentifier).exact(),
        _ => return None,
    };
    Some(generated.not_null())
}

/// Functions of text, bytes and numbers.
fn scalar(name: &str, values: &[TypedSql]) -> Result<Option<TypedSql>, SqlError> {
    Ok(Some(match (name, values) {
        ("LEN", [value]) => TypedSql::new(
            format!("length(rtrim(CAST({} AS text)))", value.sql),
            SqlType::Int,
        ),
        ("DATALENGTH", [value]) => {
            let Some(sql_type) = value.sql_type else {
                return Ok(None);
            };
            let sql = match sql_type.family() {
                Family::Binary => format!("length({})", value.sql),
                Family::Character if sql_type.is_unicode() => {
                    format!("(2 * length(CAST({} AS text)))", value.sql)
                }
                Family::Character => format!("length(CAST({} AS text))", value.sql),
                _ => return Ok(None),
            };
            TypedSql::new(sql, SqlType::Int)
        }
        ("UPPER" | "LOWER" | "LTRIM" | "RTRIM" | "ABS" | "FLOOR" | "CEILING", [value]) => {
            value.with_sql(call_of(name, value)).inexact()
        }
        ("REPLACE", [value, from, to]) => value
            .with_sql(format!("replace({}, {}, {})", value.sql, from.sql, to.sql))
            .inexact(),
        ("REPLICATE", [value, times]) => {
            let sql_type = if value.sql_type.is_some_and(SqlType::is_unicode) {
                SqlType::NVarChar(None)
            } else {
                SqlType::VarChar(None)
            };
            let (text, times) = (&value.sql, &times.sql);
            TypedSql::new(
                format!("repeat(CAST({text} AS text), CAST({times} AS integer))"),
                sql_type,
            )
        }
        // PostgreSQL's text has neither U+0000 nor unpaired surrogates. Only for a constant the
        // substitute is known.
        ("NCHAR", [code]) => {
            let Ok(unit) = code.sql.parse::<u16>() else {
                return Ok(None);
            };
            TypedSql::text(
                text::from_utf16le(&unit.to_le_bytes())?,
                SqlType::NVarChar(Some(1)),
            )
        }
        ("CONCAT", _) => {
            let parts = values
                .iter()
                .map(|value| {
                    convert::cast(value.clone(), SqlType::NVarChar(None), None).map(|part| part.sql)
                })
                .collect::<Result<Vec<_>, _>>()?;
            TypedSql::new(
                format!("concat({})", parts.join(", ")),
                SqlType::NVarChar(None),
            )
            .not_null()
        }
        _ => return Ok(None),
    }))
}
