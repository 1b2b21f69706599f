//! Rules for defaults and computed columns.

use crate::engine::schema::expression::Expressions;
use crate::engine::schema::findings::Findings;
use crate::engine::schema::form::{Form, Verdict, compare, number};
use crate::engine::schema::rule::{
    DEFAULT_DIFFERENT, DEFAULT_EXTRA, DEFAULT_MISSING, DEFAULT_UNKNOWN, GENERATED_DIFFERENT,
    GENERATED_EXTRA, GENERATED_MISSING, GENERATED_UNKNOWN,
};
use crate::engine::schema::table_pair::TablePair;
use crate::engine::values::column::{Column, ColumnType, SideOf};
use crate::engine::values::pair::Pair;

/// Compares defaults and the expressions of computed columns.
pub(super) fn check(pair: &TablePair<'_>, findings: &mut Findings) {
    let expressions = Pair::of(|side| pair.expressions(side));
    for columns in &pair.columns.pairs {
        let Pair { source, target } = &columns.columns;
        if source.computed || target.computed {
            check_generated(pair, (source, target), &expressions, findings);
        } else {
            check_default(pair, (source, target), &expressions, findings);
        }
    }
}

fn check_generated(
    pair: &TablePair<'_>,
    (source, target): (&Column, &Column),
    expressions: &Pair<Expressions<'_>>,
    findings: &mut Findings,
) {
    let name = &source.name;
    let from = pair.schemas.source.details(name).generated.as_deref();
    let to = pair
        .schemas
        .target
        .details(&target.name)
        .generated
        .as_deref();
    let (from, to) = match (from, to) {
        (Some(from), Some(to)) => (from, to),
        (Some(from), None) => {
            let message = format!(
                "the source computes the column as {from}, and the target does not keep it up to date"
            );
            return findings.add_object(GENERATED_MISSING, name, message);
        }
        (None, Some(to)) => {
            let message = format!("only the target computes the column, as {to}");
            return findings.add_object(GENERATED_EXTRA, name, message);
        }
        (None, None) => return,
    };
    let forms = (
        expressions.source.value_of(from),
        expressions.target.value_of(to),
    );
    let message = format!("the source computes {from}, and the target computes {to}");
    match compare(forms.0.as_ref(), forms.1.as_ref()) {
        Verdict::Equal => {}
        Verdict::Different => findings.add_object(GENERATED_DIFFERENT, name, message),
        Verdict::Unknown => findings.add_object(
            GENERATED_UNKNOWN,
            name,
            format!("{message}; whether these are equal cannot be decided"),
        ),
    }
}

fn check_default(
    pair: &TablePair<'_>,
    (source, target): (&Column, &Column),
    expressions: &Pair<Expressions<'_>>,
    findings: &mut Findings,
) {
    let name = &source.name;
    let (from, to) = (
        pair.schemas.source.details(name),
        pair.schemas.target.details(&target.name),
    );
    // Who numbers the column is the subject of other rules.
    if from.numbering.is_some() || to.numbering.is_some() {
        return;
    }
    let read = |side: SideOf, text: Option<&String>| {
        let text = text?;
        let form = expressions[side].value_of(text);
        // Without a default, it is NULL too.
        (form != Some(Form::Null)).then_some((text.clone(), form))
    };
    let from = read(SideOf::Source, from.default.as_ref());
    let to = read(SideOf::Target, to.default.as_ref());
    match (from, to) {
        (None, None) => {}
        (Some((from, _)), None) => findings.add_object(
            DEFAULT_MISSING,
            name,
            format!("the source has the default {from}, and the target has none"),
        ),
        (None, Some((to, _))) => findings.add_object(
            DEFAULT_EXTRA,
            name,
            format!("the target has the default {to}, and the source has none"),
        ),
        (Some((from, from_form)), Some((to, to_form))) => {
            let message = format!("the source has the default {from}, and the target has {to}");
            match compare_values((from_form, to_form), source, target) {
                Verdict::Equal => {}
                Verdict::Different => findings.add_object(DEFAULT_DIFFERENT, name, message),
                Verdict::Unknown => findings.add_object(
                    DEFAULT_UNKNOWN,
                    name,
                    format!("{message}; whether these are equal cannot be decided"),
                ),
            }
        }
    }
}

/// Compares the values that two expressions store in these columns.
fn compare_values(
    (from, to): (Option<Form>, Option<Form>),
    source: &Column,
    target: &Column,
) -> Verdict {
    let (Some(from), Some(to)) = (from, to) else {
        return Verdict::Unknown;
    };
    let has = |kind: fn(&ColumnType) -> bool| kind(&source.kind) || kind(&target.kind);
    let stored = |form: Form| match form {
        // An instant is the same in every zone.
        Form::UtcNow if has(|kind| matches!(kind, ColumnType::Instant(_))) => Form::Now,
        // A date keeps no time of day.
        Form::Now if has(|kind| *kind == ColumnType::Date) => Form::Today,
        Form::Text(text) if has(|kind| *kind == ColumnType::Uuid) => {
            Form::Text(text.to_lowercase())
        }
        Form::Text(text) if has(ColumnType::is_padded) => {
            Form::Text(text.trim_end_matches(' ').to_owned())
        }
        Form::Text(text) if !has(ColumnType::is_text) => number(&text).unwrap_or(Form::Text(text)),
        other => other,
    };
    let (from, to) = (stored(from), stored(to));
    let are_texts = matches!((&from, &to), (Form::Text(_), Form::Text(_)));
    match compare(Some(&from), Some(&to)) {
        // A date, an XML document and a UUID have several notations.
        Verdict::Different if are_texts && !has(ColumnType::is_text) => Verdict::Unknown,
        verdict => verdict,
    }
}
