"""envs/<env>.yml: each bad input is one problem with file:line and plain words; all come at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slipway.errors import BadInput
from slipway.settings import load

from .conftest import CLUSTER, LOCAL, STACK, STAGING, Checkout

HERE = "envs/local.yml"


def one(checkout: Checkout, text: str) -> str:
    checkout.env("local", text)
    found = checkout.fails()
    assert len(found) == 1, found
    return found[0]


def test_a_good_file(checkout: Checkout) -> None:
    env, entry, stack = checkout.load()
    assert (env.name, env.target, env.lab.hosts if env.lab else 0) == ("local", "compose", 1)
    assert (entry.name, entry.port) == ("hello", 8080)
    assert (entry.replicas, entry.settings) == ({"web": 2}, {"LOG_LEVEL": "DEBUG"})
    assert stack.service("web").compose["environment"] == {"LOG_LEVEL": "DEBUG"}
    assert stack.service("web").replicas == 2


def test_a_stack_may_be_a_bare_name(checkout: Checkout) -> None:
    env = load.environment("staging", at=checkout.root)
    assert env.stack(None).name == "hello"
    assert [h.address for h in env.hosts] == ["app1.example.com", "app2.example.com"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: is empty"),
        ("# nothing\n", "1: is empty"),
        ("---\n", "1: is empty"),
        ("- lab\n", "1: should be a mapping (`key: value` lines)"),
        ("hello\n", "1: should be a mapping (`key: value` lines)"),
        ("lab: {hosts: 1\nstacks: [hello]\n", "2: does not parse"),
        ("lab:\n\t- x\n", "2: does not parse"),
        ("lab: {}\nstacks: [hello]\n---\nlab: {}\n", "3: holds more than one document (`---`)"),
        (LOCAL + "lab: {}\n", "8: lab: is here twice (the first is in line 1)"),
        (LOCAL + "1: x\n", "8: the key 1 should be text (put it in quotes)"),
        (LOCAL + "[a, b]: x\n", "8: the key a list should be text"),
        (LOCAL + "registri: {}\n", '8: registri: unknown key (did you mean "registry"?)'),
        (LOCAL + "keep-warm: 1h\n", '8: keep-warm: unknown key (did you mean "keep_warm"?)'),
        (LOCAL + "name: local\n", "8: name: unknown key (the file's own name is the environment's name)"),
        (LOCAL + "keep_releases: five\n", "8: keep_releases: should be a whole number"),
        (LOCAL + 'keep_releases: "5"\n', "8: keep_releases: should be a whole number"),
        (LOCAL + "keep_releases: 1.5\n", "8: keep_releases: should be a whole number"),
        (LOCAL + "keep_releases: true\n", "8: keep_releases: should be a whole number"),
        (LOCAL + "keep_releases: 0\n", "8: keep_releases: should be at least 1"),
        (LOCAL + "keep_releases:\n", "8: keep_releases: should be a whole number"),
        (LOCAL + "keep_warm: soon\n", "8: keep_warm: should be a duration such as 90s, 10m or 1h30m"),
        (LOCAL + "keep_warm: .inf\n", "8: keep_warm: .inf is no number that can be used"),
        (LOCAL + "keep_warm: -1\n", "8: keep_warm: should be a duration such as 90s, 10m or 1h30m"),
        (LOCAL + "keep_warm: 2024-01-01\n", "8: keep_warm: should be a duration such as 90s, 10m or 1h30m"),
        (LOCAL + "allow_dirty: yes\n", "8: allow_dirty: should be true or false"),
        (
            LOCAL + "allow_dirty: !!python/name:os.system x\n",
            "8: allow_dirty: has the tag tag:yaml.org,2002:python/name",
        ),
        (LOCAL + "target: compos\n", '8: target: should be one of compose or kubernetes (did you mean "compose"?)'),
        (LOCAL + "kubernetes: {context: a}\n", "8: kubernetes: has no effect without `target: kubernetes`"),
        (LOCAL + "registry: {push: a}\n", "8: registry: has no effect with lab"),
        (LOCAL + "hosts: [{name: a, address: b}]\n", "1: lab: leave out either hosts or lab"),
        (LOCAL + "vault_password: {}\n", "8: vault_password: should have either a file or a command"),
        (LOCAL.replace("hosts: 1", "hosts: 9"), "2: lab.hosts: should be at most 4"),
        (LOCAL.replace("8080", "80800"), "5: stacks[0].port: should be at most 65535"),
        (LOCAL.replace("{web: 2}", "{web: 0}"), "6: stacks[0].replicas.web: should be at least 1"),
        (LOCAL.replace("{web: 2}", "{web: 100}"), "6: stacks[0].replicas.web: should be at most 99"),
        (LOCAL + "development: true\n", "6: stacks[0].replicas: has no effect with development"),
        (LOCAL.replace("{LOG_LEVEL: DEBUG}", "{LOG_LEVEL: [a]}"), "7: stacks[0].settings.LOG_LEVEL: should be text"),
        ("lab: {}\n", "1: stacks: is missing"),
        ("lab: {}\nstacks: []\n", "2: stacks: should have at least one entry"),
        ("lab: {}\nstacks: hello\n", "2: stacks: should be a list"),
        ("lab: {}\nstacks: [{port: 80}]\n", "2: stacks[0].name: is missing"),
        (
            "lab: {}\nstacks:\n  - helo\n",
            '3: stacks[0].name: there is no compose/helo/compose.yaml (did you mean "hello"?)',
        ),
        ("lab: {}\nstacks: [hello, 7]\n", "2: stacks[1]: should be a mapping"),
    ],
)
def test_each_bad_input(checkout: Checkout, text: str, expected: str) -> None:
    assert one(checkout, text).startswith(f"{HERE}:{expected}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CLUSTER.replace("kubernetes: {context: a}", ""), "1: target: kubernetes is missing: name the cluster"),
        (CLUSTER + "hosts: [{name: a, address: b}]\n", "5: hosts: has no effect with `target: kubernetes`"),
        (CLUSTER + "lab: {}\n", "5: lab: has no effect with `target: kubernetes`"),
        (CLUSTER + "keep_warm: 1h\n", "5: keep_warm: has no effect with `target: kubernetes`"),
        (CLUSTER.replace("{context: a}", "{}"), "2: kubernetes.context: is missing"),
        (CLUSTER.replace("{context: a}", "{context: a, strategy: canary}"), "2: kubernetes.strategy: should be one of"),
        (CLUSTER.replace("registry: {push: r}\n", ""), "1: registry is missing: the cluster pulls images from it"),
        (CLUSTER.replace("[hello]", "[{name: hello, port: 80}]"), "4: stacks[0].port: has no effect"),
    ],
)
def test_each_bad_cluster(checkout: Checkout, text: str, expected: str) -> None:
    checkout.overlay("local")
    assert one(checkout, text).startswith(f"{HERE}:{expected}")


def test_a_cluster(checkout: Checkout) -> None:
    checkout.overlay("local")
    checkout.env("local", CLUSTER)
    env, _, _ = checkout.load()
    assert (env.target, env.hosts, env.lab) == ("kubernetes", (), None)
    assert env.kubernetes is not None
    assert (env.kubernetes.context, env.kubernetes.kubeconfig, env.kubernetes.strategy) == ("a", None, "rolling")


def test_the_target_is_told_of_a_file_that_is_wrong_otherwise(checkout: Checkout) -> None:
    """So that whoever reads it whole tells all that is wrong, the stack's file included."""
    checkout.env("local", LOCAL + "no_such_key: 1\n")
    assert load.target("local", at=checkout.root) == "compose"
    checkout.env("local", CLUSTER + "no_such_key: 1\n")
    assert load.target("local", at=checkout.root) == "kubernetes"
    with pytest.raises(BadInput, match="there is no environment"):
        load.target("nowhere", at=checkout.root)


