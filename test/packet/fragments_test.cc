// SPDX-License-Identifier: Apache-2.0
//
// Fragments through a whole worker: poll loop, pipeline, reassembler and dispatch, with ports in
// memory. What leaves is put together again by the tests' own code.
#include <algorithm>
#include <memory>
#include <numeric>

#include "packet/connection.h"
#include "packet/random.h"
#include "worker/memory_port_queue.h"
#include "worker/poll_loop.h"

namespace steelyard::test {
namespace {

using net::L4Protocol;
using net::Verdict;

class SetClock final : public worker::Clock {
 public:
  explicit SetClock(const uint64_t& now_ns) : now_ns_(now_ns) {}
  uint64_t NowNs() override { return now_ns_; }

 private:
  const uint64_t& now_ns_;
};

class Fragmented : public testing::TestWithParam<FamilyCase> {
 protected:
  Fragmented() : Fragmented(Box::Options{.reassembly = {16, 8}}) {}
  explicit Fragmented(const Box::Options& options) : box(options), clock_(box.now_ns) {
    box.AddUsualServices();
  }

  // Everything of `frames` arrives, and the worker polls until it has taken it in.
  void Arrive(core::PortId port, std::vector<Bytes> frames) {
    if (loop_ == nullptr || snapshot_generation_ != box.snapshot.generation) Restart();
    for (Bytes& frame : frames) {
      std::copy_n(box.ports[port].mac.bytes.begin(), 6, frame.begin());
      queues[port].wire_in.push_back(frame);
    }
    while (!queues[port].wire_in.empty()) loop_->Poll();
    EXPECT_EQ(ledger_.lent(), 0u) << "a buffer was lost";
    ExpectEquation();
  }
  std::vector<Bytes> TakeSent(core::PortId port) {
    return std::exchange(queues[port].wire_out, {});
  }
  std::vector<Bytes> TakePunted(core::PortId port) {
    return std::exchange(queues[port].kernel_out, {});
  }

  uint64_t Count(Verdict verdict) const {
    return box_counters().verdicts[static_cast<size_t>(verdict)].value();
  }
  const core::WorkerCounters& box_counters() const {
    return const_cast<Box&>(box).worker().counters;
  }

  Datagram Request(size_t bytes) const {
    return {.source = family.client, .destination = family.vip, .payload = Pattern(bytes)};
  }
  bool is_v4() const { return family.client.address.is_v4(); }

  static std::vector<size_t> CutsEvery(size_t step, const Bytes& frame) {
    std::vector<size_t> cuts;
    for (size_t at = step; at < FragmentableBytes(frame); at += step) cuts.push_back(at);
    return cuts;
  }
  std::vector<Bytes> Shuffled(std::vector<Bytes> frames) {
    std::shuffle(frames.begin(), frames.end(), std::mt19937(random_()));
    return frames;
  }
  // Each is right by itself, and no longer than the MTU.
  static void ExpectFragments(const std::vector<Bytes>& fragments, size_t mtu) {
    EXPECT_GT(fragments.size(), 1u);
    for (const Bytes& fragment : fragments) EXPECT_LE(fragment.size(), 14 + mtu);
  }

  const FamilyCase& family = GetParam();
  Box box;
  worker::BufferLedger ledger_;
  worker::MemoryPortQueue queues[2]{{0, ledger_}, {1, ledger_}};
  Random random_{1};

 private:
  void Restart() {
    snapshots_ = std::make_unique<worker::SnapshotPublisher>(
        std::make_unique<core::Snapshot>(box.snapshot), 1);
    snapshot_generation_ = box.snapshot.generation;
    loop_ = std::make_unique<worker::PollLoop>(
        worker::PollLoop::Parts{.worker_index = 0,
                                .ports = {&queues[0], &queues[1]},
                                .pipeline = &box.pipeline(),
                                .snapshots = snapshots_.get(),
                                .mailbox = &mailbox_,
                                .state = &box.worker(),
                                .clock = &clock_});
  }
  void ExpectEquation() const {
    uint64_t sum = 0;
    for (const core::Counter& counter : box_counters().verdicts) sum += counter.value();
    EXPECT_EQ(box_counters().received_packets.value() + box_counters().reassembled_packets.value(),
              sum);
  }

