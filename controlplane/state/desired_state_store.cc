// SPDX-License-Identifier: Apache-2.0
#include "controlplane/state/desired_state_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "controlplane/config/yaml_reader.h"
#include "controlplane/state/diff.h"
#include "controlplane/state/state_file.h"

namespace steelyard::controlplane {
namespace {

constexpr char kTemporaryName[] = "next.tmp";

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

net::Error ErrnoError(const std::string& what) {
  return net::Error{what + ": " + std::strerror(errno)};
}

net::Status WriteSynced(int directory_fd, const char* name, std::string_view bytes) {
  const FileDescriptor file(
      openat(directory_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
  if (file.get() < 0) return ErrnoError("cannot be created");
  while (!bytes.empty()) {
    const ssize_t written = write(file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoError("cannot be written");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  if (fsync(file.get()) != 0) return ErrnoError("cannot be synced");
  return net::Ok{};
}

net::Result<v1::DesiredState> ReadStateFile(const std::string& path, uint64_t generation) {
  const net::Result<std::string> bytes = ReadFile(path);
  if (!bytes) return net::Error{path + ": " + bytes.error().message};
  net::Result<v1::DesiredState> state = DecodeStateFile(*bytes, generation);
  if (!state) return net::Error{path + ": " + state.error().message};
  return state;
}

}  // namespace

net::Result<std::unique_ptr<DesiredStateStore>> DesiredStateStore::Open(
    const std::string& directory, size_t history) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return net::Error{directory + ": " + error.message()};
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(directory);
  std::unique_ptr<DesiredStateStore> store(new DesiredStateStore(directory, fd, history));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0)
    return net::Error{directory + ": in use by another control plane"};
  if (net::Status loaded = store->Load(); !loaded) return loaded.error();
  return store;
}

DesiredStateStore::DesiredStateStore(std::string directory, int directory_fd, size_t history)
    : directory_(std::move(directory)),
      directory_fd_(directory_fd),
      history_(std::max<size_t>(history, 1)) {}

DesiredStateStore::~DesiredStateStore() {
  close(directory_fd_);
}

net::Status DesiredStateStore::Load() {
  unlinkat(directory_fd_, kTemporaryName, 0);
  const std::vector<uint64_t> generations = Generations();
  if (generations.empty()) return net::Ok{};
  const uint64_t newest = generations.back();
  net::Result<v1::DesiredState> state =
      ReadStateFile(directory_ + '/' + StateFileName(newest), newest);
  if (!state)
    return net::Error{state.error().message +
                      " (remove this file to go back to the generation before it)"};
  generation_ = newest;
  state_ = std::move(*state);
  return net::Ok{};
}

DesiredStateStore::Applied DesiredStateStore::Preview(const v1::DesiredState& state,
                                                      uint64_t expected_generation) const {
  if (expected_generation != 0 && expected_generation != generation_)
    return {Outcome::kConflict, generation_, {}, {}};
  std::vector<v1::Change> changes = Diff(state_, state);
  // The first state is stored even if it is empty: to want nothing is not to have said nothing.
  if (changes.empty() && generation_ != 0) return {Outcome::kUnchanged, generation_, {}, {}};
  return {Outcome::kStored, generation_ + 1, std::move(changes), {}};
}

DesiredStateStore::Applied DesiredStateStore::Apply(const v1::DesiredState& state,
                                                    uint64_t expected_generation) {
  Applied applied = Preview(state, expected_generation);
  if (applied.outcome != Outcome::kStored) return applied;
  if (const net::Status written = Write(applied.generation, state); !written)
    return {Outcome::kFailed, generation_, {}, written.error().message};
  generation_ = applied.generation;
  state_ = state;
  ForgetOldest();
  return applied;
}

net::Status DesiredStateStore::Write(uint64_t generation, const v1::DesiredState& state) {
  const std::string name = StateFileName(generation);
  const std::string path = directory_ + '/' + name;
  const net::Status written =
      WriteSynced(directory_fd_, kTemporaryName, EncodeStateFile(generation, state));
  if (!written) {
    unlinkat(directory_fd_, kTemporaryName, 0);
    return net::Error{path + ": " + written.error().message};
  }
  if (renameat(directory_fd_, kTemporaryName, directory_fd_, name.c_str()) == 0 &&
      fsync(directory_fd_) == 0)
    return net::Ok{};
  const net::Error error = ErrnoError(path);
  // Refused now must not be found accepted at the next start.
  unlinkat(directory_fd_, name.c_str(), 0);
  return error;
}

void DesiredStateStore::ForgetOldest() {
  const std::vector<uint64_t> generations = Generations();
  for (size_t i = 0; i + history_ < generations.size(); ++i)
    unlinkat(directory_fd_, StateFileName(generations[i]).c_str(), 0);
}

net::Result<std::optional<v1::DesiredState>> DesiredStateStore::Get(uint64_t generation) const {
  if (generation == 0 || generation > generation_) return std::optional<v1::DesiredState>{};
  if (generation == generation_) return std::optional(state_);
  const std::string path = directory_ + '/' + StateFileName(generation);
  if (!std::filesystem::exists(path)) return std::optional<v1::DesiredState>{};
  net::Result<v1::DesiredState> state = ReadStateFile(path, generation);
  if (!state) return state.error();
  return std::optional(std::move(*state));
}

std::vector<uint64_t> DesiredStateStore::Generations() const {
  std::vector<uint64_t> generations;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, error))
    if (const uint64_t generation = GenerationOfFileName(entry.path().filename().string()))
      generations.push_back(generation);
  std::sort(generations.begin(), generations.end());
  return generations;
}

}  // namespace steelyard::controlplane
