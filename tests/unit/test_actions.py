"""What a pipeline's runner reads: marks on files and hosts, groups, outputs; and nothing that somebody else says."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from invoke import Context, Exit

from slipway import actions, report
from slipway.errors import BadInput, SlipwayError
from slipway.host.verify import Finding, VerifyResult
from slipway.plan.executor import execute
from slipway.plan.operation import Operation, Phase, Plan
from slipway.settings.load import root
from slipway.settings.problems import Problems
from slipway.target.compose.workplace import refuse_findings
from slipway.tasks import out, release, task
from tests.support import runner


@pytest.fixture(autouse=True)
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What goes to the runner."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    stream = io.StringIO()
    report.use(stream)
    yield stream
    report.use(io.StringIO())


def commands(stream: io.StringIO) -> list[tuple[str, dict[str, str], str]]:
    """Return the commands in what a runner reads, as it reads them: name, properties, data."""
    found = []
    for line in re.split(r"[\r\n]", stream.getvalue()):
        match = re.match(r"\s*::(\w[\w-]*) ?(.*?)::(.*)", line)
        if match:
            properties = dict(item.split("=", 1) for item in match[2].split(",") if item)
            found.append((match[1], {k: unescaped(v) for k, v in properties.items()}, unescaped(match[3])))
    return found


def unescaped(text: str) -> str:
    for code, letter in (("%0A", "\n"), ("%0D", "\r"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, letter)
    return text


def fail(error: SlipwayError) -> None:
    @task()
    def one(_: Context) -> None:
        raise error

    with pytest.raises(Exit):
        one(Context())


def test_each_wrong_line_of_the_settings_is_marked(shown: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    problems = Problems()
    problems.add("envs/local.yml", 7, ("stacks", 0), "is 100% wrong: really")
    problems.add("compose/fineasy/compose.yaml", 3, (), "does not parse")
    with pytest.raises(BadInput) as caught:
        problems.raise_if_any()
    fail(caught.value)
    assert commands(shown) == [
        ("error", {"file": "compose/fineasy/compose.yaml", "line": "3"}, "does not parse"),
        ("error", {"file": "envs/local.yml", "line": "7"}, "stacks[0]: is 100% wrong: really"),
    ]
    assert "2 problems in the settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("where", "marked"),
    [
        ("tasks.py:3", {"file": "tasks.py", "line": "3"}), (str(root() / "tasks.py"), {"file": "tasks.py", "line": "1"}),
        ("envs/nosuch.yml", {}), ("app1, web", {}), ("/etc/passwd", {}), ("../inv", {}),
    ],
)  # fmt: skip
def test_an_error_marks_the_file_that_it_is_about(shown: io.StringIO, where: str, marked: dict[str, str]) -> None:
    fail(SlipwayError("it failed", where=where, todo="mend it"))
    ((name, properties, words),) = commands(shown)
    assert (name, properties) == ("error", marked)
    assert "it failed" in words


class Broken:
    """A host that can't."""

    def __init__(self, name: str) -> None:
        self.name = name

    def perform(self, *_: object, **__: object) -> list[dict[str, object]]:
        raise SlipwayError(f"{self.name} has no room", where=self.name)

    def close(self) -> None:
        """Nothing is open."""


def test_every_failing_host_is_marked(shown: io.StringIO) -> None:
    """The error tells of the first one only."""
    operations = (Operation("pull", "pull"),)
    phase = Phase("Prepare hosts", {"app1": operations, "app2": operations})
    plan = Plan("deploy", "here", "probe", "v1", None, (), (phase,))
    with pytest.raises(SlipwayError):
        execute(plan, {"app1": Broken("app1"), "app2": Broken("app2")}, 1)
    marks = {(p["title"], words) for name, p, words in commands(shown) if name == "error"}
    assert marks == {(f"{host}: Prepare hosts", f"{host}: {host} has no room.") for host in ("app1", "app2")}


def test_what_a_suite_finds_is_marked_by_host(shown: io.StringIO) -> None:
    found = VerifyResult(3, (Finding("app2", "test_ports", "port 80, closed"),))
    place = type("Place", (), {"env": type("Env", (), {"name": "here"})})
    with pytest.raises(SlipwayError):
        refuse_findings(place, "deploy", found)  # type: ignore[arg-type]
    assert commands(shown) == [("error", {"title": "app2: test_ports"}, "port 80, closed")]


def test_what_status_sees_is_marked(shown: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "env": "here", "stack": "probe", "healthy": False, "release": None, "hosts": [], "lease": None, "frozen": None,
        "backup": {"last": None, "age_s": None}, "in_progress": None, "unfinished": None, "url": "",
        "problems": ["app1 cannot be reached: x", "app2: nothing is deployed"],
    }  # fmt: skip
    monkeypatch.setattr("slipway.watch.status.status", lambda *_: found)
    with pytest.raises(Exit):
        release.status(Context(), env="here")
    assert commands(shown) == [("error", {"title": "probe in here"}, problem) for problem in found["problems"]]


@pytest.mark.parametrize("said", ["::error::x", "  ::add-mask::a", "ok\r::stop-commands::x", "a ##[error]b"])
def test_what_hosts_and_builds_say_is_no_command(
    said: str, shown: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    with report.step("Build") as step:
        step.say(said)
    report.say(said)
    out(said)
    report.err(said)
    assert [name for name, *_ in commands(shown)] == ["group", "endgroup"]
    told = capsys.readouterr()
    for text in (shown.getvalue(), told.out, told.err):
        assert "##[" not in text
        assert not re.search(r"(^|[\r\n])\s*::(?!group|endgroup)", text)
    assert told.out.strip(), "it is said all the same"


def test_elsewhere_words_stay_as_they_are(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS")
    stream = io.StringIO()
    report.use(stream)
    report.say("::error::x")
    report.annotate("nothing", title="x")
    out("##[x]")
    assert (stream.getvalue(), capsys.readouterr().out) == ("::error::x\n", "##[x]\n")


def test_outputs_are_what_was_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "output"
    monkeypatch.setenv("GITHUB_OUTPUT", str(file))
    evil = "v1\nend-0\nimages=other"
    actions.leave("push", {"version": evil, "images": "api=sha256:a"})
    assert runner.outputs(file) == {"version": evil, "images": "api=sha256:a"}


def test_a_verb_leaves_what_workflows_are_told_it_leaves() -> None:
    with pytest.raises(AssertionError):
        actions.leave("push", {"version": "v1"})
    assert json.dumps(dict(actions.OUTPUTS))
