{{/* Parts of the ValidatingAdmissionPolicies. */}}

{{/* The match conditions of every policy: requests of the operator's account. */}}
{{- define "ttsfleet.byTheOperator" -}}
- name: by-the-operator
  expression: request.userInfo.username == 'system:serviceaccount:{{ .Release.Namespace }}:{{ include "ttsfleet.serviceAccount" . }}'
{{- end }}

{{- define "ttsfleet.notInKubeNamespaces" -}}
- expression: "!request.namespace.startsWith('kube-')"
  message: the operator may write nothing in namespaces whose names begin with kube-
{{- end }}

{{/* CEL: whether the owner reference `o` is that of a controlling TTSTenant. */}}
{{- define "ttsfleet.isController" -}}
o.kind == 'TTSTenant' && o.apiVersion.startsWith('ttsfleet.io/') && o.?controller.orValue(false)
{{- end }}

{{/* CEL: name of the TTSTenant that controls the object; empty if none does. */}}
{{- define "ttsfleet.ownerName" -}}
>-
  object.metadata.?ownerReferences.orValue([]).filter(o, {{ include "ttsfleet.isController" . }})
  .map(o, o.name).join("")
{{- end }}

{{/* The binding of a policy to every namespace; call it with (list . "<suffix of its name>"). */}}
{{- define "ttsfleet.policyBinding" }}
{{- $root := index . 0 }}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ include "ttsfleet.clusterName" $root }}-{{ index . 1 }}
  labels: {{- include "ttsfleet.labels" $root | nindent 4 }}
spec:
  policyName: {{ include "ttsfleet.clusterName" $root }}-{{ index . 1 }}
  validationActions: [Deny]
{{- end }}

{{/* The binding of a policy over TTSTenants to the namespaces that the operator watches; call it like policyBinding. */}}
{{- define "ttsfleet.tenantPolicyBinding" }}
{{- include "ttsfleet.policyBinding" . }}
{{- with (index . 0).Values.operator.watchNamespaces }}
  matchResources:
    namespaceSelector:
      matchExpressions:
        - {key: kubernetes.io/metadata.name, operator: In, values: {{ toJson . }}}
{{- end }}
{{- end }}

{{/* The match condition of policies over what people write: an object that is being deleted may always be changed, so
that its finalizers can be removed. */}}
{{- define "ttsfleet.notDeleted" -}}
- name: not-deleted
  expression: "!has(object.metadata.deletionTimestamp)"
{{- end }}

{{/* CEL: whether the namespace has this label with a whole number from `least`; call it with
(list "<label>" "<least>"). */}}
{{- define "ttsfleet.hasCount" -}}
variables.labels[?'{{ index . 0 }}'].orValue('').matches('^[0-9]{1,9}$')
&& int(variables.labels['{{ index . 0 }}']) >= {{ index . 1 }}
{{- end }}

{{/* CEL: origin of a ceiling, as messages name it; call it with (list "<label>" "<variable that tells whether the label
applies>"). */}}
{{- define "ttsfleet.ceilingSource" -}}
(variables.{{ index . 1 }} ? "the namespace's label {{ index . 0 }}"
: "the operator's default for namespaces without the label {{ index . 0 }}")
{{- end }}

{{/* CEL: every field of a TTSTenant that sets bounds of its first model, as {field, bounds}; call it with the name of the
object. */}}
{{- define "ttsfleet.scheduleBounds" -}}
({{ . }}.spec.?schedule.?preset.hasValue() ? [{'field': dyn('spec.schedule.preset'),
'bounds': dyn({'minReplicas': variables.presets[?{{ . }}.spec.schedule.preset].orValue(0)})}] : [])
+ ({{ . }}.spec.?schedule.?default.hasValue() ? [{'field': dyn('spec.schedule.default'),
'bounds': dyn({{ . }}.spec.schedule.default)}] : [])
+ {{ . }}.spec.?schedule.?windows.orValue([]).map(w, {'field': dyn('spec.schedule.windows[' + w.name + ']'),
'bounds': dyn(w)})
+ {{ . }}.spec.?schedule.?exceptions.orValue([]).map(x, {'field': dyn('spec.schedule.exceptions[' + x.name + ']'),
'bounds': dyn(x)})
+ ({{ . }}.spec.?schedule.?override.hasValue() ? [{'field': dyn('spec.schedule.override'),
'bounds': dyn({{ . }}.spec.schedule.override)}] : [])
{{- end }}

{{/* CEL: every field of a TTSTenant that sets bounds of another model, likewise. */}}
{{- define "ttsfleet.modelBounds" -}}
{{ . }}.spec.models.filter(m, has(m.minReplicas)).map(m, {'field': dyn('spec.models[' + m.name + ']'), 'bounds': dyn(m)})
{{- end }}

{{/* CEL: the same fields as {field, replicas}. */}}
{{- define "ttsfleet.withReplicas" -}}
.map(f, {'field': f.field, 'replicas': f.bounds.?maxReplicas.orValue(f.bounds.minReplicas)})
{{- end }}

{{/* CEL: the same of the fields that set bounds of the model `params`; one replica is the default. */}}
{{- define "ttsfleet.modelReplicas" -}}
({{ . }}.spec.models[0].name != params.metadata.name
? {{ . }}.spec.models.filter(m, m.name == params.metadata.name).map(m, {'field': dyn('spec.models[' + m.name + ']'),
'bounds': has(m.minReplicas) ? dyn(m) : dyn({'minReplicas': 1})})
: !has({{ . }}.spec.schedule) ? [{'field': dyn('spec.models[' + params.metadata.name + ']'), 'bounds': dyn({'minReplicas': 1})}]
: {{ include "ttsfleet.scheduleBounds" . }})
{{- include "ttsfleet.withReplicas" . }}
{{- end }}

{{/* Verbs that the waker uses, and no others. */}}
{{- define "ttsfleet.wakerRules" -}}
- apiGroups: [ttsfleet.io]
  resources: [ttstenants]
  verbs: [get, list, watch]
- apiGroups: [ttsfleet.io]
  resources: [ttstenants/status]
  verbs: [patch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- end }}
