{{/* The agent's arguments, as gateway/berth_gateway/__main__.py reads them. Takes the root. */}}
{{- define "berth.agentArguments" -}}
- --namespace
- {{ .Release.Namespace }}
- --run-dir
- /run/berth
- --port
- "8080"
- --agent-port
- "8081"
{{- range .Values.watchNamespaces }}
- --watch-namespace
- {{ . }}
{{- end }}
{{- with .Values.gateway.bareNames }}
- --bare-names
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}
