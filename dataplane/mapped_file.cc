// SPDX-License-Identifier: Apache-2.0
#include "mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

namespace steelyard {

using net::Error;
using net::Result;

namespace {

Error Failure(const std::string& what, const std::string& path) {
  return Error{"cannot " + what + " " + path + ": " + std::strerror(errno)};
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

Result<MappedFile> MappedFile::Create(const std::string& path, size_t bytes) {
  unlink(path.c_str());
  const Descriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.get() < 0) return Failure("create", path);
  struct statfs system;
  if (fstatfs(file.get(), &system) != 0) return Failure("look at", path);
  const auto page = static_cast<size_t>(system.f_bsize);
  const size_t rounded = (bytes + page - 1) / page * page;
  if (const int error = posix_fallocate(file.get(), 0, static_cast<off_t>(rounded)); error != 0) {
    errno = error;
    const Error failure = Failure("reserve " + std::to_string(rounded >> 20) + " MiB for", path);
    unlink(path.c_str());
    return failure;
  }
  return Map(path, file.get(), rounded);
}

Result<MappedFile> MappedFile::Open(const std::string& path) {
  const Descriptor file(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (file.get() < 0) return Failure("open", path);
  struct stat status;
  if (fstat(file.get(), &status) != 0) return Failure("look at", path);
  if (!S_ISREG(status.st_mode) || status.st_size == 0) return Error{"is empty or no file"};
  return Map(path, file.get(), static_cast<size_t>(status.st_size));
}

Result<MappedFile> MappedFile::Map(const std::string& path, int fd, size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (memory == MAP_FAILED) return Failure("map", path);
  madvise(memory, bytes, MADV_HUGEPAGE);
  return MappedFile(path, {static_cast<std::byte*>(memory), bytes});
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
}

std::string BootId() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id;
}

}  // namespace steelyard
