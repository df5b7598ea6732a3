{{- define "kubeovn.image" -}}
{{- $image := .Values.global.images.kubeovn -}}
{{- printf "%s/%s:%s" .Values.global.registry.address $image.repository $image.tag -}}
{{- end }}
