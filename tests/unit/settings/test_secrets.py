"""Vaults: who may open them, what is missing, what is made, and that no value is ever shown."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from slipway.errors import BadInput
from slipway.settings import editing, load, redact, scalars, secrets, vault
from slipway.settings.model import Environment, Stack
from slipway.settings.password import password
from slipway.target.compose.facts import HostFacts
from slipway.target.compose.request import Request, secret_files

from .conftest import STACK, STAGING, Checkout, problems

VALUE = "planted-value-7531"
ROUNDS = vault._ROUNDS


@pytest.fixture(autouse=True)
def cheap_vaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault takes its password to open, but no time; where Ansible opens it as well, it is a real one."""
    monkeypatch.setattr(vault, "_ROUNDS", 10)


@pytest.fixture(autouse=True)
def no_password_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLIPWAY_VAULT_PASSWORD", "SLIPWAY_VAULT_PASSWORD_FILE", "VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(redact, "_known", redact.Redactor())


@pytest.fixture
def staging(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> tuple[Environment, Stack]:
    monkeypatch.setenv("SLIPWAY_VAULT_PASSWORD", "right")
    env, _, stack = checkout.load("staging")
    return env, stack


def plant(checkout: Checkout, text: str, key: str = "right") -> None:
    (checkout.root / "envs/staging.vault.yml").write_text(vault.encrypt(text, key))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_read(checkout: Checkout, staging: tuple[Environment, Stack]) -> None:
    plant(checkout, f"hello:\n  token: {VALUE}\n  other: unused\nregistry: {{password: 0123}}\n")
    assert {k: v.reveal() for k, v in secrets.read(*staging, at=checkout.root).items()} == {"token": VALUE}
    found = secrets.registry_password(staging[0], at=checkout.root)
    assert found is not None
    assert found.reveal() == "0123"  # as it is written
    assert redact.clean(f"a {VALUE} b") == "a ••• b"


def test_a_pipelines_token_comes_before_the_vault(
    checkout: Checkout, staging: tuple[Environment, Stack], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(checkout, "registry: {password: 0123}\n")
    monkeypatch.setenv(secrets.REGISTRY_VARIABLE, "")  # a login that was not asked for
    assert secrets.registry_password(staging[0], at=checkout.root).reveal() == "0123"
    monkeypatch.setenv(secrets.REGISTRY_VARIABLE, "a-token-of-an-hour")
    monkeypatch.setenv("SLIPWAY_VAULT_PASSWORD", "wrong, and not needed")
    assert secrets.registry_password(staging[0], at=checkout.root).reveal() == "a-token-of-an-hour"
    assert redact.clean("a-token-of-an-hour") == "•••"


EXACT = [
    "ends with a line break\n", "two\n\n", "\nbegins with one", "carriage\r\nreturn\r\n", "\r", " spaces ", "\ttab\t", "0123",
    "true", "1e3", "~", "# no comment", "a: b", "'\"\\", "- x", "|", "$HOME ${X} $$", "{{ x }}", "é 💥", "\x00\x07\x85\u2028\ufeff",
    "-----BEGIN KEY-----\n  indented\nlast\n-----END KEY-----\n",
]  # fmt: skip


def test_values_arrive_as_they_are(checkout: Checkout, staging: tuple[Environment, Stack]) -> None:
    """Line breaks of either kind, at the end too: read, written again beside new ones, edited, and sent to a host."""
    env, exact = staging[0], {f"s{n}": value for n, value in enumerate(EXACT)}
    names = ", ".join([*exact, "new"])
    declared = "".join(f"  {name}: {{environment: N}}\n" for name in [*exact, "new"])
    base = STACK.replace("secrets: [token]", f"secrets: [{names}]")
    checkout.change("  token: {environment: HELLO_TOKEN}\n", declared, base=base)
    plant(checkout, scalars.dump({"hello": {"token": "x", **exact}}))
    stack = checkout.load("staging")[2]
    assert secrets.init(env, at=checkout.root).made == ("hello.new",)
    assert secrets.edit(
        env, at=checkout.root, editor=lambda f: (f.write_text(f.read_text() + "other: {}\n") and 0) or 0
    )
    found = {k: v.reveal() for k, v in secrets.read(env, stack, at=checkout.root).items()}
    request = Request(env, env.stack(None), stack, {"app1": HostFacts("app1", {})}, found)
    sent = json.loads(json.dumps(secret_files(request, [stack.service("web")])))
    assert {name: sent[name]["value"] for name in exact} == exact


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("|\n    a\n    b\n", "a\nb\n"),
        ("|-\n    a\n    b\n", "a\nb"),
        ("|+\n    a\n\n", "a\n\n"),
        ('"a\\r\\nb\\n"\n', "a\r\nb\n"),
        ("'a'\n", "a"),
        (">\n    a\n    b\n", "a b\n"),
    ],
)
def test_a_value_is_what_yaml_says(
    checkout: Checkout, staging: tuple[Environment, Stack], written: str, value: str
) -> None:
    plant(checkout, f"hello:\n  token: {written}  other: x\n")
    assert secrets.read(*staging, at=checkout.root)["token"].reveal() == value


