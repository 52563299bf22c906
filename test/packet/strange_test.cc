// SPDX-License-Identifier: Apache-2.0
//
// Every strange frame through the pipeline: its verdict, and that the verdicts add up.
#include <numeric>

#include "packet/connection.h"
#include "packet/random.h"

namespace steelyard::test {
namespace {

using net::Verdict;

TEST(Strange, EveryFrameGetsItsVerdict) {
  for (const StrangeFrame& strange : StrangeFrames()) {
    SCOPED_TRACE(strange.name);
    Box box;
    box.AddUsualServices();
    core::Burst burst;
    burst.count = 1;
    const ExactBuffer buffer(strange.frame, 128);
    burst.packet[0] = buffer.packet();
    box.pipeline().Process(box.snapshot, burst, box.now_ns);
    EXPECT_EQ(burst.verdict[0], strange.verdict)
        << net::InfoOf(burst.verdict[0]).name << ", not " << net::InfoOf(strange.verdict).name;
  }
}

// received = forwarded + punted + consumed + every drop, in bursts of all sizes and mixtures.
TEST(Strange, VerdictsAddUp) {
  Box box;
  box.AddUsualServices();
  std::vector<Bytes> frames = OrdinaryFrames();
  for (const StrangeFrame& strange : StrangeFrames()) frames.push_back(strange.frame);
  Random random(1);
  std::array<uint64_t, net::kVerdictCount> verdicts{};
  uint64_t received = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<Bytes> burst(random() % (core::kBurstCapacity + 1));
    for (Bytes& frame : burst) frame = frames[random() % frames.size()];
    received += burst.size();
    for (const auto& out : box.ReceiveBurst(random() % 2 ? kClientPort : kBackendPort, burst))
      ++verdicts.at(static_cast<size_t>(out.verdict));
    box.Pass(random() % 1000);
    box.Expire(random() % 8);
    if (HasFailure()) FAIL() << "round " << round;
  }
  EXPECT_EQ(std::accumulate(verdicts.begin(), verdicts.end(), uint64_t{0}), received);
  for (const Verdict seen : {Verdict::kForwarded, Verdict::kPunted, Verdict::kFragment,
                             Verdict::kMalformedTcp, Verdict::kNoSession})
    EXPECT_GT(verdicts[static_cast<size_t>(seen)], 0u) << net::InfoOf(seen).name;
}

}  // namespace
}  // namespace steelyard::test
