//! From hashes back to rows: reads the rows that differ, a chunk after the
//! other, by their keys, or all of them in one pass over both sides.

pub(crate) mod gathered;
pub(crate) mod located;
pub(crate) mod matching;
pub(crate) mod sinks;

use std::sync::Arc;

use crate::engine::database::scan::Query;
use crate::engine::database::side::OpenSide;
use crate::engine::database::statement::SideStatements;
use crate::engine::error::disk;
use crate::engine::fetch::gathered::{Gathered, wanted_rows};
use crate::engine::fetch::located::LocatedRow;
use crate::engine::fetch::sinks::{CollectSink, Collected, GatherSink, Identity};
use crate::engine::rows::difference::RowDifference;
use crate::engine::rows::differing::{Differing, Reader};
use crate::engine::rows::element::KeyForm;
use crate::engine::rows::hash::RowHasher;
use crate::engine::rows::keys::{KeyFilter, KeyMap, KeySet, WantedRows};
use crate::engine::step::{Planned, StepContext, chunk_size};
use crate::engine::task::Stop;
use crate::engine::values::column::{Column, SideOf};
use crate::engine::values::pair::Pair;
use crate::engine::values::reading::Reading;

/// The most keys of one statement.
const MOST_KEYS: usize = 1000;

/// Rows that are looked up at first, before their size is known.
const FIRST_CHUNK: usize = 4;

/// By how much a chunk grows while rows are small.
const GROWTH: usize = 4;

/// Looking a row up costs about as much as reading this many in a scan.
const COST_OF_LOOK_UP: u64 = 20;

/// Up to so many look-ups cost less than a pass, whatever the size of the table.
const FEW: u64 = 500;

/// Up to so many look-ups are made although no index on the key is known.
const FEW_WITHOUT_INDEX: u64 = FIRST_CHUNK as u64;

/// Bytes of memory that a key takes which its element carries only as a hash.
const KEY_IN_MEMORY: u64 = 128;

#[derive(Debug, Clone)]
pub(crate) enum Projection {
    /// Those that are compared, as they are compared.
    Compared,
    /// Other columns.
    Own(OwnColumns),
}

/// Columns that are read of each side. The first ones are the plan's, in its
/// order and in its readings: those of the key, or all of them, which then
/// distinguish rows that share a key. A table without a key needs all of them.
#[derive(Debug, Clone)]
pub(crate) struct OwnColumns {
    /// The columns of each side, and how they are read.
    pub(crate) columns: Pair<Vec<(Column, Reading)>>,
    /// How many of them, from the first, are the plan's.
    pub(crate) leading: usize,
}

impl Projection {
    pub(crate) fn statements(&self, planned: &Planned) -> Pair<SideStatements> {
        let statements = planned.statements.clone();
        match self {
            Self::Compared => statements,
            Self::Own(own) => statements
                .zip(own.columns.clone())
                .map(|(statements, columns)| statements.with_columns(columns)),
        }
    }

    pub(crate) fn identity(&self, hasher: RowHasher) -> Identity {
        Identity {
            hasher,
            leading: match self {
                Self::Compared => None,
                Self::Own(own) => Some(own.leading),
            },
        }
    }
}

/// Whether `count` rows are looked up by their keys rather than found in a pass
/// over all rows. Keys that are carried as hashes have to be read into memory
/// before; `has_unread_keys` is asked for such keys if not all of them fit.
pub(crate) fn is_looked_up(
    step: &StepContext<'_>,
    count: u64,
    has_unread_keys: impl FnOnce() -> Result<bool, Stop>,
) -> Result<bool, Stop> {
    let plan = &step.planned.plan;
    let is_possible = plan.key_form != KeyForm::WholeRow && plan.fetch_by_key;
    let is_cheaper = || count <= FEW || count.saturating_mul(COST_OF_LOOK_UP) <= step.rows;
    if !is_possible || !(count <= FEW_WITHOUT_INDEX || step.planned.is_unique() && is_cheaper()) {
        return Ok(false);
    }
    let fits = count.saturating_mul(KEY_IN_MEMORY) <= (step.budget.memory / 4) as u64;
    Ok(fits || !has_unread_keys()?)
}

/// All rows of a set of differences, in chunks that fit in memory.
pub(crate) struct Rows<'a> {
    statements: Pair<SideStatements>,
    identity: Identity,
    access: Access<'a>,
}

enum Access<'a> {
    LookUp {
        reader: Reader<'a>,
        /// Keys that are carried as hashes.
        keys: KeyMap<Vec<u8>>,
        chunk: usize,
        /// Differences that were taken from the reader and not looked up yet.
        waiting: Vec<RowDifference>,
    },
    /// In a pass over all rows, which has been made.
    Pass(Box<Gathered>),
}

