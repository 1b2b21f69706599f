//! Which row of the target belongs to which row of the source, so that a repair touches
//! no other row.
//!
//! A key that both databases declare unique is certain. Under every other key, and for a
//! table without a key, the rows are counted in a pass of their own, and the statements
//! count them again.

use std::io;
use std::sync::Arc;

use shared::coverage::KeyOrigin;

use crate::engine::error::disk;
use crate::engine::fetch::OwnColumns;
use crate::engine::fetch::Projection;
use crate::engine::fetch::sinks::Identity;
use crate::engine::rows::differing::Differing;
use crate::engine::rows::keys::{KeyFilter, KeyMap};
use crate::engine::step::{Planned, StepContext};
use crate::engine::task::Stop;
use crate::engine::values::canonical::{RowEncoder, RowSink};
use crate::engine::values::column::SideOf;
use crate::engine::values::pair::Pair;

/// Bytes of memory for the count of the rows under one key, on both sides.
const COUNT_IN_MEMORY: u64 = 128;

/// How a row of the target is identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identification {
    /// By a key that both databases declare unique.
    DeclaredKey,
    /// By a key under which the rows were counted.
    CountedKey,
    /// By all its values, and how many rows have them.
    Copies,
}

impl Identification {
    /// How the rows of the target are identified.
    ///
    /// # Errors
    ///
    /// The reason why no row can be repaired.
    pub(crate) fn of(planned: &Planned, keyless: bool) -> Result<Self, &'static str> {
        let plan = &planned.plan;
        if plan.key_columns == 0 {
            return if keyless {
                Ok(Self::Copies)
            } else {
                Err(
                    "the table has no key, so a row of the target may be any of several; name a key with --pk-columns, or repair such tables too with --repair-keyless",
                )
            };
        }
        let is_of_target = plan.coverage.key_origin == Some(KeyOrigin::Target);
        if is_of_target && !planned.tables.source.keys.is_empty() {
            return Err(
                "no key of the source is compared, so it is not certain which row of the target belongs to a row of the source; pair the columns of its key, or name a key with --pk-columns",
            );
        }
        // Texts that differ in trailing blanks only are equal where one side is padded.
        let is_exact = plan.fetch_by_key
            && plan.columns[..plan.key_columns]
                .iter()
                .all(|pair| pair.source.kind.is_padded() == pair.target.kind.is_padded());
        Ok(if is_exact && planned.is_unique() {
            Self::DeclaredKey
        } else {
            Self::CountedKey
        })
    }
}

/// The rows of one side under one key.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    rows: u64,
    /// The hash of one of them with all its columns.
    hash: u128,
    /// Whether another one has another hash.
    is_varied: bool,
    /// How many statements were made for them.
    statements: u64,
}

/// How many rows each side has under the differing keys; empty where no count is needed.
#[derive(Debug, Default)]
pub(crate) struct Copies(Pair<KeyMap<Seen>>);

impl Copies {
    /// Counts the rows under the differing keys. `None` if the counts do not fit in memory.
    pub(crate) async fn count(
        step: &mut StepContext<'_>,
        identification: Identification,
        own: &OwnColumns,
        differing: &Differing,
    ) -> Result<Option<Self>, Stop> {
        if identification == Identification::DeclaredKey {
            return Ok(Some(Self::default()));
        }
        let keys = differing.counts().total();
        if keys.saturating_mul(COUNT_IN_MEMORY) > (step.budget.memory / 2) as u64 {
            return Ok(None);
        }
        let mut wanted = KeyFilter::new(keys, step.budget.memory / 8);
        let insert = differing.for_each(|difference| {
            wanted.insert(difference.key);
            Ok(())
        });
        insert.map_err(disk)?;
        let sink = CountSink {
            identity: Identity {
                hasher: step.planned.hasher,
                leading: None,
            },
            is_key_only: true,
            wanted: Arc::new(wanted),
            seen: KeyMap::default(),
        };
        if identification == Identification::CountedKey {
            let queries = step.planned.statements.as_ref();
            let queries = queries.map(|statements| statements.scan_keys());
            let sinks = Pair {
                source: sink.clone(),
                target: sink,
            };
            let sinks = step.sides.scan(queries, sinks).await?;
            return Ok(Some(Self(sinks.map(|sink| sink.seen))));
        }
        let mut sink = CountSink {
            identity: Projection::Own(own.clone()).identity(step.planned.hasher),
            is_key_only: false,
            ..sink
        };
        let statements = Projection::Own(own.clone()).statements(step.planned);
        let side = step.sides.side(SideOf::Target);
        side.scan(&statements.target.scan(), &mut sink).await?;
        Ok(Some(Self(Pair {
            source: KeyMap::default(),
            target: sink.seen,
        })))
    }

    /// Why it is not certain which row has the key; `None` if it is certain.
    pub(crate) fn doubt(&self, key: u128, identification: Identification) -> Option<&'static str> {
        let seen = |side: SideOf| self.0[side].get(&key).copied().unwrap_or_default();
        let (source, target) = (seen(SideOf::Source), seen(SideOf::Target));
        match identification {
            Identification::DeclaredKey => None,
            Identification::CountedKey if source.rows > 1 => Some(
                "several rows of the source have the key, so it is not certain which one the target must have",
            ),
            Identification::CountedKey if target.rows > 1 => Some(
                "several rows of the target have the key, so it is not certain which one belongs to the source's row",
            ),
            Identification::CountedKey => None,
            Identification::Copies if target.is_varied => Some(
                "several rows of the target are equal in the compared columns and differ in the form in which they are stored or in other columns",
            ),
            Identification::Copies => None,
        }
    }

    /// How many equal rows the target has before the next statement for this key, which
    /// adds one of them, or deletes one.
    pub(crate) fn before_next(&mut self, key: u128, adds: bool) -> u64 {
        let seen = self.0.target.entry(key).or_default();
        let before = if adds {
            seen.rows + seen.statements
        } else {
            seen.rows.saturating_sub(seen.statements)
        };
        seen.statements += 1;
        before
    }
}

/// Counts the rows under keys that may be wanted.
#[derive(Debug, Clone)]
struct CountSink {
    identity: Identity,
    /// Whether only the columns of the key are read.
    is_key_only: bool,
    wanted: Arc<KeyFilter>,
    seen: KeyMap<Seen>,
}

impl RowSink for CountSink {
    fn end_row(&mut self, row: &RowEncoder) -> io::Result<()> {
        let hasher = self.identity.hasher;
        let key = if self.is_key_only {
            hasher.key(row.key())
        } else {
            self.identity.of(row).key
        };
        if !self.wanted.may_hold(key) {
            return Ok(());
        }
        let hash = if self.is_key_only {
            0
        } else {
            hasher.element(row.key(), row.row()).row
        };
        let seen = self.seen.entry(key).or_insert(Seen {
            hash,
            ..Seen::default()
        });
        seen.rows += 1;
        seen.is_varied |= seen.hash != hash;
        Ok(())
    }
}
