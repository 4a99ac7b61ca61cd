"""A drill: the newest backup restored into throw-away containers of the same images, and compared with its manifest.

Then the stack's own api is started on it and asked whether it can serve. All on a network that leads nowhere; nothing of it stays
but the evidence.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from .. import engine, failure, gate, router
from ..context import Context, Result, operation
from ..failure import OperationFailed
from ..state import HOME, StackHome, append_line, flock, now, remove
from . import glance, keep, lock, restore, throwaway
from .container import note
from .lock import Who
from .restic import Repository
from .restore import Work

Progress = Callable[[str], None]


def run(home: StackHome, who: Who, *, wait: float = 0.0, progress: Progress = lambda _: None) -> Result:
    """Make a drill, write its evidence to the ledger, and return that: `set`, `bytes`, `rto_s`, `rpo_s`, `verdict`, ...

    Args:
        home: the stack's folder.
        who: who asked.
        wait: seconds to wait for a backup or a restore that is at work.
        progress: told what is done.

    Raises:
        OperationFailed: there is nothing to restore, or another one is at work. A backup that is not good raises nothing:
            the evidence has `verdict: bad` and `findings`.
    """
    with lock.alone(home, who, wait, progress) as repository:
        clear(home)
        begun = time.monotonic()
        chosen = restore.choose(repository, "latest")
        evidence: Result = {
            "verb": "backup.drill",
            "by": who.by,
            "set": chosen.id,
            "release": None,
            "outcome": "interrupted",
        }
        findings = ["interrupted"]
        try:
            manifest = repository.manifest(chosen)
            todo = restore.work(repository.document, manifest, ())
            evidence |= {"bytes": sum(w.part["bytes"] for w in todo), "rpo_s": round(glance.age(manifest["at"]))}
            evidence["parts"] = [{"service": w.service, "kind": w.kept.kind, "bytes": w.part["bytes"]} for w in todo]
            restore.refuse_full(todo)
            findings = _restored(repository, todo, chosen.release, evidence, progress)
        except OperationFailed as error:
            findings = [f"{error.what}: {error.seen}".rstrip(": ")]
        except Exception as error:
            findings = [f"unforeseen: {type(error).__name__}: {error}"]
            raise
        finally:
            evidence["rto_s"] = round(time.monotonic() - begun, 1)
            with contextlib.suppress(OperationFailed):
                clear(home)
            evidence |= {"verdict": "bad" if findings else "good", "findings": findings[:20]}
            evidence["outcome"] = f"failed: {findings[0]}" if findings else "done"
            evidence |= {"exit_code": 1} if findings else {}
            append_line(home.ledger, {"at": now(), **evidence})
            note(home, "drill.json", {"at": now(), "repository": repository.document.repository, **evidence})
        return evidence


def _restored(
    repository: Repository, todo: Sequence[Work], release: str, evidence: Result, progress: Progress
) -> list[str]:
    """Restore everything and ask the api. Return what is wrong."""
    home = repository.home
    accessories = throwaway.compose(f"{home.stack}-accessories", home.accessories / "compose.yaml")
    serving = release if release in home.known() else next(iter(sorted(router.sends_to(home.stack))), "")
    apps = (
        throwaway.compose(f"{home.stack}-{serving}", home.release(serving) / "compose.yaml")
        if serving
        else {"services": {}}
    )
    evidence["release"] = serving or None
    meta = home.meta(serving) if serving else {}
    asked = [s for s in meta.get("services", {}).values() if s["role"] == "app" and s["routed"] and s["ready"]]
    project = throwaway.Project(home, accessories, apps, [s["name"] for s in asked], todo)
    progress("starting throw-away services")
    project.write()
    project.up([*accessories["services"], *project.outside], "the throw-away services did not start")
    gates = [throwaway.gate_of(name) for name in (*accessories["services"], *project.outside)]
    gate.await_healthy(project.look, gates, progress)
    with ThreadPoolExecutor(max(1, len(todo))) as pool:
        filling = [pool.submit(project.fill, repository, one, progress) for one in todo]
    found = [finding for done in filling for finding in done.result()]
    if found or not asked:
        return found
    names = ", ".join(s["name"] for s in asked)
    progress(f"starting {names} of release {serving}")
    for one_ in asked:
        engine_image = meta["images"][one_["name"]]
        if not engine.has_image(engine_image):
            return [f"the image of {one_['name']} in release {serving} is not on this host: {engine_image}"]
    try:
        project.up([s["name"] for s in asked], f"{names} did not start")
        evidence["asked"] = gate.await_healthy(project.look, [{**s, "replicas": 1} for s in asked], progress)
    except OperationFailed as error:
        return [f"{error.what}: {error.seen}"]
    return []


def clear(home: StackHome) -> None:
    """Remove all that drills have made. Raises OperationFailed where the engine does not let go of something."""
    folder = home.path / "drill"
    for container in engine.containers(slipway_drill=home.stack):
        engine.api("DELETE", f"/containers/{container['Id']}", force="true", v="true")
    label = json.dumps({"label": [f"{throwaway.DRILL}={home.stack}"]})
    for network in engine.api("GET", "/networks", filters=label):
        engine.api("DELETE", f"/networks/{network['Id']}")
    for volume in engine.api("GET", "/volumes", filters=label)["Volumes"] or []:
        engine.api("DELETE", f"/volumes/{volume['Name']}", force="true")
    remove(folder)


def sweep(home: StackHome) -> None:
    """Remove what a drill that was killed has left, unless one is at work: the timer's work."""
    path = keep.folder(home) / "lock"
    if not (home.path / "drill").exists() or not path.exists():
        return
    with path.open("a") as file:
        if flock(file.fileno(), 0):
            clear(home)


def run_all() -> int:
    """Make a drill of every stack of this host that keeps something: the timer's work. Return the exit code."""
    import sys

    code = 0
    for path in sorted((HOME / "stacks").glob("*/backup/document.json")):
        home = StackHome(path.parent.parent.name)
        try:
            told = run(home, Who("drill", "timer", "slipway-drill.timer"), wait=3600.0)
            words = (
                f"{home.stack}: {told['verdict']}: {told['set']}, {told['rto_s']} s to restore, {told['rpo_s']} s old"
            )
            print(words, *told["findings"], sep="\n  ", flush=True)
            code = code if told["verdict"] == "good" else 1
        except Exception as error:  # the other stacks have their drills all the same
            code = 1
            print(f"{home.stack}: {failure.words(error)}", file=sys.stderr, flush=True)
    return code


@operation("backup.drill")
def _drill(context: Context, home: StackHome, by: str, command: str) -> Result:
    return run(home, Who("drill", by, command), progress=context.progress)
