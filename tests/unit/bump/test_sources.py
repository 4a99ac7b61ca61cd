"""Newer versions as git, a registry, Galaxy and uv tell them: each real, or a server of a few lines, and all on this machine."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from slipway import checkpackages
from slipway.bump import bump, packages, sources
from slipway.errors import BadInput
from slipway.image.registry import RegistryClient
from slipway.process import run
from slipway.settings.imagename import ImageName
from slipway.settings.model import Registry


def git(folder: Path, *words: str) -> str:
    return run(["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *words], cwd=folder).out.strip()


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    git(folder, "add", name)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q")
    return folder


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of repositories where git looks for those of GitHub: `actions/checkout` with three releases."""
    base = tmp_path / "github"
    repo = base / "actions/checkout"
    repo.mkdir(parents=True)
    git(repo, "init", "-q")
    for version in ("v6.0.0", "v7.0.1", "v7.1.0"):
        git(repo, "commit", "-q", "--allow-empty", "-m", version)
        git(repo, "tag", *(["-m", "with a message"] if version == "v7.1.0" else []), version)
    git(repo, "tag", "v8.0.0-rc.1")
    monkeypatch.setattr(sources, "GITHUB", base.as_uri())
    return repo


def test_actions_by_the_commit_of_their_tag(checkout: Path, github: Path) -> None:
    before, commit = git(github, "rev-parse", "v7.0.1"), git(github, "rev-parse", "v7.1.0^{commit}")
    for name in ("check", "build"):
        write(checkout, f".github/workflows/{name}.yml", f"      - uses: actions/checkout@{before} # v7.0.1\n")
    write(checkout, ".github/workflows/other.yml", f"      - uses: nobody/nothing/below@{before} # v1.0.0\n")
    found = sources.actions(checkout)
    (newer,) = found.newer
    assert (newer.name, newer.now, newer.then, len(newer.files)) == ("actions/checkout", "v7.0.1", "v7.1.0", 2)
    assert found.unreached[0].startswith("nobody/nothing: git could not list its tags.")
    assert bump.newer.replace(checkout, newer) == list(newer.files)
    text = (checkout / ".github/workflows/check.yml").read_text()
    assert text == f"      - uses: actions/checkout@{commit} # v7.1.0\n"
    assert sources.actions(checkout).newer == []


