"""When the presigned URLs of a model's files were signed, and when they are signed anew: after half their life.

A pod may start at any time: a URL that has just been signed lets one start for a week, even without an operator.
"""

from datetime import datetime

from tts_operator.credentials.model_sources import stores
from tts_operator.credentials.presigned_url import LIFE
from tts_operator.objects import fields
from tts_operator.objects.fields import annotation
from tts_operator.objects.kinds import SECRET
from tts_operator.objects.labels import SIGNED_AT
from tts_operator.objects.names import source_secret_name
from tts_operator.resolve.resolved import Pool
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed

RENEW_AFTER = LIFE / 2


def urls_signed_at(observed: Observed, pool: Pool, now: datetime) -> datetime | None:
    """The instant with which the pool's URLs are signed; None if no file of its model is in an object store.

    It stays while the URLs are young, so that an unchanged Secret is not written.
    """
    if pool.model is None or not stores(pool.model):
        return None
    live = lookup.child(observed, SECRET, source_secret_name(observed.key.name, pool.model_name))
    signed = fields.instant(annotation(live, SIGNED_AT)) if live else None
    now = now.replace(microsecond=0)
    return signed if signed is not None and signed <= now < signed + RENEW_AFTER else now


def urls_renewed_at(observed: Observed, pool: Pool, now: datetime) -> datetime | None:
    """When the pool's URLs are signed anew; None if it has none."""
    signed = urls_signed_at(observed, pool, now)
    return signed + RENEW_AFTER if signed else None


def urls_expire_at(observed: Observed, pool: Pool, now: datetime) -> datetime | None:
    """The instant until which pods of the pool can download files; None if they download none.

    While keys are missing, the URLs of before stay.
    """
    if pool.model is not None and not stores(pool.model):
        return None
    credentials = observed.source_credentials.get(pool.model_name)
    renewed = urls_signed_at(observed, pool, now) if credentials and credentials.keys else None
    live = lookup.child(observed, SECRET, source_secret_name(observed.key.name, pool.model_name))
    signed = renewed or (fields.instant(annotation(live, SIGNED_AT)) if live else None)
    return signed + LIFE if signed else None
