{{- define "bulkhead.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "bulkhead.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* What each role needs: the same table as the networks and secrets of docker-compose.yml. */}}
{{- define "bulkhead.roles" -}}
retrieve: { listens: true, identity: true, index: read, dataKeys: true }
ingest: { listens: true, identity: true, index: none, dataKeys: true }
indexer: { listens: false, identity: false, index: write, dataKeys: true }
admin: { listens: true, identity: true, index: none, dataKeys: false }
audit: { listens: true, identity: true, index: none, dataKeys: false }
{{- end -}}

{{- define "bulkhead.selector" -}}
app.kubernetes.io/name: bulkhead
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{- define "bulkhead.labels" -}}
{{ include "bulkhead.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{/* The `restricted` pod security standard, and a root that cannot be written. */}}
{{- define "bulkhead.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "bulkhead.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{- define "bulkhead.secretItems" -}}
- { key: login, path: login }
{{- if eq .index "read" }}
- { key: qdrant-read-key, path: qdrant-read-key }
{{- else if eq .index "write" }}
- { key: qdrant-write-key, path: qdrant-write-key }
{{- end }}
{{- end -}}
