//! Looks at differing rows again, because copies lag: those that agree by then
//! have settled, those that do not are confirmed.

use std::time::{Duration, Instant};

use super::Stop;
use super::difference::pair;
use super::differing::Differing;
use super::disk::Room;
use super::element::Element;
use super::fetch::{disk, is_looked_up, key_bytes, read_hashed_keys};
use super::reconcile::{Planned, Sides};
use super::side::both;
use super::sinks::{KeyMap, KeySet};
use super::versions::{find_versions, look_up_versions};
use super::watched::{Version, Versions, Watched};
use shared::options::Recheck;

/// Bytes that watching a key takes, with both its versions.
const WATCHED: usize = 500;

/// Time between two looks of a chase, on average.
const CHASE_PERIOD: Duration = Duration::from_millis(50);

/// The fewest looks of a chase, however long they take: on a busy database time
/// alone would end it before it has seen anything.
const FEWEST_LOOKS: u32 = 16;

/// Keys that are watched, and what has been seen of them.
type Watch = KeyMap<Watched>;

/// The differences that are confirmed. `since` is when the survey ended; looks
/// are made at fixed times after it, each in a transaction of its own.
///
/// After the last look, rows that were seen to change are chased: looked at in
/// short succession for as long as the first delay, since a row that changes
/// all the time never agrees but is found to be what it was.
pub(super) async fn recheck(
    sides: Sides,
    planned: &Planned,
    differing: Differing,
    recheck: Recheck,
    since: Instant,
    room: &Room,
) -> Result<(Sides, Differing), Stop> {
    let mut confirmed = differing.like();
    let mut reader = differing.reader();
    let mut sides = sides;
    // More than fit in memory are done one part after the other; their times have come by then.
    let part = (room.memory / 4 / WATCHED).max(64);
    loop {
        let differences = reader.take(part).map_err(disk)?;
        if differences.is_empty() {
            return Ok((sides, confirmed));
        }
        let unique = is_unique(planned);
        let mut watch = Watch::default();
        for difference in differences {
            let version = |row: Option<u128>| row.map_or(Version::Absent, Version::One);
            watch
                .entry(difference.key)
                .and_modify(|watched| *watched = Watched::unknown(watched.differences + 1))
                .or_insert_with(|| {
                    if unique {
                        Watched::surveyed(version(difference.source), version(difference.target))
                    } else {
                        Watched::unknown(1)
                    }
                });
        }
        let mut due = since;
        for number in 0..recheck.times {
            due += recheck.delay(number);
            sides = wait(sides, due).await?;
            sides = look(sides, planned, &mut watch).await?;
            if watch.is_empty() {
                break;
            }
        }
        sides = chase(sides, planned, &mut watch, recheck.delay(0), &mut confirmed).await?;
        confirm(&watch, &mut confirmed)?;
    }
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

/// Takes the keys into `confirmed` that still differ, as they were at the last look.
fn confirm(watch: &Watch, confirmed: &mut Differing) -> Result<(), Stop> {
    for (key, watched) in watch {
        let (source, target) = watched.last();
        let elements = |version: &Version| -> Vec<Element> {
            version
                .rows()
                .iter()
                .map(|row| Element {
                    key: *key,
                    row: *row,
                })
                .collect()
        };
        pair(&mut elements(source), &mut elements(target), confirmed).map_err(disk)?;
    }
    Ok(())
}

/// Looks at what moves until it has settled, or `limit` is over and it was
/// looked at often enough; what does not move is confirmed.
async fn chase(
    sides: Sides,
    planned: &Planned,
    watch: &mut Watch,
    limit: Duration,
    confirmed: &mut Differing,
) -> Result<Sides, Stop> {
    let (moving, still): (Watch, Watch) = std::mem::take(watch)
        .into_iter()
        .partition(|(_, watched)| watched.moves());
    confirm(&still, confirmed)?;
    drop(still);
    *watch = moving;
    let mut sides = sides;
    let end = Instant::now() + limit;
    let (mut number, mut looks) = (0, 0);
    while !watch.is_empty() && (looks < FEWEST_LOOKS || Instant::now() < end) {
        looks += 1;
        // Uneven steps, so that they do not fall into the rhythm of what they look at.
        number = (number + 7) % 11;
        sides = wait(sides, Instant::now() + CHASE_PERIOD * (number + 5) / 10).await?;
        sides = look(sides, planned, watch).await?;
    }
    Ok(sides)
}

/// Ends both transactions, waits until `due`, and begins new ones.
async fn wait(sides: Sides, due: Instant) -> Result<Sides, Stop> {
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let (source, target) = both(source.pause(), target.pause(), &stop).await?;
    tokio::select! {
        () = tokio::time::sleep_until(due.into()) => {}
        () = stop.cancelled() => return Err(Stop::Cancelled),
    }
    let (source, target) = both(source.resume(), target.resume(), &stop).await?;
    Ok(Sides {
        source,
        target,
        stop,
    })
}

/// Looks at all watched keys once and forgets those that have settled.
async fn look(sides: Sides, planned: &Planned, watch: &mut Watch) -> Result<Sides, Stop> {
    let (sides, mut source, mut target) = versions(sides, planned, watch).await?;
    watch.retain(|key, watched| {
        let version = |of: &mut Versions| of.remove(key).unwrap_or_default();
        !watched.look(version(&mut source), version(&mut target))
    });
    Ok(sides)
}

/// What both sides have now under the watched keys.
async fn versions(
    sides: Sides,
    planned: &Planned,
    watch: &Watch,
) -> Result<(Sides, Versions, Versions), Stop> {
    let form = planned.plan.key_form;
    let wanted: KeySet = watch.keys().copied().collect();
    if !is_looked_up(planned, wanted.len() as u64) {
        return find_versions(sides, planned, &wanted).await;
    }
    let (sides, hashed) = read_hashed_keys(sides, planned, &wanted, &wanted).await?;
    // A hashed key that no side has any more is absent on both.
    let keys: Vec<(u128, Vec<u8>)> = wanted
        .iter()
        .filter_map(|key| Some((*key, key_bytes(form, *key, &hashed)?)))
        .collect();
    look_up_versions(sides, planned, &keys, usize::MAX).await
}
