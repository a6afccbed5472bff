{{/* Generated from operator/tts_operator/objects/kinds.py by `make generate`; do not edit. */}}

{{/* Verbs that the operator uses in a namespace with tenants, and no others. */}}
{{- define "ttsfleet.tenantRules" -}}
# finalizers: the admission plugin OwnerReferencesPermissionEnforcement requires it.
- apiGroups: [ttsfleet.io]
  resources: [ttstenants]
  verbs: [get, list, watch]
- apiGroups: [ttsfleet.io]
  resources: [ttstenants/status]
  verbs: [patch]
- apiGroups: [ttsfleet.io]
  resources: [ttstenants/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [serviceaccounts, configmaps, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [update]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# Of the operator's own label only: those of the EndpointSlice controller have the labels of their Service.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
# By name only: permission to list or watch Secrets would be permission to read all of them.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch, delete]
# By name only, for models with a deviceClassName: Kubernetes before 1.34 has no such kind to watch.
- apiGroups: [resource.k8s.io]
  resources: [resourceclaimtemplates]
  verbs: [get, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.keda.enabled }}
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
{{- if .Values.gatewayAPI.enabled }}
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
{{- if .Values.ingress.enabled }}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
{{- end }}

{{/* Verbs that the operator uses on cluster-scoped objects. */}}
{{- define "ttsfleet.clusterRules" -}}
- apiGroups: [ttsfleet.io]
  resources: [ttsmodels]
  verbs: [get, list, watch]
- apiGroups: [ttsfleet.io]
  resources: [ttsmodels/status]
  verbs: [patch]
- apiGroups: [ttsfleet.io]
  resources: [ttscalendars]
  verbs: [get, list, watch]
{{- end }}

{{/* Takes the name of the only object to grant access to; empty for all. */}}
{{- define "ttsfleet.rules.namespaces" -}}
- apiGroups: [""]
  resources: [namespaces]
  {{- with . }}
  resourceNames: [{{ . | quote }}]
  {{- end }}
  verbs: [get{{ if not . }}, list, watch{{ end }}]
{{- end }}

{{/* Takes the name of the only object to grant access to; empty for all. */}}
{{- define "ttsfleet.rules.leases" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  {{- with . }}
  resourceNames: [{{ . | quote }}]
  {{- end }}
  verbs: [get, update]
{{- end }}

{{/* Writes of a tenant's children, in every version of their groups. */}}
{{- define "ttsfleet.childResourceRules" -}}
- apiGroups: [""]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [serviceaccounts, configmaps, services, secrets]
- apiGroups: [apps]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [deployments]
- apiGroups: [autoscaling]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [horizontalpodautoscalers]
- apiGroups: [keda.sh]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [scaledobjects]
- apiGroups: [policy]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [poddisruptionbudgets]
- apiGroups: [networking.k8s.io]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [networkpolicies, ingresses]
- apiGroups: [gateway.networking.k8s.io]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [httproutes]
- apiGroups: [discovery.k8s.io]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [endpointslices]
- apiGroups: [resource.k8s.io]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE, DELETE]
  resources: [resourceclaimtemplates]
{{- end }}
