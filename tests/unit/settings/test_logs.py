"""Files that services write: what could not be rotated is refused, with the line that says so."""

from __future__ import annotations

import pytest

from slipway.settings.logs import LogFile, size_in_bytes, volume_of

from .conftest import STACK, Checkout

AUDIT = """\
    volumes: ["audit:/var/log/audit"]
    x-slipway:
      backup: none
      logs: [{path: /var/log/audit/audit.log, reopen: USR1}]
"""


def stack(checkout: Checkout, old: str = "", new: str = "") -> None:
    text = STACK.replace("    x-slipway:\n      route", AUDIT + "      route", 1).replace(
        "  data: {}", "  data: {}\n  audit:"
    )
    assert old in text
    checkout.stack(text.replace(old, new, 1))


def test_a_file_and_its_defaults(checkout: Checkout) -> None:
    stack(checkout)
    (file,) = checkout.load()[2].service("web").logs
    assert file == LogFile(path="/var/log/audit/audit.log", reopen="USR1")
    assert (file.size, file.keep, file.max_age) == ("20m", 5, 30 * 86400)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("path: /var/log/audit/audit.log", "path: /tmp/audit.log", "lies in no named volume"),
        ("path: /var/log/audit/audit.log", "path: /var/log/*/audit.log", "`*` in the file's name only"),
        ("path: /var/log/audit/audit.log", "path: /var/log/audit/../audit.log", "a path inside the service"),
        ("path: /var/log/audit/audit.log", 'path: "/var/log/audit/a b {}"', "a path inside the service"),
        ('user: "10001:10001"', 'user: "0:0"', "numeric `user`"),
        ('user: "10001:10001"', "user: nobody", "numeric `user`"),
        ("reopen: USR1", "reopen: KILL", "reopen"),
        ("reopen: USR1", "size: 1m", "reopen"),
        ("reopen: USR1", "reopen: self, size: 1 MB", "a size such as 500k, 20m or 1g"),
        ("reopen: USR1", "reopen: self, keep: 0", "keep"),
    ],
)
def test_what_could_not_be_rotated(checkout: Checkout, old: str, new: str, words: str) -> None:
    stack(checkout, old, new)
    found = checkout.fails()
    assert any(words in problem and "compose/hello/compose.yaml:" in problem for problem in found), found


def test_a_job_says_what_it_has_to_say_on_standard_output(checkout: Checkout) -> None:
    job = '  once:\n    build: ./web\n    user: "1:1"\n    volumes: ["audit:/a"]\n'
    job += "    x-slipway: {role: job, logs: [{path: /a/b.log, reopen: self}]}\n"
    stack(checkout, "  db:\n", f"{job}  db:\n")
    assert any("a job runs once: what it has to say" in problem for problem in checkout.fails())


def test_the_innermost_volume_has_the_file() -> None:
    mounts = [("all", "/var/log"), ("audit", "/var/log/audit"), ("other", "/var/log/aud")]
    assert volume_of("/var/log/audit/a.log", mounts) == ("audit", "a.log")
    assert volume_of("/var/log/deep/a.log", mounts) == ("all", "deep/a.log")
    assert volume_of("/var/logs/a.log", mounts) is None


def test_sizes() -> None:
    assert [size_in_bytes(s) for s in ("1k", "20m", "3g")] == [1024, 20 * 1024**2, 3 * 1024**3]
