// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "core/forward/forwarding_mode.h"

namespace steelyard::core {

std::span<const ForwardingMode* const> ForwardingModes() {
  static const std::array kModes = {&FullNat()};
  return kModes;
}

const ForwardingMode* FindForwardingMode(std::string_view name) {
  for (const ForwardingMode* mode : ForwardingModes())
    if (mode->name() == name) return mode;
  return nullptr;
}

uint8_t ForwardingMode::index() const {
  uint8_t index = 0;
  while (ForwardingModes()[index] != this) ++index;
  return index;
}

}  // namespace steelyard::core
