// The CRDs of the Gateway API, for tests: no program is built from this module.
module ttsfleet.io/hack/binaries/gateway-api

go 1.26.0

require sigs.k8s.io/gateway-api v1.6.1
