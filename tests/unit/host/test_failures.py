"""Why a host could not be reached or provisioned, said in a paragraph with the right exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.errors import BadInput, SlipwayError
from slipway.host import provision, ssh
from slipway.host.events import Events, Trouble
from slipway.process import Completed
from slipway.settings.model import Environment, Host, StackEntry

HOST = Host(name="app1", address="192.0.2.1", port=2222)
ENV = Environment(name="staging", hosts=(HOST,), stacks=(StackEntry(name="shop"),))
UNKNOWN = "No ED25519 host key is known for [192.0.2.1]:2222 and you have requested strict checking."
CHANGED = "@@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed."


def test_an_unknown_key_is_bad_input_and_says_how_to_add_it(tmp_path: Path) -> None:
    error = ssh.failure(HOST, "admin", tmp_path / "known_hosts", f"{UNKNOWN}\r\nHost key verification failed.")
    assert isinstance(error, BadInput)
    assert "ssh-keyscan -p 2222 192.0.2.1" in str(error)
    assert str(tmp_path / "known_hosts") in str(error)


def test_a_changed_key_is_bad_input_and_never_just_replaced(tmp_path: Path) -> None:
    error = ssh.failure(HOST, "admin", tmp_path / "known_hosts", CHANGED)
    assert isinstance(error, BadInput)
    assert "another machine answers" in str(error)
    assert "ssh-keygen -R [192.0.2.1]:2222" in str(error)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ("Task failed: Failed to connect to the host via ssh: ssh: connect to host x: Connection refused", "refused"),
        ("Warning: Permanently added\nadmin@192.0.2.1: Permission denied (publickey).", "Permission denied"),
        ("", "no answer"),
    ],
)
def test_out_of_reach_is_a_failure_that_users_do_not_notice(seen: str, words: str) -> None:
    error = ssh.failure(HOST, "deploy", Path("/k"), seen)
    assert error.exit_code == 1
    assert words in str(error)
    assert "via ssh" not in str(error)
    assert "deploy@192.0.2.1" in str(error)


def judge(*troubles: Trouble, finished: bool = True, code: int = 0) -> None:
    events = Events(troubles=list(troubles), finished=finished, words=["ERROR! something"])
    provision._judge(ENV, events, Completed(code, "", ""), Path("/k"))


def test_a_failed_task_is_named_with_what_it_said() -> None:
    with pytest.raises(SlipwayError, match=r"app1: provisioning failed at “base : Packages”.*no space left"):
        judge(Trouble("app1", "base : Packages", "no space left"))


def test_sudo_that_wants_a_password_is_explained() -> None:
    with pytest.raises(SlipwayError, match="NOPASSWD"):
        judge(Trouble("app1", "Python for Ansible", "sudo: a password is required"))


def test_bad_input_decides_the_exit_code() -> None:
    with pytest.raises(BadInput):
        judge(Trouble("app1", "Packages", "x"), Trouble("app1", "Python", UNKNOWN, unreachable=True))


@pytest.mark.parametrize(("finished", "code"), [(False, 0), (True, 4)])
def test_a_run_that_breaks_off_is_no_success(finished: bool, code: int) -> None:
    with pytest.raises(SlipwayError, match="ERROR! something"):
        judge(finished=finished, code=code)


@pytest.mark.parametrize("user", ["admin", "root"])
def test_the_admin_never_becomes_the_user_that_deploys(user: str) -> None:
    hosts = (HOST.model_copy(update={"user": user}),)
    with pytest.raises(BadInput, match="app1"):
        provision.provision(ENV.model_copy(update={"hosts": hosts}), key_file=None, known_hosts=Path("/k"))


JUMP = (
    "No ED25519 host key is known for bastion and you have requested strict checking.\r\nHost key verification failed."
)


def test_the_key_of_a_jump_host_is_asked_for_by_its_name(tmp_path: Path) -> None:
    error = ssh.failure(HOST, "admin", tmp_path / "known_hosts", JUMP)
    assert isinstance(error, BadInput)
    assert error.where == "bastion, on the way to app1 (192.0.2.1:2222)"
    assert "ssh-keyscan bastion" in error.todo
