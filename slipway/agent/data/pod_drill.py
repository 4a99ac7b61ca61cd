"""A drill in a pod of its own: its servers are containers of it, with empty volumes, under the names of the stack's Services.

In two parts, since containers start in order: the agent restores and compares before the stack's api starts (`restored`), and asks
that afterwards (`asked`). All of it goes with the pod, whoever ends it.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..failure import OperationFailed
from ..state import StackHome, append_line, now, write
from . import glance, into_files, into_postgres, into_redis, lock, notes, pod, postgres, restore
from .container import note
from .lock import Who
from .restic import Repository
from .restore import Work

_BETWEEN = pod.CALLS / "drill.json"
"""What the first part leaves to the second."""
ASIDE = "aside"
"""The volume for files that are in none of the service's: they came with its image."""
_ASIDE_MOUNT = "/slipway-aside"
_WAIT = 3600.0


def say(words: str) -> None:
    """Tell what is done, in the container's log."""
    print(words, flush=True)


def restored(home: StackHome, by: str) -> int:
    """Restore the newest backup into the pod's servers and compare it. Return the exit code: 0 where the api is to be asked.

    Raises:
        OperationFailed: there is nothing to restore, or another one is at work.
    """
    told = pod.about()
    who = Who("drill", by, "inv backup.drill" if by != "timer" else "CronJob slipway-drill")
    with lock.alone(home, who, _WAIT if by == "timer" else 0.0, say) as repository:
        begun = Path(pod.CALLS.parent / "restic").stat().st_mtime  # the first that a pod does
        chosen = restore.choose(repository, "latest")
        evidence: dict[str, Any] = {
            "verb": "backup.drill", "by": by, "set": chosen.id, "release": told["release"] or None, "pod": pod.NAME, "begun": begun,
        }  # fmt: skip
        try:
            manifest = repository.manifest(chosen)
            todo = restore.work(repository.document, manifest, ())
            evidence |= {"bytes": sum(w.part["bytes"] for w in todo), "rpo_s": round(glance.age(manifest["at"]))}
            evidence["parts"] = [{"service": w.service, "kind": w.kept.kind, "bytes": w.part["bytes"]} for w in todo]
            with ThreadPoolExecutor(max(1, len(todo))) as pool:
                filling = [pool.submit(_fill, repository, one, told.get("targets", {})) for one in todo]
            findings = [finding for done in filling for finding in done.result()]
        except OperationFailed as error:
            findings = [f"{error.what}: {error.seen}".rstrip(": ")]
        if findings:
            return _note(home, evidence, findings)
        write(_BETWEEN, json.dumps(evidence), 0o644)
        return 0


def asked(home: StackHome) -> int:
    """Ask the stack's apps whether they can serve with what was restored, and note the evidence. Return the exit code."""
    evidence: dict[str, Any] = json.loads(_BETWEEN.read_text())
    notes.pull(home)
    findings = []
    for service in pod.about().get("asked", []):
        say(f"asking {service['name']}")
        took, seen = _ask(service)
        if seen:
            findings.append(f"{service['name']} was not healthy within {service['start_within']:g} s: {seen}")
        evidence.setdefault("asked", {})[service["name"]] = took
    code = _note(home, evidence, findings)
    notes.push(home)
    return code


def _ask(service: Mapping[str, Any]) -> tuple[float, str]:
    """Return after how many seconds an app was ready, and "" or what it said last."""
    began, seen = time.monotonic(), ""
    while time.monotonic() - began < service["start_within"]:
        connection = http.client.HTTPConnection("127.0.0.1", service["port"], timeout=3)
        try:
            connection.request("GET", service["ready"], headers={"X-Request-ID": "slipway-gate"})
            answer = connection.getresponse()
            body = answer.read(2000).decode(errors="replace").strip()
            if answer.status == 200:
                return round(time.monotonic() - began, 1), ""
            seen = f"{answer.status} {body}"
        except (OSError, http.client.HTTPException) as error:
            seen = f"no answer: {error or type(error).__name__}"
        finally:
            connection.close()
        time.sleep(0.3)
    return round(time.monotonic() - began, 1), seen


def _note(home: StackHome, evidence: dict[str, Any], findings: Sequence[str]) -> int:
    evidence |= {"rto_s": round(time.time() - evidence.pop("begun"), 1), "findings": list(findings)[:20]}
    evidence |= {"verdict": "bad" if findings else "good", "outcome": f"failed: {findings[0]}" if findings else "done"}
    evidence |= {"exit_code": 1} if findings else {}
    append_line(home.ledger, {"at": now(), **evidence})
    repository = json.loads((pod.GIVEN / "document.json").read_text())["repository"]
    note(home, "drill.json", {"at": now(), "repository": repository, **evidence})
    say(f"{evidence['verdict']}: {evidence['set']}")
    for finding in findings:
        say(finding)
    return 1 if findings else 0


def _fill(repository: Repository, one: Work, targets: Mapping[str, Sequence[Mapping[str, str]]]) -> list[str]:
    """Restore one thing; return what is not as the manifest says. Raises OperationFailed."""
    if one.kept.kind == "postgres":
        where = postgres.server(repository.home, one.kept)
        return into_postgres.load(repository, one.kept, one.part, where, one.kept.database, say)
    if one.kept.kind == "redis":
        # By a server of the same image: the one beside it runs, and can't be given files.
        image = str(pod.container(one.service)["Image"])
        store = into_redis.Store(image, f"{ASIDE}-{one.service}:{_ASIDE_MOUNT}", _ASIDE_MOUNT, {})
        return into_redis.load(repository, one.kept, one.part, store, say)
    mine = restore.targets_of(one, targets)
    found = into_files.load(repository, one.kept, one.part, mine, say)
    into_files.swap(repository, one.kept, mine)
    paths = [p for p in one.part["paths"] if p not in {t["path"] for t in mine}]
    aside = [{"path": path, "volume": ASIDE, "mount": _ASIDE_MOUNT} for path in paths]
    return found + into_files.load(repository, one.kept, one.part, aside, say)
