"""Trains the fraud model: `python train.py FOLDER` writes fraud.joblib and manifest.json there.

The same code and library versions give the same file, byte for byte. The payments are synthetic, drawn from what fraud
reports say again and again: large amounts, at night, to new payees abroad, in bursts, from young accounts. A model that
does not tell them apart well enough is refused.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import joblib
import numpy as np
import sklearn
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score

NAME, VERSION = "fraud", "2026.1"
FEATURES = ("amount", "hour", "new_payee", "foreign", "payments_last_hour", "account_age_days")
SEED, ROWS, HELD_OUT = 20260101, 6000, 1500
LEAST_AUC = 0.9


def payments(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features (rows x FEATURES) and whether each payment was a fraud (0 or 1)."""
    amount = rng.lognormal(mean=7.5, sigma=1.3, size=rows)
    hour = rng.integers(0, 24, size=rows)
    new_payee = rng.random(rows) < 0.3
    foreign = rng.random(rows) < 0.15
    burst = rng.poisson(1.2, size=rows) + np.where(rng.random(rows) < 0.08, rng.integers(4, 15, size=rows), 0)
    age = rng.exponential(500, size=rows).astype(int)
    night = (hour < 5) | (hour > 22)
    risk = (
        -7.5
        + 1.1 * np.log10(amount + 1)
        + 1.8 * night
        + 2.2 * new_payee
        + 2.0 * foreign
        + 0.45 * burst
        + 1.6 * (age < 30)
        + 2.5 * (new_payee & foreign & (amount > 10_000))
    )
    fraud = rng.random(rows) < 1 / (1 + np.exp(-1.8 * risk))
    return np.column_stack([amount, hour, new_payee, foreign, burst, age]).astype(float), fraud.astype(int)


def main(folder: Path) -> None:
    """Train, judge on payments that were held out, and write the model with its manifest to `folder`."""
    x, y = payments(np.random.default_rng(SEED), ROWS)
    estimator = GradientBoostingClassifier(n_estimators=60, max_depth=3, learning_rate=0.15, random_state=SEED)
    estimator.fit(x[:-HELD_OUT], y[:-HELD_OUT])
    auc = float(roc_auc_score(y[-HELD_OUT:], estimator.predict_proba(x[-HELD_OUT:])[:, 1]))
    if auc < LEAST_AUC:
        sys.exit(f"the model's AUC is {auc:.3f}, less than {LEAST_AUC}: not written")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{NAME}.joblib"
    joblib.dump(estimator, file)
    manifest = {
        "name": NAME,
        "version": VERSION,
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "scikit_learn": sklearn.__version__,
        "features": FEATURES,
        "review_from": 0.5,
        "block_from": 0.9,
        "auc": round(auc, 4),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    print(f"{NAME} {VERSION}: AUC {auc:.3f}, sha256 {manifest['sha256'][:12]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
