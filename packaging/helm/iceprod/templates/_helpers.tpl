{{- define "iceprod.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
{{- end }}

{{- define "iceprod.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "iceprod.labels" -}}
{{ include "iceprod.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* The file of settings: what the user says; the public address is known where there is an ingress. */ -}}
{{- define "iceprod.settings" -}}
{{- $given := .Values.settings }}
{{- if dig "database" "url" "" $given }}
{{- fail (printf "settings.database.url would be readable in a ConfigMap: put it into the Secret %s, as database-url" .Values.credentials) }}
{{- end }}
{{- range $name := list "host" "port" }}
{{- if hasKey (dig "server" dict $given) $name }}
{{- fail (printf "settings.server.%s: the servers of a cluster listen at 0.0.0.0:8080; service.port is for clients" $name) }}
{{- end }}
{{- end }}
{{- $known := dict }}
{{- with .Values.ingress }}
{{- if .enabled }}
{{- $known = dict "server" (dict "public_url" (printf "%s://%s" (ternary "https" "http" (ne .tlsSecret "")) .host)) }}
{{- end }}
{{- end }}
{{- mergeOverwrite $known (deepCopy $given) | toYaml }}
{{- end }}

{{- /* What every pod of ours is denied. */ -}}
{{- define "iceprod.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "iceprod.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
