"""Reads Secrets by name, and notes the versions of those that exist. It keeps nothing of their content."""

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import Refused
from tts_operator.objects.manifest import Body, Ref


class SecretReader:
    """Reads the Secrets of one reconcile, each from the API server."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.versions: dict[Ref, str] = {}
        """resourceVersion of each Secret that was read and exists."""
        self.refused = False
        """Whether the operator may not read one of them: what becomes of it shows only in another attempt."""

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> Body | None:
        """Read one Secret; None if it does not exist. Raises ClusterError."""
        try:
            secret = await self._cluster.get(ref, metadata_only=metadata_only)
        except Refused:
            self.refused = True
            raise
        if secret is not None:
            self.versions[ref] = str(secret["metadata"]["resourceVersion"])
        return secret
