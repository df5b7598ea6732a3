"""What registries and engines answer, and the cause that is named."""

from __future__ import annotations

import pytest

from ci.api import in_words
from ci.common.causes import CAUSES, cause_of
from tests.unit.engine import engine_error

#: Answers as engines and registries give them, by the cause that they show.
ANSWERS = {
    "rate limit": [
        "unexpected status from HEAD request to https://registry-1.docker.io/v2/a: 429 Too Many Requests",
        "toomanyrequests: You have reached your pull rate limit",
    ],
    "login page": [
        "failed to decode: invalid character '<' looking for beginning of value",
        "unexpected media type text/html for sha256:00: not found",
        "<!DOCTYPE html><title>Sign in</title>",
    ],
    "plain http": ["Head https://h:5000/v2/: http: server gave HTTP response to HTTPS client"],
    "certificate": [
        "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        "x509: certificate has expired or is not yet valid: current time 2020-01-01",
        "x509: certificate is valid for a.example, not b.example",
    ],
    "wrong blob": [
        "failed to copy: unexpected commit digest sha256:0, expected sha256:1: failed precondition",
        "failed size validation: 10 != 20: failed precondition",
    ],
    "cut off": ["failed to copy: httpReadSeeker: failed open: unexpected EOF", "read: connection reset by peer"],
    "no entry": [
        "pull access denied, repository does not exist or may require authorization",
        "unexpected status from HEAD request to https://ghcr.io/v2/a/manifests/b: 403 Forbidden",
        "HEAD https://r.example/v2/a: 401 Unauthorized",
    ],
    "file name": [
        "rpc error: code = Internal desc = grpc: error while marshaling: string field contains invalid UTF-8"
    ],
    "full disk": ["write /var/lib/x: no space left on device"],
    "no answer": ["dial tcp 10.0.0.1:443: i/o timeout", "context deadline exceeded"],
    "out of reach": [
        "dial tcp: lookup ghcr.io: no such host",
        "dial tcp 127.0.0.1:5000: connect: connection refused",
    ],
}


@pytest.mark.parametrize(("name", "answer"), [(name, one) for name, answers in ANSWERS.items() for one in answers])
def test_an_answer_names_its_cause(name: str, answer: str) -> None:
    found = cause_of(answer)
    assert found is not None
    assert found.name == name
    assert str(in_words(engine_error(answer))).splitlines() == [answer, found.hint]


def test_every_cause_has_an_answer() -> None:
    assert set(ANSWERS) == {cause.name for cause in CAUSES}


@pytest.mark.parametrize("answer", ["exit code: 3", "file not found: a.txt", "no manifest matches requested platform"])
def test_another_answer_has_no_cause(answer: str) -> None:
    assert cause_of(answer) is None


def test_a_hint_of_the_embedded_engine_is_enough() -> None:
    answer = "h did not answer for 4 s (look up h/a:1)\nCheck it; set COZYSTACK_TALOS_NETWORK_SECONDS to wait longer."
    assert str(in_words(engine_error(answer))) == answer
