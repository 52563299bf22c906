// SPDX-License-Identifier: Apache-2.0
//
// libFuzzer's entry: see targets.h.
#include "fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  steelyard::test::FuzzParsePacket({data, size});
  return 0;
}
