"""A tree's migrations: read, new ones, their SQL, and linting them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slipway.agent import schema
from slipway.data import lint, migrations
from slipway.errors import BadInput
from slipway.settings import load
from slipway.settings.model import Migration, Stack

MAKO = """\
\"\"\"${message}.\"\"\"
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade():
    ${upgrades if upgrades else "pass"}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "compose/hello/db").mkdir(parents=True)
    return tmp_path


def stack(root: Path, kind: str = "sql") -> Stack:
    settings = Migration(kind=kind, service="web", path="db", database="postgres")  # type: ignore[arg-type]
    (root / "compose/hello/compose.yaml").write_text(f"x-slipway: {{migrate: {{kind: {kind}, path: db}}}}\n")
    return Stack(name="hello", folder=str(root / "compose/hello"), services=(), migrate=settings)


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        (root / f"compose/hello/db/{name.removeprefix('_')}.sql").write_text(text)


def test_problems_have_file_and_line(root: Path) -> None:
    write(root, _001_a="SELECT 1;", _002_b="-- slipway: expand\nCOMMIT;")
    with pytest.raises(BadInput) as caught:
        migrations.read(stack(root))
    assert [line.partition(": ")[0] for line in caught.value.seen.splitlines()] == [
        "compose/hello/db/001_a.sql:1", "compose/hello/db/002_b.sql:2",
    ]  # fmt: skip


def test_names_and_what_contracts(root: Path) -> None:
    write(root, _002_b="-- slipway: contract\nSELECT 1", _001_a="-- slipway: expand\nSELECT 1", __template="x")
    assert migrations.names(stack(root)) == (("001_a.sql", "002_b.sql"), ("002_b.sql",))
    own = stack(root).model_copy(update={"migrate": Migration(service="web", path="db")})
    assert migrations.names(own) == (("001_a.sql", "002_b.sql"), ())
    assert migrations.names(own.model_copy(update={"migrate": None})) == ((), ())
    assert migrations.read(own) == []


@pytest.mark.parametrize("contract", [False, True])
def test_a_new_file_of_sql_is_the_last_one_and_in_order(root: Path, contract: bool) -> None:
    write(root, _0009_a="-- slipway: expand\nSELECT 1")
    made = migrations.new(stack(root), "Books have 'pages'!", contract=contract)
    assert made.name == "0010_books_have_pages.sql"
    known = migrations.read(stack(root))
    assert (known[-1]["kind"], known[-1]["title"]) == ("contract" if contract else "expand", "Books have 'pages'!")


def test_the_first_file_and_a_template_of_the_stacks_own(root: Path) -> None:
    (root / "compose/hello/db/_template.sql").write_text("-- {title}\n-- slipway: {kind}\n-- ours, {braces} stay")
    made = migrations.new(stack(root), "begin", contract=False)
    assert made.name == "001_begin.sql"
    assert made.read_text() == "-- begin\n-- slipway: expand\n-- ours, {braces} stay\n"


def test_a_new_revision(root: Path) -> None:
    alembic = stack(root, "alembic")
    with pytest.raises(BadInput, match="template is not there"):
        migrations.new(alembic, "begin", contract=False)
    (root / "compose/hello/db/versions").mkdir()
    (root / "compose/hello/db/script.py.mako").write_text(MAKO)
    assert migrations.new(alembic, "Begin", contract=False).name == "0001_begin.py"
    second = migrations.new(alembic, "no writer", contract=True)
    assert [(m["id"], m["kind"]) for m in migrations.read(alembic)] == [("0001", "expand"), ("0002", "contract")]
    assert "down_revision = '0001'\nslipway = \"contract\"\n" in second.read_text()
    (root / "compose/hello/db/script.py.mako").write_text(
        MAKO.replace("\n\n\n", '\nslipway = "expand"  # or contract\n\n\n')
    )
    third = migrations.new(alembic, "no reader", contract=True)
    assert third.read_text().count("slipway") == 1
    assert migrations.read(alembic)[-1]["kind"] == "contract"


def test_a_revision_after_one_of_alembics_own_names(root: Path) -> None:
    (root / "compose/hello/db/versions").mkdir()
    (root / "compose/hello/db/script.py.mako").write_text(MAKO)
    text = 'revision = "1f3b"\ndown_revision = None\nslipway = "expand"\n'
    (root / "compose/hello/db/versions/1f3b_a.py").write_text(text)
    migrations.new(stack(root, "alembic"), "more", contract=False)
    assert len(migrations.read(stack(root, "alembic"))[-1]["id"]) == 12


@pytest.mark.parametrize("name", ["", "!!"])
def test_a_name_has_letters(root: Path, name: str) -> None:
    with pytest.raises(BadInput, match="is no name for a migration"):
        migrations.new(stack(root), name, contract=False)


