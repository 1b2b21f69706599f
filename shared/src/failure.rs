//! Why a table could not be compared.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The text of an error and of all its sources.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Defines [`FailureKind`]. The name of a variant is also its text.
macro_rules! failure_kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident,)+) => {
        /// The class of a failure, as reports, events, logs and traces name it.
        ///
        /// Its text is the name of the variant. [`From<&str>`](From) parses every text: a name
        /// that this version does not define, such as one of an embedding program or of another
        /// version, becomes [`Other`](Self::Other) and keeps its text.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum FailureKind {
            $($(#[doc = $doc])+ $kind,)+
            /// A kind that this version does not define.
            Other(OtherKind),
        }

        impl FailureKind {
            const DEFINED: &[Self] = &[$(Self::$kind),+];

            /// The text of the kind.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$kind => stringify!($kind),)+
                    Self::Other(OtherKind(name)) => name,
                }
            }
        }
    };
}

failure_kinds! {
    // The engine.
    /// Several tables differ from the requested name only in upper and lower case.
    AmbiguousTable,
    /// Several columns differ from the requested name only in upper and lower case.
    AmbiguousColumn,
    /// The database refused the user or the password.
    AuthenticationError,
    /// A column does not exist.
    ColumnNotFound,
    /// The configuration of the worker lacks something, for example the endpoint.
    ConfigurationError,
    /// The server cannot be reached, or the connection was lost.
    ConnectionError,
    /// The database does not exist.
    DatabaseNotFound,
    /// The database chose the statement as the victim of a deadlock.
    Deadlock,
    /// A temporary file cannot be written or read.
    DiskError,
    /// No rule compares the types of a pair of columns.
    IncomparableColumn,
    /// A defect of this program: an invariant does not hold.
    InternalError,
    /// The filter is not a condition that may be put into a statement.
    InvalidFilter,
    /// An option of a column or a table does not fit it.
    InvalidRule,
    /// A column of the source's key has no partner in the target.
    KeyColumnMissing,
    /// An option needs a key, and the table has none.
    KeyNeeded,
    /// A statement waited too long for a lock.
    LockTimeout,
    /// The tables have no columns in common.
    NothingToCompare,
    /// The database user may not read something.
    PermissionDenied,
    /// The server sent something that its protocol does not allow.
    ProtocolError,
    /// The database refused a statement for a reason that has no kind of its own.
    QueryError,
    /// Concurrent transactions conflict.
    SerializationFailure,
    /// Temporary files reached `--spill-limit`.
    SpillLimit,
    /// A statement ran too long.
    StatementTimeout,
    /// A table was replaced or altered while it was compared.
    TableChanged,
    /// A table does not exist.
    TableNotFound,
    /// TLS could not be negotiated, or the certificate is not trusted.
    TlsError,
    /// The server has no connections left.
    TooManyConnections,
    /// Source and target are the same table of the same database.
    SameTable,
    /// A value is outside the range of its type, or not valid Unicode.
    ValueError,
    /// A value is larger than `--max-value-size`, or the values of a row are too large together.
    ValueTooLarge,

    // The worker.
    /// The task asks for more than the `[limits]` of the worker allow.
    LimitExceeded,
    /// The endpoint of the worker leads to another database than that of the run.
    OtherDatabase,
    /// The comparison panicked.
    Panic,
    /// The comparison stopped without a request.
    Stopped,
    /// The worker has not configured an endpoint of the table.
    UnknownEndpoint,

    // The coordinator.
    /// The broker did not accept a message, or the connection to it was lost.
    BrokerError,
    /// The table was stopped, or not started, because the run was cancelled.
    CancelledError,
    /// A worker returned the table: it was shutting down, or had failed at the table before.
    HandedBack,
    /// The result lacks a part that was requested.
    IncompleteResult,
    /// A user cancelled the run. Only the span of a run has this kind.
    Interrupted,
    /// The rows differ. Only the root cause of a run has this kind.
    Mismatch,
    /// No worker answers.
    NoWorkerError,
    /// Two tables of the run were compared with one table of the target.
    SharedTarget,
    /// The worker stopped an attempt that the coordinator did not cancel.
    StoppedByWorker,
    /// The comparison took longer than its timeout.
    TimeoutError,
    /// No worker claimed the task although workers are idle.
    UnclaimedError,
    /// Some tables were not verified. Only the span of a run has this kind.
    Unverified,
    /// The worker's heartbeats stopped.
    WorkerLost,

    // The embedding program.
    /// The function returned differences together with counts that match.
    InconsistentFindings,
    /// The function returned an error that is not a [`Failure`].
    ReconcileError,
}

/// The text of a kind that this version does not define; see [`FailureKind::Other`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OtherKind(String);

impl FailureKind {
    /// Whether the worker cannot run any table in these databases, without a fault of its own.
    #[must_use]
    pub fn is_misplaced(&self) -> bool {
        matches!(self, Self::OtherDatabase | Self::UnknownEndpoint)
    }

    /// Whether another attempt may succeed, unless [`Failure::retryable`] overrides it.
    fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::CancelledError
                | Self::ConnectionError
                | Self::Deadlock
                | Self::HandedBack
                | Self::LockTimeout
                | Self::OtherDatabase
                | Self::SerializationFailure
                | Self::Stopped
                | Self::StoppedByWorker
                | Self::TableChanged
                | Self::TimeoutError
                | Self::TooManyConnections
                | Self::UnclaimedError
                | Self::UnknownEndpoint
                | Self::WorkerLost
        )
    }
}

