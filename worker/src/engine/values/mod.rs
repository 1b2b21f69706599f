//! Canonical values: the forms in which two columns are compared.

pub(crate) mod calendar;
pub(crate) mod canonical;
pub(crate) mod column;
pub(crate) mod conversion;
pub(crate) mod folding;
pub(crate) mod kind;
pub(crate) mod pair;
pub(crate) mod pairing;
pub(crate) mod raw;
pub(crate) mod reading;
pub(crate) mod tolerance;
