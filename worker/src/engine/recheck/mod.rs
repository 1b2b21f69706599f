//! Looks at differing rows again, because copies lag: those that agree by then
//! have settled, those that do not are confirmed.

pub(crate) mod confirmed;
pub(crate) mod sight;
pub(crate) mod watched;
pub(crate) mod watchlist;

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::options::Recheck;

use crate::engine::database::scan::Query;
use crate::engine::database::side::{OpenSide, blocking, both};
use crate::engine::disk::Room;
use crate::engine::fetch::{KEY_IN_MEMORY, is_looked_up, key_bytes, look_ups, read_hashed_keys};
use crate::engine::recheck::confirmed::Confirmed;
use crate::engine::recheck::sight::{SightSink, Wanted};
use crate::engine::recheck::watchlist::{Sight, Watchlist};
use crate::engine::rows::differing::Differing;
use crate::engine::rows::element::KeyForm;
use crate::engine::rows::keys::{KeyFilter, KeyMap, KeySet};
use crate::engine::sides::{Planned, Sides, scan_both, wait};
use crate::engine::task::Stop;
use crate::engine::tolerate::nearness::Nearness;

/// Time between two looks of a chase, on average.
const CHASE_PERIOD: Duration = Duration::from_millis(50);

/// The fewest looks of a chase, however long they take: on a busy database time
/// alone would end it before it has seen anything.
const FEWEST_LOOKS: u32 = 16;

/// The differences that are confirmed. `since` is when the survey ended; looks
/// are made at fixed times after it, each in a transaction of its own, and each
/// at all keys.
///
/// After the last look, rows that were seen to change are chased: looked at in
/// short succession for as long as the first delay, since a row that changes
/// all the time never agrees but is found to be what it was.
///
/// Rows that are as near each other as the tolerances of their columns ask
/// agree at every look, and are not confirmed.
pub(crate) async fn recheck(
    sides: Sides,
    planned: &Planned,
    differing: Differing,
    recheck: Recheck,
    since: Instant,
    room: &Room,
) -> Result<(Sides, Differing), Stop> {
    let mut sides = sides;
    let nearness = Arc::new(Nearness::of(&planned.plan));
    let mut confirmed = Confirmed::new(differing.like(), Arc::clone(&nearness), &sides.stop);
    let (unique, on_disk) = (is_unique(planned), room.clone());
    let mut list = blocking(move || Watchlist::new(&differing, unique, &on_disk)).await?;
    let mut observer = Observer {
        planned,
        nearness,
        room,
        hashed: None,
    };
    let mut due = since;
    for number in 0..recheck.times {
        if list.len() == 0 {
            break;
        }
        due += recheck.delay(number);
        sides = wait(sides, due).await?;
        (sides, list) = observer.look(sides, list).await?;
    }
    // What does not move is confirmed, the rest is chased.
    (list, confirmed) = blocking(move || {
        let moving = list.revise(|_, watch| {
            for (key, watched) in watch.extract_if(|_, watched| !watched.moves()) {
                confirmed.take(key, &watched)?;
            }
            Ok(())
        })?;
        Ok((moving, confirmed))
    })
    .await?;
    (sides, list) = chase(sides, &mut observer, list, recheck.delay(0)).await?;
    let differing = blocking(move || {
        list.revise(|_, watch| {
            for (key, watched) in watch.drain() {
                confirmed.take(key, &watched)?;
            }
            Ok(())
        })?;
        confirmed.finish()
    })
    .await?;
    Ok((sides, differing))
}

/// Whether no two rows of a side share a key, as both databases see to.
fn is_unique(planned: &Planned) -> bool {
    let key = &planned.plan.columns[..planned.plan.key_columns];
    planned.source.keys.iter().any(|columns| {
        columns
            .iter()
            .all(|name| key.iter().any(|column| column.source.name == *name))
    }) && planned.target.keys.iter().any(|columns| {
        columns
            .iter()
            .all(|name| key.iter().any(|column| column.target.name == *name))
    })
}

/// Looks at what moves until it has settled, or `limit` is over and it was
/// looked at often enough.
async fn chase(
    sides: Sides,
    observer: &mut Observer<'_>,
    list: Watchlist,
    limit: Duration,
) -> Result<(Sides, Watchlist), Stop> {
    let (mut sides, mut list) = (sides, list);
    let end = Instant::now() + limit;
    let (mut number, mut looks) = (0, 0);
    while list.len() > 0 && (looks < FEWEST_LOOKS || Instant::now() < end) {
        looks += 1;
        // Uneven steps, so that they do not fall into the rhythm of what they look at.
        number = (number + 7) % 11;
        sides = wait(sides, Instant::now() + CHASE_PERIOD * (number + 5) / 10).await?;
        (sides, list) = observer.look(sides, list).await?;
    }
    Ok((sides, list))
}

/// How looks are made.
struct Observer<'a> {
    planned: &'a Planned,
    nearness: Arc<Nearness>,
    room: &'a Room,
    /// The keys that are carried as hashes, once they have been read: a key that
    /// was on no side then has settled.
    hashed: Option<KeyMap<Vec<u8>>>,
}

