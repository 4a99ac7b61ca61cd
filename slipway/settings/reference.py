"""The settings reference, `docs/settings.md`, made from the models: `python -m slipway.settings.reference`."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from slipway.settings import load
from slipway.settings.base import Seconds
from slipway.settings.model import Environment
from slipway.settings.xslipway import ServiceExtras, StackExtras

FILE = "docs/settings.md"

_HEAD = """\
# Settings

Made from the schema by `python -m slipway.settings.reference`; a test fails when this page is stale.

A key that does not exist, a wrong type or a missing value ends a command with exit code 2 before anything is touched;
one message lists all problems of the environment and the stack, each with file and line. Durations are written `90s`,
`10m`, `1h30m`, or as a number of seconds. Text that looks like a number or as `true` is put in quotes.
"""

_ENVIRONMENT = """\
## `envs/<env>.yml`

The file's name is the environment's name: a lower-case letter, then letters, digits and hyphens. An environment has
either `hosts` and a `registry`, or a `lab`, which brings both.
"""

_SERVICE = """\
## `x-slipway` of a service, in `compose/<stack>/compose.yaml`

All keys are optional. What Compose itself can say is said in Compose's keys: `deploy.replicas`, `stop_grace_period`,
`healthcheck`, `expose` (the ports of an accessory that the environment's other hosts may reach). How to write a stack:
[stacks.md](stacks.md).
"""

_STACK = """\
## `x-slipway` of a stack, at the top of `compose/<stack>/compose.yaml`
"""

_REST = """\
## Values for `${NAME}` in a stack file

Compose's rules: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?words}`, `${NAME?words}`,
`${NAME:+other}`, `${NAME+other}`, nested defaults, `$$` for a dollar sign. The values are `stacks[].settings` of the
environment and nothing else: what is deployed does not depend on the shell of whoever types. A variable without value
and default is an error, and so is a setting that no variable takes.

## Secrets

`inv secrets.init --env <env>` gives a random value to each secret that the stacks name, and to the password of the
backups, where there is none yet;
`inv secrets.edit --env <env>` opens them in `$EDITOR`. They are in `envs/<env>.vault.yml`, in Ansible Vault's format:

```yaml
<stack>:
  <name of the secret>: <value>
registry:
  password: <password of registry.username>
backup:
  password: <password of the backups; keep a copy elsewhere: without it nobody opens them>
  <name in backup.environment>: <value>
  ssh_key: <private key, for `sftp:` copies; their servers stand in `envs/known_hosts`>
```

The password of the vault is the first of these that is given: the variable `SLIPWAY_VAULT_PASSWORD`, the file named by
the variable `SLIPWAY_VAULT_PASSWORD_FILE`, `vault_password` of the environment. A `lab` without `vault_password` needs
none of it: its vault and its password are made at first use, in the git-ignored `.slipway/`. `SLIPWAY_REGISTRY_PASSWORD` comes
before the vault's `registry.password`.
"""


def render() -> str:
    """Return the whole page."""
    parts = [
        _HEAD,
        _ENVIRONMENT,
        *_tables("", Environment, skip={"name"}),
        _SERVICE,
        *_tables("", ServiceExtras),
        _STACK,
        *_tables("", StackExtras),
        _REST,
    ]
    return "\n".join(parts)


def _tables(title: str, kind: type[BaseModel], skip: frozenset[str] | set[str] = frozenset()) -> Iterator[str]:
    """Yield the table of a model's keys, then those of the models inside it."""
    rows = ["| key | type | default | what it is | example |", "| --- | --- | --- | --- | --- |"]
    inner: list[tuple[str, type[BaseModel]]] = []
    for name, info in kind.model_fields.items():
        if name in skip:
            continue
        key = info.alias or name
        nested, many = _model(info.annotation)
        if nested:
            inner.append((f"{title}.{key}".lstrip(".") + ("[]" if many else ""), nested))
        cells = (f"`{key}`", _type(info), _default(info), info.description or "", _example(key, info, nested, many))
        rows.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    if title:
        yield f"### `{title}`\n\n{(kind.__doc__ or '').strip()}\n"
    yield "\n".join(rows) + "\n"
    for path, model in inner:
        yield from _tables(path, model)


def _model(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """Return the model inside an annotation, and whether there is a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType, tuple):
        for part in get_args(annotation):
            found, many = _model(part)
            if found:
                return found, many or origin is tuple
    return None, False


def _seconds(info: FieldInfo) -> bool:
    return any(type(m).__name__ == "BeforeValidator" for m in info.metadata) and info.annotation is get_args(Seconds)[0]


def _type(info: FieldInfo) -> str:
    if _seconds(info):
        return "duration"
    nested, many = _model(info.annotation)
    if nested:
        return "list of mappings" if many else "mapping"
    words = _words(info.annotation)
    limits = {name: getattr(m, name) for m in info.metadata for name in ("ge", "le") if hasattr(m, name)}
    if "ge" in limits and "le" in limits:
        return f"{words}, {limits['ge']} to {limits['le']}"
    return f"{words}, at least {limits['ge']}" if "ge" in limits else words


def _words(annotation: Any) -> str:
    plain = {int: "whole number", str: "text", bool: "true or false", float: "number", Any: "anything"}
    if annotation in plain:
        return plain[annotation]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{a}`" for a in args)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(a) for a in args if a is not type(None))
    if origin is tuple:
        return "list of text"
    if origin is dict:
        return "mapping"
    return _words(args[0]) if args else str(annotation)  # Annotated[X, ...]


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    if _seconds(info):
        return f"`{_short(float(info.default))}`"
    value = info.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return "below"
    if value is None or value in ((), {}):
        return "none"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def _short(seconds: float) -> str:
    """Return seconds as a settings file has them: 3600 is `1h`."""
    if seconds >= 3600 and seconds % 3600 == 0:
        return f"{seconds / 3600:g}h"
    return f"{seconds / 60:g}m" if seconds > 60 and seconds % 60 == 0 else f"{seconds:g}s"


def _example(key: str, info: FieldInfo, nested: type[BaseModel] | None, many: bool) -> str:
    if nested:
        fields = nested.model_fields.items()
        chosen = [(n, f) for n, f in fields if f.is_required()] or list(fields)[:1]
        inner = {f.alias or n: f.examples[0] if f.examples else ... for n, f in chosen}
        shown = ", ".join(f"{n}: {_flow(v)}" for n, v in inner.items())
        return f"`{key}: [{{{shown}}}]`" if many else f"`{key}: {{{shown}}}`"
    return f"`{key}: {_flow((info.examples or ['?'])[0])}`"


def _flow(value: Any) -> str:
    """Return a value as one line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(v) for v in value) + "]"
    if isinstance(value, str):
        plain = value.replace("/", "").replace(".", "").replace("-", "").replace("~", "").replace(" ", "").isalnum()
        return value if plain and not value.replace(".", "").isdigit() else f"'{value}'"
    return json.dumps(value)


if __name__ == "__main__":
    (load.root() / FILE).write_text(render(), encoding="utf-8")
