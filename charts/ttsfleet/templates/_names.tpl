{{/* Name of the release's objects: the name of the release if it contains "ttsfleet", else <release>-ttsfleet. */}}
{{- define "ttsfleet.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* Name of cluster-scoped objects; it includes the namespace, because two releases may share a name. */}}
{{- define "ttsfleet.clusterName" -}}
{{- if eq .Release.Namespace (include "ttsfleet.name" .) -}}
{{- include "ttsfleet.name" . -}}
{{- else -}}
{{- printf "%s.%s" .Release.Namespace (include "ttsfleet.name" .) -}}
{{- end -}}
{{- end }}

{{- define "ttsfleet.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "ttsfleet.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is required if serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "ttsfleet.selector" -}}
app.kubernetes.io/name: tts-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "ttsfleet.labels" -}}
{{ include "ttsfleet.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: ttsfleet
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* Image reference; call it with (list . .Values.image). */}}
{{- define "ttsfleet.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default $root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end }}

{{/* One limit of every tier, as the operator's flags take it; call it with (list .Values.tiers "<name of the limit>"). */}}
{{- define "ttsfleet.byTier" -}}
{{- $tiers := index . 0 -}}{{- $limit := index . 1 -}}
{{- range $position, $tier := list "Basic" "VIP" "Enterprise" -}}
{{- if $position }},{{ end }}{{ $tier }}={{ int64 (index $tiers $tier $limit) }}
{{- end -}}
{{- end }}
