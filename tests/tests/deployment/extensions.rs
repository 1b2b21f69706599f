//! The fields of the objects of KEDA, kustomize and the Prometheus operator that the
//! manifests use. A field that is missing here is an error; check that it exists before
//! adding it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metadata {
    name: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

/// keda.sh/v1alpha1, as of KEDA 2.12.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ScaledObject {
    api_version: KedaVersion,
    kind: String,
    metadata: Metadata,
    spec: ScaledObjectSpec,
}

#[derive(Debug, Serialize, Deserialize)]
enum KedaVersion {
    #[serde(rename = "keda.sh/v1alpha1")]
    V1Alpha1,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ScaledObjectSpec {
    scale_target_ref: Name,
    min_replica_count: u32,
    max_replica_count: u32,
    polling_interval: u32,
    cooldown_period: u32,
    advanced: Advanced,
    triggers: Vec<Trigger>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Advanced {
    scaling_modifiers: ScalingModifiers,
    horizontal_pod_autoscaler_config: AutoscalerConfig,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ScalingModifiers {
    formula: String,
    target: String,
    metric_type: MetricType,
}

#[derive(Debug, Serialize, Deserialize)]
enum MetricType {
    AverageValue,
    Value,
}

/// The behaviour is the API's own.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AutoscalerConfig {
    behavior: k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Trigger {
    Rabbitmq(NamedTrigger<RabbitmqMetadata>),
    Prometheus(NamedTrigger<PrometheusMetadata>),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NamedTrigger<M> {
    name: String,
    metadata: M,
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication_ref: Option<Name>,
}

/// All of KEDA's trigger metadata are texts.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RabbitmqMetadata {
    queue_name: String,
    mode: QueueMode,
    value: String,
    protocol: Protocol,
    vhost_name: String,
}

#[derive(Debug, Serialize, Deserialize)]
enum QueueMode {
    QueueLength,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    Amqp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PrometheusMetadata {
    server_address: String,
    query: String,
    threshold: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct TriggerAuthentication {
    api_version: KedaVersion,
    kind: String,
    metadata: Metadata,
    spec: TriggerAuthenticationSpec,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TriggerAuthenticationSpec {
    secret_target_ref: Vec<SecretTarget>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretTarget {
    parameter: String,
    name: String,
    key: String,
}

/// kustomize.config.k8s.io/v1beta1.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Kustomization {
    api_version: KustomizeVersion,
    kind: String,
    namespace: String,
    resources: Vec<String>,
    images: Vec<Image>,
}

#[derive(Debug, Serialize, Deserialize)]
enum KustomizeVersion {
    #[serde(rename = "kustomize.config.k8s.io/v1beta1")]
    V1Beta1,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Image {
    name: String,
    new_name: String,
    new_tag: String,
}

#[derive(Debug, Serialize, Deserialize)]
enum OperatorVersion {
    #[serde(rename = "monitoring.coreos.com/v1")]
    V1,
}

/// monitoring.coreos.com/v1.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct PodMonitor {
    api_version: OperatorVersion,
    kind: String,
    metadata: Metadata,
    spec: PodMonitorSpec,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PodMonitorSpec {
    selector: k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector,
    pod_metrics_endpoints: Vec<MetricsEndpoint>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricsEndpoint {
    port: String,
    interval: String,
}

/// monitoring.coreos.com/v1. promtool checks the groups, which are those of deploy/prometheus.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct PrometheusRule {
    api_version: OperatorVersion,
    kind: String,
    metadata: Metadata,
    spec: Groups,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Groups {
    groups: Vec<serde_json::Value>,
}
