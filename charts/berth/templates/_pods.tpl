{{/* What the pods of operator and gateway share. They pass Pod Security "restricted". */}}

{{/* Security of a pod; 65532 is the user of the images, and of Envoy's distroless one. */}}
{{- define "berth.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Security of a container. */}}
{{- define "berth.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Metadata of a pod. No version is among the labels, so that a new chart alone rolls nothing.
     Takes a list: the root, the component, its values. */}}
{{- define "berth.podLabels" -}}
{{- $root := index . 0 -}}
{{ include "berth.selector" (index . 1) }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- with (index . 2).podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Where a pod runs, and by which Secrets its images are pulled. Takes a list: the root, the component, its values. */}}
{{- define "berth.placement" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index . 2 -}}
{{- with $root.Values.global.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
topologySpreadConstraints:
{{- with $values.topologySpreadConstraints }}
{{ toYaml . }}
{{- else }}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "berth.selector" $component | nindent 6 }}
  # Replicas of the old version don't count, or a rollout would crowd the new ones.
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
{{ toYaml . }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* The service account's token as a volume, for the one container that needs it; the kubelet renews it.
     `apiVersion` is what the API server would add: written out, nobody who applies the same is told of a conflict. */}}
{{- define "berth.tokenVolume" -}}
name: token
projected:
  sources:
  - serviceAccountToken: {path: token, expirationSeconds: 3600}
  - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
  - downwardAPI: {items: [{path: namespace, fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}]}
{{- end }}

{{- define "berth.tokenMount" -}}
{name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}
