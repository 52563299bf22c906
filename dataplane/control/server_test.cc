// SPDX-License-Identifier: Apache-2.0
#include "control/server.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>
#include <vector>

#include "proto/frame.h"

namespace steelyard::control {
namespace {

using boost::asio::local::stream_protocol;

class FakePort : public worker::Port {
 public:
  FakePort() { info_.kernel_interface = "steel0"; }
  const worker::PortInfo& info() const override { return info_; }
  bool IsLinkUp() const override { return true; }
  worker::PortStats ReadStats() const override { return {.received_packets = 7}; }

 private:
  worker::PortInfo info_;
};

// A dataplane of one worker that polls nothing but its mailbox, and a server in front of it.
class ServerTest : public testing::Test {
 protected:
  static constexpr core::SessionCapacity kCapacity{.narrow = 8192, .wide = 64};

  ServerTest() {
    server_ = std::make_unique<Server>(io_, path_, handlers_);
    io_thread_ = std::thread([this] { io_.run(); });
    worker_thread_ = std::thread([this] {
      while (!stop_) {
        publisher_.Pin(0);
        mailbox_.Step(pipeline_, 1'000'000);
        std::this_thread::yield();
      }
      publisher_.Leave(0);
      mailbox_.Leave();
    });
    client_.connect(stream_protocol::endpoint(path_));
  }

