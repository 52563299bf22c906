// SPDX-License-Identifier: Apache-2.0
#include "controlplane/netlink/netlink_socket.h"

#include <linux/netlink.h>
#include <netlink/msg.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace steelyard::controlplane {
namespace {

// The kernel's dumps come in pieces of at most 32 KiB when the reader has room for them.
constexpr size_t kReceiveBytes = 64 * 1024;
// Room for bursts of events while the loop is busy.
constexpr int kSocketBufferBytes = 4 << 20;

void Check(int result, const char* what) {
  if (result < 0)
    throw std::system_error(errno, std::generic_category(),
                            std::string(what) + ": " + nl_geterror(result));
}

}  // namespace

NetlinkSocket::NetlinkSocket(boost::asio::io_context& io, const std::vector<int>& groups)
    : socket_(nl_socket_alloc()), buffer_(kReceiveBytes) {
  if (!socket_) throw std::bad_alloc();
  Check(nl_connect(socket_.get(), NETLINK_ROUTE), "cannot open a netlink socket");
  Check(nl_socket_set_nonblocking(socket_.get()), "netlink");
  // Beyond net.core.rmem_max only root may; what is granted is enough then, overruns are repaired.
  if (setsockopt(nl_socket_get_fd(socket_.get()), SOL_SOCKET, SO_RCVBUFFORCE, &kSocketBufferBytes,
                 sizeof(kSocketBufferBytes)) < 0)
    nl_socket_set_buffer_size(socket_.get(), kSocketBufferBytes, 0);
  // Lets the kernel filter dumps by table (Linux 4.20); without it the parser filters alone.
  const int on = 1;
  setsockopt(nl_socket_get_fd(socket_.get()), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
  for (const int group : groups)
    Check(nl_socket_add_membership(socket_.get(), group), "cannot follow netlink events");
  descriptor_ = std::make_unique<Descriptor>(io);
  descriptor_->stream.assign(nl_socket_get_fd(socket_.get()));
}

int NetlinkSocket::Send(nl_msg* message) {
  nlmsghdr* header = nlmsg_hdr(message);
  header->nlmsg_pid = nl_socket_get_local_port(socket_.get());
  header->nlmsg_seq = nl_socket_use_seq(socket_.get());
  header->nlmsg_flags |= NLM_F_REQUEST;
  const ssize_t sent = send(nl_socket_get_fd(socket_.get()), header, header->nlmsg_len, 0);
  return sent < 0 ? errno : 0;
}

void NetlinkSocket::AsyncWait(std::function<void()> on_readable) {
  descriptor_->stream.async_wait(
      boost::asio::posix::stream_descriptor::wait_read,
      [on_readable = std::move(on_readable)](const boost::system::error_code& error) {
        if (!error) on_readable();
      });
}

int NetlinkSocket::Receive(const std::function<void(nlmsghdr*)>& on_message) {
  sockaddr_nl sender{};
  socklen_t sender_length = sizeof(sender);
  const ssize_t length = recvfrom(nl_socket_get_fd(socket_.get()), buffer_.data(), buffer_.size(),
                                  MSG_TRUNC, reinterpret_cast<sockaddr*>(&sender), &sender_length);
  if (length < 0) return errno;
  if (static_cast<size_t>(length) > buffer_.size()) return ENOBUFS;
  if (sender.nl_pid != 0) return 0;
  int left = static_cast<int>(length);
  for (auto* header = reinterpret_cast<nlmsghdr*>(buffer_.data()); nlmsg_ok(header, left);
       header = nlmsg_next(header, &left))
    on_message(header);
  return 0;
}

}  // namespace steelyard::controlplane
