// SPDX-License-Identifier: Apache-2.0
//
// The control socket: a unix stream socket that carries frames (proto/frame.h). Accepts any number
// of clients, answers each one's requests in order, on the one thread that runs the io_context. A
// client that sends what is not a frame is disconnected; one that does not read its answers is not
// read from either.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <string>

#include "control/handlers.h"

namespace steelyard::control {

class Server {
 public:
  // Throws std::runtime_error: the path is in use by a live process, or cannot be bound.
  Server(boost::asio::io_context& io, const std::string& socket_path, Handlers& handlers);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  class Connection;
  void Accept();

  boost::asio::local::stream_protocol::acceptor acceptor_;
  std::string socket_path_;
  Handlers& handlers_;
};

}  // namespace steelyard::control
