"""What a drill is made from: nothing of the host's is written to."""

from __future__ import annotations

from pathlib import Path

from slipway.agent.data import throwaway


def test_a_folder_of_the_host_becomes_a_volume_of_the_drill(tmp_path: Path) -> None:
    file = tmp_path / "init.sql"
    file.write_text("")
    mounts = [
        {"type": "bind", "source": str(tmp_path), "target": "/data"},
        {"type": "bind", "source": str(file), "target": "/init.sql"},
        {"type": "bind", "source": "/etc/ssl", "target": "/certs", "read_only": True},
        {"type": "volume", "source": "data", "target": "/more"},
    ]
    apart = throwaway._apart({"services": {"db": {"image": "postgres:17", "volumes": mounts}, "web": {}}})
    folder, init, certificates, volume = apart["services"]["db"]["volumes"]
    assert folder["type"] == "volume"
    assert folder["target"] == "/data"
    assert str(tmp_path) not in folder["source"]
    assert init == {**mounts[1], "read_only": True}
    assert (certificates, volume) == (mounts[2], mounts[3])
    assert apart["services"]["web"]["volumes"] == []
