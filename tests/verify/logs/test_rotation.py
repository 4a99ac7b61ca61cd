"""Logs that end: files that services write are rotated as the stack file says, and their writers go on; containers' logs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.verify.look import Logs

FACTOR = 1.1
"""A container's log is rotated once it is over its size: a line more than that."""


def numbered(file: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Return the rotated files of a file by their number, which tells their age."""
    return {int(f["name"].removeprefix(f"{file['name']}.").removesuffix(".gz")): f for f in file["rotated"]}


@pytest.mark.parametrize("unit", ["slipway-rotate.timer", "slipway-rotate.path"])
def test_rotation_is_due_and_can_be_wished_for(logs: Logs, unit: str) -> None:
    state = logs.units.get(unit, {})
    seen = f"{unit} is {state.get('ActiveState')} and {state.get('UnitFileState') or 'not installed'}"
    assert (state.get("ActiveState"), state.get("UnitFileState")) == ("active", "enabled"), seen


def test_the_hosts_own_logs_are_rotated(logs: Logs) -> None:
    assert logs.units["logrotate.timer"]["ActiveState"] == "active", "logrotate.timer does not run"


def test_the_last_rotation_succeeded(logs: Logs) -> None:
    failed = [f"{u}: {s['Result']}" for u, s in logs.units.items() if s.get("Result") not in ("success", "", None)]
    assert not failed, f"{', '.join(failed)} (/run/slipway-rotate/last.log on the host tells why)"


def test_all_but_the_last_are_compressed(rotated: int, logs: Logs) -> None:
    for file in logs.files[rotated]:
        plain = [f["name"] for n, f in numbered(file).items() if n > 1 and not f["name"].endswith(".gz")]
        assert not plain, f"not compressed: {', '.join(plain)}"
        damaged = [f["name"] for f in file["rotated"] if not f["whole"]]
        assert not damaged, f"gzip can't read {', '.join(damaged)}"


def test_kept_by_number(rotated: int, logs: Logs, facts: dict[str, Any]) -> None:
    keep = facts["provision"]["rotated_files"][rotated]["keep"]
    for file in logs.files[rotated]:
        found = sorted(numbered(file))
        assert len(found) <= keep, f"{file['name']}: {len(found)} rotated files are kept, not {keep}"
        assert found == list(range(1, len(found) + 1)), f"{file['name']}: of the rotated files there are only {found}"


def test_kept_by_size(rotated: int, logs: Logs, facts: dict[str, Any]) -> None:
    size = facts["provision"]["rotated_files"][rotated]["size"]
    for file in logs.files[rotated]:
        seen = (
            f"{file['name']} has {file['size']} bytes; beyond {size} it was due: it grows faster than each five minutes"
        )
        assert file["size"] < 2 * size, seen


def test_owner_and_mode(rotated: int, logs: Logs, facts: dict[str, Any]) -> None:
    rule = facts["provision"]["rotated_files"][rotated]
    for file in logs.files[rotated]:
        for one in (file, *file["rotated"]):
            seen = f"{one['name']} is {one['user']}:{one['group']} {one['mode']:04o}"
            assert (one["user"], one["group"]) == (rule["user"], rule["group"]), (
                f"{seen}, not {rule['user']}:{rule['group']}"
            )
            assert not one["mode"] & 0o022, f"{seen}: others may write to it"


def test_its_writer_writes_on(rotated: int, logs: Logs, facts: dict[str, Any]) -> None:
    rule = facts["provision"]["rotated_files"][rotated]
    if rule["reopen"] == "self":
        pytest.skip(f"{rule['service']} opens its file when it has something to say")
    for file in logs.files[rotated]:
        stale = [f["name"] for f in file["rotated"] if f["inode"] in logs.written]
        assert not stale, f"{rule['service']} writes on to {', '.join(stale)}: it did not heed {rule['reopen']}"


def test_containers_logs_are_bounded(logs: Logs) -> None:
    for container in logs.containers:
        seen = f"{container['name']}: log driver {container['driver']} {container['options']}"
        assert container["driver"] == "json-file", seen
        assert {"max-size", "max-file"} <= set(container["options"]), seen
        most = bytes_of(container["options"]["max-size"])
        large = [name for name, size in container["files"] if size > most * FACTOR]
        assert not large, f"{container['name']}: {', '.join(large)} larger than {container['options']['max-size']}"
        number = len({name.removesuffix(".gz") for name, _ in container["files"]})
        assert number <= int(container["options"]["max-file"]), f"{container['name']}: {number} files"


def test_who_deploys_can_read_containers_logs(logs: Logs) -> None:
    closed = [c["name"] for c in logs.containers if c["there"] and not c["readable"]]
    assert not closed, (
        f"can't read the logs of {', '.join(closed)}: systemd-tmpfiles --create /etc/tmpfiles.d/slipway-logs.conf"
    )


def bytes_of(size: str) -> int:
    """Return Docker's `20m` in bytes."""
    return int(size[:-1]) * 1024 ** ("bkmg".index(size[-1].lower())) if size[-1].isalpha() else int(size)
