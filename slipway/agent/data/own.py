"""What a database has of its own, which no dump of it holds: grants on it, its connection limit, settings, a comment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .sqlwords import literal, name

if TYPE_CHECKING:
    from .postgres import Conversation

OWN_SQL = """
SELECT json_build_object(
 'limit', d.datconnlimit,
 'comment', pg_catalog.shobj_description(d.oid, 'pg_database'),
 'grants', CASE WHEN d.datacl IS NOT NULL THEN (
   SELECT coalesce(json_agg(json_build_array(g.rolname, a.privilege_type, a.is_grantable)
                            ORDER BY g.rolname, a.privilege_type), '[]')
   FROM pg_catalog.aclexplode(d.datacl) a LEFT JOIN pg_catalog.pg_roles g ON g.oid = a.grantee) END,
 'settings', (
   SELECT coalesce(json_agg(json_build_array(r.rolname, s.setconfig) ORDER BY r.rolname), '[]')
   FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = d.oid))
FROM pg_catalog.pg_database d WHERE d.datname = {database}
"""

NOTHING: dict[str, Any] = {"limit": -1, "comment": None, "grants": None, "settings": []}
"""What a database has that was just made."""

_LISTS = ("search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries")
"""Settings whose value is a list, which stays as the server keeps it."""


def of(talking: Conversation, database: str) -> dict[str, Any]:
    """Return what a database has of its own; `NOTHING` where there is none of that name."""
    told = talking.ask(OWN_SQL.format(database=literal(database)).replace("\n", " "))
    return json.loads(told) if told else dict(NOTHING)


def give(talking: Conversation, database: str, own: Mapping[str, Any]) -> None:
    """Give a database that was just made what another one had. Roles that are not there are left out. Raises OperationFailed."""
    roles = set(json.loads(talking.ask("SELECT json_agg(rolname) FROM pg_catalog.pg_roles")))
    if own["limit"] != -1:
        talking.ask(f"ALTER DATABASE {name(database)} CONNECTION LIMIT {int(own['limit'])}")
    if own["comment"] is not None:
        talking.ask(f"COMMENT ON DATABASE {name(database)} IS {literal(own['comment'])}")
    if own["grants"] is not None:
        talking.ask(f"REVOKE ALL ON DATABASE {name(database)} FROM PUBLIC")
        for role, privilege, grantable in own["grants"]:
            if role is None or role in roles:
                more = " WITH GRANT OPTION" if grantable else ""
                whom = "PUBLIC" if role is None else name(role)
                talking.ask(f"GRANT {privilege} ON DATABASE {name(database)} TO {whom}{more}")
    for role, settings in own["settings"]:
        if role and role not in roles:
            continue
        who = f"ROLE {name(role)} IN DATABASE {name(database)}" if role else f"DATABASE {name(database)}"
        for key, _, value in (s.partition("=") for s in settings):
            talking.ask(f"ALTER {who} SET {key} TO {value if key in _LISTS and value else literal(value)}")
