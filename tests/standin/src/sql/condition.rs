//! Conditions: comparisons, AND, OR, IN, LIKE and EXISTS. They are no values in SQL Server.

use sqlparser::ast::{BinaryOperator, Expr, InTarget, UnaryOperator};

use super::convert;
use super::translator::{Scope, TranslateError, Translator};
use crate::error::SqlError;

impl Translator {
    pub(super) fn condition(
        &self,
        expression: &Expr,
        scope: &Scope<'_>,
    ) -> Result<String, TranslateError> {
        match expression {
            Expr::Nested(inner) => Ok(format!("({})", self.condition(inner, scope)?)),
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => Ok(format!("NOT ({})", self.condition(expr, scope)?)),
            Expr::BinaryOp {
                left,
                op: op @ (BinaryOperator::And | BinaryOperator::Or),
                right,
            } => Ok(format!(
                "({} {op} {})",
                self.condition(left, scope)?,
                self.condition(right, scope)?
            )),
            Expr::BinaryOp { left, op, right } => {
                self.comparison(left, comparison_operator(op)?, right, scope)
            }
            Expr::IsNull(inner) => Ok(format!("{} IS NULL", self.expression(inner, scope)?.sql)),
            Expr::IsNotNull(inner) => Ok(format!(
                "{} IS NOT NULL",
                self.expression(inner, scope)?.sql
            )),
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } => Ok(format!(
                "{}({} AND {})",
                not(*negated),
                self.comparison(expr, ">=", low, scope)?,
                self.comparison(expr, "<=", high, scope)?
            )),
            Expr::In {
                expr,
                target: InTarget::List(list),
                negated,
                ..
            } => {
                let terms = list
                    .iter()
                    .map(|item| self.comparison(expr, "=", item, scope))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(format!("{}({})", not(*negated), terms.join(" OR ")))
            }
            Expr::In {
                expr,
                target: InTarget::Subquery(query),
                negated,
                ..
            } => {
                let value = self.expression(expr, scope)?.sql;
                let rows = self.query(query, Some(scope))?.sql;
                Ok(format!("{}({value} IN ({rows}))", not(*negated)))
            }
            Expr::Exists { subquery, negated } => {
                let rows = self.query(subquery, Some(scope))?.sql;
                Ok(format!("{}EXISTS ({rows})", not(*negated)))
            }
            Expr::Like {
                negated,
                expr,
                pattern,
                escape_char: None,
                ..
            } => {
                let like = self.like(expr, pattern, scope)?;
                Ok(format!("{}({like})", not(*negated)))
            }
            other => Err(SqlError::unsupported(other).into()),
        }
    }

    pub(super) fn comparison(
        &self,
        left: &Expr,
        operator: &str,
        right: &Expr,
        scope: &Scope<'_>,
    ) -> Result<String, TranslateError> {
        let (left, right) = convert::comparable(
            self.expression(left, scope)?,
            self.expression(right, scope)?,
        )?;
        Ok(format!("{left} {operator} {right}"))
    }

    fn like(
        &self,
        value: &Expr,
        pattern: &Expr,
        scope: &Scope<'_>,
    ) -> Result<String, TranslateError> {
        let value = self.expression(value, scope)?.sql;
        let pattern = self.expression(pattern, scope)?.sql;
        // PostgreSQL has no LIKE for nondeterministic collations.
        Ok(format!(
            "lower({value}) COLLATE \"C\" LIKE lower({pattern}) COLLATE \"C\""
        ))
    }
}

fn comparison_operator(operator: &BinaryOperator) -> Result<&'static str, SqlError> {
    Ok(match operator {
        BinaryOperator::Eq => "=",
        BinaryOperator::NotEq => "<>",
        BinaryOperator::Lt => "<",
        BinaryOperator::LtEq => "<=",
        BinaryOperator::Gt => ">",
        BinaryOperator::GtEq => ">=",
        other => return Err(SqlError::unsupported(other)),
    })
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}