def test_a_tool_of_the_stacks_own_has_its_own_ways(root: Path) -> None:
    with pytest.raises(BadInput, match="run by a tool of its own"):
        migrations.new(stack(root, "command"), "more", contract=False)


REVISION = """\
import sqlalchemy as sa
from alembic import op
{more}
revision = "{name}"
down_revision = {after!r}
slipway = "{kind}"

def upgrade():
    {body}
"""


def revisions(root: Path, *bodies: str, kind: str = "expand", more: str = "") -> list[schema.Migration]:
    folder = root / "compose/hello/db/versions"
    folder.mkdir(exist_ok=True)
    for n, body in enumerate(bodies, 1):
        after = f"000{n - 1}" if n > 1 else None
        text = REVISION.format(name=f"000{n}", after=after, body=body, kind=kind, more=more)
        (folder / f"000{n}.py").write_text(text)
    return migrations.read(stack(root, "alembic"))


def test_alembics_sql_without_a_database(root: Path) -> None:
    bodies = ('op.add_column("a", sa.Column("b", sa.Integer()))', 'print(op.get_bind().execute("SELECT 1").scalar())')
    known = revisions(root, *bodies)
    told = migrations.sql("alembic", root / "compose/hello/db", known)
    assert told["0001"] == "ALTER TABLE a ADD COLUMN b INTEGER;"
    assert told["0002"].startswith("-- unknown: without a database it ends with AttributeError")
    revisions(root, "op.execute('SELECT 1')", more="from app.settings import Settings")
    assert "No module named 'app'" in migrations.sql("alembic", root / "compose/hello/db", known[:1])["0001"]


def found(root: Path, kind: str = "sql") -> str:
    stack(root, kind)
    bad, unknown = lint.findings(root)
    return "\n".join([*bad, *(f"not linted: {u}" for u in unknown)])


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("CREATE INDEX i ON a (b);", "require-concurrent-index-creation"),
        ("ALTER TABLE a ADD CONSTRAINT f FOREIGN KEY (b) REFERENCES c (id);", "adding-foreign-key-constraint"),
        ("ALTER TABLE a DROP COLUMN b;", "ban-drop-column"),
        ("ALTER TABLE a ADD COLUMN b int NOT NULL;", "adding-required-field"),
        ("ALTER TABLE a RENAME COLUMN b TO c;", "renaming-column"),
        ("ALTER TABLE a ALTER COLUMN b TYPE bigint;", "changing-column-type"),
        ("DROP TABLE a;", "ban-drop-table"),
        ("SELEC 1;", "syntax-error"),
    ],
)  # fmt: skip
def test_lint_finds_what_locks_or_breaks(root: Path, sql: str, rule: str) -> None:
    write(root, _001_a=f"-- slipway: expand\n\n{sql}\n")
    assert f"compose/hello/db/001_a.sql:3: {rule}: " in found(root)


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("expand", "CREATE TABLE a (id int PRIMARY KEY, b varchar(10)); CREATE INDEX i ON a (b);"),
        ("expand", "ALTER TABLE a ADD COLUMN b int;"),
        ("expand, no-transaction", "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON a (b);"),
        ("expand", "-- squawk-ignore require-concurrent-index-creation\nCREATE INDEX i ON a (b);"),
        ("contract", "ALTER TABLE a DROP COLUMN b; DROP TABLE c; ALTER TABLE d RENAME COLUMN e TO f;"),
    ],
)  # fmt: skip
def test_lint_leaves_alone_what_is_well(root: Path, kind: str, sql: str) -> None:
    write(root, _001_a=f"-- slipway: {kind}\n{sql}\n")
    assert found(root) == ""


def test_lint_names_what_says_not_which_it_is(root: Path) -> None:
    write(root, _001_a="SELECT 1")
    assert "compose/hello/db/001_a.sql:1: should say which it is" in found(root)


def test_lint_reads_the_sql_that_alembic_makes(root: Path) -> None:
    index, drop, asks = 'op.create_index("i", "a", ["b"])', 'op.drop_column("a", "b")', "op.get_bind().execute()"
    revisions(root, index, drop, asks)
    lines = found(root, "alembic").splitlines()
    assert lines[0].startswith("compose/hello/db/versions/0001.py: require-concurrent-index-creation: ")
    assert lines[1].startswith("compose/hello/db/versions/0002.py: ban-drop-column: ")
    assert "this one contracts" in lines[1]
    assert lines[2].startswith(
        "not linted: compose/hello/db/versions/0003.py: its SQL is not known: without a database"
    )
    revisions(root, drop, kind="contract")


def test_this_checkouts_own_stacks_are_linted() -> None:
    folders: list[Any] = list(lint._folders(load.root()))
    assert (load.root() / "compose/fineasy/api/migrations", "alembic") in folders
    assert lint.findings() == ([], [])
