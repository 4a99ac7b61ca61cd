"""`inv bench faults`: deploys, rollbacks, kills and faults under load, on a lab of its own. docs/benchmarks.md tells each number.

It takes an hour and more. In pieces: `--only PART...` keeps what is known of the other parts, `--hours` ends it, and `--go-on`
goes on from there. Exit code 1 where a must is missed.
"""

from __future__ import annotations

import argparse
import functools
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from slipway.errors import SlipwayError
from tests.bench import enduring, killing, pieces, roundtrips, table
from tests.bench.stage import say
from tests.bench.table import Row
from tests.bench.tally import Tally
from tests.support.checkout import ROOT
from tests.support.faults import arena as arenas
from tests.support.faults.arena import Arena

Part = Callable[[Arena, Tally, argparse.Namespace, dict[str, Any]], list[Row]]
PARTS: dict[str, Part] = {
    "switch": lambda arena, tally, given, raw: enduring.around_a_switch(arena, tally, given.rounds, raw),
    "roundtrips": lambda arena, _, given, raw: roundtrips.of_a_deploy(arena, given.rounds, raw),
    "deploys": lambda arena, tally, given, raw: enduring.in_a_row(arena, tally, given.deploys, raw),
    "deployers": lambda arena, tally, given, raw: enduring.three_at_once(arena, tally, given.rounds, raw),
    "faults": lambda arena, tally, _, raw: enduring.every_fault(arena, tally, raw),
    "kills": lambda arena, tally, given, raw: killing.every_boundary(arena, tally, given.every, raw),
    "instants": lambda arena, tally, given, raw: killing.random_instants(arena, tally, given.instants, given.seed, raw),
    "pair": lambda _, tally, given, raw: killing.two_hosts(tally, given.pair, given.seed, raw),
    "provisioning": lambda arena, tally, _, raw: killing.first_provisioning(arena, tally, raw),
    "requests": lambda arena, tally, given, raw: enduring.until_enough(arena, tally, given.requests, raw),
}
_SCALES = ("deploys", "every", "instants", "pair", "requests", "rounds", "seed")
_PIECES = ROOT / ".slipway/bench/faults-pieces.json"


def main() -> int:
    """Measure, print, write. Return the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    given = _arguments()
    if not (given.only or given.go_on):
        _PIECES.unlink(missing_ok=True)
    book = pieces.Book(_PIECES)
    due = [
        name for name in given.only or PARTS if not (given.go_on and name in book.pieces and book.pieces[name].whole)
    ]
    if due:
        _measure(book, due, given)
    rows = [*_counted(book.counted()), *(Row(**row) for piece in book.ordered(PARTS) for row in piece.rows)]
    missing = [name for name in PARTS if name not in book.pieces or not book.pieces[name].whole]
    rows += [Row(f"part {name}: not measured to its end", 1, "", 0, 0, "") for name in missing]
    raw = {piece.name: {**piece.raw, "seconds": piece.seconds} for piece in book.ordered(PARTS)}
    raw["failures"] = book.counted().reports
    revisions = sorted({r for piece in book.pieces.values() for r in piece.revisions})
    print(table.text(rows))
    command = " ".join(["inv bench faults", *dict.fromkeys(w for p in book.pieces.values() for w in p.raw["scale"])])
    print(f"\n{table.write('faults', command, rows, raw, revisions)}")
    if given.document:
        table.document_it("faults")
        enduring.document_picture()
    return int(any(row.verdict == "MISSED" for row in rows))


def _measure(book: pieces.Book, due: list[str], given: argparse.Namespace) -> None:
    """Measure parts, one after the other, and keep what each has found."""
    until = time.monotonic() + given.hours * 3600
    with arenas.ready(8) as arena:
        for name in due:
            piece, tally = book.begin(name, anew=not given.go_on, until=until)
            if tally.over():
                break
            say(f"{name} ({book.counted().requests.total():,} requests so far)")
            began = time.monotonic()
            piece.raw["elsewhere"] = book.counted().requests.total() - tally.requests.total()
            piece.raw["scale"] = _scale()
            rows, broke = list[Row](), True
            try:
                rows, broke = _whole(name, functools.partial(PARTS[name], arena, tally, given, piece.raw))
            finally:  # one that is ended has its kills, or faults, to go on from
                piece.whole = not (broke or piece.raw.get("missing"))
                book.keep(piece, rows, tally, began)
            say(f"{name}: {time.monotonic() - began:.0f} s" + ("" if piece.whole else ", and is not at its end"))


def _whole(name: str, part: Callable[[], list[Row]]) -> tuple[list[Row], bool]:
    """Run a part; where it breaks off, that is its row, and the others are measured all the same. Return whether it did."""
    try:
        return part(), False
    except (AssertionError, SlipwayError, OSError) as error:
        say(f"{name} broke off: {error}")
        return [Row(f"part {name}: broke off", 1, "", 0, 0, " ".join(str(error).split())[:300])], True


def _counted(tally: Tally) -> list[Row]:
    total = tally.requests.total()
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in tally.requests.most_common())
    excused = f"; {tally.excused} more failed while, by the nature of a fault, nothing served" if tally.excused else ""
    lasting = sum(tally.requests[kind] for kind in ("answer", "upload", "sse", "ws"))
    return [
        Row("requests failed while something served", tally.wrongly, "", 0, 0, f"{total:,} requests: {kinds}{excused}"),
        Row("3-second answers, uploads, streams, WebSockets cut", tally.streams_cut, "", 0, 0, f"of {lasting:,}"),
    ]  # fmt: skip


def _scale() -> list[str]:
    """Return what was typed that makes it another measurement than the whole one."""
    given, usual = vars(_arguments()), vars(_parser().parse_args([]))
    return [f"--{name} {given[name]}" for name in _SCALES if given[name] != usual[name]]


def _arguments() -> argparse.Namespace:
    return _parser().parse_args()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_faults", description=__doc__)
    parser.add_argument("--deploys", type=int, default=50, help="in a row")
    parser.add_argument("--every", type=int, default=1, help="kill at one of so many boundaries")
    parser.add_argument("--instants", type=int, default=100, help="random instants to kill at")
    parser.add_argument("--pair", type=int, default=40, help="kills of deployers to two hosts")
    parser.add_argument("--requests", type=int, default=1_000_000, help="at least, over all parts")
    parser.add_argument("--rounds", type=int, default=5, help="of what is repeated; medians count")
    parser.add_argument("--seed", type=int, default=1, help="of the random instants")
    parser.add_argument("--hours", type=float, default=5, help="after which no further round begins")
    parser.add_argument("--only", nargs="+", default=[], choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--go-on", action="store_true", help="where the last run, or its --hours, ended")
    parser.add_argument("--long", action="store_true", help="as without")
    parser.add_argument("--document", action="store_true", help="put table and picture into docs/")
    return parser


if __name__ == "__main__":
    sys.exit(main())
