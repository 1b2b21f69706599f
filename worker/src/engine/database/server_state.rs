//! The state of a server that decides whether it can serve a run.

use chrono::{DateTime, Utc};

/// What a server says of itself to the endpoint's user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerState {
    /// The oldest version that is supported, if the server's is older.
    pub(crate) oldest_supported: Option<&'static str>,
    /// Whether this connection is encrypted; `None` if the server does not say it.
    pub(crate) is_encrypted: Option<bool>,
    /// Whether the database is a copy that cannot be written to.
    pub(crate) is_replica: bool,
    /// The limit of sessions that leaves the fewest.
    pub(crate) sessions: SessionLimit,
    /// The server's clock.
    pub(crate) now: DateTime<Utc>,
}

/// A limit of sessions and how many of them are open, as far as the user may see it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SessionLimit {
    pub(crate) most: Option<u64>,
    pub(crate) open: Option<u64>,
}

impl SessionLimit {
    /// The limit that leaves the fewest sessions. A limit below 0 is none.
    pub(crate) fn tightest(limits: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let limits = limits.into_iter().filter(|(most, _)| *most >= 0);
        let tightest = limits.min_by_key(|(most, open)| most.saturating_sub(*open));
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        tightest.map_or_else(Self::default, |(most, open)| Self {
            most: Some(count(most)),
            open: Some(count(open)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_leaves_the_fewest_sessions_counts() {
        let limit = |most, open| SessionLimit {
            most: Some(most),
            open: Some(open),
        };
        let tightest = |limits: &[(i64, i64)]| SessionLimit::tightest(limits.iter().copied());
        assert_eq!(tightest(&[(97, 10), (-1, 3), (5, 1)]), limit(5, 1));
        assert_eq!(tightest(&[(97, 95), (-1, 3), (5, 1)]), limit(97, 95));
        assert_eq!(tightest(&[(-1, 3)]), SessionLimit::default());
    }
}
