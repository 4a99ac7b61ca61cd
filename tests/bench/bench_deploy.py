"""`inv bench`: ours and the floor in one run, on a lab of its own. docs/benchmarks.md says what each number means.

Exit code 1 where a must is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from tests.bench import cold, measure, table
from tests.bench.stage import STACK, Stage, ready
from tests.bench.table import Row


def main() -> int:
    """Measure, print, write. Return the exit code."""
    arguments = _arguments()
    raw: dict[str, Any] = {}
    rows: list[Row] = []
    if arguments.cold:
        rows.append(cold.from_nothing(raw))
    with ready() as stage:
        rows += _all(stage, arguments, raw)
    command = " ".join(["inv bench", *(f"--{flag}" for flag in ("long", "cold") if vars(arguments)[flag])])
    print(table.text(rows))
    print(f"\n{table.write('deploy' if not arguments.only else 'deploy-part', command, rows, raw)}")
    if arguments.document:
        table.document_it("deploy")
    return int(any(row.verdict == "MISSED" for row in rows))


def _all(stage: Stage, arguments: argparse.Namespace, raw: dict[str, Any]) -> list[Row]:
    requests = 200_000 if arguments.long else arguments.requests
    measures: dict[str, Callable[[], list[Row]]] = {
        "new": lambda: [measure.new_version(stage, arguments.rounds, raw)],
        "nothing": lambda: [measure.nothing_to_do(stage, raw)],
        "ssh": lambda: [measure.ssh_commands(stage, raw)],
        "rollback": lambda: measure.rollback(stage, arguments.rounds, raw),
        "load": lambda: measure.under_load(stage, requests, raw),
        "list": lambda: [measure.list_tasks(stage, raw)],
    }
    unknown = set(arguments.only) - measures.keys()
    if unknown:
        sys.exit(f"--only knows {', '.join(measures)}")
    return [row for name, rows in measures.items() if not arguments.only or name in arguments.only for row in rows()]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.bench_deploy", description=f"deploys of {STACK}, measured"
    )
    parser.add_argument("--rounds", type=int, default=5, help="of what is repeated; medians count")
    parser.add_argument("--requests", type=int, default=15_000, help="at least, while deploys and rollbacks go on")
    parser.add_argument("--long", action="store_true", help="200,000 requests")
    parser.add_argument("--cold", action="store_true", help="from nothing as well: empties the engine's build cache")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="new, nothing, ssh, rollback, load, list")
    parser.add_argument("--document", action="store_true", help="put the table into docs/benchmarks.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
