// SPDX-License-Identifier: Apache-2.0
#include "controlplane/netlink/netlink_requests.h"

#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

namespace steelyard::controlplane {

NetlinkRequests::NetlinkRequests(boost::asio::io_context& io) : io_(io), socket_(io, {}) {}

void NetlinkRequests::Dump(NetlinkMessage request, OnMessage on_message, OnDone on_done) {
  queue_.push_back({std::move(request), std::move(on_message), std::move(on_done)});
  SendNext();
}

void NetlinkRequests::Change(NetlinkMessage request, OnDone on_done) {
  nlmsg_hdr(request.get())->nlmsg_flags |= NLM_F_ACK;
  queue_.push_back({std::move(request), {}, std::move(on_done)});
  SendNext();
}

void NetlinkRequests::SendNext() {
  if (sent_ || queue_.empty()) return;
  sent_ = true;
  const int error = socket_.Send(queue_.front().message.get());
  if (error == 0) return WaitForAnswer();
  boost::asio::post(io_, [this, alive = std::weak_ptr(alive_), error] {
    if (!alive.expired()) Finish(error);
  });
}

void NetlinkRequests::WaitForAnswer() {
  if (waiting_) return;
  waiting_ = true;
  socket_.AsyncWait([this, alive = std::weak_ptr(alive_)] {
    if (alive.expired()) return;
    waiting_ = false;
    ReadAnswer();
  });
}

void NetlinkRequests::ReadAnswer() {
  const int error = socket_.Receive([this](nlmsghdr* header) { OnAnswer(header); });
  if (error != 0 && error != EAGAIN && sent_) Finish(error);
  if (sent_) WaitForAnswer();
}

void NetlinkRequests::OnAnswer(nlmsghdr* header) {
  if (!sent_ || header->nlmsg_seq != nlmsg_hdr(queue_.front().message.get())->nlmsg_seq) return;
  Request& request = queue_.front();
  if (header->nlmsg_flags & NLM_F_DUMP_INTR) request.interrupted = true;
  if (header->nlmsg_type == NLMSG_DONE) return Finish(request.interrupted ? EINTR : 0);
  if (header->nlmsg_type == NLMSG_ERROR) {
    if (header->nlmsg_len < NLMSG_LENGTH(sizeof(nlmsgerr))) return Finish(EBADMSG);
    return Finish(-static_cast<nlmsgerr*>(NLMSG_DATA(header))->error);
  }
  if (request.on_message) request.on_message(header);
}

void NetlinkRequests::Finish(int error) {
  const Request finished = std::move(queue_.front());
  queue_.pop_front();
  sent_ = false;
  if (finished.on_done) finished.on_done(error);
  SendNext();
}

}  // namespace steelyard::controlplane
