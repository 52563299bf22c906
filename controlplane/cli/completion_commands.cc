// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "controlplane/cli/command_table.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/errors.h"

namespace steelyard::controlplane::cli {
namespace {

// What does not depend on the table. Services and gateways are asked of the daemon; while it is
// away there are none. A name that the shell would read as more than a word is not offered.
constexpr std::string_view kFixedPart = R"(# bash completion for steelyardctl
# To use it: source <(steelyardctl completion bash)

_steelyardctl_names() {
  steelyardctl "$1" list 2>/dev/null | awk 'NR > 1 && $1 ~ /^[A-Za-z0-9._-]+$/ { print $1 }'
}

_steelyardctl_offer() {
  local current=${COMP_WORDS[COMP_CWORD]} words=""
  case $1 in
    files) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    services) words=$(_steelyardctl_names service) ;;
    gateways) words=$(_steelyardctl_names gateway) ;;
    owners) words=$(_steelyardctl_names service; _steelyardctl_names gateway) ;;
    protocols) words="tcp udp icmp" ;;
    formats) words="table json" ;;
    shells) words="bash" ;;
    words) words=$2 ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
)";

std::string_view Kind(Completes completes) {
  switch (completes) {
    case Completes::kNothing:
      return "nothing";
    case Completes::kFiles:
      return "files";
    case Completes::kServices:
      return "services";
    case Completes::kGateways:
      return "gateways";
    case Completes::kServicesAndGateways:
      return "owners";
    case Completes::kProtocols:
      return "protocols";
    case Completes::kFormats:
      return "formats";
    case Completes::kShells:
      return "shells";
  }
  return "nothing";
}

std::string Spellings(const Option& option, std::string_view separator) {
  std::string text = "--" + std::string(option.name);
  if (option.letter != '\0') text.append(separator).append("-").push_back(option.letter);
  return text;
}

std::string JoinedOptions(std::span<const Option> own) {
  std::string text;
  for (const Option& option : own) text += Spellings(option, " ") + " ";
  for (const Option& option : GlobalOptions()) text += Spellings(option, " ") + " ";
  return text + "--help";
}

// case rows: the options that take a value, and what to offer for it.
std::string OptionValueRows() {
  std::string rows;
  std::set<std::string_view> written;
  const auto add = [&](std::span<const Option> options) {
    for (const Option& option : options) {
      if (!written.insert(option.name).second) continue;
      rows += "    " + Spellings(option, "|") + ") echo " + std::string(Kind(option.completes)) +
              " ;;\n";
    }
  };
  add(GlobalOptions());
  for (const Command& command : Commands()) add(command.options);
  return rows;
}

// case rows: a command's options, and what to offer for each of its arguments.
std::string CommandRows() {
  std::string rows;
  for (const Command& command : Commands()) {
    std::string kinds;
    for (const Argument& argument : command.arguments)
      kinds.append(kinds.empty() ? "" : " ").append(Kind(argument.completes));
    const bool two_words = command.name.find(' ') != std::string_view::npos;
    rows += "    \"" + std::string(command.name) + " \"*) taken=" + (two_words ? "2" : "1") +
            " kinds=(" + kinds + ") options=\"" + JoinedOptions(command.options) + "\" ;;\n";
  }
  return rows;
}

// case rows: the second words of a group.
std::string GroupRows() {
  std::string rows;
  for (const Group& group : Groups()) {
    const std::string prefix = std::string(group.name) + " ";
    std::string words;
    for (const Command& command : Commands()) {
      if (command.name.starts_with(prefix))
        words.append(words.empty() ? "" : " ").append(command.name.substr(prefix.size()));
    }
    rows += "    \"" + prefix + "\") next=\"" + words + "\" ;;\n";
  }
  return rows;
}

std::string FirstWords() {
  std::set<std::string> words;
  for (const Command& command : Commands())
    words.emplace(command.name.substr(0, command.name.find(' ')));
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : " ").append(word);
  return text;
}

std::string BashScript() {
  std::string script(kFixedPart);
  script +=
      "\n# What to offer for the value of an option; nothing at all for other words.\n"
      "_steelyardctl_value_of() {\n  case $1 in\n" +
      OptionValueRows() + "  esac\n}\n";
  script += R"(
_steelyardctl() {
  local -a said=() kinds=()
  local i kind taken=0 next="" options=")" +
            JoinedOptions({}) + R"("
  COMPREPLY=()
  kind=$(_steelyardctl_value_of "${COMP_WORDS[COMP_CWORD - 1]}")
  if [[ $kind ]]; then
    _steelyardctl_offer "$kind"
    return
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ $(_steelyardctl_value_of "${COMP_WORDS[i]}") ]]; then
      ((++i))
    elif [[ ${COMP_WORDS[i]} != -* ]]; then
      said+=("${COMP_WORDS[i]}")
    fi
  done
  case "${said[*]} " in
)" + CommandRows() +
            GroupRows() + "    \" \") next=\"" + FirstWords() + R"(" ;;
  esac
  if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
    _steelyardctl_offer words "$options"
  elif [[ $next ]]; then
    _steelyardctl_offer words "$next"
  else
    _steelyardctl_offer "${kinds[${#said[@]} - taken]-nothing}"
  fi
}

complete -F _steelyardctl steelyardctl
)";
  return script;
}

}  // namespace

void PrintCompletion(Invocation& invocation) {
  if (invocation.Word(0) != "bash")
    throw UsageError("no completion for '" + invocation.Word(0) + "'; there is one for bash");
  invocation.out << BashScript();
}

}  // namespace steelyard::controlplane::cli
