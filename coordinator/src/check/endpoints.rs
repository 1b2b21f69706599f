//! What the endpoints, as the processes of a run see them, mean for the run.

use shared::endpoint_state::{CheckedEndpoint, EndpointCheck, EndpointState};
use shared::failure::{Failure, FailureKind};
use shared::finding::Severity;
use worker::engine::{Effect, PreflightFinding};

/// From so many milliseconds on, two clocks differ enough to mislead.
const CLOCK_LIMIT: u64 = 5_000;

/// The endpoints as one process sees them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EndpointsOf {
    /// `this process`, or the name of a worker.
    pub(crate) process: String,
    /// Whether the process compares tables of the run.
    pub(crate) compares: bool,
    pub(crate) endpoints: Vec<CheckedEndpoint>,
}

/// One endpoint as one process sees it.
struct Seen<'a> {
    process: &'a str,
    compares: bool,
    endpoint: &'a str,
    check: &'a EndpointCheck,
}

/// The findings about the endpoints of a run.
///
/// `sides`: the names of the endpoints of the source and of the target, which may be the same.
pub(crate) fn endpoint_findings(
    sides: &[&str],
    processes: &[EndpointsOf],
) -> Vec<PreflightFinding> {
    let all: Vec<Seen<'_>> = processes
        .iter()
        .flat_map(|process| {
            process.endpoints.iter().map(|checked| Seen {
                process: &process.process,
                compares: process.compares,
                endpoint: &checked.endpoint,
                check: &checked.check,
            })
        })
        .collect();
    let mut names = sides.to_vec();
    names.sort_unstable();
    names.dedup();
    let mut findings = Vec::new();
    for name in names {
        let of_endpoint: Vec<&Seen<'_>> = all.iter().filter(|seen| seen.endpoint == name).collect();
        let used_by = sides.iter().filter(|side| **side == name).count();
        findings.extend(failures(&of_endpoint));
        findings.extend(other_databases(&of_endpoint));
        findings.extend(session_limit(name, &of_endpoint, used_by));
        for seen in of_endpoint {
            if let EndpointCheck::Reached(state) = seen.check {
                findings.extend(of_state(seen, state));
            }
        }
    }
    findings
}

