//! Rules for identity columns and sequences. After a migration, the classic fault is a sequence
//! that gives numbers which rows already have.

use crate::engine::database::schema::{Index, KeyTerm, NumberState, NumberedColumn, Numbering};
use crate::engine::schema::findings::Findings;
use crate::engine::schema::rule::{
    IDENTITY_EXTRA, IDENTITY_MISSING, IDENTITY_STEP, NEXT_VALUE, NEXT_VALUE_UNKNOWN,
};
use crate::engine::schema::table_pair::TablePair;

/// Compares which columns the two sides number, and how.
pub(super) fn check(pair: &TablePair<'_>, findings: &mut Findings) {
    for columns in &pair.columns.pairs {
        let name = &columns.columns.source.name;
        let from = pair.schemas.source.details(name).numbering.as_ref();
        let target = &columns.columns.target.name;
        let to = pair.schemas.target.details(target).numbering.as_ref();
        match (from, to) {
            (Some(_), None) => findings.add_object(
                IDENTITY_MISSING,
                name,
                "the source numbers the column and the target does not: an insert without a value for it fails, or stores NULL".to_owned(),
            ),
            (None, Some(_)) => findings.add_object(
                IDENTITY_EXTRA,
                name,
                "the target numbers the column and the source does not".to_owned(),
            ),
            (Some(from), Some(to)) if from.increment != to.increment || from.cycles != to.cycles => {
                let message = format!(
                    "the source numbers the column {}, and the target {}",
                    describe(from),
                    describe(to)
                );
                findings.add_object(IDENTITY_STEP, name, message);
            }
            _ => {}
        }
    }
}

fn describe(numbering: &Numbering) -> String {
    let end = if numbering.cycles {
        ", and begins again at the end"
    } else {
        ""
    };
    format!("in steps of {}{end}", numbering.increment)
}

/// The numbered columns of the target whose largest value an index can find. The others, and
/// those that begin again at the end, get a note. Columns that the user leaves out are not read.
pub(super) fn to_read(pair: &TablePair<'_>, findings: &mut Findings) -> Vec<NumberedColumn> {
    let schema = &pair.schemas.target;
    let table = &schema.table;
    let mut columns = Vec::new();
    for (name, details) in &schema.details {
        let Some(numbering) = &details.numbering else {
            continue;
        };
        if pair.is_left_out_of_target(name) {
            continue;
        }
        let leads = |index: &Index| {
            let first = index.parts.first().map(|part| &part.term);
            index.is_enabled
                && index.filter.is_none()
                && index.method == "btree"
                && matches!(first, Some(KeyTerm::Column(first)) if first == name)
        };
        if numbering.cycles {
            let message = "the numbers of the target begin again at the end, so a next number may be one that a row has";
            findings.add_object(NEXT_VALUE_UNKNOWN, name, message.to_owned());
        } else if !schema.indexes.iter().any(leads) {
            let message =
                "no index of the target begins with the column, so its largest value was not read";
            findings.add_object(NEXT_VALUE_UNKNOWN, name, message.to_owned());
        } else {
            columns.push(NumberedColumn {
                object: table.object,
                schema: table.schema.clone(),
                table: table.name.clone(),
                column: name.clone(),
                hint: table.hint,
                numbering: numbering.clone(),
            });
        }
    }
    columns
}

/// Compares the next number of a column of the target with its largest value. `state` is the
/// reason why they could not be read, if they could not.
pub(super) fn check_next(
    numbered: &NumberedColumn,
    state: &Result<NumberState, String>,
    findings: &mut Findings,
) {
    let column = &numbered.column;
    let state = match state {
        Ok(state) => state,
        Err(reason) => {
            let message =
                format!("the next number and the largest value were not compared: {reason}");
            return findings.add_object(NEXT_VALUE_UNKNOWN, column, message);
        }
    };
    let Some(furthest) = state.furthest else {
        return;
    };
    let numbering = &numbered.numbering;
    let is_ascending = numbering.increment > 0;
    let extreme = if is_ascending { "largest" } else { "smallest" };
    match (state.next, numbering.range) {
        (None, _) => findings.add_object(
            NEXT_VALUE_UNKNOWN,
            column,
            "the database does not say which number comes next".to_owned(),
        ),
        (Some(next), Some((first, last))) if next < first || next > last => findings.add_object(
            NEXT_VALUE,
            column,
            format!("the target has no number left: the next one would be {next}, and the sequence ends at {}", if is_ascending { last } else { first }),
        ),
        (Some(next), _) if !numbering.is_beyond(next, furthest) => findings.add_remedy(
            NEXT_VALUE,
            column,
            format!("the target gives {next} as the next number, and the {extreme} value of the column is {furthest}: inserts will fail or repeat a number"),
            state.restart.clone(),
        ),
        _ => {}
    }
}
