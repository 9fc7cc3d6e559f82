# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
"""client_example_test.py BIN SOURCE: examples/client.py, health, reflection and error details, from Python."""
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


def details(channel, method, request):
    """The gRPC code of a call that fails, and its details by type, read by hand from the trailer."""
    from hatchery.v1 import error_details_pb2
    try:
        call(channel, method, request.SerializeToString())
    except grpc.RpcError as error:
        (trailer,) = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
        status = error_details_pb2.ErrorStatus.FromString(trailer)
        assert (status.code, status.message) == (error.code().value[0], error.details()), status
        return error.code(), {any.type_url: any.value for any in status.details}
    raise AssertionError(f"{method} did not fail")


def check_error_details(address):
    from hatchery.v1 import coordinator_pb2, error_details_pb2
    client = "/hatchery.v1.ClientService/"
    with grpc.insecure_channel(address) as channel:
        bad = coordinator_pb2.SubmitJobRequest()
        bad.job.model.hidden, bad.job.model.layers, bad.job.noise.rank = 8, 1, 9
        code, found = details(channel, client + "SubmitJob", bad)
        assert code == grpc.StatusCode.INVALID_ARGUMENT, code
        (violation,) = error_details_pb2.BadRequest.FromString(
            found["type.googleapis.com/google.rpc.BadRequest"]).field_violations
        assert violation.field == "job.noise.rank" and "[1, " in violation.description, violation
        code, found = details(channel, client + "GetJob", coordinator_pb2.GetJobRequest(job_id="nonesuch"))
        assert code == grpc.StatusCode.NOT_FOUND, code
        resource = error_details_pb2.ResourceInfo.FromString(
            found["type.googleapis.com/google.rpc.ResourceInfo"])
        assert (resource.resource_type, resource.resource_name) == ("job", "nonesuch"), resource


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
        sys.path.insert(0, str(modules))
        check_error_details(training.coordinator)


main()
