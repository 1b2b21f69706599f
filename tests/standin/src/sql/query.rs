//! SELECT: FROM, joins, grouping, sorting and set operations.

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Join, JoinConstraint, JoinOperator, LimitClause, ObjectName,
    OrderByKind, OrderBySort, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    SetOperator, SetQuantifier, TableFactor, TableWithJoins, Top, TopQuantity, Value,
};

use super::expression::number;
use super::translator::{
    Scope, ScopedTable, TranslateError, TranslatedQuery, Translator, last_ident,
};
use super::typed::TypedSql;
use crate::catalog::{Table, find_column, same_name};
use crate::error::SqlError;
use crate::postgres;

impl Translator {
    /// A query; `outer` is the scope of the statement around a sub-query.
    pub(super) fn query(
        &self,
        query: &Query,
        outer: Option<&Scope<'_>>,
    ) -> Result<TranslatedQuery, TranslateError> {
        if query.with.is_some()
            || query.fetch.is_some()
            || query.for_clause.is_some()
            || !query.locks.is_empty()
        {
            return Err(SqlError::unsupported(query).into());
        }
        let order = match query.order_by.as_ref().map(|order| &order.kind) {
            None => &[][..],
            Some(OrderByKind::Expressions(list)) => list,
            Some(OrderByKind::All(_)) => return Err(SqlError::unsupported(query).into()),
        };
        let (mut rows, scope) = self.body(&query.body, outer)?;
        let mut terms = Vec::new();
        for item in order {
            let at = alias_position(&item.expr, &rows.names);
            let sql = match (at, &scope) {
                (Some(at), _) => at.to_string(),
                (None, Some(scope)) => self.expression(&item.expr, scope)?.sql,
                (None, None) => return Err(SqlError::unsupported(&item.expr).into()),
            };
            // In SQL Server NULL is lower than every value.
            let direction = if item.options.sort == Some(OrderBySort::Desc) {
                "DESC NULLS LAST"
            } else {
                "ASC NULLS FIRST"
            };
            terms.push(format!("{sql} {direction}"));
        }
        if !terms.is_empty() {
            rows.sql
                .push_str(&format!(" ORDER BY {}", terms.join(", ")));
        }
        if let Some(top) = top(&query.body)? {
            rows.sql.push_str(&format!(" LIMIT {top}"));
        }
        if let Some(LimitClause::LimitOffset {
            limit: None,
            offset: Some(offset),
            ..
        }) = &query.limit_clause
        {
            rows.sql
                .push_str(&format!(" OFFSET {}", number(&offset.value)?));
        } else if query.limit_clause.is_some() {
            return Err(SqlError::unsupported(query).into());
        }
        Ok(rows)
    }

