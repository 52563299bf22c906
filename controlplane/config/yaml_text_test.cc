// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/yaml_text.h"

#include <gtest/gtest.h>

#include "controlplane/config/declared_state.h"
#include "controlplane/config/test_states.h"

namespace steelyard::controlplane {
namespace {

TEST(YamlText, ReadingUndoesWriting) {
  RandomStates states(1);
  for (int i = 0; i < 500; ++i) {
    const v1::DesiredState state = states.Next();
    const DeclaredState read = ParseDeclaredState(YamlText(state));
    EXPECT_EQ(FormatFaults("x", read.faults), "") << YamlText(state);
    EXPECT_EQ(read.state.DebugString(), state.DebugString()) << YamlText(state);
  }
}

TEST(YamlText, SpeaksTheWordsOfTheFile) {
  const v1::DesiredState state = GoodState();
  EXPECT_EQ(YamlText(state.services(0).backends(0)), "{address: 10.0.2.11, port: 80}");
  v1::HealthCheck check;
  check.set_type(v1::HealthCheck::TYPE_HTTP);
  check.set_interval_ms(2000);
  check.set_http_path("/");
  EXPECT_EQ(YamlText(check), "{type: http, interval: 2s, http_path: \"/\"}");
}

TEST(YamlText, AWeightOfZeroIsNotLeftOut) {
  v1::Backend backend;
  EXPECT_EQ(YamlText(backend), "{}");
  backend.set_weight(0);
  EXPECT_EQ(YamlText(backend), "{weight: 0}");
}

}  // namespace
}  // namespace steelyard::controlplane
