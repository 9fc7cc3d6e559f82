# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
"""A real training run on loopback, for tests of what watches it."""
import contextlib
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

BIN, SOURCE = (pathlib.Path(path).resolve() for path in sys.argv[1:3])

JOB = """name: watched
model: {{hidden: 16, layers: 2}}
data: {{file: data.bin}}
population: {population}
window: 16
steps: 1000000
held_out_streams: 4
validate_every: 2
checkpoint_every: 3
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def wait_for(what, done, seconds=50):
    """The first true value of done(); fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if value := done():
                return value
        time.sleep(0.3)
    sys.exit(f"waited {seconds} s in vain for {what}")


class Training:
    """Coordinator, with these flags too, two workers and a job without end. Use as a context. The larger
    the population, the slower are its steps."""

    def __init__(self, *coordinator_flags, population=80):
        self.coordinator_flags = coordinator_flags
        self.population = population

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.directory = pathlib.Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.coordinator = f"127.0.0.1:{free_port()}"
        self.coordinator_metrics = f"127.0.0.1:{free_port()}"
        self.worker_metrics = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        self.start_coordinator()
        for number, metrics in enumerate(self.worker_metrics):
            self.start_worker(f"worker-{number}", f"cache-{number}", "--metrics", metrics)
        (self.directory / "job.yaml").write_text(JOB.format(population=self.population))
        self.run(["hatchery", "data", "count", "--tokens", "20000", "--out", "data.bin"])
        wait_for("the coordinator", lambda: fetch(f"http://{self.coordinator_metrics}/metrics"))
        self.run(["hatchery", "submit", "job.yaml", "--coordinator", self.coordinator])
        return self

    def __exit__(self, *error):
        self.stack.close()

    def start(self, command):
        log = self.stack.enter_context(open(self.directory / "log", "a"))
        process = subprocess.Popen(command, cwd=self.directory, stdout=log, stderr=log)
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    def start_worker(self, name, cache, *flags):
        # Nice: whoever looks on, a browser for one, comes first.
        self.start(["nice", "-n", "19", BIN / "hatchery-worker", "--coordinator", self.coordinator, "--backend", "cpu",
                    "--threads", "1", "--name", name, "--cache-dir", cache, *flags])

    def start_coordinator(self):
        self.coordinator_process = self.start(
            [BIN / "hatchery-coordinator", "--listen", self.coordinator, "--data-dir", "data", "--metrics",
             self.coordinator_metrics, "--audit", "0.2", *self.coordinator_flags])

    def run(self, command):
        command[0] = BIN / command[0]
        subprocess.run(command, cwd=self.directory, check=True, timeout=50, stdout=subprocess.DEVNULL)

    def metrics(self, address):
        return fetch(f"http://{address}/metrics")
