//! From hashes back to rows: reads the rows that differ, a chunk after the
//! other, by their keys, or all of them in one pass over both sides.

pub(crate) mod gathered;
pub(crate) mod located;
pub(crate) mod sinks;

use crate::engine::database::scan::Query;
use crate::engine::database::side::{OpenSide, both};
use crate::engine::database::statement::SideStatements;
use crate::engine::disk::Room;
use crate::engine::error::disk;
use crate::engine::fetch::gathered::Gathered;
use crate::engine::fetch::located::LocatedRow;
use crate::engine::fetch::sinks::{CollectSink, CollectedRows, GatherSink, Identity};
use crate::engine::rows::difference::RowDifference;
use crate::engine::rows::differing::{Differing, Reader};
use crate::engine::rows::element::KeyForm;
use crate::engine::rows::keys::{KeyFilter, KeyMap, KeySet, WantedRows};
use crate::engine::sides::{Planned, Sides};
use crate::engine::task::Stop;
use crate::engine::values::column::{Column, SideOf, Table};
use crate::engine::values::reading::Reading;

/// The most keys of one statement.
const MOST_KEYS: usize = 1000;

/// Rows that are looked up at first, before their size is known.
const FIRST_CHUNK: usize = 4;

/// By how much a chunk grows while rows are small.
const GROWTH: usize = 4;

/// Looking a row up costs about as much as reading this many in a scan.
const COST_OF_LOOK_UP: u64 = 20;

/// So few look-ups cost less than a pass whatever the table.
const FEW: u64 = 500;

/// So few look-ups are made where nothing says that the key has an index.
const FEW_WITHOUT_INDEX: u64 = FIRST_CHUNK as u64;

/// Bytes of memory that a key takes which is not carried in its element.
pub(crate) const KEY_IN_MEMORY: u64 = 128;

/// Which columns of the differing rows are read.
#[derive(Debug, Clone)]
pub(crate) enum Projection {
    /// Those that are compared, as they are compared.
    Compared,
    /// Columns of one's own.
    Own(OwnColumns),
}

/// Columns that are read of each side. The first ones are the plan's, in its
/// order and in its readings: those of the key, or all of them, which then tell
/// rows apart that share a key. A table without a key needs all of them.
#[derive(Debug, Clone)]
pub(crate) struct OwnColumns {
    /// The columns of the source, and how they are read.
    pub(crate) source: Vec<(Column, Reading)>,
    /// The columns of the target, and how they are read.
    pub(crate) target: Vec<(Column, Reading)>,
    /// How many of them, from the first, are the plan's.
    pub(crate) leading: usize,
}

impl Projection {
    fn statements(&self, side: &OpenSide, table: &Table, planned: &Planned) -> SideStatements {
        let statements = side.statements(table, &planned.plan);
        match self {
            Self::Compared => statements,
            Self::Own(own) => statements.with_columns(match side.side() {
                SideOf::Source => own.source.clone(),
                SideOf::Target => own.target.clone(),
            }),
        }
    }

    fn identity(&self, form: KeyForm) -> Identity {
        Identity {
            form,
            leading: match self {
                Self::Compared => None,
                Self::Own(own) => Some(own.leading),
            },
        }
    }
}

/// Whether `count` rows are looked up by their keys rather than found in a pass over all rows.
pub(crate) fn is_looked_up(planned: &Planned, count: u64) -> bool {
    let plan = &planned.plan;
    if plan.key_form == KeyForm::WholeRow || !plan.fetch_by_key {
        return false;
    }
    if count <= FEW_WITHOUT_INDEX {
        return true;
    }
    let key = &plan.columns[..plan.key_columns];
    let indexed = |table: &Table, names: &[&str]| {
        table
            .keys
            .iter()
            .any(|index| index.iter().all(|name| names.contains(&name.as_str())))
    };
    let names = |side: fn(&crate::engine::plan::PlannedColumn) -> &Column| -> Vec<&str> {
        key.iter()
            .map(|column| side(column).name.as_str())
            .collect()
    };
    indexed(&planned.source, &names(|column| &column.source))
        && indexed(&planned.target, &names(|column| &column.target))
        && (count <= FEW || count.saturating_mul(COST_OF_LOOK_UP) <= planned.rows)
}

