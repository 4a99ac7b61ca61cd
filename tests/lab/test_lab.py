"""Labs on the real engine: what comes up, comes back, and goes. Each on labs of its own that go with this process."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from slipway.lab import containers, engine, frozen, hosts, images, lab, names, places, planned, registry, state, stock
from slipway.lab.state import LabState
from tests.support.visitor import get

pytestmark = pytest.mark.lab
NAME = f"t{os.getpid()}"


@pytest.fixture(scope="module")
def up() -> Iterator[LabState]:
    engine.ensure()
    yield lab.up(NAME, owner_pid=os.getpid())
    lab.down(NAME, data=True)
    assert parts(NAME) == 0


def parts(name: str) -> int:
    """Count what is on the engine with a lab's label."""
    label = f"label={names.LAB}={names.lab_id(name)}"
    listings = (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
    return sum(len(engine.docker(*words, "--quiet", "--filter", label).out.split()) for words in listings)


def push(lab_: LabState) -> str:
    """Leave what a build leaves: an image named as in the lab's registry. Return the name."""
    image = f"{lab_.registry.push}/{NAME}/web:v1"
    engine.docker("tag", "registry:2", image)
    return image


def there(image: str) -> bool:
    return engine.docker("image", "inspect", image, check=False).code == 0


def answers(registry: str) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return get(f"http://{registry}", "/v2/", timeout=2).status == 200
    return False


def ids(name: str) -> list[str]:
    label = f"label={names.LAB}={names.lab_id(name)}"
    return sorted(engine.docker("ps", "--quiet", "--no-trunc", "--filter", label).out.split())


def on(lab_: LabState, command: str, host: str = "app1") -> str:
    return hosts.ssh(lab_, lab_.host(host), command).out.strip()


def test_a_host_is_bare_and_admits_the_admin(up: LabState) -> None:
    assert on(up, "whoami; hostname").split() == ["admin", "app1"]
    assert on(up, "sudo -n id -u") == "0"
    assert on(up, "command -v docker || echo absent") == "absent"
    assert on(up, "systemctl is-system-running") == "running"
    assert "trixie" in on(up, "cat /etc/os-release")


def test_the_clock_cannot_be_set(up: LabState) -> None:
    now = time.time()
    assert hosts.ssh(up, up.host("app1"), "sudo date -s 2001-01-01", check=False).code != 0
    assert abs(time.time() - now) < 60


def test_another_host_key_is_refused(up: LabState, tmp_path: Path) -> None:
    import dataclasses

    wrong = tmp_path / "known_hosts"
    other = Path(up.key_file).with_suffix(".pub").read_text().split()[:2]
    wrong.write_text(f"{up.host('app1').address} {' '.join(other)}\n")
    done = hosts.ssh(dataclasses.replace(up, known_hosts=str(wrong)), up.host("app1"), "true", check=False)
    assert done.code == 255
    assert "Host key verification failed" in done.err


def test_what_it_keeps_is_private(up: LabState) -> None:
    folder = state.folder(NAME)
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in (folder / "lab.json", Path(up.key_file), Path(up.known_hosts)):
        assert path.stat().st_mode & 0o777 == 0o600, path


def test_the_registry_answers_here_and_on_the_hosts(up: LabState) -> None:
    assert answers(up.registry.push)
    script = f"import urllib.request as r; print(r.urlopen('http://{up.registry.pull}/v2/').status)"
    assert on(up, f'python3 -c "{script}"') == "200"
    assert registry.digest(up.registry.push, "library/none", "1") is None


def test_the_front_door_is_published(up: LabState) -> None:
    on(up, "sudo systemd-run --unit door python3 -m http.server 80")
    port = up.host("app1").published[80]
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/")
            assert connection.getresponse().status == 200
            break
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
    else:
        pytest.fail("nobody answers at the front door")
    on(up, "sudo systemctl stop door")


def test_up_again_is_quick_and_changes_nothing(up: LabState) -> None:
    before = ids(NAME)
    started = time.monotonic()
    again = lab.up(NAME, owner_pid=os.getpid())
    assert time.monotonic() - started < 0.5
    assert again == up
    assert ids(NAME) == before


def test_a_host_reboots_as_a_host_does(up: LabState) -> None:
    before = on(up, "systemctl show -p UserspaceTimestampMonotonic; cat /etc/machine-id")
    hosts.ssh(up, up.host("app1"), "sudo systemctl reboot", check=False)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        done = hosts.ssh(
            up, up.host("app1"), "systemctl show -p UserspaceTimestampMonotonic; cat /etc/machine-id", check=False
        )
        if done.code == 0 and done.out.split()[0] != before.split()[0]:
            break
        time.sleep(0.3)
    assert done.out.split()[0] != before.split()[0], "it never went down"
    assert done.out.split()[1] == before.split()[1], "it came back as another host"


def test_a_stopped_host_comes_back_with_what_it_had(up: LabState) -> None:
    on(up, "echo kept > /home/admin/mark")
    engine.docker("stop", "--time", "5", up.host("app1").container)
    again = lab.up(NAME)
    assert again == up
    assert on(again, "cat /home/admin/mark") == "kept"


def test_a_host_that_lost_its_network_comes_back_with_what_it_had(up: LabState) -> None:
    keys = Path(up.known_hosts).read_text()
    containers._detach_guests(up.network)
    engine.docker("network", "rm", up.network)
    engine.docker("stop", "--time", "5", up.host("app1").container)
    again = lab.up(NAME)
    assert on(again, "cat /home/admin/mark") == "kept"
    assert Path(again.known_hosts).read_text() == keys
    assert answers(again.registry.push)


def test_a_subnet_that_another_lab_took_meanwhile_is_left_to_it() -> None:
    name, other = f"{NAME}-late", f"{NAME}-early"
    wanted = planned.plan(None, name, hosts=1, kind="bare", ports=(80,), mounts=(), disk_mb=0, owner="")
    engine.docker("network", "create", "--subnet", wanted.subnet, other)
    try:
        made = lab._network(wanted)
        assert not ip_network(made.subnet).overlaps(ip_network(wanted.subnet))
        assert ip_address(made.host("app1").address) in ip_network(made.subnet)
        assert (
            engine.docker(
                "network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", made.network
            ).out.strip()
            == made.subnet
        )
        assert state.load(name) == made
    finally:
        lab.down(name, data=True)
        engine.docker("network", "rm", other)


def test_hosts_and_ports_are_added_and_a_surplus_host_goes(up: LabState) -> None:
    two = lab.up(NAME, hosts=2, ports=(80, 443))
    assert [host.name for host in two.hosts] == ["app1", "app2"]
    published = [port for host in two.hosts for port in host.published.values()]
    assert len(set(published)) == 4
    assert two.host("app1").published[80] == up.host("app1").published[80], "what is there keeps its port"
    assert on(two, "cat /home/admin/mark") == "kept"
    assert on(two, "getent hosts app1", host="app2").startswith(two.host("app1").address)
    keys = [on(two, "cat /etc/ssh/ssh_host_ed25519_key.pub", host=host.name) for host in two.hosts]
    assert keys[0] != keys[1]
    one = lab.up(NAME, hosts=1)
    assert [host.name for host in one.hosts] == ["app1"]
    assert len(ids(NAME)) == 2
    assert parts(NAME) == 5, "two containers, two volumes, a network"


def test_a_port_that_is_taken_while_it_was_down_is_evaded(up: LabState) -> None:
    have = lab.up(NAME)
    host = have.host("app1")
    engine.docker("stop", "--time", "5", host.container)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", host.published[80]))
        other.listen()
        again = lab.up(NAME)
    assert again.host("app1").published[80] != host.published[80]
    assert on(again, "cat /home/admin/mark") == "kept"


def test_a_frozen_host_is_another_host(up: LabState, monkeypatch: pytest.MonkeyPatch) -> None:
    # Under a tag of its own: the image of the real playbook is not this test's.
    monkeypatch.setattr(frozen, "tag", lambda: f"{frozen.REPOSITORY}:{NAME}")
    have, name = lab.up(NAME), f"{NAME}-frozen"
    own = "sudo -u deploy cat /home/deploy/.ssh/authorized_keys"
    on(have, "sudo useradd --create-home deploy && sudo install -d -o deploy /home/deploy/.ssh")
    on(have, "sudo install -m 0600 -o deploy ~/.ssh/authorized_keys /home/deploy/.ssh/authorized_keys")
    assert lab.up(name, kind="provisioned", owner_pid=os.getpid()).host("app1").kind == "bare", "none is frozen yet"
    lab.down(name, data=True)
    try:
        engine.docker("commit", "--change", f"LABEL {names.MOVED}=", have.host("app1").container, frozen.tag())
        copy = lab.up(name, kind="provisioned", owner_pid=os.getpid())
        assert copy.host("app1").kind == "provisioned"
        assert on(copy, "cat /home/admin/mark") == "kept"
        for file in ("/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub", "/etc/ssh/ssh_host_rsa_key.pub"):
            assert on(copy, f"cat {file}") != on(have, f"cat {file}"), file
        assert on(copy, own) == Path(copy.key_file).with_suffix(".pub").read_text().strip()
        lab.down(name, data=True)
        assert frozen.lookup(), "it outlives the labs that start from it"
        assert frozen.lookup("these") == frozen.tag(), "of one playbook and other settings"
        engine.docker("tag", frozen.tag(), f"{frozen.tag()}-these")
        assert frozen.lookup("these") == f"{frozen.tag()}-these"
    finally:
        lab.down(name, data=True)
        engine.docker("rmi", "--force", frozen.tag(), f"{frozen.tag()}-these", check=False)


def test_a_registry_has_official_images_at_its_start() -> None:
    images.ensure_all(["redis:8", stock.REGISTRY])
    assert stock.ensure(make=True) == stock.ensure(make=False) != stock.REGISTRY
    name = f"{NAME}-stocked"
    try:
        have = lab.up(name, owner_pid=os.getpid())
        assert registry.digest(have.registry.push, "library/redis", "8")
        own = f"{have.registry.push}/probe/own"
        context = f"{state.folder(name)}/own"
        Path(context).mkdir()
        Path(context, "Dockerfile").write_text("FROM redis:8\nCOPY Dockerfile /\n")
        registry.lend(have.registry.push, "redis:8", "probe/own")
        engine.docker("build", "--tag", own, context)
        said = engine.docker("push", own).out
        assert said.count("Layer already exists") >= 2
        assert said.count("Pushed") == 1, "its own layer only"
    finally:
        lab.down(name, data=True)


def test_earlier_frozen_hosts_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each checkout that there is the newest stays; and what a container was started from, as long as that."""
    engine.ensure()
    monkeypatch.setattr(frozen, "REPOSITORY", f"slipway-test-{NAME}")  # the real ones are not this test's
    monkeypatch.setattr(places, "CHECKOUT", tmp_path / "a checkout")
    other = tmp_path / "other"
    other.mkdir()
    files = tmp_path / "files.tar"
    with tarfile.open(files, "w") as archive:
        archive.add(__file__)
    frozen_in = {
        "newest": places.CHECKOUT,
        "newest-with-settings": places.CHECKOUT,
        "earlier": places.CHECKOUT,
        "others": other,
        "gone": "/gone",
        "used": "/gone",
    }
    for tag, checkout in frozen_in.items():
        label = f'LABEL {frozen.FROZEN}="{checkout}"'
        engine.docker("import", "--change", label, files, f"{frozen.REPOSITORY}:{tag}")
    container = engine.docker("create", f"{frozen.REPOSITORY}:used", "true").out.strip()

    def left() -> set[str]:
        return set(engine.docker("images", "--format", "{{.Tag}}", frozen.REPOSITORY).out.split())

    try:
        frozen._sweep(f"{frozen.REPOSITORY}:newest")
        assert left() == {"newest", "newest-with-settings", "others", "used"}
        engine.docker("rm", container)
        frozen._sweep(f"{frozen.REPOSITORY}:newest")
        assert left() == {"newest", "newest-with-settings", "others"}
    finally:
        engine.docker("rm", "--force", container, check=False)
        engine.docker("rmi", *(f"{frozen.REPOSITORY}:{tag}" for tag in left()), check=False)


def test_a_disk_of_its_own_runs_full(up: LabState) -> None:
    name = f"{NAME}-disk"
    small = lab.up(name, disk_mb=64, mounts=[places.CHECKOUT / "compose"], owner_pid=os.getpid())
    try:
        full = hosts.ssh(
            small, small.host("app1"), "sudo dd if=/dev/zero of=/var/lib/docker/x bs=1M count=100", check=False
        )
        assert "No space left on device" in full.err
        assert on(small, f"test -d {places.CHECKOUT}/compose && echo mounted") == "mounted"
    finally:
        lab.down(name, data=True)
    assert parts(name) == 0


def test_somebody_elses_lab_is_not_taken(up: LabState) -> None:
    with pytest.raises(SlipwayError, match="somebody else's"):
        lab.up(NAME, owner_pid=1)


def test_down_works_without_its_notes() -> None:
    name = f"{NAME}-lost"
    pushed = push(lab.up(name, owner_pid=os.getpid()))
    assert there(pushed)
    (state.folder(name) / "lab.json").unlink()
    assert lab.state(name) is None
    lab.down(name, data=True)
    lab.down(name, data=True)
    assert parts(name) == 0
    assert not there(pushed)
    assert there("registry:2"), "only the name goes"
    assert not state.folder(name).exists()


@pytest.mark.parametrize("when", ["while it starts", "when it is up"])
def test_a_killed_owner_leaves_nothing(when: str) -> None:
    name = f"{NAME}-killed"
    code = (
        f"import os; from slipway.lab import lab; lab.up({name!r}, owner_pid=os.getpid()); "
        "print('up', flush=True); input()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=places.CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    until, pushed = time.monotonic() + 60, list[str]()
    if when == "when it is up":
        assert child.stdout
        while child.stdout.readline().strip() != "up":
            assert time.monotonic() < until
        assert parts(name) == 5
        found = state.load(name)
        assert found
        pushed.append(push(found))
    else:
        while parts(name) == 0:
            assert time.monotonic() < until
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    gone_since, until = 0.0, time.monotonic() + 30
    while time.monotonic() < until and (not gone_since or time.monotonic() - gone_since < 3):
        gone_since = (gone_since or time.monotonic()) if parts(name) == 0 and not state.folder(name).exists() else 0.0
        time.sleep(0.2)
    assert parts(name) == 0
    assert not any(map(there, pushed))
    assert not state.folder(name).exists()


def test_the_next_up_removes_labs_of_dead_owners(up: LabState, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{NAME}-stale"
    monkeypatch.setattr(lab.owner, "keep", lambda name: None)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    lab.up(name, owner_pid=child.pid)
    child.kill()
    child.wait()
    assert parts(name) == 5
    lab.up(NAME)
    assert parts(name) == 0
