"""The stack that docs/stacks.md teaches to write, run as it stands there (on the lab that these tests share)."""

from __future__ import annotations

from tests.support.checkout import Checkout
from tests.support.site import Site


def test_the_stack_of_the_page_runs(workshop: Checkout) -> None:
    hello = Site(workshop, "lab", "hello", 8090)
    done = hello.deploy().ok()
    assert hello.url() in done.out
    answer = hello.get()
    assert (answer.status, answer.body) == (200, "Hello, lab")
    assert answer.release in done.out
    assert hello.status()["healthy"]
    hello.inv("verify").ok()
