"""The router's configuration: which requests go where; and HAProxy itself takes it, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from slipway.agent import haproxy


def stack(name: str = "probe", port: int = 80, domain: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "stack": name, "port": port, "domain": domain, "hard_stop": 600.0,
        "routes": [
            {"service": "web", "path": "/", "port": 8000, "timeout": 30.0, "live": "/health"},
            {"service": "admin", "path": "/admin/", "port": 9000, "timeout": 60.0, "live": None},
        ],
        "releases": [
            {"id": "old", "weights": {"web": 0, "admin": 0}, "servers": {"web": ["probe-old-web-1"], "admin": []}},
            {
                "id": "new", "weights": {"web": 100, "admin": 100},
                "servers": {"web": ["probe-new-web-1", "probe-new-web-2"], "admin": ["probe-new-admin-1"]},
            },
        ],
        **more,
    }  # fmt: skip


def section(text: str, head: str) -> list[str]:
    body = text.partition(f"\n{head}\n")[2].split("\n\n")[0]
    return [line.strip() for line in body.splitlines()]


def test_servers_and_weights() -> None:
    lines = section(haproxy.render([stack()]), "backend probe-web")
    assert [line for line in lines if line.startswith("server ")] == [
        "server old-web-1 probe-old-web-1:8000 weight 0",
        "server new-web-1 probe-new-web-1:8000 weight 100",
        "server new-web-2 probe-new-web-2:8000 weight 100",
    ]
    assert "option httpchk GET /health" in lines
    assert "timeout server 30000ms" in lines
    assert not [line for line in section(haproxy.render([stack()]), "backend probe-admin") if "httpchk" in line]


def test_longer_paths_and_named_domains_go_first() -> None:
    text = haproxy.render([stack("any"), stack("named", domain="www.example.com")])
    uses = [line.strip() for line in text.splitlines() if "use_backend" in line]
    assert [u.split()[1] for u in uses] == ["named-admin", "named-web", "any-admin", "any-web"]
    assert uses[0].count("www.example.com") == 2, "for the path itself and for what is below it"
    assert uses[2] == "use_backend any-admin if { path /admin } || { path_beg /admin/ }"
    assert uses[3] == "use_backend any-web if { path_beg / }"


def test_one_frontend_a_port() -> None:
    text = haproxy.render([stack("a", 80), stack("b", 8080), stack("c", 80, "c.example.com")])
    assert text.count("\nfrontend ") == 2
    assert [u.split()[1] for u in section(text, "frontend port-8080") if "use_backend" in u] == ["b-admin", "b-web"]


def test_streams_may_last_as_long_as_the_longest_drain() -> None:
    text = haproxy.render([stack("a", hard_stop=60.0), stack("b", hard_stop=900.0)])
    assert "hard-stop-after 900s" in text
    assert "hard-stop-after 600s" in haproxy.render([])


def test_what_is_not_idempotent_is_not_sent_twice() -> None:
    assert "http-request disable-l7-retry unless { method GET HEAD OPTIONS }" in haproxy.render([stack()])


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
