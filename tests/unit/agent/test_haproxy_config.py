"""The router's configuration: which requests go where; and HAProxy itself takes it, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from slipway.agent import haproxy


def stack(name: str = "probe", port: int = 80, domain: str | None = None, **more: Any) -> dict[str, Any]:
    ports, live = {"web": 8000, "admin": 9000}, {"web": "/health", "admin": None}
    return {
        "stack": name, "port": port, "domain": domain,
        "routes": [
            {"service": "web", "path": "/", "timeout": 30.0}, {"service": "admin", "path": "/admin/", "timeout": 60.0},
        ],
        "releases": [
            {
                "id": "old", "weights": {"web": 0, "admin": 0}, "servers": {"web": ["probe-old-web-1"], "admin": []},
                "ports": ports, "live": live,
            },
            {
                "id": "new", "weights": {"web": 100, "admin": 100}, "ports": ports, "live": live,
                "servers": {"web": ["probe-new-web-1", "probe-new-web-2"], "admin": ["probe-new-admin-1"]},
            },
        ],
        **more,
    }  # fmt: skip


def section(text: str, head: str) -> list[str]:
    body = text.partition(f"\n{head}\n")[2].split("\n\n")[0]
    return [line.strip() for line in body.splitlines()]


def test_servers_and_weights() -> None:
    lines = section(haproxy.render([stack()]), "backend probe:web")
    assert [line for line in lines if line.startswith("server ")] == [
        "server old.1 probe-old-web-1:8000 weight 0",
        "server new.1 probe-new-web-1:8000 weight 100",
        "server new.2 probe-new-web-2:8000 weight 100",
    ]
    assert "option httpchk GET /health" in lines
    assert "timeout server 30000ms" in lines
    assert not [line for line in section(haproxy.render([stack()]), "backend probe:admin") if "httpchk" in line]


def test_longer_paths_and_named_domains_go_first() -> None:
    text = haproxy.render([stack("any"), stack("named", domain="www.example.com")])
    uses = [line.strip() for line in text.splitlines() if "use_backend" in line]
    assert [u.split()[1] for u in uses] == ["named:admin", "named:web", "any:admin", "any:web"]
    assert uses[0].count("www.example.com") == 2, "for the path itself and for what is below it"
    assert uses[2] == "use_backend any:admin if { path /admin } || { path_beg /admin/ }"
    assert uses[3] == "use_backend any:web if { path_beg / }"


def test_one_frontend_a_port() -> None:
    text = haproxy.render([stack("a", 80), stack("b", 8080), stack("c", 80, "c.example.com")])
    assert text.count("\nfrontend ") == 2
    assert [u.split()[1] for u in section(text, "frontend port-8080") if "use_backend" in u] == ["b:admin", "b:web"]


def test_names_tell_stack_service_and_release_apart() -> None:
    """`a-b` with a service `c` is not `a` with a service `b-c`."""
    assert haproxy.backend_name("a-b", "c") != haproxy.backend_name("a", "b-c")
    assert haproxy.names_of_backend(haproxy.backend_name("a-b", "c")) == ("a-b", "c")
    assert haproxy.release_of_server(haproxy.server_name("v1-2-abc", 3)) == "v1-2-abc"


def test_a_release_keeps_its_own_port_and_health_path() -> None:
    """The next release may listen elsewhere; the old one still answers where it did."""
    found = stack()
    found["releases"][0] |= {"ports": {"web": 7000, "admin": 7001}, "live": {"web": "/old-health", "admin": None}}
    lines = section(haproxy.render([found]), "backend probe:web")
    assert "server old.1 probe-old-web-1:7000 weight 0" in lines
    assert "server new.1 probe-new-web-1:8000 weight 100" in lines
    assert not [line for line in lines if "httpchk" in line], "one path for both would take the other for dead"


def test_what_is_not_idempotent_is_not_sent_twice() -> None:
    assert "http-request disable-l7-retry unless { method GET HEAD OPTIONS }" in haproxy.render([stack()])


def test_what_a_proxy_in_front_says_of_tls_is_handed_on() -> None:
    lines = section(haproxy.render([stack()]), "frontend port-80")
    setting = "http-request set-header X-Forwarded-Proto http unless { req.hdr(X-Forwarded-Proto) -m found }"
    assert [line for line in lines if "X-Forwarded-Proto" in line] == [setting]


def test_the_same_stacks_make_the_same_file() -> None:
    one, two = stack("a"), stack("b")
    assert haproxy.render([one, two]) == haproxy.render([two, one])


@pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is not installed; on hosts it checks each file anyway")
@pytest.mark.parametrize("stacks", [[], [stack()], [stack("a"), stack("b", 8080, "b.example.com")]])
def test_haproxy_takes_it(tmp_path: Path, stacks: list[dict[str, Any]]) -> None:
    path = tmp_path / "haproxy.cfg"
    path.write_text(haproxy.render(stacks))
    done = subprocess.run(["haproxy", "-c", "-f", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
