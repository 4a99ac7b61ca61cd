"""Migrations are files that name a key to set; `BREAK` in one makes it fail."""

import sys
from pathlib import Path

from store import ask

done = int(ask("GET", "schema") or 0)
waiting = [p for p in sorted(Path("migrations").glob("*.sql")) if int(p.name.partition("_")[0]) > done]
for path in waiting:
    if sys.argv[1] == "pending":
        print(path.stem)
    elif "BREAK" in path.read_text():
        sys.exit(f"migration {path.stem} is broken: no such column")
    else:
        ask("SET", "schema", str(int(path.name.partition("_")[0])))
