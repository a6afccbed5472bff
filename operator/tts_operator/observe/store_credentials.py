"""The part of a reading that is about stores: which credentials the tenant's pods have, and which they should have."""

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import replace

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import Refused
from tts_operator.credentials.shared_stores import (
    ACCESS_KEY,
    SECRET_KEY,
    URL,
    RedisSecret,
    StoreCredentials,
    missing_redis_secret,
    parse_redis_secret,
    s3_problem,
    uses_default_redis,
    uses_default_s3,
)
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.names import redis_secret_name, s3_secret_name
from tts_operator.objects.ownership import controlled_by
from tts_operator.objects.problem import Problem
from tts_operator.observe.credential_files import StoreFiles
from tts_operator.observe.reader import new_token
from tts_operator.settings import Settings
from tts_operator.snapshot.observed import Children, Observed
from tts_server.config.redis_url import BadRedisURL, parse_redis_url


async def with_stores(
    observed: Observed,
    cluster: Cluster,
    settings: Settings,
    files: StoreFiles,
    *,
    unmounted: bool = False,
    token: Callable[[], str] = new_token,
) -> Observed:
    """The same, with what is known of its stores. Raises ClusterError.

    `unmounted`: look for Secrets that nothing mounts, too. Otherwise a tenant without stores costs no request.
    """
    tenant, namespace, name = observed.tenant, *observed.key
    if tenant is None or observed.deleting:
        return observed
    of_redis, of_s3 = redis_secret_name(name), s3_secret_name(name)
    made = {of_redis, of_s3}
    wanted = made if unmounted else made & set(mounted(observed.children))  # perhaps no longer wanted
    wanted |= {of_redis} if uses_default_redis(tenant, settings.redis) else set()
    wanted |= {of_s3} if uses_default_s3(tenant, settings.s3) else set()
    found = {each: await cluster.get(Ref("v1", "Secret", namespace, each)) for each in sorted(wanted)}
    stores = StoreCredentials()
    if tenant.spec.redis is not None:
        stores = replace(stores, redis_secret=await own_secret(cluster, namespace, tenant.spec.redis.secret_ref.name))
    elif settings.redis is not None:
        password = stored_password(found[of_redis], observed.uid) or token()
        stores = replace(stores, redis_password=password, redis_certificate=await files.redis_certificate())
    if uses_default_s3(tenant, settings.s3):
        stores = replace(stores, s3_keys=await files.s3_keys())
    elif tenant.spec.storage is not None and (own := tenant.spec.storage.s3) is not None:
        stores = replace(stores, s3_problem=await own_s3_problem(cluster, namespace, own.secret_ref.name))
    children = {Ref("v1", "Secret", namespace, each): body for each, body in found.items() if body is not None}
    return replace(observed, children={**observed.children, **children}, stores=stores)


def mounted(children: Children) -> Iterator[str]:
    """Names of the Secrets that the tenant's Deployments mount."""
    for ref, child in children.items():
        if ref.kind == "Deployment":
            for volume in child["spec"]["template"]["spec"].get("volumes") or ():
                if "secret" in volume:
                    yield volume["secret"]["secretName"]


async def own_secret(cluster: Cluster, namespace: str, name: str) -> RedisSecret:
    """Of a Secret that the tenant names only what the pods' NetworkPolicy needs is kept."""
    try:
        secret = await cluster.get(Ref("v1", "Secret", namespace, name))
    except Refused as error:
        message = f"the operator may not read Secret {name}, so the pods' NetworkPolicy stays closed: {error.message}"
        return RedisSecret(problem=Problem("RedisSecretForbidden", message))
    if secret is None:
        return missing_redis_secret(name)
    return parse_redis_secret(name, str(secret["metadata"]["resourceVersion"]), entry(secret, URL))


async def own_s3_problem(cluster: Cluster, namespace: str, name: str) -> Problem | None:
    """Of a Secret that the tenant names only whether it has what the pods need is kept."""
    try:
        secret = await cluster.get(Ref("v1", "Secret", namespace, name))
    except Refused as error:
        message = f"the operator may not read Secret {name}, and cannot tell whether pods keep audio: {error.message}"
        return Problem("S3SecretForbidden", message)
    return s3_problem(name, secret and {each: entry(secret, each) for each in (ACCESS_KEY, SECRET_KEY)})


def stored_password(secret: Body | None, uid: str) -> str:
    """Of the user in the operator's Redis; empty if the tenant's own Secret holds none."""
    if secret is None or not controlled_by(secret, uid):
        return ""
    try:
        return parse_redis_url(entry(secret, URL) or "").password or ""
    except BadRedisURL:
        return ""


def entry(secret: Body, name: str) -> str | None:
    """Of a Secret; None where it is missing or no text."""
    value = (secret.get("data") or {}).get(name)
    try:
        return None if value is None else base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
