// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/command_line.h"

#include <gtest/gtest.h>

#include <set>

#include "controlplane/cli/command_table.h"
#include "controlplane/cli/errors.h"

namespace steelyard::controlplane::cli {
namespace {

std::string ErrorOf(const std::vector<std::string>& words) {
  try {
    ParseCommandLine(words);
    return "no error";
  } catch (const UsageError& error) {
    return error.what();
  }
}

// The words of a command with something for all that it requires.
std::vector<std::string> Complete(const Command& command) {
  std::vector<std::string> words;
  const std::string name(command.name);
  const size_t space = name.find(' ');
  words.push_back(name.substr(0, space));
  if (space != std::string::npos) words.push_back(name.substr(space + 1));
  for (const Argument& argument : command.arguments) {
    if (argument.required) words.push_back("word");
  }
  for (const Option& option : command.options) {
    if (!option.required) continue;
    words.push_back("--" + std::string(option.name));
    words.push_back("value");
  }
  return words;
}

TEST(CommandTable, EveryCommandIsFoundAndHelped) {
  for (const Command& command : Commands()) {
    std::vector<std::string> words = Complete(command);
    const CommandLine line = ParseCommandLine(words);
    EXPECT_EQ(line.command, &command);
    EXPECT_FALSE(line.help);
    words.insert(words.begin(), "--help");
    EXPECT_TRUE(ParseCommandLine(words).help);
    const std::string help = HelpFor(line);
    EXPECT_NE(help.find("Usage: steelyardctl " + std::string(command.name)), std::string::npos);
    EXPECT_NE(help.find(command.help), std::string::npos);
    for (const Option& option : command.options)
      EXPECT_NE(help.find("--" + std::string(option.name)), std::string::npos);
  }
}

TEST(CommandTable, EveryFirstWordOfTwoIsAGroupAndEveryGroupHasCommands) {
  std::set<std::string> used;
  for (const Command& command : Commands()) {
    const size_t space = command.name.find(' ');
    if (space != std::string_view::npos) used.emplace(command.name.substr(0, space));
  }
  std::set<std::string> named;
  for (const Group& group : Groups()) named.emplace(group.name);
  EXPECT_EQ(used, named);
}

TEST(CommandTable, EveryCommandRefusesAnExtraWordAndAMissingOne) {
  for (const Command& command : Commands()) {
    std::vector<std::string> words = Complete(command);
    words.insert(words.end(), command.arguments.size() + 1, "extra");
    EXPECT_NE(ErrorOf(words).find("does not know what to do with 'extra'"), std::string::npos)
        << command.name;
    words = Complete(command);
    if (words.size() == (command.name.find(' ') == std::string_view::npos ? 1u : 2u)) continue;
    words.pop_back();
    EXPECT_NE(ErrorOf(words), "no error") << command.name;
  }
}

TEST(CommandLine, OptionsMayStandAnywhere) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"--limit", "5", "session", "list", "-o", "json"},
        {"-o", "json", "session", "--limit=5", "list"},
        {"session", "list", "-ojson", "--limit", "5"}}) {
    const CommandLine line = ParseCommandLine(words);
    ASSERT_NE(line.command, nullptr);
    EXPECT_EQ(line.command->name, "session list");
    EXPECT_EQ(line.options.at("limit"), "5");
    EXPECT_EQ(line.options.at("output"), "json");
    EXPECT_TRUE(line.arguments.empty());
  }
}

TEST(CommandLine, ArgumentsKeepTheirOrder) {
  const CommandLine line = ParseCommandLine({"lookup", "tcp", "10.0.0.2:1234", "[::1]:80"});
  EXPECT_EQ(line.arguments, (std::vector<std::string>{"tcp", "10.0.0.2:1234", "[::1]:80"}));
}

TEST(CommandLine, HelpIsOfTheProgramTheGroupOrTheCommand) {
  EXPECT_NE(HelpFor(ParseCommandLine({"--help"})).find("Exit status"), std::string::npos);
  const std::string group = HelpFor(ParseCommandLine({"service", "-h"}));
  EXPECT_NE(group.find("service show NAME"), std::string::npos);
  EXPECT_EQ(group.find("session list"), std::string::npos);
  EXPECT_NE(HelpFor(ParseCommandLine({"apply", "--help"})).find("--expected-generation N"),
            std::string::npos);
}

TEST(CommandLine, UnknownCommandsComeWithASuggestion) {
  EXPECT_EQ(ErrorOf({"aply"}), "unknown command 'aply'; did you mean 'apply'?");
  EXPECT_EQ(ErrorOf({"service", "lsit"}),
            "unknown command 'service lsit'; did you mean 'service list'?");
  EXPECT_EQ(ErrorOf({"servise", "list"}),
            "unknown command 'servise list'; did you mean 'service list'?");
  EXPECT_EQ(ErrorOf({"servise"}), "unknown command 'servise'; did you mean 'service'?");
  EXPECT_EQ(ErrorOf({"lokup", "tcp", "a", "b"}), "unknown command 'lokup'; did you mean 'lookup'?");
  EXPECT_EQ(ErrorOf({"frobnicate"}), "unknown command 'frobnicate'");
  EXPECT_EQ(ErrorOf({""}), "unknown command ''");
}

TEST(CommandLine, SaysWhatIsMissingOrWrong) {
  EXPECT_EQ(ErrorOf({}), "no command given");
  EXPECT_EQ(ErrorOf({"service"}), "'service' needs a command: list, show");
  EXPECT_EQ(ErrorOf({"service", "show"}), "'service show' needs NAME");
  EXPECT_EQ(ErrorOf({"apply"}), "'apply' needs --file FILE");
  EXPECT_EQ(ErrorOf({"stats", "--limit", "5"}), "'stats' has no option --limit");
  EXPECT_NE(ErrorOf({"stats", "--nonsense"}).find("--nonsense"), std::string::npos);
  EXPECT_NE(ErrorOf({"stats", "--sock", "x"}), "no error") << "options are not abbreviated";
  EXPECT_NE(ErrorOf({"stats", "--socket"}).find("--socket"), std::string::npos);
  EXPECT_NE(ErrorOf({"apply", "-f", "a", "-f", "b"}).find("--file"), std::string::npos);
}

}  // namespace
}  // namespace steelyard::controlplane::cli
