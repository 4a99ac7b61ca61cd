"""docs/settings.md is made from the schema, and says something about every key."""

from __future__ import annotations

import yaml
from pydantic import BaseModel

from slipway.settings import load, reference
from slipway.settings.model import (
    Environment,
    Health,
    Host,
    Lab,
    Migration,
    Registry,
    Route,
    Smoke,
    StackEntry,
    VaultPassword,
)
from slipway.settings.xslipway import ServiceExtras, StackExtras

MODELS: list[type[BaseModel]] = [
    Environment,
    Health,
    Host,
    Lab,
    Migration,
    Registry,
    Route,
    Smoke,
    StackEntry,
    VaultPassword,
    ServiceExtras,
    StackExtras,
]


def test_the_page_is_not_stale() -> None:
    page = (load.root() / reference.FILE).read_text()
    assert page == reference.render(), "run: python -m slipway.settings.reference"


def test_every_key_has_a_description_and_an_example() -> None:
    for model in MODELS:
        for name, info in model.model_fields.items():
            if (model, name) == (Environment, "name"):
                continue
            assert info.description, (model, name)
            nested, _ = reference._model(info.annotation)
            assert nested or info.examples, (model, name)


def test_every_example_is_yaml_of_its_key() -> None:
    rows = [line for line in reference.render().splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    for row in rows:
        cells = row.strip("| ").split(" | ")
        assert list(yaml.safe_load(cells[-1].strip("`"))) == [cells[0].strip("`")], row
