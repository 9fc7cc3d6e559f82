// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// `hatchery health`: the one question of container engines and load balancers, by gRPC's standard
// health service. It takes no token, and with TLS it needs the CA alone.
#include <grpcpp/generic/generic_stub.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>

#include "services/client/command.h"
#include "services/client/online.h"

namespace hatchery {
namespace {

constexpr char kCheck[] = "/grpc.health.v1.Health/Check";
constexpr auto kDeadline = std::chrono::seconds(5);
// HealthCheckResponse{status: SERVING} on the wire; gRPC's C++ library has the service, but no
// public header of its messages.
constexpr std::string_view kServing("\x08\x01", 2);

// The answer's bytes to `request` of `method`.
StatusOr<std::string> Ask(const OnlineOptions& options, const std::string& method,
                          const std::string& request) {
  HATCHERY_ASSIGN_OR_RETURN(const Online online, Online::Open(options));
  grpc::GenericStub stub(online.channel());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  const grpc::Slice slice(request);
  const grpc::ByteBuffer sent(&slice, 1);
  grpc::ByteBuffer received;
  grpc::Status status;
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(&context, method, sent, &queue);
  call->StartCall();
  call->Finish(&received, &status, nullptr);
  void* tag = nullptr;
  bool done = false;
  queue.Next(&tag, &done);  // by the deadline at the latest
  if (!status.ok()) return online.Explain(status);
  grpc::Slice answer;
  if (received.Length() == 0 || !received.DumpToSingleSlice(&answer).ok()) return std::string();
  return std::string(reinterpret_cast<const char*>(answer.begin()), answer.size());
}

Status Health(const OnlineOptions& options) {
  HATCHERY_ASSIGN_OR_RETURN(const std::string answer, Ask(options, kCheck, ""));
  const bool serving = answer == kServing;
  std::printf(options.json ? "{\"status\":\"%s\"}\n" : "%s\n", serving ? "SERVING" : "NOT_SERVING");
  if (serving) return {};
  return Unavailable(options.coordinator + " answers, but does not serve now; see its log");
}

}  // namespace

void AddHealthCommand(CLI::App& app) {
  auto* command = app.add_subcommand("health", "Whether a coordinator serves");
  auto options = std::make_shared<OnlineOptions>();
  AddOnlineOptions(*command, *options);
  SetAction(command, [options] { return Health(*options); });
}

}  // namespace hatchery
