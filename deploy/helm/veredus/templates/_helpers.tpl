{{- define "veredus.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "veredus.labels" -}}
{{ include "veredus.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end -}}

{{- define "veredus.selector" -}}
app.kubernetes.io/name: veredus
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "veredus.secret" -}}
{{- .Values.secret.existing | default (printf "%s-settings" (include "veredus.name" .)) -}}
{{- end -}}

{{/* One line for each setting. JSON's strings, numbers and lists are TOML's as well. */}}
{{- define "veredus.toml" -}}
data_dir = "/var/lib/veredus"
http.listen = ["0.0.0.0:8580"]
http.drain = "{{ .Values.drainSeconds }}s"
# Not on the listener that the ingress leads the world to.
metrics.listen = "0.0.0.0:9100"
lmtp.listen = [{{ if .Values.lmtp.enabled }}"0.0.0.0:2424"{{ end }}]
smtp.listen = [{{ if .Values.smtp.enabled }}"0.0.0.0:2525"{{ end }}]
{{- range $name, $value := .Values.settings }}
{{ $name }} = {{ toJson $value }}
{{- end }}
{{- end -}}
