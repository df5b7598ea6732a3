{{- define "cozystack.platform.package.default" -}}
---
apiVersion: cozystack.io/v1alpha1
kind: Package
metadata:
  name: {{ index . 0 }}
spec:
  variant: default
{{- end }}
