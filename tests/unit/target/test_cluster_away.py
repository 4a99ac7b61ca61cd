"""An API server that is away for a while, and whoever took the lease meanwhile: what is tried again, and what is not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from slipway.errors import BadInput, SlipwayError
from slipway.plan.operation import Operation
from slipway.settings.model import Kubernetes
from slipway.target.kubernetes import jobs, lease, transport, workplace
from slipway.target.kubernetes.cluster import Cluster
from slipway.target.kubernetes.session import ClusterSession

Answer = tuple[int, Any]


class Scripted(Cluster):
    """A cluster whose answers are given; what was asked is noted."""

    def __init__(self, answer: Callable[[str, str, Any], Answer]) -> None:
        super().__init__(Kubernetes(context="here"))
        self.answer, self.asked = answer, list[tuple[str, str, Any]]()

    def ask(self, method: str, path: str, body: Any, kind: str, query: Mapping[str, Any]) -> tuple[int, str]:
        self.asked.append((method, path, body))
        code, found = self.answer(method, path, body)
        return code, json.dumps(found)

    def _visit(self, method: str, url: str, body: Any) -> tuple[int, str]:
        return self.ask(method, url, body, "", {})


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "AGAIN_AFTER", 0.01)


def status(code: int, message: str = "", reason: str = "") -> Answer:
    return code, {"kind": "Status", "code": code, "message": message, "reason": reason}


def test_a_change_is_not_tried_again_for_a_run_that_lost_its_lease() -> None:
    cluster = Scripted(lambda *_: (503, {}))
    cluster.patience = 5.0

    def lost() -> None:
        raise lease.Lost("this run lost its lease")

    cluster.may_change = lost
    with pytest.raises(lease.Lost):
        cluster.request("PATCH", "/api/v1/x", {})
    assert len(cluster.asked) == 1


def test_a_change_is_tried_again_while_the_lease_holds() -> None:
    answers = iter([(503, {}), (503, {}), (200, {"done": True})])
    cluster = Scripted(lambda *_: next(answers))
    cluster.patience, held = 5.0, list[int]()
    cluster.may_change = lambda: held.append(1)
    assert cluster.request("PATCH", "/api/v1/x", {}) == {"done": True}
    assert len(held) == 2


def leased(identity: str, renewed: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    return {"metadata": {}, "spec": {"holderIdentity": identity, "renewTime": renewed, "leaseTransitions": 1}}


def test_a_lease_that_somebody_takes_while_it_is_renewed_is_lost() -> None:
    """The first look still shows ours; the renewal conflicts, so it is looked again."""
    looks = iter([leased("me"), leased("other")])

    def answer(method: str, *_: Any) -> Answer:
        return (200, next(looks)) if method == "GET" else status(409)

    held = lease.Held(Scripted(answer), "space", "probe", "me", 1, time.monotonic() - lease.LASTS)
    held._over.set()
    with pytest.raises(lease.Lost):
        held.check()


def test_a_renewal_counts_from_when_it_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(method: str, *_: Any) -> Answer:
        if method == "PUT":
            time.sleep(0.2)
        return 200, leased("me")

    monkeypatch.setattr(lease, "EVERY", 60.0)
    held = lease.Held(Scripted(answer), "space", "probe", "me", 1, 0.0)
    held._renew()
    assert time.monotonic() - held._renewed >= 0.2
    held._over.set()


def test_a_clock_ahead_takes_no_living_holders_lease() -> None:
    seconds = iter(range(60))
    cluster = Scripted(lambda *_: (200, leased("other", f"2001-01-01T00:00:{next(seconds):02}Z")))
    with pytest.raises(SlipwayError, match="somebody else"), lease.held(cluster, "space", "probe", {}, env="staging"):
        raise AssertionError("it was taken")
    assert {method for method, _, _ in cluster.asked} == {"GET"}


def test_a_job_is_removed_by_the_one_who_made_it_alone() -> None:
    def answer(method: str, path: str, body: Any) -> Answer:
        if method == "PATCH":
            return 200, {"metadata": {"uid": "mine"}}
        if method == "DELETE" and "preconditions" in body:
            return status(409, "the UID in the precondition does not match")
        return status(404)

    cluster = Scripted(answer)
    checks = iter([None, None, lease.Lost("this run lost its lease")])

    def check() -> None:
        if found := next(checks):
            raise found

    manifest = {"kind": "Job", "metadata": {"name": "slipway-migrate", "namespace": "space"}}
    with pytest.raises(lease.Lost):
        jobs.run(cluster, manifest, lambda _: None, check, "it failed")
    method, _, body = cluster.asked[-1]
    assert (method, body["preconditions"]) == ("DELETE", {"uid": "mine"})


def test_an_old_job_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_GONE_WITHIN", 0.0)
    cluster = Scripted(lambda *_: (200, {"metadata": {}}))
    manifest = {"kind": "Job", "metadata": {"name": "slipway-migrate", "namespace": "space"}}
    with pytest.raises(SlipwayError, match="does not go away"):
        jobs.run(cluster, manifest, lambda _: None, lambda: None, "it failed")
    assert "PATCH" not in {method for method, _, _ in cluster.asked}


@pytest.mark.parametrize(("code", "body"), [(0, {}), (502, {}), status(503, "no endpoints available")])
def test_a_request_that_did_not_arrive_is_sent_again(code: int, body: Any) -> None:
    answers = iter([(code, body), (200, {"hello": 1})])
    cluster = Scripted(lambda *_: next(answers))
    cluster.patience = 5.0
    assert cluster.visit("space", "web", "http", "/")[0] == 200


@pytest.mark.parametrize(("method", "code"), [("GET", 503), ("GET", 500), ("POST", 502)])
def test_an_apps_own_answer_counts_and_nothing_is_changed_twice(method: str, code: int) -> None:
    cluster = Scripted(lambda *_: (code, {"error": "sick"}))
    cluster.patience = 5.0
    assert cluster.visit("space", "web", "http", "/", method=method)[0] == code
    assert len(cluster.asked) == 1


def test_a_right_that_ends_on_the_way_is_not_bad_input() -> None:
    forbidden = status(403, 'deployments "api" is forbidden: User "ben" cannot delete', "Forbidden")
    cluster = Scripted(lambda *_: forbidden)
    with pytest.raises(BadInput):
        cluster.get("/api/v1/namespaces/space")
    session = ClusterSession(cluster, "space", "probe")
    with pytest.raises(SlipwayError) as told:
        session.perform("probe", [Operation("remove", "", {"objects": [["Deployment", "api"]]})])
    assert told.value.exit_code == 1
    assert "ben" in told.value.seen


def test_a_right_that_is_missing_is_named() -> None:
    lacks = {("create", "pods", "exec"), ("create", "deployments", None), ("get", "endpointslices", None)}

    def answer(_: str, __: str, review: Any) -> Answer:
        asked = review["spec"]["resourceAttributes"]
        everything = asked["resource"] == "*"
        lacking = (asked["verb"], asked["resource"], asked.get("subresource")) in lacks
        return 201, {"status": {"allowed": not everything and not lacking}}

    with pytest.raises(BadInput) as told:
        workplace.refuse_without_rights(Scripted(answer), "space")
    assert sorted(told.value.seen.split(", ")) == ["create deployment", "create pod/exec", "get endpointslice"]