impl<'a> Rows<'a> {
    pub(crate) async fn open(
        step: &mut StepContext<'_>,
        projection: &Projection,
        differing: &'a Differing,
    ) -> Result<Self, Stop> {
        let form = step.planned.plan.key_form;
        let statements = projection.statements(step.planned);
        let identity = projection.identity(step.planned.hasher);
        let has_hashed_keys = || {
            let mut has = false;
            let read = differing.for_each(|difference| {
                has |= form.carried(difference.key).is_none();
                Ok(())
            });
            read.map(|()| has).map_err(disk)
        };
        let count = differing.counts().total();
        let keys = if is_looked_up(step, count, has_hashed_keys)? {
            read_hashed_keys(step, hashed_keys(differing, form)?).await?
        } else {
            None
        };
        let access = if let Some(keys) = keys {
            Access::LookUp {
                reader: differing.reader(),
                keys,
                chunk: FIRST_CHUNK.min(chunk_size(step.spec)),
                waiting: Vec::new(),
            }
        } else {
            let gathered = gather(step, &statements, identity, differing).await?;
            Access::Pass(Box::new(gathered))
        };
        Ok(Self {
            statements,
            identity,
            access,
        })
    }

    /// The next rows; none at the end.
    pub(crate) async fn next(
        &mut self,
        step: &mut StepContext<'_>,
    ) -> Result<Vec<LocatedRow>, Stop> {
        let quarter = step.budget.memory / 4;
        let (reader, keys, chunk, waiting) = match &mut self.access {
            Access::Pass(gathered) => return gathered.next(quarter).await.map_err(disk),
            Access::LookUp {
                reader,
                keys,
                chunk,
                waiting,
            } => (reader, keys, chunk, waiting),
        };
        let identity = self.identity;
        loop {
            if waiting.len() < *chunk {
                waiting.extend(reader.take(*chunk - waiting.len()).map_err(disk)?);
            }
            let differences = &waiting[..waiting.len().min(*chunk)];
            if differences.is_empty() {
                return Ok(Vec::new());
            }
            let queries = Pair::of(|side| {
                row_queries(
                    &self.statements[side],
                    side,
                    differences,
                    keys,
                    identity.hasher.form(),
                )
            });
            // A single row is kept whatever its size.
            let limit = if differences.len() == 1 {
                usize::MAX
            } else {
                quarter
            };
            let collected = step
                .sides
                .on_both(queries, move |side, queries| {
                    Box::pin(collect(side, queries, identity, limit))
                })
                .await?;
            let sides = [&collected.source, &collected.target];
            if let Some(fitting) = sides.iter().filter_map(|side| side.fitting).min() {
                *chunk = fitting.clamp(1, differences.len() - 1);
                continue;
            }
            let bytes = collected.source.bytes + collected.target.bytes;
            let rows = locate(step.planned, differences, collected, keys);
            let fit = quarter / (bytes / rows.len()).max(1);
            let grown = chunk.saturating_mul(GROWTH).min(fit);
            waiting.drain(..rows.len());
            *chunk = grown.clamp(1, chunk_size(step.spec));
            return Ok(rows);
        }
    }
}

/// Writes the rows of all differences to disk, in one pass over both sides.
async fn gather(
    step: &mut StepContext<'_>,
    statements: &Pair<SideStatements>,
    identity: Identity,
    differing: &Differing,
) -> Result<Gathered, Stop> {
    let count = differing.counts().total();
    // Two hashed rows in the index of a partition, and the difference itself.
    let partitions = step.budget.partitions(count.saturating_mul(256), 3);
    let mut wanted = KeyFilter::new(count, step.budget.memory / 8);
    let has_key = step.planned.plan.key_columns > 0;
    let mut gathered = Gathered::new(partitions, has_key, step.budget);
    differing
        .for_each(|difference| {
            wanted.insert(difference.key);
            gathered.want(difference)
        })
        .map_err(disk)?;
    let wanted = Arc::new(wanted);
    let sinks =
        Pair::of(|_| GatherSink::new(identity, Arc::clone(&wanted), partitions, step.budget));
    let queries = statements.as_ref().map(SideStatements::scan);
    let sinks = step.sides.scan(queries, sinks).await?;
    gathered.rows = sinks.map(|sink| sink.rows);
    Ok(gathered)
}

/// The keys that differences carry as hashes, each on one side that has it.
fn hashed_keys(differing: &Differing, form: KeyForm) -> Result<Pair<KeySet>, Stop> {
    let mut keys = Pair::<KeySet>::default();
    differing
        .for_each(|RowDifference { key, source, .. }| {
            if form.carried(key).is_none() {
                let side = source.map_or(SideOf::Target, |_| SideOf::Source);
                keys[side].insert(key);
            }
            Ok(())
        })
        .map_err(disk)?;
    Ok(keys)
}

