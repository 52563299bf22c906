// SPDX-License-Identifier: Apache-2.0
#include "controlplane/metrics/metrics_server.h"

#include <prometheus/text_serializer.h>

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "controlplane/metrics/metrics_table.h"

namespace steelyard::controlplane {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr uint32_t kMaxRequestBytes = 16 * 1024;
constexpr std::chrono::seconds kRequestTimeout{10};
constexpr int kMaxConnections = 16;

struct Answer {
  http::status status;
  std::string text;
};

Answer Respond(const http::request<http::empty_body>& request, const MetricsData* data) {
  if (request.method() != http::verb::get) return {http::status::method_not_allowed, "only GET\n"};
  if (request.target().substr(0, request.target().find('?')) != "/metrics")
    return {http::status::not_found, "see /metrics\n"};
  if (data == nullptr) return {http::status::ok, ""};
  return {http::status::ok, prometheus::TextSerializer().Serialize(CollectMetrics(*data))};
}

}  // namespace

// Lives in the handlers of its operations. On the server's thread.
class MetricsServer::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(MetricsServer& server, asio::ip::tcp::socket socket)
      : server_(server), stream_(std::move(socket)), buffer_(kMaxRequestBytes) {
    ++server_.connections_;
  }
  ~Connection() { --server_.connections_; }

  void Read() {
    parser_.emplace();
    parser_->header_limit(kMaxRequestBytes);
    stream_.expires_after(kRequestTimeout);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](const error_code& error, size_t) {
                       if (!error) self->Write();
                     });
  }

 private:
  void Write() {
    const http::request<http::empty_body>& request = parser_->get();
    const std::shared_ptr<const MetricsData> data = server_.Latest();
    Answer answer = Respond(request, data.get());
    response_ = {answer.status, request.version(), std::move(answer.text)};
    response_.set(http::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
    response_.keep_alive(request.keep_alive());
    response_.prepare_payload();
    stream_.expires_after(kRequestTimeout);
    http::async_write(stream_, response_,
                      [self = shared_from_this()](const error_code& error, size_t) {
                        if (!error && self->response_.keep_alive()) self->Read();
                      });
  }

  MetricsServer& server_;
  boost::beast::tcp_stream stream_;
  boost::beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::empty_body>> parser_;
  http::response<http::string_body> response_;
};

MetricsServer::MetricsServer(const net::Endpoint& address)
    : acceptor_(io_context_), retry_timer_(io_context_) {
  try {
    Open(address);
  } catch (const boost::system::system_error& error) {
    throw std::runtime_error("cannot serve metrics on " + net::ToString(address) + ": " +
                             error.code().message());
  }
  Accept();
  thread_ = std::thread([this] { io_context_.run(); });
}

MetricsServer::~MetricsServer() {
  io_context_.stop();
  thread_.join();
}

void MetricsServer::Set(std::shared_ptr<const MetricsData> data) {
  const std::lock_guard lock(mutex_);
  latest_.swap(data);
}

std::shared_ptr<const MetricsData> MetricsServer::Latest() const {
  const std::lock_guard lock(mutex_);
  return latest_;
}

void MetricsServer::Open(const net::Endpoint& address) {
  const asio::ip::tcp::endpoint endpoint(asio::ip::make_address(net::ToString(address.address)),
                                         address.port.value());
  acceptor_.open(endpoint.protocol());
  acceptor_.set_option(asio::socket_base::reuse_address(true));
  acceptor_.bind(endpoint);
  acceptor_.listen();
  port_ = acceptor_.local_endpoint().port();
}

void MetricsServer::Accept() {
  acceptor_.async_accept([this](const error_code& error, asio::ip::tcp::socket socket) {
    if (error) return AcceptLater();
    if (connections_ < kMaxConnections)
      std::make_shared<Connection>(*this, std::move(socket))->Read();
    Accept();
  });
}

// Out of file descriptors, say: trying at once would spin.
void MetricsServer::AcceptLater() {
  retry_timer_.expires_after(std::chrono::milliseconds(100));
  retry_timer_.async_wait([this](const error_code& error) {
    if (!error) Accept();
  });
}

}  // namespace steelyard::controlplane
