"""Reads the credentials for a tenant's stores: those that its pods have, and those that they should have."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from tts_operator.api import TTSTenant
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
from tts_operator.objects.kinds import DEPLOYMENT, SECRET
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.names import redis_secret_name, s3_secret_name
from tts_operator.objects.problem import Problem
from tts_operator.observe.secret_entries import entry, stored_password
from tts_operator.observe.secret_reader import SecretReader
from tts_operator.observe.sources import Sources, together
from tts_operator.snapshot.observed import Children, Observed


@dataclass(frozen=True)
class StoreReading:
    """Credentials for the stores, and the Secrets that the operator made for them."""

    secrets: Mapping[Ref, Body] = field(default_factory=dict)
    credentials: StoreCredentials = field(default_factory=StoreCredentials)


async def read_stores(sources: Sources, observed: Observed, tenant: TTSTenant, *, unmounted: bool) -> StoreReading:
    """Read what concerns the stores of one tenant. Raises ClusterError.

    `unmounted`: read the operator's Secrets that no Deployment mounts, too. Without it a tenant that uses no store of
    the operator costs no request for them.
    """
    secrets, settings, namespace, name = sources.secrets, sources.settings, *observed.key
    redis, s3 = (Ref.of(SECRET, namespace, each(name)) for each in (redis_secret_name, s3_secret_name))
    wanted = {redis, s3} if unmounted else {redis, s3} & set(mounted(observed.children))  # perhaps to be deleted
    wanted |= {redis} if uses_default_redis(tenant, settings.redis) else set()
    wanted |= {s3} if uses_default_s3(tenant, settings.s3) else set()
    found = dict(zip(sorted(wanted), await together(*(secrets.get(ref) for ref in sorted(wanted))), strict=True))
    credentials = StoreCredentials()
    if tenant.spec.redis is not None:
        own_redis = await own_redis_secret(secrets, Ref.of(SECRET, namespace, tenant.spec.redis.secret_ref.name))
        credentials = replace(credentials, redis_secret=own_redis)
    elif settings.redis is not None:
        password = stored_password(found[redis], observed.uid) or sources.token()
        certificate = await sources.files.redis_certificate()
        credentials = replace(credentials, redis_password=password, redis_certificate=certificate)
    if uses_default_s3(tenant, settings.s3):
        credentials = replace(credentials, s3_keys=await sources.files.s3_keys())
    elif tenant.spec.storage is not None and (own_s3 := tenant.spec.storage.s3) is not None:
        problem = await own_s3_problem(secrets, Ref.of(SECRET, namespace, own_s3.secret_ref.name))
        credentials = replace(credentials, s3_problem=problem)
    return StoreReading({ref: body for ref, body in found.items() if body is not None}, credentials)


def mounted(children: Children) -> Iterator[Ref]:
    """Secrets that the tenant's Deployments mount."""
    for ref, child in children.items():
        if ref.kind == DEPLOYMENT.name:
            for volume in child["spec"]["template"]["spec"].get("volumes") or ():
                if "secret" in volume:
                    yield Ref.of(SECRET, ref.namespace, volume["secret"]["secretName"])


async def own_redis_secret(secrets: SecretReader, ref: Ref) -> RedisSecret:
    """Read a Secret that the tenant names, keeping only what the pods' NetworkPolicy needs."""
    try:
        secret = await secrets.get(ref)
    except Refused as error:
        message = (
            f"the operator may not read Secret {ref.name}, so the pods' NetworkPolicy stays closed: {error.message}"
        )
        return RedisSecret(problem=Problem("RedisSecretForbidden", message))
    if secret is None:
        return missing_redis_secret(ref.name)
    return parse_redis_secret(ref.name, str(secret["metadata"]["resourceVersion"]), entry(secret, URL))


async def own_s3_problem(secrets: SecretReader, ref: Ref) -> Problem | None:
    """Read a Secret that the tenant names, keeping only whether it has the entries that pods need."""
    try:
        secret = await secrets.get(ref)
    except Refused as error:
        message = f"the operator may not read Secret {ref.name}, so it cannot tell whether pods can store audio"
        return Problem("S3SecretForbidden", f"{message}: {error.message}")
    return s3_problem(ref.name, secret and {each: entry(secret, each) for each in (ACCESS_KEY, SECRET_KEY)})
