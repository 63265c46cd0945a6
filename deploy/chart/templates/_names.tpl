{{/* Names are short enough for every label, with room for a suffix. */}}
{{- define "plimsoll.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* What is not in a namespace carries it in its name: two releases must not share it. */}}
{{- define "plimsoll.clusterName" -}}
{{ printf "%s.%s" .Release.Namespace (include "plimsoll.name" .) }}
{{- end }}

{{- define "plimsoll.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "plimsoll.labels" -}}
{{ include "plimsoll.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "plimsoll.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* The governed namespaces, as a list in JSON. */}}
{{- define "plimsoll.namespaces" -}}
{{ .Values.namespaces | default (list .Release.Namespace) | toJson }}
{{- end }}

{{/* The daemon's file: what the chart knows, then what the owner says. */}}
{{- define "plimsoll.file" -}}
{{- $namespaces := include "plimsoll.namespaces" . | fromJsonArray }}
{{- $opened := dict "systems" (dict) "sources" (dict) }}
{{- range $section := list "systems" "sources" }}
{{- range $name, $entry := index $.Values $section }}
{{- $_ := set (index $opened $section) $name (merge (deepCopy $entry) (dict "namespaces" $namespaces)) }}
{{- end }}
{{- end }}
{{- $own := dict
  "apiVersion" "plimsoll.dev/v1alpha1"
  "kind" "DaemonConfig"
  "policiesDir" (ternary "/etc/plimsoll/policies" "/usr/share/plimsoll/policies" (not (empty .Values.policies.configMaps)))
  "targetsDir" "/etc/plimsoll/targets"
  "stateDir" "/var/lib/plimsoll"
  "http" (dict "listen" "0.0.0.0:9750" "allowRemoteReads" true)
  "control" (dict "socket" "/var/lib/plimsoll/control.sock")
  "audit" (dict "dir" "/var/lib/plimsoll/audit" "retentionSize" "1Gi" "snapshotRetentionSize" "512Mi")
  "kubernetes" (dict "namespaces" $namespaces "autoscalers" true "scalable" .Values.rights.scalable
    "lease" (dict "namespace" .Release.Namespace "name" (include "plimsoll.name" .)))
  "log" (dict "format" "json")
  "systems" $opened.systems
  "sources" $opened.sources }}
{{- mergeOverwrite $own (deepCopy .Values.config) | toYaml }}
{{- end }}
