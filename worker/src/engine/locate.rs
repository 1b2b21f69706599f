//! From hashes back to rows: fetches the rows that differ, names the differing
//! columns and sends the differences on.

use serde_json::{Map, Value as Json};
use shared::message::TableSpec;
use shared::outcome::{ColumnDifference, Difference, DifferenceKind};

use super::canonical::{MalformedRow, Values, to_json};
use super::difference::RowDifference;
use super::element::KeyForm;
use super::reconcile::{Planned, Sides};
use super::scan::Query;
use super::side::{OpenSide, both, internal};
use super::sinks::{CollectSink, CollectedRow, KeyMap, KeySet};
use super::{Found, Stop, TaskContext};

/// Differences sent at once.
const BATCH: usize = 200;

/// Fetches and sends `differences`, which are all that shall be listed.
pub(super) async fn locate(
    sides: Sides,
    planned: &Planned,
    spec: &TableSpec,
    differences: Vec<RowDifference>,
    context: &TaskContext,
) -> Result<Sides, Stop> {
    if differences.is_empty() {
        return Ok(sides);
    }
    let plan = &planned.plan;
    // A key that the sketch carried whole need not be read again.
    let mut keys: KeyMap<Vec<u8>> = KeyMap::default();
    for difference in &differences {
        if let Some(key) = plan.key_form.carried(difference.key) {
            keys.insert(difference.key, key);
        }
    }
    let chunk = usize::try_from(spec.chunk_size)
        .unwrap_or(usize::MAX)
        .max(1);
    let (sides, rows) = if plan.key_form == KeyForm::WholeRow || !plan.fetch_by_key {
        // A multiset's row, or one that cannot be asked for: one pass over all rows.
        read_all_rows(sides, planned, &differences).await?
    } else {
        let sides = read_hashed_keys(sides, planned, &differences, &mut keys).await?;
        fetch_modified(sides, planned, &differences, &keys, chunk).await?
    };

    let mut batch = Vec::new();
    for difference in &differences {
        batch.push(
            describe(planned, difference, &keys, &rows)
                .map_err(|error| internal("InternalError", error.to_string()))?,
        );
        if batch.len() == BATCH {
            send(std::mem::take(&mut batch), context).await?;
        }
    }
    if !batch.is_empty() {
        send(batch, context).await?;
    }
    Ok(sides)
}

async fn send(batch: Vec<Difference>, context: &TaskContext) -> Result<(), Stop> {
    // Nobody listens any more: the work is not wanted.
    context
        .findings
        .send(Found::Rows(batch))
        .await
        .map_err(|_| Stop::Cancelled)
}

/// Rows of the two sides, by key.
#[derive(Default)]
struct Located {
    source: KeyMap<Vec<CollectedRow>>,
    target: KeyMap<Vec<CollectedRow>>,
}

async fn read_all_rows(
    sides: Sides,
    planned: &Planned,
    differences: &[RowDifference],
) -> Result<(Sides, Located), Stop> {
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let form = planned.plan.key_form;
    let keys = |wanted: fn(&RowDifference) -> bool| -> KeySet {
        differences
            .iter()
            .filter(|d| wanted(d))
            .map(|d| d.key)
            .collect()
    };
    let (left_keys, right_keys) = (keys(|d| d.source.is_some()), keys(|d| d.target.is_some()));
    let left = source.statements(&planned.source, &planned.plan).scan();
    let right = target.statements(&planned.target, &planned.plan).scan();
    let read = both(
        collect(source, left, form, left_keys),
        collect(target, right, form, right_keys),
        &stop,
    );
    let ((source, left), (target, right)) = read.await?;
    Ok((
        Sides {
            source,
            target,
            stop,
        },
        Located {
            source: left,
            target: right,
        },
    ))
}

/// One pass over the key columns finds the keys that were carried as hashes.
async fn read_hashed_keys(
    sides: Sides,
    planned: &Planned,
    differences: &[RowDifference],
    keys: &mut KeyMap<Vec<u8>>,
) -> Result<Sides, Stop> {
    let unknown = |wanted: fn(&RowDifference) -> bool| -> KeySet {
        differences
            .iter()
            .filter(|d| wanted(d) && !keys.contains_key(&d.key))
            .map(|d| d.key)
            .collect()
    };
    let (left_keys, right_keys) = (
        unknown(|d| d.source.is_some()),
        unknown(|d| d.source.is_none()),
    );
    if left_keys.is_empty() && right_keys.is_empty() {
        return Ok(sides);
    }
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let form = planned.plan.key_form;
    let left = source
        .statements(&planned.source, &planned.plan)
        .scan_keys();
    let right = target
        .statements(&planned.target, &planned.plan)
        .scan_keys();
    let read = both(
        collect(source, left, form, left_keys),
        collect(target, right, form, right_keys),
        &stop,
    );
    let ((source, left), (target, right)) = read.await?;
    for (key, mut rows) in left.into_iter().chain(right) {
        if let Some(row) = rows.pop() {
            keys.insert(key, row.bytes);
        }
    }
    Ok(Sides {
        source,
        target,
        stop,
    })
}

