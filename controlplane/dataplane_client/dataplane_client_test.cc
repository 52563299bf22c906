// SPDX-License-Identifier: Apache-2.0
#include "controlplane/dataplane_client/dataplane_client.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <vector>

#include "controlplane/dataplane_client/fake_dataplane.h"

namespace steelyard::controlplane {
namespace {

using namespace std::chrono_literals;

class DataplaneClientTest : public testing::Test {
 protected:
  DataplaneClientTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "steelyard-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    client_options_.socket_path = folder_ + "/dataplane.sock";
    client_options_.minimum_backoff = 5ms;
    client_options_.maximum_backoff = 20ms;
  }
  ~DataplaneClientTest() override { std::filesystem::remove_all(folder_); }

  // Runs the loop until it holds; false after two seconds.
  bool RunUntil(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + 2s;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      io_.restart();
      io_.run_one_for(10ms);
    }
    return true;
  }

  static v1::Request StatusRequest() {
    v1::Request request;
    request.mutable_get_status();
    return request;
  }

  boost::asio::io_context io_;
  std::string folder_;
  DataplaneClient::Options client_options_;
};

TEST_F(DataplaneClientTest, AnswersInOrder) {
  FakeDataplane dataplane(io_, client_options_.socket_path);
  DataplaneClient client(io_, client_options_);
  client.Start();
  ASSERT_TRUE(RunUntil([&] { return client.connected(); }));
  std::vector<int> order;
  for (int i = 0; i < 100; ++i)
    client.Send(StatusRequest(), [&order, i](v1::Response* response) {
      ASSERT_NE(response, nullptr);
      EXPECT_EQ(response->get_status().version(), "fake");
      order.push_back(i);
    });
  ASSERT_TRUE(RunUntil([&] { return order.size() == 100; }));
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_F(DataplaneClientTest, SaysDisconnectedFromTheLoopWhenThereIsNoDataplane) {
  DataplaneClient client(io_, client_options_);
  client.Start();
  int answers = 0;
  client.Send(StatusRequest(), [&](v1::Response* response) {
    EXPECT_EQ(response, nullptr);
    ++answers;
  });
  EXPECT_EQ(answers, 0);
  EXPECT_TRUE(RunUntil([&] { return answers == 1; }));
}

TEST_F(DataplaneClientTest, ConnectsOnceTheDataplaneComes) {
  DataplaneClient client(io_, client_options_);
  client.Start();
  io_.run_for(30ms);
  EXPECT_FALSE(client.connected());
  FakeDataplane dataplane(io_, client_options_.socket_path);
  EXPECT_TRUE(RunUntil([&] { return client.connected(); }));
}

TEST_F(DataplaneClientTest, ReconnectsAndEndsWhatWasInFlight) {
  FakeDataplane dataplane(io_, client_options_.socket_path);
  DataplaneClient client(io_, client_options_);
  int connects = 0;
  int disconnects = 0;
  client.on_connected = [&] { ++connects; };
  client.on_disconnected = [&](const std::string&) { ++disconnects; };
  client.Start();
  bool answered = false;
  ASSERT_TRUE(RunUntil([&] { return connects == 1; }));
  client.Send(StatusRequest(), [&](v1::Response*) { answered = true; });
  ASSERT_TRUE(RunUntil([&] { return answered; }));
  dataplane.silent = true;
  int lost = 0;
  for (int i = 0; i < 3; ++i)
    client.Send(StatusRequest(), [&](v1::Response* response) { lost += response == nullptr; });
  dataplane.DropConnections();
  ASSERT_TRUE(RunUntil([&] { return connects == 2; }));
  EXPECT_EQ(lost, 3);
  EXPECT_EQ(disconnects, 1);
}

TEST_F(DataplaneClientTest, GivesUpASilentDataplane) {
  client_options_.response_timeout = 40ms;
  FakeDataplane dataplane(io_, client_options_.socket_path);
  DataplaneClient client(io_, client_options_);
  std::string reason;
  client.on_disconnected = [&](const std::string& text) { reason = text; };
  client.Start();
  ASSERT_TRUE(RunUntil([&] { return client.connected(); }));
  dataplane.silent = true;
  bool lost = false;
  client.Send(StatusRequest(), [&](v1::Response* response) { lost = response == nullptr; });
  ASSERT_TRUE(RunUntil([&] { return lost; }));
  EXPECT_EQ(reason, "the dataplane does not answer");
}

TEST_F(DataplaneClientTest, DeliversEachPartOfAStream) {
  FakeDataplane dataplane(io_, client_options_.socket_path);
  dataplane.sessions.resize(3);
  DataplaneClient client(io_, client_options_);
  client.Start();
  ASSERT_TRUE(RunUntil([&] { return client.connected(); }));
  v1::Request request;
  request.mutable_list_sessions();
  std::vector<bool> more;
  client.Send(request, [&](v1::Response* response) { more.push_back(response->more()); });
  bool second = false;
  client.Send(StatusRequest(), [&](v1::Response* response) { second = response != nullptr; });
  ASSERT_TRUE(RunUntil([&] { return second; }));
  EXPECT_EQ(more, (std::vector<bool>{true, true, true, false}));
}

TEST_F(DataplaneClientTest, ClosesOnAnAnswerThatBreaksTheProtocol) {
  const std::vector<std::string> broken = {
      std::string("\xff\xff\xff\xff", 4),          // a frame too long
      std::string("\x00\x00\x00\x02\xff\xff", 6),  // not a message
      std::string("\x00\x00\x00\x02\x08\x7f", 6),  // an id that nobody sent
  };
  for (const std::string& bytes : broken) {
    FakeDataplane dataplane(io_, client_options_.socket_path);
    DataplaneClient client(io_, client_options_);
    bool disconnected = false;
    client.on_disconnected = [&](const std::string&) { disconnected = true; };
    client.Start();
    ASSERT_TRUE(RunUntil([&] { return client.connected(); }));
    dataplane.raw_answer = bytes;
    bool lost = false;
    client.Send(StatusRequest(), [&](v1::Response* response) { lost = response == nullptr; });
    EXPECT_TRUE(RunUntil([&] { return lost; }));
    EXPECT_TRUE(disconnected);
  }
}

}  // namespace
}  // namespace steelyard::controlplane
