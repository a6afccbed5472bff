"""Stores that the replicas of a tenant share: its own, else the operator's, else none."""

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
"""Keys in the Secrets that pods mount."""


@dataclass(frozen=True)
class RedisSecret:
    """The Secret that `spec.redis` names. Of its contents the operator keeps only host and port."""

    version: str = ""
    """The Secret's `resourceVersion`; empty if it does not exist."""
    port: int | None = None
    """Port of the Redis; None if the URL is invalid."""
    problem: Problem | None = None
    host: str = ""
    """Host of the Redis; empty if the URL is invalid."""


@dataclass(frozen=True)
class StoreCredentials:
    """Credentials for the stores of one tenant, as read once."""

    redis_secret: RedisSecret | None = None
    """Secret for the tenant's own Redis; None if it uses the operator's, or none."""
    redis_password: str = field(default="", repr=False)
    """Password of its user in the operator's Redis, stored or newly generated; empty if it has no such user."""
    redis_certificate: str = ""
    """CA certificates of the operator's Redis, as PEM; empty for those of the system."""
    s3_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """ACCESS_KEY and SECRET_KEY of the operator's object store; empty if the tenant does not use it."""
    s3_problem: Problem | None = None
    """Why the Secret for the tenant's own object store cannot be used."""


@dataclass(frozen=True)
class SharedRedis:
    """The Redis in which the tenant's replicas share counters."""

    secret_name: str
    """Secret that its pods mount."""
    host: str
    """Host that its pods may reach; empty if it is not known, or not allowed."""
    port: int | None
    """Port of that host; None if it is not known."""
    version: str = field(repr=False)
    """Version of the credentials; it changes whenever pods must reload them."""
    problem: Problem | None = None
    entries: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Desired entries of the Secret; empty if the tenant provides it."""
    user: str = ""
    """ACL user in the operator's Redis; empty for the tenant's own Redis."""


def redis_of(
    tenant: TTSTenant, uid: str, default: RedisDefault | None, credentials: StoreCredentials
) -> SharedRedis | None:
    """The tenant's own Redis, else the operator's. Without either each replica enforces its share of the limits."""
    if tenant.spec.redis is not None:
        secret = credentials.redis_secret or RedisSecret()
        return SharedRedis(tenant.spec.redis.secret_ref.name, secret.host, secret.port, secret.version, secret.problem)
    if default is None:
        return None
    user = redis_user_name(uid)
    entries = {URL: url_text(default.url, user, credentials.redis_password)}
    if credentials.redis_certificate:
        entries[CERTIFICATE] = credentials.redis_certificate
    version = "\n".join(entries.values())
    name = redis_secret_name(tenant.metadata.name)
    return SharedRedis(name, default.url.host, default.url.port, version, entries=entries, user=user)


def s3_of(tenant: TTSTenant, uid: str, default: S3Default | None) -> S3Storage | None:
    """The tenant's own object store, else a prefix in the operator's: the tenant's UID makes it unique."""
    own = tenant.spec.storage.s3 if tenant.spec.storage else None
    if own is not None or default is None:
        return own
    return default_s3_storage(default, uid, s3_secret_name(tenant.metadata.name))


def default_s3_storage(default: S3Default, uid: str, secret_name: str) -> S3Storage:
    """The operator's object store in the form of `spec.storage.s3`. Raises ValidationError."""
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
    """Whether the tenant has a user in the operator's Redis."""
    return default is not None and tenant.spec.redis is None


def uses_default_s3(tenant: TTSTenant, default: S3Default | None) -> bool:
    """Whether the tenant's audio is stored in the operator's object store."""
    return default is not None and (tenant.spec.storage is None or tenant.spec.storage.s3 is None)


def url_text(address: RedisURL, user: str, password: str) -> str:
    """URL in the form that `parse_redis_url` reads."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    scheme = "rediss" if address.tls else "redis"
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{host}:{address.port}/{address.database}"


def parse_redis_secret(name: str, version: str, text: str | None) -> RedisSecret:
    """The contents of a Secret of this name, given its entry `url`; None if it has no such entry."""
    if text is None:
        return RedisSecret(
            version, problem=Problem("RedisSecretInvalid", f"Secret {name} has no key `{URL}`; {REDIS_ADVICE}")
        )
    try:
        address = parse_redis_url(text)
    except BadRedisURL as error:
        message = f"`{URL}` of Secret {name} {error}; {REDIS_ADVICE}"
        return RedisSecret(version, problem=Problem("RedisSecretInvalid", message))
    return RedisSecret(version, address.port, host=address.host)


def missing_redis_secret(name: str) -> RedisSecret:
    """The result for a Secret that does not exist."""
    message = f"Secret {name}, named by spec.redis.secretRef, does not exist; {REDIS_ADVICE}"
    return RedisSecret(problem=Problem("RedisSecretNotFound", message))


def s3_problem(name: str, entries: Mapping[str, str | None] | None) -> Problem | None:
    """Why `spec.storage.s3` cannot use a Secret with these entries; `entries` is None if it does not exist."""
    if entries is None:
        message = f"Secret {name}, named by spec.storage.s3.secretRef, does not exist; {S3_ADVICE}"
        return Problem("S3SecretNotFound", message)
    if absent := [key for key in (ACCESS_KEY, SECRET_KEY) if not (entries.get(key) or "").strip()]:
        return Problem(
            "S3SecretInvalid",
            f"Secret {name} has no key {' and no '.join(f'`{key}`' for key in absent)}; {S3_ADVICE}",
        )
    return None


REDIS_ADVICE = (
    f"it must contain `{URL}`, redis[s]://[user:password@]host[:port][/database]; until then each replica enforces its"
    " share of the limits"
)
S3_ADVICE = (
    f"it must contain `{ACCESS_KEY}` and `{SECRET_KEY}`; until then audio is not stored, and replies carry it instead"
    " of a link"
)
