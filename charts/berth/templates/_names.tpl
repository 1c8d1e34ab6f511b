{{/* Names and labels. The names of the objects are fixed: the gateway's address must not depend on the release's name. */}}

{{/* What selects the pods of a component and nothing else. Takes the component. */}}
{{- define "berth.selector" -}}
app.kubernetes.io/name: berth
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* Labels of an object. Takes a list: the root, the component. */}}
{{- define "berth.labels" -}}
{{- $root := index . 0 -}}
{{ include "berth.selector" (index . 1) }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: berth
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels and annotations of a CRD. Takes the root. */}}
{{- define "berth.crdMetadata" -}}
labels:
  {{- include "berth.labels" (list . "crd") | nindent 2 }}
{{- if .Values.crds.keep }}
annotations:
  helm.sh/resource-policy: keep
{{- end }}
{{- end }}

{{/* The reference of an image, or nothing where its repository is empty. Takes a list: the root, the image's values. */}}
{{- define "berth.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- if $image.repository -}}
{{- $name := printf "%s/%s" ($image.registry | default $root.Values.global.registry) $image.repository -}}
{{- if $image.digest -}}
{{ $name }}@{{ $image.digest }}
{{- else -}}
{{ $name }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Whether nodes may be read: a Role can't grant it. Takes the root; `true` or nothing. */}}
{{- define "berth.readNodes" -}}
{{- if and .Values.readNodes (not .Values.watchNamespaces) }}true{{ end -}}
{{- end }}
