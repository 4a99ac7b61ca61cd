"""What a stack keeps, as its host knows it: `backup/document.json`, and secrets as files beside it.

The timer goes by it with nobody's machine up, so all that a backup needs is in there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..failure import OperationFailed
from ..state import StackHome, read_json, write


@dataclass(frozen=True)
class Kept:
    """One kept thing of a stack.

    Args:
        service: whose it is.
        kind: postgres, redis, files or configuration.
        database: of postgres: its name.
        user: of postgres: who dumps (and restores).
        password: name of the accessory's secret file with the password; None where its own machine needs none.
        tables: of postgres: only these (`schema.table`); () is the whole database.
        paths: of files: absolute paths as the service's containers see them, in a volume or in the image.
        host: of a managed database: its address; the accessory's own container otherwise.
        port: of a managed database.
        image: of a managed database: a client image of the server's version.
        before: command that runs in the service before it is read: an index writes its snapshot, for one.
        after: command that runs there once it was read.
    """

    service: str
    kind: str
    database: str = ""
    user: str = ""
    password: str | None = None
    tables: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    host: str = ""
    port: int = 0
    image: str = ""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The path of the dump within its snapshot."""
        return f"/{self.service}.{'dump' if self.kind == 'postgres' else 'rdb'}"


@dataclass(frozen=True)
class Document:
    """All that a backup goes by.

    Args:
        env: environment.
        stack: stack.
        repository: restic URL, or an absolute path on the host.
        image: the image that restic is taken from.
        keep: how many daily, weekly, monthly and yearly sets are kept.
        copies: URLs of further repositories.
        least: percent of the last set's part that a new one must have at least; 0: any.
        late_after: seconds after which the last good set is too old.
        memory: limit of a container, in MB.
        before_migrations: make a set before the schema changes.
        fresh: seconds for which a set is young enough for that.
        kept: what is kept.
    """

    env: str
    stack: str
    repository: str
    image: str
    keep: dict[str, int]
    copies: tuple[str, ...] = ()
    least: float = 50.0
    late_after: float = 26 * 3600.0
    memory: int = 1024
    before_migrations: bool = True
    fresh: float = 600.0
    kept: tuple[Kept, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        """Make values of what JSON has for them."""
        made = tuple(k if isinstance(k, Kept) else Kept(**_tuples(k)) for k in self.kept)
        object.__setattr__(self, "kept", made)
        object.__setattr__(self, "copies", tuple(self.copies))


def _read(value: dict[str, Any]) -> Document:
    """Return a document; what a later version of Slipway has in it, and this one does not know, is left out."""
    kept = [{k: v for k, v in one.items() if k in Kept.__dataclass_fields__} for one in value["kept"]]
    known = {k: v for k, v in value.items() if k in Document.__dataclass_fields__}
    return Document(**{**known, "kept": kept})


def _tuples(value: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}


def folder(home: StackHome) -> Path:
    """Return the folder of a stack's backups on this host."""
    return home.path / "backup"


def known(home: StackHome) -> Document | None:
    """Return what the stack keeps; None where nothing is kept."""
    value = read_json(folder(home) / "document.json")
    return _read(value) if value else None


def document(home: StackHome) -> Document:
    """Return what the stack keeps. Raises OperationFailed where this host was never told."""
    found = known(home)
    if not found:
        raise OperationFailed(f"{home.stack} keeps nothing on this host", "a deploy tells it", bad_input=True)
    return found


def noted(home: StackHome, name: str) -> dict[str, Any]:
    """Return a note on the repository that is used now (see `container.note`); {} where it is on another one, or there is none."""
    value, told = read_json(folder(home) / name) or {}, known(home)
    return value if told and value.get("repository") == told.repository else {}


def forget(home: StackHome) -> bool:
    """Keep nothing of a stack here any more: neither the timer nor anybody else backs it up. Return whether it was.

    What was noted of its repository stays, and the backups do.
    """
    document = folder(home) / "document.json"
    if not document.exists():
        return False
    document.unlink()
    for name in ("secrets", "configuration"):
        _fill(folder(home) / name, {})
    return True


def write_document(home: StackHome, value: dict[str, Any], secrets: dict[str, str], files: dict[str, str]) -> None:
    """Note what the stack keeps.

    Args:
        home: the stack's folder.
        value: a `Document` as JSON.
        secrets: `password` of the repository, and `env.NAME` for each variable that its storage needs.
        files: the environment's own configuration: path and text; kept as a part of each set.
    """
    made = Document(**value)
    texts = {**secrets, "repository": inside(made.repository, "/repository")}
    texts.update({f"copy-{n}": inside(url, f"/copies/{n}") for n, url in enumerate(made.copies)})
    _fill(folder(home) / "secrets", texts)  # containers read them as root: nobody else has to
    _fill(folder(home) / "configuration", files)
    write(folder(home) / "document.json", json.dumps(value, indent=1, sort_keys=True) + "\n", 0o600)


def _fill(there: Path, files: dict[str, str]) -> None:
    """Make a folder hold these files, for their owner alone, and no others."""
    there.mkdir(parents=True, exist_ok=True)
    there.chmod(0o700)
    for path in sorted(there.rglob("*")):
        if path.is_file() and str(path.relative_to(there)) not in files:
            path.unlink()
    for name, text in files.items():
        if not (there / name).exists() or (there / name).read_text() != text:
            write(there / name, text, 0o600)


def is_local(repository: str) -> bool:
    """Tell whether a repository is a path of this host."""
    return repository.startswith("/")


def inside(repository: str, mounted: str) -> str:
    """Return a repository as containers see it: a path of the host is mounted."""
    return mounted if is_local(repository) else repository
