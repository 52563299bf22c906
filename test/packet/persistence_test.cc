// SPDX-License-Identifier: Apache-2.0
//
// Persistence by client address: whom a client's next session goes to, and how long.
#include <algorithm>
#include <map>
#include <optional>

#include "packet/connection.h"
#include "packet/random.h"

namespace steelyard::test {
namespace {

using core::Backend;
using net::L4Protocol;
using net::Verdict;

constexpr uint64_t kTimeoutMs = 60'000;
constexpr uint64_t kUdpTimeoutMs = 30'000;
// Sessions and templates are gone this long after their deadline.
constexpr uint64_t kGranularityMs = 2 * core::TimerWheel::kSlotMs;

class Persistence : public testing::TestWithParam<FamilyCase> {
 protected:
  Persistence() : Persistence(Box::Options{.capacity = {2000, 2000}}) {}
  explicit Persistence(const Box::Options& options) : box(options) {
    box.scheduler = "round_robin";
    box.AddUsualServices(4);
    for (core::Service& service : box.services) {
      service.persistence.enabled = true;
      service.template_timeout_ms = kTimeoutMs;
    }
    box.Compile();
  }

  core::Service& Service() { return box.service(family.vip, L4Protocol::kUdp); }
  Backend& BackendAt(const net::Endpoint& endpoint) {
    return *std::find_if(Service().backends.begin(), Service().backends.end(),
                         [&](const Backend& backend) { return backend.endpoint == endpoint; });
  }
  // A host of the client's network.
  net::IpAddress Client(uint8_t number) const {
    net::Ipv6Address bytes = family.client.address.v6();
    bytes.bytes[15] = number;
    if (!family.client.address.is_v4()) return bytes;
    net::Be32 raw;
    std::memcpy(&raw, &bytes.bytes[12], 4);
    return net::Ipv4Address{raw};
  }
  Box::Outcome Send(const net::IpAddress& client, uint16_t port) {
    return box.FromClient(Datagram{.source = {client, net::Be16(port)}, .destination = family.vip});
  }
  void Answer(const Box::Outcome& request) {
    EXPECT_EQ(box.FromBackend(Datagram{.source = request.seen.destination,
                                       .destination = request.seen.source})
                  .verdict,
              Verdict::kForwarded);
  }
  // Opens a session and lets it be answered; the backend.
  net::Endpoint Exchange(const net::IpAddress& client, uint16_t port) {
    const Box::Outcome request = Send(client, port);
    EXPECT_EQ(request.verdict, Verdict::kForwarded);
    Answer(request);
    return request.seen.destination;
  }
  // In steps, as sessions end when they are looked at.
  void Pass(uint64_t milliseconds) {
    while (milliseconds > 0) {
      const uint64_t step = std::min<uint64_t>(milliseconds, core::TimerWheel::kSlotMs);
      box.Pass(step);
      box.Expire();
      milliseconds -= step;
    }
  }
  uint64_t NotRemembered() {
    return box.worker().services[Service().slot].sessions_not_remembered.value();
  }

