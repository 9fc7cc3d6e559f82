#!/usr/bin/env python3
"""Lists a coordinator's jobs with plain grpcio. Once before: protoc -Iproto --python_out=. proto/hatchery/v1/*.proto"""
import sys

import grpc
from hatchery.v1 import coordinator_pb2 as v1

with grpc.insecure_channel(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:7070") as channel:
    list_jobs = channel.unary_unary("/hatchery.v1.ClientService/ListJobs",
                                    v1.ListJobsRequest.SerializeToString, v1.ListJobsResponse.FromString)
    for job in list_jobs(v1.ListJobsRequest(), timeout=5).jobs:
        print(job.job_id, job.job.name, v1.JobState.State.Name(job.state), f"{job.step}/{job.job.steps}")
