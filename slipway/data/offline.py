"""The SQL of Alembic's migrations, without a database and without the stack's own `env.py`: a program, see `migrations.sql`.

Each file's `upgrade` is run with Alembic's operations writing SQL instead of sending it. The process is one of its own, since
a stack's code runs in it.
"""

from __future__ import annotations

import importlib.util
import io
import json
import re
import sys
from types import ModuleType


def sql_of(path: str) -> str:
    """Return the SQL that a migration's `upgrade` runs; a comment that begins with "-- unknown:" where that can't be told."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    buffer = io.StringIO()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": buffer})
    try:
        with Operations.context(context):
            _module(path).upgrade()
    except Exception as error:  # it is somebody else's code: whatever it raises says why
        return f"-- unknown: without a database it ends with {type(error).__name__}: {str(error).splitlines()[0][:120]}"
    return re.sub(r"\n{3,}", "\n\n", buffer.getvalue()).replace(";;", ";")


def _module(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("migration", path)
    assert spec and spec.loader  # noqa: S101 - it is a file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    answer = {}
    out, sys.stdout = sys.stdout, sys.stderr  # what a migration prints is not the answer
    sys.dont_write_bytecode = True
    for name in sys.argv[1:]:
        answer[name] = sql_of(name)
    json.dump(answer, out)
