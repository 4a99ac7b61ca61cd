"""The same work in a pod of a cluster: there its containers stand ready, and a shell in each takes scripts by FIFOs.

On a host each piece of work gets a throw-away container of the server's image, with restic in it. In a pod these containers are
there from the start, one of each image (`tools`), with restic in a volume that all share; their shells run what they are told to,
and end with the agent. Nothing here needs a right in the cluster.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..failure import OperationFailed
from ..state import StackHome, write

NAME = os.environ.get("SLIPWAY_POD", "")
"""The pod's name; "" on a host."""
GIVEN = Path("/run/slipway")
"""What the pod is given (a Secret): what is kept, where, and what opens it; in every container."""
CALLS = Path("/slipway/calls")
CONFIGURATION = Path("/configuration")
RESTIC = "restic"
"""The container of restic's own image."""
WHERE_IT_OPENS = "SLIPWAY_PASSWORD_FILE"
"""The variable that names the file of a container's own password."""

SERVE = """
bell=/slipway/calls/$0.bell
i=0
until [ -p "$bell" ]; do
    i=$((i + 1))
    [ $i -lt 9000 ] || exit 1
    sleep 0.1
done
touch "$bell.heard"
while read -r word d; do
    case $word in
    run)
        (
            setsid sh "$d/run" < "$d/in" > "$d/out" 2> "$d/err" &
            wait $!
            echo $? > "$d/code.new"
            mv "$d/code.new" "$d/code"
        ) &
        ;;
    kill) [ ! -e "$d/pid" ] || kill -9 "-$(cat "$d/pid")" ;;
    esac
done < "$bell"
"""
"""What the shell of a container with tools runs (`sh -c SERVE NAME`). It ends with the agent, the bell's last writer.

It waits for the bell for a quarter of an hour: the agent's image may be pulled last."""

_CALL = """
d=$1; bell=$2
mkfifo -m 666 "$d/in" "$d/out" "$d/err"
exec 3<&0
cat <&3 > "$d/in" & in=$!
cat "$d/out" & out=$!
cat "$d/err" >&2 & err=$!
echo "run $d" > "$bell"
i=0
until [ -e "$d/pid" ]; do
    i=$((i + 1))
    if [ $i -gt 600 ]; then
        kill $in $out $err
        echo 'its container does not take anything' >&2
        exit 125
    fi
    sleep 0.05
done
wait $out $err
i=0
until [ -e "$d/code" ] || [ $i -gt 100 ]; do i=$((i + 1)); sleep 0.05; done
kill $in 2> /dev/null || :
code=$(cat "$d/code" 2> /dev/null || echo 137)
rm -rf "$d"
exit $code
"""
"""Runs a script in another container as if it were here: standard input, output and error, exit code (137: that one is gone)."""

_numbers = itertools.count(1)
_held: list[Any] = []
"""Files that are open as long as this process lives."""


def about() -> dict[str, Any]:
    """Return what the pod was told of itself.

    `stack`, `release`, `tools`: image by container, `volumes`: container by claim, `services`: `host`, `port`, `mounts` of each.
    """
    value: dict[str, Any] = json.loads((GIVEN / "pod.json").read_text())
    return value


def prepare() -> StackHome:
    """Lay out what a host would have, once in each process; return the stack's folder."""
    from . import keep

    value = json.loads((GIVEN / "document.json").read_text())
    home = StackHome(value["stack"])
    folder = keep.folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "secrets").exists():
        (folder / "secrets").symlink_to(GIVEN)
    for name, text in json.loads((GIVEN / "files.json").read_text()).items():
        write(CONFIGURATION / name, text, 0o644)
        for path in list(Path(name).parents)[:-1]:  # the volume's own folder is somebody else's
            (CONFIGURATION / path).chmod(0o755)
    write(folder / "document.json", json.dumps(value), 0o600)
    return home


def ring(within: float = 600.0) -> None:
    """Make the containers' bells, and hold them: their shells end when this process does.

    Raises:
        OperationFailed: a container has not come to hear its own within so many seconds.
    """
    until = time.monotonic() + within
    CALLS.mkdir(parents=True, exist_ok=True)
    CALLS.chmod(0o777)
    for tool in about()["tools"]:
        bell = CALLS / f"{tool}.bell"
        if not bell.exists():
            new = bell.with_suffix(".new")
            os.mkfifo(new)
            new.chmod(0o666)
            new.rename(bell)
        _held.append(os.open(bell, os.O_RDWR))
    for tool in about()["tools"]:
        while not (CALLS / f"{tool}.bell.heard").exists():
            if time.monotonic() > until:
                raise OperationFailed(f"the container {tool} does not start", f"within {within:g} s")
            time.sleep(0.05)


