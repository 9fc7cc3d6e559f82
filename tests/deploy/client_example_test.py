# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
"""client_example_test.py BIN SOURCE: examples/client.py, health and reflection, from Python."""
import importlib.util
import os
import shutil
import subprocess
import sys

if importlib.util.find_spec("grpc") is None or shutil.which("protoc") is None:
    print("skipped: python3-grpcio or protoc is not installed; scripts/setup installs them")
    sys.exit(77)

import grpc

from training import SOURCE, Training, wait_for


def call(channel, method, request):
    """A unary call with bytes as they are on the wire."""
    return channel.unary_unary(method)(request, timeout=5)


def reflect(channel, request):
    stream = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    return next(stream(iter([request]), timeout=5))


def check_citizenship(address):
    with grpc.insecure_channel(address) as channel:
        for service in (b"", b"hatchery.v1.ClientService", b"hatchery.v1.WorkerService"):
            name = b"\x0a" + bytes([len(service)]) + service if service else b""  # HealthCheckRequest.service
            assert call(channel, "/grpc.health.v1.Health/Check", name) == b"\x08\x01", service  # SERVING
        services = reflect(channel, b"\x3a\x00")  # list_services: ""
        for name in (b"hatchery.v1.ClientService", b"hatchery.v1.WorkerService"):
            assert name in services, services
        symbol = b"hatchery.v1.SubmitJobRequest"
        assert b"hatchery/v1/coordinator.proto" in reflect(channel, b"\x22" + bytes([len(symbol)]) + symbol)


def main():
    with Training() as training:
        modules = training.directory / "python"
        modules.mkdir()
        protos = sorted((SOURCE / "proto/hatchery/v1").glob("*.proto"))
        subprocess.run(["protoc", f"-I{SOURCE}/proto", f"--python_out={modules}", *protos], check=True)

        def jobs():
            return subprocess.run([sys.executable, SOURCE / "examples/client.py", training.coordinator],
                                  env=os.environ | {"PYTHONPATH": str(modules)}, text=True, check=True,
                                  capture_output=True, timeout=50).stdout

        listed = wait_for("a commit", lambda: (out := jobs()) and " 0/" not in f" {out.split()[-1]}" and out)
        assert listed.startswith("1 watched RUNNING ") and listed.endswith("/1000000\n"), listed
        check_citizenship(training.coordinator)


main()
