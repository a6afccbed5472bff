{{/* Add the defaults of values that are missing: `helm upgrade --reuse-values` keeps those of the earlier chart, which may
have fewer. Every template begins with it, because their order is helm's. */}}
{{- define "ttsfleet.completeValues" -}}
{{- include "ttsfleet.complete" (list .Values (.Files.Get "files/defaults.yaml" | fromYaml)) -}}
{{- end }}

{{/* Add to the first map what only the second one has. `resources` stays: there a missing entry is a choice. */}}
{{- define "ttsfleet.complete" -}}
{{- $given := index . 0 -}}
{{- range $name, $default := index . 1 -}}
{{- if not (hasKey $given $name) -}}
{{- $_ := set $given $name $default -}}
{{- else if and (kindIs "map" $default) (kindIs "map" (index $given $name)) (ne $name "resources") -}}
{{- include "ttsfleet.complete" (list (index $given $name) $default) -}}
{{- end -}}
{{- end -}}
{{- end }}

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

{{/* Name of the waker's objects. */}}
{{- define "ttsfleet.waker" -}}
{{ include "ttsfleet.name" . }}-waker
{{- end }}

{{- define "ttsfleet.wakerSelector" -}}
app.kubernetes.io/name: tts-waker
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "ttsfleet.wakerLabels" -}}
{{ include "ttsfleet.wakerSelector" . }}
{{ include "ttsfleet.releaseLabels" . }}
{{- end }}

{{- define "ttsfleet.releaseLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: ttsfleet
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "ttsfleet.labels" -}}
{{ include "ttsfleet.selector" . }}
{{ include "ttsfleet.releaseLabels" . }}
{{- end }}

{{/* Image reference; call it with (list . "image"), the name of the value. */}}
{{- define "ttsfleet.image" -}}
{{- $root := index . 0 -}}
{{- $image := index $root.Values (index . 1) -}}
{{- if not $image.repository -}}
{{- fail (printf "%s.repository is required: push the image to a registry from which the cluster pulls, and set image.repository and serverImage.repository" (index . 1)) -}}
{{- end -}}
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