impl From<&str> for FailureKind {
    fn from(name: &str) -> Self {
        name.to_owned().into()
    }
}

impl From<String> for FailureKind {
    fn from(name: String) -> Self {
        match Self::DEFINED.iter().find(|kind| kind.as_str() == name) {
            Some(defined) => defined.clone(),
            None => Self::Other(OtherKind(name)),
        }
    }
}

impl From<FailureKind> for String {
    fn from(kind: FailureKind) -> Self {
        kind.as_str().to_owned()
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the reason of a failure lies, and so whether another worker may succeed at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureOrigin {
    /// In the table, its databases or the run.
    #[default]
    Table,
    /// In the worker's connection to the endpoint of this name.
    Endpoint(String),
    /// In the worker: its disk, its limits.
    Worker,
}

impl FailureOrigin {
    /// Whether every worker would fail.
    #[must_use]
    pub fn is_table(&self) -> bool {
        *self == Self::Table
    }
}

/// Why a table could not be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The class of the failure.
    pub kind: FailureKind,
    /// What happened, on which object, and what the user can do.
    pub message: String,
    /// Whether another attempt may succeed.
    pub retryable: bool,
    /// Whether the failed attempt counts against `--max-attempts`.
    pub counts_against_budget: bool,
    /// Where the reason lies.
    #[serde(default, skip_serializing_if = "FailureOrigin::is_table")]
    pub origin: FailureOrigin,
}

impl Failure {
    /// A failure that counts against `--max-attempts`. It is retryable if failures of its kind
    /// usually pass, such as a lost connection or a deadlock; one of another program's kind is not.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            retryable: kind.is_retryable(),
            kind,
            message: message.into(),
            counts_against_budget: true,
            origin: FailureOrigin::Table,
        }
    }

    /// The same failure, for which another attempt may succeed.
    #[must_use]
    pub fn retryable(self) -> Self {
        Self {
            retryable: true,
            ..self
        }
    }

    /// The same failure, whose reason lies in `origin`.
    #[must_use]
    pub fn in_origin(self, origin: FailureOrigin) -> Self {
        Self { origin, ..self }
    }

    /// The same failure of an attempt that does not count against `--max-attempts`.
    #[must_use]
    pub fn uncounted(self) -> Self {
        Self {
            counts_against_budget: false,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The documented names: scripts of users and the stores of older versions contain them.
    const NAMES: &[&str] = &[
        "AmbiguousTable",
        "AmbiguousColumn",
        "AuthenticationError",
        "ColumnNotFound",
        "ConfigurationError",
        "ConnectionError",
        "DatabaseNotFound",
        "Deadlock",
        "DiskError",
        "IncomparableColumn",
        "InternalError",
        "InvalidFilter",
        "InvalidRule",
        "KeyColumnMissing",
        "KeyNeeded",
        "LockTimeout",
        "NothingToCompare",
        "PermissionDenied",
        "ProtocolError",
        "QueryError",
        "SerializationFailure",
        "SpillLimit",
        "StatementTimeout",
        "TableChanged",
        "TableNotFound",
        "TlsError",
        "TooManyConnections",
        "SameTable",
        "ValueError",
        "ValueTooLarge",
        "LimitExceeded",
        "OtherDatabase",
        "Panic",
        "Stopped",
        "UnknownEndpoint",
        "BrokerError",
        "CancelledError",
        "HandedBack",
        "IncompleteResult",
        "Interrupted",
        "Mismatch",
        "NoWorkerError",
        "SharedTarget",
        "StoppedByWorker",
        "TimeoutError",
        "UnclaimedError",
        "Unverified",
        "WorkerLost",
        "InconsistentFindings",
        "ReconcileError",
    ];

    #[test]
    fn every_kind_keeps_its_name() {
        let names: Vec<&str> = FailureKind::DEFINED
            .iter()
            .map(FailureKind::as_str)
            .collect();
        assert_eq!(names, NAMES);
        for name in NAMES {
            let kind = FailureKind::from(*name);
            assert!(!matches!(kind, FailureKind::Other(_)), "{name}");
            assert_eq!(serde_json::to_value(&kind).unwrap(), *name);
        }
    }

    proptest! {
        #[test]
        fn any_name_is_read_back_as_it_is(
            name in prop_oneof![any::<String>(), proptest::sample::select(NAMES).prop_map(str::to_owned)],
        ) {
            let json = serde_json::to_string(&name).unwrap();
            let kind: FailureKind = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(kind.as_str(), &name);
            prop_assert_eq!(serde_json::to_string(&kind).unwrap(), json);
            prop_assert_eq!(FailureKind::from(name), kind);
        }
    }

    #[test]
    fn a_failure_is_as_retryable_as_its_kind_and_counts() {
        let flags = |failure: Failure| (failure.retryable, failure.counts_against_budget);
        let new = |kind| Failure::new(kind, "failed");
        assert_eq!(flags(new(FailureKind::Deadlock)), (true, true));
        assert_eq!(flags(new(FailureKind::QueryError)), (false, true));
        assert_eq!(flags(new(FailureKind::from("Mine"))), (false, true));
        let repeated = new(FailureKind::BrokerError).retryable().uncounted();
        assert_eq!(flags(repeated), (true, false));
    }
}
