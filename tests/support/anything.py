"""Databases as nobody would design them: hypothesis draws the SQL that makes one, of all common types and odd names."""

from __future__ import annotations

import datetime as dt
import json

from hypothesis import strategies as st

Draw = st.DrawFn
_CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
_TEXT = st.text(_CHARACTERS, max_size=40)
_INT = st.integers(-(2**31), 2**31 - 1)
_MOMENT = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 1, 1)).map(str)
_LEAF = st.none() | st.booleans() | _INT | _TEXT
_JSON: st.SearchStrategy[str] = st.recursive(
    _LEAF, lambda x: st.lists(x, max_size=3) | st.dictionaries(_TEXT, x, max_size=3), max_leaves=6
).map(lambda v: json.dumps(v, ensure_ascii=False).replace("\\u0000", ""))  # fmt: skip


def _array(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def written(items: list[str | None]) -> str:
        quoted = ("NULL" if i is None else '"' + i.replace("\\", "\\\\").replace('"', '\\"') + '"' for i in items)
        return "{" + ",".join(quoted) + "}"

    return st.lists(st.none() | values, max_size=4).map(written)


_NUMBER = st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**14), max_value=10**14).map(str)
_FLOAT = st.floats(width=32).map(lambda f: repr(f).replace("inf", "Infinity"))
_BYTES = st.binary(max_size=60).map(lambda b: "\\x" + b.hex())
_ADDRESS = st.ip_addresses().map(str)
TYPES: dict[str, st.SearchStrategy[str]] = {
    "smallint": st.integers(-(2**15), 2**15 - 1).map(str),
    "integer": _INT.map(str),
    "bigint": st.integers(-(2**63), 2**63 - 1).map(str),
    "numeric": _NUMBER | st.just("NaN"),
    "numeric(20,5)": _NUMBER,
    "real": _FLOAT,
    "double precision": st.floats().map(lambda f: repr(f).replace("inf", "Infinity")),
    "boolean": st.sampled_from(["t", "f"]),
    "text": _TEXT,
    "varchar(12)": st.text(_CHARACTERS, max_size=12),
    "char(5)": st.text(_CHARACTERS, max_size=5),
    "bytea": _BYTES,
    "date": st.dates().map(str) | st.sampled_from(["infinity", "-infinity", "0044-03-15 BC"]),
    "timestamp": _MOMENT,
    "timestamptz": _MOMENT.map(lambda m: m + "+05:45"),
    "time": st.times().map(str),
    "timetz": st.times().map(lambda t: f"{t}-03"),
    "interval": st.tuples(_INT, st.integers(-999, 999)).map(
        lambda i: f"{i[0] % 99999} days {i[1]} months 0.000001 seconds"
    ),
    "uuid": st.uuids().map(str),
    "json": _JSON,
    "jsonb": _JSON,
    "inet": _ADDRESS,
    "cidr": _ADDRESS,
    "macaddr": st.binary(min_size=6, max_size=6).map(lambda b: b.hex()),
    "bit(5)": st.integers(0, 31).map(lambda i: f"{i:05b}"),
    "varbit": st.integers(0, 10**6).map(lambda i: f"{i:b}"),
    "point": st.tuples(_INT, _INT).map(str),
    "int4range": st.tuples(_INT, _INT).map(lambda t: f"[{min(t)},{max(t)})"),
    "money": st.integers(-(10**9), 10**9).map(lambda i: f"{i}.37"),
    "tsvector": st.lists(st.sampled_from(["a", "fat", "cat", "ü"]), max_size=4).map(" ".join),
    "pg_lsn": st.integers(0, 2**32 - 1).map(lambda i: f"0/{i:X}"),
    "text[]": _array(_TEXT),
    "integer[]": _array(_INT.map(str)),
    "numeric[]": _array(_NUMBER),
    "xml": st.sampled_from(["<a/>", "<ü>x</ü>", "text"]),
    "mood": st.sampled_from(["good", "so 'so'", "bäd"]),
    "positive": st.integers(1, 10**9).map(str),
    "pair": st.tuples(_INT, st.sampled_from(["x", "", '"'])).map(lambda p: f'({p[0]},"{p[1]}")'.replace('"""', '""""')),
}
"""What a value of each type may be, as a literal without quotes. The last three are made by `BEGIN`."""

BEGIN = [
    "CREATE TYPE mood AS ENUM ('good', 'so ''so''', 'bäd')",
    "CREATE DOMAIN positive AS integer CHECK (VALUE > 0)",
    "CREATE TYPE pair AS (a integer, b text)",
]


def literal(text: str | None) -> str:
    """Return a text as SQL has it."""
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def quoted(text: str) -> str:
    """Return a name as SQL has it."""
    return '"' + text.replace('"', '""') + '"'


def names(taken: set[str]) -> st.SearchStrategy[str]:
    """Return names that are not yet taken, and take them: any characters, keywords, as long as Postgres lets them be."""
    odd = st.text(_CHARACTERS, min_size=1, max_size=20).filter(lambda n: len(n.encode()) <= 63)
    common = st.sampled_from(
        ["order", "User", "ü", "a b", "select", "x\ny", "it's", '"', "%s", "\\", "$1", ":x", "TABLE DATA", "-- x"]
    )

    def take(name: str) -> str:
        taken.add(name)
        return name

    return (odd | common).filter(lambda n: n not in taken and not n.startswith(("pg_", "slipway"))).map(take)


