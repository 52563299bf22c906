// SPDX-License-Identifier: Apache-2.0
//
// Random numbers of 32 bits from a fixed seed: a test that fails fails again.
#pragma once

#include <cstdint>
#include <random>

namespace steelyard::test {

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  uint32_t operator()() { return static_cast<uint32_t>(engine_()); }

 private:
  std::mt19937 engine_;
};

}  // namespace steelyard::test