  ~ServerTest() override {
    io_.stop();
    io_thread_.join();
    stop_ = true;
    worker_thread_.join();
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  v1::Response Receive() {
    v1::Response response;
    std::array<char, 4096> buffer;
    while (reader_.Take(response) != proto::FrameReader::Next::kFrame)
      reader_.Append({buffer.data(), client_.read_some(boost::asio::buffer(buffer))});
    return response;
  }

  v1::Response Ask(v1::Request request) {
    request.set_id(++id_);
    std::string frame;
    EXPECT_TRUE(proto::AppendFrame(request, frame));
    boost::asio::write(client_, boost::asio::buffer(frame));
    v1::Response response = Receive();
    EXPECT_EQ(response.id(), id_);
    return response;
  }

  // All of an answer that begins with `response`.
  std::vector<v1::Session> ReceiveSessions(v1::Response response) {
    std::vector<v1::Session> sessions;
    for (;; response = Receive()) {
      const auto& part = response.list_sessions().sessions();
      sessions.insert(sessions.end(), part.begin(), part.end());
      if (!response.more()) return sessions;
    }
  }

  // By turns with two backends.
  void OpenSessions(uint16_t count) {
    const auto endpoint = [](const char* address, int port) {
      return net::Endpoint{*net::ParseIpAddress(address), net::Be16(static_cast<uint16_t>(port))};
    };
    for (uint16_t i = 0; i < count; ++i) {
      const net::FlowKey client(endpoint("10.0.0.2", 1000 + i), endpoint("10.0.1.1", 80),
                                net::L4Protocol::kTcp);
      const net::FlowKey backend(endpoint("10.0.2.100", 2000 + i),
                                 endpoint(i % 2 ? "10.0.2.1" : "10.0.2.2", 80),
                                 net::L4Protocol::kTcp);
      ASSERT_NE(sessions_.Insert({client, backend}, {backend.Reversed(), client.Reversed()}),
                core::kNoSession);
    }
  }

  static std::string MakeDirectory() {
    std::string pattern = std::filesystem::temp_directory_path() / "steelyard-test-XXXXXX";
    return mkdtemp(pattern.data());
  }

  const std::string directory_ = MakeDirectory();
  const std::string path_ = directory_ + "/dataplane.sock";
  FakePort port_;
  std::vector<std::byte> memory_ =
      std::vector<std::byte>(core::SessionTable::RequiredBytes(kCapacity) + 64);
  std::span<std::byte> aligned_ = [this] {
    void* at = memory_.data();
    size_t space = memory_.size();
    std::align(64, core::SessionTable::RequiredBytes(kCapacity), at, space);
    return std::span<std::byte>(static_cast<std::byte*>(at), space);
  }();
  core::SessionTable sessions_{aligned_, kCapacity, core::HashSecret{}};
  core::WorkerState state_{1};
  core::Pipeline pipeline_{0, sessions_, state_, 0};
  static std::unique_ptr<core::Snapshot> FirstSnapshot() {
    return std::make_unique<core::Snapshot>(
        core::EmptySnapshot({}, core::SteeringOfOneWorker(), 0));
  }
  worker::SnapshotPublisher publisher_{FirstSnapshot(), 1};
  worker::WorkerMailbox mailbox_;
  worker::Dataplane dataplane_{
      .ports = {&port_},
      .workers =
          {{.index = 0, .core = 1, .mailbox = &mailbox_, .state = &state_, .sessions = &sessions_}},
      .snapshots = &publisher_};
  boost::asio::io_context io_;
  Handlers handlers_{dataplane_};
  std::unique_ptr<Server> server_;
  std::thread io_thread_, worker_thread_;
  std::atomic<bool> stop_ = false;
  boost::asio::io_context client_io_;
  stream_protocol::socket client_{client_io_};
  proto::FrameReader reader_;
  uint64_t id_ = 0;
};

TEST_F(ServerTest, TellsItsStatus) {
  v1::Request request;
  request.mutable_get_status();
  const v1::Response response = Ask(request);
  EXPECT_EQ(response.get_status().ports(0).kernel_interface(), "steel0");
  EXPECT_EQ(response.get_status().workers(), 1u);
  EXPECT_EQ(response.get_status().generation(), 0u);
  EXPECT_EQ(response.get_status().session_capacity(), kCapacity.total());
}

TEST_F(ServerTest, CountersNameEveryVerdict) {
  v1::Request request;
  request.mutable_get_counters();
  const v1::Response response = Ask(request);
  ASSERT_EQ(response.get_counters().workers_size(), 1);
  EXPECT_EQ(response.get_counters().workers(0).verdicts_size(),
            static_cast<int>(net::kVerdictCount));
  EXPECT_EQ(response.get_counters().ports(0).received_packets(), 7u);
}

TEST_F(ServerTest, ListsSessionsAndFilters) {
  OpenSessions(20);
  const auto list = [&](uint64_t limit, const char* backend) {
    v1::Request request;
    request.mutable_list_sessions()->set_limit(limit);
    request.mutable_list_sessions()->mutable_filter()->set_backend_address(backend);
    int count = 0;
    for (const v1::Session& session : ReceiveSessions(Ask(request))) {
      ++count;
      if (*backend) {
        EXPECT_EQ(session.backend().address(), backend);
      }
    }
    return count;
  };
  EXPECT_EQ(list(0, ""), 20);
  EXPECT_EQ(list(7, ""), 7);
  EXPECT_EQ(list(0, "10.0.2.1"), 10);
  EXPECT_EQ(list(0, "10.0.2.9"), 0);
}

TEST_F(ServerTest, ConfigurationChangesInTheMiddleOfAListing) {
  constexpr int kSessions = 8000;  // far more than the socket holds
  OpenSessions(kSessions);
  v1::Request request;
  request.mutable_list_sessions();
  const v1::Response first = Ask(request);
  EXPECT_TRUE(first.more());

  stream_protocol::socket other(client_io_);
  other.connect(stream_protocol::endpoint(path_));
  v1::Request apply;
  apply.mutable_apply_services()->set_generation(5);
  apply.mutable_apply_services()->set_replace(true);
  std::string frame;
  ASSERT_TRUE(proto::AppendFrame(apply, frame));
  boost::asio::write(other, boost::asio::buffer(frame));
  std::array<char, 4> length;
  boost::asio::read(other, boost::asio::buffer(length));
  EXPECT_EQ(publisher_.current().generation, 5u);

  std::set<uint32_t> client_ports;
  for (const v1::Session& session : ReceiveSessions(first))
    EXPECT_TRUE(client_ports.insert(session.client().port()).second);
  EXPECT_EQ(client_ports.size(), kSessions);
}

TEST_F(ServerTest, RefusesWhatItCannotDo) {
  EXPECT_EQ(Ask({}).error().code(), v1::Error::CODE_INVALID_ARGUMENT);
  v1::Request lookup;
  lookup.mutable_lookup()->set_protocol(v1::PROTOCOL_TCP);
  lookup.mutable_lookup()->mutable_source()->set_address("nonsense");
  EXPECT_EQ(Ask(lookup).error().path(), "source");
  v1::Request sessions;
  sessions.mutable_list_sessions()->mutable_filter()->set_service("none");
  EXPECT_EQ(Ask(sessions).error().code(), v1::Error::CODE_NOT_FOUND);
}

TEST_F(ServerTest, LookupOfAStrangerIsPunted) {
  v1::Request request;
  request.mutable_lookup()->set_protocol(v1::PROTOCOL_TCP);
  request.mutable_lookup()->mutable_source()->set_address("10.0.0.1");
  request.mutable_lookup()->mutable_source()->set_port(1);
  request.mutable_lookup()->mutable_destination()->set_address("10.0.0.2");
  request.mutable_lookup()->mutable_destination()->set_port(2);
  const v1::Response response = Ask(request);
  EXPECT_EQ(response.lookup().verdict(), "punted");
  EXPECT_FALSE(response.lookup().has_session());
}

TEST_F(ServerTest, ApplyIsPublished) {
  v1::Request request;
  request.mutable_apply_services()->set_generation(5);
  request.mutable_apply_services()->set_replace(true);
  EXPECT_EQ(Ask(request).apply().generation(), 5u);
}

TEST_F(ServerTest, GarbageEndsTheConnectionNotTheServer) {
  stream_protocol::socket other(client_io_);
  other.connect(stream_protocol::endpoint(path_));
  boost::asio::write(other, boost::asio::buffer(std::string(64, '\xff')));
  char byte;
  boost::system::error_code error;
  boost::asio::read(other, boost::asio::buffer(&byte, 1), error);
  EXPECT_TRUE(error);
  v1::Request request;
  request.mutable_get_status();
  EXPECT_TRUE(Ask(request).has_get_status());
}

TEST_F(ServerTest, SecondServerIsRefusedAndStaleSocketReplaced) {
  boost::asio::io_context io;
  EXPECT_THROW(Server(io, path_, handlers_), std::runtime_error);
  const std::string file = directory_ + "/file";
  std::ofstream(file) << "x";
  EXPECT_THROW(Server(io, file, handlers_), std::runtime_error);
  const std::string stale = directory_ + "/stale.sock";
  { stream_protocol::acceptor left_behind(io, stream_protocol::endpoint(stale)); }
  EXPECT_TRUE(std::filesystem::exists(stale));
  EXPECT_NO_THROW(Server(io, stale, handlers_));
}

}  // namespace
}  // namespace steelyard::control