/// The encoded keys of these hashed ones, each read on the side that it is given
/// for, in one pass over the key columns. `None` if they do not fit in memory.
pub(crate) async fn read_hashed_keys(
    step: &mut StepContext<'_>,
    hashed: Pair<KeySet>,
) -> Result<Option<KeyMap<Vec<u8>>>, Stop> {
    let mut keys = KeyMap::default();
    if hashed.source.is_empty() && hashed.target.is_empty() {
        return Ok(Some(keys));
    }
    let limit = step.budget.memory / 4;
    let identity = Projection::Compared.identity(step.planned.hasher);
    let queries = Pair::of(|side| {
        // Any row has the key.
        let any = hashed[side].iter().map(|key| (*key, KeySet::default()));
        vec![(step.planned.statements[side].scan_keys(), any.collect())]
    });
    let collected = step
        .sides
        .on_both(queries, move |side, queries| {
            Box::pin(collect(side, queries, identity, limit))
        })
        .await?;
    if collected
        .source
        .fitting
        .or(collected.target.fitting)
        .is_some()
    {
        return Ok(None);
    }
    for (key, rows) in collected
        .source
        .rows
        .into_iter()
        .chain(collected.target.rows)
    {
        if let Some(row) = rows.any() {
            keys.insert(key, row.bytes);
        }
    }
    Ok(Some(keys))
}

/// The queries for the rows of differences that one side has, each with the rows
/// that it is to find.
fn row_queries(
    statements: &SideStatements,
    side: SideOf,
    differences: &[RowDifference],
    hashed: &KeyMap<Vec<u8>>,
    form: KeyForm,
) -> Vec<(Query, WantedRows)> {
    let mut keys: Vec<(u128, Vec<u8>)> = Vec::new();
    for difference in differences {
        // A key that is unknown has gone since the scan.
        if difference.hash_on(side).is_some()
            && keys.last().is_none_or(|(last, _)| *last != difference.key)
            && let Some(key) = key_bytes(form, difference.key, hashed)
        {
            keys.push((difference.key, key));
        }
    }
    let rows = wanted_rows(differences, side);
    look_ups(statements, &keys)
        .into_iter()
        .map(|(query, keys)| {
            let of_query = |key| Some((key, rows.get(&key)?.clone()));
            (query, keys.into_iter().filter_map(of_query).collect())
        })
        .collect()
}

/// The encoded key of an element's key.
pub(crate) fn key_bytes(form: KeyForm, key: u128, hashed: &KeyMap<Vec<u8>>) -> Option<Vec<u8>> {
    form.carried(key).or_else(|| hashed.get(&key).cloned())
}

/// The statements that look up `keys`, as many at once as the database takes.
/// A key that no row of the side can have is in none of them.
pub(crate) fn look_ups(
    statements: &SideStatements,
    keys: &[(u128, Vec<u8>)],
) -> Vec<(Query, KeySet)> {
    keys.chunks(statements.keys_at_once().clamp(1, MOST_KEYS))
        .filter_map(|keys| {
            let encoded: Vec<Vec<u8>> = keys.iter().map(|(_, key)| key.clone()).collect();
            Some((
                statements.look_up(&encoded)?,
                keys.iter().map(|(key, _)| *key).collect(),
            ))
        })
        .collect()
}

/// Runs queries on one side and keeps the rows that each of them is to find, up to `limit` bytes.
async fn collect(
    side: &mut OpenSide,
    queries: Vec<(Query, WantedRows)>,
    identity: Identity,
    limit: usize,
) -> Result<Collected, Stop> {
    let mut all = Collected::default();
    for (query, wanted) in queries {
        if wanted.is_empty() {
            continue;
        }
        let mut sink = CollectSink::new(identity, wanted, limit - all.bytes);
        side.scan(&query, &mut sink).await?;
        let Collected {
            rows,
            bytes,
            fitting,
        } = sink.collected;
        if let Some(fitting) = fitting {
            all.fitting = Some(all.rows.len() + fitting);
            all.rows.clear();
            break;
        }
        all.rows.extend(rows);
        all.bytes += bytes;
    }
    Ok(all)
}

