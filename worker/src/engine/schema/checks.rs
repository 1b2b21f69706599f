//! Rules for check constraints.

use shared::naming::{Naming, pair_names};

use crate::engine::database::schema::{Check, ConstraintState};
use crate::engine::schema::findings::Findings;
use crate::engine::schema::form::{Form, Verdict, compare, number};
use crate::engine::schema::rule::{
    CHECK_DIFFERENT, CHECK_EXTRA, CHECK_MISSING, CHECK_UNKNOWN, CHECK_UNTRUSTED,
};
use crate::engine::schema::table_pair::TablePair;
use crate::engine::values::column::{ColumnType, SideOf};

/// A check constraint with the form of its condition, if it has one.
#[derive(Debug, Clone)]
struct Condition<'a> {
    check: &'a Check,
    form: Option<Form>,
}

impl<'a> Condition<'a> {
    /// The checks of one side, without those of columns that have no partner and those that
    /// stand for the type of the other side.
    fn of_side(pair: &'a TablePair<'_>, side: SideOf) -> Vec<Self> {
        let expressions = pair.expressions(side);
        let checks = pair.schemas[side].checks.iter().map(|check| Self {
            check,
            form: expressions.condition_of(&check.condition),
        });
        checks
            .filter(|condition| {
                condition.form.as_ref().is_none_or(|form| {
                    let mut columns = form.columns().into_iter();
                    let is_paired = columns.all(|name| pair.source_column(name).is_some());
                    is_paired && !replaces_type(pair, side, form)
                })
            })
            .collect()
    }
}

/// Whether a condition only says what the type of the other side's column says already.
fn replaces_type(pair: &TablePair<'_>, side: SideOf, form: &Form) -> bool {
    let columns = form.columns();
    let [name] = columns.as_slice() else {
        return false;
    };
    let mut pairs = pair.columns.pairs.iter();
    let Some(pair) = pairs.find(|pair| pair.columns.source.name == *name) else {
        return false;
    };
    let other = match side {
        SideOf::Source => &pair.columns.target,
        SideOf::Target => &pair.columns.source,
    };
    let column = || Form::Column((*name).to_owned());
    let compared = |symbol, digits| number(digits).map(|end| column().compared(symbol, end));
    let all = |terms: [Option<Form>; 2]| terms.into_iter().collect::<Option<_>>().map(Form::all);
    let any = |terms: [Option<Form>; 2]| terms.into_iter().collect::<Option<_>>().map(Form::any);
    let is = |expected: Option<Form>| expected.as_ref() == Some(form);
    match &other.kind {
        ColumnType::Int if other.declared == "tinyint" => {
            is(all([compared(">=", "0"), compared("<=", "255")]))
        }
        ColumnType::Bool => is(any([compared("=", "0"), compared("=", "1")])),
        ColumnType::Json => {
            let call = Form::Call("isjson", vec![column()]);
            let holds =
                |symbol, digits| number(digits).map(|end| call.clone().compared(symbol, end));
            is(holds("=", "1")) || is(holds(">", "0"))
        }
        _ => false,
    }
}

/// Compares the check constraints of a table: first those with equal conditions, then those of
/// the same name, and then those over the same columns.
pub(super) fn check(pair: &TablePair<'_>, findings: &mut Findings) {
    let mut source = Condition::of_side(pair, SideOf::Source);
    let mut target = Condition::of_side(pair, SideOf::Target);
    source.retain(|from| {
        let equal =
            |to: &Condition<'_>| compare(from.form.as_ref(), to.form.as_ref()) == Verdict::Equal;
        let Some(at) = target.iter().position(equal) else {
            return true;
        };
        check_state(from.check, target.swap_remove(at).check, findings);
        false
    });
    for (from, to) in take_named(&mut source, &mut target) {
        let message = format!(
            "the source checks {}, and the target checks {}",
            from.check.condition, to.check.condition
        );
        let name = &from.check.name;
        match compare(from.form.as_ref(), to.form.as_ref()) {
            Verdict::Different => findings.add_object(CHECK_DIFFERENT, name, message),
            _ => findings.add_object(
                CHECK_UNKNOWN,
                name,
                format!("{message}; whether these are equal cannot be decided"),
            ),
        }
        check_state(from.check, to.check, findings);
    }
    source.retain(|from| {
        let Some(at) = target.iter().position(|to| may_be_equal(from, to)) else {
            return true;
        };
        let to = target.swap_remove(at);
        let message = format!(
            "the source checks {}, and the target checks {} by `{}`; whether these are equal cannot be decided",
            from.check.condition, to.check.condition, to.check.name
        );
        findings.add_object(CHECK_UNKNOWN, &from.check.name, message);
        check_state(from.check, to.check, findings);
        false
    });
    for from in source {
        if from.check.state != ConstraintState::Disabled {
            let message = format!("only the source checks {}", from.check.condition);
            findings.add_object(CHECK_MISSING, &from.check.name, message);
        }
    }
    for to in target {
        let message = format!("only the target checks {}", to.check.condition);
        findings.add_object(CHECK_EXTRA, &to.check.name, message);
    }
}

/// Takes the constraints out that have the same name on both sides.
fn take_named<'a>(
    source: &mut Vec<Condition<'a>>,
    target: &mut Vec<Condition<'a>>,
) -> Vec<(Condition<'a>, Condition<'a>)> {
    let names = |of: &[Condition<'a>]| -> Vec<&'a str> {
        of.iter()
            .map(|condition| condition.check.name.as_str())
            .collect()
    };
    let Ok(found) = pair_names(&names(source), &names(target), Naming::Normalised) else {
        return Vec::new();
    };
    let partners: Vec<Option<usize>> = found.iter().map(|it| it.map(|(at, _)| at)).collect();
    let taken = partners.iter().enumerate();
    let pairs = taken
        .filter_map(|(from, to)| Some((source[from].clone(), target[(*to)?].clone())))
        .collect();
    let mut at = 0..;
    source.retain(|_| at.next().is_some_and(|at| partners[at].is_none()));
    let mut at = 0..;
    target.retain(|_| at.next().is_some_and(|at| !partners.contains(&Some(at))));
    pairs
}

/// Whether two constraints may be equal as far as can be known: they read the same columns, as
/// far as these are known.
fn may_be_equal(from: &Condition<'_>, to: &Condition<'_>) -> bool {
    match (&from.form, &to.form) {
        (Some(left), Some(right)) => {
            left.columns() == right.columns()
                && compare(Some(left), Some(right)) == Verdict::Unknown
        }
        _ => true,
    }
}

fn check_state(from: &Check, to: &Check, findings: &mut Findings) {
    if to.state < from.state {
        let message = format!(
            "the check constraint `{}` of the target is {}, and that of the source is {}",
            to.name,
            to.state.describe(),
            from.state.describe()
        );
        findings.add_object(CHECK_UNTRUSTED, &from.name, message);
    }
}
