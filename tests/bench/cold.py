"""From nothing: a new clone, no .venv, no .slipway/, no lab base, pip and build caches empty, to verified.

It empties what is shared on the machine's engine: the build cache, and the images that labs are built from. So it is done only
when asked for (`--cold`), and refused while any lab is there. Official images that were pulled stay, and are named in the row.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any

from slipway.lab import engine, images, names
from tests.bench.stage import say
from tests.bench.table import Row
from tests.support import checkout as checkouts
from tests.support.checkout import Checkout


def from_nothing(raw: dict[str, Any]) -> Row:
    """Measure one run of `./inv deploy --env local --yes` in a new clone. Exits where labs are in the way."""
    engine.ensure(yes=True)
    kept = _empty_engine()
    say("from nothing: ./inv deploy --env local --yes in a new clone")
    checkout = checkouts.make()
    _empty_clone(checkout)
    try:
        with tempfile.TemporaryDirectory() as cache:
            environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLIPWAY_", "INVOKE_", "PYTHON"))}
            environment |= checkout.env
            begun = time.monotonic()
            done = subprocess.run(
                ["./inv", "deploy", "--env", "local", "--yes"],
                cwd=checkout.path,
                env=environment | {"PIP_CACHE_DIR": cache},
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
            took = time.monotonic() - begun
        assert done.returncode == 0, done.stdout + done.stderr
        raw["from_nothing"] = {"seconds": took, "steps": done.stdout.splitlines(), "images_that_were_there": kept}
        return Row(
            "from nothing to verified", took, "s", 360, 180, f"images that were there: {', '.join(kept) or 'none'}"
        )
    finally:
        checkout.labs.add("local")
        checkout.remove()


def _empty_clone(checkout: Checkout) -> None:
    (checkout.path / ".venv").unlink()
    for folder in list(checkout.path.rglob("__pycache__")):
        shutil.rmtree(folder)


def _empty_engine() -> list[str]:
    """Remove the images that labs are built from and the build cache. Return the official images of a lab that stay."""
    there = engine.docker("ps", "--all", "--filter", f"label={names.LAB}", "--format", "{{.Names}}").out.split()
    if there:
        sys.exit(f"--cold empties what these labs are built from; remove them first (inv lab.down): {', '.join(there)}")
    mine = engine.docker("images", "--quiet", "--filter", "label=slipway.standin").out.split()
    listed = engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").out.split()
    mine += [name for name in listed if name.startswith("slipway-lab-")]
    if mine:
        engine.docker("rmi", "--force", *dict.fromkeys(mine))
    engine.docker("builder", "prune", "--all", "--force")
    left = engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").out.split()
    return sorted(set(left) & images.STANDINS.keys())
