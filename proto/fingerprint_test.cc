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

TEST(Fingerprint, OfAListTellsItsOrder) {
  v1::Backend a;
  a.set_address("192.0.2.1");
  v1::Backend b;
  b.set_address("192.0.2.2");
  EXPECT_EQ(FingerprintAt(a, 1), FingerprintAt(v1::Backend(a), 1));
  EXPECT_NE(FingerprintAt(a, 0), FingerprintAt(b, 0));
  EXPECT_NE(FingerprintAt(a, 0) + FingerprintAt(b, 1), FingerprintAt(b, 0) + FingerprintAt(a, 1));
}

}  // namespace
}  // namespace steelyard::proto
