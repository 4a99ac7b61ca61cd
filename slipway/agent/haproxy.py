"""The router's configuration: a pure function from what the stacks want to HAProxy's file.

Source: HAProxy 3.0 configuration manual, https://docs.haproxy.org/3.0/configuration.html
"""

from __future__ import annotations

from typing import Any

# Idempotent methods may be sent to another server after a broken answer; anything else only if the connection failed.
_HEAD = """\
# Made by Slipway from stacks/*.json; changes by hand are lost with the next deploy.
global
    log stdout len 8192 format raw local0 info
    stats socket /run/haproxy/admin.sock mode 666 level admin expose-fd listeners
    # Far beyond any drain: old workers end when their last request does, and releases end when their own limit is over.
    hard-stop-after 24h

defaults
    mode http
    log global
    option dontlognull
    log-format '{{"time":"%[date,utime(%Y-%m-%dT%H:%M:%S)]Z","service":"router","client":"%ci","method":"%HM",\
"path":"%[var(txn.path),json(utf8s)]","status":%ST,"ms":%Ta,"bytes":%B,"backend":"%b","server":"%s","state":"%ts","request_id":"%[var(txn.request_id),json(utf8s)]"}}'
    option redispatch 1
    retries 3
    retry-on conn-failure empty-response
    option idle-close-on-response
    timeout connect 2s
    timeout check 3s
    timeout client 60s
    timeout http-request 15s
    timeout http-keep-alive 15s
    timeout queue 15s
    timeout tunnel 1h

# Docker's own DNS. Addresses are kept while it is away: the engine may be restarted under running containers.
resolvers docker
    nameserver dns 127.0.0.11:53
    resolve_retries 3
    timeout resolve 500ms
    timeout retry 500ms
    hold valid 1s
    hold obsolete 10s
    hold nx 10s
    hold other 1h
    hold refused 1h
    hold timeout 1h
"""

_FRONTEND = """
frontend port-{port}
    bind unix@/run/haproxy/port-{port}.sock mode 666 accept-proxy
    http-request set-var(txn.request_id) req.hdr(X-Request-ID)
    http-request set-var(txn.request_id) uuid() unless {{ req.hdr(X-Request-ID) -m found }}
    http-request set-var(txn.path) path
    http-request set-header X-Request-ID %[var(txn.request_id)]
    http-request set-header X-Forwarded-Proto http unless {{ req.hdr(X-Forwarded-Proto) -m found }}
    http-request disable-l7-retry unless {{ method GET HEAD OPTIONS }}
    option forwardfor
"""

# Limits and retries of its own would only be in the way of the router's: it decides when a connection ends.
_DOORS = """\
# Made by Slipway; changes by hand are lost when the next port is opened.
global
    log stdout len 8192 format raw local0 info
    stats socket /run/haproxy/door.sock mode 666 level admin expose-fd listeners
    hard-stop-after 24h

defaults
    mode tcp
    timeout connect 2s
    timeout client 25h
    timeout server 25h
    timeout client-fin 1m
"""

_DOOR = """
frontend port-{port}
    bind :{port}
{v6}    default_backend port-{port}

backend port-{port}
    server router unix@/run/haproxy/port-{port}.sock send-proxy-v2
"""


def backend_name(stack: str, service: str) -> str:
    """Return the name of the backend of a service. Neither name has a colon in it."""
    return f"{stack}:{service}"


def names_of_backend(backend: str) -> tuple[str, str]:
    """Return stack and service of a backend."""
    stack, _, service = backend.partition(":")
    return stack, service


def server_name(release: str, number: int) -> str:
    """Return the name of the server that stands for one container of a release."""
    return f"{release}.{number}"


def release_of_server(server: str) -> str:
    """Return the release that a server is of."""
    return server.rpartition(".")[0]


def render(stacks: list[dict[str, Any]]) -> str:
    """Return haproxy.cfg for these stacks.

    Args:
        stacks: for each stack: `stack`, `port`, `domain` (or None), `routes` (list of `service`, `path`, `timeout` in seconds),
            `releases` (list of `id`, `weights` {service: 0-256}, `servers` {service: [container names]}, `ports` {service: port},
            `live` {service: path or None}).
    """
    stacks = sorted(stacks, key=lambda s: (s["port"], s["stack"]))
    parts = [_HEAD.format()]
    ports = sorted({s["port"] for s in stacks})
    parts.extend(_frontend(port, [s for s in stacks if s["port"] == port]) for port in ports)
    for stack in stacks:
        parts.extend(_backend(stack, route) for route in stack["routes"])
    return "".join(parts)


def render_doors(ports: list[int], v6: bool) -> str:
    """Return the file of the HAProxy that takes connections for the router.

    Args:
        ports: the ports to open.
        v6: this host knows IPv6.
    """
    six = "    bind [::]:{port} v6only\n" if v6 else ""
    return _DOORS + "".join(_DOOR.format(port=port, v6=six.format(port=port)) for port in ports)


def _frontend(port: int, stacks: list[dict[str, Any]]) -> str:
    lines = []
    # A named domain goes before the stack that takes any; within a stack the longest path first.
    for stack in sorted(stacks, key=lambda s: s["domain"] is None):
        host = f"{{ req.hdr(host),field(1,:) -i {stack['domain']} }} " if stack["domain"] else ""
        for route in sorted(stack["routes"], key=lambda r: -len(r["path"])):
            path = route["path"].rstrip("/")
            test = f"{{ path {path} }} || {host}{{ path_beg {path}/ }}" if path else "{ path_beg / }"
            lines.append(f"    use_backend {backend_name(stack['stack'], route['service'])} if {host}{test}\n")
    return _FRONTEND.format(port=port) + "".join(lines)


def _backend(stack: dict[str, Any], route: dict[str, Any]) -> str:
    service = route["service"]
    releases = [r for r in stack["releases"] if r["servers"].get(service)]
    # A backend asks all its servers at one path: where releases differ in it, an open port has to do until the old one is gone.
    paths = {r["live"][service] for r in releases}
    check = f"    option httpchk GET {next(iter(paths))}\n" if len(paths) == 1 and None not in paths else ""
    lines = [
        f"\nbackend {backend_name(stack['stack'], service)}\n    balance leastconn\n{check}"
        f"    timeout server {int(route['timeout'] * 1000)}ms\n"
        "    default-server check inter 1s fastinter 250ms fall 3 rise 1 resolvers docker init-addr libc,none\n"
    ]
    for release in releases:
        weight = release["weights"].get(service, 0)
        for number, container in enumerate(release["servers"][service], 1):
            address = f"{container}:{release['ports'][service]}"
            lines.append(f"    server {server_name(release['id'], number)} {address} weight {weight}\n")
    return "".join(lines)
