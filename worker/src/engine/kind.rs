//! Which types can be compared with each other, and in which canonical form.

use shared::options::ColumnRule;

use super::canonical::TimeUnit;
use super::column::{Column, ColumnType};

/// The canonical form in which a pair of columns is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Truth values; an integer other than 0 and 1 is its own value.
    Bool,
    /// Integers of up to 64 bits.
    Int,
    /// Decimals of any size.
    Decimal,
    /// Floats of 64 bits.
    Float64,
    /// Floats of 32 bits.
    Float32,
    /// Unicode text.
    Text,
    /// Bytes.
    Bytes,
    /// Days.
    Date,
    /// Times of day.
    Time(Resolution),
    /// Timestamps without zone.
    Timestamp(Resolution),
    /// Instants.
    Instant(Resolution),
    /// UUIDs; text that is none is its own value.
    Uuid,
}

/// How exactly times are compared: as exactly as the coarser side keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    /// Digits of a second, 0 to 7.
    pub digits: u8,
    /// What happens to further digits.
    pub rounding: Rounding,
}

/// What happens to digits that the coarser side does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// They are dropped.
    Truncate,
    /// Half a step and more is rounded away from the past. `datetime` itself
    /// rounds so, and its steps are not decimal: .9966667 stands for .997.
    HalfUp,
}

impl Resolution {
    fn coarser(source: u8, target: u8) -> Self {
        Self {
            digits: source.min(target),
            rounding: Rounding::Truncate,
        }
    }

    /// `datetime` shows milliseconds.
    fn milliseconds(other: u8) -> Self {
        Self {
            digits: other.min(3),
            rounding: Rounding::HalfUp,
        }
    }

    /// The unit in which values of this resolution are kept.
    #[must_use]
    pub fn unit(self) -> TimeUnit {
        if self.digits > 6 {
            TimeUnit::Ticks
        } else {
            TimeUnit::Micros
        }
    }

    /// `value` in this resolution and its unit, out of `digits` digits of a
    /// second. Counts from before the epoch are negative and round the same
    /// way on the clock: `floor`, not towards zero.
    #[inline]
    #[must_use]
    pub fn convert(self, value: i64, digits: u8) -> i64 {
        let rounded = if digits > self.digits {
            let step = 10_i64.pow((digits - self.digits).into());
            match self.rounding {
                Rounding::Truncate => value.div_euclid(step) * step,
                Rounding::HalfUp => (value + step / 2).div_euclid(step) * step,
            }
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
}

/// There is no rule for a pair of types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "column `{column}` cannot be compared: {source_type} on the source and {target_type} on the target have no common form; leave it out (columns.exclude = [\"{column}\"]) or convert it in a view and compare the view"
)]
pub struct Incomparable {
    /// The column on the source.
    pub column: String,
    /// Its type there.
    pub source_type: String,
    /// Its type on the target.
    pub target_type: String,
}

/// How a pair of columns is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pairing {
    /// The form that both are brought into.
    pub kind: Kind,
}

/// How a pair of columns is compared under `rule`. A column paired with itself
/// under the default rule has its own exact form.
///
/// # Errors
///
/// When their types have nothing in common.
pub fn pairing(
    source: &Column,
    target: &Column,
    _rule: &ColumnRule,
) -> Result<Pairing, Incomparable> {
    use ColumnType::{
        Bool, Bytes, Date, DateTime, Decimal, Float32, Float64, Instant, Int, Money, Text, Time,
        Timestamp, Uuid,
    };
    let kind = match (&source.kind, &target.kind) {
        (Bool, Bool | Int) | (Int, Bool) => Kind::Bool,
        (Int, Int) => Kind::Int,
        (Decimal | Money | Int, Decimal | Money) | (Decimal | Money, Int) => Kind::Decimal,
        (Float64, Float64) => Kind::Float64,
        (Float32, Float32 | Float64) | (Float64, Float32) => Kind::Float32,
        (Text { .. }, Text { .. }) => Kind::Text,
        (Bytes, Bytes) => Kind::Bytes,
        (Date, Date) => Kind::Date,
        (Time(a), Time(b)) => Kind::Time(Resolution::coarser(*a, *b)),
        (Timestamp(a), Timestamp(b)) => Kind::Timestamp(Resolution::coarser(*a, *b)),
        (DateTime, Timestamp(digits)) | (Timestamp(digits), DateTime) => {
            Kind::Timestamp(Resolution::milliseconds(*digits))
        }
        (DateTime, DateTime) => Kind::Timestamp(Resolution::milliseconds(3)),
        (Instant(a), Instant(b)) => Kind::Instant(Resolution::coarser(*a, *b)),
        (Uuid, Uuid | Text { .. }) | (Text { .. }, Uuid) => Kind::Uuid,
        _ => {
            return Err(Incomparable {
                column: source.name.clone(),
                source_type: source.declared.clone(),
                target_type: target.declared.clone(),
            });
        }
    };
    Ok(Pairing { kind })
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
            for rounding in [Rounding::Truncate, Rounding::HalfUp] {
                let resolution = Resolution { digits: coarse, rounding };
                prop_assert_eq!(resolution.convert(value, coarse), resolution.convert(stored_finer, fine));
            }
        }
    }
}