  const FamilyCase& family = GetParam();
  Box box;
};
INSTANTIATE_TEST_SUITE_P(Family, Persistence, testing::ValuesIn(kFamilyCases), FamilyName);

TEST_P(Persistence, AClientsSessionsGoToOneBackend) {
  std::map<net::IpAddress, net::Endpoint> backend_of;
  for (uint16_t port = 1; port <= 30; ++port) {
    for (uint8_t number = 1; number <= 6; ++number) {
      const net::Endpoint backend = Exchange(Client(number), port);
      EXPECT_EQ(backend_of.emplace(Client(number), backend).first->second, backend);
    }
  }
  // Round robin gave the six to four in turn.
  std::map<net::Endpoint, int> clients;
  for (const auto& [client, backend] : backend_of) ++clients[backend];
  EXPECT_EQ(clients.size(), 4u);
  // Templates are no sessions to those who count these.
  EXPECT_EQ(box.worker().counters.sessions_active(), 180u);
  EXPECT_EQ(box.worker().services[Service().slot].sessions_active(), 180u);
  EXPECT_EQ(box.sessions().size(), 186u);
  Pass(kUdpTimeoutMs + kTimeoutMs + 2 * kGranularityMs);
  EXPECT_EQ(box.sessions().size(), 0u);
}

TEST_P(Persistence, AnotherServiceIsAnotherMatter) {
  const net::Endpoint backend = Exchange(Client(1), 1);
  Connection connection(box, family);
  connection.client.address = Client(1);
  connection.Open();
  Connection second(box, family, 40001);
  second.client.address = Client(1);
  second.Open();
  EXPECT_EQ(second.backend, connection.backend);
  EXPECT_EQ(Exchange(Client(1), 2), backend);
}

TEST_P(Persistence, APrefixIsOneClient) {
  Service().persistence.ipv4_prefix_length = 28;
  Service().persistence.ipv6_prefix_length = 124;
  box.Compile();
  const net::Endpoint low = Exchange(Client(0x10), 1);
  for (uint8_t number = 0x10; number <= 0x1f; ++number) EXPECT_EQ(Exchange(Client(number), 2), low);
  const net::Endpoint high = Exchange(Client(0x20), 1);
  EXPECT_NE(high, low);
  EXPECT_EQ(Exchange(Client(0x2f), 1), high);
}

TEST_P(Persistence, TheTimeoutCountsFromTheLastSessionsEnd) {
  const net::Endpoint backend = Exchange(Client(1), 1);
  // A session of ten minutes.
  for (int i = 0; i < 30; ++i) Pass(20'000), Send(Client(1), 1);
  Pass(kUdpTimeoutMs + kTimeoutMs - kGranularityMs);
  EXPECT_EQ(box.worker().counters.sessions_active(), 0u);
  EXPECT_EQ(Exchange(Client(1), 2), backend);
  Pass(kUdpTimeoutMs + kTimeoutMs + 2 * kGranularityMs);
  EXPECT_EQ(box.sessions().size(), 0u);
  EXPECT_NE(Exchange(Client(1), 3), backend) << "round robin has gone on";
}

// Draining, weight 0, down and standing by are all the same to core: not available. A limit is not.
TEST_P(Persistence, ABackendThatTakesNoSessionsIsReplacedForGood) {
  for (const bool by_limit : {false, true}) {
    const net::IpAddress client = Client(by_limit);
    const net::Endpoint first = Exchange(client, 1);
    Backend& backend = BackendAt(first);
    backend.available = by_limit;
    if (by_limit) backend.max_sessions = 1;
    box.Compile();
    const net::Endpoint second = Exchange(client, 2);
    EXPECT_NE(second, first);
    EXPECT_EQ(Exchange(client, 3), second);
    EXPECT_EQ(Send(client, 1).seen.destination, first) << "the session itself stays";
    BackendAt(first).available = true;
    BackendAt(first).max_sessions = core::kNoSessionLimit;
    box.Compile();
    EXPECT_EQ(Exchange(client, 4), second);
  }
}

TEST_P(Persistence, ABackendThatIsGoneIsReplaced) {
  const net::Endpoint first = Exchange(Client(1), 1);
  std::erase_if(Service().backends, [&](const Backend& each) { return each.endpoint == first; });
  box.Compile();
  const net::Endpoint second = Exchange(Client(1), 2);
  EXPECT_NE(second, first);
  EXPECT_EQ(Exchange(Client(1), 3), second);
}

TEST_P(Persistence, SwitchedOffItIsForgotten) {
  Exchange(Client(1), 1);
  for (core::Service& service : box.services) service.persistence = {};
  for (core::Service& service : box.services) service.template_timeout_ms = 0;
  box.Compile();
  EXPECT_NE(Exchange(Client(1), 2), Exchange(Client(1), 3));
  Pass(kUdpTimeoutMs + kTimeoutMs + 2 * kGranularityMs);
  EXPECT_EQ(box.sessions().size(), 0u);
}

// What a flood from made-up addresses leaves behind.
TEST_P(Persistence, ClientsWithoutAnAnswerAreNotRemembered) {
  for (uint8_t number = 1; number <= 50; ++number) {
    Connection half_open(box, family);
    half_open.client.address = Client(number);
    half_open.FromClient(net::kTcpSyn);
    if (number % 2) half_open.FromBackend(net::kTcpSyn | net::kTcpAck);
    Send(Client(number), 1);
  }
  EXPECT_EQ(box.sessions().size(), 200u);
  Pass(kUdpTimeoutMs + 2 * kGranularityMs);
  EXPECT_EQ(box.sessions().size(), 0u);
}

TEST_P(Persistence, AnEstablishedConnectionIsRemembered) {
  Connection connection(box, family);
  connection.Open();
  connection.Close();
  Pass(kTimeoutMs);
  EXPECT_EQ(box.worker().counters.sessions_active(), 0u);
  Connection next(box, family, 40001);
  next.Open();
  EXPECT_EQ(next.backend, connection.backend);
}

TEST_P(Persistence, AFullTableRemembersNothingAndSaysSo) {
  Box small({.capacity = {1, 1}});
  small.AddUsualServices(2);
  core::Service& service = small.service(family.vip, L4Protocol::kUdp);
  service.persistence.enabled = true;
  service.template_timeout_ms = kTimeoutMs;
  small.Compile();
  const Datagram request{.source = family.client, .destination = family.vip};
  EXPECT_EQ(small.FromClient(request).verdict, Verdict::kForwarded);
  EXPECT_EQ(small.FromClient(request).verdict, Verdict::kForwarded);
  EXPECT_EQ(small.worker().services[service.slot].sessions_not_remembered.value(), 1u);
  EXPECT_EQ(small.sessions().size(), 1u);
}

// Looking tells what happens and remembers nothing.
TEST_P(Persistence, LookingForetellsTheBackend) {
  for (uint8_t number = 1; number <= 20; ++number) {
    const net::IpAddress client = Client(number % 5);
    const net::FlowKey key({client, net::Be16(number)}, family.vip, L4Protocol::kUdp);
    const uint32_t before = box.sessions().size();
    const core::Pipeline::Preview preview = box.pipeline().Look(box.snapshot, key, box.now_ns);
    EXPECT_EQ(box.sessions().size(), before);
    ASSERT_NE(preview.backend, nullptr);
    EXPECT_EQ(preview.backend->endpoint, Exchange(client, number));
  }
}

// Against a model that knows of clients and times only.
TEST_P(Persistence, ClientsAreRememberedAsTheModelSays) {
  struct Model {
    std::map<uint16_t, uint64_t> last_packet_ms;  // by port, of sessions that may live
    std::optional<net::Endpoint> backend;
    uint64_t left_ms = 0;  // when the last session ended
  };
  std::map<uint8_t, Model> clients;
  Random random(7);
  uint64_t remembered = 0, forgotten = 0;
  for (int step = 0; step < 4000; ++step) {
    const auto now_ms = [&] { return box.now_ns / 1'000'000; };
    Pass(random() % 50 == 0 ? random() % 100'000 : random() % 3'000);
    const auto number = static_cast<uint8_t>(random() % 12);
    const auto port = static_cast<uint16_t>(1 + random() % 4);
    Model& model = clients[number];
    bool uncertain = false;  // within the granularity of an end
    for (auto at = model.last_packet_ms.begin(); at != model.last_packet_ms.end();) {
      const uint64_t ends_ms = at->second + kUdpTimeoutMs;
      uncertain |= now_ms() >= ends_ms && now_ms() < ends_ms + kGranularityMs;
      if (now_ms() < ends_ms + kGranularityMs) {
        ++at;
        continue;
      }
      model.left_ms = std::max(model.left_ms, ends_ms);
      at = model.last_packet_ms.erase(at);
    }
    if (uncertain) continue;
    const bool is_new = !model.last_packet_ms.contains(port);
    const bool lives = !model.last_packet_ms.empty();
    const net::Endpoint backend = Exchange(Client(number), port);
    if (is_new && model.backend) {
      if (lives || now_ms() < model.left_ms + kTimeoutMs) {
        ASSERT_EQ(backend, *model.backend) << step;
        ++remembered;
      } else if (now_ms() >= model.left_ms + kTimeoutMs + 3 * kGranularityMs) {
        ++forgotten;
      }
    }
    if (is_new) model.backend = backend;
    model.last_packet_ms[port] = now_ms();
  }
  EXPECT_GT(remembered, 200u);
  EXPECT_GT(forgotten, 10u);
  EXPECT_EQ(NotRemembered(), 0u);
}

}  // namespace
}  // namespace steelyard::test