def test_a_stack_without_secrets_needs_no_vault(checkout: Checkout) -> None:
    env, _, stack = checkout.load("staging")
    assert secrets.read(env, stack.model_copy(update={"secrets": ()}), at=checkout.root) == {}


def test_a_registry_without_user_needs_no_password(checkout: Checkout) -> None:
    assert secrets.registry_password(load.environment("local", at=checkout.root), at=checkout.root) is None
    checkout.env("staging", STAGING.replace("  username: ci\n", ""))
    assert secrets.registry_password(load.environment("staging", at=checkout.root), at=checkout.root) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "hello:\n  tokn: x\n",
            'envs/staging.vault.yml:1: hello.token: is missing (did you mean "tokn"?): inv secrets.edit --env staging',
        ),
        ("other: {a: b}\n", "envs/staging.vault.yml:1: hello.token: is missing: inv secrets.edit --env staging"),
        ("a: b\nhello:\n  token:\n", "envs/staging.vault.yml:3: hello.token: has no value"),
        ("hello:\n  token: []\n", "envs/staging.vault.yml:2: hello.token: has no value"),
        (f"hello: {VALUE}\n", "envs/staging.vault.yml:1: hello: should be a mapping of secrets"),
        (f"hello:\n  token: !{VALUE} {VALUE}\n", "envs/staging.vault.yml:2: does not parse (values are not shown)"),
        (f"hello:\n  token: 'a' {VALUE}\n", "envs/staging.vault.yml:2: does not parse (values are not shown)"),
        (f"hello:\n  token: *{VALUE}\n", "envs/staging.vault.yml:2: does not parse (values are not shown)"),
        ("", "envs/staging.vault.yml:1: is empty"),
    ],
)
def test_wrong_contents(checkout: Checkout, staging: tuple[Environment, Stack], text: str, expected: str) -> None:
    plant(checkout, text)
    with pytest.raises(BadInput) as caught:
        secrets.read(*staging, at=checkout.root)
    assert expected in problems(caught.value)
    assert VALUE not in str(caught.value)


def test_all_missing_secrets_at_once(checkout: Checkout, staging: tuple[Environment, Stack]) -> None:
    plant(checkout, "hello: {c: x}\n")
    stack = staging[1].model_copy(update={"secrets": ("a", "b", "c")})
    with pytest.raises(BadInput) as caught:
        secrets.read(staging[0], stack, at=checkout.root)
    assert len(problems(caught.value)) == 2
    (checkout.root / "envs/staging.vault.yml").unlink()
    with pytest.raises(BadInput, match=r"hello\.a, hello\.b, hello\.c.*inv secrets\.init --env staging"):
        secrets.read(staging[0], stack, at=checkout.root)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (vault.encrypt("a: b", "wrong"), "does not open with this password"),
        ("a: b\n", "is no Ansible Vault file"),
        ("$ANSIBLE_VAULT;9.9;AES256\n00\n", "of an unknown kind"),
        ("$ANSIBLE_VAULT;1.1;AES256\nzz\n", "damaged"),
        ("$ANSIBLE_VAULT;1.1;AES256\n", "damaged"),
        ("", "is no Ansible Vault file"),
    ],
)
def test_a_vault_that_does_not_open(
    checkout: Checkout, staging: tuple[Environment, Stack], text: str, words: str
) -> None:
    (checkout.root / "envs/staging.vault.yml").write_text(text)
    with pytest.raises(BadInput, match=words) as caught:
        secrets.read(*staging, at=checkout.root)
    assert caught.value.exit_code == 2


