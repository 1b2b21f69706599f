//! The canonical forms in which columns are compared, and the resolution of times.

use std::cmp::Ordering;

use shared::options::Rounding;

use crate::engine::values::canonical::{RowEncoder, Tag, TimeUnit};

/// The canonical form in which a pair of columns is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Booleans; an integer other than 0 and 1 remains an integer.
    Bool,
    /// Integers of up to 64 bits.
    Int,
    /// Decimals of any size.
    Decimal,
    Float64,
    Float32,
    Text,
    Bytes,
    Date,
    Time(Resolution),
    /// Timestamps without zone.
    Timestamp(Resolution),
    Instant(Resolution),
    /// UUIDs; text that is not a UUID remains text.
    Uuid,
    /// JSON; text that is not JSON remains text.
    Json,
}

impl Kind {
    /// Whether `value` is encoded as values of this kind are. NULL belongs to every kind.
    pub(crate) fn includes(self, value: &[u8]) -> bool {
        let Some((tag, parameter)) = value.first().and_then(|first| Tag::parse(*first)) else {
            return false;
        };
        let counts_in = |resolution: Resolution| resolution.unit().digits() == parameter;
        match tag {
            Tag::Null => true,
            Tag::False | Tag::True => self == Self::Bool,
            Tag::Int => matches!(self, Self::Int | Self::Bool),
            Tag::Decimal => self == Self::Decimal,
            Tag::Float64 => self == Self::Float64,
            Tag::Float32 => self == Self::Float32,
            Tag::Text | Tag::LongText => matches!(self, Self::Text | Self::Uuid | Self::Json),
            Tag::Bytes | Tag::LongBytes => self == Self::Bytes,
            Tag::Date => self == Self::Date,
            Tag::Time => matches!(self, Self::Time(resolution) if counts_in(resolution)),
            Tag::Timestamp => matches!(self, Self::Timestamp(resolution) if counts_in(resolution)),
            Tag::Instant => matches!(self, Self::Instant(resolution) if counts_in(resolution)),
            Tag::Uuid => self == Self::Uuid,
            Tag::Json | Tag::LongJson => self == Self::Json,
        }
    }

    /// Appends a timestamp or an instant; `None` for other kinds. `units` counts
    /// it in the unit of its resolution.
    #[inline]
    pub(crate) fn push_moment(
        self,
        encoder: &mut RowEncoder,
        units: impl FnOnce(Resolution) -> Option<i64>,
    ) -> Option<()> {
        match self {
            Self::Timestamp(resolution) => {
                encoder.timestamp(resolution.unit(), units(resolution)?);
            }
            Self::Instant(resolution) => encoder.instant(resolution.unit(), units(resolution)?),
            _ => return None,
        }
        Some(())
    }
}

/// The resolution at which times are compared: that of the coarser side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resolution {
    /// Digits of a second, 0 to 7.
    pub digits: u8,
    /// How further digits are dropped.
    pub rounding: Rounding,
    /// Whether half-up means away from 2000-01-01, as PostgreSQL rounds: half a
    /// second before that day is rounded down.
    pub from_2000: bool,
}

impl Resolution {
    /// The digits of the side with fewer; further digits are cut.
    pub(crate) fn coarser(source: u8, target: u8) -> Self {
        Self {
            digits: source.min(target),
            rounding: Rounding::Truncate,
            from_2000: false,
        }
    }

    /// The resolution of `datetime`, which is milliseconds. It counts 1/300 s and
    /// displays them rounded: .9966667 is .997.
    pub(crate) fn milliseconds(other: u8) -> Self {
        Self {
            digits: other.min(3),
            rounding: Rounding::HalfUp,
            from_2000: false,
        }
    }

    /// The unit in which values of this resolution are encoded.
    pub(crate) fn unit(self) -> TimeUnit {
        if self.digits > 6 {
            TimeUnit::Ticks
        } else {
            TimeUnit::Micros
        }
    }

    /// Converts `value`, in units of 10^-`digits` s, to this resolution and its
    /// unit. Times before the epoch are negative and are cut to the earlier step,
    /// not towards zero. With `from_2000`, half a step is rounded away from the epoch.
    #[inline]
    pub(crate) fn convert(self, value: i64, digits: u8) -> i64 {
        let rounded = if digits > self.digits {
            let step = 10_i64.pow((digits - self.digits).into());
            let (quotient, rest) = (value.div_euclid(step), value.rem_euclid(step));
            let up = self.rounds_up((2 * rest).cmp(&step), quotient % 2 != 0, value < 0);
            (quotient + i64::from(up)) * step
        } else {
            value
        };
        let unit = self.unit().digits();
        if unit >= digits {
            rounded * 10_i64.pow((unit - digits).into())
        } else {
            rounded / 10_i64.pow((digits - unit).into())
        }
    }

    /// As [`Resolution::convert`], but `None` if the result is out of the range of
    /// canonical times.
    pub(crate) fn convert_wide(self, value: i128, digits: u8) -> Option<i64> {
        let step = 10_i128.checked_pow(u32::from(digits.saturating_sub(self.digits)))?;
        let (quotient, rest) = (value.div_euclid(step), value.rem_euclid(step));
        let up = self.rounds_up((2 * rest).cmp(&step), quotient % 2 != 0, value < 0);
        // In steps of the coarser of the two resolutions.
        let count = quotient + i128::from(up);
        let scale = 10_i128.pow(u32::from(self.unit().digits() - digits.min(self.digits)));
        i64::try_from(count.checked_mul(scale)?)
            .ok()
            // The least and the greatest number are the infinities.
            .filter(|count| *count != i64::MAX && *count != i64::MIN)
    }

