{{/* The operator's settings, field by field as operator/berth_operator/settings.py reads them. Takes the root.
     Nothing here depends on the chart's version: an upgrade must not change what Models run. */}}
{{- define "berth.settings" -}}
{{- $lease := .Values.operator.lease -}}
{{- if gt (float64 $lease.renewDeadlineSeconds) (subf (float64 $lease.durationSeconds) 2.0) -}}
{{- fail "operator.lease.renewDeadlineSeconds must be at most operator.lease.durationSeconds less 2: a leader must stop writing before it has lost the Lease" -}}
{{- end -}}
{{- if ge (float64 $lease.retrySeconds) (float64 $lease.renewDeadlineSeconds) -}}
{{- fail "operator.lease.retrySeconds must be below operator.lease.renewDeadlineSeconds: a leader must be able to try again before it gives up" -}}
{{- end -}}
{{- $images := dict -}}
{{- range $name := list "fetch" "cpu" "cuda" "rocm" "vllm" "vllmCpu" "torch" -}}
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
