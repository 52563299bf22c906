// SPDX-License-Identifier: Apache-2.0
//
// One connection to steelyard-dataplane's control socket (proto/dataplane.proto): asynchronous,
// reconnecting by itself. Owned by, called from and calling back on the io_context's one thread.
//
// Requests are answered in order. A request that cannot be answered any more, because the
// connection was lost, was never there or the dataplane stopped answering, ends with a null
// response, always from the io_context and never from inside Send().
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "dataplane.pb.h"
#include "proto/frame.h"

namespace steelyard::controlplane {

class DataplaneClient {
 public:
  struct Options {
    std::string socket_path;
    std::chrono::milliseconds minimum_backoff{50};
    std::chrono::milliseconds maximum_backoff{1000};
    // The oldest unanswered request may wait this long before the connection is given up.
    std::chrono::milliseconds response_timeout{30'000};
  };
  // Null: the connection is gone. Called once for a request, or once for each response of a stream,
  // the last of which has `more` false (or is null).
  using Callback = std::function<void(v1::Response* response)>;

  DataplaneClient(boost::asio::io_context& io, Options options);
  ~DataplaneClient();
  DataplaneClient(const DataplaneClient&) = delete;
  DataplaneClient& operator=(const DataplaneClient&) = delete;

  // Set before Start().
  std::function<void()> on_connected;
  std::function<void(const std::string& reason)> on_disconnected;
  // An attempt to connect has failed; called again only for another reason.
  std::function<void(const std::string& reason)> on_unreachable;

  void Start();
  bool connected() const { return connection_ != nullptr; }
  // The request's id is set here.
  void Send(v1::Request request, Callback callback);

 private:
  struct Connection;
  struct Pending {
    uint64_t id;
    std::chrono::steady_clock::time_point sent_at;
    Callback callback;
  };

  void Connect();
  void OnConnectFinished(const std::shared_ptr<Connection>& connection,
                         const boost::system::error_code& error);
  void RetryLater();
  void Read(const std::shared_ptr<Connection>& connection);
  // False when the bytes break the protocol.
  bool TakeFrames(const std::shared_ptr<Connection>& connection);
  bool Deliver(v1::Response& response);
  void Write(const std::shared_ptr<Connection>& connection);
  void WatchForSilence(const std::shared_ptr<Connection>& connection);
  void Disconnect(const std::shared_ptr<Connection>& connection, const std::string& reason);

  boost::asio::io_context& io_;
  const Options options_;
  std::shared_ptr<Connection> connection_;  // null while not connected
  std::shared_ptr<Connection> connecting_;
  std::deque<Pending> pending_;
  uint64_t next_id_ = 1;
  std::chrono::milliseconds backoff_;
  boost::asio::steady_timer retry_timer_;
  std::string last_failure_;
  // Handlers that run after the destructor find this expired.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace steelyard::controlplane