impl Observer<'_> {
    /// Looks at all watched keys once and forgets those that have settled.
    async fn look(&mut self, sides: Sides, list: Watchlist) -> Result<(Sides, Watchlist), Stop> {
        let (sides, source, target) = if self.looks_up(&list)? {
            self.look_up(sides, &list).await?
        } else {
            self.look_through(sides, &list).await?
        };
        let (nearness, stop) = (Arc::clone(&self.nearness), sides.stop.clone());
        let left = blocking(move || {
            list.revise(|slice, watch| {
                let mut source = source.versions(slice, watch)?;
                let mut target = target.versions(slice, watch)?;
                let mut settled = Vec::new();
                for (key, watched) in &mut *watch {
                    let source = source.remove(key).unwrap_or_default();
                    let target = target.remove(key).unwrap_or_default();
                    if watched.look(source, target, &nearness, &stop)? {
                        settled.push(*key);
                    }
                }
                for key in settled {
                    watch.remove(&key);
                }
                Ok(())
            })
        });
        Ok((sides, left.await?))
    }

    /// Whether keys are looked up, which asks for those that are carried as hashes in memory.
    fn looks_up(&self, list: &Watchlist) -> Result<bool, Stop> {
        if !is_looked_up(self.planned, list.len()) {
            return Ok(false);
        }
        let fits = list.len().saturating_mul(KEY_IN_MEMORY) <= (self.room.memory / 4) as u64;
        if fits || self.hashed.is_some() {
            return Ok(true);
        }
        let form = self.planned.plan.key_form;
        for partition in 0..list.partitions() {
            let keys = list.keys(partition)?;
            if keys.iter().any(|key| form.carried(*key).is_none()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What both sides have under the watched keys, asked for by their keys. Where
    /// a key is on neither side although a look-up may have missed it, all rows
    /// are looked through.
    async fn look_up(
        &mut self,
        sides: Sides,
        list: &Watchlist,
    ) -> Result<(Sides, Sight, Sight), Stop> {
        let plan = &self.planned.plan;
        let form = plan.key_form;
        let mut sides = sides;
        let hashed = match self.hashed.take() {
            Some(hashed) => hashed,
            None => {
                let mut wanted = KeySet::default();
                for partition in 0..list.partitions() {
                    let keys = list.keys(partition)?.into_iter();
                    wanted.extend(keys.filter(|key| form.carried(*key).is_none()));
                }
                let hashed;
                (sides, hashed) = read_hashed_keys(sides, self.planned, &wanted, &wanted).await?;
                hashed
            }
        };
        let (mut left, mut right) = (Sight::new(list), Sight::new(list));
        let mut in_doubt = false;
        for partition in 0..list.partitions() {
            // A hashed key that no side has any more is absent on both.
            let keys: Vec<(u128, Vec<u8>)> = list
                .keys(partition)?
                .into_iter()
                .filter_map(|key| Some((key, key_bytes(form, key, &hashed)?)))
                .collect();
            let Sides {
                source,
                target,
                stop,
            } = sides;
            let on_source = source.statements(&self.planned.source, plan);
            let on_target = target.statements(&self.planned.target, plan);
            let (of_source, of_target) = (look_ups(&on_source, &keys), look_ups(&on_target, &keys));
            let read = both(
                see(source, of_source, form, Arc::clone(&self.nearness), left),
                see(target, of_target, form, Arc::clone(&self.nearness), right),
                &stop,
            );
            let (source, target);
            ((source, left), (target, right)) = read.await?;
            let doubtful: Vec<u128> = keys
                .iter()
                .filter(|(_, bytes)| !(on_source.finds(bytes) && on_target.finds(bytes)))
                .map(|(key, _)| *key)
                .collect();
            if !doubtful.is_empty() {
                let (here, there) = (left.keys(partition)?, right.keys(partition)?);
                in_doubt |= doubtful
                    .iter()
                    .any(|key| !here.contains(key) && !there.contains(key));
            }
            sides = Sides {
                source,
                target,
                stop,
            };
        }
        self.hashed = Some(hashed);
        if in_doubt {
            // That both sides have lost a row is how a difference may have ended.
            return self.look_through(sides, list).await;
        }
        Ok((sides, left, right))
    }

    /// The same in one pass over both sides.
    async fn look_through(
        &self,
        sides: Sides,
        list: &Watchlist,
    ) -> Result<(Sides, Sight, Sight), Stop> {
        let mut filter = KeyFilter::new(list.len(), self.room.memory / 8);
        for partition in 0..list.partitions() {
            for key in list.keys(partition)? {
                filter.insert(key);
            }
        }
        let filter = Arc::new(filter);
        let sink = || {
            SightSink::new(
                self.planned.plan.key_form,
                Arc::clone(&self.nearness),
                Wanted::Roughly(Arc::clone(&filter)),
                Sight::new(list),
            )
        };
        let sinks = (sink(), sink());
        let (sides, left, right) = scan_both(sides, self.planned, sinks).await?;
        Ok((sides, left.into_sight(), right.into_sight()))
    }
}

/// Takes down what `queries` find, each of its keys.
async fn see(
    side: OpenSide,
    queries: Vec<(Query, KeySet)>,
    form: KeyForm,
    nearness: Arc<Nearness>,
    sight: Sight,
) -> Result<(OpenSide, Sight), Stop> {
    let (mut side, mut sight) = (side, sight);
    for (query, keys) in queries {
        // What a database takes for the same key may be another one, with a query of its own.
        let wanted = Wanted::Exactly(keys);
        let sink = SightSink::new(form, Arc::clone(&nearness), wanted, sight);
        let seen;
        (side, seen) = side.scan(&query, sink).await?;
        sight = seen.into_sight();
    }
    Ok((side, sight))
}
