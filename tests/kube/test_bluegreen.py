"""Blue-green on a real cluster: the new release starts whole beside the old one, and Services change over at once."""

from __future__ import annotations

from tests.support import load
from tests.support.onkube import OnKube

STRATEGY = "blue-green"


def deployments(site: OnKube) -> dict[str, str]:
    found = site.get("deployments")["items"]
    return {d["metadata"]["name"]: d["metadata"]["labels"]["slipway.release"].partition("-")[0] for d in found}


def test_each_release_has_deployments_of_its_own(site: OnKube) -> None:
    names = deployments(site)
    assert sorted(n.partition("-")[0] for n in names) == ["extra", "tick", "web"]
    assert "tick" in names, "a worker is replaced in place"
    assert "web" not in names


def test_the_switch_and_the_way_back_under_load(site: OnKube) -> None:
    site.version("two")
    with load.running(site.door(), "new=20", load.PROBE) as client:
        client.wait(requests=50)
        site.inv("deploy", "--build", "--version", "two").ok()
        assert site.live() == "two"
        warm = {n for n, release in deployments(site).items() if release == "one"}
        assert {n.partition("-")[0] for n in warm} == {"web", "extra"}, "the predecessor stays for a rollback"
        back = site.inv("rollback").ok()
        assert site.live() == "one"
        client.wait(requests=50)
    assert not client.report.failed, client.report.text()
    assert back.seconds < 60


def test_the_predecessors_predecessor_goes(site: OnKube) -> None:
    site.deploy("three")
    site.deploy("four")
    assert set(deployments(site).values()) == {"three", "four"}
    states = {e["version"]: e["state"] for e in site.inv("release.list", "--format", "json").ok().json() if e["state"]}
    assert (states["four"], states["three"]) == ("live", "warm")


def test_one_that_is_ill_never_gets_a_request(site: OnKube) -> None:
    before = deployments(site)
    with load.running(site.door(), "new=10", load.PROBE) as client:
        found = site.deploy("ill", mode="crash", code=1)
    assert "model file is corrupt" in found.err
    assert not client.report.failed, client.report.text()
    assert set(client.report.releases) == {site.status()["release"]["id"]}
    assert deployments(site) == before


def test_one_that_gives_wrong_answers_is_rolled_back(site: OnKube) -> None:
    before = deployments(site)
    found = site.deploy("wrong", mode="wrong", code=4)
    assert "rolled back" in found.err
    assert site.live() == "four"
    assert deployments(site) == before
