//! Fetches differing rows with everything that a repair needs of them: what is
//! compared, and every column's own exact value.

use std::io;

use crate::engine::Stop;
use crate::engine::canonical::{RowEncoder, RowSink, Values};
use crate::engine::difference::RowDifference;
use crate::engine::element::{Element, KeyForm};
use crate::engine::reconcile::Planned;
use crate::engine::reconcile::Sides;
use crate::engine::scan::Query;
use crate::engine::scan::statement::{ReadColumn, SideStatements};
use crate::engine::side::{OpenSide, both};
use crate::engine::sinks::{KeyMap, KeySet};

/// Both versions of a differing row, as they are now in the snapshots.
#[derive(Debug)]
pub(super) struct LocatedRow {
    pub(super) difference: RowDifference,
    /// The encoded key columns.
    pub(super) key: Vec<u8>,
    pub(super) source: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
}

/// What is read of each side behind the compared columns.
#[derive(Debug, Clone, Default)]
pub(super) struct Extra {
    pub(super) source: Vec<ReadColumn>,
    pub(super) target: Vec<ReadColumn>,
}

/// Fetches the rows of `chunk`. By key where that can be done; else by one
/// pass over each side.
pub(super) async fn fetch(
    sides: Sides,
    planned: &Planned,
    chunk: &[RowDifference],
    keys_at_once: usize,
    extra: &Extra,
) -> Result<(Sides, Vec<LocatedRow>), Stop> {
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let left = source
        .statements(&planned.source, &planned.plan)
        .and(&extra.source);
    let right = target
        .statements(&planned.target, &planned.plan)
        .and(&extra.target);
    let left = queries(&left, planned, chunk, keys_at_once, |d| d.source.is_some());
    let right = queries(&right, planned, chunk, keys_at_once, |d| d.target.is_some());
    let (form, compared) = (planned.plan.key_form, planned.plan.columns.len());
    let fetched = both(
        collect(source, left, form, compared),
        collect(target, right, form, compared),
        &stop,
    );
    let ((source, mut left), (target, mut right)) = fetched.await?;
    let rows = chunk
        .iter()
        .map(|difference| {
            let take = |rows: &mut KeyMap<Vec<Row>>, hash: Option<u128>| {
                let hash = hash?;
                let rows = rows.get_mut(&difference.key)?;
                // A row that has changed since is repaired as it is now.
                let at = rows
                    .iter()
                    .position(|row| row.hash == hash)
                    .or_else(|| (form != KeyForm::WholeRow && rows.len() == 1).then_some(0))?;
                Some(rows.swap_remove(at))
            };
            let (source, target) = (
                take(&mut left, difference.source),
                take(&mut right, difference.target),
            );
            let key = source
                .as_ref()
                .or(target.as_ref())
                .map(|row| row.bytes[..row.key_end].to_vec())
                .unwrap_or_default();
            LocatedRow {
                difference: *difference,
                key,
                source: source.map(|row| row.bytes),
                target: target.map(|row| row.bytes),
            }
        })
        .collect();
    Ok((
        Sides {
            source,
            target,
            stop,
        },
        rows,
    ))
}

/// Whether every row of `chunk` can be asked for by its key.
pub(super) fn can_look_up(planned: &Planned, chunk: &[RowDifference]) -> bool {
    planned.plan.fetch_by_key
        && chunk
            .iter()
            .all(|difference| planned.plan.key_form.carried(difference.key).is_some())
}

fn queries(
    statements: &SideStatements,
    planned: &Planned,
    chunk: &[RowDifference],
    keys_at_once: usize,
    wanted: fn(&RowDifference) -> bool,
) -> Vec<(Query, KeySet)> {
    let keys: KeySet = chunk.iter().filter(|d| wanted(d)).map(|d| d.key).collect();
    if keys.is_empty() {
        return Vec::new();
    }
    if !can_look_up(planned, chunk) {
        return vec![(statements.scan(), keys)];
    }
    let keys: Vec<u128> = keys.into_iter().collect();
    keys.chunks(keys_at_once.min(statements.keys_at_once()).max(1))
        .map(|keys| {
            let encoded: Vec<Vec<u8>> = keys
                .iter()
                .filter_map(|key| planned.plan.key_form.carried(*key))
                .collect();
            (statements.look_up(&encoded), keys.iter().copied().collect())
        })
        .collect()
}

async fn collect(
    side: OpenSide,
    queries: Vec<(Query, KeySet)>,
    form: KeyForm,
    compared: usize,
) -> Result<(OpenSide, KeyMap<Vec<Row>>), Stop> {
    let mut side = side;
    let mut all: KeyMap<Vec<Row>> = KeyMap::default();
    for (query, wanted) in queries {
        let sink = PrefixSink {
            encoder: RowEncoder::default(),
            form,
            compared,
            wanted,
            rows: all,
        };
        let filled;
        (side, filled) = side.scan(&query, sink).await?;
        all = filled.rows;
    }
    Ok((side, all))
}

#[derive(Debug)]
struct Row {
    bytes: Vec<u8>,
    key_end: usize,
    hash: u128,
}

/// Keeps wanted rows, which it knows by their first columns: those that are compared.
#[derive(Debug)]
struct PrefixSink {
    encoder: RowEncoder,
    form: KeyForm,
    compared: usize,
    wanted: KeySet,
    rows: KeyMap<Vec<Row>>,
}

impl RowSink for PrefixSink {
    fn encoder(&mut self) -> &mut RowEncoder {
        &mut self.encoder
    }

    fn end_row(&mut self) -> io::Result<()> {
        let row = self.encoder.row();
        let mut end = 0;
        for value in Values::new(row).take(self.compared) {
            end += value.map_err(io::Error::other)?.len();
        }
        let Element { key, row: hash } = self.form.element(self.encoder.key(), &row[..end]);
        if self.wanted.contains(&key) {
            let row = Row {
                bytes: row.to_vec(),
                key_end: self.encoder.key().len(),
                hash,
            };
            self.rows.entry(key).or_default().push(row);
        }
        Ok(())
    }
}
