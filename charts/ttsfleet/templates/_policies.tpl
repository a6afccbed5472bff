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