def test_a_cluster_needs_an_overlay_for_the_environment(checkout: Checkout) -> None:
    checkout.overlay("staging")
    words = "4: stacks[0].name: there is no k8s/hello/overlays/local/kustomization.yaml; overlays: staging"
    assert one(checkout, CLUSTER) == f"{HERE}:{words}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: app2", "name: app1", "4: hosts[1].name: another host has this name (line 2)"),
        (
            "app2.example.com",
            "app1.example.com",
            "5: hosts[1].address: another host has this address and port (line 3)",
        ),
        ("app2.example.com", "-oProxyCommand=evil", "5: hosts[1].address: should be a DNS name or an IP address"),
        ("registry.example.com/slipway", "https://r.example.com", "7: registry.push: should be host[:port][/path]"),
        ("    address: app2.example.com\n", "", "4: hosts[1].address: is missing"),
        ("{file: /nowhere}", "{file: a, command: [b]}", "9: vault_password: should have either a file or a command"),
        ("{file: /nowhere}", "{command: []}", "9: vault_password.command: should have at least one entry"),
        ("[hello]", "[{name: hello, domain: Ex ample}]", "10: stacks[0].domain: should be a host name in lower case"),
    ],
)
def test_each_bad_host_or_registry(checkout: Checkout, old: str, new: str, expected: str) -> None:
    checkout.env("staging", STAGING.replace(old, new))
    found = checkout.fails("staging")
    assert len(found) == 1, found
    assert found[0].startswith(f"envs/staging.yml:{expected}")


