{{/* Generated from operator/tts_operator/{api,calendar} by `make generate`; do not edit. */}}

{{/* CEL: the tiers, lowest first. */}}
{{- define "ttsfleet.tiers" -}}
['Basic', 'VIP', 'Enterprise']
{{- end }}

{{/* CEL: the most replicas of each preset of a schedule. */}}
{{- define "ttsfleet.presets" -}}
{ 'DayNightWeekend': 3 }
{{- end }}

{{/* Validations that refuse fields which are not supported yet, unless the object had them before. */}}
{{- define "ttsfleet.unsupported.ttsmodels" -}}
- expression: "!(object.spec.?remote.?secretRef.hasValue()) || request.operation == 'UPDATE' && (oldObject.spec.?remote.?secretRef.hasValue())"
  message: "spec.remote.secretRef: not supported yet; change or remove it"
- expression: "!(object.spec.?accelerator.hasValue()) || request.operation == 'UPDATE' && (oldObject.spec.?accelerator.hasValue())"
  message: "spec.accelerator: not supported yet; change or remove it"
- expression: "!(object.spec.?pool.hasValue()) || request.operation == 'UPDATE' && (oldObject.spec.?pool.hasValue())"
  message: "spec.pool: not supported yet; change or remove it"
{{- end }}

{{/* Validations that refuse fields which are not supported yet, unless the object had them before. */}}
{{- define "ttsfleet.unsupported.ttstenants" -}}
- expression: "!(object.spec.?isolation == optional.of('Shared')) || request.operation == 'UPDATE' && (oldObject.spec.?isolation == optional.of('Shared'))"
  message: "spec.isolation Shared: not supported yet; change or remove it"
- expression: "!(object.spec.?models.orValue([]).exists(e, e.?minReplicas == optional.of(0))) || request.operation == 'UPDATE' && (oldObject.spec.?models.orValue([]).exists(e, e.?minReplicas == optional.of(0)))"
  message: "spec.models[].minReplicas 0: not supported yet; change or remove it"
- expression: "!(object.spec.?exposure.hasValue()) || request.operation == 'UPDATE' && (oldObject.spec.?exposure.hasValue())"
  message: "spec.exposure: not supported yet; change or remove it"
- expression: "!(object.spec.?preventDeletion == optional.of(true)) || request.operation == 'UPDATE' && (oldObject.spec.?preventDeletion == optional.of(true))"
  message: "spec.preventDeletion true: not supported yet; change or remove it"
{{- end }}
