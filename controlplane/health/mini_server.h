// SPDX-License-Identifier: Apache-2.0
//
// A server on loopback for the tests of checks: takes connections on the test's io_context, reads
// one request's worth of bytes (a PROXY header alone is not), and answers with fixed bytes, or with
// none.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>
#include <vector>

namespace steelyard::controlplane {

class MiniServer {
 public:
  enum class After { kClose, kStayOpen };

  // `address` is a loopback one; the port is chosen by the system.
  MiniServer(boost::asio::io_context& io_context, const std::string& address, std::string answer,
             After after = After::kClose);

  uint16_t port() const { return port_; }
  int connections() const { return connections_; }
  const std::string& last_request() const { return last_request_; }

  void set_answer(std::string answer) { answer_ = std::move(answer); }
  void Close();  // connects are refused from here on
  void Open();   // the same port again

 private:
  struct Connection;
  void Accept();
  void Serve(const std::shared_ptr<Connection>& connection);

  boost::asio::ip::tcp::endpoint endpoint_;
  boost::asio::ip::tcp::acceptor acceptor_;
  uint16_t port_ = 0;
  std::string answer_;
  const After after_;
  int connections_ = 0;
  std::string last_request_;
  std::vector<std::shared_ptr<Connection>> open_;
};

}  // namespace steelyard::controlplane