/// The processes that cannot use an endpoint. Other workers can run the tables that one returns.
fn failures(of_endpoint: &[&Seen<'_>]) -> Vec<PreflightFinding> {
    let is_reached = |seen: &&&Seen<'_>| matches!(seen.check, EndpointCheck::Reached(_));
    let usable = of_endpoint
        .iter()
        .filter(is_reached)
        .any(|seen| seen.compares);
    let failures = of_endpoint.iter().filter_map(|seen| match seen.check {
        EndpointCheck::Reached(_) => None,
        EndpointCheck::Failed(failure) => Some((seen, failure)),
    });
    failures
        .map(|(seen, failure)| {
            let found = PreflightFinding::of_failure(failure).on(object(seen));
            match usable || !seen.compares {
                true => as_warning(found),
                false => found,
            }
        })
        .collect()
}

fn as_warning(mut found: PreflightFinding) -> PreflightFinding {
    found.finding.severity = Severity::Warning;
    found.effect = Effect::None;
    found
}

fn object(seen: &Seen<'_>) -> String {
    format!("endpoint `{}` of {}", seen.endpoint, seen.process)
}

/// Processes whose endpoints of one name lead to different databases.
fn other_databases(of_endpoint: &[&Seen<'_>]) -> Option<PreflightFinding> {
    let mut reached = of_endpoint.iter().filter_map(|seen| match seen.check {
        EndpointCheck::Reached(state) => Some((seen, &state.database)),
        EndpointCheck::Failed(_) => None,
    });
    let (first, database) = reached.next()?;
    let (other, found) = reached.find(|(_, found)| !found.is_same_database(database))?;
    let failure = Failure::new(
        FailureKind::OtherDatabase,
        format!(
            "the endpoint `{}` leads to different databases: {database} for {}, and {found} for {} (correct the configuration of one of them)",
            first.endpoint, first.process, other.process
        ),
    );
    Some(PreflightFinding::of_failure(&failure).on(object(other)))
}

/// Whether the server has sessions for all processes that compare tables. The processes may see
/// different numbers of open sessions; the largest counts.
fn session_limit(name: &str, of_endpoint: &[&Seen<'_>], sides: usize) -> Option<PreflightFinding> {
    let states: Vec<&EndpointState> = of_endpoint
        .iter()
        .filter(|seen| seen.compares)
        .filter_map(|seen| match seen.check {
            EndpointCheck::Reached(state) => Some(&**state),
            EndpointCheck::Failed(_) => None,
        })
        .collect();
    let most = states.iter().filter_map(|state| state.max_sessions).min()?;
    let open = states.iter().filter_map(|state| state.open_sessions).max();
    let of_one_side: u64 = states
        .iter()
        .map(|state| u64::from(state.own_sessions))
        .sum();
    let needed = of_one_side.saturating_mul(sides as u64);
    let free = most.saturating_sub(open.unwrap_or(0));
    if needed <= free {
        return None;
    }
    let open = open.map_or_else(
        || "how many are open is not visible to the endpoint's user".to_owned(),
        |open| format!("{open} are open"),
    );
    let message = format!(
        "the run opens up to {needed} sessions with the endpoint `{name}`; its server allows {most}, and {open}"
    );
    let rule = (Severity::Warning, "too-many-connections");
    let remedy = "lower --parallel-workers, the workers' --concurrency or max_connections of the endpoint, or raise the server's limit";
    Some(
        PreflightFinding::without_effect(rule, message, Some(remedy))
            .on(format!("endpoint `{name}`")),
    )
}

/// What the state of a server means for the run.
fn of_state(seen: &Seen<'_>, state: &EndpointState) -> Vec<PreflightFinding> {
    let mut findings = Vec::new();
    let mut add = |severity, rule: &str, message: String, remedy: &str| {
        let found = PreflightFinding::without_effect((severity, rule), message, Some(remedy));
        findings.push(found.on(object(seen)));
    };
    let EndpointState {
        database,
        isolation,
        ..
    } = state;
    let kind = database.kind;
    if let Some(oldest) = &state.oldest_supported {
        add(
            Severity::Warning,
            "unsupported-version",
            format!(
                "{kind} {} is older than {oldest}, the oldest version that is supported",
                database.version
            ),
            "expect failures; compare a copy on a newer server if they occur",
        );
    }
    if state.is_encrypted == Some(false) && !is_local(&database.host) {
        add(
            Severity::Warning,
            "unencrypted-connection",
            format!(
                "the connection to {}:{} is not encrypted: rows and the login can be read on the network",
                database.host, database.port
            ),
            "set tls = \"require\" for the endpoint",
        );
    }
    if !state.is_consistent {
        add(
            Severity::Warning,
            "no-snapshot",
            format!(
                "tables of database `{}` are read at {isolation}: rows that change during the run may be read before or after the change",
                database.database
            ),
            "ALTER DATABASE … SET ALLOW_SNAPSHOT_ISOLATION ON, compare while nothing is written, or use --recheck",
        );
    }
    if state.is_replica {
        add(
            Severity::Note,
            "replica",
            format!(
                "database `{}` at {}:{} is a replica, which may lag behind its primary server",
                database.database, database.host, database.port
            ),
            "use --recheck while data is written, or name the primary server",
        );
    }
    let ahead = state.clock_ahead_ms;
    if ahead.unsigned_abs() > CLOCK_LIMIT.saturating_add(state.clock_error_ms) {
        let direction = if ahead > 0 { "ahead of" } else { "behind" };
        add(
            Severity::Warning,
            "clock-difference",
            format!(
                "the clock of {}:{} is {} s {direction} that of {}",
                database.host,
                database.port,
                ahead.unsigned_abs() / 1000,
                seen.process
            ),
            "synchronise the clocks: times in the report and in conditions are those of different hosts",
        );
    }
    findings
}

/// Whether traffic to the host does not leave the machine.
fn is_local(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || host.starts_with('/') || address.is_ok_and(|it| it.is_loopback())
}

#[cfg(test)]
mod tests {
    use shared::endpoint::DatabaseKind;
    use shared::identity::DatabaseIdentity;

    use super::*;

    fn state() -> EndpointState {
        EndpointState {
            database: DatabaseIdentity {
                endpoint: "erp".to_owned(),
                kind: DatabaseKind::Postgres,
                version: "15.8".to_owned(),
                host: "db.example".to_owned(),
                port: 5432,
                database: "shop".to_owned(),
                user: "reader".to_owned(),
                id: "1".to_owned(),
            },
            oldest_supported: None,
            isolation: "REPEATABLE READ".to_owned(),
            is_consistent: true,
            is_encrypted: Some(true),
            is_replica: false,
            max_sessions: Some(100),
            open_sessions: Some(10),
            own_sessions: 4,
            clock_ahead_ms: 3,
            clock_error_ms: 1,
        }
    }

    fn of(process: &str, compares: bool, check: EndpointCheck) -> EndpointsOf {
        EndpointsOf {
            process: process.to_owned(),
            compares,
            endpoints: vec![CheckedEndpoint {
                endpoint: "erp".to_owned(),
                check,
            }],
        }
    }

    fn reached(state: EndpointState) -> EndpointCheck {
        EndpointCheck::Reached(Box::new(state))
    }

    fn failed() -> EndpointCheck {
        EndpointCheck::Failed(Failure::new(
            FailureKind::AuthenticationError,
            "the password is wrong",
        ))
    }

    fn found(processes: &[EndpointsOf]) -> Vec<(String, Severity, Effect)> {
        endpoint_findings(&["erp", "copy"], processes)
            .into_iter()
            .map(|it| (it.finding.rule, it.finding.severity, it.effect))
            .collect()
    }

    fn rules(state: EndpointState) -> Vec<String> {
        let found = found(&[of("this process", true, reached(state))]);
        found.into_iter().map(|(rule, ..)| rule).collect()
    }

    #[test]
    fn a_good_endpoint_has_no_findings() {
        assert_eq!(rules(state()), [""; 0]);
    }

    #[test]
    fn every_fault_of_a_server_is_found() {
        let changed = |change: fn(&mut EndpointState)| {
            let mut state = state();
            change(&mut state);
            rules(state)
        };
        for (expected, change) in [
            (
                "unsupported-version",
                (|it| it.oldest_supported = Some("11".to_owned())) as fn(&mut EndpointState),
            ),
            ("unencrypted-connection", |it| it.is_encrypted = Some(false)),
            ("no-snapshot", |it| it.is_consistent = false),
            ("replica", |it| it.is_replica = true),
            ("clock-difference", |it| it.clock_ahead_ms = -6_000),
            ("too-many-connections", |it| it.open_sessions = Some(97)),
        ] {
            assert_eq!(changed(change), [expected]);
        }
        // Within the error of the measurement, and on this machine.
        for change in [
            (|it| {
                it.clock_ahead_ms = 6_000;
                it.clock_error_ms = 2_000;
            }) as fn(&mut EndpointState),
            |it| {
                it.is_encrypted = Some(false);
                it.database.host = "127.0.0.1".to_owned();
            },
            |it| it.max_sessions = None,
        ] {
            assert_eq!(changed(change), [""; 0]);
        }
    }

    #[test]
    fn a_worker_that_cannot_connect_matters_as_long_as_no_other_one_can() {
        let alone = found(&[of("w1", true, failed())]);
        let expected = |severity, effect| ("authentication-error".to_owned(), severity, effect);
        assert_eq!(alone, [expected(Severity::Error, Effect::Unverified)]);
        let one_of_two = found(&[of("w1", true, failed()), of("w2", true, reached(state()))]);
        assert_eq!(one_of_two, [expected(Severity::Warning, Effect::None)]);
        // The coordinator compares nothing.
        let coordinator = found(&[
            of("this process", false, failed()),
            of("w1", true, reached(state())),
        ]);
        assert_eq!(coordinator, [expected(Severity::Warning, Effect::None)]);
        let only_coordinator = found(&[
            of("this process", false, reached(state())),
            of("w1", true, failed()),
        ]);
        assert_eq!(
            only_coordinator,
            [expected(Severity::Error, Effect::Unverified)]
        );
    }

    #[test]
    fn workers_in_different_databases_are_an_error() {
        let mut other = state();
        other.database.id = "2".to_owned();
        let found = found(&[
            of("w1", true, reached(state())),
            of("w2", true, reached(other)),
        ]);
        assert_eq!(
            found,
            [(
                "other-database".to_owned(),
                Severity::Error,
                Effect::Unverified
            )]
        );
    }

    #[test]
    fn the_sessions_of_all_workers_and_both_sides_count() {
        let workers = |count: usize| -> Vec<EndpointsOf> {
            (0..count)
                .map(|number| of(&format!("w{number}"), true, reached(state())))
                .collect()
        };
        assert_eq!(found(&workers(22)), []);
        assert_eq!(found(&workers(23)).len(), 1);
        let sides = ["erp", "erp"];
        assert_eq!(endpoint_findings(&sides, &workers(11)), []);
        assert_eq!(endpoint_findings(&sides, &workers(12)).len(), 1);
    }
}
