{{/* One of Prometheus Operator's monitors. Takes a dict: root, kind, name, port, selector, anywhere. */}}
{{- define "berth.monitor" -}}
apiVersion: monitoring.coreos.com/v1
kind: {{ .kind }}
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "berth.labels" (list .root "metrics") | nindent 4 }}
    {{- with .root.Values.monitoring.monitorLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- .selector | nindent 6 }}
  {{- if .anywhere }}
  namespaceSelector:
    {{- if .root.Values.watchNamespaces }}
    matchNames: {{ toJson .root.Values.watchNamespaces }}
    {{- else }}
    any: true
    {{- end }}
  # The name of the Model, on every series.
  podTargetLabels: [berth.dev/model]
  {{- end }}
  {{ ternary "podMetricsEndpoints" "endpoints" (eq .kind "PodMonitor") }}:
  - port: {{ .port }}
    path: /metrics
    interval: {{ .root.Values.monitoring.interval }}
{{- end }}