    /// The query of a body, and the scope that ORDER BY may refer to.
    fn body<'a>(
        &self,
        body: &SetExpr,
        outer: Option<&'a Scope<'a>>,
    ) -> Result<(TranslatedQuery, Option<Scope<'a>>), TranslateError> {
        match body {
            SetExpr::Select(select) => {
                let (rows, scope) = self.select(select, outer)?;
                Ok((rows, Some(scope)))
            }
            SetExpr::Query(query) => Ok((self.query(query, outer)?, None)),
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => {
                let (left, right) = (self.body(left, outer)?.0, self.body(right, outer)?.0);
                let operator = match (op, set_quantifier) {
                    (SetOperator::Union, SetQuantifier::All) => "UNION ALL",
                    (SetOperator::Union, _) => "UNION",
                    (SetOperator::Except, _) => "EXCEPT",
                    (SetOperator::Intersect, _) => "INTERSECT",
                    _ => return Err(SqlError::unsupported(body).into()),
                };
                let columns = left
                    .columns
                    .iter()
                    .zip(&right.columns)
                    .map(|(l, r)| TypedSql {
                        nullable: l.nullable || r.nullable,
                        ..l.clone()
                    })
                    .collect();
                Ok((
                    TranslatedQuery {
                        sql: format!("({}) {operator} ({})", left.sql, right.sql),
                        columns,
                        names: left.names,
                    },
                    None,
                ))
            }
            other => Err(SqlError::unsupported(other).into()),
        }
    }

    fn select<'a>(
        &self,
        select: &Select,
        outer: Option<&'a Scope<'a>>,
    ) -> Result<(TranslatedQuery, Scope<'a>), TranslateError> {
        let mut scope = Scope {
            tables: Vec::new(),
            outer,
        };
        let mut from = Vec::new();
        for table in &select.from {
            from.push(self.table_with_joins(table, &mut scope)?);
        }
        let (mut columns, mut names) = (Vec::new(), Vec::new());
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expression) => {
                    columns.push(self.expression(expression, &scope)?.stored());
                    names.push(own_name(expression, &scope));
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    columns.push(self.expression(expr, &scope)?.stored());
                    names.push(alias.value.clone());
                }
                SelectItem::Wildcard(_) => {
                    push_all_columns(&scope.tables, &mut columns, &mut names)
                }
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    _,
                ) => {
                    let qualifier = last_ident(name)?;
                    let tables = scope.tables.iter();
                    let qualified = tables.filter(|table| same_name(&table.alias, qualifier));
                    push_all_columns(qualified, &mut columns, &mut names);
                }
                other => return Err(SqlError::unsupported(other).into()),
            }
        }
        let list: Vec<&str> = columns.iter().map(|column| column.sql.as_str()).collect();
        let distinct = match select.distinct {
            Some(Distinct::Distinct) => "DISTINCT ",
            None => "",
            Some(_) => return Err(SqlError::unsupported(select).into()),
        };
        let mut sql = format!("SELECT {distinct}{}", list.join(", "));
        if !from.is_empty() {
            sql.push_str(&format!(" FROM {}", from.join(", ")));
        }
        if let Some(condition) = &select.selection {
            sql.push_str(&format!(" WHERE {}", self.condition(condition, &scope)?));
        }
        if let GroupByExpr::Expressions(list, _) = &select.group_by
            && !list.is_empty()
        {
            let terms = list
                .iter()
                .map(|term| Ok(self.expression(term, &scope)?.sql))
                .collect::<Result<Vec<_>, TranslateError>>()?;
            sql.push_str(&format!(" GROUP BY {}", terms.join(", ")));
        }
        if let Some(condition) = &select.having {
            sql.push_str(&format!(" HAVING {}", self.condition(condition, &scope)?));
        }
        Ok((
            TranslatedQuery {
                sql,
                columns,
                names,
            },
            scope,
        ))
    }

    fn table_with_joins(
        &self,
        table: &TableWithJoins,
        scope: &mut Scope<'_>,
    ) -> Result<String, TranslateError> {
        let mut sql = self.factor(&table.relation, scope)?;
        for Join {
            relation,
            join_operator,
            ..
        } in &table.joins
        {
            let right = self.factor(relation, scope)?;
            let (kind, constraint, nullable) = match join_operator {
                JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                    ("JOIN", constraint, false)
                }
                JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                    ("LEFT JOIN", constraint, true)
                }
                JoinOperator::CrossJoin(constraint) => ("CROSS JOIN", constraint, false),
                other => return Err(SqlError::unsupported(format!("{other:?}")).into()),
            };
            if nullable && let Some(table) = scope.tables.last_mut() {
                table
                    .columns
                    .iter_mut()
                    .for_each(|column| column.nullable = true);
            }
            sql.push_str(&format!(" {kind} {right}"));
            match constraint {
                JoinConstraint::On(condition) => {
                    sql.push_str(&format!(" ON {}", self.condition(condition, scope)?))
                }
                JoinConstraint::None => {}
                other => return Err(SqlError::unsupported(format!("{other:?}")).into()),
            }
        }
        Ok(sql)
    }

    fn factor(
        &self,
        factor: &TableFactor,
        scope: &mut Scope<'_>,
    ) -> Result<String, TranslateError> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                ..
            } => {
                let table = self.table(name)?;
                self.check_memory_optimized(table, with_hints)?;
                let alias = alias
                    .as_ref()
                    .map_or_else(|| table.name.clone(), |alias| alias.name.value.clone());
                scope.tables.push(ScopedTable {
                    alias: alias.clone(),
                    columns: table.columns.clone(),
                });
                Ok(format!(
                    "{} AS {}",
                    table.qualified(),
                    postgres::quoted(&alias)
                ))
            }
            TableFactor::Derived {
                subquery,
                alias: Some(alias),
                ..
            } => {
                let rows = self.query(subquery, scope.outer)?;
                let alias = alias.name.value.clone();
                let columns = rows.columns.iter().zip(&rows.names);
                let columns = columns
                    .map(|(column, name)| column.to_column(name))
                    .collect();
                scope.tables.push(ScopedTable {
                    alias: alias.clone(),
                    columns,
                });
                Ok(format!(
                    "({}) AS {} ({})",
                    rows.sql,
                    postgres::quoted(&alias),
                    postgres::quoted_list(rows.names.iter().map(String::as_str))
                ))
            }
            other => Err(SqlError::unsupported(other).into()),
        }
    }
}

