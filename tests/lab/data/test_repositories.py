"""A repository elsewhere, over HTTP with a copy by SFTP; and the worst day: hosts and vault are gone, it is what is left."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support import books as data
from tests.support import checkout as checkouts
from tests.support import restserver, stacks
from tests.support.checkout import ROOT
from tests.support.restserver import Server
from tests.support.site import Site

ENVIRONMENT = "envs/lab.yml"
WHERE = "{repository: /var/backups/slipway/lab}"
LOGIN = {"rest_user": "slipway", "rest_password": "rest-password"}


def told(site: Site, server: Server, more: str = "") -> str:
    """Return the environment's `backup` for a repository that this process serves."""
    address = site.checkout.lab(site.env)["subnet"].rpartition(".")[0] + ".1"
    login = "environment: {RESTIC_REST_USERNAME: rest_user, RESTIC_REST_PASSWORD: rest_password}"
    return f"{{repository: '{server.url(address)}', {login}{more}}}"


@pytest.fixture(scope="module")
def elsewhere(books: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Server]]:
    """The stack, which keeps its data in a repository that this process serves over HTTP, with a copy by SFTP."""
    data.fill(books)
    url, key = sftp(books)
    with restserver.serving(tmp_path_factory.mktemp("rest") / "repository") as server, books.checkout.changed():
        books.checkout.edit(ENVIRONMENT, WHERE, told(books, server, f", copies: ['{url}']"))
        stacks.plant(books.checkout, "lab", "backup", **LOGIN, ssh_key=key)
        yield books, server
    books.deploy().ok()


def sftp(site: Site) -> tuple[str, str]:
    """Let the deployer of the host in with a new key; return the URL of a folder of its own there, and the key."""
    key = Ed25519PrivateKey.generate()
    form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    public = key.public_key().public_bytes(*form).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()
    site.on("sh", "-euc", f"install -d -o deploy /srv/copy; echo '{public}' >> ~deploy/.ssh/authorized_keys")
    address = site.checkout.lab(site.env)["hosts"][0]["address"]
    known = site.on("sh", "-c", "cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub")
    file = site.checkout.path / "envs/known_hosts"
    file.write_text((file.read_text() if file.exists() else "") + f"{address} {known}\n")
    return f"sftp:deploy@{address}:/srv/copy/books", private


def test_backed_up_and_proven(elsewhere: tuple[Site, Server]) -> None:
    """The copy has it all; a drill, on a network that leads nowhere, reaches the repository; no login shows."""
    site, server = elsewhere
    made = site.inv("backup", "--any-size", "--format", "json").ok().json()["set"]["id"]
    data.cheapen_folder(site, server.folder)
    assert LOGIN["rest_password"] not in site.on("sh", "-c", "docker inspect $(docker ps --all --quiet)")
    copied = data.restic(site, "snapshots", "--tag", f"slipway,run={made}", repository="/srv/copy/books")
    assert "5 snapshots" in copied, "its manifest, too"
    drill = site.inv("backup.drill", "--format", "json").ok().json()
    assert (drill["set"], drill["verdict"]) == (made, "good")


def test_full_or_closed(elsewhere: tuple[Site, Server]) -> None:
    site, server = elsewhere
    before = data.listed(site)
    server.room = server.stored() + 500
    assert "507" in site.inv("backup", "--only", "db").exits(1).err
    server.room = None
    right, server.login = server.login, "slipway:another"
    assert "401" in site.inv("backup", "--only", "db").exits(1).err
    server.login = right
    assert data.listed(site) == before


def test_from_nothing(elsewhere: tuple[Site, Server]) -> None:
    """An empty new environment of that name, and what docs/data.md says to type; all is as it was."""
    old, server = elsewhere
    # A server that was closed in the middle of a run kept that run's lock, for half an hour.
    old.inv("backup.unlock").ok()
    before, known = data.snapshot(old), data.listed(old)
    page = (ROOT / "docs/data.md").read_text().partition("## From nothing")[2].partition("\n## ")[0]
    steps = ["provision", "secrets.init", "secrets.edit", "restore", "deploy"]  # a lab provisions itself
    assert re.findall(r"`inv ([a-z.]+) --env <env>`", page) == steps
    made = checkouts.make()
    try:
        stacks.add_books(made)
        stacks.environment(made, "lab", "[{name: books, port: 8320}]", backup=told(old, server))
        made.commit("a stack with data")
        stacks.plant(made, "lab", "backup", password=data.password_of(old), **LOGIN)  # secrets.init, secrets.edit
        site = Site(made, "lab", "books", 8320)
        restored = site.inv("restore", "--yes").ok()
        assert re.search(r"db: \d+ tables", restored.out)
        assert "safety" not in restored.out, "there was nothing yet"
        site.deploy().ok()
        assert data.snapshot(site) == before
        assert site.status()["healthy"]
        site.inv("backup").ok()
        assert len(data.listed(site)) == len(known) + 1, "the new host goes on with the old one's backups"
        assert "the backups of lab are still here" in made.inv("lab.down", "--env", "lab").ok().out
        assert "the backups of lab are gone" in made.inv("lab.down", "--env", "lab", "--data").ok().out
    finally:
        made.remove()
