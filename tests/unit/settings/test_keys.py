"""No key is accepted and ignored: each changes the value that is loaded, and an unknown one beside it is an error."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from slipway.settings import composekeys, reference
from slipway.settings.keeping import Backup, Clean, External, Keep, ServiceBackup
from slipway.settings.logs import LogFile, Logs
from slipway.settings.model import (
    Environment,
    Health,
    Host,
    Kubernetes,
    Lab,
    Migration,
    Registry,
    Route,
    Smoke,
    StackEntry,
    VaultPassword,
)
from slipway.settings.xslipway import ServiceExtras, StackExtras
from tests.support import quickyaml

from .conftest import CLUSTER, LOCAL, STACK, STAGING, Checkout

PLACES: dict[type[BaseModel], tuple[str, tuple[str | int, ...]]] = {
    Environment: ("env", ()),
    Lab: ("lab", ("lab",)),
    Kubernetes: ("cluster", ("kubernetes",)),
    Host: ("env", ("hosts", 0)),
    Registry: ("env", ("registry",)),
    VaultPassword: ("env", ("vault_password",)),
    StackEntry: ("env", ("stacks", 0)),
    Backup: ("env", ("backup",)),
    Logs: ("env", ("logs",)),
    Keep: ("env", ("backup", "keep")),
    StackExtras: ("stack", ("x-slipway",)),
    Migration: ("stack", ("x-slipway", "migrate")),
    Smoke: ("stack", ("x-slipway", "smoke", 0)),
    External: ("stack", ("x-slipway", "external", 0)),
    Clean: ("stack", ("x-slipway", "clean", 0)),
    ServiceExtras: ("stack", ("services", "web", "x-slipway")),
    ServiceBackup: ("stack", ("services", "db", "x-slipway", "backup")),
    LogFile: ("stack", ("services", "web", "x-slipway", "logs", 0)),
    Route: ("stack", ("services", "web", "x-slipway", "route")),
    Health: ("stack", ("services", "web", "x-slipway", "health")),
}

OTHER: dict[tuple[type[BaseModel], str], Any] = {
    (Environment, "lab"): None,  # the same key in another file: test_environment_file.py
    (Environment, "development"): None,  # is for a lab: test_environment_file.py, test_stackfile.py
    (Environment, "target"): None,  # each wants keys of its own: test_environment_file.py
    (Environment, "kubernetes"): None,  # is for another target: test_environment_file.py
    (Environment, "hosts"): [{"name": "other", "address": "other.example.com"}],
    (Environment, "registry"): {"push": "other.example.com"},
    (Environment, "vault_password"): {"command": ["x"]},
    (Environment, "stacks"): [{"name": "hello", "port": 81}],
    (Environment, "backup"): {"repository": "/other"},
    (Environment, "logs"): {"files": 3},
    (ServiceExtras, "logs"): [],
    (LogFile, "path"): "/var/log/audit/other.log",
    (LogFile, "reopen"): "self",
    (Backup, "keep"): {"daily": 1},
    (StackExtras, "external"): None,  # its keys, below
    (StackExtras, "clean"): [],
    (Clean, "service"): "db",
    (ServiceExtras, "backup"): {"kind": "files"},
    (ServiceBackup, "kind"): "redis",
    (ServiceBackup, "password"): "token",
    (ServiceBackup, "paths"): None,  # is for other kinds: test_backups.py
    (External, "name"): None,  # names what a table is in: test_backups.py
    (External, "password"): "other",
    (VaultPassword, "command"): None,  # takes the place of file: test_secrets.py
    (Host, "user"): "other",
    (Host, "name"): "other",
    (Host, "address"): "other.example.com",
    (Registry, "push"): "other.example.com",
    (Registry, "username"): "other",
    (StackEntry, "name"): None,  # names the folder: test_environment_file.py
    (StackEntry, "replicas"): {"web": 4},
    (StackExtras, "migrate"): None,  # its keys, below
    (StackExtras, "smoke"): [],
    (Migration, "kind"): None,  # each takes keys of its own: test_stackfile.py
    (Migration, "database"): "other",
    (Migration, "service"): "worker",
    (Migration, "path"): "web",
    (ServiceExtras, "role"): None,  # test_stackfile.py
    (ServiceExtras, "route"): {"port": 1},
    (ServiceExtras, "health"): {"live": "/x"},
    (ServiceExtras, "drain"): "1m",
    (Route, "port"): 1,
    (Route, "timeout"): "1m30s",
    (Health, "live"): "/x",
    (Health, "ready"): "/x",
}

LOOKED_AT = {
    "build", "depends_on", "deploy", "environment", "expose", "image", "labels", "ports", "secrets", "user", "volumes",
}  # fmt: skip

KEYS = [(kind, name) for kind in PLACES for name in kind.model_fields if (kind, name) != (Environment, "name")]


ALEMBIC = {"kind": "alembic", "service": "web", "path": "web/migrations", "database": "db"}


def files(kind: type[BaseModel], key: str = "") -> tuple[str, dict[str, Any], dict[str, Any]]:
    env = {"lab": "local", "cluster": "cluster"}.get(PLACES[kind][0], "staging")
    data = quickyaml.load({"local": LOCAL, "cluster": CLUSTER}.get(env, STAGING))
    if env == "cluster":
        data["stacks"] = [{"name": "hello", "settings": {"LOG_LEVEL": "DEBUG"}}]
        return env, data, quickyaml.load(STACK)
    data["stacks"] = [{"name": "hello", "settings": {"LOG_LEVEL": "DEBUG"}}]
    data["backup"] = {"repository": "/srv/backups" if env == "staging" else "/var/backups/slipway", "keep": {}}
    data["logs"] = {}
    stack = quickyaml.load(STACK)
    stack["services"]["web"]["volumes"] = ["audit:/var/log/audit"]
    extras = {"logs": [{"path": "/var/log/audit/audit.log", "reopen": "USR1"}], "backup": {"kind": "none"}}
    stack["services"]["web"]["x-slipway"] |= extras
    stack["volumes"]["audit"] = {}
    stack["services"]["db"] |= {"secrets": ["token"], "x-slipway": {"backup": {"kind": "postgres"}}}
    stack["secrets"]["other"] = {"environment": "OTHER"}
    stack["x-slipway"]["external"] = [
        {"name": "outside", "host": "a", "database": "b", "user": "c", "password": "token", "image": "postgres:15"}
    ]
    stack["x-slipway"]["clean"] = [{"table": "a", "column": "b", "service": "outside"}]
    if kind is Migration and key in ("database", "inside", "lock_timeout", "statement_timeout"):
        stack["x-slipway"]["migrate"] = dict(ALEMBIC)
        stack["services"]["other"] = dict(stack["services"]["db"])
    return env, data, stack


def put(checkout: Checkout, kind: type[BaseModel], key: str, value: Any) -> str:
    env, data, stack = files(kind, key)
    where, path = PLACES[kind]
    at: Any = stack if where == "stack" else data
    for part in path:
        at = at[part]
    at[key] = value
    checkout.env(env, quickyaml.dump(data))
    checkout.stack(quickyaml.dump(stack))
    checkout.overlay(env)
    return env


@pytest.mark.parametrize(("kind", "name"), KEYS, ids=[f"{k.__name__}.{n}" for k, n in KEYS])
def test_each_key_changes_what_is_loaded(checkout: Checkout, kind: type[BaseModel], name: str) -> None:
    info = kind.model_fields[name]
    value = OTHER.get((kind, name), (info.examples or [None])[0])
    if value is None:
        assert (kind, name) in OTHER
        return
    env, data, stack = files(kind, name)
    checkout.env(env, quickyaml.dump(data))
    checkout.stack(quickyaml.dump(stack))
    checkout.overlay(env)
    if (kind, name) == (StackEntry, "settings"):
        value = {"LOG_LEVEL": "TRACE"}
    before = checkout.load(env)
    put(checkout, kind, info.alias or name, value)
    assert checkout.load(env) != before


@pytest.mark.parametrize("kind", PLACES, ids=lambda k: k.__name__)
def test_an_unknown_key_beside_it_is_an_error(checkout: Checkout, kind: type[BaseModel]) -> None:
    env = put(checkout, kind, "no_such_key", 1)
    found = checkout.fails(env)
    assert len(found) == 1
    assert "no_such_key: unknown key" in found[0]


@pytest.mark.parametrize("key", sorted(composekeys.SERVICE - composekeys.SERVICE_REFUSED.keys()))
def test_composes_own_service_keys_are_carried(checkout: Checkout, key: str) -> None:
    if key in LOOKED_AT:
        return  # test_stackfile.py, test_roles.py
    _, _, stack = files(ServiceExtras)
    stack["services"]["db"][key] = {"any": ["thing"]}
    checkout.stack(quickyaml.dump(stack))
    assert checkout.load()[2].service("db").compose[key] == {"any": ["thing"]}


@pytest.mark.parametrize("key", sorted(composekeys.SERVICE_REFUSED))
def test_refused_service_keys_have_a_reason(checkout: Checkout, key: str) -> None:
    _, _, stack = files(ServiceExtras)
    stack["services"]["db"][key] = "x"
    checkout.stack(quickyaml.dump(stack))
    found = checkout.fails()
    assert len(found) == 1
    assert f"services.db.{key}: is not for a stack: {composekeys.SERVICE_REFUSED[key]}" in found[0]


def test_all_models_have_a_place() -> None:
    def inside(kind: type[BaseModel]) -> set[type[BaseModel]]:
        found = {m for info in kind.model_fields.values() if (m := reference._model(info.annotation)[0])}
        return found | {deep for m in found for deep in inside(m)}

    kinds = (Environment, StackExtras, ServiceExtras)
    assert {*kinds, *(m for kind in kinds for m in inside(kind))} == set(PLACES)
