//! What an index covers, in names and expressions that both sides share.

use std::collections::BTreeSet;

use crate::engine::database::schema::{Index, KeyTerm};
use crate::engine::schema::form::Form;
use crate::engine::schema::table_pair::TablePair;
use crate::engine::values::column::SideOf;

/// An index whose columns all have partners.
#[derive(Debug)]
pub(super) struct IndexShape<'a> {
    pub(super) index: &'a Index,
    /// The columns and expressions, each with whether it is descending; `None` if an expression
    /// has no form that both sides share.
    terms: Option<Vec<(Form, bool)>>,
    pub(super) filter: Filter,
}

/// Which rows an index covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    All,
    Known(Form),
    /// A condition that has no form that both sides share.
    Unknown,
}

/// How the rows that two indexes cover relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coverage {
    Same,
    Different,
    Unknown,
}

impl<'a> IndexShape<'a> {
    /// `None` if a column of the index has no partner.
    fn new(pair: &TablePair<'_>, side: SideOf, index: &'a Index) -> Option<Self> {
        let columns = index.parts.iter().filter_map(|part| match &part.term {
            KeyTerm::Column(name) => Some(name.as_str()),
            KeyTerm::Expression(_) => None,
        });
        if pair.has_unpaired(side, columns) {
            return None;
        }
        let expressions = pair.expressions(side);
        let terms = index.parts.iter().map(|part| {
            let form = match &part.term {
                KeyTerm::Column(name) => Form::Column(pair.common_name(side, name)),
                KeyTerm::Expression(text) => folded(pair, side, expressions.value_of(text)?),
            };
            Some((form, part.is_descending))
        });
        let terms: Option<Vec<_>> = terms.collect();
        let filter = match &index.filter {
            None => Filter::All,
            Some(text) => expressions
                .condition_of(text)
                .map_or(Filter::Unknown, Filter::Known),
        };
        let mut shape = Self {
            index,
            terms,
            filter,
        };
        if shape.covers_all_unique(pair, side) {
            shape.filter = Filter::All;
        }
        Some(shape)
    }

    /// The enabled and disabled indexes of one side.
    pub(super) fn of_side(pair: &'a TablePair<'_>, side: SideOf) -> Vec<Self> {
        let indexes = pair.schemas[side].indexes.iter();
        indexes
            .filter_map(|index| Self::new(pair, side, index))
            .collect()
    }

    /// Whether a unique index leaves out only rows with a NULL in its columns, which
    /// PostgreSQL's unique indexes never refuse.
    fn covers_all_unique(&self, pair: &TablePair<'_>, side: SideOf) -> bool {
        let (Filter::Known(form), Some(terms)) = (&self.filter, &self.terms) else {
            return false;
        };
        if !self.index.is_unique {
            return false;
        }
        let conditions = match form {
            Form::And(conditions) => conditions.iter().collect(),
            single => vec![single],
        };
        let not_null: Option<BTreeSet<&Form>> = conditions
            .into_iter()
            .map(|condition| match condition {
                Form::Not(inner) => match &**inner {
                    Form::IsNull(column) => Some(&**column),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        let nullable = |name: &str| {
            let mut pairs = pair.columns.pairs.iter();
            pairs.any(|pair| pair.columns.source.name == name && pair.columns[side].nullable)
        };
        not_null.is_some_and(|not_null| {
            let keys: BTreeSet<&Form> = terms.iter().map(|(form, _)| form).collect();
            let mut remaining = keys.difference(&not_null);
            not_null.is_subset(&keys)
                && remaining.all(|form| matches!(form, Form::Column(name) if !nullable(name)))
        })
    }

    pub(super) fn is_known(&self) -> bool {
        self.terms.is_some()
    }

    /// Whether both have the same columns, in any order.
    pub(super) fn has_columns_of(&self, other: &Self) -> bool {
        let set = |shape: &Self| {
            let terms = shape.terms.as_ref()?;
            Some(
                terms
                    .iter()
                    .map(|(form, _)| form.clone())
                    .collect::<BTreeSet<Form>>(),
            )
        };
        set(self).is_some_and(|own| set(other) == Some(own))
    }

    /// Whether the columns of `other` come first in this index, in the same order; an index can
    /// be read backwards.
    pub(super) fn begins_with(&self, other: &Self) -> bool {
        let (Some(own), Some(wanted)) = (&self.terms, &other.terms) else {
            return false;
        };
        let begins = |is_reversed: bool| {
            own.len() >= wanted.len()
                && own
                    .iter()
                    .zip(wanted)
                    .all(|(own, wanted)| own.0 == wanted.0 && (own.1 != wanted.1) == is_reversed)
        };
        begins(false) || begins(true)
    }

    /// Compares the rows that the two indexes cover.
    pub(super) fn coverage(&self, other: &Self) -> Coverage {
        match (&self.filter, &other.filter) {
            (Filter::Unknown, _) | (_, Filter::Unknown) => Coverage::Unknown,
            (own, others) if own == others => Coverage::Same,
            _ => Coverage::Different,
        }
    }

    /// The index as messages name it.
    pub(super) fn describe(&self) -> String {
        let terms = self.index.parts.iter().map(|part| {
            let text = match &part.term {
                KeyTerm::Column(text) | KeyTerm::Expression(text) => text,
            };
            let direction = if part.is_descending { " DESC" } else { "" };
            format!("{text}{direction}")
        });
        let terms: Vec<String> = terms.collect();
        let filter = self.index.filter.as_ref();
        let filter = filter.map_or(String::new(), |filter| format!(" WHERE {filter}"));
        format!("`{}` ({}){filter}", self.index.name, terms.join(", "))
    }
}

/// An index over `lower(c)` stands for one over `c`, if the other side ignores case there.
fn folded(pair: &TablePair<'_>, side: SideOf, form: Form) -> Form {
    match form {
        Form::Call("lower" | "upper", mut arguments) if arguments.len() == 1 => {
            let argument = arguments.remove(0);
            match &argument {
                Form::Column(name) if pair.ignores_case_opposite(side, name) => argument,
                _ => Form::Call("lower", vec![argument]),
            }
        }
        other => other,
    }
}
