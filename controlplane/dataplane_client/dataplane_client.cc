// SPDX-License-Identifier: Apache-2.0
#include "controlplane/dataplane_client/dataplane_client.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <utility>

namespace steelyard::controlplane {

namespace asio = boost::asio;
using asio::local::stream_protocol;
using boost::system::error_code;

struct DataplaneClient::Connection {
  explicit Connection(asio::io_context& io) : socket(io), silence_timer(io) {}
  stream_protocol::socket socket;
  asio::steady_timer silence_timer;
  proto::FrameReader reader;
  std::array<char, 64 * 1024> input;
  std::string output;  // waits while `writing` is on its way
  std::string writing;
};

DataplaneClient::DataplaneClient(asio::io_context& io, Options options)
    : io_(io), options_(std::move(options)), backoff_(options_.minimum_backoff), retry_timer_(io) {}

DataplaneClient::~DataplaneClient() = default;

void DataplaneClient::Start() {
  Connect();
}

void DataplaneClient::Connect() {
  connecting_ = std::make_shared<Connection>(io_);
  const auto finish = [this, alive = std::weak_ptr(alive_),
                       connection = connecting_](const error_code& error) {
    if (!alive.expired()) OnConnectFinished(connection, error);
  };
  // The endpoint throws on a path that does not fit in sun_path; the configuration's reader checks.
  connecting_->socket.async_connect(stream_protocol::endpoint(options_.socket_path), finish);
}

void DataplaneClient::OnConnectFinished(const std::shared_ptr<Connection>& connection,
                                        const error_code& error) {
  connecting_ = nullptr;
  if (error) {
    const bool news = std::exchange(last_failure_, error.message()) != error.message();
    RetryLater();
    if (news && on_unreachable) on_unreachable(last_failure_);
    return;
  }
  connection_ = connection;
  backoff_ = options_.minimum_backoff;
  last_failure_.clear();
  Read(connection);
  WatchForSilence(connection);
  if (on_connected) on_connected();
}

void DataplaneClient::RetryLater() {
  retry_timer_.expires_after(backoff_);
  retry_timer_.async_wait([this, alive = std::weak_ptr(alive_)](const error_code& error) {
    if (!error && !alive.expired()) Connect();
  });
  backoff_ = std::min(backoff_ * 2, options_.maximum_backoff);
}

void DataplaneClient::Send(v1::Request request, Callback callback) {
  request.set_id(next_id_++);
  if (!connection_ || !proto::AppendFrame(request, connection_->output)) {
    asio::post(io_, [callback = std::move(callback)] { callback(nullptr); });
    return;
  }
  pending_.push_back({request.id(), std::chrono::steady_clock::now(), std::move(callback)});
  Write(connection_);
}

void DataplaneClient::Write(const std::shared_ptr<Connection>& connection) {
  if (!connection->writing.empty() || connection->output.empty()) return;
  connection->writing.swap(connection->output);
  asio::async_write(
      connection->socket, asio::buffer(connection->writing),
      [this, alive = std::weak_ptr(alive_), connection](const error_code& error, size_t) {
        if (alive.expired() || connection != connection_) return;
        if (error) return Disconnect(connection, error.message());
        connection->writing.clear();
        Write(connection);
      });
}

void DataplaneClient::Read(const std::shared_ptr<Connection>& connection) {
  connection->socket.async_read_some(
      asio::buffer(connection->input),
      [this, alive = std::weak_ptr(alive_), connection](const error_code& error, size_t length) {
        if (alive.expired() || connection != connection_) return;
        if (error) return Disconnect(connection, error.message());
        connection->reader.Append({connection->input.data(), length});
        const bool sound = TakeFrames(connection);
        if (alive.expired() || connection != connection_) return;
        if (!sound) return Disconnect(connection, "the dataplane broke the protocol");
        Read(connection);
      });
}

bool DataplaneClient::TakeFrames(const std::shared_ptr<Connection>& connection) {
  const std::weak_ptr alive = alive_;
  while (true) {
    v1::Response response;
    switch (connection->reader.Take(response)) {
      case proto::FrameReader::Next::kNeedMore:
        return true;
      case proto::FrameReader::Next::kBroken:
        return false;
      case proto::FrameReader::Next::kFrame:
        break;
    }
    if (!Deliver(response)) return false;
    if (alive.expired() || connection != connection_) return true;
  }
}

bool DataplaneClient::Deliver(v1::Response& response) {
  if (pending_.empty() || pending_.front().id != response.id()) return false;
  if (response.more()) {
    pending_.front().sent_at = std::chrono::steady_clock::now();
    // A copy: the callback may end the connection, and with it the queue.
    const Callback callback = pending_.front().callback;
    callback(&response);
    return true;
  }
  const Callback callback = std::move(pending_.front().callback);
  pending_.pop_front();
  callback(&response);
  return true;
}

void DataplaneClient::WatchForSilence(const std::shared_ptr<Connection>& connection) {
  connection->silence_timer.expires_after(options_.response_timeout / 4);
  connection->silence_timer.async_wait(
      [this, alive = std::weak_ptr(alive_), connection](const error_code& error) {
        if (error || alive.expired() || connection != connection_) return;
        const auto now = std::chrono::steady_clock::now();
        if (!pending_.empty() && now - pending_.front().sent_at > options_.response_timeout)
          return Disconnect(connection, "the dataplane does not answer");
        WatchForSilence(connection);
      });
}

void DataplaneClient::Disconnect(const std::shared_ptr<Connection>& connection,
                                 const std::string& reason) {
  if (connection != connection_) return;
  error_code ignored;
  connection->socket.close(ignored);
  connection->silence_timer.cancel();
  connection_ = nullptr;
  std::deque<Pending> lost;
  lost.swap(pending_);
  const std::weak_ptr alive = alive_;
  if (on_disconnected) on_disconnected(reason);
  for (const Pending& request : lost) {
    if (alive.expired()) return;
    request.callback(nullptr);
  }
  if (!alive.expired()) RetryLater();
}

}  // namespace steelyard::controlplane
