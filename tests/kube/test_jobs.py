"""Services with `role: job` on a real cluster: each runs once in a deploy, before anything of the new release starts."""

from __future__ import annotations

from tests.support.onkube import OnKube

# The store is in the stack's own namespace, and its name is that of the stack file.
_COUNTS = "from store import ask; print('counted', ask('INCR', 'job-runs'))"


def pods(site: OnKube) -> set[str]:
    found = site.get("pods", "--selector", "slipway.role=app")["items"]
    return {p["metadata"]["name"] for p in found if "deletionTimestamp" not in p["metadata"]}


def test_a_job_runs_once_in_each_deploy_and_not_in_a_rollback(site: OnKube) -> None:
    with site.checkout.changed():
        site.add_job("count", _COUNTS)
        site.version("two")
        plan = site.inv("deploy", "--build", "--version", "two", "--plan").ok().out
        assert "Run jobs" in plan
        said = site.inv("deploy", "--build", "--version", "two").ok().text
        assert "count: counted 1" in said, "its log is shown"
        assert "count: counted 2" in site.inv("deploy", "--version", "two").ok().text, "typed again, it runs again"
        assert not site.get("jobs")["items"]
        site.inv("rollback").ok()
        assert site.live() == "one"
        assert "counted 3" in site.inv("deploy", "--version", "two").ok().text, "a rollback ran none"
    site.inv("deploy", "--version", "one").ok()


def test_one_that_fails_fails_the_deploy(site: OnKube) -> None:
    with site.checkout.changed():
        site.add_job("broken", "print('reading the index'); raise SystemExit('the index is empty')")
        site.version("three")
        before = pods(site)
        failed = site.inv("deploy", "--build", "--version", "three").exits(1).err
    assert "the job broken failed" in failed
    assert "the index is empty" in failed
    assert "Still serving: release one" in failed
    assert pods(site) == before
    assert not site.get("jobs")["items"]
    assert site.status()["healthy"]


def test_one_that_no_manifest_is_of_is_refused(site: OnKube) -> None:
    with site.checkout.changed():
        site.add_job("lost", "pass")
        site.checkout.edit("k8s/probe/base/kustomization.yaml", "- lost.yaml\n", "")
        assert "there is no Job lost" in site.inv("deploy", "--version", "one").exits(2).err
