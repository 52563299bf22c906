// SPDX-License-Identifier: Apache-2.0
//
// A queue of requests to the kernel's rtnetlink, one on its way at a time, without ever blocking:
// a dump of a full routing table is read piece by piece between other events. Owned by, called from
// and calling back on the io_context's one thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <deque>
#include <functional>
#include <memory>

#include "controlplane/netlink/netlink_message.h"
#include "controlplane/netlink/netlink_socket.h"

namespace steelyard::controlplane {

class NetlinkRequests {
 public:
  using OnMessage = std::function<void(nlmsghdr* header)>;
  // 0, or an errno; EINTR for a dump that saw a change halfway and must be repeated.
  using OnDone = std::function<void(int error)>;

  // Throws std::system_error when the kernel grants no netlink socket.
  explicit NetlinkRequests(boost::asio::io_context& io);

  // Each of the dump's messages, then the end.
  void Dump(NetlinkMessage request, OnMessage on_message, OnDone on_done);
  // A change, acknowledged by the kernel.
  void Change(NetlinkMessage request, OnDone on_done);

 private:
  struct Request {
    NetlinkMessage message;
    OnMessage on_message;
    OnDone on_done;
    bool interrupted = false;
  };

  void SendNext();
  void WaitForAnswer();
  void ReadAnswer();
  void OnAnswer(nlmsghdr* header);
  void Finish(int error);

  boost::asio::io_context& io_;
  NetlinkSocket socket_;
  std::deque<Request> queue_;
  bool sent_ = false;     // the first of the queue is on its way
  bool waiting_ = false;  // for the socket to become readable
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace steelyard::controlplane
