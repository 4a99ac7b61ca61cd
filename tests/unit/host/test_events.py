"""Ansible's events as values."""

from __future__ import annotations

import json
from typing import Any

from slipway.host.events import Change, Events, Trouble, render


def fed(*events: dict[str, Any] | str) -> Events:
    found = Events()
    for event in events:
        found.feed(event if isinstance(event, str) else json.dumps(event))
    return found


def test_tasks_are_progress() -> None:
    said: list[str] = []
    events = Events(say=said.append)
    events.feed('{"event": "task", "name": "base : Packages"}')
    assert said == ["base : Packages"]


def test_changes_carry_what_differs() -> None:
    diff = {"path": "/etc/x", "before": "a\nb\n", "after": "a\nc\n"}
    found = fed({"event": "changed", "host": "app1", "task": "Settings", "diff": [diff]})
    assert found.changes == [Change("app1", "Settings", "--- /etc/x\n+++ /etc/x\n@@ -1,2 +1,2 @@\n a\n-b\n+c")]


def test_a_state_is_shown_as_a_difference_too() -> None:
    before, after = {"path": "/var/x", "mode": "0777"}, {"path": "/var/x", "mode": "0750"}
    text = render({"before": before, "after": after})
    assert '- "mode": "0777",' in text.splitlines()
    assert '+ "mode": "0750",' in text.splitlines()


def test_a_preview_shows_the_first_lines_of_a_difference() -> None:
    assert Change("app1", "Settings", "-b\n+c").brief() == ["-b", "+c"]
    long = Change("app1", "Settings", "\n".join(f"+{n}" for n in range(100))).brief()
    assert (len(long), long[0], long[-1]) == (21, "+0", "… 80 more lines")
    assert Change("app1", "Packages").brief() == []


def test_nothing_that_differs_is_no_text() -> None:
    assert render({"before": "", "after": ""}) == ""
    assert render({"prepared": " +acl\n"}) == "+acl"


def test_failures_and_hosts_out_of_reach() -> None:
    found = fed(
        {"event": "failed", "host": "app1", "task": "Packages", "message": "no package"},
        {"event": "unreachable", "host": "app2", "task": "Python", "message": "refused"},
    )
    assert found.troubles == [
        Trouble("app1", "Packages", "no package"),
        Trouble("app2", "Python", "refused", unreachable=True),
    ]


def test_notes_name_the_hosts_they_hold_for() -> None:
    note = {"event": "note", "message": "a container"}
    assert fed({**note, "host": "app1"}, {**note, "host": "app2"}).notes == {"a container": ["app1", "app2"]}


def test_other_output_is_kept_as_words() -> None:
    found = fed("ERROR! the playbook could not be found", '{"event" broken', {"event": "stats", "hosts": {}})
    assert found.words == ["ERROR! the playbook could not be found", '{"event" broken']
    assert found.finished
