"""What is kept: defaults from what the stack says anyway, every volume accounted for, the vault's part of it."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.errors import BadInput
from slipway.settings import backups, secrets
from slipway.settings.keeping import Kept
from slipway.settings.model import Service

from .conftest import LOCAL, STACK, STAGING, Checkout

DB = '    volumes: ["data:/var/lib/postgresql/data"]\n'


def kept(checkout: Checkout, said: str, section: str = DB) -> tuple[Kept, ...]:
    text = STACK.replace("{backup: postgres}", f"{{backup: {said}}}").replace(DB, section)
    checkout.stack(text)
    return checkout.load()[2].kept


def test_a_database_is_known_by_the_images_own_variables(checkout: Checkout) -> None:
    variables = (
        "    environment: {POSTGRES_USER: shop, POSTGRES_DB: store, POSTGRES_PASSWORD_FILE: /run/secrets/token}\n"
    )
    (found,) = kept(checkout, "postgres", f"{DB}{variables}    secrets: [token]\n")
    assert (found.service, found.kind, found.database, found.user, found.password) == (
        "db", "postgres", "store", "shop", "token",
    )  # fmt: skip


def test_what_is_said_wins(checkout: Checkout) -> None:
    variables = "    environment: {POSTGRES_USER: shop, POSTGRES_DB: store}\n    secrets: [token]\n"
    said = "{kind: postgres, database: a, user: b, password: token, tables: [s.t], before: [x], after: [y]}"
    (found,) = kept(checkout, said, DB + variables)
    assert found == Kept(
        service="db", kind="postgres", database="a", user="b", password="token",
        tables=("s.t",), before=("x",), after=("y",),
    )  # fmt: skip


def test_files_are_all_volumes_or_the_paths_named(checkout: Checkout) -> None:
    assert kept(checkout, "files")[0].paths == ("/var/lib/postgresql/data",)
    assert kept(checkout, "{kind: files, paths: [/var/lib/postgresql/data/snapshots/, /etc/motd]}")[0].paths == (
        "/var/lib/postgresql/data/snapshots", "/etc/motd",
    )  # fmt: skip


def test_nothing_is_kept_of_none(checkout: Checkout) -> None:
    assert kept(checkout, "none") == ()


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("postgres", "exports"),
        ("[postgres, {kind: none, paths: [/exports]}]", None),
        ("[postgres, {kind: files, paths: [/exports/csv]}]", None),
        ("[{kind: none, paths: [/exports]}]", "data"),
        ("files", None),
        ("none", None),
    ],
)
def test_a_second_volume_is_accounted_for(checkout: Checkout, said: str, left: str | None) -> None:
    both = DB.replace('"]', '", {type: volume, source: exports, target: /exports}]')
    checkout.stack(
        STACK.replace("{backup: postgres}", f"{{backup: {said}}}")
        .replace(DB, both)
        .replace("  data: {}", "  data: {}\n  exports:")
    )
    if left is None:
        checkout.load()
    else:
        assert f"20: services.db.x-slipway.backup: the volume {left} is neither kept" in checkout.fails()[0]


def test_the_volume_of_an_app_is_accounted_for_too(checkout: Checkout) -> None:
    text = STACK.replace("    build: ./web\n", '    build: ./web\n    volumes: ["uploads:/app/uploads"]\n', 1)
    checkout.stack(text.replace("  data: {}", "  data: {}\n  uploads:"))
    assert "services.web.x-slipway.backup: the volume uploads" in checkout.fails()[0]


def test_a_database_outside_is_one_more_thing_kept(checkout: Checkout) -> None:
    outside = (
        "{name: main, host: '${HOST}', port: '${PORT}', database: b, user: c, password: far, image: 'postgres:16'}"
    )
    checkout.stack(
        STACK.replace("  smoke:", f"  external: [{outside}]\n  smoke:").replace(
            "secrets:\n  token", "secrets:\n  far: {environment: A}\n  token"
        )
    )
    checkout.env("local", LOCAL.replace("DEBUG", "DEBUG, HOST: db.example.com, PORT: 6543"))
    stack = checkout.load()[2]
    found = stack.kept[-1]
    assert (found.service, found.kind, found.host, found.port, found.image) == (
        "main",
        "postgres",
        "db.example.com",
        6543,
        "postgres:16",
    )
    assert "far" in stack.secrets


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: main", "name: db", "external[0].name: a service, or another database, has this name"),
        (
            "password: token",
            "password: no",
            "external[0].password: no is not declared under the file's top-level secrets",
        ),
        ("'postgres:16'", "postgres", "external[0].image: should be an image's name with its tag"),
    ],
)
def test_a_wrong_database_outside(checkout: Checkout, old: str, new: str, expected: str) -> None:
    outside = "{name: main, host: a, database: b, user: c, password: token, image: 'postgres:16'}".replace(old, new)
    checkout.change("  smoke:", f"  external: [{outside}]\n  smoke:")
    assert expected in checkout.fails()[0]


@pytest.mark.parametrize(
    ("env", "said", "expected"),
    [
        ("staging", "{}", "backup.repository: is missing"),
        (
            "staging",
            "{repository: ../a}",
            "backup.repository: should be a folder that starts with /, or a URL of restic's",
        ),
        ("staging", "{repository: 'sftp:a@b:/c'}", "backup.repository: should be a folder that starts with /"),
        ("staging", "{repository: /a, copies: [/a]}", "backup.copies[0]: is the same repository again"),
        ("staging", "{repository: /a, schedule: 'at; noon'}", "backup.schedule: should be a time as systemd.time(7)"),
        ("staging", "{repository: /a, least: 101}", "backup.least: should be at most 100"),
        (
            "local",
            "{repository: /srv/a}",
            "backup.repository: would go with the lab's host: write /var/backups/slipway",
        ),
    ],
)
def test_a_wrong_backup(checkout: Checkout, env: str, said: str, expected: str) -> None:
    checkout.env(env, (STAGING if env == "staging" else LOCAL) + f"backup: {said}\n")
    assert expected in checkout.fails(env)[0]


def test_a_lab_makes_the_password_of_its_backups_once(checkout: Checkout) -> None:
    checkout.env("local", LOCAL + "backup: {repository: /var/backups/slipway}\n")
    env = checkout.load()[0]
    first = secrets.backup_secrets(env, at=checkout.root)
    assert list(first) == ["password"]
    assert len(first["password"].reveal()) > 20
    assert secrets.backup_secrets(env, at=checkout.root)["password"].reveal() == first["password"].reveal()


def test_without_backups_there_is_no_secret(checkout: Checkout) -> None:
    assert secrets.backup_secrets(checkout.load()[0], at=checkout.root) == {}


def test_init_makes_the_password_and_asks_for_the_rest(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_VAULT_PASSWORD", "planted")
    checkout.env("staging", STAGING + "backup: {repository: 's3:x', environment: {AWS_SECRET_ACCESS_KEY: s3_secret}}\n")
    env = checkout.load("staging")[0]
    done = secrets.init(env, at=checkout.root)
    assert "backup.password" in done.made
    assert done.to_enter == ("registry.password", "backup.s3_secret")
    with pytest.raises(BadInput) as caught:
        secrets.backup_secrets(env, at=checkout.root)
    assert "backup.s3_secret: is missing: inv secrets.edit --env staging" in caught.value.paragraph()


@pytest.mark.parametrize("volumes", [["/data"], ["./a:/b"], [{"type": "tmpfs", "target": "/a"}], None, "x"])
def test_what_is_no_named_volume_has_none(volumes: Any) -> None:
    assert list(backups.mounted({"volumes": volumes})) == []
    assert list(backups.unaccounted([Service(name="a", role="accessory", compose={"volumes": volumes})])) == []