/// All rows of a set of differences, in chunks that fit in memory.
pub(crate) struct Rows<'a> {
    planned: &'a Planned,
    projection: &'a Projection,
    room: &'a Room,
    way: Way<'a>,
}

enum Way<'a> {
    LookUp {
        reader: Reader<'a>,
        keys: KeyMap<Vec<u8>>,
        chunk: usize,
        most: usize,
    },
    Pass(Box<Gathered>),
}

impl<'a> Rows<'a> {
    /// Begins to read the rows of `differing`, at most `most` at once.
    pub(crate) async fn open(
        sides: Sides,
        planned: &'a Planned,
        projection: &'a Projection,
        differing: &'a Differing,
        most: usize,
        room: &'a Room,
    ) -> Result<(Sides, Self), Stop> {
        let count = differing.counts().total();
        let form = planned.plan.key_form;
        let fits = count.saturating_mul(KEY_IN_MEMORY) <= (room.memory / 4) as u64;
        let mut looked_up = is_looked_up(planned, count);
        let mut keys = KeyMap::default();
        let mut sides = sides;
        if looked_up {
            let mut reader = differing.reader();
            let mut hashed = Vec::new();
            loop {
                let chunk = reader.take(4096).map_err(disk)?;
                if chunk.is_empty() {
                    break;
                }
                hashed.extend(
                    chunk
                        .into_iter()
                        .filter(|difference| form.carried(difference.key).is_none()),
                );
                if !hashed.is_empty() && !fits {
                    looked_up = false;
                    break;
                }
            }
            if looked_up {
                let (left, right) = keys_of(&hashed);
                (sides, keys) = read_hashed_keys(sides, planned, &left, &right).await?;
            }
        }
        let way = if looked_up {
            Way::LookUp {
                reader: differing.reader(),
                keys,
                chunk: FIRST_CHUNK.min(most),
                most,
            }
        } else {
            let gathered;
            (sides, gathered) = gather(sides, planned, projection, differing, room).await?;
            Way::Pass(Box::new(gathered))
        };
        let rows = Self {
            planned,
            projection,
            room,
            way,
        };
        Ok((sides, rows))
    }

    /// The next rows; none at the end.
    pub(crate) async fn next(&mut self, sides: Sides) -> Result<(Sides, Vec<LocatedRow>), Stop> {
        let quarter = self.room.memory / 4;
        match &mut self.way {
            Way::LookUp {
                reader,
                keys,
                chunk,
                most,
            } => {
                let differences = reader.take(*chunk).map_err(disk)?;
                if differences.is_empty() {
                    return Ok((sides, Vec::new()));
                }
                let (sides, rows, bytes) =
                    look_up(sides, self.planned, &differences, keys, self.projection).await?;
                let fit = quarter / (bytes / rows.len()).max(1);
                *chunk = chunk.saturating_mul(GROWTH).min(fit).clamp(1, *most);
                Ok((sides, rows))
            }
            Way::Pass(gathered) => {
                let rows = gathered.next(quarter).await.map_err(disk)?;
                Ok((sides, rows))
            }
        }
    }
}

/// One pass over both sides that writes the rows of all differences to disk.
async fn gather(
    sides: Sides,
    planned: &Planned,
    projection: &Projection,
    differing: &Differing,
    room: &Room,
) -> Result<(Sides, Gathered), Stop> {
    let count = differing.counts().total();
    // Two hashed rows in the index of a partition, and the difference itself.
    let partitions = room.partitions(count.saturating_mul(256), 3);
    let mut wanted = KeyFilter::new(count, room.memory / 8);
    let mut gathered = Gathered::new(partitions, planned.plan.key_columns > 0, room);
    let mut reader = differing.reader();
    loop {
        let chunk = reader.take(4096).map_err(disk)?;
        if chunk.is_empty() {
            break;
        }
        for difference in chunk {
            wanted.insert(difference.key);
            gathered.want(difference).map_err(disk)?;
        }
    }
    let wanted = std::sync::Arc::new(wanted);
    let identity = projection.identity(planned.plan.key_form);
    let room = room.clone();
    let (sides, left, right) = on_both(sides, planned, projection, move |side, statements| {
        let sink = GatherSink::new(identity, std::sync::Arc::clone(&wanted), partitions, &room);
        async move { side.scan(&statements.scan(), sink).await }
    })
    .await?;
    gathered.found(left.into_rows(), right.into_rows());
    Ok((sides, gathered))
}

