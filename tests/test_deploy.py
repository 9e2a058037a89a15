"""What a server is deployed with: image, compose file, systemd unit, Kubernetes manifests, dashboard and alerts.

Each is held to the field's own checker where this machine has it (hadolint, the Kubernetes schemas, systemd-analyze, a
container engine), and everything they say of Inkwash to Inkwash itself: options, metrics, ports, limits of time.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager
from prometheus_client.parser import text_string_to_metric_families

from inkwash.cli.app import load_command
from inkwash.engine.reference_cache import CacheStats
from inkwash.engine.scheduler import EngineStats
from inkwash.serve.metrics import Metrics
from inkwash.serve.server import GRACE_S

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
DRAIN_S = 120.0  # the default of `inkwash serve --drain`
HADOLINT = Path(sys.executable).with_name("hadolint")
DOCKER = shutil.which("docker")
KUBERNETES = "1.33"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, each on one line."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s*", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def serve_options() -> set[str]:
    return {name for parameter in load_command("serve").params for name in parameter.opts}


def check_serve(words: list[str]) -> None:
    """The words behind `inkwash` are a command line of `serve` with options that it has."""
    assert words[0] == "serve" and "--host" in words and words[words.index("--port") + 1] == "30000"
    assert {word for word in words if word.startswith("--")} <= serve_options()


@pytest.fixture(scope="module")
def exposed() -> set[str]:
    """Every name that a query may use: what a server with an engine exposes after one of each kind of answer."""
    stats = EngineStats(
        **dict.fromkeys(("queued", "running", "finished", "cancelled", "failed", "rejected", "pictures", "tokens"), 1),
        tokens_per_s=1.0,
        steps=1,
        step_s=1.0,
        estimated_wait_s=1.0,
        references=CacheStats(hits=1, misses=1, entries=1, bytes=1),
    )
    metrics = Metrics(lambda: stats, lambda: True)
    metrics.requests.labels("/v1/models", "GET", "200").inc()
    metrics.request_seconds.labels("/v1/models").observe(1)
    metrics.drawn({"prior": 1.0}, 1)
    for status in (400, 499, 500):
        metrics.turned_away(status, "code")
    families = list(text_string_to_metric_families(metrics.text().decode()))
    return {sample.name for family in families for sample in family.samples}


def names_of(query: str) -> set[str]:
    """The metrics that a PromQL query names: words that are neither functions, nor labels, nor strings."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|without)\s*\([^)]*\)', "", query)
    words = set(re.findall(r"\b[a-z_][a-z0-9_:]*\b(?!\s*\()", bare))
    return words - {"or", "and", "unless", "on", "ignoring", "up", "sum", "max", "min", "avg"}


def test_the_image_is_small_unprivileged_and_watched() -> None:
    found = instructions()
    final = found[max(index for index, (name, _) in enumerate(found) if name == "FROM") :]
    names = [name for name, _ in final]
    [user] = [value for name, value in final if name == "USER"]
    assert user.isdigit() and int(user) > 0 and names.index("USER") < names.index("CMD")
    assert any(name == "HEALTHCHECK" and "/health" in value for name, value in final)
    assert not any("compilers" in value or "apt-get" in value for _, value in final)
    sources = [value for name, value in found if name == "FROM"]
    assert all(re.match(r"python:\$\{PYTHON\}-slim", value) for value in sources)
    [python] = [value for name, value in found if name == "ARG" and value.startswith("PYTHON=")]
    supported = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["classifiers"]
    assert f"Programming Language :: Python :: {python.removeprefix('PYTHON=').rsplit('.', 1)[0]}" in supported
    [command] = [value for name, value in final if name == "CMD"]
    assert ("ENTRYPOINT", '["inkwash"]') in final
    check_serve(json.loads(command))
    assert any("PIP_CONSTRAINT=/src/constraints.txt" in value for name, value in found if name == "ENV")


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint is not installed: make setup")
def test_hadolint_finds_nothing(tmp_path: Path) -> None:
    said = subprocess.run([HADOLINT, ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stdout + said.stderr
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN cd /x && pip install torch\n")  # it would find something
    assert subprocess.run([HADOLINT, bad], capture_output=True, timeout=60).returncode != 0


def test_the_image_installs_what_the_extras_say() -> None:
    def listed(extras: str) -> set[str]:
        script = DEPLOY / "requirements.py"
        said = subprocess.run([sys.executable, script, extras], capture_output=True, text=True, check=True, timeout=60)
        return set(said.stdout.split("\n")) - {""}

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    assert listed("") == set(project["dependencies"])
    assert listed("ocr,serve") == {*project["dependencies"], *optional["ocr"], *optional["serve"]}
    assert {*optional["serve"], *optional["cluster"], *optional["rl"]} <= listed("all")
    arguments = dict(value.split("=", 1) for name, value in instructions() if name == "ARG" and "=" in value)
    assert set(arguments["EXTRAS"].split(",")) <= set(optional) and arguments["VARIANT"] == "cpu"


def test_the_build_has_every_file_that_the_package_needs(tmp_path: Path) -> None:
    """The metadata hook and the wheel see only what .dockerignore lets in."""
    lines = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] not in "#"]
    assert lines[0] == "*"
    for name in (line.removeprefix("!") for line in lines if line.startswith("!")):
        assert (ROOT / name).exists(), name
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(ROOT / name)
    here = ProjectMetadata(str(ROOT), PluginManager()).core
    there = ProjectMetadata(str(tmp_path), PluginManager()).core
    assert there.readme == here.readme and there.license_files == here.license_files


