"""What each role may say: jobs, accessories, and who can wait for whom."""

from __future__ import annotations

import pytest

from .conftest import Checkout

HERE = "compose/hello/compose.yaml"
STACK = """\
services:
  web:
    image: a:1
    x-slipway: {role: app, phase: 2, route: {port: 80}}
  side:
    image: a:1
    x-slipway: {role: app, phase: 2, route: {path: /side, port: 80}}
  worker:
    image: a:1
    x-slipway: {role: app, phase: 2}
  early:
    image: a:1
    x-slipway: {role: app}
  seed:
    image: a:1
    x-slipway: {role: job, phase: 2}
  warm:
    image: a:1
    x-slipway: {role: job}
  last:
    image: a:1
    x-slipway: {role: job, phase: 2}
  db: {image: "a:1"}
  cache: {image: "a:1"}
"""


def say(checkout: Checkout, service: str, words: str) -> None:
    """Put a line of YAML into a service of the stack."""
    checkout.env("local", "lab: {}\nstacks: [hello]\n")
    if service in ("db", "cache"):
        checkout.change(f'  {service}: {{image: "a:1"}}', f'  {service}: {{image: "a:1", {words}}}', base=STACK)
    else:
        checkout.change(f"  {service}:\n", f"  {service}:\n    {words}\n", base=STACK)


def test_services_of_a_role_by_phase_then_as_in_the_file(checkout: Checkout) -> None:
    say(checkout, "web", "init: true")
    stack = checkout.load()[2]
    assert [s.name for s in stack.of_role("job")] == ["warm", "seed", "last"]
    assert [s.name for s in stack.of_role("app")] == ["early", "web", "side", "worker"]


@pytest.mark.parametrize(
    ("service", "depends", "kept"),
    [
        ("web", "[early, db, seed]", ["early"]),
        (
            "web",
            "{early: {condition: service_healthy}, db: {}, seed: {condition: service_completed_successfully}}",
            {"early": {"condition": "service_healthy"}},
        ),
        ("worker", "[web]", ["web"]),
        ("web", "[db]", None),
        ("seed", "[warm, db]", None),
        ("last", "{seed: {condition: service_completed_successfully}}", None),
        (
            "cache",
            "{db: {condition: service_healthy, restart: true}}",
            {"db": {"condition": "service_healthy", "restart": True}},
        ),
    ],
)
def test_what_is_waited_for(checkout: Checkout, service: str, depends: str, kept: object) -> None:
    """What is in another project, or has ended by then, is left out: Compose would refuse it there."""
    say(checkout, service, f"depends_on: {depends}")
    assert checkout.load()[2].service(service).compose.get("depends_on") == kept


@pytest.mark.parametrize(
    ("service", "words", "expected"),
    [
        ("web", "depends_on: [earli]", '.depends_on[0]: the stack has no service earli (did you mean "early"?)'),
        ("web", "depends_on: db", ".depends_on: should be a list or a mapping of services"),
        ("web", "depends_on: {db: healthy}", ".depends_on.db: should be a mapping with a condition"),
        (
            "web",
            "depends_on: {db: {condition: healthy}}",
            ".depends_on.db.condition: should be one of service_started, service_healthy",
        ),
        ("web", "depends_on: {db: {required: false}}", ".depends_on.db.required: has no effect"),
        (
            "web",
            "depends_on: {early: {condition: service_completed_successfully}}",
            ".depends_on.early.condition: is for jobs",
        ),
        ("web", "depends_on: [side]", ".depends_on[0]: side does not start before it: give web a higher phase"),
        ("web", "depends_on: [worker]", ".depends_on[0]: worker does not start before it: give web a higher phase"),
        ("early", "depends_on: [web]", ".depends_on[0]: web does not start before it: give early a higher phase"),
        ("seed", "depends_on: [early]", ".depends_on[0]: jobs run before early starts"),
        (
            "seed",
            "depends_on: [last]",
            ".depends_on[0]: last runs later: jobs run by phase, then in the order of the file",
        ),
        ("warm", "depends_on: [seed]", ".depends_on[0]: seed runs later"),
        ("db", "depends_on: [web]", ".depends_on[0]: web is replaced by each release: an accessory cannot wait for it"),
        ("db", "depends_on: [seed]", ".depends_on[0]: seed is replaced by each release"),
        # jobs
        ("seed", "restart: always", ".restart: has no effect: a job runs once"),
        ("seed", "healthcheck: {test: [CMD, x]}", ".healthcheck: has no effect: a job runs once"),
        ("seed", "stop_grace_period: 1m", ".stop_grace_period: has no effect: a job runs once"),
        ("seed", "stop_signal: SIGINT", ".stop_signal: has no effect: a job runs once"),
        ("seed", "deploy: {restart_policy: {}}", ".deploy.restart_policy: has no effect: a job runs once"),
        ("seed", "deploy: {replicas: 2}", ".deploy.replicas: only an app service has replicas"),
        ("seed", "ports: ['1:1']", ".ports: the router is the way in"),
    ],
)
def test_what_would_be_in_vain(checkout: Checkout, service: str, words: str, expected: str) -> None:
    say(checkout, service, words)
    (found,) = checkout.fails()
    place, _, told = found.partition(": ")
    assert place.startswith(f"{HERE}:")
    assert told.startswith(f"services.{service}{expected}"), found


def test_a_job_has_neither_route_nor_health_nor_drain(checkout: Checkout) -> None:
    checkout.env("local", "lab: {}\nstacks: [hello]\n")
    job = "x-slipway: {role: job}\n  last"
    checkout.change(job, job.replace("job", "job, route: {port: 1}, health: {}, drain: 1m"), base=STACK)
    assert [p.split(": ", 2)[1:] for p in checkout.fails()] == [
        ["services.warm.x-slipway.route", "only an app service has a route"]
    ]