impl Translator {
    /// In an explicit transaction, a memory-optimized table is read with the hint SNAPSHOT, and
    /// not under the isolation level SNAPSHOT.
    fn check_memory_optimized(&self, table: &Table, hints: &[Expr]) -> Result<(), SqlError> {
        let is_snapshot = |hint: &Expr| hint.to_string().eq_ignore_ascii_case("SNAPSHOT");
        if !table.memory_optimized {
            return Ok(());
        }
        if self.session.snapshot {
            return Err(SqlError::new(
                41332,
                "Memory optimized tables and natively compiled modules cannot be accessed or created when the session TRANSACTION ISOLATION LEVEL is set to SNAPSHOT.",
            ));
        }
        if self.session.transactions > 0 && !hints.iter().any(is_snapshot) {
            return Err(SqlError::new(
                41368,
                "Accessing memory optimized tables using the READ COMMITTED isolation level is supported only for autocommit transactions.",
            ));
        }
        Ok(())
    }
}

fn push_all_columns<'a>(
    tables: impl IntoIterator<Item = &'a ScopedTable>,
    columns: &mut Vec<TypedSql>,
    names: &mut Vec<String>,
) {
    for table in tables {
        for column in &table.columns {
            columns.push(TypedSql::column(&table.alias, column));
            names.push(column.name.clone());
        }
    }
}

/// The name of a result column without an alias: only columns of tables have one.
fn own_name(expression: &Expr, scope: &Scope<'_>) -> String {
    let written = match expression {
        Expr::Identifier(ident) if !ident.value.starts_with('@') => &ident.value,
        Expr::CompoundIdentifier(parts) => match parts.last() {
            Some(ident) => &ident.value,
            None => return String::new(),
        },
        _ => return String::new(),
    };
    let columns = scope.tables.iter().flat_map(|table| &table.columns);
    find_column(columns, written).map_or_else(|| written.clone(), |column| column.name.clone())
}

/// The number of the result column that a term of ORDER BY refers to by alias or number.
fn alias_position(expression: &Expr, names: &[String]) -> Option<usize> {
    match expression {
        Expr::Identifier(ident) => names
            .iter()
            .position(|name| same_name(name, &ident.value))
            .map(|at| at + 1),
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits
                .to_string()
                .parse()
                .ok()
                .filter(|at| (1..=names.len()).contains(at)),
            _ => None,
        },
        _ => None,
    }
}

/// The row limit of TOP.
fn top(body: &SetExpr) -> Result<Option<i64>, SqlError> {
    let SetExpr::Select(select) = body else {
        return Ok(None);
    };
    match &select.top {
        None => Ok(None),
        Some(Top {
            with_ties: false,
            percent: false,
            quantity: Some(quantity),
        }) => match quantity {
            TopQuantity::Constant(count) => Ok(i64::try_from(*count).ok()),
            TopQuantity::Expr(expression) => number(expression).map(Some),
        },
        Some(top) => Err(SqlError::unsupported(top)),
    }
}

/// The only table of a statement that changes rows.
pub(super) fn single_table(
    table: &TableWithJoins,
) -> Result<(&ObjectName, Option<&str>), SqlError> {
    match (&table.relation, table.joins.as_slice()) {
        (TableFactor::Table { name, alias, .. }, []) => {
            Ok((name, alias.as_ref().map(|alias| alias.name.value.as_str())))
        }
        _ => Err(SqlError::unsupported(table)),
    }
}