fn locate(
    planned: &Planned,
    differences: &[RowDifference],
    mut collected: Pair<Collected>,
    hashed: &KeyMap<Vec<u8>>,
) -> Vec<LocatedRow> {
    let has_key = planned.plan.key_columns > 0;
    // A single row may be large, and is not copied.
    let is_single = differences.len() == 1;
    differences
        .iter()
        .map(|difference| {
            let Pair { source, target } = Pair::of(|side| {
                let (rows, hash) = (&mut collected[side].rows, difference.hash_on(side)?);
                if is_single {
                    rows.remove(&difference.key)?.into_row(hash)
                } else {
                    rows.get(&difference.key)?.of(hash).cloned()
                }
            });
            let key = key_bytes(planned.plan.key_form, difference.key, hashed).or_else(|| {
                let row = source.as_ref().or(target.as_ref()).filter(|_| has_key)?;
                Some(row.bytes[..row.key_end].to_vec())
            });
            LocatedRow {
                difference: *difference,
                key: key.unwrap_or_default(),
                source: source.map(|row| row.bytes),
                target: target.map(|row| row.bytes),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fetch::matching::RowsOfKey;
    use crate::engine::fetch::sinks::CollectedRow;
    use crate::engine::rows::element::Element;
    use crate::engine::values::canonical::RowEncoder;
    use crate::engine::values::canonical::RowSink as _;
    use shared::hash_key::HashKey;
    use std::sync::LazyLock;

    static HASHER: LazyLock<RowHasher> =
        LazyLock::new(|| RowHasher::new(KeyForm::Compact, &HashKey::generate()));

    /// A row whose key is 1.
    fn row(encoder: &mut RowEncoder, value: i64) {
        encoder.start_row();
        encoder.int(1);
        encoder.end_key();
        encoder.int(value);
    }

    fn element(value: i64) -> Element {
        let mut encoder = RowEncoder::default();
        row(&mut encoder, value);
        HASHER.element(encoder.key(), encoder.row())
    }

    fn collected(
        wanted: &[i64],
        rows: impl IntoIterator<Item = i64>,
    ) -> (RowsOfKey<CollectedRow>, usize) {
        let identity = Identity {
            hasher: *HASHER,
            leading: None,
        };
        let key = element(0).key;
        let hashes = wanted.iter().map(|value| element(*value).row).collect();
        let wanted = WantedRows::from_iter([(key, hashes)]);
        let mut sink = CollectSink::new(identity, wanted, usize::MAX);
        let mut encoder = RowEncoder::default();
        for value in rows {
            row(&mut encoder, value);
            sink.end_row(&encoder).unwrap();
        }
        let Collected {
            mut rows, bytes, ..
        } = sink.collected;
        (rows.remove(&key).unwrap_or_default(), bytes)
    }

    #[test]
    fn of_rows_that_share_a_key_the_wanted_ones_are_kept_and_one_besides() {
        let (rows, bytes) = collected(&[500, 700], 0..1000);
        let length = |value: i64| {
            let mut encoder = RowEncoder::default();
            row(&mut encoder, value);
            encoder.row().len()
        };
        assert_eq!(bytes, length(0) + length(500) + length(700));
        for value in [500, 700] {
            assert!(rows.of(element(value).row).is_some(), "{value}");
        }
        assert_eq!(rows.of(element(1001).row), None);
    }

    #[test]
    fn rows_beyond_the_limit_are_not_kept_and_the_keys_within_it_are_counted() {
        let identity = Identity {
            hasher: *HASHER,
            leading: None,
        };
        let row_of = |key: i64| {
            let mut encoder = RowEncoder::default();
            encoder.start_row();
            encoder.int(key);
            encoder.end_key();
            encoder.text(&[b'x'; 100]);
            (HASHER.element(encoder.key(), encoder.row()), encoder)
        };
        let rows: Vec<_> = (1..=8).map(row_of).collect();
        let wanted = || {
            let of_row = |(element, _): &(Element, RowEncoder)| {
                (element.key, [element.row].into_iter().collect())
            };
            WantedRows::from_iter(rows.iter().map(of_row))
        };
        let size = rows[0].1.row().len();
        for (limit, fitting) in [
            (usize::MAX, None),
            (8 * size, None),
            (3 * size, Some(3)),
            (0, Some(0)),
        ] {
            let mut sink = CollectSink::new(identity, wanted(), limit);
            for (_, row) in &rows {
                sink.end_row(row).unwrap();
            }
            let kept = if fitting.is_none() { 8 } else { 0 };
            assert_eq!(
                (sink.collected.fitting, sink.collected.rows.len()),
                (fitting, kept),
                "{limit}"
            );
        }
    }

    #[test]
    fn a_row_that_has_changed_is_the_one_with_its_key_if_that_is_the_only_one() {
        let changed = element(5).row;
        assert!(collected(&[5], [6]).0.of(changed).is_some());
        assert_eq!(collected(&[5], [6, 7]).0.of(changed), None);
        assert_eq!(collected(&[5, 6], [6, 7]).0.of(changed), None);
        assert_eq!(collected(&[5], []).0.of(changed), None);
    }
}
