// SPDX-License-Identifier: Apache-2.0
#include "control/server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <stdexcept>

#include "proto/frame.h"

namespace steelyard::control {

using boost::asio::local::stream_protocol;
using boost::system::error_code;

class Server::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(stream_protocol::socket socket, Handlers& handlers)
      : socket_(std::move(socket)), handlers_(handlers) {}

  void Read() {
    socket_.async_read_some(boost::asio::buffer(input_),
                            [self = shared_from_this()](const error_code& error, size_t length) {
                              if (error) return;
                              self->reader_.Append(std::string_view(self->input_.data(), length));
                              self->Answer();
                            });
  }

 private:
  // Answers one request, then goes on when the client has taken the answer.
  void Answer() {
    v1::Request request;
    switch (reader_.Take(request)) {
      case proto::FrameReader::Next::kBroken:
        return;
      case proto::FrameReader::Next::kNeedMore:
        return Read();
      case proto::FrameReader::Next::kFrame:
        break;
    }
    answer_ = handlers_.Handle(request);
    SendNext();
  }

  void SendNext() {
    const v1::Response response = answer_();
    output_.clear();
    if (!proto::AppendFrame(response, output_)) return;
    boost::asio::async_write(
        socket_, boost::asio::buffer(output_),
        [self = shared_from_this(), more = response.more()](const error_code& error, size_t) {
          if (error) return;
          if (more) return self->SendNext();
          self->answer_ = nullptr;
          self->Answer();
        });
  }

  stream_protocol::socket socket_;
  Handlers& handlers_;
  std::array<char, 65536> input_;
  proto::FrameReader reader_;
  Handlers::Answer answer_;
  std::string output_;
};

namespace {

// A socket file that nobody listens on is left over from a process that was killed.
void RemoveStaleSocket(boost::asio::io_context& io, const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return;
  if (!S_ISSOCK(status.st_mode)) throw std::runtime_error(path + ": exists and is not a socket");
  stream_protocol::socket probe(io);
  error_code error;
  probe.connect(stream_protocol::endpoint(path), error);
  if (!error) throw std::runtime_error(path + ": another steelyard-dataplane is listening there");
  unlink(path.c_str());
}

}  // namespace

Server::Server(boost::asio::io_context& io, const std::string& socket_path, Handlers& handlers)
    : acceptor_(io), socket_path_(socket_path), handlers_(handlers) {
  RemoveStaleSocket(io, socket_path);
  try {
    acceptor_.open();
    // The socket commands the box: for its owner only, from the first moment.
    const mode_t umask_before = umask(0177);
    error_code error;
    acceptor_.bind(stream_protocol::endpoint(socket_path), error);
    umask(umask_before);
    if (error) throw boost::system::system_error(error);
    acceptor_.listen();
  } catch (const boost::system::system_error& error) {
    throw std::runtime_error(socket_path + ": " + error.code().message());
  }
  Accept();
}

Server::~Server() {
  unlink(socket_path_.c_str());
}

void Server::Accept() {
  acceptor_.async_accept([this](const error_code& error, stream_protocol::socket socket) {
    if (error) return;
    std::make_shared<Connection>(std::move(socket), handlers_)->Read();
    Accept();
  });
}

}  // namespace steelyard::control
