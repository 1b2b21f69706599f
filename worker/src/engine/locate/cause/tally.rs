//! Counts causes over the rows of a table and groups them.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde_json::{Map, Value as Json};
use shared::outcome::{CauseExample, CauseGroup};

use crate::engine::locate::cause::{Cause, Damaged, causes};
use crate::engine::plan::PlannedColumn;
use crate::engine::values::canonical::{View, view};

/// Groups that are told apart; the rest is one line.
pub(crate) const MOST_GROUPS: usize = 100;

/// Different sets of fitting causes that are kept. Each has an example.
const MOST_SETS: usize = 4096;

/// What explains the differing rows of a table.
///
/// Kept are sets: the causes that fit a pair of values, and how many rows have
/// that set. In the end the cause that fits most rows of a column takes them,
/// then the one that fits most of the rest, and so on. So a column that was
/// rounded to milliseconds is one group, although half of its values would
/// also fit a cut, and some a precision of two digits.
#[derive(Debug)]
pub(crate) struct CauseTally<'a> {
    columns: &'a [PlannedColumn],
    /// By position of the column: its values are not told.
    hidden: &'a [bool],
    sets: HashMap<(usize, Vec<Cause>), Seen>,
    newer: HashMap<(usize, Damaged), Seen>,
    /// Rows and columns explained by what is no longer kept.
    beyond: Option<Seen>,
}

#[derive(Debug)]
struct Seen {
    rows: u64,
    /// Where the example is in the order of the rows.
    first: u128,
    example: CauseExample,
}

impl<'a> CauseTally<'a> {
    /// Nothing counted yet, over rows of `columns`.
    #[must_use]
    pub(crate) fn new(columns: &'a [PlannedColumn]) -> Self {
        Self {
            columns,
            hidden: &[],
            sets: HashMap::new(),
            newer: HashMap::new(),
            beyond: None,
        }
    }

    /// With columns, by their positions, whose causes must tell no value.
    #[must_use]
    pub(crate) fn hiding(self, hidden: &'a [bool]) -> Self {
        Self { hidden, ..self }
    }

    /// Takes one modified row in: its key as it is shown, both versions as
    /// encoded values in the order of the columns. `show` gives the values of
    /// a column as an example shows them. The row that is first by `order` is
    /// the example of its group, in whatever order rows are observed.
    pub(crate) fn observe<V: AsRef<[u8]>>(
        &mut self,
        order: u128,
        key: &Map<String, Json>,
        source: &[V],
        target: &[V],
        show: impl Fn(usize) -> (Json, Json),
    ) {
        let example = |at: usize| {
            let (source, target) = show(at);
            CauseExample {
                key: key.clone(),
                source,
                target,
            }
        };
        let mut unexplained = Vec::new();
        for (at, (left, right)) in source.iter().zip(target).enumerate() {
            let (left, right) = (left.as_ref(), right.as_ref());
            if left == right {
                continue;
            }
            let mut fitting = causes(left, right);
            if self.hidden.get(at).is_some_and(|hidden| *hidden) {
                fitting = fitting.into_iter().map(Cause::discreet).collect();
            }
            if fitting.is_empty() {
                unexplained.push(at);
                continue;
            }
            let key = (at, fitting);
            if self.sets.len() < MOST_SETS || self.sets.contains_key(&key) {
                count(&mut self.sets, key, order, || example(at));
            } else if let Some(beyond) = &mut self.beyond {
                beyond.rows += 1;
            } else {
                self.beyond = Some(Seen {
                    rows: 1,
                    first: order,
                    example: example(at),
                });
            }
        }
        // A row of another version needs no cause for each of its columns.
        if let Some((at, side)) = self.newer_by(&unexplained, source, target) {
            count(&mut self.newer, (at, side), order, || example(at));
        }
    }

    /// The column that says that the row is of a later version on one side,
    /// unless another one says the opposite.
    fn newer_by<V: AsRef<[u8]>>(
        &self,
        unexplained: &[usize],
        source: &[V],
        target: &[V],
    ) -> Option<(usize, Damaged)> {
        let mut verdicts = unexplained
            .iter()
            .filter(|at| tells_version(&self.columns[**at].source.name))
            .filter_map(|&at| {
                let older = older(source[at].as_ref(), target[at].as_ref())?;
                Some((at, older))
            });
        let first = verdicts.next()?;
        verdicts.all(|(_, side)| side == first.1).then_some(first)
    }

