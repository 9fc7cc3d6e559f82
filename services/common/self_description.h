// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Shell completions and manual pages, made from the description of the command line that parses it,
// so that neither can say anything else than the program does.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace hatchery {

// What a manual page says besides the options. In the texts a blank line ends a paragraph, and
// indented lines are shown as they are.
struct Manual {
  struct Section {
    std::string title, text;
  };
  std::string description;
  std::vector<Section> sections;  // after the options: FILES, EXAMPLES, ...
};

// Adds a hidden option --self-description with which the program prints its completion for bash or
// zsh, or its manual page (man, as roff), and ends. Call it when `app` is complete; for programs,
// not subcommands.
void AddSelfDescription(CLI::App& app, Manual manual);

// Complete scripts, to be sourced by bash, or to be put into a directory of zsh's fpath.
std::string BashCompletion(const CLI::App& app);
std::string ZshCompletion(const CLI::App& app);
// `date`: "2026-01-31".
std::string ManPage(const CLI::App& app, const Manual& manual, const std::string& date);

}  // namespace hatchery