/// Fetches both versions of modified rows by key, `chunk` keys a statement.
async fn fetch_modified(
    sides: Sides,
    planned: &Planned,
    differences: &[RowDifference],
    keys: &KeyMap<Vec<u8>>,
    chunk: usize,
) -> Result<(Sides, Located), Stop> {
    let mut wanted: Vec<(u128, Vec<u8>)> = Vec::new();
    for difference in differences
        .iter()
        .filter(|d| d.kind() == DifferenceKind::Modified)
    {
        // A key that is not found any more has gone since the scan.
        if let Some(key) = keys.get(&difference.key)
            && wanted
                .last()
                .is_none_or(|(last, _)| *last != difference.key)
        {
            wanted.push((difference.key, key.clone()));
        }
    }
    if wanted.is_empty() {
        return Ok((sides, Located::default()));
    }
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let form = planned.plan.key_form;
    let fetch = |side: OpenSide, table| {
        let statements = side.statements(table, &planned.plan);
        let chunk = chunk.min(statements.keys_at_once());
        let queries: Vec<(Query, KeySet)> = wanted
            .chunks(chunk)
            .map(|keys| {
                let encoded: Vec<Vec<u8>> = keys.iter().map(|(_, key)| key.clone()).collect();
                (
                    statements.look_up(&encoded),
                    keys.iter().map(|(key, _)| *key).collect(),
                )
            })
            .collect();
        async move {
            let mut side = side;
            let mut all: KeyMap<Vec<CollectedRow>> = KeyMap::default();
            for (query, keys) in queries {
                let rows;
                (side, rows) = collect(side, query, form, keys).await?;
                all.extend(rows);
            }
            Ok((side, all))
        }
    };
    let fetched = both(
        fetch(source, &planned.source),
        fetch(target, &planned.target),
        &stop,
    );
    let ((source, left), (target, right)) = fetched.await?;
    Ok((
        Sides {
            source,
            target,
            stop,
        },
        Located {
            source: left,
            target: right,
        },
    ))
}

async fn collect(
    side: OpenSide,
    query: Query,
    form: KeyForm,
    keys: KeySet,
) -> Result<(OpenSide, KeyMap<Vec<CollectedRow>>), Stop> {
    if keys.is_empty() {
        return Ok((side, KeyMap::default()));
    }
    let (side, sink) = side.scan(&query, CollectSink::new(form, keys)).await?;
    Ok((side, sink.into_rows()))
}

/// The row with this hash, or, when the row has changed since the scan, one
/// that has the same key now.
fn row_of(
    rows: &KeyMap<Vec<CollectedRow>>,
    key: u128,
    hash: Option<u128>,
) -> Option<&CollectedRow> {
    let hash = hash?;
    let rows = rows.get(&key)?;
    rows.iter()
        .find(|row| row.hash == hash)
        .or_else(|| rows.first())
}

fn describe(
    planned: &Planned,
    difference: &RowDifference,
    keys: &KeyMap<Vec<u8>>,
    rows: &Located,
) -> Result<Difference, MalformedRow> {
    let plan = &planned.plan;
    let source = row_of(&rows.source, difference.key, difference.source);
    let target = row_of(&rows.target, difference.key, difference.target);
    let key_bytes = match (keys.get(&difference.key), source.or(target)) {
        (Some(key), _) => key.as_slice(),
        (None, Some(row)) => &row.bytes[..row.key_end],
        (None, None) => &[],
    };
    let mut key = Map::new();
    for (value, column) in Values::new(key_bytes).zip(&plan.columns[..plan.key_columns]) {
        key.insert(column.source.name.clone(), to_json(value?));
    }
    let split = |row: Option<&CollectedRow>| -> Result<Option<Vec<Vec<u8>>>, MalformedRow> {
        row.map(|row| {
            Values::new(&row.bytes)
                .map(|value| value.map(<[u8]>::to_vec))
                .collect()
        })
        .transpose()
    };
    let (left, right) = (split(source)?, split(target)?);
    let shown = |values: &Option<Vec<Vec<u8>>>, at: usize| {
        values
            .as_ref()
            .and_then(|values| values.get(at))
            .map_or(Json::Null, |value| to_json(value))
    };
    let mut columns = Vec::new();
    for (at, column) in plan.columns.iter().enumerate() {
        let differs = match (&left, &right) {
            (Some(left), Some(right)) => left.get(at) != right.get(at),
            // A row without a key is shown whole; of a missing or extra row the key is enough.
            (Some(_), None) | (None, Some(_)) => plan.key_columns == 0,
            (None, None) => false,
        };
        if differs {
            columns.push(ColumnDifference {
                name: column.source.name.clone(),
                source: shown(&left, at),
                target: shown(&right, at),
            });
        }
    }
    Ok(Difference {
        kind: difference.kind(),
        key,
        columns,
    })
}
