// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>

#include "services/client/command.h"
#include "services/common/self_description.h"

namespace hatchery {

void AddCompletionCommand(CLI::App& app) {
  auto* command =
      app.add_subcommand("completion",
                         "Print what completes this command line in a shell: source <(hatchery "
                         "completion bash)");
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  SetAction(command, [&app, shell]() -> Status {
    const std::string text = *shell == "bash" ? BashCompletion(app) : ZshCompletion(app);
    std::fputs(text.c_str(), stdout);
    return {};
  });
}

}  // namespace hatchery
