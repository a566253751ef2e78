"""The Helm chart, rendered by Go's own templates: what comes out fits Kubernetes and Veredus."""

import copy
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deploy.promises import DEPLOY, PATHS, build_renderer, parse, port, render, seconds_to_stop, settings
from veredus import __version__
from veredus.config.load import SEARCHED
from veredus.config.settings import Config

CHART = DEPLOY / "helm" / "veredus"
SECRET = {
    "storage.url": "postgresql://veredus:x@postgres/veredus",
    "bus.url": "nats://token@nats:4222",
    "blobs.access_key": "key",
    "blobs.secret_key": "secret",
}
PLAIN = {"secret": {"values": SECRET}}
EVERYTHING = {
    "secret": {"existing": "by-hand"},
    "settings": {
        "http.public_url": "https://mail.example.com",
        "http.trusted_proxies": ["10.0.0.0/8"],
        "storage.connections": 20,
    },
    "smtp": {"enabled": True, "annotations": {"a": "b"}},
    "service": {"annotations": {"a": "b"}},
    "ingress": {"enabled": True, "tlsSecret": "certificate"},
    "metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    "imagePullSecrets": [{"name": "registry"}],
    "serviceAccount": {"name": "bucket"},
    "podAnnotations": {"a": "b"},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "mail", "operator": "Exists"}],
}
WITHOUT_MAIL = {**PLAIN, "lmtp": {"enabled": False}}


def defaults() -> Any:
    return yaml.safe_load((CHART / "values.yaml").read_text())


def values(given: Mapping[str, Any]) -> Any:
    """The chart's values with others over them, as Helm does it."""

    def over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
        for name, value in above.items():
            is_both = isinstance(value, dict) and isinstance(below.get(name), dict)
            below[name] = over(below[name], value) if is_both else copy.deepcopy(value)
        return below

    return over(defaults(), given)


def validate(given: Mapping[str, Any]) -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(values(given), schema)


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return build_renderer(tmp_path_factory.mktemp("go"))
    except OSError:
        pytest.skip("needs Go: Debian's golang-go")
    except subprocess.CalledProcessError as error:
        if "cannot find package" in error.stderr:
            pytest.skip("needs Debian's golang-github-masterminds-sprig-dev and golang-k8s-sigs-yaml-dev")
        raise AssertionError(error.stderr) from error


class Rendered:
    """The objects of a chart."""

    def __init__(self, renderer: Path, given: Mapping[str, Any]) -> None:
        validate(given)
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        texts = render(values(given), chart, renderer)
        self.notes = texts.pop("NOTES.txt")
        self.objects = [found for text in texts.values() for found in yaml.safe_load_all(text) if found]

    def of_kind(self, kind: str) -> list[Any]:
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str) -> Any:
        (found,) = self.of_kind(kind)
        return found

    @property
    def pod(self) -> Any:
        return self.one("Deployment")["spec"]["template"]["spec"]

    @property
    def container(self) -> Any:
        (container,) = self.pod["containers"]
        return container

    def config(self, directory: Path) -> Config:
        """What a node reads: the file of the ConfigMap and the files of the Secret."""
        mounts = {mount["name"]: mount["mountPath"] for mount in self.container["volumeMounts"]}
        for name, text in SECRET.items():
            (directory / name).write_text(text)
        (directory / "veredus.toml").write_text(self.one("ConfigMap")["data"]["veredus.toml"])
        environ = {
            pair["name"]: pair["value"].replace(mounts["secrets"], str(directory))
            for pair in self.container["env"]
        }
        return settings(environ, directory / "veredus.toml")


@pytest.fixture(
    scope="module", params=[PLAIN, EVERYTHING, WITHOUT_MAIL], ids=["plain", "everything", "no mail"]
)
def chart(request: pytest.FixtureRequest, renderer: Path) -> Rendered:
    return Rendered(renderer, request.param)


@pytest.mark.parametrize(
    "given",
    [
        {"settings": {"data_dir": "/data"}},
        {"settings": {"http.listen": ["0.0.0.0:80"]}},
        {"settings": {"http": {"public_url": "https://mail.example.com"}}},
        {"replica": 3},
        {"drainSeconds": -1},
        {"smtp": {"port": 0}},
    ],
    ids=str,
)
def test_values_that_would_not_work_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate(given)


def test_the_chart_is_of_this_version() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__


def test_kubernetes_takes_every_object(chart: Rendered) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for found in chart.objects:
        if found["apiVersion"] != "monitoring.coreos.com/v1":
            kubernetes_validate.validate(found, "1.32", strict=True)


def test_a_node_reads_its_settings(chart: Rendered, tmp_path: Path) -> None:
    config = chart.config(tmp_path)
    assert config.storage.url == SECRET["storage.url"]
    assert config.hostname == "mail.example.com"
    mounts = {mount["name"]: mount["mountPath"] for mount in chart.container["volumeMounts"]}
    assert Path(mounts["settings"], *chart.one("ConfigMap")["data"]) in SEARCHED
    parse(chart.container["args"])


