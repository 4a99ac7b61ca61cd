"""The parts of the app that stand on the standard library alone: logs, analyses, model files, health check."""

import hashlib
import http.server
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.agent import schema
from slipway.data import migrations

from .conftest import API

CHECK = [sys.executable, "-IS", str(API / "app" / "healthcheck.py")]


def test_a_log_line_is_json_with_the_request_it_belongs_to(module) -> None:
    logs = module("logs")
    record = logging.LogRecord("api", logging.INFO, "file", 1, "scored %s", ("p1",), None)
    record.fields = {"status": 200, "ms": 1.5}
    token = logs.request_id.set("r-1")
    line = json.loads(logs.JsonLines("api", "rel-7").format(record))
    logs.request_id.reset(token)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("timestamp"))
    assert line == {
        "level": "INFO", "message": "scored p1", "logger": "api", "service": "api", "release": "rel-7",
        "request_id": "r-1", "status": 200, "ms": 1.5,
    }  # fmt: skip


def test_an_exception_stays_on_one_line(module) -> None:
    try:
        int("two\nlines")
    except ValueError:
        record = logging.LogRecord("api", logging.ERROR, "file", 1, "broken", None, sys.exc_info())
    text = module("logs").JsonLines("api", "dev").format(record)
    assert "\n" not in text
    assert "ValueError: invalid literal" in json.loads(text)["exception"]


def test_cash_flow(module) -> None:
    assert module("analysis").cash_flow([100, -40, 50]) == {
        "inflow": 150, "outflow": 40, "net": 110, "mean": 36.67, "deviation": 57.93, "trend": -25.0,
    }  # fmt: skip
    assert module("analysis").cash_flow([7])["trend"] == 0.0


def test_an_anomaly_does_not_hide_itself(module) -> None:
    found = module("analysis").anomalies([10, 11, 9, 10, 5000, 12])
    assert [a["position"] for a in found["anomalies"]] == [4]
    assert module("analysis").anomalies([5, 5, 5])["anomalies"] == []


def test_the_same_bookings_give_the_same_forecast(module) -> None:
    analysis = module("analysis")
    first = analysis.forecast([10.0, -4.0, 7.5])
    assert first == analysis.forecast([10.0, -4.0, 7.5])
    assert first["low"] < first["middle"] < first["high"]


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    (tmp_path / "fraud.joblib").write_bytes(b"trees")
    manifest = {"file": "fraud.joblib", "sha256": hashlib.sha256(b"trees").hexdigest(), "version": "1"}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def test_model_files_that_match_are_accepted(module, model_folder: Path) -> None:
    manifest, file = module("model").verify(model_folder)
    assert manifest["version"] == "1"
    assert file.name == "fraud.joblib"


@pytest.mark.parametrize("broken", ["changed", "missing", "no manifest"])
def test_a_model_that_is_not_the_one_described_is_refused_unread(module, model_folder: Path, broken: str) -> None:
    model = module("model")
    if broken == "changed":
        (model_folder / "fraud.joblib").write_bytes(b"other trees")
    else:
        (model_folder / ("fraud.joblib" if broken == "missing" else "manifest.json")).unlink()
    with pytest.raises(model.ModelError, match="has checksum" if broken == "changed" else "cannot be read"):
        model.load(model_folder)  # fails before it would import joblib, which is not here


def test_verdicts(module) -> None:
    model = module("model").FraudModel("fraud", "1", "0" * 64, (), 0.5, 0.9, None)
    assert [model.verdict(score) for score in (0.0, 0.49, 0.5, 0.89, 0.9, 1.0)] == [
        "allow", "allow", "review", "review", "block", "block",
    ]  # fmt: skip


def test_migrations_are_one_chain_with_titles() -> None:
    folder = API / "migrations"
    found, problems = schema.read("alembic", migrations.texts(folder))
    assert problems == []
    assert [m["id"] for m in found] == ["0001", "0002", "0003"]
    assert len(found) == len(list((folder / "versions").glob("*.py")))
    assert {m["kind"] for m in found} == {"expand"}
    assert all(m["title"].endswith(".") for m in found)
    assert 'slipway = "expand"' in (folder / "script.py.mako").read_text(), "a new one says which it is"


def test_the_seeds_indexes_are_there() -> None:
    text = "".join(file.read_text() for file in (API / "migrations" / "versions").glob("*.py"))
    for index in (
        "idx_ai_analysis_business_type ON ai_analysis_results (business_id, analysis_type)",
        "idx_ai_analysis_created ON ai_analysis_results (created_at)",
        "idx_fraud_alerts_business_status ON fraud_alerts (business_id, status)",
        "idx_fraud_alerts_created ON fraud_alerts (created_at)",
        "idx_insights_business_valid ON business_insights (business_id, valid_until)",
        "idx_insights_type ON business_insights (insight_type)",
    ):
        assert f"CREATE INDEX {index}" in text
    for table in ("ml_models", "feature_flags", "usage_analytics"):
        assert f"CREATE TABLE {table}" in text


@pytest.fixture
def answering() -> Iterator[int]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 503)
            self.end_headers()
            self.wfile.write(b'{"failed": ["cache"]}')

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server.server_port
        server.shutdown()


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CHECK, *arguments], capture_output=True, text=True, check=False, timeout=10)


def test_health_check_over_http(answering: int) -> None:
    assert check("http", str(answering), "/health").returncode == 0
    bad = check("http", str(answering), "/health/ready")
    assert bad.returncode == 1
    assert '{"failed": ["cache"]}' in bad.stderr


def test_health_check_without_a_server() -> None:
    assert check("http", "1", "/health").returncode == 1


def test_health_check_by_file(tmp_path: Path) -> None:
    sign = tmp_path / "alive"
    assert check("file", str(sign), "60").returncode == 1
    sign.touch()
    assert check("file", str(sign), "60").returncode == 0
    os.utime(sign, (time.time() - 99, time.time() - 99))
    assert re.search(r"no sign of life for (99|\d{3}) s", check("file", str(sign), "60").stderr)