def test_the_compose_file_starts_what_the_image_and_prometheus_expect() -> None:
    services = COMPOSE["services"]
    server = services["server"]
    check_serve([word.replace("${INKWASH_MODEL:-nano}", "nano") for word in server["command"]])
    assert server["ports"] == ["127.0.0.1:30000:30000"] and server["read_only"] and server["cap_drop"] == ["ALL"]
    assert float(server["stop_grace_period"].removesuffix("s")) > DRAIN_S + GRACE_S
    volume = next(value for name, value in instructions() if name == "VOLUME")
    assert server["volumes"] == [f"state:{volume}"] and set(COMPOSE["volumes"]) == {"state", "metrics", "grafana"}
    mounts = [mount for service in services.values() for mount in service["volumes"] if mount.startswith("./")]
    assert mounts and all((ROOT / mount.split(":")[0]).exists() for mount in mounts)
    assert all(re.search(r":v?\d+\.\d+\.\d+$", services[name]["image"]) for name in ("prometheus", "grafana"))
    [job] = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["server:30000"]}] and job["job_name"] == "inkwash"
    cuda = yaml.safe_load((ROOT / "compose.cuda.yaml").read_text(encoding="utf-8"))["services"]
    assert set(cuda) == {"server"} and cuda["server"]["build"]["args"] == {"VARIANT": "cuda"}


