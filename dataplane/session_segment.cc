// SPDX-License-Identifier: Apache-2.0
#include "session_segment.h"

#include <cstring>
#include <type_traits>
#include <utility>

#include "core/session_layout.h"

namespace steelyard {

using net::Error;
using net::Result;

namespace {

constexpr char kMagic[8] = {'S', 'T', 'L', 'Y', 'S', 'E', 'S', '\n'};
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 4096;

// What never changes while a segment lives.
struct Fixed {
  char magic[8];
  uint32_t version;
  uint32_t worker_index;
  uint64_t layout_hash;
  char boot_id[40];
  uint32_t narrow_capacity;
  uint32_t wide_capacity;
  core::HashSecret secret;
  uint64_t checksum;  // of what stands before it
};
static_assert(std::has_unique_object_representations_v<Fixed>);

uint64_t ChecksumOf(const Fixed& fixed) {
  uint64_t hash = 0xcbf29ce484222325;
  const auto* const bytes = reinterpret_cast<const unsigned char*>(&fixed);
  for (size_t i = 0; i < offsetof(Fixed, checksum); ++i) hash = (hash ^ bytes[i]) * 0x100000001b3;
  return hash;
}

}  // namespace

struct SessionSegment::Header {
  Fixed fixed;
  alignas(64) uint64_t steering_fingerprint;
  alignas(64) std::atomic<uint64_t> last_poll_ns;
};

std::string SessionSegment::FileName(const Identity& identity) {
  return "worker-" + std::to_string(identity.worker_index) + "." +
         std::to_string(identity.capacity.narrow) + "-" + std::to_string(identity.capacity.wide) +
         ".sessions";
}

Result<SessionSegment> SessionSegment::Create(const std::string& directory,
                                              const Identity& identity) {
  Result<MappedFile> file =
      MappedFile::Create(directory + "/" + FileName(identity),
                         kHeaderBytes + core::SessionTable::RequiredBytes(identity.capacity));
  if (!file) return file.error();
  Fixed fixed{};
  std::memcpy(fixed.magic, kMagic, sizeof kMagic);
  fixed.version = kVersion;
  fixed.worker_index = identity.worker_index;
  fixed.layout_hash = core::kSessionLayoutHash;
  BootId().copy(fixed.boot_id, sizeof fixed.boot_id - 1);
  fixed.narrow_capacity = identity.capacity.narrow;
  fixed.wide_capacity = identity.capacity.wide;
  fixed.secret = identity.secret;
  fixed.checksum = ChecksumOf(fixed);
  SessionSegment segment(std::move(*file), identity);
  segment.header().fixed = fixed;
  return segment;
}

Result<SessionSegment> SessionSegment::Open(const std::string& path) {
  Result<MappedFile> file = MappedFile::Open(path);
  if (!file) return file.error();
  const std::span<std::byte> bytes = file->bytes();
  if (bytes.size() < kHeaderBytes) return Error{"is too short for a segment"};
  Fixed fixed;
  std::memcpy(&fixed, bytes.data(), sizeof fixed);
  if (std::memcmp(fixed.magic, kMagic, sizeof kMagic) != 0)
    return Error{"is no segment, or one that was never finished"};
  if (fixed.version != kVersion)
    return Error{"is of version " + std::to_string(fixed.version) + ", and this is version " +
                 std::to_string(kVersion)};
  if (fixed.checksum != ChecksumOf(fixed)) return Error{"has a damaged header"};
  if (fixed.layout_hash != core::kSessionLayoutHash)
    return Error{"is of a program in which sessions lie otherwise in memory"};
  fixed.boot_id[sizeof fixed.boot_id - 1] = '\0';
  if (fixed.boot_id != BootId()) return Error{"is from before the last boot"};
  const Identity identity{
      fixed.worker_index, {fixed.narrow_capacity, fixed.wide_capacity}, fixed.secret};
  constexpr uint64_t kMost = uint64_t{core::kNoSession};
  if (uint64_t{fixed.narrow_capacity} + fixed.wide_capacity >= kMost ||
      bytes.size() < kHeaderBytes + core::SessionTable::RequiredBytes(identity.capacity))
    return Error{"is cut short"};
  return SessionSegment(std::move(*file), identity);
}

SessionSegment::Header& SessionSegment::header() const {
  static_assert(sizeof(Header) <= kHeaderBytes);
  return *reinterpret_cast<Header*>(file_.bytes().data());
}

std::span<std::byte> SessionSegment::table_memory() const {
  return file_.bytes().subspan(kHeaderBytes);
}

std::atomic<uint64_t>& SessionSegment::last_poll_ns() const {
  return header().last_poll_ns;
}

uint64_t SessionSegment::steering_fingerprint() const {
  return header().steering_fingerprint;
}

void SessionSegment::set_steering_fingerprint(uint64_t fingerprint) {
  header().steering_fingerprint = fingerprint;
}

}  // namespace steelyard
