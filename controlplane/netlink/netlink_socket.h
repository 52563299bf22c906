// SPDX-License-Identifier: Apache-2.0
//
// A rtnetlink socket in an io_context: whole messages in and out, never blocking. Only what the
// kernel itself sent is handed out. One thread.
#pragma once

#include <netlink/netlink.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <vector>

namespace steelyard::controlplane {

class NetlinkSocket {
 public:
  // Joins the groups (RTNLGRP_...). Throws std::system_error.
  NetlinkSocket(boost::asio::io_context& io, const std::vector<int>& groups);

  // Fills in port and a fresh sequence number. 0 or an errno.
  int Send(nl_msg* message);
  // Calls back once when there is something to receive.
  void AsyncWait(std::function<void()> on_readable);
  // Hands out the messages of one datagram. 0, EAGAIN when there is none, or another errno: ENOBUFS
  // means that the kernel has dropped some.
  int Receive(const std::function<void(nlmsghdr*)>& on_message);

 private:
  struct Closer {
    void operator()(nl_sock* socket) const { nl_socket_free(socket); }
  };

  std::unique_ptr<nl_sock, Closer> socket_;
  // Not its owner: released before libnl closes it.
  struct Descriptor {
    explicit Descriptor(boost::asio::io_context& io) : stream(io) {}
    ~Descriptor() { stream.release(); }
    boost::asio::posix::stream_descriptor stream;
  };
  std::unique_ptr<Descriptor> descriptor_;
  std::vector<char> buffer_;
};

}  // namespace steelyard::controlplane
