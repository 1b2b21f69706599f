//! The check of endpoints that a coordinator requests before a run.

use shared::bounds::shortened_failure;
use shared::endpoint_state::{CheckedEndpoint, EndpointState};
use shared::failure::{Failure, FailureKind};

use super::resources::WorkerResources;

/// Checks the endpoints of these names, all at the same time.
pub(super) async fn check_all(
    resources: &WorkerResources,
    endpoints: Vec<String>,
) -> Vec<CheckedEndpoint> {
    let checks = endpoints.into_iter().map(|endpoint| async move {
        let found = check(resources, &endpoint).await;
        CheckedEndpoint {
            check: found.map_err(shortened_failure).into(),
            endpoint,
        }
    });
    futures::future::join_all(checks).await
}

async fn check(resources: &WorkerResources, endpoint: &str) -> Result<EndpointState, Failure> {
    let served = resources.served_endpoints();
    let is_served = served.is_none_or(|served| served.iter().any(|name| name == endpoint));
    if !is_served {
        return Err(Failure::new(
            FailureKind::UnknownEndpoint,
            format!(
                "the worker has no endpoint `{endpoint}`, or its [limits] exclude it; it returns the tables of this endpoint. Add [endpoints.{endpoint}] to its configuration"
            ),
        ));
    }
    resources.engine.inspect(endpoint).await
}
