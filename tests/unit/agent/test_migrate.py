"""What is read from the database's log."""

from __future__ import annotations

from slipway.agent.migrate import statement_in

LOG = """\
2026-01-01 10:00:00.000 UTC [70] ERROR:  relation "a" does not exist at character 15
2026-01-01 10:00:00.000 UTC [70] STATEMENT:  SELECT * FROM a
2026-01-01 10:00:01.000 UTC [71] ERROR:  type "nosuchtype" does not exist at character 54
2026-01-01 10:00:01.000 UTC [71] HINT:  none
2026-01-01 10:00:01.000 UTC [71] STATEMENT:  ALTER TABLE books
\t    ADD COLUMN bad nosuchtype
2026-01-01 10:00:02.000 UTC [72] LOG:  checkpoint starting
2026-01-01 10:00:03.000 UTC [73] ERROR:  division by zero
"""


def test_the_statement_that_failed_is_the_one_with_the_tools_words() -> None:
    assert (
        statement_in(LOG, 'it says: type "nosuchtype" does not exist')
        == "ALTER TABLE books\n    ADD COLUMN bad nosuchtype"
    )
    assert statement_in(LOG, 'relation "a" does not exist') == "SELECT * FROM a"


def test_a_log_that_does_not_tell() -> None:
    for seen in ("something else", "division by zero", ""):
        assert statement_in(LOG, seen) == ""
    assert statement_in("", "x") == ""
