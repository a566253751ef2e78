"""The units of systemd: what they run exists, what they promise fits, and the backup does what it says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.promises import DEPLOY, parse, seconds_to_stop, settings

UNITS = DEPLOY / "systemd"
NAMES = ["veredus.service", "veredus-bridge@.service", "veredus-backup.service", "veredus-backup.timer"]
# Where the documentation puts the programs.
PROGRAMS = "/opt/veredus/bin"
VEREDUS = Path(sys.executable).with_name("veredus")


def directives(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (UNITS / unit).read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def node_settings(tmp_path: Path) -> dict[str, str]:
    """The environment of the drop-in of a cluster, with files as credentials."""
    drop_in = directives("veredus.service.d/cluster.conf")
    content = {
        "storage.url": "postgresql://veredus:x@10.0.0.4/veredus",
        "bus.url": "nats://token@10.0.0.5:4222",
    }
    for credential in drop_in["LoadCredential"]:
        name, _, source = credential.partition(":")
        assert source == f"/etc/veredus/secrets/{name}"
        (tmp_path / name).write_text(content.get(name, name))
    pairs = (line.partition("=") for line in drop_in["Environment"])
    return {name: value.replace("%d", str(tmp_path)) for name, _, value in pairs}


@pytest.mark.parametrize("unit", ["veredus.service", "veredus-bridge@.service"])
def test_the_program_knows_the_command_of_a_unit(unit: str) -> None:
    (command,) = directives(unit)["ExecStart"]
    program, *words = command.split()
    assert program == f"{PROGRAMS}/veredus"
    parse(words)


def test_a_node_of_a_cluster_reads_its_secrets_as_credentials(tmp_path: Path) -> None:
    config = settings(node_settings(tmp_path))
    assert config.storage.url.startswith("postgresql:")
    assert config.bus.url is not None
    assert (config.blobs.access_key, config.blobs.secret_key) == ("blobs.access_key", "blobs.secret_key")


def test_systemd_waits_longer_than_a_node_takes_to_stop(tmp_path: Path) -> None:
    patience_s = int(directives("veredus.service")["TimeoutStopSec"][0])
    for workers in ("1", "4"):
        config = settings(node_settings(tmp_path) | {"VEREDUS__WORKERS": workers})
        assert config.http.drain > 0
        assert patience_s > seconds_to_stop(config)


@pytest.fixture(scope="module")
def verifiable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units with a program that is here; systemd looks whether there is one."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze, of Debian's package systemd")
    directory = tmp_path_factory.mktemp("units")
    shutil.copytree(UNITS / "veredus.service.d", directory / "veredus.service.d")
    for name in NAMES:
        text = (UNITS / name).read_text()
        (directory / name.replace("@", "@fastmail")).write_text(
            re.sub(rf"{PROGRAMS}/\S+", shutil.which("true") or "", text)
        )
    return directory


@pytest.mark.parametrize("name", NAMES)
def test_systemd_finds_nothing_wrong_with_a_unit(verifiable: Path, name: str) -> None:
    unit = verifiable / name.replace("@", "@fastmail")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    about_ours = [line for line in done.stderr.splitlines() if "veredus" in line]
    assert (done.returncode, about_ours) == (0, [])


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".service")])
def test_a_service_may_do_little(verifiable: Path, name: str) -> None:
    """Exposure is 9.6 for a service that says nothing; systemd calls 2 and less OK."""
    unit = verifiable / name.replace("@", "@fastmail")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-500:]


def test_the_backup_unit_may_write_where_it_writes_and_nowhere_else() -> None:
    unit = directives("veredus-backup.service")
    program, directory = unit["ExecStart"][0].split()
    assert program == f"{PROGRAMS}/veredus-backup"
    assert unit["ReadWritePaths"] == [directory]
    assert unit["ProtectSystem"] == ["strict"]
    assert directives("veredus-backup.timer")["OnCalendar"]


def backup(directory: Path, data: Path, keep: str = "2") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [UNITS / "veredus-backup", directory],
        env={"PATH": "/usr/bin:/bin", "VEREDUS": str(VEREDUS), "VEREDUS__DATA_DIR": str(data), "KEEP": keep},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    """Three older backups, and one that was not finished."""
    directory = tmp_path / "backups"
    for day in (1, 2, 3):
        old = directory / f"2026-01-0{day}T023000Z"
        old.mkdir(parents=True)
        (old / "backup.json").write_text("{}")
    (directory / "2026-01-04T023000Z").mkdir()
    return directory


def test_a_backup_is_made_and_read_again_and_the_oldest_go(tmp_path: Path, backups: Path) -> None:
    data = tmp_path / "data"
    subprocess.run(
        [VEREDUS, "--data-dir", data, "account", "add", "ada@example.com", "--password-stdin"],
        input="long enough for a test",
        capture_output=True,
        text=True,
        check=True,
    )
    done = backup(backups, data)
    assert done.returncode == 0, done.stderr
    assert "\ngood: " in done.stdout
    *old, unfinished, new = sorted(backups.iterdir())
    assert [path.name for path in (*old, unfinished)] == ["2026-01-03T023000Z", "2026-01-04T023000Z"]
    assert (new / "backup.json").exists()


def test_a_backup_that_fails_removes_nothing(tmp_path: Path, backups: Path) -> None:
    before = set(backups.iterdir())
    done = backup(backups, tmp_path / "no data")
    assert "there is no data in" in done.stderr
    assert done.returncode != 0
    assert before <= set(backups.iterdir())


@pytest.mark.parametrize("keep", ["0", "-1", "many"])
def test_a_number_of_backups_that_is_none_is_refused_at_once(
    tmp_path: Path, backups: Path, keep: str
) -> None:
    before = sorted(backups.iterdir())
    done = backup(backups, tmp_path / "no data", keep)
    assert (done.returncode, done.stderr) == (2, f"KEEP={keep}: expected a number from 1\n")
    assert sorted(backups.iterdir()) == before
