# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
"""manifests_test.py BIN SOURCE: docker-compose.yml, deploy/kubernetes and the programs fit together.

Images, commands, ports and mounts are the same in both; every option is one that the program has.
"""
import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys

if importlib.util.find_spec("yaml") is None:
    print("skipped: python3-yaml is not installed; scripts/setup installs it")
    sys.exit(77)

import yaml

BIN, SOURCE = (pathlib.Path(path).resolve() for path in sys.argv[1:3])


def fill_in(value):
    """What Compose makes of ${NAME:-default} and $$ when nothing is set."""
    if isinstance(value, dict):
        return {key: fill_in(item) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_in(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value).replace("$$", "$")
    return value


SERVICES = fill_in(yaml.safe_load((SOURCE / "docker-compose.yml").read_text()))["services"]
MANIFESTS = {path.stem: list(yaml.safe_load_all(path.read_text()))
             for path in sorted((SOURCE / "deploy/kubernetes").glob("*.yaml"))}
# A service of Compose, by its name, is a pod here.
PODS = {document["metadata"]["name"]: document["spec"]["template"]
        for documents in MANIFESTS.values() for document in documents if "template" in document["spec"]}


def container(name):
    containers = PODS[name]["spec"]["containers"]
    assert len(containers) == 1, name
    return containers[0]


def options_of(command):
    """Of a program or a subcommand, as --help lists them: name -> whether it takes a value."""
    said = subprocess.run([BIN / command[0], *command[1:], "--help"], text=True, capture_output=True, check=True)
    found = re.findall(r"^\s+(?:-\w,)?(--[a-z-]+)( (?:TEXT|UINT|FLOAT|INT))?", said.stdout, re.M)
    return {name: bool(value) for name, value in found}


def check_command(where, command):
    """[program, subcommand...] [--option[=value]...]: the program has each of them."""
    names = [word for word in command if not word.startswith("--")]
    known = options_of(names)
    assert "--help" in known, where
    for word in command[len(names):]:
        name, equals, _ = word.partition("=")
        assert name in known, f"{where}: {names[0]} has no {name}"
        assert known[name] == bool(equals), f"{where}: {word}: a value is missing, or one too many"


def value_of(command, option):
    return next(word.partition("=")[2] for word in command if word.startswith(option + "="))


def check_same():
    assert set(PODS) == {"coordinator", "worker", "worker-gpu"}, PODS.keys()
    for name in PODS:
        service, pod = SERVICES[name], container(name)
        assert service["image"] == pod["image"], name
        assert service["command"] == pod["command"], f"{name}:\n{service['command']}\n{pod['command']}"
        check_command(name, pod["command"])
        listened = {value_of(pod["command"], option).rpartition(":")[2]
                    for option in ("--listen", "--metrics", "--http") if any(w.startswith(option + "=") for w in pod["command"])}
        assert listened == {str(port["containerPort"]) for port in pod["ports"]}, name
        mounts = {volume.split(":")[1] for volume in service["volumes"]} | set(service["tmpfs"])
        assert mounts == {mount["mountPath"] for mount in pod["volumeMounts"]}, name
        grace = PODS[name]["spec"]["terminationGracePeriodSeconds"]
        assert service["stop_grace_period"] == f"{grace}s", name
        assert service["read_only"] and pod["securityContext"]["readOnlyRootFilesystem"], name
        assert service["cap_drop"] == pod["securityContext"]["capabilities"]["drop"] == ["ALL"], name
    health = SERVICES["coordinator"]["healthcheck"]["test"][1:]
    check_command("coordinator's health check", health)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container("coordinator")[probe]["exec"]["command"] == health, probe
    assert container("worker")["resources"]["limits"]["cpu"] == value_of(SERVICES["worker"]["command"], "--threads")
    assert container("worker-gpu")["resources"]["limits"]["nvidia.com/gpu"] >= 1
    user = re.search(r"^USER (\d+):(\d+)$", (SOURCE / "deploy/docker/Dockerfile").read_text(), re.M)
    for name, pod in PODS.items():
        context = pod["spec"]["securityContext"]
        assert (str(context["runAsUser"]), str(context["runAsGroup"])) == user.groups(), name


def check_kubernetes():
    service, = (d for d in MANIFESTS["coordinator"] if d["kind"] == "Service")
    host, _, port = value_of(container("worker")["command"], "--coordinator").rpartition(":")
    assert host == service["metadata"]["name"]
    assert int(port) in [p["port"] for p in service["spec"]["ports"]]
    assert service["spec"]["selector"].items() <= PODS["coordinator"]["metadata"]["labels"].items()
    for documents in MANIFESTS.values():
        for document in documents:
            if "template" in document["spec"]:
                labels = document["spec"]["template"]["metadata"]["labels"]
                assert document["spec"]["selector"]["matchLabels"].items() <= labels.items()
    monitor, = MANIFESTS["monitor"]
    watched = set(monitor["spec"]["selector"]["matchExpressions"][0]["values"])
    assert watched == {pod["metadata"]["labels"][monitor["spec"]["jobLabel"]] for pod in PODS.values()}
    jobs = {job["job_name"] for job in prometheus("compose.yml")["scrape_configs"]}
    assert watched == jobs, "the rules know jobs by the names of Prometheus' configuration"


def prometheus(name):
    return yaml.safe_load((SOURCE / "deploy/prometheus" / name).read_text())


def check_prometheus():
    compose, plain = prometheus("compose.yml"), prometheus("prometheus.yml")
    for key in ("global", "rule_files"):
        assert compose[key] == plain[key], key
    assert [j["job_name"] for j in compose["scrape_configs"]] == [j["job_name"] for j in plain["scrape_configs"]]
    coordinator, workers = compose["scrape_configs"]
    port = value_of(SERVICES["coordinator"]["command"], "--metrics").rpartition(":")[2]
    assert coordinator["static_configs"][0]["targets"] == [f"coordinator:{port}"]
    found = workers["dns_sd_configs"][0]
    assert str(found["port"]) == value_of(SERVICES["worker"]["command"], "--metrics").rpartition(":")[2]
    for name in ("worker", "worker-gpu"):
        assert found["names"] == SERVICES[name]["networks"]["default"]["aliases"], name


def check_compose():
    version = re.search(r"VERSION ([\d.]+)", (SOURCE / "CMakeLists.txt").read_text().split("project(")[1]).group(1)
    for name, service in SERVICES.items():
        assert ":" in service["image"] and not service["image"].endswith(":latest"), name
        if "build" in service:
            assert service["image"].split(":")[1] == version, name
            assert (SOURCE / service["build"]["dockerfile"]).exists(), name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port} is open to other machines"
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert (SOURCE / volume.split(":")[0]).exists(), f"{name}: {volume}"
    for program in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(program[0]) is None:
            continue
        if subprocess.run([*program, "version"], capture_output=True).returncode == 0:
            subprocess.run([*program, "-f", SOURCE / "docker-compose.yml", "--profile", "gpu", "--profile", "client",
                            "config", "-q"], check=True)


def check_context():
    """What the image is built from has every directory that CMake enters for it."""
    kept = {line[1:] for line in (SOURCE / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    entered = re.findall(r"^\s*add_subdirectory\((\w+)", (SOURCE / "CMakeLists.txt").read_text(), re.M)
    missing = set(entered) - kept - {"tests", "bench"}
    assert not missing, f".dockerignore leaves out {missing}"


check_context()
check_compose()
check_same()
check_kubernetes()
check_prometheus()
print("docker-compose.yml, deploy/kubernetes and the programs fit together")
