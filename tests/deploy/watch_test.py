# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
"""watch_test.py BIN SOURCE: a real Prometheus, with our configuration, watches a real training run.

Every query of every panel and of every recording rule must return data, and so must every metric
that an alert looks at; promtool must find nothing to say about the metrics; dashboards must have
titles, units and a datasource.
"""
import json
import re
import shutil
import subprocess
import sys
import urllib.parse

from training import BIN, SOURCE, Training, fetch, free_port, wait_for

DEPLOY = SOURCE / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
# Only there with a GPU, which the machine of this test need not have.
GPU_ONLY = "hatchery_worker_device_memory"


def check_dashboards():
    subprocess.run([DEPLOY / "grafana/make-dashboards", "--check"], check=True)
    assert [path.stem for path in DASHBOARDS] == ["fleet", "job", "worker"]
    uids = set()
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        uids.add(board["uid"])
        assert board["title"].startswith("Hatchery: "), path
        assert board["templating"]["list"][0]["type"] == "datasource", path
        places, titles = set(), set()
        for panel in board["panels"]:
            where = f"{path.name}: {panel['title']}"
            assert panel["title"] and panel["title"] not in titles, where
            titles.add(panel["title"])
            assert panel["fieldConfig"]["defaults"]["unit"], where
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, where
            assert panel["targets"], where
            for target in panel["targets"]:
                assert target["expr"] and target["legendFormat"] and target["datasource"], where
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                     for y in range(at["y"], at["y"] + at["h"])}
            assert at["x"] + at["w"] <= 24 and not cells & places, f"{where} lies over another panel"
            places |= cells
    assert len(uids) == len(DASHBOARDS)


def check_with_promtool():
    prometheus = DEPLOY / "prometheus"
    subprocess.run(["promtool", "check", "config", "--lint=all", "--lint-fatal", prometheus / "prometheus.yml"],
                   check=True, stdout=subprocess.DEVNULL)
    for test in sorted((prometheus / "tests").glob("*.yml")):
        subprocess.run(["promtool", "test", "rules", test], check=True, stdout=subprocess.DEVNULL)


def check_refusals(training):
    """An address that others reach, or that is none or taken, is one line that names the remedy."""
    for address, remedy in [("0.0.0.0:1", "--metrics-insecure"), ("example.org:9464", "--metrics-insecure"),
                            ("9464", "HOST:PORT"), (training.coordinator_metrics, "choose another")]:
        command = [BIN / "hatchery-coordinator", "--listen", f"127.0.0.1:{free_port()}", "--data-dir",
                   training.directory / "refused", "--metrics", address]
        said = subprocess.run(command, text=True, capture_output=True, timeout=50)
        assert said.returncode == 1 and said.stderr.count("\n") == 1 and remedy in said.stderr, said


def check_metrics(training):
    """Each program's page: clean to promtool, with the names of docs/metrics.md and no other."""
    documented = set(re.findall(r"^\| `(hatchery_\w+)`", (SOURCE / "docs/metrics.md").read_text(), re.M))
    seen = set()
    for address in [training.coordinator_metrics, *training.worker_metrics]:
        page = training.metrics(address)
        said = subprocess.run(["promtool", "check", "metrics"], input=page, text=True, capture_output=True)
        assert said.returncode == 0 and not said.stderr, said.stdout + said.stderr
        seen |= set(re.findall(r"^# TYPE (hatchery_\w+)", page, re.M))
    undocumented = seen - documented
    missing = {name for name in documented - seen if not name.startswith(GPU_ONLY)}
    assert not undocumented and not missing, f"not in docs/metrics.md: {undocumented}; not shown: {missing}"


class Prometheus:
    def __init__(self, training):
        config = (DEPLOY / "prometheus/prometheus.yml").read_text()
        workers = ", ".join(f'"{address}"' for address in training.worker_metrics)
        for old, new in [('"127.0.0.1:9464"', f'"{training.coordinator_metrics}"'),
                         ('"127.0.0.1:9465"', workers),
                         ("rules/*.yml", str(DEPLOY / "prometheus/rules/*.yml")),
                         ("scrape_interval: 5s", "scrape_interval: 1s"),
                         ("evaluation_interval: 15s", "evaluation_interval: 1s")]:
            assert old in config, old
            config = config.replace(old, new)
        (training.directory / "prometheus.yml").write_text(config)
        self.address = f"127.0.0.1:{free_port()}"
        training.start(["prometheus", f"--config.file={training.directory}/prometheus.yml",
                        f"--storage.tsdb.path={training.directory}/tsdb",
                        f"--web.listen-address={self.address}"])
        wait_for("Prometheus", lambda: fetch(f"http://{self.address}/-/ready"))

    def ask(self, path):
        return json.loads(fetch(f"http://{self.address}/api/v1/{path}"))["data"]

    def query(self, expr):
        return self.ask("query?query=" + urllib.parse.quote(expr))["result"]


def queries(training):
    """(where, PromQL) of everything that must return data."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                expr = target["expr"].replace("$job_id", "1").replace("$instance", training.worker_metrics[0])
                assert "$" not in expr, expr
                if GPU_ONLY not in expr:
                    yield f"{path.name}: {panel['title']}", expr


def check_queries(training, prometheus):
    wanted = list(queries(training))
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["type"] for rule in rules} == {"recording", "alerting"}
    for rule in rules:
        if rule["type"] == "recording":
            wanted += [(rule["name"], rule["query"]), (rule["name"], rule["name"])]
        else:  # an alert's query is empty while all is well; what it looks at must be there
            for selector in set(re.findall(r'(?:\bup|\bhatchery[\w:]+)(?:\{[^}]*\})?', rule["query"])):
                wanted.append((rule["name"], selector))
    left = wanted

    def ask_again():
        nonlocal left
        left = [(where, expr) for where, expr in left if not prometheus.query(expr)]
        return not left

    try:
        wait_for("data", ask_again, 60)
    except SystemExit:
        sys.exit("no data for:\n" + "\n".join(f"  {where}: {expr}" for where, expr in left))
    for rule in [r for g in prometheus.ask("rules")["groups"] for r in g["rules"]]:
        assert rule["health"] == "ok", rule
    targets = prometheus.ask("targets")["activeTargets"]
    assert len(targets) == 3 and all(target["health"] == "up" for target in targets), targets
    return len(wanted)


def main():
    check_dashboards()
    for program in ("prometheus", "promtool"):
        if shutil.which(program) is None:
            print(f"skipped: {program} is not installed; scripts/setup installs it")
            sys.exit(77)
    check_with_promtool()
    with Training() as training:
        prometheus = Prometheus(training)
        try:
            asked = check_queries(training, prometheus)
            check_metrics(training)
            check_refusals(training)
        except BaseException:
            print((training.directory / "log").read_text()[-4000:])
            raise
    print(f"{asked} queries return data")


main()
