"""The image and the compose file: settings, ports, secrets and times fit one another and Veredus."""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from deploy.promises import DEPLOY, PATHS, ROOT, parse, port, seconds_to_stop, settings
from veredus.config.load import SEARCHED
from veredus.config.settings import Config

DOCKERFILE = DEPLOY / "docker" / "Dockerfile"
NODES = ("node1", "node2", "node3")
SECRETS = "/run/secrets/"


def instructions() -> Iterator[tuple[str, str]]:
    """The Dockerfile as (instruction, its arguments)."""
    text = re.sub(r"(?m)^#.*\n", "", DOCKERFILE.read_text()).replace("\\\n", " ")
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, rest = line.partition(" ")
        yield name, re.sub(r"\s+", " ", rest)


def last(instruction: str) -> str:
    return [rest for name, rest in instructions() if name == instruction][-1]


def image_file() -> Path:
    """The configuration that the image has."""
    source, target = last("COPY").split()
    assert Path(target) in SEARCHED
    return ROOT / source


@cache
def compose() -> Any:
    """The compose file with its defaults put in."""
    text = (DEPLOY / "compose.yaml").read_text()
    return yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "secrets"
    subprocess.run([DEPLOY / "make-secrets", directory], check=True, capture_output=True)
    return directory


@pytest.fixture(scope="module")
def config(secrets: Path) -> Config:
    """What a node of the compose file is set to."""
    given = compose()["services"]["node1"]["environment"]
    environ = {name: value.replace(SECRETS, f"{secrets}/") for name, value in given.items()}
    return settings(environ, image_file())


def haproxy_defaults() -> dict[str, str]:
    return dict(re.findall(r"(?m)^\s*presetenv\s+(\S+)\s+(\S+)", (DEPLOY / "haproxy.cfg").read_text()))


# ---------------------------------------------------------------- the image


def test_the_image_runs_a_command_that_the_program_knows() -> None:
    assert json.loads(last("ENTRYPOINT")) == ["veredus"]
    parse(json.loads(last("CMD")))
    # They would win over what a chart or a person writes into a file.
    assert "VEREDUS__" not in last("ENV")


def test_the_settings_of_the_image_exist_and_its_ports_are_open() -> None:
    alone = settings({}, image_file())
    ports = {port(address) for address in (*alone.http.listen, *alone.lmtp.listen)}
    assert {int(number) for number in last("EXPOSE").split()} == ports
    assert str(alone.data_dir) == last("VOLUME")


def test_the_health_check_asks_a_path_that_is_served() -> None:
    url = urlsplit(re.findall(r"http://[^']+", last("HEALTHCHECK"))[0])
    assert url.path in PATHS
    assert url.port == port(settings({}, image_file()).http.listen[0])


def test_the_image_does_not_run_as_root_and_says_so_by_number() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last("USER"))
    assert last("STOPSIGNAL") == "SIGTERM"


def test_the_context_of_the_build_has_what_is_copied_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied: set[str] = set()
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            copied |= set(rest.split()[:-1])
    assert "*" in lines
    assert {path.removeprefix("./") for path in copied} == let_in
    assert [path for path in let_in if not (ROOT / path).exists()] == []


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^([a-z0-9.-]+)==(\S+)", (ROOT / lock).read_text()))


def test_the_image_has_the_extras_in_the_versions_that_are_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = [
        *project["project"]["dependencies"],
        *extras["cluster"],
        *extras["workers"],
        *extras["bridge"],
    ]
    image, tested = pins("requirements-cluster.lock"), pins("requirements-dev.lock")
    assert {re.split(r"[^a-z0-9-]", name)[0] for name in wanted} <= image.keys(), "run `make lock-image`"
    assert {name: version for name, version in image.items() if tested.get(name) != version} == {}
    builds = pins("requirements-build.lock")
    assert {re.split(r"[^a-z0-9-]", name)[0] for name in project["build-system"]["requires"]} <= builds.keys()


