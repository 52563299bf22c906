// SPDX-License-Identifier: Apache-2.0
#include "proto/fingerprint.h"

#include <gtest/gtest.h>

#include "model.pb.h"

namespace steelyard::proto {
namespace {

TEST(Fingerprint, TellsContentNotIdentity) {
  v1::Backend a;
  a.set_address("192.0.2.1");
  a.set_weight(1);
  v1::Backend b = a;
  EXPECT_EQ(Fingerprint(a), Fingerprint(b));
  b.set_weight(2);
  EXPECT_NE(Fingerprint(a), Fingerprint(b));
}

}  // namespace
}  // namespace steelyard::proto
