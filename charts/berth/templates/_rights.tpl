{{/* Every right of operator and agent, each with what needs it. operator/berth_operator/rights.py and
     gateway/berth_gateway/rights.py say the same as data, and a test compares. No Secrets, no exec, no wildcard. */}}

{{/* The operator in a namespace that it watches. */}}
{{- define "berth.operatorRights" -}}
# What users declare.
- apiGroups: [berth.dev]
  resources: [models, modelroutes]
  verbs: [list, watch]
- apiGroups: [berth.dev]
  resources: [models/status, modelroutes/status]
  verbs: [patch]
# Owner references that block deletion ask for this where that admission plugin is on.
- apiGroups: [berth.dev]
  resources: [models/finalizers]
  verbs: [update]
# What a Model is made into. `get` asks whether a name is taken by somebody else. With the Model owner references delete
# it; `delete` is for the pods and the Service of a group that is none any more.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create, patch]
# Models that have their images on nodes beforehand.
- apiGroups: [apps]
  resources: [daemonsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# The resolver.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
# Why a pod is not Ready; and a label goes when the weights are there.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
# For `kubectl describe`.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* The operator in the namespace of the release. */}}
{{- define "berth.operatorHomeRights" -}}
# Which replica leads.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [berth-operator]
  verbs: [get, update]
# Which gateways there are, to ask them what Envoy has.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- end }}

{{/* The operator in the whole cluster, where it may. */}}
{{- define "berth.operatorNodeRights" -}}
# Whether any node has the GPU that a Model asks for.
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
{{- end }}

{{/* The agent in a namespace that it watches. It writes nothing. */}}
{{- define "berth.gatewayRights" -}}
- apiGroups: [berth.dev]
  resources: [models, modelroutes]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- end }}