/// Does the same on both sides at once.
async fn on_both<T, F>(
    sides: Sides,
    planned: &Planned,
    projection: &Projection,
    work: impl Fn(OpenSide, SideStatements) -> F,
) -> Result<(Sides, T, T), Stop>
where
    T: Send + 'static,
    F: Future<Output = Result<(OpenSide, T), Stop>> + Send + 'static,
{
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let left = projection.statements(&source, &planned.source, planned);
    let right = projection.statements(&target, &planned.target, planned);
    let done = both(work(source, left), work(target, right), &stop);
    let ((source, left), (target, right)) = done.await?;
    let sides = Sides {
        source,
        target,
        stop,
    };
    Ok((sides, left, right))
}

/// The keys among these that were carried as hashes, each found where it is, in
/// one pass over the key columns.
pub(crate) async fn read_hashed_keys(
    sides: Sides,
    planned: &Planned,
    source: &KeySet,
    target: &KeySet,
) -> Result<(Sides, KeyMap<Vec<u8>>), Stop> {
    let form = planned.plan.key_form;
    let hashed = |keys: &KeySet| -> KeySet {
        keys.iter()
            .copied()
            .filter(|key| form.carried(*key).is_none())
            .collect()
    };
    let (left_keys, right_keys) = (hashed(source), hashed(target));
    let mut keys = KeyMap::default();
    if left_keys.is_empty() && right_keys.is_empty() {
        return Ok((sides, keys));
    }
    let identity = Projection::Compared.identity(form);
    let (sides, left, right) =
        on_both(sides, planned, &Projection::Compared, |side, statements| {
            let keys = match side.side() {
                SideOf::Source => &left_keys,
                SideOf::Target => &right_keys,
            };
            // Any row tells the key.
            let any = keys.iter().map(|key| (*key, KeySet::default())).collect();
            collect(side, statements.scan_keys(), identity, any)
        })
        .await?;
    for (key, rows) in left.0.into_iter().chain(right.0) {
        if let Some(row) = rows.any() {
            keys.insert(key, row.bytes);
        }
    }
    Ok((sides, keys))
}

/// The keys of differences, each on one side that has it.
fn keys_of(differences: &[RowDifference]) -> (KeySet, KeySet) {
    let keys = |wanted: fn(&RowDifference) -> bool| -> KeySet {
        differences
            .iter()
            .filter(|difference| wanted(difference))
            .map(|difference| difference.key)
            .collect()
    };
    (
        keys(|difference| difference.source.is_some()),
        keys(|difference| difference.source.is_none()),
    )
}

