// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// `hatchery doctor`: what is wrong with this machine, and with the way to its coordinator.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "kernels/core/version.h"
#include "services/client/command.h"
#include "services/client/online.h"
#include "services/client/terminal.h"
#include "services/client/text_view.h"
#include "services/common/printable.h"
#include "services/common/protocol.h"
#include "services/doctor/checks.h"

namespace hatchery {
namespace {

using doctor::Check;
using doctor::Checks;
using doctor::Verdict;

constexpr uint16_t kCoordinatorPort = 7070;

struct Options : OnlineOptions {
  std::string directory = ".";
};

const char* NameOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kWarn:
      return "warn";
    case Verdict::kBad:
      return "bad";
  }
  return "";
}

Color ColorOf(Verdict verdict) {
  return verdict == Verdict::kOk     ? Color::kGreen
         : verdict == Verdict::kWarn ? Color::kYellow
                                     : Color::kRed;
}

// ---- The coordinator ---------------------------------------------------------------------------

Check JudgeVersions(const v1::AboutResponse& about, const std::string& where, bool tls) {
  const std::string text =
      "hatchery " + about.software_version() + " answers" + (tls ? " over TLS" : ", without TLS");
  if (about.protocol_version() != kProtocolVersion ||
      about.contract_version() != core::kContractVersion)
    return {Verdict::kBad, where,
            text + "; it speaks protocol " + std::to_string(about.protocol_version()) +
                " and contract " + std::to_string(about.contract_version()) +
                ", this program protocol " + std::to_string(kProtocolVersion) + " and contract " +
                std::to_string(core::kContractVersion),
            "install the same release on both: workers of this one would be refused"};
  if (about.software_version() != HATCHERY_VERSION)
    return {Verdict::kWarn, where, text + "; this is " HATCHERY_VERSION,
            "they fit together; install the same release when convenient"};
  return {Verdict::kOk, where, text};
}

double UnixSeconds() {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  return now.count();
}

Checks CheckCoordinator(const OnlineOptions& options) {
  const std::string where = "coordinator " + options.coordinator;
  const auto failed = [&](const Status& why) -> Checks {
    return {{Verdict::kBad, where, why.message()}};  // which has the remedy in it
  };
  StatusOr<Online> online = Online::Open(options);
  if (!online.ok()) return failed(online.status());
  // The first call pays for the connection; the second one's times tell about the clock.
  const auto about = online->Call(&Online::Stub::About, v1::AboutRequest());
  if (!about.ok()) return failed(about.status());
  const double before = UnixSeconds();
  const auto again = online->Call(&Online::Stub::About, v1::AboutRequest());
  const double after = UnixSeconds();
  if (!again.ok()) return failed(again.status());
  const double theirs = 1e-3 * static_cast<double>(again->unix_milliseconds());
  return {JudgeVersions(*about, where, online->tls()),
          doctor::JudgeOffset(theirs - (before + after) / 2, (after - before) / 2)};
}

// Who listens on the default port of this machine, if it is one of ours.
std::string WhoListens(OnlineOptions options) {
  options.coordinator = "127.0.0.1:" + std::to_string(kCoordinatorPort);
  StatusOr<Online> online = Online::Open(options);
  if (!online.ok()) return "";
  const auto about = online->Call(&Online::Stub::About, v1::AboutRequest());
  if (about.ok())
    return "a hatchery coordinator " + Printable(about->software_version()) + " listens there";
  // Only one of ours wants a token.
  if (about.status().code() == StatusCode::kFailedPrecondition)
    return "a hatchery coordinator listens there: " + Printable(about.status().message());
  return "";
}

// ---- The report --------------------------------------------------------------------------------

void Show(const Check& check, bool json, Style style) {
  if (json) {
    const nlohmann::ordered_json line = {{"verdict", NameOf(check.verdict)},
                                         {"what", check.what},
                                         {"text", check.text},
                                         {"remedy", check.remedy}};
    std::printf(
        "%s\n",
        line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
    return;
  }
  const std::string rest =
      Printable(check.what + ": " + check.text + (check.remedy.empty() ? "" : "; " + check.remedy));
  Row verdict(8, style);
  verdict.AddCell(NameOf(check.verdict), 6, false, ColorOf(check.verdict));
  std::printf("%s%s\n", verdict.text().c_str(), rest.c_str());
}

Status Examine(const Options& options, bool asked_for_coordinator) {
  const Style style = options.json ? Style{} : StyleOfStdout();
  size_t bad = 0;
  const auto show = [&](const Checks& checks) {
    for (const Check& check : checks) {
      Show(check, options.json, style);
      bad += check.verdict == Verdict::kBad;
    }
    std::fflush(stdout);
  };
  show(doctor::CheckCpu());
  show(doctor::CheckMemory());
  show(doctor::CheckLimits());
  show(doctor::CheckCuda());
  show(doctor::CheckMetal());
  show(doctor::CheckGang());
  show(doctor::CheckClock());
  show(doctor::CheckDisk(options.directory));
  show(doctor::CheckPort(kCoordinatorPort, "hatchery-coordinator",
                         [&] { return WhoListens(options); }));
  if (asked_for_coordinator) show(CheckCoordinator(options));
  if (bad == 0) return {};
  return FailedPrecondition(std::to_string(bad) + (bad == 1 ? " check is bad" : " checks are bad") +
                            "; the lines above say what to do");
}

}  // namespace

void AddDoctorCommand(CLI::App& app) {
  auto* command = app.add_subcommand(
      "doctor", "What is wrong with this machine, and with the way to its coordinator");
  auto options = std::make_shared<Options>();
  AddOnlineOptions(*command, *options);
  command->add_option("--dir", options->directory, "The directory that runs will be kept in")
      ->capture_default_str();
  SetAction(command, [command, options] {
    // Given, or in the environment: else there need not be one.
    return Examine(*options, command->get_option("--coordinator")->count() > 0);
  });
}

}  // namespace hatchery
