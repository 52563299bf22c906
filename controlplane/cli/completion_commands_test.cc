// SPDX-License-Identifier: Apache-2.0
//
// The completion script as bash runs it: sourced, with a stand-in for the steelyardctl that it asks
// for the names of services and gateways.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "controlplane/cli/run.h"

namespace steelyard::controlplane::cli {
namespace {

using Words = std::set<std::string>;

class CompletionTest : public testing::Test {
 protected:
  void SetUp() override {
    std::istringstream in;
    std::ostringstream err;
    std::ofstream script(script_);
    ASSERT_EQ(RunSteelyardctl({"completion", "bash"}, "", {in, script, err}), 0) << err.str();
  }
  void TearDown() override { std::remove(script_.c_str()); }

  // What is offered for the last of `words`, which are without quotes.
  Words Offered(const std::string& words, const std::string& steelyardctl = kTwoServices) {
    const std::string command = "bash -c 'steelyardctl() { " + steelyardctl + "; }; source " +
                                script_ + " || exit 1; COMP_WORDS=(steelyardctl " + words +
                                "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _steelyardctl; " +
                                "printf \"%s\\n\" \"${COMPREPLY[@]}\"' 2>&1";
    Words offered;
    FILE* pipe = popen(command.c_str(), "r");
    std::array<char, 256> line;
    while (std::fgets(line.data(), line.size(), pipe) != nullptr) {
      std::string word = line.data();
      word.pop_back();
      if (!word.empty()) offered.insert(word);
    }
    EXPECT_EQ(pclose(pipe), 0);
    return offered;
  }

  static constexpr char kTwoServices[] =
      "[ \"$*\" = \"service list\" ] && printf \"NAME PROTOCOL\\nweb tcp\\nweb6 tcp\\n\\$(x) "
      "tcp\\n\"; [ \"$*\" = \"gateway list\" ] && printf \"NAME\\nwest\\n\"";
  static constexpr char kAway[] = "echo cannot reach >&2; return 1";
  const std::string script_ =
      testing::TempDir() + "steelyardctl-completion-" + std::to_string(getpid());
};

TEST_F(CompletionTest, OffersCommands) {
  EXPECT_EQ(Offered("\"\""), (Words{"apply", "backend", "completion", "diff", "gateway", "lookup",
                                    "port", "service", "session", "stats", "version"}));
  EXPECT_EQ(Offered("se"), (Words{"service", "session"}));
  EXPECT_EQ(Offered("service \"\""), (Words{"list", "show"}));
  EXPECT_EQ(Offered("-o json service s"), Words{"show"});
  EXPECT_EQ(Offered("nonsense \"\""), Words{});
}

TEST_F(CompletionTest, OffersTheOptionsOfTheCommand) {
  EXPECT_EQ(Offered("session list --c"), Words{"--client"});
  EXPECT_EQ(Offered("apply --"),
            (Words{"--expected-generation", "--file", "--help", "--output", "--socket"}));
  EXPECT_EQ(Offered("stats --"), (Words{"--help", "--output", "--socket"}));
}

TEST_F(CompletionTest, OffersServicesByAskingTheDaemon) {
  EXPECT_EQ(Offered("service show \"\""), (Words{"web", "web6"}));
  EXPECT_EQ(Offered("backend list web6"), Words{"web6"});
  EXPECT_EQ(Offered("session list --service w"), (Words{"web", "web6", "west"}));
  EXPECT_EQ(Offered("gateway show \"\""), Words{"west"});
  EXPECT_EQ(Offered("service show web \"\""), Words{}) << "there is no second argument";
}

TEST_F(CompletionTest, OffersQuietlyNothingWhileTheDaemonIsAway) {
  EXPECT_EQ(Offered("service show \"\"", kAway), Words{});
}

TEST_F(CompletionTest, OffersValues) {
  EXPECT_EQ(Offered("-o \"\""), (Words{"json", "table"}));
  EXPECT_EQ(Offered("lookup \"\""), (Words{"icmp", "tcp", "udp"}));
  EXPECT_EQ(Offered("lookup tcp \"\""), Words{});
  EXPECT_EQ(Offered("session list --protocol u"), Words{"udp"});
  EXPECT_EQ(Offered("completion \"\""), Words{"bash"});
  EXPECT_EQ(Offered("apply -f " + script_.substr(0, script_.size() - 1)).count(script_), 1u);
}

}  // namespace
}  // namespace steelyard::controlplane::cli
