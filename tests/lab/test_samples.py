"""The stack that docs/stacks.md teaches to write, run as it stands there."""

from __future__ import annotations

from tests.support import checkout as checkouts
from tests.support import samples
from tests.support.site import Site


def test_the_stack_of_the_page_runs() -> None:
    checkout = checkouts.make()
    try:
        samples.write(checkout.path / "docs/stacks.md", checkout.path)
        checkout.edit(
            "envs/hello.yml", "hosts: 1", "hosts: 1\n  kind: provisioned"
        )  # provisioning is other tests' subject
        hello = Site(checkout, "hello", "hello", 8090)
        done = checkout.inv("deploy", "--env", "hello").ok()
        assert hello.url() in done.out
        answer = hello.get()
        assert (answer.status, answer.body) == (200, "Hello, lab")
        assert answer.release in done.out
        checkout.inv("status", "--env", "hello").ok()
        checkout.inv("verify", "--env", "hello").ok()
    finally:
        checkout.remove()