    /// Whether a value between two steps is rounded to the later one. `half` compares
    /// its distance from the earlier one with half a step.
    #[inline]
    fn rounds_up(self, half: Ordering, is_odd: bool, is_before_2000: bool) -> bool {
        match self.rounding {
            Rounding::Truncate => false,
            Rounding::HalfUp if self.from_2000 && is_before_2000 => half.is_gt(),
            Rounding::HalfUp => half.is_ge(),
            Rounding::HalfEven => half.is_gt() || (half.is_eq() && is_odd),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_seventh_digit_is_cut_and_datetime_rounds() {
        let micros = Resolution::coarser(7, 6);
        assert_eq!(micros.convert(12_345_679, 7), 1_234_567);
        assert_eq!(
            micros.convert(-1, 7),
            -1,
            "just before the epoch belongs to the microsecond before it"
        );
        let datetime = Resolution::milliseconds(6);
        assert_eq!(datetime.convert(996_667, 6), 997_000);
        assert_eq!(datetime.convert(997_000, 6), 997_000);
        assert_eq!(datetime.convert(-3_333, 6), -3_000);
    }

    #[test]
    fn a_kind_includes_only_what_is_encoded_as_its_values_are() {
        let encoded = |push: &dyn Fn(&mut RowEncoder)| {
            let mut encoder = RowEncoder::default();
            encoder.start_row();
            push(&mut encoder);
            encoder.row().to_vec()
        };
        let micros = Kind::Timestamp(Resolution::coarser(6, 6));
        let ticks = Kind::Timestamp(Resolution::coarser(7, 7));
        let number = encoded(&|encoder| encoder.int(-5));
        let text = encoded(&|encoder| encoder.text(b"-5"));
        let moment = encoded(&|encoder| encoder.timestamp(TimeUnit::Micros, 9));
        let null = encoded(&|encoder| encoder.null());
        for (kind, [of_number, of_text, of_moment]) in [
            (Kind::Int, [true, false, false]),
            (Kind::Bool, [true, false, false]),
            (Kind::Decimal, [false, false, false]),
            (Kind::Text, [false, true, false]),
            (Kind::Uuid, [false, true, false]),
            (micros, [false, false, true]),
            (ticks, [false, false, false]),
        ] {
            assert_eq!(kind.includes(&number), of_number, "{kind:?}");
            assert_eq!(kind.includes(&text), of_text, "{kind:?}");
            assert_eq!(kind.includes(&moment), of_moment, "{kind:?}");
            assert!(kind.includes(&null) && !kind.includes(&[]), "{kind:?}");
        }
    }

    #[test]
    fn half_a_step_goes_to_the_even_one_as_in_postgresql() {
        let even = Resolution {
            digits: 6,
            rounding: Rounding::HalfEven,
            from_2000: false,
        };
        for (ticks, micros) in [
            (1_234_565, 123_456),
            (1_234_575, 123_458),
            (1_234_576, 123_458),
            (-5, 0),
            (-15, -2),
        ] {
            assert_eq!(even.convert(ticks, 7), micros, "{ticks}");
        }
    }

    #[test]
    fn half_a_step_goes_away_from_2000_where_postgresql_has_rounded() {
        let clock = Resolution {
            digits: 0,
            ..Resolution::milliseconds(0)
        };
        let postgres = Resolution {
            from_2000: true,
            ..clock
        };
        for (millis, up, away) in [
            (500, 1, 1),
            (499, 0, 0),
            (-499, 0, 0),
            (-500, 0, -1),
            (-501, -1, -1),
            (-1_500, -1, -2),
            (-1_000, -1, -1),
        ] {
            assert_eq!(clock.convert(millis, 3), up * 1_000_000, "{millis}");
            assert_eq!(postgres.convert(millis, 3), away * 1_000_000, "{millis}");
        }
    }

    proptest! {
        #[test]
        fn a_value_of_the_coarser_side_survives_the_finer_one(
            seconds in -63_000_000_000_i64..252_000_000_000,
            fraction in 0_i64..10_000_000,
            coarse in 0_u8..=7,
            fine in 0_u8..=7,
        ) {
            let (coarse, fine) = (coarse.min(fine), coarse.max(fine));
            let value = seconds * 10_i64.pow(coarse.into()) + fraction / 10_i64.pow((7 - coarse).into());
            let stored_finer = value * 10_i64.pow((fine - coarse).into());
            for rounding in [Rounding::Truncate, Rounding::HalfUp, Rounding::HalfEven] {
                let resolution = Resolution { digits: coarse, rounding, from_2000: false };
                prop_assert_eq!(resolution.convert(value, coarse), resolution.convert(stored_finer, fine));
            }
        }

        #[test]
        fn wide_and_narrow_counts_convert_alike(
            seconds in -63_000_000_000_i64..252_000_000_000,
            fraction in 0_i64..10_000_000,
            kept in 0_u8..=7,
            digits in 0_u8..=7,
            rounding in prop_oneof![Just(Rounding::Truncate), Just(Rounding::HalfUp), Just(Rounding::HalfEven)],
            from_2000: bool,
        ) {
            let resolution = Resolution { digits: kept, rounding, from_2000 };
            let value = seconds * 10_i64.pow(digits.into()) + fraction / 10_i64.pow((7 - digits).into());
            prop_assert_eq!(resolution.convert_wide(value.into(), digits), Some(resolution.convert(value, digits)));
        }
    }
}
