"""Debian itself as an image, built from the packages of the machine's own mirror where no image can be pulled."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slipway import process
from slipway.errors import SlipwayError
from slipway.lab import engine, machine

SUITE = "trixie"
RELEASES = ("bullseye", "bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable")
LISTS = "slipway-lab-apt-lists:latest"
"""Image that holds apt's package lists of the day the base was built: stand-ins need not download them again."""


ALONE = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Run a command with mounts and processes of its own, which end when this process does, even if that is killed."""


@dataclass(frozen=True)
class Mirrors:
    """Where Debian packages come from: the archive and its security updates (None: not known here)."""

    archive: str | None = None
    security: str | None = None


def mirrors(apt: Path = Path("/etc/apt")) -> Mirrors:
    """Return the Debian mirrors in a machine's apt sources, in both of their formats.

    An Ubuntu machine has none: then `archive` is None, and debootstrap uses its default.
    """
    offered = [(_resolved(uri), suite) for uri, suite, components in _sources(apt) if "main" in components]
    # Debian's own archive has point updates beside the release; other vendors' sources use its code name as well.
    archives = [uri for uri, suite in offered if suite in RELEASES and (uri, f"{suite}-updates") in offered]
    archives += [uri for uri, suite in offered if suite in RELEASES and uri.rstrip("/").endswith("/debian")]
    security = [uri for uri, suite in offered if suite.removesuffix("-security") in RELEASES and suite not in RELEASES]
    return Mirrors(next(iter(archives), None), next(iter(security), None))


def _resolved(uri: str) -> str:
    """Return where a source points to: the first mirror of a list kept in a file, as on cloud machines, or itself."""
    if not uri.startswith("mirror+file:"):
        return uri
    lines = Path("/" + uri.removeprefix("mirror+file:").lstrip("/")).read_text().splitlines()
    return next((line.split()[0] for line in lines if line.strip() and not line.startswith("#")), uri)


def _sources(apt: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (URI, suite, components) of each source of binary packages."""
    for path in (apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))):
        for line in path.read_text().splitlines() if path.is_file() else ():
            match = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)", line.strip())
            if match:
                yield match[1], match[2], match[3].split()
    for path in sorted(apt.glob("sources.list.d/*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            lines = [line for line in stanza.splitlines() if ":" in line and not line.startswith("#")]
            keys = {key.strip().lower(): value.split() for key, value in (line.split(":", 1) for line in lines)}
            if "deb" in keys.get("types", []) and keys.get("enabled") != ["no"]:
                for uri in keys.get("uris", []):
                    for suite in keys.get("suites", []):
                        yield uri, suite, keys.get("components", [])


def build(name: str, recipe: str) -> None:
    """Build the image `name` from Debian packages and put it on the engine, labelled with its recipe's hash.

    Raises:
        SlipwayError: no root rights, debootstrap cannot be installed, or it failed.
    """
    root = machine.as_root()
    if root is None:
        raise SlipwayError(
            f"{name} can neither be pulled nor built from Debian packages, which needs root or passwordless sudo",
            todo="run as root once, or with a connection to the official images",
        )
    machine.need("debootstrap", "debootstrap")
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    if not keyring.exists():
        machine.install("debian-archive-keyring")
    found, before = mirrors(), engine.docker("images", "--quiet", LISTS).out.split()
    _sweep(root)
    # Not in the checkout: its file system may forbid devices, which debootstrap makes.
    out = Path(tempfile.mkdtemp(prefix="slipway-base-", dir="/var/tmp"))
    try:
        script = Path(__file__).parent / "recipes" / "base" / "build.sh"
        path = ":".join(("/usr/local/bin:/usr/bin:/bin", *machine.SBIN))
        argv: list[str | Path] = [*root, "env", f"PATH={path}", *ALONE, "sh", script]
        process.run([*argv, SUITE, out, found.archive or "", found.security or ""], timeout=900)
        label = f"LABEL slipway.standin={recipe}"
        engine.docker("import", "--change", label, out / "lists.tar", LISTS)
        engine.docker("import", "--change", label, "--change", 'CMD ["bash"]', out / "base.tar", name)
        if before:
            engine.docker("rmi", *before, check=False)
    finally:
        process.run([*root, "rm", "-rf", "--one-file-system", out], check=False)


def _sweep(root: tuple[str, ...]) -> None:
    """Remove what builds that were killed have left: what is older than any build takes."""
    for path in Path("/var/tmp").glob("slipway-base-*"):  # noqa: S108 - as above
        if time.time() - path.stat().st_mtime > 3600:
            process.run([*root, "rm", "-rf", "--one-file-system", path], check=False)


def certificates() -> list[Path]:
    """Return the files of the machine's private certificate authorities."""
    return sorted(Path("/usr/local/share/ca-certificates").glob("**/*.crt"))
