//! Values: the canonical forms in which two columns are compared, and their rules.

pub(crate) mod boolean_words;
pub(crate) mod calendar;
pub(crate) mod canonical;
pub(crate) mod column;
pub(crate) mod conversion;
pub(crate) mod folding;
pub(crate) mod kind;
pub(crate) mod moment;
pub(crate) mod pair;
pub(crate) mod pairing;
pub(crate) mod reading;
pub(crate) mod surrogates;
pub(crate) mod tolerance;
pub(crate) mod value;
pub(crate) mod zone;
