"""What restic and the shell say of files that are backed up, sorted: the manifest's lines."""

from __future__ import annotations

import json

from slipway.agent.data import files


def told(item: str, action: str = "new") -> str:
    return json.dumps({"message_type": "verbose_status", "action": action, "item": item}) + "\n"


def test_what_is_stored_is_what_restic_says() -> None:
    heard = files._Heard(lambda _: None)
    heard(told("", "scan_finished"))
    for item, action in (
        ("/data/a b", "new"),
        ("/data/changed", "modified"),
        ("/data/new\nline", "unchanged"),
        ("/data/", "new"),
    ):
        heard(told(item, action))
    heard('{"message_type":"summary","snapshot_id":"abc"}\n')
    heard("slipway about\n")
    for line in (
        "4 640 /data/a b\n",
        "5 644 /data/changed\n",
        "0 644 /data/new\n",
        "line\n",
        "9 600 /data/came later\n",
        "4096 755 /data\n",
    ):
        heard(line)
    heard("slipway sums\n")
    heard(f"{'a' * 64}  /data/a b\n")
    heard(f"{'b' * 64}  /data/changed\n")
    heard(f"\\{'c' * 64}  /data/new\\nline\n")
    heard("slipway changed\n")
    heard("/data/changed\n")
    assert heard.files == {
        "/data/a b": [4, 0o640, "a" * 64], "/data/changed": [5, 0o644, None], "/data/new\nline": [0, 0, None],
    }  # fmt: skip
    assert heard.folders == {"/data": 0o755}
    assert heard.summary["snapshot_id"] == "abc"
    assert not heard.unread


def test_what_could_not_be_read_is_noted() -> None:
    heard = files._Heard(lambda _: None)
    heard("slipway unread\n")
    heard(told("/data/a"))
    assert heard.unread
    assert list(heard.files) == ["/data/a"]
