//! What a comparison has twice, once for each side.

use std::ops::{Index, IndexMut};

use crate::engine::values::column::SideOf;

/// One value of the source and one of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pair<T> {
    pub(crate) source: T,
    pub(crate) target: T,
}

impl<T> Pair<T> {
    /// What `make` returns for each side, the source first.
    pub(crate) fn of(mut make: impl FnMut(SideOf) -> T) -> Self {
        Self {
            source: make(SideOf::Source),
            target: make(SideOf::Target),
        }
    }

    pub(crate) fn as_ref(&self) -> Pair<&T> {
        Pair {
            source: &self.source,
            target: &self.target,
        }
    }

    pub(crate) fn map<U>(self, mut of: impl FnMut(T) -> U) -> Pair<U> {
        Pair {
            source: of(self.source),
            target: of(self.target),
        }
    }

    /// The values of both pairs side by side.
    pub(crate) fn zip<U>(self, other: Pair<U>) -> Pair<(T, U)> {
        Pair {
            source: (self.source, other.source),
            target: (self.target, other.target),
        }
    }
}

impl<T, U> Pair<(T, U)> {
    /// The first values of both sides, and the second ones.
    pub(crate) fn unzip(self) -> (Pair<T>, Pair<U>) {
        let (source, target) = (self.source, self.target);
        let first = Pair {
            source: source.0,
            target: target.0,
        };
        let second = Pair {
            source: source.1,
            target: target.1,
        };
        (first, second)
    }
}

impl<T, E> Pair<Result<T, E>> {
    /// Both values, or the first error.
    pub(crate) fn transpose(self) -> Result<Pair<T>, E> {
        Ok(Pair {
            source: self.source?,
            target: self.target?,
        })
    }
}

impl<T> Index<SideOf> for Pair<T> {
    type Output = T;

    fn index(&self, side: SideOf) -> &T {
        match side {
            SideOf::Source => &self.source,
            SideOf::Target => &self.target,
        }
    }
}

impl<T> IndexMut<SideOf> for Pair<T> {
    fn index_mut(&mut self, side: SideOf) -> &mut T {
        match side {
            SideOf::Source => &mut self.source,
            SideOf::Target => &mut self.target,
        }
    }
}
