// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/self_description.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <sstream>

namespace hatchery {
namespace {

// ---- The command line, as CLI11 describes it ----------------------------------------------------

// A command and the way to it: "" is the program, "/data/kjv" a subcommand's subcommand.
struct Command {
  std::string path;
  const CLI::App* app;
};

void Collect(const CLI::App& app, const std::string& path, std::vector<Command>& all) {
  all.push_back({path, &app});
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    if (!sub->get_group().empty()) Collect(*sub, path + "/" + sub->get_name(), all);
}

std::vector<Command> CommandsOf(const CLI::App& app) {
  std::vector<Command> all;
  Collect(app, "", all);
  return all;
}

std::vector<const CLI::Option*> OptionsOf(const CLI::App& app, bool positional) {
  std::vector<const CLI::Option*> options;
  for (const CLI::Option* option :
       app.get_options([](const CLI::Option* o) { return !o->get_group().empty(); }))
    if (option->get_positional() == positional) options.push_back(option);
  return options;
}

bool IsFlag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

// "-h", "--help".
std::vector<std::string> NamesOf(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

// The values of an option with a CLI::IsMember check, which its type ends with: "TEXT:{a,b}".
std::vector<std::string> ChoicesOf(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t begin = type.find('{'), end = type.find('}');
  if (begin == type.npos || end == type.npos || end < begin) return {};
  std::vector<std::string> choices;
  std::istringstream list(type.substr(begin + 1, end - begin - 1));
  for (std::string choice; std::getline(list, choice, ',');) choices.push_back(choice);
  return choices;
}

std::string Joined(const std::vector<std::string>& words, const char* between) {
  std::string joined;
  for (const std::string& word : words) joined += (joined.empty() ? "" : between) + word;
  return joined;
}

std::string Replaced(std::string text, const std::string& what, const std::string& with) {
  for (size_t at = 0; (at = text.find(what, at)) != text.npos; at += with.size())
    text.replace(at, what.size(), with);
  return text;
}

// "hatchery-worker" as part of a shell function's name.
std::string Identifier(std::string text) {
  for (char& c : text)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return text;
}

// ---- bash ---------------------------------------------------------------------------------------

// The words that may come next: commands and the choices of arguments; options once a dash is
// there.
std::string BashWords(const Command& command) {
  std::vector<std::string> words, options;
  for (const CLI::App* sub : command.app->get_subcommands([](const CLI::App*) { return true; }))
    if (!sub->get_group().empty()) words.push_back(sub->get_name());
  for (const CLI::Option* argument : OptionsOf(*command.app, true))
    for (const std::string& choice : ChoicesOf(*argument)) words.push_back(choice);
  for (const CLI::Option* option : OptionsOf(*command.app, false))
    for (const std::string& name : NamesOf(*option)) options.push_back(name);
  return "words=\"" + Joined(words, " ") + "\" options=\"" + Joined(options, " ") + "\"";
}

// What follows an option: its choices, or whatever the shell does by itself, which is files.
std::string BashValues(const Command& command) {
  std::string cases;
  for (const CLI::Option* option : OptionsOf(*command.app, false)) {
    if (IsFlag(*option)) continue;
    std::vector<std::string> patterns;
    for (const std::string& name : NamesOf(*option))
      patterns.push_back("\"" + command.path + " " + name + "\"");
    const std::string choices = Joined(ChoicesOf(*option), " ");
    cases += "    " + Joined(patterns, "|") + ") ";
    if (!choices.empty()) cases += "COMPREPLY=($(compgen -W \"" + choices + "\" -- \"$word\")); ";
    cases += "return ;;\n";
  }
  return cases;
}

// ---- zsh ----------------------------------------------------------------------------------------

// Inside '...[here]...' of _arguments, and 'name:here' of _describe.
std::string ZshText(std::string text) {
  for (const char* special : {"\\", "[", "]", ":"})
    text = Replaced(text, special, std::string("\\") + special);
  return Replaced(text, "'", "'\\''");
}

std::string ZshValue(const CLI::Option& option) {
  const std::string choices = Joined(ChoicesOf(option), " ");
  const std::string name = Identifier(option.get_single_name());
  return ":" + name + ":" + (choices.empty() ? "_files" : "(" + choices + ")");
}

std::string ZshOption(const CLI::Option& option) {
  const std::vector<std::string> names = NamesOf(option);
  const std::string text =
      "[" + ZshText(option.get_description()) + "]" + (IsFlag(option) ? "" : ZshValue(option));
  const std::string once = option.get_expected_max() > 1 ? "*" : "(" + Joined(names, " ") + ")";
  std::string lines;
  for (const std::string& name : names) lines += " \\\n    '" + once + name + text + "'";
  return lines;
}

std::string ZshFunction(const Command& command, const std::string& program) {
  const std::string name = "_" + Identifier(program + command.path);
  const auto subcommands =
      command.app->get_subcommands([](const CLI::App* sub) { return !sub->get_group().empty(); });
  std::string text = name +
                     "() {\n  local curcontext=\"$curcontext\" state line\n"
                     "  typeset -A opt_args\n  _arguments -C";
  for (const CLI::Option* option : OptionsOf(*command.app, false)) text += ZshOption(*option);
  if (subcommands.empty()) {
    for (const CLI::Option* option : OptionsOf(*command.app, true))
      text += " \\\n    '" + ZshValue(*option) + "'";
    return text + "\n}\n\n";
  }
  text +=
      " \\\n    '1: :->command' \\\n    '*:: :->arguments'\n  case $state in\n"
      "    command)\n      local -a commands=(";
  for (const CLI::App* sub : subcommands)
    text += "\n        '" + sub->get_name() + ":" + ZshText(sub->get_description()) + "'";
  text += ")\n      _describe command commands ;;\n    arguments)\n      case $words[1] in\n";
  for (const CLI::App* sub : subcommands)
    text +=
        "        " + sub->get_name() + ") " + name + "_" + Identifier(sub->get_name()) + " ;;\n";
  return text + "      esac ;;\n  esac\n}\n\n";
}

// ---- man ----------------------------------------------------------------------------------------

std::string Roff(std::string text) {
  text = Replaced(text, "\\", "\\e");
  text = Replaced(text, "-", "\\-");
  if (!text.empty() && (text[0] == '.' || text[0] == '\'')) text.insert(0, "\\&");
  return text;
}

std::string RoffProse(const std::string& prose) {
  std::string out;
  std::istringstream lines(prose);
  bool shown = false, blank = false;
  for (std::string line; std::getline(lines, line);) {
    const bool indented = line.starts_with("  ");
    if (indented && !shown) out += std::string(out.empty() ? "" : ".PP\n") + ".RS 4\n.nf\n";
    if (!indented && shown) out += ".fi\n.RE\n";
    if (!indented && !line.empty() && (blank || shown)) out += ".PP\n";
    shown = indented;
    blank = line.empty();
    if (!blank) out += Roff(indented ? line.substr(2) : line) + "\n";
  }
  return shown ? out + ".fi\n.RE\n" : out;
}

// "TEXT", "UINT in [1, 65535]": what a value is, without what is told by choices or defaults.
std::string ValueName(const CLI::Option& option) {
  const std::string choices = Joined(ChoicesOf(option), "|");
  if (!choices.empty()) return choices;
  std::string type = option.get_type_name();
  const size_t range = type.find(":in ");
  return type.substr(0, std::min(range, type.find(':')));
}

std::string RoffOption(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : NamesOf(option)) names.push_back("\\fB" + Roff(name) + "\\fR");
  std::string text = ".TP\n" + Joined(names, ", ");
  if (!IsFlag(option)) text += " \\fI" + Roff(ValueName(option)) + "\\fR";
  std::string description = option.get_description();
  const std::string type = option.get_type_name();
  if (const size_t range = type.find(":in "); range != type.npos)
    description += "; " + type.substr(range + 1);
  if (!option.get_default_str().empty())
    description += " (default: " + option.get_default_str() + ")";
  if (!option.get_envname().empty())
    description += "; also by the variable " + option.get_envname();
  if (option.get_required()) description += "; required";
  return text + "\n" + Roff(description) + "\n";
}

std::string RoffSynopsis(const std::string& name, const CLI::App& app) {
  std::string text = "\\fB" + Roff(name) + "\\fR";
  for (const CLI::Option* option : OptionsOf(app, false))
    if (option->get_required())
      text +=
          " \\fB" + Roff(NamesOf(*option).back()) + "\\fR \\fI" + Roff(ValueName(*option)) + "\\fR";
  text += " [\\fIoptions\\fR]";
  for (const CLI::Option* option : OptionsOf(app, true)) {
    const std::string argument = "\\fI" + Roff(option->get_single_name()) + "\\fR";
    text += option->get_required() ? " " + argument : " [" + argument + "]";
  }
  return text + "\n";
}

std::string RoffOptions(const CLI::App& app) {
  std::string text;
  for (const CLI::Option* option : OptionsOf(app, true)) {
    if (option->get_description().empty()) continue;
    text += ".TP\n\\fI" + Roff(option->get_single_name()) + "\\fR\n" +
            Roff(option->get_description()) + "\n";
  }
  for (const CLI::Option* option : OptionsOf(app, false))
    if (option->get_single_name() != "help" && option->get_single_name() != "version")
      text += RoffOption(*option);
  return text;
}

std::string Environment(const std::vector<Command>& commands) {
  std::map<std::string, std::string> variables;
  for (const Command& command : commands)
    for (const CLI::Option* option : OptionsOf(*command.app, false))
      if (!option->get_envname().empty())
        variables[option->get_envname()] = NamesOf(*option).back();
  std::string text;
  for (const auto& [variable, option] : variables)
    text += ".TP\n\\fB" + Roff(variable) + "\\fR\nStands for \\fB" + Roff(option) +
            "\\fR where that is not given.\n";
  return text;
}

// The day that the page is made; SOURCE_DATE_EPOCH stands for it in builds that are to be repeated.
std::string Today() {
  const char* fixed = std::getenv("SOURCE_DATE_EPOCH");
  const std::time_t now = fixed != nullptr ? std::atoll(fixed) : std::time(nullptr);
  std::tm fields{};
  gmtime_r(&now, &fields);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", &fields);
  return text;
}

}  // namespace

std::string BashCompletion(const CLI::App& app) {
  const std::string program = app.get_name(), function = "_" + Identifier(program);
  std::vector<std::string> paths;
  std::string values, words;
  for (const Command& command : CommandsOf(app)) {
    if (!command.path.empty()) paths.push_back(command.path);
    values += BashValues(command);
    words += "    \"" + command.path + "\") " + BashWords(command) + " ;;\n";
  }
  std::string text = "# bash completion of " + program + ", made by it\n" + function +
                     "() {\n"
                     "  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
                     "  local command= words= options= i\n"
                     "  COMPREPLY=()\n";
  if (!paths.empty())
    text +=
        "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
        "    case \"$command/${COMP_WORDS[i]}\" in\n      " +
        Joined(paths, "|") +
        ") command+=/${COMP_WORDS[i]} ;;\n"
        "    esac\n"
        "  done\n";
  text += "  case \"$command $previous\" in\n" + values + "  esac\n";
  text += "  case \"$command\" in\n" + words + "  esac\n";
  text +=
      "  [[ $word != -* ]] || words=$options\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\n";
  return text + "complete -o default -F " + function + " " + program + "\n";
}

std::string ZshCompletion(const CLI::App& app) {
  const std::string program = app.get_name(), function = "_" + Identifier(program);
  std::string text = "#compdef " + program + "\n# made by " + program + "\n\n";
  for (const Command& command : CommandsOf(app)) text += ZshFunction(command, program);
  // Autoloaded, this file is the function's body; sourced, it says whose completion it is, to a
  // completion system that nobody may have started yet.
  return text + "if [ \"$funcstack[1]\" = \"_" + program + "\" ]; then\n  " + function +
         " \"$@\"\nelse\n  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\n" +
         "  compdef " + function + " " + program + "\nfi\n";
}

std::string ManPage(const CLI::App& app, const Manual& manual, const std::string& date) {
  const std::string program = app.get_name();
  std::string title = program;
  std::transform(title.begin(), title.end(), title.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const std::vector<Command> commands = CommandsOf(app);
  std::string summary = app.get_description();
  summary = summary.substr(0, summary.find_last_not_of('.') + 1);
  std::string text = ".TH " + title + " 1 \"" + date +
                     "\" \"hatchery " HATCHERY_VERSION "\" \"Hatchery\"\n.SH NAME\n" +
                     Roff(program) + " \\- " + Roff(summary) + "\n";
  text += ".SH SYNOPSIS\n";
  if (commands.size() == 1)
    text += RoffSynopsis(program, app);
  else
    text += "\\fB" + Roff(program) + "\\fR \\fIcommand\\fR [\\fIoptions\\fR] [\\fIarguments\\fR]\n";
  text += ".SH DESCRIPTION\n" + RoffProse(manual.description);
  if (commands.size() > 1) text += ".SH COMMANDS\n";
  for (const Command& command : commands) {
    if (command.path.empty()) continue;
    const std::string words = Replaced(command.path.substr(1), "/", " ");
    text += ".SS " + Roff(words) + "\n" + RoffSynopsis(program + " " + words, *command.app) +
            ".PP\n" + Roff(command.app->get_description()) + ".\n" + RoffOptions(*command.app);
  }
  if (const std::string options = RoffOptions(app); !options.empty())
    text += ".SH OPTIONS\n" + options;
  if (const std::string variables = Environment(commands); !variables.empty())
    text += ".SH ENVIRONMENT\n" + variables;
  for (const Manual::Section& section : manual.sections)
    text += ".SH " + Roff(section.title) + "\n" + RoffProse(section.text);
  return text;
}

void AddSelfDescription(CLI::App& app, Manual manual) {
  app.add_option_function<std::string>(
         "--self-description",
         [&app, manual = std::move(manual)](const std::string& form) {
           const std::string text = form == "bash"  ? BashCompletion(app)
                                    : form == "zsh" ? ZshCompletion(app)
                                                    : ManPage(app, manual, Today());
           std::fputs(text.c_str(), stdout);
           throw CLI::Success();
         },
         "Print a completion for bash or zsh, or the manual page")
      ->check(CLI::IsMember({"bash", "zsh", "man"}))
      ->group("");
}

}  // namespace hatchery
