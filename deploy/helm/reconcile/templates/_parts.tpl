{{/* Parts that both roles have. Each takes the role and the root: (dict "role" "worker" "root" $). */}}

{{- define "reconcile.name" -}}
{{ printf "%s-%s" (trunc 40 .root.Release.Name) .role }}
{{- end }}

{{- define "reconcile.selector" -}}
app.kubernetes.io/name: reconcile-{{ .role }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "reconcile.labels" -}}
{{ include "reconcile.selector" . }}
app.kubernetes.io/part-of: reconcile
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}

{{- define "reconcile.image" -}}
{{- $image := index .root.Values.images .role -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "reconcile.podAnnotations" -}}
{{- /* A changed configuration starts new pods. */ -}}
checksum/config: {{ include (print .root.Template.BasePath "/configuration.yaml") .root | sha256sum }}
{{- if .root.Values.monitoring.annotations }}
prometheus.io/scrape: "true"
prometheus.io/port: "9464"
{{- end }}
{{- end }}

{{- define "reconcile.podSettings" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- if not .root.Values.openshift }}
  runAsUser: 65532
  runAsGroup: 65532
  # The group of the secret files, which makes them readable.
  fsGroup: 65532
  {{- end }}
  seccompProfile: { type: RuntimeDefault }
{{- with (index .root.Values .role).nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with (index .root.Values .role).tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "reconcile.containerSettings" -}}
image: {{ include "reconcile.image" . }}
imagePullPolicy: {{ .root.Values.images.pullPolicy }}
{{- with .root.Values.traces }}
env:
  - { name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }} }
{{- end }}
ports:
  - { name: metrics, containerPort: 9464 }
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{- define "reconcile.policyRules" -}}
{{- $values := .root.Values -}}
podSelector:
  matchLabels:
    {{- include "reconcile.selector" . | nindent 4 }}
policyTypes: [Ingress, Egress]
# Probes come from the node and need no rule.
ingress:
  {{- with $values.monitoring.namespace }}
  - from:
      - namespaceSelector:
          matchLabels: { kubernetes.io/metadata.name: {{ . }} }
    ports: [{ protocol: TCP, port: 9464 }]
  {{- else }} []
  {{- end }}
egress:
  # DNS.
  - to:
      - namespaceSelector:
          matchLabels: { kubernetes.io/metadata.name: kube-system }
      {{- range $values.networkPolicy.dnsAddresses }}
      - ipBlock: { cidr: {{ . }} }
      {{- end }}
    ports: [{ protocol: UDP, port: 53 }, { protocol: TCP, port: 53 }]
  # The pods of OpenShift's DNS listen on another port than its service.
  - to:
      - namespaceSelector:
          matchLabels: { kubernetes.io/metadata.name: openshift-dns }
    ports: [{ protocol: UDP, port: 5353 }, { protocol: TCP, port: 5353 }]
  # The broker.
  - {{ with $values.networkPolicy.broker }}to: {{ toJson . }}
    {{ end }}ports: [{ protocol: TCP, port: {{ $values.networkPolicy.brokerPort }} }]
  {{- with $values.monitoring.namespace }}
  # Traces{{ if eq $.role "coordinator" }} and the Pushgateway{{ end }}.
  - to:
      - namespaceSelector:
          matchLabels: { kubernetes.io/metadata.name: {{ . }} }
    ports: [{ protocol: TCP, port: 4317 }{{ if eq $.role "coordinator" }}, { protocol: TCP, port: 9091 }{{ end }}]
  {{- end }}
  {{- if or (eq .role "worker") $values.networkPolicy.coordinatorToDatabases }}
  # The databases.
  - {{ with $values.networkPolicy.databases }}to: {{ toJson . }}
    {{ end }}ports:
      {{- range $values.networkPolicy.databasePorts }}
      - { protocol: TCP, port: {{ . }} }
      {{- end }}
      {{- if $values.networkPolicy.azureSqlRedirect }}
      - { protocol: TCP, port: 11000, endPort: 11999 }
      {{- end }}
  {{- end }}
{{- end }}