  SetClock clock_;
  worker::WorkerMailbox mailbox_;
  std::unique_ptr<worker::SnapshotPublisher> snapshots_;
  std::unique_ptr<worker::PollLoop> loop_;
  uint64_t snapshot_generation_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Family, Fragmented, testing::ValuesIn(kFamilyCases), FamilyName);

TEST_P(Fragmented, ADatagramThereAndBack) {
  for (const size_t bytes : {1473u, 5000u, 60'000u}) {
    const Bytes request = UdpFrame(Request(bytes), {.flags_and_offset = 0});
    Arrive(kClientPort, Shuffled(Fragments(request, CutsEvery(1440, request))));
    const std::vector<Bytes> to_backend = TakeSent(kBackendPort);
    ExpectFragments(to_backend, 1500);
    const Seen there = Dissect(Defragmented(to_backend));
    ASSERT_EQ(there.trouble, "");
    EXPECT_EQ(there.source.address, family.local);
    EXPECT_EQ(there.destination, family.backend(0));
    EXPECT_EQ(there.payload, Pattern(bytes));
    EXPECT_EQ(there.ttl, 63);

    const Bytes reply = UdpFrame(
        {.source = there.destination, .destination = there.source, .payload = Pattern(bytes, 99)},
        {.flags_and_offset = 0});
    Arrive(kBackendPort, Shuffled(Fragments(reply, CutsEvery(1440, reply))));
    const std::vector<Bytes> to_client = TakeSent(kClientPort);
    ExpectFragments(to_client, 1500);
    const Seen back = Dissect(Defragmented(to_client));
    ASSERT_EQ(back.trouble, "");
    EXPECT_EQ(back.source, family.vip);
    EXPECT_EQ(back.destination, family.client);
    EXPECT_EQ(back.payload, Pattern(bytes, 99));
  }
  EXPECT_EQ(box.sessions().size(), 1u);
  EXPECT_EQ(box_counters().reassembled_packets.value(), 6u);
  EXPECT_EQ(Count(Verdict::kForwarded), 6u);
  EXPECT_EQ(Count(Verdict::kConsumed), box_counters().received_packets.value());
}

TEST_P(Fragmented, WhatFitsLeavesWhole) {
  const Bytes request = UdpFrame(Request(1000), {.flags_and_offset = 0});
  Arrive(kClientPort, Shuffled(Fragments(request, {400, 800})));
  const std::vector<Bytes> sent = TakeSent(kBackendPort);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(Dissect(sent[0]).trouble, "");
  EXPECT_EQ(Dissect(sent[0]).payload, Pattern(1000));
  EXPECT_EQ(box_counters().fragments_sent.value(), 0u);
}

TEST_P(Fragmented, WhatIpv6SendersMadeSmallForThePathStaysSo) {
  const Bytes request = UdpFrame(Request(1400), {.flags_and_offset = 0});
  Arrive(kClientPort, Fragments(request, {1232}));  // fragments of 1280 bytes
  const std::vector<Bytes> sent = TakeSent(kBackendPort);
  if (is_v4()) {
    EXPECT_EQ(sent.size(), 1u) << "any router may fragment it again";
  } else {
    ExpectFragments(sent, 1280);
    EXPECT_EQ(Dissect(Defragmented(sent)).payload, Pattern(1400));
  }
}

TEST_P(Fragmented, ANarrowWayOutGetsSmallerFragments) {
  box.ports[kBackendPort].mtu = 1300;
  box.Compile();
  const Bytes request = UdpFrame(Request(5000), {.flags_and_offset = 0});
  Arrive(kClientPort, Fragments(request, CutsEvery(1440, request)));
  const std::vector<Bytes> sent = TakeSent(kBackendPort);
  ExpectFragments(sent, 1300);
  EXPECT_EQ(Dissect(Defragmented(sent)).payload, Pattern(5000));
}

TEST_P(Fragmented, WholePacketsAreFragmentedWhereTheirSenderAllowsIt) {
  box.ports[kBackendPort].mtu = 1300;
  box.Compile();
  Arrive(kClientPort, {UdpFrame(Request(1400), {.flags_and_offset = 0})});
  const std::vector<Bytes> sent = TakeSent(kBackendPort);
  if (is_v4()) {
    ExpectFragments(sent, 1300);
    const Seen seen = Dissect(Defragmented(sent));
    EXPECT_EQ(seen.trouble, "");
    EXPECT_EQ(seen.payload, Pattern(1400));
    EXPECT_EQ(box_counters().fragments_sent.value(), 2u);
  } else {
    EXPECT_TRUE(sent.empty());
  }
  EXPECT_EQ(Count(is_v4() ? Verdict::kForwarded : Verdict::kPacketTooBig), 1u);
  Arrive(kClientPort, {UdpFrame(Request(1400))});  // don't fragment
  EXPECT_TRUE(TakeSent(kBackendPort).empty());
  EXPECT_EQ(Count(Verdict::kPacketTooBig), is_v4() ? 1u : 2u);
}

TEST_P(Fragmented, ATcpSegmentInFragmentsIsASegment) {
  Connection connection(box, family);
  connection.Open();
  const Bytes segment =
      TcpFrame(connection.ToVip(net::kTcpAck, {}, Pattern(3000)), {.flags_and_offset = 0});
  Arrive(kClientPort, Shuffled(Fragments(segment, CutsEvery(1440, segment))));
  const Seen seen = Dissect(Defragmented(TakeSent(kBackendPort)));
  EXPECT_EQ(seen.trouble, "");
  EXPECT_EQ(seen.payload, Pattern(3000));
}

TEST_P(Fragmented, WhatIsTheKernelsReachesItAsItCame) {
  Datagram elsewhere = Request(5000);
  elsewhere.destination.port = net::Be16(53);
  const Bytes datagram = UdpFrame(elsewhere, {.flags_and_offset = 0});
  Arrive(kClientPort, Shuffled(Fragments(datagram, CutsEvery(1440, datagram))));
  const std::vector<Bytes> punted = TakePunted(kClientPort);
  ExpectFragments(punted, 1500);
  const Seen seen = Dissect(Defragmented(punted));
  EXPECT_EQ(seen.trouble, "");
  EXPECT_EQ(seen.destination, elsewhere.destination);
  EXPECT_EQ(seen.payload, Pattern(5000));
  EXPECT_EQ(seen.ttl, 64);
  EXPECT_EQ(Count(Verdict::kPunted), 1u);
}

TEST_P(Fragmented, FragmentsToOthersAreTheKernelsOneByOne) {
  Datagram elsewhere = Request(5000);
  elsewhere.destination.address = family.router;
  const Bytes datagram = UdpFrame(elsewhere, {.flags_and_offset = 0});
  const std::vector<Bytes> fragments = Fragments(datagram, CutsEvery(1440, datagram));
  Arrive(kClientPort, fragments);
  EXPECT_EQ(TakePunted(kClientPort), fragments);
  EXPECT_EQ(Count(Verdict::kPunted), fragments.size());
}

TEST_P(Fragmented, TheyMixWithWholePacketsAndManyDatagrams) {
  std::vector<Bytes> frames;
  for (uint16_t i = 0; i < 8; ++i) {
    Datagram request = Request(3000);
    request.source.port = net::Be16(static_cast<uint16_t>(1000 + i));
    const Bytes frame = UdpFrame(request, {.flags_and_offset = 0});
    for (Bytes& fragment : Fragments(frame, CutsEvery(1440, frame), i))
      frames.push_back(std::move(fragment));
    frames.push_back(UdpFrame(Request(10)));
  }
  Arrive(kClientPort, Shuffled(frames));
  EXPECT_EQ(box_counters().reassembled_packets.value(), 8u);
  EXPECT_EQ(Count(Verdict::kForwarded), 16u);
  EXPECT_EQ(TakeSent(kBackendPort).size(), 8 + 8 * 3u);
  EXPECT_EQ(box.sessions().size(), 9u);
}

TEST_P(Fragmented, AMissingFragmentTimesOutAndIsCounted) {
  const Bytes request = UdpFrame(Request(3000), {.flags_and_offset = 0});
  std::vector<Bytes> fragments = Fragments(request, CutsEvery(1440, request));
  fragments.pop_back();
  Arrive(kClientPort, fragments);
  EXPECT_EQ(Count(Verdict::kConsumed), 2u);
  box.now_ns += core::Reassembler::kTimeoutNs;
  Arrive(kClientPort, {UdpFrame(Request(10))});  // polls
  EXPECT_EQ(box_counters().reassembly_timeouts.value(), 1u);
  EXPECT_EQ(box.worker().reassembler->size(), 0u);
}

TEST_P(Fragmented, TooManyAreCountedRefusals) {
  const Bytes request = UdpFrame(Request(3000), {.flags_and_offset = 0});
  for (uint32_t i = 0; i < 100; ++i) Arrive(kClientPort, {Fragment(request, 0, 1440, true, i)});
  EXPECT_EQ(Count(Verdict::kConsumed), 8u);
  EXPECT_EQ(Count(Verdict::kFragmentLimit), 92u);
  // Another datagram's fragments, from elsewhere, are still taken in.
  Datagram other = Request(3000);
  other.source.address = family.router;
  const Bytes frame = UdpFrame(other, {.flags_and_offset = 0});
  Arrive(kClientPort, Fragments(frame, CutsEvery(1440, frame)));
  EXPECT_EQ(Count(Verdict::kForwarded), 1u);
}

TEST_P(Fragmented, WithoutBuffersOrRoomThePacketIsNotForwarded) {
  const Bytes request = UdpFrame(Request(60'000), {.flags_and_offset = 0});
  const std::vector<Bytes> fragments = Fragments(request, CutsEvery(1440, request));
  queues[kBackendPort].allocates = [](uint32_t) { return false; };
  Arrive(kClientPort, fragments);
  EXPECT_EQ(Count(Verdict::kTransmitQueueFull), 1u);
  queues[kBackendPort].allocates = [](uint32_t) { return true; };
  queues[kBackendPort].send_limit = [](uint32_t wanted) { return std::min(wanted, 20u); };
  Arrive(kClientPort, fragments);
  EXPECT_EQ(Count(Verdict::kTransmitQueueFull), 2u);
  EXPECT_EQ(box_counters().fragments_sent.value(), 20u);
  EXPECT_EQ(TakeSent(kBackendPort).size(), 20u) << "the rest is not tried";
  EXPECT_EQ(Count(Verdict::kForwarded), 0u);
  queues[kClientPort].punt_limit = [](uint32_t) { return 0; };
  Datagram elsewhere = Request(3000);
  elsewhere.destination.port = net::Be16(53);
  const Bytes to_kernel = UdpFrame(elsewhere, {.flags_and_offset = 0});
  Arrive(kClientPort, Fragments(to_kernel, CutsEvery(1440, to_kernel)));
  EXPECT_EQ(Count(Verdict::kPuntQueueFull), 1u);
}

// A datagram that lies about itself is dropped like one that came whole.
TEST_P(Fragmented, AReassembledPacketIsParsedAsAnyOther) {
  Bytes request = UdpFrame(Request(3000), {.flags_and_offset = 0});
  Set16(request, is_v4() ? 38 : 58, 3009);  // UDP length, one too long
  Arrive(kClientPort, Fragments(request, CutsEvery(1440, request)));
  EXPECT_EQ(Count(Verdict::kMalformedUdp), 1u);
}

// Its answers are addressed to the client, not to the box.
TEST_P(Fragmented, AnswersOfABackendWhoseGatewayTheBoxIs) {
  box.mode = &core::Dnat();
  for (core::Service& service : box.services) service.mode = box.mode;
  box.Compile();
  Arrive(kClientPort, {UdpFrame(Request(20))});
  TakeSent(kBackendPort);
  const Bytes answer = UdpFrame(
      {.source = GetParam().backend(0), .destination = GetParam().client, .payload = Pattern(5000)},
      {.flags_and_offset = 0});
  Arrive(kBackendPort, Fragments(answer, CutsEvery(1440, answer)));
  const Seen seen = Dissect(Defragmented(TakeSent(kClientPort)));
  EXPECT_EQ(seen.trouble, "");
  EXPECT_EQ(seen.source, GetParam().vip);
  EXPECT_EQ(seen.payload, Pattern(5000));
}

class FragmentsOff : public Fragmented {
 protected:
  FragmentsOff() : Fragmented(Box::Options{}) {}
};
INSTANTIATE_TEST_SUITE_P(Family, FragmentsOff, testing::ValuesIn(kFamilyCases), FamilyName);

TEST_P(FragmentsOff, TheyAreDroppedAndCounted) {
  const Bytes request = UdpFrame(Request(3000), {.flags_and_offset = 0});
  Arrive(kClientPort, Fragments(request, CutsEvery(1440, request)));
  EXPECT_EQ(Count(Verdict::kFragment), 3u);
  EXPECT_TRUE(TakeSent(kBackendPort).empty());
}

}  // namespace
}  // namespace steelyard::test
