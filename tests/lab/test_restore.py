"""The story of the worst day: the hosts are gone, and so is the vault. What is left is the repository and its password."""

from __future__ import annotations

import shutil

from tests.support import books as data
from tests.support import checkout as checkouts
from tests.support import stacks
from tests.support.site import Site


def test_from_nothing() -> None:
    """An empty new environment, as docs/data.md has it: the password, a restore, a deploy; and all is as it was."""
    made = checkouts.make()
    try:
        stacks.add_books(made)
        stacks.environment(made, "story", "[{name: books, port: 8320}]", backup="{repository: /var/backups/slipway}")
        made.commit("a stack with data")
        site = Site(made, "story", "books", 8320)
        site.deploy().ok()
        data.fill(site)
        site.inv("backup").ok()
        before = data.snapshot(site)
        password = site.on("cat", f"{data.FOLDER}/secrets/password")
        down = made.inv("lab.down", "--env", "story").ok()
        assert "the backups of story are still here" in down.out
        shutil.rmtree(made.path / ".slipway/vaults")
        (made.path / ".slipway/vault-password").unlink()

        stacks.plant(made, "story", "backup", password=password)
        restored = site.inv("restore", "--yes").ok()
        assert "db: 3 tables" in restored.out
        assert "safety" not in restored.out, "there was nothing yet"
        site.deploy().ok()
        assert data.snapshot(site) == before
        assert site.status()["healthy"]
        site.inv("backup").ok()
        assert len(data.listed(site)) == 2, "the new host goes on with the old one's backups"
    finally:
        made.remove()