def test_a_lab_makes_its_own(checkout: Checkout) -> None:
    env, _, stack = checkout.load()
    first = secrets.read(env, stack, at=checkout.root)
    assert len(first["token"].reveal()) >= 24
    assert secrets.read(env, stack, at=checkout.root) == first
    key, file = checkout.root / ".slipway/vault-password", secrets.vault_file(env, at=checkout.root)
    assert (mode(key), mode(file), mode(key.parent), mode(file.parent)) == (0o600, 0o600, 0o700, 0o700)
    assert file.is_relative_to(checkout.root / ".slipway")
    assert first["token"].reveal() not in file.read_text()
    more = stack.model_copy(update={"secrets": ("another", "token")})
    assert secrets.read(env, more, at=checkout.root)["token"] == first["token"]


def test_side_by_side_first_uses_agree(checkout: Checkout) -> None:
    env, _, stack = checkout.load()
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(secrets.read(env, stack, at=checkout.root)["token"].reveal()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_init_never_overwrites(checkout: Checkout, staging: tuple[Environment, Stack]) -> None:
    done = secrets.init(staging[0], at=checkout.root)
    assert done.made == ("hello.token",)
    assert done.to_enter == ("registry.password",)
    first = secrets.read(*staging, at=checkout.root)
    assert secrets.init(staging[0], at=checkout.root).made == ()
    assert secrets.read(*staging, at=checkout.root) == first
    plant(checkout, "hello: {kept: 0123}\nregistry: {password: x}\n")
    done = secrets.init(staging[0], at=checkout.root)
    assert (done.made, done.to_enter) == (("hello.token",), ())
    text = vault.decrypt(done.file.read_text(), "right")
    assert "kept: '0123'" in text or 'kept: "0123"' in text


def test_passwords_in_their_order(checkout: Checkout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def given() -> str:
        return password(load.environment("staging", at=checkout.root), checkout.root).reveal()

    file = tmp_path / "pw"
    file.write_text("from-file\n")
    checkout.env("staging", STAGING.replace("/nowhere", str(file)))
    assert given() == "from-file"
    checkout.env("staging", STAGING.replace("{file: /nowhere}", "{command: [printf, 'from-%s', command]}"))
    assert given() == "from-command"
    other = tmp_path / "pw2"
    other.write_text("from-variable-file")
    monkeypatch.setenv("SLIPWAY_VAULT_PASSWORD_FILE", str(other))
    assert given() == "from-variable-file"
    monkeypatch.setenv("SLIPWAY_VAULT_PASSWORD", "from-variable")
    assert given() == "from-variable"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("{file: /nowhere}", "/nowhere: No such file"),
        ("{command: [sh, -c, 'echo half-a-password; echo locked >&2; exit 3']}", "`sh` exited 3: locked"),
        ("{command: [no-such-program-here]}", "is not installed"),
        ("{command: ['true']}", "is empty"),
    ],
)
def test_a_password_that_cannot_be_had(checkout: Checkout, setting: str, words: str) -> None:
    checkout.env("staging", STAGING.replace("{file: /nowhere}", setting))
    plant(checkout, "hello: {token: x}")
    env, _, stack = checkout.load("staging")
    with pytest.raises(BadInput) as caught:
        secrets.read(env, stack, at=checkout.root)
    assert words in str(caught.value)
    assert "half-a-password" not in str(caught.value)
    assert "SLIPWAY_VAULT_PASSWORD" in str(caught.value)


