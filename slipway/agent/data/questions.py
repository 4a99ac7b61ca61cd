"""What a Postgres database is asked: its tables, their sums, and what else a dump of it should hold."""

from __future__ import annotations

LOCKED_FOR = 300_000
"""Milliseconds that a dump waits for a table that somebody has locked."""
SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "lc_monetary": "C",
    "search_path": "",
    "row_security": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": f"{LOCKED_FOR}",
}
"""Under these a row is the same text everywhere, so that sums can be compared."""

TABLES_SQL = """
SELECT coalesce(json_agg(format('%I.%I', n.nspname, c.relname) ORDER BY 1), '[]')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                AND d.objid = c.oid AND d.deptype = 'e')
"""
"""The tables whose rows pg_dump dumps, as it quotes them; what belongs to an extension is made by that."""

SUM_SQL = (
    "SELECT json_build_array(count(*), coalesce(sum(hashtextextended(slipway_row::text, 0)), 0)::text)"
    " FROM ONLY {table} AS slipway_row"
)
"""Rows of a table and the sum of their hashes, whatever their order."""

OBJECTS_SQL = (
    "SELECT json_build_array(count(*), coalesce(sum(hashtextextended(oid::text || md5(lo_get(oid)), 0)), 0)::text)"
    " FROM pg_catalog.pg_largeobject_metadata"
)
"""The same of large objects."""

ABOUT_SQL = """
SELECT json_build_object(
 'server', current_setting('server_version'), 'server_num', current_setting('server_version_num')::int,
 'encoding', current_setting('server_encoding'),
 'extensions', (SELECT coalesce(json_object_agg(extname, extversion), '{}') FROM pg_catalog.pg_extension),
 'roles', (SELECT coalesce(json_agg(rolname ORDER BY 1), '[]') FROM pg_catalog.pg_roles WHERE rolname NOT LIKE 'pg\\_%'),
 'sequences', (SELECT coalesce(json_object_agg(format('%I.%I', schemaname, sequencename), last_value), '{}')
               FROM pg_catalog.pg_sequences))
"""