def test_hadolint_finds_nothing_wrong_with_the_dockerfile() -> None:
    if shutil.which("hadolint") is None:
        pytest.skip("needs hadolint")
    done = subprocess.run(["hadolint", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


# ---------------------------------------------------------------- the compose file


def test_the_nodes_are_told_of_the_services_that_are_there(config: Config) -> None:
    services = compose()["services"]
    for url in (config.storage.url, config.bus.url, config.blobs.endpoint):
        assert urlsplit(url or "").hostname in services
    for name in NODES:
        assert services[name]["environment"] == services["node1"]["environment"]


def test_each_secret_is_made_and_each_use_of_one_is_declared(secrets: Path) -> None:
    declared = compose()["secrets"]
    assert {Path(secret["file"]).name for secret in declared.values()} <= {
        path.name for path in secrets.iterdir()
    }
    for name, service in compose()["services"].items():
        mentioned = set(re.findall(rf"{SECRETS}(\w+)", json.dumps(service)))
        assert mentioned == set(service.get("secrets", [])), name
        assert mentioned <= declared.keys()


def test_the_same_passwords_are_on_both_sides(secrets: Path, config: Config) -> None:
    def read(name: str) -> str:
        return (secrets / name).read_text()

    database = urlsplit(config.storage.url)
    of_postgres = compose()["services"]["postgres"]["environment"]
    assert database.password == read("postgres_password")
    assert (database.username, database.path[1:]) == (
        of_postgres["POSTGRES_USER"],
        of_postgres["POSTGRES_DB"],
    )
    assert f'"{urlsplit(config.bus.url or "").username}"' in read("nats_conf")
    (credentials,) = json.loads(read("blobs_identities"))["identities"][0]["credentials"]
    assert credentials == {"accessKey": config.blobs.access_key, "secretKey": config.blobs.secret_key}


def test_secrets_that_are_there_are_kept(secrets: Path) -> None:
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}
    subprocess.run([DEPLOY / "make-secrets", secrets], check=True, capture_output=True)
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before
    assert secrets.stat().st_mode & 0o077 == 0


def test_who_is_waited_for_has_a_health_check() -> None:
    services = compose()["services"]
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                # The nodes have that of the image.
                assert "healthcheck" in services[other] or services[other]["image"] == "veredus"


def test_a_node_is_given_the_time_that_it_takes_to_stop(config: Config) -> None:
    (grace,) = {compose()["services"][name]["stop_grace_period"] for name in NODES}
    assert int(grace.removesuffix("s")) > seconds_to_stop(config)


def test_the_database_takes_the_connections_of_all_nodes_twice(config: Config) -> None:
    """While nodes are replaced, the old ones and the new ones are there."""
    command = compose()["services"]["postgres"]["command"]
    (most,) = (int(word.partition("=")[2]) for word in command if word.startswith("max_connections="))
    assert most >= 2 * len(NODES) * config.workers * 2 * config.storage.connections + 10


def test_the_load_balancer_leads_to_the_nodes(config: Config) -> None:
    defaults = haproxy_defaults()
    for name in NODES:
        number = name.removeprefix("node")
        assert defaults[f"VEREDUS_NODE{number}_HTTP"] == f"{name}:{port(config.http.listen[0])}"
        assert defaults[f"VEREDUS_NODE{number}_LMTP"] == f"{name}:{port(config.lmtp.listen[0])}"
    inside = {int(mapping.rpartition(":")[2]) for mapping in compose()["services"]["haproxy"]["ports"]}
    assert inside == {port(defaults["VEREDUS_HTTP"]), port(defaults["VEREDUS_LMTP"])}


def test_the_load_balancer_notices_before_streams_are_sent_away(config: Config) -> None:
    check_s = int(haproxy_defaults()["VEREDUS_CHECK"].removesuffix("s"))
    assert config.http.drain / 4 > 2 * check_s


def test_haproxy_understands_its_file() -> None:
    if shutil.which("haproxy") is None:
        pytest.skip("needs haproxy")
    done = subprocess.run(
        ["haproxy", "-c", "-q", "-f", DEPLOY / "haproxy.cfg"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