@pytest.fixture
def served() -> Iterator[Callable[[dict[str, object]], str]]:
    """Serve JSON documents by path (with its query); return the server's host:port."""
    servers: list[ThreadingHTTPServer] = []

    def serve(documents: dict[str, object]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = documents.get(self.path)
                self.send_response(200 if found else 404)
                if isinstance(found, tuple):
                    self.send_header("Link", '</v2/next>; rel="next"')
                    (found,) = found
                self.end_headers()
                self.wfile.write(json.dumps(found or {}).encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_address[1]}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_images_with_the_same_ending(
    checkout: Path, served: Callable[[dict[str, object]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = served(
        {
            "/v2/library/python/tags/list?n=1000": ({"tags": ["3.13-slim", "3.14-slim"]},),
            "/v2/library/python/tags/list?n=1000&last=3.14-slim": {"tags": ["3.15-slim", "4.0"]},
            "/v2/library/redis/tags/list?n=1000": {"tags": ["8"]},
        }
    )
    monkeypatch.setattr(sources, "_client", lambda name: client(name, host))
    write(checkout, "compose/shop/Dockerfile", "FROM python:3.13-slim AS base\nFROM debian:trixie-slim\n")
    write(checkout, "compose/shop/compose.yaml", "services:\n  queue:\n    image: redis:8\n")
    write(checkout, "slipway/own.py", 'ROUTER = "away/router:3.0"\n')
    found = sources.images(checkout)
    assert [(n.name, n.now, n.then, n.files) for n in found.newer] == [
        ("python", "3.13-slim", "3.15-slim", ("compose/shop/Dockerfile",))
    ]
    assert [words.partition(" ")[0] for words in found.unreached] == ["away/router:3.0:"]
    bump.newer.replace(checkout, found.newer[0])
    assert (checkout / "compose/shop/Dockerfile").read_text().startswith("FROM python:3.15-slim AS base\n")


def client(name: ImageName, host: str) -> RegistryClient:
    """Return a client of the registry on this machine; of one that is not there for images of `away`."""
    return RegistryClient(Registry(push="127.0.0.1:9" if name.path.startswith("away/") else host, insecure=True))


def test_collections_as_galaxy_tells_them(
    checkout: Path, served: Callable[[dict[str, object]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/api/v3/plugin/ansible/content/published/collections/index/community/docker/"
    host = served({path: {"highest_version": {"version": "5.1.0"}}})
    monkeypatch.setattr("ansible.constants.GALAXY_SERVER", f"http://{host}")
    assert sources.collections(checkout).newer == []
    listed = "collections:\n  - {name: community.docker, version: 4.0.0}\n  - {name: a.b, version: 1.0.0}\n"
    write(checkout, sources.COLLECTIONS, listed)
    found = sources.collections(checkout)
    assert [(n.name, n.then) for n in found.newer] == [("community.docker", "5.1.0")]
    assert [words.partition(":")[0] for words in found.unreached] == ["a.b"]
    bump.newer.replace(checkout, found.newer[0])
    assert "name: community.docker, version: 5.1.0" in (checkout / sources.COLLECTIONS).read_text()


def wheel(folder: Path, name: str, version: str) -> None:
    """Make the smallest wheel there is."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


HEAD = "#   uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`wheels`, all packages of the world; a `checkout` that has locked the first version of each."""
    base = tmp_path_factory.mktemp("locked")
    folder, checkout = base / "wheels", base / "checkout"
    folder.mkdir()
    checkout.mkdir()
    git(checkout, "init", "-q")
    for name in ("alpha", "beta"):
        wheel(folder, name, "1.0")
    write(checkout, "requirements.in", f"{HEAD} requirements.in -o requirements.lock\nalpha\n")
    checks = f"{HEAD} requirements-checks.in -o requirements-checks.lock\n-c requirements.lock\nalpha\nbeta\n"
    write(checkout, "requirements-checks.in", checks)
    with pytest.MonkeyPatch.context() as patch:
        only(folder, base / "cache", patch)
        for name in ("requirements.in", "requirements-checks.in"):
            write(checkout, name.replace(".in", ".lock"), "")
            packages._compile(checkout, name)
    for name in ("alpha", "beta"):
        wheel(folder, name, "1.1")
    return base


def only(wheels: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have uv know these packages and no others."""
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_CACHE_DIR", str(cache))


@pytest.fixture
def wheels(tmp_path: Path, checkout: Path, locked: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All packages of the world; the checkout has locked the first version of each, its second list held to the first."""
    folder = tmp_path / "wheels"
    shutil.copytree(locked / "wheels", folder)
    shutil.copytree(locked / "checkout", checkout, dirs_exist_ok=True)
    only(folder, tmp_path / "cache", monkeypatch)
    return folder


def test_one_package_is_locked_anew(checkout: Path, wheels: Path) -> None:
    before = digest(checkout)
    found = packages.look(checkout)
    assert {n.name: (n.now, n.then) for n in found.newer} == {"alpha": ("1.0", "1.1"), "beta": ("1.0", "1.1")}
    assert digest(checkout) == before, "looking changes nothing"
    alpha = next(n for n in found.newer if n.name == "alpha")
    assert packages.change(checkout, alpha) == ["requirements.lock", "requirements-checks.lock"]
    assert packages.pins((checkout / "requirements.lock").read_text()) == {"alpha": "1.1"}
    assert packages.pins((checkout / "requirements-checks.lock").read_text()) == {"alpha": "1.1", "beta": "1.0"}
    assert "--hash=sha256:" in (checkout / "requirements.lock").read_text()


def test_an_index_that_is_not_reached_is_told(checkout: Path, wheels: Path) -> None:
    for path in wheels.iterdir():
        path.unlink()
    found = packages.look(checkout)
    assert found.newer == []
    assert sorted(words.partition(":")[0] for words in found.unreached) == [
        "requirements-checks.lock",
        "requirements.lock",
    ]


def digest(folder: Path) -> str:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and ".git" not in p.parts)
    return hashlib.sha256(b"".join(p.read_bytes() for p in files)).hexdigest()


def test_one_thing_by_its_name(checkout: Path, github: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpackages, "ensure", lambda: None)
    monkeypatch.setattr(bump, "_SOURCES", {"Ask for actions": sources.actions})
    before = git(github, "rev-parse", "v6.0.0")
    write(checkout, ".github/workflows/check.yml", f"      - uses: actions/checkout@{before} # v6.0.0\n")
    assert "action  actions/checkout  v6.0.0 → v7.1.0  .github/workflows/check.yml" in bump.text(bump.look(checkout))
    with pytest.raises(BadInput, match="nothing newer is known of 'actions/chekout'"):
        bump.change("actions/chekout", checkout)
    one, changed = bump.change("actions/checkout", checkout)
    assert (one.then, changed) == ("v7.1.0", [".github/workflows/check.yml"])
    assert bump.text(bump.look(checkout)) == "all is as new as can be"
