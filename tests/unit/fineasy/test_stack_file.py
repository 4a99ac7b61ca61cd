"""What compose.yaml and the Dockerfile promise, read from the files themselves."""

import fnmatch
import re
from typing import Any

import pytest

from slipway.settings import load

from .conftest import API, FOLDER

APPS, DATA = ("api", "worker"), ("postgres", "redis")


@pytest.mark.parametrize("environment", ["local", "dev", "staging", "production"])
def test_every_environment_reads_the_stack(environment: str) -> None:
    found = load.stack(load.environment(environment), "fineasy")
    assert {s.name for s in found.of_role("app")} == set(APPS)
    assert {s.name for s in found.of_role("accessory")} == set(DATA)
    assert found.migrate is not None
    assert (FOLDER / found.migrate.path / "versions").is_dir()
    assert found.service("api").health is not None
    assert [s.path for s in found.smoke if s.name.startswith("an unknown")] == ["/v1/insights/nobody"]


@pytest.mark.parametrize("name", APPS)
def test_apps_can_do_little(stack: dict[str, Any], name: str) -> None:
    service = stack["services"][name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert "memory" in service["deploy"]["resources"]["limits"]
    assert not {"ports", "volumes", "privileged", "container_name", "network_mode"} & service.keys()


@pytest.mark.parametrize("name", DATA)
def test_accessories_keep_their_data_and_name_their_port(stack: dict[str, Any], name: str) -> None:
    service = stack["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert len(service["expose"]) == 1
    volumes = [volume.split(":")[0] for volume in service["volumes"]]
    assert volumes == [f"{name}_data"]
    assert set(volumes) <= stack["volumes"].keys()
    assert re.fullmatch(r"[a-z]+:\d+", service["image"])


@pytest.mark.parametrize("name", APPS + DATA)
def test_health_is_looked_at_often_only_at_the_start(stack: dict[str, Any], name: str) -> None:
    check = stack["services"][name]["healthcheck"]
    assert check["start_interval"] == "300ms"
    assert "start_period" in check
    assert check["interval"].endswith("s")


def test_secrets_are_files_and_nothing_else(stack: dict[str, Any]) -> None:
    for service in stack["services"].values():
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key:
                assert key.endswith("_FILE")
                assert value.startswith("/run/secrets/")
                assert value.removeprefix("/run/secrets/") in service["secrets"]
            assert not re.search(r"://[^/]*:[^/]*@", str(value)), f"{key} holds a password"
        assert set(service["secrets"]) <= stack["secrets"].keys()


def test_no_argument_of_redis_holds_its_password(stack: dict[str, Any]) -> None:
    service = stack["services"]["redis"]
    script = service["command"][-1]
    # In Compose `$$` is a `$` that the container's shell sees: nothing is put in on the way there.
    assert "$$(sed" in script
    assert not re.search(r"(?<!\$)\$(?!\$)", script.replace("$$", ""))
    assert "exec docker-entrypoint.sh redis-server - <<" in script
    assert "-a " not in service["healthcheck"]["test"][1]


def test_the_queue_is_kept_and_never_evicted(stack: dict[str, Any]) -> None:
    script = stack["services"]["redis"]["command"][-1]
    assert "appendonly yes" in script
    assert "maxmemory-policy volatile-" in script


def test_every_package_is_pinned_with_hashes() -> None:
    text = (API / "requirements.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    pinned = set()
    for line in lines:
        name = re.match(r"([a-z0-9_.-]+)(?:\[[a-z,]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", line)
        assert name, line[:80]
        pinned.add(name[1])
    asked = re.findall(r"^([a-z][a-z-]*)", (API / "requirements.in").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(asked) <= pinned
    assert "://" not in text


def test_the_image_is_pinned_small_and_without_root() -> None:
    text = (API / "Dockerfile").read_text(encoding="utf-8")
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", text, re.MULTILINE)
    outside = {base for base, _ in stages} - {name for _, name in stages}
    assert outside == {"python:3.13-slim-trixie"}
    assert "USER 10001:10001" in text
    assert "HEALTHCHECK" in text
    assert "# syntax" not in text
    assert "--require-hashes" in text
    last = text[text.rindex("\nFROM ") :]
    assert last.index("/venv") < last.index("/app/model") < last.index("--from=code")


def test_all_python_is_in_the_image() -> None:
    """Python, migrations and their settings go in; nothing else does, secrets least of all."""
    rules = [r for r in (API / ".dockerignore").read_text(encoding="utf-8").splitlines() if r and r[0] != "#"]
    assert rules[0] == "*"
    let_in = [rule[1:] for rule in rules if rule.startswith("!")]
    for file in API.rglob("*.py"):
        top = file.relative_to(API).parts[0]
        assert any(fnmatch.fnmatch(top, rule) for rule in let_in), file
    assert not [rule for rule in let_in if "env" in rule or "secret" in rule]


def test_smoke_expects_the_model_that_is_trained(stack: dict[str, Any]) -> None:
    version = re.search(r'NAME, VERSION = "fraud", "(.+)"', (API / "train.py").read_text(encoding="utf-8"))
    expected = [
        s["expect"]["model_version"] for s in stack["x-slipway"]["smoke"] if "model_version" in s.get("expect", {})
    ]
    assert version
    assert expected == [version[1]]
