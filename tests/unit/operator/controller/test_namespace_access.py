"""Which namespaces a confined operator skips, and that it tells once."""

from __future__ import annotations

from structlog.testing import capture_logs

from tts_operator.cluster.errors import Forbidden
from tts_operator.controller.namespace_access import NamespaceAccess
from tts_operator.controller.watches import WATCHED, scopes_of
from tts_operator.informer.add_ons import AddOns
from tts_operator.objects.kinds import CALENDAR, MODEL, NAMESPACE, SCALED_OBJECT, TENANT, AddOn

GONE = Forbidden("Forbidden", "ttstenants is forbidden in the namespace")


def test_a_refused_namespace_is_skipped_until_it_is_granted() -> None:
    counts: list[int] = []
    access = NamespaceAccess(("na", "nb", "nc"), counts.append)
    with capture_logs() as logs:
        for _ in range(3):
            access.refused("nb", GONE)
        access.refused("nc", GONE)
        assert access.listed() == ("na",)
        assert not access.may_read("nb")
        for _ in range(3):
            access.granted("nb")
    assert access.listed() == ("na", "nb")
    assert counts == [1, 2, 1]
    assert [(line["event"], line["namespace"]) for line in logs] == [
        ("namespace skipped", "nb"),
        ("namespace skipped", "nc"),
        ("namespace taken up again", "nb"),
    ]


def test_a_confined_operator_without_any_readable_namespace_does_not_read_the_whole_cluster() -> None:
    access = NamespaceAccess(("na",))
    access.refused("na", GONE)
    assert access.listed() == ()
    assert [(scope.namespace, scope.kinds) for scope in scopes_of(access.readable, confined=access.confined)] == [
        ("", (MODEL, CALENDAR))
    ]


def test_an_operator_of_the_whole_cluster_lists_all_namespaces_at_once() -> None:
    access = NamespaceAccess()
    assert access.listed() == ("",)
    assert [scope.namespace for scope in scopes_of(access.readable, confined=access.confined, labels=False)] == [""]


def test_labels_of_namespaces_are_watched_apart_and_only_where_that_is_allowed() -> None:
    """Roles of an older chart do not grant it, and a refused watch must not end the others."""
    scopes = scopes_of((), confined=False, labels=True)
    assert [scope.kinds for scope in scopes] == [(TENANT, MODEL, CALENDAR, *WATCHED), (NAMESPACE,)]
    assert scopes[1].paths == ("/api/v1/namespaces",)
    assert all(NAMESPACE not in scope.kinds for scope in scopes_of(("na",), confined=True, labels=True))


def test_each_namespace_fails_by_itself() -> None:
    scopes = scopes_of(("na", "nb"), confined=True)
    assert [scope.namespace for scope in scopes] == ["", "na", "nb"]
    assert scopes[1].kinds == (TENANT, *WATCHED)
    assert "/apis/ttsfleet.io/v1alpha1/namespaces/na/ttstenants" in scopes[1].paths


def test_kinds_of_an_add_on_are_watched_while_the_api_server_has_them() -> None:
    add_ons = AddOns({AddOn.KEDA})
    assert SCALED_OBJECT not in scopes_of((), confined=False, add_ons=add_ons)[0].kinds
    add_ons.found(SCALED_OBJECT, exists=True)
    assert SCALED_OBJECT in scopes_of((), confined=False, add_ons=add_ons)[0].kinds
    assert SCALED_OBJECT in scopes_of(("na",), confined=True, add_ons=add_ons)[1].kinds