    /// The groups, the most frequent first, at most [`MOST_GROUPS`] and one more for the rest.
    #[must_use]
    pub(crate) fn finish(self) -> Vec<CauseGroup> {
        let Self {
            columns,
            sets,
            newer,
            beyond,
            ..
        } = self;
        let mut by_column: HashMap<usize, Vec<(Vec<Cause>, Seen)>> = HashMap::new();
        for ((at, fitting), seen) in sets {
            by_column.entry(at).or_default().push((fitting, seen));
        }
        // With each group the column's position, to have one order among equals.
        let mut groups: Vec<(usize, u128, CauseGroup)> = Vec::new();
        for (at, sets) in by_column {
            for (cause, seen) in cover(sets) {
                let column = &columns[at];
                let group = CauseGroup {
                    column: Some(column.source.name.clone()),
                    cause: cause.name().to_owned(),
                    explanation: cause.explanation(),
                    rows: seen.rows,
                    example: seen.example,
                    option: cause.option(column),
                };
                groups.push((at, seen.first, group));
            }
        }
        for ((at, older), seen) in newer {
            let newer = match older {
                Damaged::Source => "target",
                Damaged::Target => "source",
            };
            let group = CauseGroup {
                column: None,
                cause: "row-newer".to_owned(),
                explanation: format!(
                    "the row is newer in the {newer}, as {} says",
                    columns[at].source.name
                ),
                rows: seen.rows,
                example: seen.example,
                option: None,
            };
            groups.push((at, seen.first, group));
        }
        groups.sort_by(|(a, first_a, left), (b, first_b, right)| {
            (Reverse(left.rows), a, first_a, &left.cause).cmp(&(
                Reverse(right.rows),
                b,
                first_b,
                &right.cause,
            ))
        });
        let mut groups: Vec<CauseGroup> = groups.into_iter().map(|(_, _, group)| group).collect();
        let rest = groups.split_off(groups.len().min(MOST_GROUPS));
        let rows = rest.iter().map(|group| group.rows).sum::<u64>()
            + beyond.as_ref().map_or(0, |seen| seen.rows);
        let example = rest.into_iter().next().map(|group| group.example);
        if let Some(example) = example.or(beyond.map(|seen| seen.example)) {
            groups.push(CauseGroup {
                column: None,
                cause: "others".to_owned(),
                explanation: "explained by one of many more causes, each for few rows".to_owned(),
                rows,
                example,
                option: None,
            });
        }
        groups
    }
}

fn count<K: std::hash::Hash + Eq>(
    seen: &mut HashMap<K, Seen>,
    key: K,
    order: u128,
    example: impl Fn() -> CauseExample,
) {
    seen.entry(key)
        .and_modify(|seen| {
            seen.rows += 1;
            if order < seen.first {
                seen.first = order;
                seen.example = example();
            }
        })
        .or_insert_with(|| Seen {
            rows: 1,
            first: order,
            example: example(),
        });
}

/// Gives every set to one cause: again and again the cause that fits most of
/// the rows that are left, the most specific one of several.
fn cover(mut sets: Vec<(Vec<Cause>, Seen)>) -> Vec<(Cause, Seen)> {
    let mut groups = Vec::new();
    while !sets.is_empty() && groups.len() <= MOST_GROUPS {
        let mut rows: HashMap<Cause, u64> = HashMap::new();
        for (fitting, seen) in &sets {
            for cause in fitting {
                *rows.entry(*cause).or_default() += seen.rows;
            }
        }
        let Some((best, _)) = rows
            .into_iter()
            .min_by_key(|(cause, rows)| (Reverse(*rows), cause.rank()))
        else {
            break;
        };
        let (taken, left): (Vec<_>, Vec<_>) = sets
            .into_iter()
            .partition(|(fitting, _)| fitting.contains(&best));
        sets = left;
        groups.extend(merged(taken).map(|seen| (best, seen)));
    }
    // What is left goes into one group of the last line anyway.
    groups.extend(sets.into_iter().map(|(fitting, seen)| (fitting[0], seen)));
    groups
}

/// All of them together, with the first example.
fn merged(sets: Vec<(Vec<Cause>, Seen)>) -> Option<Seen> {
    sets.into_iter().map(|(_, seen)| seen).reduce(|a, b| {
        let rows = a.rows + b.rows;
        let earlier = if a.first <= b.first { a } else { b };
        Seen { rows, ..earlier }
    })
}

/// Whether a column of this name holds when or how often its row was changed.
fn tells_version(name: &str) -> bool {
    const PARTS: [&str; 9] = [
        "updated",
        "modified",
        "changed",
        "lastupd",
        "lastmod",
        "lastchange",
        "lastwrite",
        "rowversion",
        "rowver",
    ];
    const WHOLE: [&str; 7] = [
        "version",
        "versionno",
        "versionnumber",
        "recordversion",
        "lockversion",
        "revision",
        "rev",
    ];
    let plain: String = name
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    PARTS.iter().any(|part| plain.contains(part)) || WHOLE.contains(&plain.as_str())
}

/// The side whose value is the smaller one, for values that tell versions.
fn older(source: &[u8], target: &[u8]) -> Option<Damaged> {
    let order = match (view(source)?, view(target)?) {
        (View::Int(a), View::Int(b)) => a.cmp(&b),
        (View::Date(a), View::Date(b)) => a.cmp(&b),
        (View::Timestamp(a), View::Timestamp(b)) | (View::Instant(a), View::Instant(b)) => {
            a.units.cmp(&b.units)
        }
        // `rowversion`: eight bytes, big-endian.
        (View::Bytes(a), View::Bytes(b)) if a.len() == 8 && b.len() == 8 => a.cmp(b),
        _ => return None,
    };
    match order {
        std::cmp::Ordering::Less => Some(Damaged::Source),
        std::cmp::Ordering::Greater => Some(Damaged::Target),
        std::cmp::Ordering::Equal => None,
    }
}
