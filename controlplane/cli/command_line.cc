// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/command_line.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <set>

#include "controlplane/cli/command_table.h"
#include "controlplane/cli/errors.h"
#include "controlplane/cli/suggestion.h"

namespace steelyard::controlplane::cli {
namespace {

namespace po = boost::program_options;

constexpr std::string_view kProgram = "steelyardctl";

struct Parsed {
  bool help = false;
  std::vector<std::string> words;
  std::map<std::string, std::string> options;
};

// Which options a word belongs to is known before the command is: all are known, and no two
// commands give one name a different form.
po::options_description AllOptions() {
  po::options_description all;
  all.add_options()("help,h", "");
  std::set<std::string_view> known;
  const auto add = [&](std::span<const Option> options) {
    for (const Option& option : options) {
      if (!known.insert(option.name).second) continue;
      std::string names(option.name);
      if (option.letter != '\0') names.append(",").push_back(option.letter);
      all.add_options()(names.c_str(), po::value<std::string>(), "");
    }
  };
  add(GlobalOptions());
  for (const Command& command : Commands()) add(command.options);
  return all;
}

Parsed ParseWords(const std::vector<std::string>& words) {
  po::options_description described = AllOptions();
  described.add_options()("word", po::value<std::vector<std::string>>(), "");
  po::positional_options_description positional;
  positional.add("word", -1);
  Parsed parsed;
  try {
    namespace style = po::command_line_style;
    const po::parsed_options options = po::command_line_parser(words)
                                           .options(described)
                                           .positional(positional)
                                           .style(style::unix_style & ~style::allow_guessing)
                                           .run();
    po::variables_map values;
    po::store(options, values);
    parsed.help = values.count("help") != 0;
    for (const auto& [name, value] : values) {
      if (name == "word")
        parsed.words = value.as<std::vector<std::string>>();
      else if (name != "help")
        parsed.options[name] = value.as<std::string>();
    }
  } catch (const po::error& error) {
    throw UsageError(error.what());
  }
  return parsed;
}

size_t WordCount(std::string_view name) {
  return static_cast<size_t>(std::ranges::count(name, ' ')) + 1;
}

std::string Join(std::span<const std::string> words) {
  std::string joined;
  for (const std::string& word : words) joined.append(joined.empty() ? "" : " ").append(word);
  return joined;
}

const Command* FindCommand(std::span<const std::string> words) {
  for (const Command& command : Commands()) {
    const size_t count = WordCount(command.name);
    if (words.size() >= count && Join(words.first(count)) == command.name) return &command;
  }
  return nullptr;
}

const Group* FindGroup(std::span<const std::string> words) {
  if (words.empty()) return nullptr;
  for (const Group& group : Groups()) {
    if (group.name == words[0]) return &group;
  }
  return nullptr;
}

[[noreturn]] void FailUnknownCommand(std::span<const std::string> words) {
  std::vector<std::string> candidates;
  for (const Command& command : Commands()) candidates.emplace_back(command.name);
  for (const Group& group : Groups()) candidates.emplace_back(group.name);
  std::string typed = words[0];
  std::string meant = Nearest(typed, candidates);
  if (words.size() > 1) {
    const std::string two_words = Join(words.first(2));
    const std::string meant_two = Nearest(two_words, candidates);
    const bool group_known = FindGroup(words) != nullptr;
    if (group_known || WordCount(meant_two) > 1) typed = two_words;
    if (group_known || !meant_two.empty()) meant = meant_two;
  }
  throw UsageError("unknown command '" + typed + "'" +
                   (meant.empty() ? "" : "; did you mean '" + meant + "'?"));
}

[[noreturn]] void FailIncompleteCommand(std::string_view group) {
  std::string choices;
  for (const Command& command : Commands()) {
    if (!command.name.starts_with(std::string(group) + " ")) continue;
    choices.append(choices.empty() ? "" : ", ").append(command.name.substr(group.size() + 1));
  }
  throw UsageError("'" + std::string(group) + "' needs a command: " + choices);
}

bool Has(std::span<const Option> options, std::string_view name) {
  return std::ranges::any_of(options, [&](const Option& option) { return option.name == name; });
}

void CheckOptions(const Command& command, const std::map<std::string, std::string>& given) {
  for (const auto& [name, value] : given) {
    if (!Has(GlobalOptions(), name) && !Has(command.options, name))
      throw UsageError("'" + std::string(command.name) + "' has no option --" + name);
  }
  for (const Option& option : command.options) {
    if (option.required && !given.contains(std::string(option.name)))
      throw UsageError("'" + std::string(command.name) + "' needs --" + std::string(option.name) +
                       " " + std::string(option.value));
  }
}

void CheckArguments(const Command& command, const std::vector<std::string>& given) {
  for (size_t i = given.size(); i < command.arguments.size(); ++i) {
    if (command.arguments[i].required)
      throw UsageError("'" + std::string(command.name) + "' needs " +
                       std::string(command.arguments[i].name));
  }
  if (given.size() > command.arguments.size())
    throw UsageError("'" + std::string(command.name) + "' does not know what to do with '" +
                     given[command.arguments.size()] + "'");
}

std::string OptionForm(const Option& option) {
  const std::string letter =
      option.letter == '\0' ? "    " : std::string{'-', option.letter, ',', ' '};
  return letter + "--" + std::string(option.name) + " " + std::string(option.value);
}

using Rows = std::vector<std::pair<std::string, std::string>>;

std::string TwoColumns(const Rows& rows) {
  size_t width = 0;
  for (const auto& [left, right] : rows) width = std::max(width, left.size());
  std::string text;
  for (const auto& [left, right] : rows)
    text += "  " + left + std::string(width - left.size() + 2, ' ') + right + "\n";
  return text;
}

std::string OptionsText(std::span<const Option> own) {
  Rows rows;
  for (const Option& option : own) rows.emplace_back(OptionForm(option), std::string(option.help));
  for (const Option& option : GlobalOptions())
    rows.emplace_back(OptionForm(option), std::string(option.help));
  rows.emplace_back("-h, --help", "Show this");
  return "\nOptions:\n" + TwoColumns(rows);
}

std::string HelpForCommand(const Command& command) {
  return "Usage: " + std::string(kProgram) + " " + UsageOf(command) + "\n\n" +
         std::string(command.help) + ".\n" + OptionsText(command.options);
}

// Of one group, or with an empty name of all.
std::string HelpForGroup(std::string_view group) {
  Rows rows;
  for (const Command& command : Commands()) {
    if (group.empty() || command.name.starts_with(std::string(group) + " "))
      rows.emplace_back(UsageOf(command), std::string(command.help));
  }
  std::string text = "Usage: " + std::string(kProgram) + " [options] ";
  text += group.empty() ? "COMMAND" : std::string(group) + " COMMAND";
  for (const Group& known : Groups()) {
    if (known.name == group) text += "\n\n" + std::string(known.help) + ".";
  }
  text += "\n\nCommands:\n" + TwoColumns(rows) + OptionsText({});
  if (group.empty())
    text += "\nExit status: 0 ok, 1 error, 2 wrong usage, 3 not found, 4 generation conflict.\n";
  return text;
}

}  // namespace

std::string UsageOf(const Command& command) {
  std::string usage(command.name);
  for (const Argument& argument : command.arguments) {
    const std::string name(argument.name);
    usage += argument.required ? " " + name : " [" + name + "]";
  }
  bool optional = false;
  for (const Option& option : command.options) {
    optional |= !option.required;
    if (option.required)
      usage += " --" + std::string(option.name) + " " + std::string(option.value);
  }
  return optional ? usage + " [options]" : usage;
}

CommandLine ParseCommandLine(const std::vector<std::string>& words) {
  Parsed parsed = ParseWords(words);
  CommandLine line;
  line.help = parsed.help;
  line.options = std::move(parsed.options);
  line.command = FindCommand(parsed.words);
  if (line.command == nullptr) {
    const Group* group = FindGroup(parsed.words);
    const bool only_group = parsed.words.size() == (group == nullptr ? 0 : 1);
    if (!only_group) FailUnknownCommand(parsed.words);
    if (group != nullptr) line.group = group->name;
    if (line.help) return line;
    if (group != nullptr) FailIncompleteCommand(group->name);
    throw UsageError("no command given");
  }
  if (line.help) return line;
  const auto first_argument =
      parsed.words.begin() + static_cast<ptrdiff_t>(WordCount(line.command->name));
  line.arguments.assign(first_argument, parsed.words.end());
  CheckOptions(*line.command, line.options);
  CheckArguments(*line.command, line.arguments);
  return line;
}

std::string HelpFor(const CommandLine& line) {
  return line.command != nullptr ? HelpForCommand(*line.command) : HelpForGroup(line.group);
}

}  // namespace steelyard::controlplane::cli