@st.composite
def tables(draw: Draw, schema: str, taken: set[str]) -> list[str]:
    """Draw a table of a schema: columns, rows, and perhaps an index, a view of it, a comment, one that refers to it."""
    name = f"{quoted(schema)}.{quoted(draw(names(taken)))}"
    own: set[str] = set()
    kinds = draw(st.lists(st.sampled_from(sorted(TYPES)), max_size=6))
    columns = [(quoted(draw(names(own))), kind) for kind in kinds]
    key = draw(st.sampled_from(["", "serial", "identity"])) if columns else ""
    words = [f"{column} {kind}" for column, kind in columns]
    if key:
        made = "serial" if key == "serial" else "integer GENERATED ALWAYS AS IDENTITY"
        words.append(f"slipway_id {made} PRIMARY KEY")
        words += ["doubled integer GENERATED ALWAYS AS (slipway_id * 2) STORED"] if draw(st.booleans()) else []
    logged = draw(st.sampled_from(["", "", "UNLOGGED "])) if not key else ""
    sql = [f"CREATE {logged}TABLE {name} ({', '.join(words)})"]
    for row in draw(st.lists(st.tuples(*(st.none() | TYPES[k] for _, k in columns)), max_size=12)) if columns else ():
        into = ", ".join(c for c, _ in columns)
        values = ", ".join(f"{literal(v)}::{k}" for v, (_, k) in zip(row, columns, strict=True))
        sql.append(f"INSERT INTO {name} ({into}) VALUES ({values})")
    if key:
        sql += _around(draw, schema, name, taken)
    if draw(st.booleans()):
        sql.append(f"COMMENT ON TABLE {name} IS {literal(draw(_TEXT))}")
    return sql


def _around(draw: Draw, schema: str, name: str, taken: set[str]) -> list[str]:
    """Return what stands around a table with a key: indexes, views, a table that refers to it, one that inherits from it."""
    sql = []
    other = lambda: f"{quoted(schema)}.{quoted(draw(names(taken)))}"  # noqa: E731
    kinds = st.sampled_from(["index", "view", "materialized", "refers", "inherits", "partitions", "trigger"])
    for kind in sorted(draw(st.sets(kinds, max_size=3))):
        if kind == "index":
            sql.append(f"CREATE UNIQUE INDEX ON {name} ((slipway_id + 1)) WHERE slipway_id > 2")
        elif kind in ("view", "materialized"):
            words = "MATERIALIZED VIEW" if kind == "materialized" else "VIEW"
            sql.append(f"CREATE {words} {other()} AS SELECT slipway_id, count(*) AS n FROM {name} GROUP BY 1")
        elif kind == "refers":
            child = other()
            sql.append(f"CREATE TABLE {child} (of integer REFERENCES {name} DEFERRABLE INITIALLY DEFERRED)")
            sql.append(f"INSERT INTO {child} SELECT slipway_id FROM {name}")
        elif kind == "inherits":
            child = other()
            sql.append(f"CREATE TABLE {child} (more text DEFAULT 'x') INHERITS ({name})")
        elif kind == "partitions":
            whole, low, rest = other(), other(), other()
            sql.append(f"CREATE TABLE {whole} (k integer NOT NULL, t text) PARTITION BY RANGE (k)")
            sql.append(f"CREATE TABLE {low} PARTITION OF {whole} FOR VALUES FROM (0) TO (10)")
            sql.append(f"CREATE TABLE {rest} PARTITION OF {whole} DEFAULT")
            sql.append(f"INSERT INTO {whole} SELECT g, repeat('ü', g) FROM generate_series(-3, 20) g")
        else:
            function = other()
            body = "$$BEGIN RAISE EXCEPTION 'nobody deletes'; END$$"
            sql.append(f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS {body}")
            sql.append(f"CREATE TRIGGER never BEFORE DELETE ON {name} EXECUTE FUNCTION {function}()")
    return sql


@st.composite
def databases(draw: Draw, most: int = 12) -> list[str]:
    """Draw the statements that fill an empty database: up to `most` tables, large objects, sequences, what it has of its own."""
    sql = list(BEGIN)
    schemas = {"public": set[str]()}
    taken: set[str] = {"public"}
    for _ in range(draw(st.integers(0, 2))):
        schema = draw(names(taken))
        schemas[schema] = set()
        sql.append(f"CREATE SCHEMA {quoted(schema)}")
    for _ in range(draw(st.integers(1, most))):
        schema = draw(st.sampled_from(list(schemas)))
        sql += draw(tables(schema, schemas[schema]))
    if draw(st.booleans()):
        name = quoted(draw(names(schemas["public"])))
        start = draw(st.integers(1, 2**60))
        sql += [
            f"CREATE SEQUENCE public.{name} START {start} INCREMENT 3",
            f"SELECT nextval({literal(f'public.{name}')})",
        ]
    for content in draw(st.lists(_BYTES, max_size=3)):
        sql.append(f"SELECT lo_from_bytea(0, {literal(content)})")
    limit, role = draw(st.sampled_from([-1, 7])), draw(st.booleans())
    sql += [f"ALTER DATABASE books CONNECTION LIMIT {limit}"] if limit != -1 else []
    sql += (
        ["GRANT TEMPORARY ON DATABASE books TO odd_role", "ALTER DATABASE books SET search_path TO public, pg_catalog"]
        if role
        else []
    )
    return sql


def script(statements: list[str]) -> str:
    """Return statements as psql reads them."""
    return "".join(f"{s};\n" for s in statements)
