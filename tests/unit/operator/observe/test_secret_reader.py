"""Secrets are read by name each time, and nothing but their versions is kept."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import Forbidden
from tts_operator.objects.kinds import SECRET
from tts_operator.objects.manifest import Body, Ref
from tts_operator.observe.secret_reader import SecretReader

KEYS, MISSING, HIDDEN = (Ref.of(SECRET, "team", name) for name in ("keys", "missing", "hidden"))


class ApiServer:
    """Has one Secret, and hides another."""

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> Body | None:
        if ref == HIDDEN:
            raise Forbidden("Forbidden", "no")
        return {"metadata": {"resourceVersion": "7"}, "data": {"token": "c2VjcmV0"}} if ref == KEYS else None


def reader() -> SecretReader:
    return SecretReader(cast("Cluster", cast("Any", ApiServer())))


async def test_versions_of_what_exists_are_kept_and_no_content() -> None:
    secrets = reader()
    found = await secrets.get(KEYS)
    assert found is not None
    assert await secrets.get(MISSING) is None
    assert secrets.versions == {KEYS: "7"}
    assert "c2VjcmV0" not in repr(vars(secrets))
    assert not secrets.refused


async def test_a_refusal_is_told_and_noted() -> None:
    """Nothing tells when it ends: a tenant with one is not taken for converged."""
    secrets = reader()
    with pytest.raises(Forbidden):
        await secrets.get(HIDDEN)
    assert secrets.refused
    assert secrets.versions == {}
