//! The fields of KEDA's and kustomize's objects that the manifests use. A field
//! that is missing here is an error; check that it exists before adding it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metadata {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
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

/// kustomize.config.k8s.io, Kustomization v1beta1 and Component v1alpha1.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Kustomization {
    api_version: KustomizeVersion,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    resources: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<Labels>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    config_map_generator: Vec<ConfigMap>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    images: Vec<Image>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    patches: Vec<Patch>,
}

#[derive(Debug, Serialize, Deserialize)]
enum KustomizeVersion {
    #[serde(rename = "kustomize.config.k8s.io/v1beta1")]
    V1Beta1,
    #[serde(rename = "kustomize.config.k8s.io/v1alpha1")]
    V1Alpha1,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    pairs: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigMap {
    name: String,
    files: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Image {
    name: String,
    new_name: String,
    new_tag: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    target: PatchTarget,
    patch: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchTarget {
    kind: String,
    name: String,
}