def test_each_secret_setting_has_a_file(chart: Rendered) -> None:
    mounts = {mount["name"]: mount["mountPath"] for mount in chart.container["volumeMounts"]}
    files = {pair["value"] for pair in chart.container["env"]}
    (volume,) = (volume for volume in chart.pod["volumes"] if volume["name"] == "secrets")
    assert files == {f"{mounts['secrets']}/{name}" for name in SECRET}
    for secret in chart.of_kind("Secret"):
        assert secret["metadata"]["name"] == volume["secret"]["secretName"]
        assert secret["stringData"] == SECRET


def test_a_node_listens_where_services_and_probes_lead(chart: Rendered, tmp_path: Path) -> None:
    config = chart.config(tmp_path)
    ports = {found["name"]: found["containerPort"] for found in chart.container["ports"]}
    listening = {"http": config.http.listen, "lmtp": config.lmtp.listen, "smtp": config.smtp.listen}
    listening["metrics"] = (config.metrics.listen or "",)
    assert ports == {name: port(addresses[0]) for name, addresses in listening.items() if addresses}
    for service in chart.of_kind("Service"):
        assert service["spec"]["ports"][0]["targetPort"] in ports
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = chart.container[probe]["httpGet"]
        assert (asked["path"], asked["port"]) in {(path, "http") for path in PATHS}
    assert chart.container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert chart.container["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_every_selector_finds_the_pods(chart: Rendered) -> None:
    labels = chart.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [service["spec"]["selector"] for service in chart.of_kind("Service")]
    selectors += [
        chart.one(kind)["spec"]["selector"]["matchLabels"] for kind in ("Deployment", "PodDisruptionBudget")
    ]
    selectors += [found["labelSelector"]["matchLabels"] for found in chart.pod["topologySpreadConstraints"]]
    assert [selector for selector in selectors if not selector.items() <= labels.items()] == []


def test_a_rolling_restart_takes_no_node_before_another_is_ready(chart: Rendered, tmp_path: Path) -> None:
    rolling = chart.one("Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert rolling["maxUnavailable"] == 0
    config = chart.config(tmp_path)
    assert config.http.drain > 0
    assert chart.pod["terminationGracePeriodSeconds"] > seconds_to_stop(config)


def test_a_pod_may_do_little(chart: Rendered) -> None:
    security = chart.container["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert chart.pod["securityContext"]["runAsNonRoot"]
    writable = {mount["mountPath"] for mount in chart.container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/var/lib/veredus", "/tmp"}


def test_other_settings_are_other_pods(renderer: Path) -> None:
    def checksums(given: Mapping[str, Any]) -> Any:
        return Rendered(renderer, given).one("Deployment")["spec"]["template"]["metadata"]["annotations"]

    plain = checksums(PLAIN)
    assert checksums({**PLAIN, "settings": {"hostname": "other.example.com"}}) != plain
    assert checksums({"secret": {"values": SECRET | {"bus.url": "nats://new@nats:4222"}}}) != plain


def test_metrics_are_not_where_the_ingress_leads(renderer: Path) -> None:
    chart = Rendered(renderer, EVERYTHING)
    (rule,) = chart.one("Ingress")["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    (service,) = (found for found in chart.of_kind("Service") if found["metadata"]["name"] == backend["name"])
    assert [found["targetPort"] for found in service["spec"]["ports"]] == ["http"]
    monitored = chart.one("ServiceMonitor")["spec"]
    matching = [
        found["metadata"]["name"]
        for found in chart.of_kind("Service")
        if monitored["selector"]["matchLabels"].items() <= found["metadata"]["labels"].items()
    ]
    assert matching == ["mail-metrics"]
    assert monitored["endpoints"][0]["path"] in PATHS


def test_text_of_a_setting_stays_what_it_is(renderer: Path) -> None:
    awkward = 'a "quoted" <word> & \\ back\nnew line'
    chart = Rendered(
        renderer, {**PLAIN, "settings": {"push.contact": awkward, "limits.max_size_upload": 104_857_600}}
    )
    read = tomllib.loads(chart.one("ConfigMap")["data"]["veredus.toml"])
    assert read["push"]["contact"] == awkward
    assert read["limits"]["max_size_upload"] == 104_857_600


def test_a_secret_that_is_missing_is_named(renderer: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        Rendered(renderer, {"secret": {"values": {"storage.url": SECRET["storage.url"]}}})
    assert "secret.values needs bus.url" in caught.value.stderr


def test_the_notes_name_commands_that_exist(renderer: Path) -> None:
    notes = Rendered(renderer, PLAIN).notes
    command = notes[notes.index("veredus account") :].splitlines()[0]
    parse(command.split()[1:])
