"""The fraud model: a scikit-learn file that is used only if it is the very file its manifest describes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


class ModelError(Exception):
    """The model's files are missing, changed, or not for this scikit-learn."""


@dataclass(frozen=True)
class FraudModel:
    """A loaded model and what its manifest says about it."""

    name: str
    version: str
    sha256: str
    features: tuple[str, ...]
    review_from: float
    block_from: float
    estimator: Any

    def score(self, payment: dict[str, Any]) -> float:
        """Return the probability, 0 to 1, that a payment with these features is a fraud."""
        row = [[float(payment[name]) for name in self.features]]
        return round(float(self.estimator.predict_proba(row)[0][1]), 4)

    def verdict(self, score: float) -> str:
        """Return what to do with a payment of this score: allow, review or block."""
        return "block" if score >= self.block_from else "review" if score >= self.review_from else "allow"


def verify(folder: Path) -> tuple[dict[str, Any], Path]:
    """Return the manifest in `folder` and the model file it names. Raise ModelError if the file is not that one."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        file = folder / manifest["file"]
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"model files in {folder} cannot be read: {error}") from error
    if found != manifest["sha256"]:
        raise ModelError(f"{file.name} has checksum {found[:12]}, its manifest says {manifest['sha256'][:12]}")
    return manifest, file


def load(folder: Path) -> FraudModel:
    """Return the model in `folder`, verified before a byte is unpickled. Raise ModelError if it cannot be used."""
    manifest, file = verify(folder)
    import joblib
    import sklearn

    if sklearn.__version__ != manifest["scikit_learn"]:
        raise ModelError(f"{file.name} is for scikit-learn {manifest['scikit_learn']}, here is {sklearn.__version__}")
    known = {f.name: manifest[f.name] for f in fields(FraudModel) if f.name != "estimator"}
    return FraudModel(**known, estimator=joblib.load(file))