/// Fetches rows by key: of each side those that it has.
async fn look_up(
    sides: Sides,
    planned: &Planned,
    differences: &[RowDifference],
    hashed: &KeyMap<Vec<u8>>,
    projection: &Projection,
) -> Result<(Sides, Vec<LocatedRow>, usize), Stop> {
    let form = planned.plan.key_form;
    let wanted = |side: fn(&RowDifference) -> Option<u128>| -> Vec<(u128, Vec<u8>)> {
        let mut wanted: Vec<(u128, Vec<u8>)> = Vec::new();
        for difference in differences {
            // A key that is not found any more has gone since the scan.
            if side(difference).is_some()
                && wanted
                    .last()
                    .is_none_or(|(last, _)| *last != difference.key)
                && let Some(key) = key_bytes(form, difference.key, hashed)
            {
                wanted.push((difference.key, key));
            }
        }
        wanted
    };
    let (left_keys, right_keys) = (wanted(|row| row.source), wanted(|row| row.target));
    let hashes = |side: fn(&RowDifference) -> Option<u128>| -> WantedRows {
        let mut hashes = WantedRows::default();
        for difference in differences {
            if let Some(hash) = side(difference) {
                hashes.entry(difference.key).or_default().insert(hash);
            }
        }
        hashes
    };
    let (left_rows, right_rows) = (hashes(|row| row.source), hashes(|row| row.target));
    let identity = projection.identity(form);
    let (sides, left, right) = on_both(sides, planned, projection, |side, statements| {
        let (keys, rows) = match side.side() {
            SideOf::Source => (&left_keys, &left_rows),
            SideOf::Target => (&right_keys, &right_rows),
        };
        let queries: Vec<(Query, WantedRows)> = look_ups(&statements, keys)
            .into_iter()
            .map(|(query, keys)| {
                let of_query = |key| Some((key, rows.get(&key)?.clone()));
                (query, keys.into_iter().filter_map(of_query).collect())
            })
            .collect();
        async move {
            let mut side = side;
            let mut all: KeyMap<CollectedRows> = KeyMap::default();
            let mut bytes = 0;
            for (query, wanted) in queries {
                let rows;
                (side, rows) = collect(side, query, identity, wanted).await?;
                all.extend(rows.0);
                bytes += rows.1;
            }
            Ok((side, (all, bytes)))
        }
    })
    .await?;
    let found = Found {
        source: left.0,
        target: right.0,
    };
    let rows = found.rows(planned, differences, hashed);
    Ok((sides, rows, left.1 + right.1))
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

type Collected = (KeyMap<CollectedRows>, usize);

async fn collect(
    side: OpenSide,
    query: Query,
    identity: Identity,
    wanted: WantedRows,
) -> Result<(OpenSide, Collected), Stop> {
    if wanted.is_empty() {
        return Ok((side, Collected::default()));
    }
    let (side, sink) = side
        .scan(&query, CollectSink::new(identity, wanted))
        .await?;
    let bytes = sink.bytes();
    Ok((side, (sink.into_rows(), bytes)))
}

/// Rows of the two sides, by key.
#[derive(Default)]
struct Found {
    source: KeyMap<CollectedRows>,
    target: KeyMap<CollectedRows>,
}

impl Found {
    fn rows(
        &self,
        planned: &Planned,
        differences: &[RowDifference],
        hashed: &KeyMap<Vec<u8>>,
    ) -> Vec<LocatedRow> {
        let plan = &planned.plan;
        differences
            .iter()
            .map(|difference| {
                let source = self.source.get(&difference.key);
                let source = source.and_then(|rows| rows.of(difference.source?));
                let target = self.target.get(&difference.key);
                let target = target.and_then(|rows| rows.of(difference.target?));
                let key = key_bytes(plan.key_form, difference.key, hashed)
                    .or_else(|| {
                        (source.or(target)).map(|row| {
                            let end = if plan.key_columns == 0 {
                                0
                            } else {
                                row.key_end
                            };
                            row.bytes[..end].to_vec()
                        })
                    })
                    .unwrap_or_default();
                LocatedRow {
                    difference: *difference,
                    key,
                    source: source.map(|row| row.bytes.clone()),
                    target: target.map(|row| row.bytes.clone()),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rows::element::Element;
    use crate::engine::values::canonical::RowEncoder;
    use crate::engine::values::canonical::RowSink as _;

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
        KeyForm::Compact.element(encoder.key(), encoder.row())
    }

    fn collected(wanted: &[i64], rows: impl IntoIterator<Item = i64>) -> (CollectedRows, usize) {
        let identity = Identity {
            form: KeyForm::Compact,
            leading: None,
        };
        let key = element(0).key;
        let hashes = wanted.iter().map(|value| element(*value).row).collect();
        let mut sink = CollectSink::new(identity, WantedRows::from_iter([(key, hashes)]));
        for value in rows {
            row(sink.encoder(), value);
            sink.end_row().unwrap();
        }
        let bytes = sink.bytes();
        (sink.into_rows().remove(&key).unwrap_or_default(), bytes)
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
    fn a_row_that_has_changed_is_the_one_with_its_key_if_that_is_the_only_one() {
        let changed = element(5).row;
        assert!(collected(&[5], [6]).0.of(changed).is_some());
        assert_eq!(collected(&[5], [6, 7]).0.of(changed), None);
        assert_eq!(collected(&[5, 6], [6, 7]).0.of(changed), None);
        assert_eq!(collected(&[5], []).0.of(changed), None);
    }
}
