{{/* The agent's arguments, as gateway/berth_gateway/arguments.py reads them. Takes the root. */}}
{{- define "berth.agentArguments" -}}
- --namespace
- {{ .Release.Namespace }}
- --run-dir
- /run/berth
- --host
- {{ .Values.gateway.host | quote }}
- --port
- "8080"
- --agent-port
- "8081"
- --drain-timeout
- {{ .Values.gateway.drainSeconds | quote }}
{{- if .Values.gateway.accessLog }}
- --access-log
- /dev/stdout
{{- end }}
{{- range .Values.watchNamespaces }}
- --watch-namespace
- {{ . }}
{{- end }}
{{- with .Values.gateway.bareNames }}
- --bare-names
{{- range . }}
- {{ . }}
{{- end }}
{{- end }}
{{- end }}
