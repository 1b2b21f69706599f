//! Local times of a named time zone of the IANA database, for the comparison with
//! instants.
//!
//! Both sides are compared as local times. An instant has exactly one, so that a
//! local time that occurs twice, when clocks are set back, equals both of its
//! instants. A local time that is skipped, when clocks are set forward, is the local
//! time of no instant: it is moved forward by as much as the clocks are, as databases
//! do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};

use crate::engine::values::moment::{DAYS_FROM_1970, Moment, SECONDS_OF_DAY};

/// Seconds of 400 years, after which weekdays and leap years repeat.
const CYCLE: i64 = 146_097 * SECONDS_OF_DAY;

/// Seconds from 1970 to 8770. Later years than 9999 are beyond the range of the time
/// zone database's crate.
const LATEST: i64 = 17 * CYCLE;

/// A time zone, and how often its local times were not unambiguous.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    name: Arc<str>,
    zone: TimeZone,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    skipped: AtomicU64,
    repeated: AtomicU64,
    /// The counts of the first pass over the rows.
    first_pass: OnceLock<Ambiguous>,
}

/// How many local times are skipped, and how many occur twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ambiguous {
    pub(crate) skipped: u64,
    pub(crate) repeated: u64,
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Zone {
    /// The zone of this name; `None` if the database has none.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let zone = TimeZoneDatabase::bundled().get(name).ok()?;
        Some(Self {
            name: zone.iana_name().unwrap_or(name).into(),
            zone,
            seen: Arc::default(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The local time of an instant.
    pub(crate) fn local_time(&self, instant: Moment) -> Option<Moment> {
        let offset = self.zone.to_offset(timestamp(instant)?);
        shifted(instant, offset.seconds())
    }

    /// The local time as it is compared: moved forward, if clocks skip it.
    pub(crate) fn existing(&self, local: Moment) -> Option<Moment> {
        match self.offsets(local)? {
            AmbiguousOffset::Unambiguous { .. } => Some(local),
            AmbiguousOffset::Gap { before, after } => {
                self.seen.skipped.fetch_add(1, Ordering::Relaxed);
                shifted(local, after.seconds() - before.seconds())
            }
            AmbiguousOffset::Fold { .. } => {
                self.seen.repeated.fetch_add(1, Ordering::Relaxed);
                Some(local)
            }
        }
    }

    /// The instant of a local time; the later one, if it occurs twice. PostgreSQL
    /// chooses the same.
    pub(crate) fn instant(&self, local: Moment) -> Option<Moment> {
        let offset = match self.offsets(local)? {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Gap { before, .. } => before,
            AmbiguousOffset::Fold { after, .. } => after,
        };
        shifted(local, -offset.seconds())
    }

    fn offsets(&self, local: Moment) -> Option<AmbiguousOffset> {
        let local = Offset::UTC.to_datetime(timestamp(local)?);
        Some(self.zone.to_ambiguous_timestamp(local).offset())
    }

    /// Ends the first pass over the rows; later ones read some rows again.
    pub(crate) fn end_first_pass(&self) {
        let Seen {
            skipped,
            repeated,
            first_pass,
        } = &*self.seen;
        first_pass.get_or_init(|| Ambiguous {
            skipped: skipped.load(Ordering::Relaxed),
            repeated: repeated.load(Ordering::Relaxed),
        });
    }

    /// The counts of the first pass over the rows.
    pub(crate) fn ambiguous(&self) -> Ambiguous {
        self.seen.first_pass.get().copied().unwrap_or_default()
    }
}

/// The second of a moment, within the range of the time zone database's crate.
fn timestamp(moment: Moment) -> Option<Timestamp> {
    let second = moment.split().0 + DAYS_FROM_1970 * SECONDS_OF_DAY;
    let late = second - LATEST;
    let folded = if late > 0 {
        second - (late / CYCLE + 1) * CYCLE
    } else {
        second
    };
    Timestamp::from_second(folded).ok()
}

fn shifted(moment: Moment, seconds: i32) -> Option<Moment> {
    let units = i64::from(seconds) * moment.per_second();
    Some(Moment {
        units: moment.units.checked_add(units)?,
        ..moment
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moment(text: &str) -> Moment {
        let at = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap();
        let seconds = at.and_utc().timestamp() - DAYS_FROM_1970 * SECONDS_OF_DAY;
        Moment {
            units: seconds * 1_000_000,
            digits: 6,
        }
    }

    #[test]
    fn clocks_of_berlin() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        for (local, existing, instant) in [
            ("2024-01-15 12:00:00", None, "2024-01-15 11:00:00"),
            ("2024-07-15 12:00:00", None, "2024-07-15 10:00:00"),
            // Skipped.
            (
                "2024-03-31 02:30:00",
                Some("2024-03-31 03:30:00"),
                "2024-03-31 01:30:00",
            ),
            ("2024-03-31 01:59:59", None, "2024-03-31 00:59:59"),
            ("2024-03-31 03:00:00", None, "2024-03-31 01:00:00"),
            // Occurs twice.
            ("2024-10-27 02:30:00", None, "2024-10-27 01:30:00"),
            // Before time zones.
            ("1880-01-01 00:00:00", None, "1879-12-31 23:06:32"),
            // Beyond the range of the crate, by the rules of today.
            ("9999-12-31 23:59:59", None, "9999-12-31 22:59:59"),
        ] {
            let expected = moment(existing.unwrap_or(local));
            assert_eq!(berlin.existing(moment(local)), Some(expected), "{local}");
            assert_eq!(
                berlin.instant(moment(local)),
                Some(moment(instant)),
                "{local}"
            );
        }
        let first = moment("2024-10-27 00:30:00");
        assert_eq!(
            berlin.local_time(first),
            Some(moment("2024-10-27 02:30:00"))
        );
        assert_eq!(berlin.ambiguous(), Ambiguous::default());
        berlin.end_first_pass();
        let expected = Ambiguous {
            skipped: 1,
            repeated: 1,
        };
        assert_eq!(berlin.ambiguous(), expected);
        assert_eq!(Zone::named("Europe/Berlim"), None);
    }

    proptest! {
        #[test]
        fn every_instant_of_a_local_time_equals_it(
            seconds in -7_000_000_000_i64..300_000_000_000,
            fraction in 0_i64..1_000_000,
            name in prop_oneof![
                Just("Europe/Berlin"), Just("America/New_York"), Just("Australia/Lord_Howe"),
                Just("Pacific/Apia"), Just("Asia/Kolkata"), Just("America/Sao_Paulo"), Just("UTC"),
            ],
        ) {
            let zone = Zone::named(name).unwrap();
            let instant = Moment { units: seconds * 1_000_000 + fraction, digits: 6 };
            let local = zone.local_time(instant).unwrap();
            // The local time of an instant exists.
            prop_assert_eq!(zone.existing(local), Some(local));
            // A local time that occurs twice has two instants, both of which have it.
            let chosen = zone.instant(local).unwrap();
            prop_assert!(chosen.units >= instant.units);
            prop_assert_eq!(zone.local_time(chosen), Some(local));
        }

        #[test]
        fn a_skipped_time_is_compared_as_the_one_that_is_stored(minutes in -60_i64..180, year in 1996_i32..2100) {
            let zone = Zone::named("Europe/Berlin").unwrap();
            let sunday = chrono::NaiveDate::from_ymd_opt(year, 3, 31).unwrap();
            let back = i64::from(chrono::Datelike::weekday(&sunday).num_days_from_sunday());
            let midnight = moment(&format!("{year}-03-31 00:00:00")).units - back * 86_400_000_000;
            let local = Moment { units: midnight + (minutes + 60) * 60_000_000, digits: 6 };
            let existing = zone.existing(local).unwrap();
            let is_skipped = (60..120).contains(&minutes);
            prop_assert_eq!(existing.units - local.units, if is_skipped { 3_600_000_000 } else { 0 });
            // What a database stores for it has the local time that is compared.
            prop_assert_eq!(zone.local_time(zone.instant(local).unwrap()), Some(existing));
        }
    }
}
