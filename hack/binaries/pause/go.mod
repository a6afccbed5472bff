// The sandbox container of every pod: it holds the pod's namespaces and does nothing.
module ttsfleet.io/hack/binaries/pause

go 1.26.0
