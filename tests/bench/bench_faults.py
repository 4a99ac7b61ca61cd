"""`inv bench faults`: deploys, rollbacks, kills and faults under load, on a lab of its own. docs/benchmarks.md tells each number.

Exit code 1 where a must is missed. The long form is the default; flags scale it down.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from slipway.errors import SlipwayError
from tests.bench import enduring, killing, roundtrips, table
from tests.bench.stage import say
from tests.bench.table import Row
from tests.bench.tally import Tally
from tests.support.faults import arena as arenas
from tests.support.faults.arena import Arena


def main() -> int:
    """Measure, print, write. Return the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = _arguments()
    tally, raw, rows = Tally(time.monotonic() + arguments.hours * 3600), dict[str, Any](), list[Row]()
    with arenas.ready(8) as arena:
        for name, part in _parts(arena, tally, arguments, raw).items():
            if not arguments.only or name in arguments.only:
                say(f"{name} ({tally.requests.total():,} requests so far)")
                rows += _whole(name, part)
        if arguments.requests:
            rows += _whole("requests", lambda: enduring.until_enough(arena, tally, arguments.requests))
    rows = [*_counted(tally), *rows]
    raw["failures"] = tally.reports
    print(table.text(rows))
    print(f"\n{table.write('faults' if not arguments.only else 'faults-part', _command(), rows, raw)}")
    if arguments.document:
        table.document_it("faults")
        enduring.document_picture()
    return int(any(row.verdict == "MISSED" for row in rows))


def _parts(
    arena: Arena, tally: Tally, given: argparse.Namespace, raw: dict[str, Any]
) -> dict[str, Callable[[], list[Row]]]:
    parts: dict[str, Callable[[], list[Row]]] = {
        "switch": lambda: enduring.around_a_switch(arena, tally, given.rounds, raw),
        "roundtrips": lambda: roundtrips.of_a_deploy(arena, given.rounds, raw),
        "deploys": lambda: enduring.in_a_row(arena, tally, given.deploys, raw),
        "deployers": lambda: enduring.three_at_once(arena, tally, given.rounds, raw),
        "faults": lambda: enduring.every_fault(arena, tally, raw),
        "kills": lambda: killing.every_boundary(arena, tally, given.every, raw),
        "instants": lambda: killing.random_instants(arena, tally, given.instants, given.seed, raw),
        "pair": lambda: killing.two_hosts(tally, given.pair, given.seed, raw),
        "provisioning": lambda: killing.first_provisioning(arena, tally, raw),
    }
    if unknown := set(given.only) - parts.keys():
        sys.exit(f"--only knows {', '.join(parts)}, not {', '.join(unknown)}")
    return parts


def _whole(name: str, part: Callable[[], list[Row]]) -> list[Row]:
    """Run a part; where it breaks off, that is its row, and the others are measured all the same."""
    try:
        return part()
    except (AssertionError, SlipwayError, OSError) as error:
        say(f"{name} broke off: {error}")
        return [Row(f"part {name}: broke off", 1, "", 0, 0, " ".join(str(error).split())[:300])]


def _counted(tally: Tally) -> list[Row]:
    total = tally.requests.total()
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in tally.requests.most_common())
    excused = f"; {tally.excused} more failed while, by the nature of a fault, nothing served" if tally.excused else ""
    lasting = sum(tally.requests[kind] for kind in ("answer", "upload", "sse", "ws"))
    return [
        Row("requests failed while something served", tally.wrongly, "", 0, 0, f"{total:,} requests: {kinds}{excused}"),
        Row("3-second answers, uploads, streams, WebSockets cut", tally.streams_cut, "", 0, 0, f"of {lasting:,}"),
    ]  # fmt: skip


def _command() -> str:
    return " ".join(["inv bench faults", *[word for word in sys.argv[1:] if word not in ("--document", "--long")]])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_faults", description=__doc__)
    parser.add_argument("--deploys", type=int, default=50, help="in a row")
    parser.add_argument("--every", type=int, default=1, help="kill at one of so many boundaries")
    parser.add_argument("--instants", type=int, default=100, help="random instants to kill at")
    parser.add_argument("--pair", type=int, default=40, help="kills of deployers to two hosts")
    parser.add_argument("--requests", type=int, default=1_000_000, help="at least, over all parts")
    parser.add_argument("--rounds", type=int, default=5, help="of what is repeated; medians count")
    parser.add_argument("--seed", type=int, default=1, help="of the random instants")
    parser.add_argument(
        "--hours", type=float, default=5, help="after which no further round begins, and what is missing is told"
    )
    parser.add_argument("--only", nargs="*", default=[], metavar="PART", help="parts; a wrong word lists them")
    parser.add_argument("--long", action="store_true", help="as without")
    parser.add_argument("--document", action="store_true", help="put table and picture into docs/")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
