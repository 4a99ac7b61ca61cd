"""`inv bench data`: backups and restores, ours and by hand, on a lab of its own. docs/benchmarks.md says what a number means.

Exit code 1 where a must is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from tests.bench import table, wrecking
from tests.bench.stage import say
from tests.bench.table import Row
from tests.support import books, stacks
from tests.support import checkout as checkouts
from tests.support.checkout import ROOT
from tests.support.site import Site

_ENV = "bench"
_BY_HAND = ROOT / "tests/bench/by_hand_backup.sh"
_RESTORE_BY_HAND = ROOT / "tests/bench/by_hand_restore.sh"
_PAPERS = "$(docker volume inspect --format '{{.Mountpoint}}' slipway-books-papers)"


def main() -> int:
    """Measure, print, write. Return the exit code."""
    arguments = _arguments()
    count = 20 if arguments.long else 3
    raw: dict[str, Any] = {}
    rows: list[Row] = []
    with _ready() as site:
        if arguments.part in ("all", "kills"):
            kinds = (wrecking.backups, wrecking.restores, wrecking.prunes)
            rows += [kind(site, count, raw) for kind in kinds]
            rows.append(wrecking.migrations(_library(site), count, raw))
        if arguments.part in ("all", "random"):
            rows.append(wrecking.databases(site, 2 * count, raw))
            books.fill(site)
        if arguments.part in ("all", "fineasy"):
            rows.append(wrecking.fineasy(site, raw))
        if arguments.part in ("all", "figures"):
            rows += _backups(site, arguments.megabytes, raw)
            rows += _restores(site, raw)
    command = "inv bench data" + (" --long" if arguments.long else "")
    if arguments.part != "all":
        rows, raw = table.merged("data", rows, raw)
    print(table.text(rows))
    print(f"\n{table.write('data', command, rows, raw)}")
    if arguments.document:
        table.document_it("data")
    return int(any(row.verdict == "MISSED" for row in rows))


@contextlib.contextmanager
def _ready() -> Iterator[Site]:
    """Make a checkout and its lab with the stack `books`; remove all in the end, after SIGTERM too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    checkout = checkouts.make()
    try:
        stacks.add_books(checkout)
        stacks.add_library(checkout)
        listed = "[{name: books, port: 8397}, {name: library, port: 8396}, {name: fineasy, port: 8398}]"
        stacks.environment(checkout, _ENV, listed, backup=f"{{repository: {wrecking.REPOSITORY}}}")
        checkout.commit("a stack that keeps data")
        site = Site(checkout, _ENV, "books", 8397)
        site.deploy("--yes").ok()
        books.fill(site)
        yield site
    finally:
        checkout.labs.add(_ENV)
        checkout.remove()


def _library(site: Site) -> Site:
    """Return the stack `library`, deployed beside: a database with migrations."""
    found = Site(site.checkout, site.env, "library", 8396)
    found.deploy().ok()
    return found


def _backups(site: Site, megabytes: int, raw: dict[str, Any]) -> list[Row]:
    say(f"{megabytes} MB of rows, as much of files")
    _grow(site, megabytes)
    site.on("rm", "-rf", "/var/backups/slipway/ours")
    site.on("sh", "-c", f"rm -f {books.FOLDER}/known.json")
    # In turn, so that what is in the page cache is there for both; the first of either is the first backup.
    by_hand = _by_hand(site)
    say(f"by hand: {by_hand:.1f} s")
    ours, memory, first = _ours(site)
    say(f"ours: {ours:.1f} s")
    rows = megabytes * 1000
    books.sql(site, f"INSERT INTO big SELECT g, {_TEXT} FROM generate_series({rows} + 1, {rows} + {rows // 100}) g")
    _, _, appended = _ours(site)
    books.sql(site, "UPDATE big SET text = reverse(text) WHERE id % 100 = 1")
    _, _, scattered = _ours(site)
    raw |= {"by_hand": by_hand, "ours": ours, "first": first, "appended": appended, "scattered": scattered}
    size = f"{first['bytes'] / 1e9:.2f} GB"
    return [
        Row("first backup, against by hand", ours / by_hand, "x", 1.15, 1.05, f"{size}: {ours:.1f} s, {by_hand:.1f} s by hand"),
        Row("second backup, 1 % appended: growth", 100 * appended["added"] / first["added"], "%", 5, 2),
        Row("third backup, 1 % scattered: growth", 100 * scattered["added"] / first["added"], "%"),
        Row("our own memory on the host, at most", memory, "MB", 150, 80),
    ]  # fmt: skip


