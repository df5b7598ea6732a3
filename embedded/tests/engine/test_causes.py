"""The table of causes: BuildKit's texts, as it wrote them, and what a person is shown."""

from __future__ import annotations

import re

import pytest

from embedded.engine.causes import CAUSES, found

SETTINGS = "/etc/own.toml"
STATUS = "unexpected status from HEAD request to https://host.example/v2/some/image/manifests/1: "
HEAD = 'failed to do request: Head "https://host.example/v2/some/image/manifests/1": '


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (HEAD + "http: server gave HTTP response to HTTPS client", "host.example does not speak TLS", "http = true"),
        (HEAD + "tls: first record does not look like a TLS handshake", "does not speak TLS", "http = true"),
        (STATUS + "400 Bad Request: Client sent an HTTP request to an HTTPS server.",
         "host.example speaks TLS", "Take http = true out"),
        (HEAD + "tls: failed to verify certificate: x509: certificate signed by unknown authority",
         "the certificate of host.example is from an authority that is not trusted here", "SSL_CERT_FILE"),
        (HEAD + "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time",
         "the certificate of host.example is not valid", "clock"),
        (HEAD + "tls: failed to verify certificate: x509: certificate is valid for a, not b",
         "the certificate of host.example is not valid", "Check the name"),
        (STATUS + "429 Too Many Requests",
         "host.example limits how often it is asked", "Log in (docker login host.example), use a mirror"),
        (STATUS + "403 Forbidden",
         "host.example refuses access (403 Forbidden)", "login"),
        ("server message: insufficient_scope: authorization failed",
         "host.example wants a login, or has no such repository", "docker login host.example"),
        ("failed to fetch anonymous token: unexpected status from GET request to https://x/token: 401 Unauthorized",
         "host.example wants a login", "docker login host.example"),
        ('httpReadSeeker: failed open: failed to do request: Get "https://host.example/v2/x": unexpected EOF',
         "host.example ended the connection in the middle of an answer", "Try again"),
        (HEAD + "EOF", "host.example ended the connection", "Try again"),
        (HEAD + "read tcp 1.2.3.4:5->6.7.8.9:443: read: connection reset by peer", "ended the connection", "Try again"),
        ("failed size validation: 1990 != 2000: failed precondition", "what host.example delivered", "Try again"),
        ("unexpected commit digest sha256:1, expected sha256:2: failed precondition", "delivered is not", "Try again"),
        ("failed to copy: httpReadSeeker: read past expected size 55: failed precondition",
         "host.example answers with something else than the image, as a sign-in page would be", "HTTPS_PROXY"),
        ("unexpected media type text/html for sha256:1: not found", "answers with a web page", "sign-in page"),
        ("invalid character '<' looking for beginning of value", "answers with a web page", "HTTPS_PROXY"),
        (STATUS + "503 Service Unavailable",
         "host.example has trouble of its own", "Try again"),
        (HEAD + "dial tcp: lookup host.example on 1.1.1.1:53: no such host",
         "the registry host.example can't be reached: its name is not known", "network"),
        (HEAD + "dial tcp 1.2.3.4:443: connect: connection refused", "host.example can't be reached", "network"),
        (HEAD + "dial tcp 1.2.3.4:443: i/o timeout", "the registry host.example can't be reached", "network"),
        (HEAD + "Forbidden", "can't be reached: the proxy refuses the way there", "HTTPS_PROXY"),
        (HEAD + "Bad Gateway", "can't be reached: the proxy refuses the way there", "HTTPS_PROXY"),
    ],
)  # fmt: skip
def test_a_cause_is_named_with_its_host_and_the_way_out(text: str, message: str, hint: str) -> None:
    what = found(text, "host.example", SETTINGS)
    assert what is not None
    assert message in what.message
    assert hint in what.hint
    assert "{" not in what.message + what.hint


@pytest.mark.parametrize(
    "text",
    [
        "ghcr.io/some/image:1: not found",
        "no match for platform in manifest: not found",
        f"docker.io/library/debian@sha256:{'403' * 21}0: not found",
        'process "sh -c false" did not complete successfully: exit code: 1',
    ],
)
def test_what_is_none_of_these_stays_as_it_is(text: str) -> None:
    assert found(text, "host.example", SETTINGS) is None


def test_the_host_comes_from_the_text_where_none_is_known() -> None:
    what = found(HEAD + "EOF", "", SETTINGS)
    assert what is not None
    assert what.message.startswith("host.example ended")
    assert found("unexpected EOF", "", SETTINGS) is None


def test_only_what_could_not_be_reached_speaks_of_the_lab() -> None:
    reached = [cause.message for cause in CAUSES if not cause.unreachable]
    assert not [message for message in reached if "can't be reached" in message]


def test_every_row_can_be_met() -> None:
    assert all(re.compile(cause.pattern) for cause in CAUSES)
    assert len({cause.pattern for cause in CAUSES}) == len(CAUSES)
