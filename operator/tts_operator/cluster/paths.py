"""URL paths of the API server."""

from urllib.parse import quote

from tts_operator.objects.kinds import Kind


def collection_path(kind: Kind, namespace: str = "") -> str:
    """URL path of the objects of a kind, in a namespace or in all."""
    prefix = f"/apis/{kind.group}" if kind.group else "/api"
    within = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{prefix}/{kind.version}{within}/{kind.plural}"