def tool(image: str, mounts: Iterable[str]) -> str:
    """Return the container that has an image, or what is mounted. Raises OperationFailed where the pod has none."""
    told = about()
    for mount in mounts:
        if (volume := mount.partition(":")[0]) in told["volumes"]:
            return str(told["volumes"][volume])
    found: str | None = next(
        (name for name, of in told["tools"].items() if image in ("", of) and (image or name == RESTIC)), None
    )
    if found is None:
        raise OperationFailed(f"this pod has no container of {image}", ", ".join(told["tools"]))
    return found


def argv(name: str, of: str, script: str, words: Iterable[str], variables: Mapping[str, str]) -> list[str]:
    """Return the command that runs a shell script in another container of the pod.

    Args:
        name: of this piece of work.
        of: the container.
        script: for sh; what it has in /tmp is its own.
        words: its arguments.
        variables: its environment variables; no secrets.
    """
    folder = CALLS / f"{name}-{os.getpid()}-{next(_numbers)}"
    folder.mkdir()
    folder.chmod(0o777)
    own = f"/tmp/{folder.name}"  # noqa: S108 - the container's own
    # By its own number, once it leads a group of its own and has all its FIFOs.
    lines = [f"echo $$ > {folder}/pid.new", f"mv {folder}/pid.new {folder}/pid"]
    lines += [f"export {k}={shlex.quote(v)}" for k, v in variables.items()]
    lines += [f"mkdir {own} || exit 125", f"trap 'rm -rf {own}' EXIT"]
    lines += [shlex.join(["sh", "-euc", script.replace("/tmp/", f"{own}/"), "sh", *words])]  # noqa: S108
    (folder / "run").write_text("\n".join(lines) + "\n")
    return ["sh", "-c", _CALL, "sh", str(folder), str(CALLS / f"{of}.bell")]


def kill(command: Sequence[str]) -> None:
    """End what a command of `argv` runs in the other container."""
    folder, bell = command[-2:]
    Path(bell).write_text(f"kill {folder}\n")


def container(service: str) -> dict[str, Any]:
    """Return what stands for a service's container: `Id`, `Image`, `Mounts`. Raises OperationFailed where the pod has none."""
    told = about()
    if service not in told["tools"]:
        raise OperationFailed(f"{service} has no container", "nothing of it is deployed", service=service)
    mounts = [
        {"Name": m["volume"], "Destination": m["path"]} for m in told["services"].get(service, {}).get("mounts", [])
    ]
    return {"Id": service, "Image": told["tools"][service], "Mounts": mounts}


def where(service: str) -> tuple[str, str]:
    """Return address and port of an accessory's Service."""
    found = about()["services"].get(service) or {}
    if not found.get("port"):
        raise OperationFailed(f"{service} has no Service", "", service=service)
    return str(found["host"]), str(found["port"])


def release() -> str:
    """Return the release that gets requests, as far as the pod was told."""
    return str(about().get("release") or "")


def hold(idle: float = 120.0) -> None:
    """Be the pod's own process: whoever works comes by `kubectl exec`. Return once nobody has come, or the one who came is gone."""
    import fcntl

    prepare()
    ring()
    write(CALLS / "ready", "", 0o644)
    until, came = time.monotonic() + idle, False
    with (CALLS / "session").open("a") as file:
        while came or time.monotonic() < until:
            time.sleep(0.2)
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                came = True
                continue
            if came:
                return
            fcntl.flock(file.fileno(), fcntl.LOCK_UN)


def come() -> None:
    """Say that a session is there, until it ends; wait until the pod is ready. Raises OperationFailed where it does not get so."""
    import fcntl

    from . import notes

    for _ in range(300):
        if (CALLS / "ready").exists():
            file = (CALLS / "session").open("a")
            fcntl.flock(file.fileno(), fcntl.LOCK_SH)
            _held.append(file)
            notes.pull(prepare())
            return
        time.sleep(0.1)
    raise OperationFailed("the pod did not get ready")
