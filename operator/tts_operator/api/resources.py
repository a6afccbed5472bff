"""Resource requests and limits, of a replica and of a sidecar."""

from typing import Annotated

from pydantic import Field

from tts_operator.api.base import APIModel, Quantity, cel


class ResourceRequirements(APIModel):
    """Resource requests and limits of one replica, as in a pod."""

    model_config = cel(
        (
            "['cpu', 'memory'].all(r, (has(self.requests) && r in self.requests)"
            " || (has(self.limits) && r in self.limits))",
            "resources must set cpu and memory, in requests or limits",
        ),
        (
            "!has(self.requests) || !has(self.limits) || self.requests.all(r, !(r in self.limits)"
            " || quantity(string(self.requests[r])).compareTo(quantity(string(self.limits[r]))) <= 0)",
            "resources.requests must not exceed resources.limits",
        ),
        *(
            (
                f"!has(self.{part}) || self.{part}.all(r, r.contains('/') || r.startsWith('hugepages-')"
                " || r in ['cpu', 'memory', 'ephemeral-storage'])",
                f"resources.{part} may set cpu, memory, ephemeral-storage, hugepages-... and extended resources such as"
                " nvidia.com/gpu",
            )
            for part in ("requests", "limits")
        ),
    )

    requests: Annotated[dict[str, Quantity], Field(max_length=16)] = {}
    """Resources that the scheduler reserves for the replica."""
    limits: Annotated[dict[str, Quantity], Field(max_length=16)] = {}
    """Resources that the replica may not exceed. GPUs and MIG profiles are set here."""