def test_no_password_is_given(checkout: Checkout) -> None:
    checkout.env("staging", STAGING.replace("vault_password: {file: /nowhere}\n", ""))
    plant(checkout, "hello: {token: x}")
    env, _, stack = checkout.load("staging")
    with pytest.raises(BadInput, match="no password for staging's secrets is given"):
        secrets.read(env, stack, at=checkout.root)


def test_edit(checkout: Checkout, staging: tuple[Environment, Stack]) -> None:
    plant(checkout, "hello: {token: old}\n")
    seen: list[Path] = []

    def editor(file: Path) -> int:
        seen.append(file)
        assert mode(file) == 0o600
        assert mode(file.parent) == 0o700
        assert not file.is_relative_to(checkout.root / "envs")
        (file.parent / "secrets.yml~").write_text("an editor's backup")
        file.write_text(file.read_text().replace("old", VALUE))
        return 0

    assert secrets.edit(staging[0], at=checkout.root, editor=editor) is True
    assert not seen[0].parent.exists()
    assert secrets.read(*staging, at=checkout.root)["token"].reveal() == VALUE
    assert secrets.edit(staging[0], at=checkout.root, editor=lambda _: 0) is False


@pytest.mark.parametrize("left", ["hello: [", "hello: x\n", "a\n", f"hello: {{token: {VALUE}", ""])
def test_an_edit_that_is_no_yaml_changes_nothing(
    checkout: Checkout, staging: tuple[Environment, Stack], left: str
) -> None:
    plant(checkout, "hello: {token: old}\n")
    with pytest.raises(BadInput) as caught:
        secrets.edit(staging[0], at=checkout.root, editor=lambda file: (file.write_text(left) and 0) or 0)
    assert VALUE not in str(caught.value)
    assert secrets.read(*staging, at=checkout.root)["token"].reveal() == "old"


def test_an_editor_that_fails(
    checkout: Checkout, staging: tuple[Environment, Stack], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(checkout, "hello: {token: old}\n")
    with pytest.raises(BadInput, match="the editor exited 1"):
        secrets.edit(staging[0], at=checkout.root, editor=lambda _: 1)
    monkeypatch.setenv("EDITOR", "false")
    with pytest.raises(BadInput, match="the editor exited 1"):
        secrets.edit(staging[0], at=checkout.root)
    monkeypatch.setenv("EDITOR", "'")
    with pytest.raises(BadInput, match="EDITOR is not a command"):
        secrets.edit(staging[0], at=checkout.root)


def test_the_editor_of_the_person_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", f"{sys.executable} -c \"import sys; open(sys.argv[1], 'a').write('x: y')\"")
    assert editing.edit("a: b\n", tmp_path, editing.run_editor) == "a: b\nx: y"


def test_ansible_vault_reads_ours_and_we_read_its(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault, "_ROUNDS", ROUNDS)
    tool = Path(sys.executable).with_name("ansible-vault")
    if not tool.exists():
        tool = Path(shutil.which("ansible-vault") or "")
    key, ours, its = tmp_path / "pw", tmp_path / "ours", tmp_path / "its"
    key.write_text("a password")
    ours.write_text(vault.encrypt("a: ü\n" * 50, "a password"))
    its.write_text("b: ß\n")
    env = {**os.environ, "ANSIBLE_HOME": str(tmp_path)}
    view = [tool, "view", "--vault-password-file", key, ours]
    assert (
        subprocess.run(view, capture_output=True, text=True, env=env, check=True).stdout.strip()
        == ("a: ü\n" * 50).strip()
    )
    subprocess.run([tool, "encrypt", "--vault-id", f"label@{key}", its], capture_output=True, env=env, check=True)
    assert its.read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;label")
    assert vault.decrypt(its.read_text(), "a password") == "b: ß\n"


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1000])
def test_vaults_of_all_sizes(size: int) -> None:
    sealed = vault.encrypt("x" * size, "p")
    assert vault.decrypt(sealed, "p") == "x" * size
    assert vault.encrypt("x" * size, "p") != sealed
