//! SELECT.

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Join, JoinConstraint, JoinOperator, LimitClause, ObjectName,
    OrderByKind, OrderBySort, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    SetOperator, SetQuantifier, TableFactor, TableWithJoins, Top, TopQuantity, Value,
};

use super::convert::Typed;
use super::{Fault, Plan, Scope, Source, Translator, idents, qualified, same_name};
use crate::catalog::Column;
use crate::error::SqlError;
use crate::sqltype::SqlType;
use crate::text;

/// A query, with what its columns are.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) sql: String,
    pub(super) columns: Vec<Typed>,
    pub(super) names: Vec<String>,
}

impl Translator {
    pub(super) fn rows(&self, query: &Query) -> Result<Plan, Fault> {
        let Rows {
            sql,
            columns,
            names,
        } = self.query(query, None)?;
        Ok(Plan::Rows {
            sql,
            columns,
            names,
        })
    }

    pub(super) fn query(&self, query: &Query, outer: Option<&Scope<'_>>) -> Result<Rows, Fault> {
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
        let (mut rows, scope) = self.set(&query.body, outer)?;
        let mut terms = Vec::new();
        for item in order {
            let at = alias_position(&item.expr, &rows.names);
            let sql = match (at, &scope) {
                (Some(at), _) => at.to_string(),
                (None, Some(scope)) => self.expression(&item.expr, scope)?.sql,
                (None, None) => return Err(SqlError::unsupported(&item.expr).into()),
            };
            // SQL Server puts NULL first.
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
            rows.sql.push_str(&format!(
                " OFFSET {}",
                super::expression::number(&offset.value)?
            ));
        } else if query.limit_clause.is_some() {
            return Err(SqlError::unsupported(query).into());
        }
        Ok(rows)
    }

    /// The rows, and the tables that an ORDER BY may still name.
    fn set<'a>(
        &self,
        body: &SetExpr,
        outer: Option<&'a Scope<'a>>,
    ) -> Result<(Rows, Option<Scope<'a>>), Fault> {
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
                let (left, right) = (self.set(left, outer)?.0, self.set(right, outer)?.0);
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
                    .map(|(l, r)| Typed {
                        nullable: l.nullable || r.nullable,
                        ..l.clone()
                    })
                    .collect();
                Ok((
                    Rows {
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
    ) -> Result<(Rows, Scope<'a>), Fault> {
        let mut scope = Scope {
            sources: Vec::new(),
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
                SelectItem::Wildcard(_) => all_columns(&scope.sources, &mut columns, &mut names),
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    _,
                ) => {
                    let parts = idents(name)?;
                    let wanted = parts
                        .last()
                        .map(|ident| ident.value.as_str())
                        .unwrap_or_default();
                    let sources: Vec<Source> = scope
                        .sources
                        .iter()
                        .filter(|source| same_name(&source.alias, wanted))
                        .cloned()
                        .collect();
                    all_columns(&sources, &mut columns, &mut names);
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
                .collect::<Result<Vec<_>, Fault>>()?;
            sql.push_str(&format!(" GROUP BY {}", terms.join(", ")));
        }
        if let Some(condition) = &select.having {
            sql.push_str(&format!(" HAVING {}", self.condition(condition, &scope)?));
        }
        Ok((
            Rows {
                sql,
                columns,
                names,
            },
            scope,
        ))
    }

    pub(super) fn table_with_joins(
        &self,
        table: &TableWithJoins,
        scope: &mut Scope<'_>,
    ) -> Result<String, Fault> {
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
            if nullable && let Some(source) = scope.sources.last_mut() {
                source
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

    fn factor(&self, factor: &TableFactor, scope: &mut Scope<'_>) -> Result<String, Fault> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => {
                let table = self.table(name)?;
                let alias = alias
                    .as_ref()
                    .map_or_else(|| table.name.clone(), |alias| alias.name.value.clone());
                scope.sources.push(Source {
                    alias: alias.clone(),
                    columns: table.columns.clone(),
                });
                Ok(format!(
                    "{} AS {}",
                    qualified(&table.schema, &table.name),
                    text::quoted(&alias)
                ))
            }
            TableFactor::Derived {
                subquery,
                alias: Some(alias),
                ..
            } => {
                let rows = self.query(subquery, scope.outer)?;
                let alias = alias.name.value.clone();
                let columns: Vec<Column> = rows
                    .columns
                    .iter()
                    .zip(&rows.names)
                    .map(|(column, name)| derived_column(column, name))
                    .collect();
                let names: Vec<String> = rows.names.iter().map(|name| text::quoted(name)).collect();
                scope.sources.push(Source {
                    alias: alias.clone(),
                    columns,
                });
                Ok(format!(
                    "({}) AS {} ({})",
                    rows.sql,
                    text::quoted(&alias),
                    names.join(", ")
                ))
            }
            other => Err(SqlError::unsupported(other).into()),
        }
    }
}

fn derived_column(column: &Typed, name: &str) -> Column {
    Column {
        name: name.to_owned(),
        sql_type: column.sql_type.unwrap_or(SqlType::Int),
        collation: column.collation.clone(),
        nullable: column.nullable,
        identity: false,
        computed: false,
    }
}

fn all_columns(sources: &[Source], columns: &mut Vec<Typed>, names: &mut Vec<String>) {
    for source in sources {
        for column in &source.columns {
            columns.push(Typed::column(&source.alias, column));
            names.push(column.name.clone());
        }
    }
}

/// A column keeps its name; other expressions have none.
fn own_name(expression: &Expr, scope: &Scope<'_>) -> String {
    let written = match expression {
        Expr::Identifier(ident) if !ident.value.starts_with('@') => &ident.value,
        Expr::CompoundIdentifier(parts) => match parts.last() {
            Some(ident) => &ident.value,
            None => return String::new(),
        },
        _ => return String::new(),
    };
    let columns = scope.sources.iter().flat_map(|source| &source.columns);
    let declared = columns
        .clone()
        .find(|column| column.name == *written)
        .or_else(|| {
            columns
                .clone()
                .find(|column| same_name(&column.name, written))
        });
    declared.map_or_else(|| written.clone(), |column| column.name.clone())
}

/// ORDER BY may name a column of the result by its alias or its number.
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
            TopQuantity::Expr(expression) => super::expression::number(expression).map(Some),
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
