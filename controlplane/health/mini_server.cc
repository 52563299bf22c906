// SPDX-License-Identifier: Apache-2.0
#include "controlplane/health/mini_server.h"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <utility>

namespace steelyard::controlplane {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {
constexpr size_t kLocalProxyHeaderBytes = 16;
}

struct MiniServer::Connection {
  explicit Connection(asio::ip::tcp::socket accepted) : socket(std::move(accepted)) {}
  asio::ip::tcp::socket socket;
  std::array<char, 4096> buffer;
  std::string request;
};

MiniServer::MiniServer(asio::io_context& io_context, const std::string& address, std::string answer,
                       After after)
    : endpoint_(asio::ip::make_address(address), 0),
      acceptor_(io_context),
      answer_(std::move(answer)),
      after_(after) {
  Open();
}

void MiniServer::Open() {
  acceptor_.open(endpoint_.protocol());
  acceptor_.set_option(asio::socket_base::reuse_address(true));
  acceptor_.bind(endpoint_);
  acceptor_.listen();
  endpoint_ = acceptor_.local_endpoint();
  port_ = endpoint_.port();
  Accept();
}

void MiniServer::Close() {
  acceptor_.close();
  open_.clear();
}

void MiniServer::Accept() {
  acceptor_.async_accept([this](const error_code& error, asio::ip::tcp::socket socket) {
    if (error) return;
    ++connections_;
    open_.push_back(std::make_shared<Connection>(std::move(socket)));
    Serve(open_.back());
    Accept();
  });
}

void MiniServer::Serve(const std::shared_ptr<Connection>& connection) {
  connection->socket.async_read_some(
      asio::buffer(connection->buffer), [this, connection](error_code error, size_t size) {
        if (error) return;
        connection->request.append(connection->buffer.data(), size);
        last_request_ = connection->request;
        if (last_request_.starts_with('\r') && last_request_.size() <= kLocalProxyHeaderBytes)
          return Serve(connection);
        asio::write(connection->socket, asio::buffer(answer_), error);
        if (after_ == After::kClose) connection->socket.close(error);
      });
}

}  // namespace steelyard::controlplane
