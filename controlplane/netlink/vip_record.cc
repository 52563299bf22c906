// SPDX-License-Identifier: Apache-2.0
#include "controlplane/netlink/vip_record.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>

namespace steelyard::controlplane {
namespace {

net::Error SystemError(const std::string& path) {
  return {path + ": " + std::strerror(errno)};
}

bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

net::Status WriteDurably(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".new";
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  if (fd < 0) return SystemError(temporary);
  const bool written = WriteAll(fd, text) && fsync(fd) == 0;
  const int write_error = errno;
  close(fd);
  errno = write_error;
  if (!written || rename(temporary.c_str(), path.c_str()) < 0) return SystemError(temporary);
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  const int folder_fd =
      open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd < 0) return SystemError(folder);
  const bool synced = fsync(folder_fd) == 0;
  close(folder_fd);
  if (!synced) return SystemError(folder);
  return net::Ok{};
}

}  // namespace

net::Status VipRecord::Load() {
  std::ifstream file(path_);
  if (!file) return errno == ENOENT ? net::Status(net::Ok{}) : SystemError(path_);
  std::set<VipPlace> places;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::istringstream words(line);
    std::string address;
    std::string interface;
    std::string rest;
    const bool two_words = (words >> address >> interface) && !(words >> rest);
    const auto parsed = net::ParseIpAddress(address);
    if (!two_words || !parsed)
      return net::Error{path_ + ":" + std::to_string(number) +
                        ": expected an address and an interface"};
    places.insert({*parsed, interface});
  }
  places_ = std::move(places);
  return net::Ok{};
}

net::Status VipRecord::Store(std::set<VipPlace> places) {
  if (places == places_) return net::Ok{};
  std::string text;
  for (const VipPlace& place : places)
    text += net::ToString(place.address) + ' ' + place.interface + '\n';
  const net::Status status = WriteDurably(path_, text);
  if (status) places_ = std::move(places);
  return status;
}

}  // namespace steelyard::controlplane