def test_hosts_and_registry_missing(checkout: Checkout) -> None:
    checkout.env("local", "stacks: [hello]\n")
    assert [p.split(",")[0].split(":", 2)[2].strip() for p in checkout.fails()] == [
        "hosts is missing: list the machines",
        "registry is missing: hosts pull images from it",
    ]


def test_hosts_of_one_address_but_other_ports_are_two(checkout: Checkout) -> None:
    checkout.env("staging", STAGING.replace("app2.example.com", "app1.example.com\n    port: 2222"))
    assert [h.port for h in checkout.load("staging")[0].hosts] == [22, 2222]


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("", "", True),
        ("domain: a.example.com", "domain: a.example.com", True),
        ("domain: a.example.com", "domain: b.example.com", False),
        ("port: 80", "port: 81", False),
    ],
)
def test_two_stacks_need_two_doors(checkout: Checkout, first: str, second: str, clash: bool) -> None:
    checkout.stack("services: {web: {image: 'x:1', x-slipway: {role: app}}}\n", "other")
    checkout.env("local", f"lab: {{}}\nstacks:\n  - {{name: hello, {first}}}\n  - {{name: other, {second}}}\n")
    if not clash:
        assert len(checkout.load()[0].stacks) == 2
        return
    assert checkout.fails() == [
        f"{HERE}:4: stacks[1].port: another stack has this front door: give each its own port or domain (line 3)"
    ]


def test_a_stack_with_a_long_name(checkout: Checkout) -> None:
    """Containers' names are made of it, and the router looks those up: a DNS label has 63 letters."""
    name = "a-stack-with-a-long-name"
    checkout.stack(STACK, name)
    (checkout.root / "compose" / name / "web/migrations").mkdir(parents=True)
    (checkout.root / "compose" / name / "web/Dockerfile").write_text("FROM scratch\n")
    checkout.env("local", f"lab: {{}}\nstacks:\n  - {name}\n")
    assert checkout.fails() == [
        f"{HERE}:3: stacks[0].name: should be a short name: a lower-case letter, then letters, digits and hyphens, 20 at most"
    ]


@pytest.mark.parametrize("key", ["keep_warm: 1h", "keep_releases: 2", "max_draining: 1", "settle: 5s"])
def test_what_development_has_no_use_for(checkout: Checkout, key: str) -> None:
    checkout.env("local", f"lab: {{}}\ndevelopment: true\n{key}\nstacks: [hello]\n")
    name = key.partition(":")[0]
    assert checkout.fails() == [
        f"{HERE}:3: {name}: has no effect with development, where there are no releases: leave it out"
    ]


def test_development_is_for_this_machine(checkout: Checkout) -> None:
    checkout.env("staging", STAGING + "development: true\n")
    assert checkout.fails("staging") == [
        "envs/staging.yml:1: hosts: development is for this machine: give `lab: {}` instead"
    ]
    checkout.env("local", "lab: {}\ndevelopment: true\nstacks: [{name: hello, domain: a.example}]\n")
    assert checkout.fails() == [f"{HERE}:3: stacks[0].domain: has no effect with development, where there is no router"]


def test_a_stack_listed_twice(checkout: Checkout) -> None:
    checkout.env("local", "lab: {}\nstacks:\n  - hello\n  - {name: hello, port: 81}\n")
    assert checkout.fails() == [f"{HERE}:4: stacks[1].name: this stack is listed already (line 3)"]


@pytest.mark.parametrize("name", ["nowhere", "../envs/local", "Local", "", "local\n", "local.yml", "a" * 300, "a\0"])
def test_unknown_environment(checkout: Checkout, name: str) -> None:
    with pytest.raises(BadInput) as caught:
        load.environment(name, at=checkout.root)
    assert "environments: local, staging" in str(caught.value)
    assert caught.value.where == "envs/"