def test_every_query_of_the_dashboard_and_the_alerts_names_metrics_of_the_server(exposed: set[str]) -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "inkwash.json").read_text(encoding="utf-8"))
    [source] = yaml.safe_load(
        (DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text(encoding="utf-8")
    )["datasources"]
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    queries += [rule["expr"] for group in groups for rule in group["rules"]]
    used = {name for query in queries for name in names_of(query)}
    assert len(queries) > 15 and used <= exposed, used - exposed
    own = {
        name for name in exposed if name.startswith("inkwash_") and not name.endswith(("_created", "_sum", "_count"))
    }
    assert own - used <= {"inkwash_engine_steps"}, "a metric that no panel shows"
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"]}
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in dashboard["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) == 23, "panels lie over one another"


def test_the_names_of_a_query_are_found() -> None:
    assert names_of('sum by (le) (rate(a_bucket{x="y_z"}[5m])) / (b or vector(0)) > 0.5') == {"a_bucket", "b"}


def test_the_unit_starts_the_server_and_leaves_it_time_to_drain() -> None:
    text = (DEPLOY / "inkwash.service").read_text(encoding="utf-8")
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    words = shlex.split(lines["ExecStart"].replace("${INKWASH_MODEL}", "nano").replace("$INKWASH_OPTIONS", ""))
    assert words[0].endswith("/bin/inkwash")
    check_serve(words[1:])
    assert float(lines["TimeoutStopSec"]) > DRAIN_S + GRACE_S and lines["DynamicUser"] == "yes"
    assert f"/var/lib/{lines['StateDirectory']}" == lines["WorkingDirectory"]
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    said = subprocess.run(
        ["systemd-analyze", "verify", DEPLOY / "inkwash.service"], capture_output=True, text=True, timeout=60
    )
    complaints = [line for line in said.stderr.splitlines() if "inkwash.service" in line]
    assert all("is not executable" in line for line in complaints), said.stderr  # it is not installed here


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_manifests_follow_the_schemas_of_kubernetes(path: Path) -> None:
    """Also the pods of KubeRay's own kind, as pods of a Deployment would be."""
    checker = pytest.importorskip("kubernetes_validate")
    seen = 0
    for document in documents(path):
        if document["kind"] != "RayCluster":
            checker.validate(document, KUBERNETES, strict=True)
            seen += 1
            continue
        groups = [document["spec"]["headGroupSpec"], *document["spec"]["workerGroupSpecs"]]
        for group in groups:
            labels = {"app": "ray"}
            template = {"metadata": {"labels": labels}, **group["template"]}
            spec = {"selector": {"matchLabels": labels}, "template": template}
            pods = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "ray"}, "spec": spec}
            checker.validate(pods, KUBERNETES, strict=True)
            seen += 1
    assert seen >= 3
    wrong = {**documents(path)[-1], "spec": {"replicas": "one"}}
    with pytest.raises(checker.ValidationError):
        checker.validate(wrong, KUBERNETES, strict=True)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_manifests_hang_together(path: Path) -> None:
    found = {(each["kind"], each["metadata"]["name"]): each for each in documents(path)}
    [deployment] = [each for (kind, _), each in found.items() if kind == "Deployment"]
    [service] = [each for (kind, _), each in found.items() if kind == "Service"]
    template = deployment["spec"]["template"]
    pod = template["spec"]
    [container] = pod["containers"]
    labels = template["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels == service["spec"]["selector"]
    [port] = container["ports"]
    assert service["spec"]["ports"][0]["targetPort"] == port["name"] and port["containerPort"] == 30000
    probes = [container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
    assert all(port["name"] in str(probe) for probe in probes)
    assert probes[0]["httpGet"]["path"] == probes[1]["httpGet"]["path"] == "/health"
    assert "httpGet" not in probes[2], "a server that drains or loads answers 503, and is alive"
    assert pod["terminationGracePeriodSeconds"] > DRAIN_S + GRACE_S
    user = next(value for name, value in instructions() if name == "USER")
    assert pod["securityContext"]["runAsNonRoot"] and str(pod["securityContext"]["runAsUser"]) == user
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert {each["name"] for each in container["volumeMounts"]} == set(volumes)
    claim = volumes["state"]["persistentVolumeClaim"]["claimName"]
    assert ("PersistentVolumeClaim", claim) in found
    if "command" not in container:
        check_serve(container["args"])


def test_the_front_of_a_ray_cluster_joins_it_and_asks_for_the_replicas_that_have_a_place() -> None:
    found = {each["kind"]: each for each in documents(DEPLOY / "kubernetes" / "inkwash-ray.yaml")}
    cluster, front = found["RayCluster"], found["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert cluster["apiVersion"] == "ray.io/v1"
    spec = cluster["spec"]
    assert set(spec) == {"rayVersion", "headGroupSpec", "workerGroupSpecs"}
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert f"ray=={spec['rayVersion']}" in pins
    [workers] = spec["workerGroupSpecs"]
    assert workers["minReplicas"] == workers["replicas"] == workers["maxReplicas"]
    for group in (spec["headGroupSpec"], workers):
        [container] = group["template"]["spec"]["containers"]
        assert container["image"] == front["image"] and isinstance(group["rayStartParams"], dict)
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    start, serve = front["args"][0].strip().splitlines()
    address = next(each["value"] for each in front["env"] if each["name"] == "CLUSTER")
    assert address == f"{cluster['metadata']['name']}-head-svc:6379"  # the service that KubeRay makes
    words = shlex.split(serve)
    assert words[:2] == ["exec", "inkwash"] and "--num-cpus=0" in start and "--num-gpus=0" in start
    check_serve(words[2:])
    assert words[words.index("--replicas") + 1] == str(workers["replicas"])


def has_engine() -> bool:
    if DOCKER is None:
        return False
    return subprocess.run([DOCKER, "info"], capture_output=True, timeout=30).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not has_engine(), reason="no container engine runs here")
def test_the_image_is_built_and_draws() -> None:
    assert DOCKER is not None
    subprocess.run([DOCKER, "build", "-t", "inkwash:test", ROOT], check=True, timeout=3000)
    started = subprocess.run(
        [DOCKER, "run", "-d", "--rm", "--read-only", "--tmpfs", "/tmp", "-p", "127.0.0.1::30000", "inkwash:test"],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout.strip()
    try:
        shown = subprocess.run([DOCKER, "port", started, "30000"], check=True, capture_output=True, text=True).stdout
        address = f"http://{shown.splitlines()[0]}"
        until = time.monotonic() + 300
        while True:
            try:
                assert urllib.request.urlopen(f"{address}/health", timeout=5).status == 200
                break
            except OSError:
                assert time.monotonic() < until
                time.sleep(2)
        body = json.dumps({"prompt": 'A sign that says "OPEN"', "size": "128x128", "steps": 4, "seed": 1}).encode()
        request = urllib.request.Request(
            f"{address}/v1/images/generations", data=body, headers={"Content-Type": "application/json"}
        )
        assert json.load(urllib.request.urlopen(request, timeout=300))["data"][0]["b64_json"]
    finally:
        subprocess.run([DOCKER, "stop", "-t", "30", started], check=True, capture_output=True, timeout=120)
