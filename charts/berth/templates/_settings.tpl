{{/* The operator's settings, field by field as operator/berth_operator/settings.py reads them. Takes the root.
     Nothing here depends on the chart's version: an upgrade must not change what Models run. */}}
{{- define "berth.settings" -}}
{{- if ge (float64 .Values.operator.lease.renewDeadlineSeconds) (float64 .Values.operator.lease.durationSeconds) -}}
{{- fail "operator.lease.renewDeadlineSeconds must be below operator.lease.durationSeconds: a leader must stop writing before it has lost the Lease" -}}
{{- end -}}
{{- $images := dict -}}
{{- range $name := list "fetch" "cpu" "cuda" "rocm" "vllm" -}}
{{- $_ := set $images $name (include "berth.image" (list $ (index $.Values.images $name))) -}}
{{- end -}}
namespace: {{ .Release.Namespace }}
watchNamespaces: {{ toJson .Values.watchNamespaces }}
bareNames: {{ toJson .Values.gateway.bareNames }}
images:
  {{- toYaml $images | nindent 2 }}
imagePullPolicy: {{ .Values.global.imagePullPolicy }}
imagePullSecrets: {{ toJson .Values.global.imagePullSecrets }}
{{ toYaml (dict "loader" .Values.loader) }}
{{ toYaml (dict "profiles" .Values.profiles) }}
readNodes: {{ include "berth.readNodes" . | default "false" }}
{{ toYaml (dict "monitoringLabels" .Values.monitoring.podLabels) }}
{{ toYaml (dict "limits" .Values.operator.limits) }}
lease:
  name: berth-operator
  {{- toYaml .Values.operator.lease | nindent 2 }}
port: 8080
logLevel: {{ .Values.operator.logLevel }}
{{- end }}