def test_unknown_environment_names_the_nearest(checkout: Checkout) -> None:
    with pytest.raises(BadInput, match='did you mean "staging"'):
        load.load("stagin", at=checkout.root)


def test_an_environment_file_with_a_bad_name_is_told(checkout: Checkout) -> None:
    checkout.env("My_Env", LOCAL)
    with pytest.raises(BadInput, match=r"not usable as a name .*: My_Env"):
        load.environment("My_Env", at=checkout.root)


def test_vaults_are_no_environments(checkout: Checkout) -> None:
    checkout.env("local.vault", "x")
    with pytest.raises(BadInput, match=r"environments: local, staging\."):
        load.environment("x", at=checkout.root)


def test_unknown_stack(checkout: Checkout) -> None:
    words = "there is no stack 'helo' here (did you mean \"hello\"?); stacks: hello"
    assert checkout.fails(stack="helo") == [f"{HERE}:3: stacks: {words}"]
    with pytest.raises(BadInput, match=r"has no stack 'helo' .did you mean \"hello\""):
        load.stack(load.environment("local", at=checkout.root), "helo", at=checkout.root)


def test_all_problems_of_both_files_at_once(checkout: Checkout) -> None:
    checkout.env("local", LOCAL.replace("hosts: 1", "hosts: x").replace("LOG_LEVEL", "LOG_LEVL") + "settel: 1s\n")
    checkout.change("image: postgres:17", "image: postgres")
    assert [p.split(": ")[0] for p in checkout.fails()] == [
        "compose/hello/compose.yaml:17",
        "envs/local.yml:2",
        "envs/local.yml:7",
        "envs/local.yml:8",
    ]


def test_settings_keep_what_is_written(checkout: Checkout) -> None:
    checkout.env("local", LOCAL.replace("DEBUG", "1.10"))
    assert checkout.load()[1].settings == {"LOG_LEVEL": "1.10"}


def test_settings_and_replicas_name_what_the_stack_has(checkout: Checkout) -> None:
    checkout.env("local", LOCAL.replace("{web: 2}", "{wob: 2, db: 2}").replace("LOG_LEVEL: DEBUG", "LOG_LEVL: DEBUG"))
    assert checkout.fails() == [
        f"{HERE}:6: stacks[0].replicas.db: only an app service has replicas: an accessory keeps data of its own, a job "
        "runs once",
        f"{HERE}:6: stacks[0].replicas.wob: the stack has no service 'wob' (did you mean \"web\"?); services: db, web, "
        "worker",
        f'{HERE}:7: stacks[0].settings.LOG_LEVL: the stack has no ${{LOG_LEVL}} (did you mean "LOG_LEVEL"?); its '
        "variables: LOG_LEVEL",
    ]


def test_unreadable_files(checkout: Checkout) -> None:
    path = checkout.root / "envs/local.yml"
    path.write_bytes(b"lab: {}\nstacks: [\xff]\n")
    assert checkout.fails() == [f"{HERE}:2: is not UTF-8 text"]
    path.write_bytes(b"lab: {}\nstacks: [hello\0]\n")
    assert checkout.fails() == [f"{HERE}:2: does not parse: a control character"]
    path.write_text("#" * 2_000_000)
    assert checkout.fails() == [f"{HERE}:1: is larger than 1000 kB"]
    if os.geteuid() != 0:
        path.chmod(0)
        assert checkout.fails() == [f"{HERE}:1: cannot be read: Permission denied"]


def test_stack_takes_an_environment_made_by_a_program(checkout: Checkout) -> None:
    env = load.environment("local", at=checkout.root).model_copy(update={"name": "made"})
    assert load.stack(env, at=checkout.root).service("web").replicas == 2


def test_the_operators_shell_has_no_say(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    before = checkout.load()
    monkeypatch.setenv("LOG_LEVEL", "TRACE")
    monkeypatch.setenv("HELLO_TOKEN", "x")
    monkeypatch.chdir(Path("/"))
    assert checkout.load() == before


def test_root_is_this_checkout() -> None:
    assert (load.root() / "slipway/settings/load.py").is_file()


@pytest.mark.parametrize("name", ["local", "dev", "staging", "production"])
def test_the_shipped_environments_are_valid(name: str) -> None:
    env, entry, stack = load.load(name)
    assert env.name == name
    assert entry.name == stack.name
