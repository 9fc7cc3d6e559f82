// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What our programs say to a command line that they cannot use: one line, with the remedy.
#pragma once

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

namespace hatchery {

// The commands of `app`: "describe, train, eval".
inline std::string CommandsOf(const CLI::App& app) {
  std::string names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names += (names.empty() ? "" : ", ") + command->get_name();
  return names;
}

// For CLI::App::failure_message of the outermost app.
inline std::string OneLineError(const CLI::App* outermost, const CLI::Error& error) {
  const CLI::App* app = outermost;
  std::string path = app->get_name();
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
    path += " " + app->get_name();
  }
  const std::string prefix = outermost->get_name() + ": ";
  const std::string commands = CommandsOf(*app);
  const auto rest = outermost->remaining(true);
  if (!commands.empty() && !rest.empty())
    return prefix + path + " has no command or option '" + rest.front() + "'; its commands are " +
           commands + "\n";
  if (!commands.empty()) return prefix + path + " needs a command: " + commands + "\n";
  return prefix + error.what() + "; " + path + " --help tells what can be given\n";
}

// Checks a whole number of an option: the option's value and range are named in the error.
inline CLI::Validator WholeNumber(uint64_t least, uint64_t most) {
  const std::string range = "[" + std::to_string(least) + ", " + std::to_string(most) + "]";
  return CLI::Validator(
      [least, most, range](const std::string& text) -> std::string {
        uint64_t value = 0;
        const char* end = text.data() + text.size();
        const auto [at, problem] = std::from_chars(text.data(), end, value);
        if (problem == std::errc() && at == end && value >= least && value <= most) return "";
        return "'" + text + "' is not a whole number in " + range;
      },
      "in " + range);
}

// The same for any number of at least `least`, and at most `most`.
inline CLI::Validator Number(double least, double most) {
  char range[80];
  std::snprintf(range, sizeof range, "[%g, %g]", least, most);
  const std::string text_range = range;
  return CLI::Validator(
      [least, most, text_range](const std::string& text) -> std::string {
        char* end = nullptr;
        const double value = std::strtod(text.c_str(), &end);
        if (!text.empty() && *end == 0 && value >= least && value <= most) return "";
        return "'" + text + "' is not a number in " + text_range;
      },
      "in " + text_range);
}

// Checks that a file can be read, so that the option is named if it cannot.
inline CLI::Validator ReadableFile() {
  return CLI::Validator(
      [](const std::string& path) -> std::string {
        if (access(path.c_str(), R_OK) == 0) return "";
        return "cannot read " + path + ": " + std::strerror(errno);
      },
      "");
}

inline constexpr uint64_t kMaxThreads = 4096;

// An empty value is a shell variable that was not set: DIR/journal would lie in the root. Only a
// prompt may be empty.
inline void RefuseEmptyValues(CLI::App& app) {
  for (CLI::Option* option : app.get_options())
    if (option->get_items_expected_max() > 0 && option->get_name() != "--prompt")
      option->check([](const std::string& text) {
        return text.empty() ? std::string("its value is empty") : std::string();
      });
  for (CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    RefuseEmptyValues(*command);
}

inline constexpr int kUsageError = 2;

// Parses the command line and runs the command that it names. The exit status, if the program is
// done with it: 0 for --help, kUsageError for what cannot be used, the command's own otherwise.
inline std::optional<int> ParseCommandLine(CLI::App& app, int argc, char** argv) {
  app.failure_message(OneLineError);
  RefuseEmptyValues(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RuntimeError& error) {
    return app.exit(error);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsageError;
  }
  return std::nullopt;
}

}  // namespace hatchery
