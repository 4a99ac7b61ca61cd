"""What a person is told of a build that fails: the step, its own words, its exit code."""

from __future__ import annotations

from slipway.image.build import failed_step

BUILDX = """\
#4 [1/3] FROM docker.io/library/debian:trixie-slim
#4 CACHED

#5 [2/3] RUN apt-get update
#5 0.120 Hit:1 somewhere
#5 DONE 0.5s

#6 [3/3] RUN pip install nothing-of-that-name
#6 0.576 ERROR: No matching distribution found for nothing-of-that-name
#6 ERROR: process "/bin/sh -c pip install nothing-of-that-name" did not complete successfully: exit code: 1
------
 > [3/3] RUN pip install nothing-of-that-name:
0.576 ERROR: No matching distribution found for nothing-of-that-name
------
Dockerfile:3
ERROR: failed to solve: process "/bin/sh -c pip install nothing-of-that-name" did not complete successfully: exit code: 1
"""
OLDER = """\
#5 [2/2] RUN echo one && false
#5 sha256:8bac3d32ed9f12ef03be32a094205884c25f1c4b05dbe7a228b15731b892580e
#5 0.576 one
#5 ERROR: executor failed running [/bin/sh -c echo one && false]: exit code: 3
------
 > [2/2] RUN echo one && false:
------
executor failed running [/bin/sh -c echo one && false]: exit code: 3
"""


def test_the_step_that_failed_is_told_in_its_own_words() -> None:
    assert failed_step(BUILDX).splitlines() == [
        "[3/3] RUN pip install nothing-of-that-name",
        "ERROR: No matching distribution found for nothing-of-that-name",
        "exit code: 1",
    ]
    assert failed_step(OLDER).splitlines() == ["[2/2] RUN echo one && false", "one", "exit code: 3"]


def test_where_no_step_failed_nothing_is_made_up() -> None:
    assert failed_step("failed to solve: dockerfile parse error line 2: unknown instruction: RUNN") == ""