def _restores(site: Site, raw: dict[str, Any]) -> list[Row]:
    """Restore what was backed up: ours whole, with all that it compares; by hand the bare pipes; then the drill."""
    base = "/var/backups/slipway/by-hand"
    site.checkout.on(site.env, "sh", "-c", "cat > /tmp/by_hand_restore.sh", stdin=_RESTORE_BY_HAND.read_text())
    restic = "$(ls /var/lib/slipway/tools/restic-* | grep -v pem)"
    argv = f"RESTIC_PASSWORD=x sh /tmp/by_hand_restore.sh {restic} {base} {_PAPERS}"
    database, files = (int(w) / 1000 for w in site.on("sh", "-euc", argv).splitlines()[0].split())
    say(f"restored by hand: {database:.1f} s and {files:.1f} s")
    told = site.inv("restore", "--only", "db,web", "--yes", "--no-safety", "--format", "json").ok().json()
    say(f"ours: {told['seconds']:.1f} s")
    drill = site.inv("backup.drill", "--format", "json").ok().json()
    raw["restore"] = {"by_hand": [database, files], "ours": told["seconds"], "drill": drill}
    words = (
        f"{told['seconds']:.1f} s; by hand {database:.1f} s for the rows, {files:.1f} s for the files, nothing compared"
    )
    return [
        Row("restore, against the bare pipes", told["seconds"] / (database + files), "x", 1.2, 1.1, words),
        Row(
            "drill of that backup",
            drill["rto_s"] / 60,
            "min",
            6,
            3,
            f"verdict {drill['verdict']}, {drill['rto_s']:.0f} s",
        ),
    ]


_TEXT = "(SELECT string_agg(md5((g * 31 + i)::text), '') FROM generate_series(1, 30) i)"


def _grow(site: Site, megabytes: int) -> None:
    """Make so many MB of rows (a thousand bytes each) and of files that nothing compresses."""
    books.sql(site, "DROP TABLE IF EXISTS big; CREATE TABLE big (id bigint, text text)")
    books.sql(site, f"INSERT INTO big SELECT g, {_TEXT} FROM generate_series(1, {megabytes * 1000}) g; CHECKPOINT")
    for number in range(10):
        site.on("sh", "-c", f"head -c {megabytes * 100_000} /dev/urandom > {_PAPERS}/model-{number}.bin")
    site.on("sync")


def _by_hand(site: Site) -> float:
    site.on("sh", "-c", "rm -rf /var/backups/slipway/by-hand; cat > /tmp/by_hand.sh", check=True)
    site.checkout.on(site.env, "sh", "-c", "cat > /tmp/by_hand.sh", stdin=_BY_HAND.read_text())
    restic = "$(ls /var/lib/slipway/tools/restic-* | grep -v pem)"
    argv = f"RESTIC_PASSWORD=x sh /tmp/by_hand.sh {restic} /var/backups/slipway/by-hand {_PAPERS}"
    return int(site.on("sh", "-euc", argv).splitlines()[-1]) / 1000


def _ours(site: Site) -> tuple[float, float, dict[str, Any]]:
    """Back up; return seconds, the most memory (MB) of our processes on the host at a time, and the set."""
    most = [0.0]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            told = site.on("sh", "-c", "ps -u deploy -o rss=,comm= | grep python3", check=False)
            most[0] = max(most[0], sum(int(line.split()[0]) for line in told.splitlines()) / 1000)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        done = site.inv("backup", "--format", "json").ok().json()
    finally:
        ended.set()
        thread.join()
    return float(done["seconds"]), most[0], dict(done["set"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.bench_data", description="backups and restores, measured"
    )
    parser.add_argument(
        "--part", choices=("all", "figures", "kills", "random", "fineasy"), default="all", help="only these rows"
    )
    parser.add_argument(
        "--megabytes", type=int, default=1000, help="of rows, and as many of files (what is documented: 1000)"
    )
    parser.add_argument(
        "--long", action="store_true", help="20 kills a kind instead of 3, 40 random databases instead of 6"
    )
    parser.add_argument("--cold", action="store_true", help="nothing: it always starts from an empty repository")
    parser.add_argument("--document", action="store_true", help="put the table into docs/benchmarks.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
