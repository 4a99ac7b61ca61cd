"""Standard output of ansible-playbook as JSON lines, read by slipway/host/events.py.

One object a line:

    {"event": "task", "name"}                                       a task starts
    {"event": "changed", "host", "task", "diff": [...]}             it changed a host, or would
    {"event": "failed" | "unreachable", "host", "task", "message"}
    {"event": "note", "host", "message"}                            a debug task's words
    {"event": "stats", "hosts"}                                     the end
"""

from __future__ import annotations

import json
from typing import Any

from ansible.executor.stats import AggregateStats
from ansible.executor.task_result import CallbackTaskResult
from ansible.playbook.task import Task

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: slipway
type: stdout
short_description: JSON lines for Slipway
version_added: "2.19"
description: Prints what a run does as one JSON object a line.
"""


class CallbackModule(CallbackBase):
    """Prints events; hides nothing that failed and everything that did not change."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "slipway"

    def _event(self, event: str, **values: Any) -> None:
        self._display.display(json.dumps({"event": event, **values}, default=str))

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:  # noqa: ARG002 - Ansible's signature
        """Say which task runs."""
        self._event("task", name=task.get_name())

    def v2_playbook_on_handler_task_start(self, task: Task) -> None:
        """Say which handler runs."""
        self._event("task", name=task.get_name())

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Tell a change, or a note."""
        values = result.result
        host, note = result.host.get_name(), str(values.get("msg", "")) if result.task.action.endswith("debug") else ""
        if values.get("changed"):
            diff = [{"prepared": note}] if note else _diffs(values)
            self._event("changed", host=host, task=result.task.get_name(), diff=diff)
        elif note:
            self._event("note", host=host, message=note)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Tell a failure, with what the module and the command it ran said."""
        if not ignore_errors:
            self._event(
                "failed", host=result.host.get_name(), task=result.task.get_name(), message=_message(result.result)
            )

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """Tell that a host could not be reached."""
        message = _message(result.result)
        self._event("unreachable", host=result.host.get_name(), task=result.task.get_name(), message=message)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Tell the counts per host."""
        self._event("stats", hosts={host: stats.summarize(host) for host in sorted(stats.processed)})


def _items(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the results of a loop's items, or the one result."""
    return [item for item in values["results"] if isinstance(item, dict)] if "results" in values else [values]


def _message(values: dict[str, Any]) -> str:
    bad = [item for item in _items(values) if item.get("failed") or item.get("unreachable")] or [values]
    words: list[str] = []
    for item in bad:
        for key in ("msg", "stderr", "stdout"):
            text = str(item.get(key) or "").strip()
            if text and text not in words and not (key == "stdout" and item.get("stderr")):
                words.append(text)
    return "\n".join(words)


def _diffs(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the diffs of a result: `path`, with `before` and `after`, or `prepared`."""
    found: list[dict[str, Any]] = []
    for item in _items(values):
        diff = item.get("diff") or []
        parts = [part for part in (diff if isinstance(diff, list) else [diff]) if isinstance(part, dict)]
        found += [{"path": item.get("dest") or item.get("path") or "", **part} for part in parts]
    return found
