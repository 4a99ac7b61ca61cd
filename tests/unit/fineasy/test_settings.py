"""Settings and secrets, as the services read them."""

from pathlib import Path

import pytest

BASE = {"DATABASE_URL": "postgresql://fineasy@postgres/fineasy", "REDIS_URL": "redis://redis"}


def test_a_secret_comes_from_its_file(module, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    found = module("settings").Settings.from_environment({**BASE, "POSTGRES_PASSWORD_FILE": str(file)})
    assert found.database_password == "s3cret"
    assert found.redis_password is None
    assert "s3cret" not in repr(found)


def test_a_secret_file_that_is_missing_is_an_error(module) -> None:
    settings = module("settings")
    with pytest.raises(settings.SettingError, match="REDIS_PASSWORD_FILE: cannot read /nowhere"):
        settings.Settings.from_environment({**BASE, "REDIS_PASSWORD_FILE": "/nowhere"})


def test_all_missing_settings_are_named_at_once(module) -> None:
    settings = module("settings")
    with pytest.raises(settings.SettingError, match="set DATABASE_URL and REDIS_URL"):
        settings.Settings.from_environment({})


def test_an_unknown_log_level_is_an_error(module) -> None:
    settings = module("settings")
    with pytest.raises(settings.SettingError, match="LOG_LEVEL is 'LOUD'"):
        settings.Settings.from_environment({**BASE, "LOG_LEVEL": "loud"})


def test_defaults_and_lists(module) -> None:
    settings = module("settings").Settings
    found = settings.from_environment({**BASE, "CORS_ORIGINS": "https://a.example, https://b.example,"})
    assert (found.release, found.version, found.log_level) == ("dev", "dev", "INFO")
    assert found.cors_origins == ("https://a.example", "https://b.example")
    assert settings.from_environment({**BASE, "CORS_ORIGINS": ""}).cors_origins == ()
