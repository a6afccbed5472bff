"""Where the replicas of a tenant share what they count and keep: its own stores, else the operator's, else none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from tts_operator.api import TTSTenant
from tts_operator.api.base import ObjectReference
from tts_operator.api.tenant import S3Storage
from tts_operator.objects.names import redis_secret_name, redis_user_name, s3_secret_name
from tts_operator.objects.problem import Problem
from tts_operator.settings import RedisDefault, S3Default
from tts_server.config.redis_url import BadRedisURL, RedisURL, parse_redis_url

URL = "url"
CERTIFICATE = "ca.crt"
ACCESS_KEY, SECRET_KEY = "accessKey", "secretKey"
"""Entries of the Secrets that pods mount."""


@dataclass(frozen=True)
class RedisSecret:
    """What is known of the Secret that `spec.redis` names. Of what it says, the port and nothing else."""

    version: str = ""
    """Its resourceVersion; empty where there is none."""
    port: int | None = None
    """None where the address cannot be read."""
    problem: Problem | None = None


@dataclass(frozen=True)
class StoreCredentials:
    """One reading of the credentials for the stores of one tenant."""

    redis_secret: RedisSecret | None = None
    """Of a tenant with a Redis of its own."""
    redis_password: str = field(default="", repr=False)
    """Of its user in the operator's Redis: what its Secret holds, else a new one; empty where it has no such user."""
    redis_certificate: str = ""
    """PEM certificates that the operator's Redis is checked by; empty: the system's."""
    s3_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """ACCESS_KEY and SECRET_KEY of the operator's object store; empty where the tenant does not use it."""
    s3_problem: Problem | None = None
    """Why the Secret with the keys of the tenant's own object store is of no use."""


@dataclass(frozen=True)
class SharedRedis:
    """Where the tenant's replicas count together."""

    secret_name: str
    """What its pods mount."""
    port: int | None
    """What its pods may reach; None where that is not known."""
    version: str = field(repr=False)
    """Another one whenever pods have something new to read."""
    problem: Problem | None = None
    entries: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the Secret is to hold; empty for one that is the tenant's own business."""
    user: str = ""
    """In the operator's Redis; empty for a Redis of the tenant's own."""


def redis_of(tenant: TTSTenant, uid: str, default: RedisDefault | None, seen: StoreCredentials) -> SharedRedis | None:
    """None where nothing is shared: then each replica gives out its part of every limit."""
    if tenant.spec.redis is not None:
        known = seen.redis_secret or RedisSecret()
        return SharedRedis(tenant.spec.redis.secret_ref.name, known.port, known.version, known.problem)
    if default is None:
        return None
    user = redis_user_name(uid)
    entries = {URL: url_text(default.url, user, seen.redis_password)}
    if seen.redis_certificate:
        entries[CERTIFICATE] = seen.redis_certificate
    version = "\n".join(entries.values())
    name = redis_secret_name(tenant.metadata.name)
    return SharedRedis(name, default.url.port, version, entries=entries, user=user)


def s3_of(tenant: TTSTenant, uid: str, default: S3Default | None) -> S3Storage | None:
    """The tenant's own object store, else its part of the operator's: a prefix that no namesake inherits."""
    own = tenant.spec.storage.s3 if tenant.spec.storage else None
    if own is not None or default is None:
        return own
    return storage(default, uid, s3_secret_name(tenant.metadata.name))


def storage(default: S3Default, uid: str, secret_name: str) -> S3Storage:
    """As a tenant would write it. Raises ValidationError."""
    return S3Storage(
        endpoint=default.endpoint,
        region=default.region,
        bucket=default.bucket,
        prefix="/".join(part for part in (default.prefix.strip("/"), uid) if part),
        public_endpoint=default.public_endpoint,
        path_style=default.path_style,
        secret_ref=ObjectReference(name=secret_name),
    )


def uses_default_redis(tenant: TTSTenant, default: RedisDefault | None) -> bool:
    """Whether it has a user in the operator's Redis."""
    return default is not None and tenant.spec.redis is None


def uses_default_s3(tenant: TTSTenant, default: S3Default | None) -> bool:
    """Whether its audio goes to the operator's object store."""
    return default is not None and (tenant.spec.storage is None or tenant.spec.storage.s3 is None)


def url_text(address: RedisURL, user: str, password: str) -> str:
    """As `parse_redis_url` reads it."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    scheme = "rediss" if address.tls else "redis"
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{host}:{address.port}/{address.database}"


def parse_redis_secret(name: str, version: str, text: str | None) -> RedisSecret:
    """What a Secret of this name says, given its entry `url`; None: it has none."""
    if text is None:
        return RedisSecret(
            version, problem=Problem("RedisSecretInvalid", f"Secret {name} has no entry `{URL}`; {REDIS_ADVICE}")
        )
    try:
        address = parse_redis_url(text)
    except BadRedisURL as error:
        message = f"`{URL}` of Secret {name} {error}; {REDIS_ADVICE}"
        return RedisSecret(version, problem=Problem("RedisSecretInvalid", message))
    return RedisSecret(version, address.port)


def missing(name: str) -> RedisSecret:
    """There is no Secret of this name."""
    message = f"there is no Secret {name}, which spec.redis.secretRef names; {REDIS_ADVICE}"
    return RedisSecret(problem=Problem("RedisSecretNotFound", message))


def s3_problem(name: str, entries: Mapping[str, str | None] | None) -> Problem | None:
    """Why `spec.storage.s3` cannot use the Secret that holds these entries; `entries` is None where there is none."""
    if entries is None:
        message = f"there is no Secret {name}, which spec.storage.s3.secretRef names; {S3_ADVICE}"
        return Problem("S3SecretNotFound", message)
    if lacks := [entry for entry in (ACCESS_KEY, SECRET_KEY) if not (entries.get(entry) or "").strip()]:
        return Problem(
            "S3SecretInvalid",
            f"Secret {name} has no entry {' and no '.join(f'`{each}`' for each in lacks)}; {S3_ADVICE}",
        )
    return None


REDIS_ADVICE = (
    f"it needs `{URL}`, redis[s]://[user:password@]host[:port][/database]; until then each replica gives out its part"
    " of the limits"
)
S3_ADVICE = (
    f"it needs `{ACCESS_KEY}` and `{SECRET_KEY}`; until then no audio is kept, and answers hold it instead of a link"
)
