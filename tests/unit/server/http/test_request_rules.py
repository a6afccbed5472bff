"""Hosts and transfer codings, as RFC 9112 has them."""

import pytest

from tts_server.http.request_rules import has_valid_host, is_chunked_only

HOSTS: dict[str, tuple[list[bytes], str, bool]] = {
    # the case                 Host headers           version   valid
    "one":                    ([b"acme.svc"],         "1.1",    True),
    "with a port":            ([b"acme.svc:8080"],    "1.1",    True),
    "an IPv6 address":        ([b"[fd00::1]:80"],     "1.1",    True),
    "empty":                  ([b""],                 "1.1",    True),
    "none":                   ([],                    "1.1",    False),
    "none in HTTP/1.0":       ([],                    "1.0",    True),
    "two":                    ([b"a", b"b"],          "1.1",    False),
    "two in HTTP/1.0":        ([b"a", b"a"],          "1.0",    False),
    "a URL":                  ([b"http://a"],         "1.1",    False),
    "a space":                ([b"a b"],              "1.1",    False),
    "a port that is none":    ([b"a:b"],              "1.1",    False),
    "another script":         (["b\u00fccher".encode()], "1.1", False),
}  # fmt: skip


@pytest.mark.parametrize(("hosts", "version", "expected"), HOSTS.values(), ids=HOSTS)
def test_hosts(hosts: list[bytes], version: str, *, expected: bool) -> None:
    assert has_valid_host([(b"accept", b"*/*"), *((b"host", host) for host in hosts)], version) is expected


CODINGS: dict[str, tuple[list[bytes], bool]] = {
    "none": ([], True),
    "chunked": ([b"chunked"], True),
    "in capitals": ([b" Chunked "], True),
    "gzip, chunked": ([b"gzip, chunked"], False),
    "two headers": ([b"gzip", b"chunked"], False),
    "gzip": ([b"gzip"], False),
    "identity": ([b"identity"], False),
    "with a parameter": ([b"chunked;q=1"], False),
}


@pytest.mark.parametrize(("codings", "expected"), CODINGS.values(), ids=CODINGS)
def test_codings(codings: list[bytes], *, expected: bool) -> None:
    assert is_chunked_only([(b"transfer-encoding", coding) for coding in codings]) is expected
