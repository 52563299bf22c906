// SPDX-License-Identifier: Apache-2.0
#include "session_store.h"

#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

#include "core/session_layout.h"
#include "numa_node.h"

namespace steelyard {

using net::Error;
using net::Ok;
using net::Result;
using net::Status;

namespace {

constexpr char kSuffix[] = ".sessions";

void Warn(const std::string& sentence) {
  std::fprintf(stderr, "steelyard-dataplane: %s\n", sentence.c_str());
}

std::optional<std::string> HugePageMount() {
  std::ifstream mounts("/proc/mounts");
  std::string device, point, type, rest;
  while (mounts >> device >> point >> type && std::getline(mounts, rest)) {
    struct statfs system;
    constexpr long kPageBytes = 2 << 20;
    if (type == "hugetlbfs" && statfs(point.c_str(), &system) == 0 && system.f_bsize == kPageBytes)
      return point;
  }
  return std::nullopt;
}

Status MakeDirectory(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return Error{"cannot make " + directory + ": " + error.message()};
  if (chmod(directory.c_str(), 0700) != 0)
    return Error{"cannot make " + directory + " private: " + std::strerror(errno)};
  return Ok{};
}

std::vector<std::string> SegmentsIn(const std::string& directory) {
  std::vector<std::string> paths;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored))
    if (entry.path().extension() == kSuffix) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

void RemoveSegments(const std::string& directory) {
  for (const std::string& path : SegmentsIn(directory)) unlink(path.c_str());
}

Result<SlotJournal> OpenJournal(const SessionStore::Options& options) {
  if (!options.discard) {
    Result<SlotJournal> journal = SlotJournal::Open(options.directory);
    if (journal) return journal;
    Warn(journal.error().message + ": starting without the sessions that it is about");
  }
  RemoveSegments(options.directory);
  return SlotJournal::Create(options.directory);
}

uint64_t FingerprintOf(const core::Steering& steering) {
  uint64_t hash = core::HashOfLayout({steering.worker_count()});
  for (uint32_t bucket = 0; bucket < core::kSteeringBuckets; ++bucket)
    hash = core::HashOfLayout({hash, steering.OwnerOf(bucket)});
  return hash | 1;
}

}  // namespace

std::string DefaultSessionDirectory(const std::string& control_socket, bool use_huge_pages) {
  std::string name = std::filesystem::absolute(control_socket).lexically_normal();
  name.erase(0, name.find_first_not_of('/'));
  std::replace(name.begin(), name.end(), '/', '-');
  const auto mount = use_huge_pages ? HugePageMount() : std::nullopt;
  if (use_huge_pages && !mount)
    Warn("no hugetlbfs with pages of 2 MiB is mounted: sessions stand in plain pages, in /dev/shm");
  return mount.value_or("/dev/shm") + "/steelyard/" + name;
}

Result<SessionStore> SessionStore::Open(const Options& options) {
  if (const Status status = MakeDirectory(options.directory); !status) return status.error();
  Result<SlotJournal> journal = OpenJournal(options);
  if (!journal) return journal.error();
  SessionStore store(std::move(*journal));
  if (const Status status = store.OpenSegments(options); !status) return status.error();
  return store;
}

Status SessionStore::OpenSegments(const Options& options) {
  std::vector<std::optional<SessionSegment>> own(options.worker_count);
  SessionSegment::Identity identity{.capacity = options.capacity};
  if (getrandom(&identity.secret, sizeof identity.secret, 0) != sizeof identity.secret)
    return Error{std::string("no random numbers: ") + std::strerror(errno)};
  for (const std::string& path : SegmentsIn(options.directory)) {
    Result<SessionSegment> segment = SessionSegment::Open(path);
    const bool is_there = segment && std::filesystem::path(path).filename() ==
                                         SessionSegment::FileName(segment->identity());
    if (!is_there) {
      Warn(path + " " + (segment ? "is another worker's" : segment.error().message) +
           ": starting without its sessions");
      unlink(path.c_str());
      continue;
    }
    ++segments_found_;
    last_poll_ns_ = std::max(last_poll_ns_, segment->last_poll_ns().load());
    identity.secret = segment->identity().secret;
    const SessionSegment::Identity& found = segment->identity();
    if (found.worker_index < options.worker_count &&
        found.capacity.narrow == options.capacity.narrow &&
        found.capacity.wide == options.capacity.wide)
      own[found.worker_index] = std::move(*segment);
    else
      old_.push_back(std::move(*segment));
  }
  for (uint32_t worker = 0; worker < options.worker_count; ++worker) {
    identity.worker_index = worker;
    const bool is_new = !own[worker];
    if (is_new) {
      const PreferNumaNode near_its_core(
          worker < options.numa_nodes.size() ? options.numa_nodes[worker] : std::nullopt);
      Result<SessionSegment> segment = SessionSegment::Create(options.directory, identity);
      if (!segment)
        return Error{segment.error().message +
                     ": no memory for a session table; lower --session-capacity"};
      own[worker] = std::move(*segment);
    }
    own_.push_back({std::move(*own[worker]), is_new});
  }
  return Ok{};
}

core::KnownSlots SessionStore::Known() const {
  const auto slots_of = [&](SlotJournal::Kind kind) {
    std::vector<bool> known;
    for (const auto& [slot, name] : journal_.assignments(kind)) {
      known.resize(slot + 1);
      known[slot] = true;
    }
    return known;
  };
  return {slots_of(SlotJournal::Kind::kService), slots_of(SlotJournal::Kind::kBackend)};
}

bool SessionStore::AllAreHome(uint64_t fingerprint) const {
  return old_.empty() && std::all_of(own_.begin(), own_.end(), [&](const Own& own) {
           return own.is_new || own.segment.steering_fingerprint() == fingerprint;
         });
}

core::AdoptionReport SessionStore::AdoptOld(SessionSegment& old,
                                            std::span<core::SessionTable* const> tables,
                                            const core::KnownSlots& known,
                                            const core::Steering& steering, uint32_t now_ms) {
  core::SessionTable table(old.table_memory(), old.identity().capacity, old.identity().secret);
  core::AdoptionReport report = core::AdoptInPlace(table, known, 0, now_ms);
  report.Add(core::MoveHome(table, tables, steering));
  return report;
}

SessionStore::Report SessionStore::Adopt(std::span<core::SessionTable* const> tables,
                                         std::span<core::WorkerState* const> workers,
                                         const core::Steering& steering, uint64_t now_ns) {
  const auto start = std::chrono::steady_clock::now();
  const auto now_ms = static_cast<uint32_t>(now_ns / 1'000'000);
  const core::KnownSlots known = Known();
  const uint64_t fingerprint = FingerprintOf(steering);
  const bool all_are_home = AllAreHome(fingerprint);
  Report report{.workers = segments_found_, .last_poll_ns = last_poll_ns_};
  const uint32_t redirect_targets = all_are_home ? steering.worker_count() : 0;
  for (size_t i = 0; i < own_.size(); ++i) {
    // Cut off before all are home, the next process goes on.
    if (!all_are_home) own_[i].segment.set_steering_fingerprint(0);
    if (!own_[i].is_new)
      report.sessions.Add(core::AdoptInPlace(*tables[i], known, redirect_targets, now_ms));
  }
  if (!all_are_home) {
    for (SessionSegment& old : old_)
      report.sessions.Add(AdoptOld(old, tables, known, steering, now_ms));
    for (core::SessionTable* const table : tables)
      report.sessions.Add(core::MoveHome(*table, tables, steering));
    core::LeaveRedirects(tables, steering, now_ms);
  }
  for (Own& own : own_) own.segment.set_steering_fingerprint(fingerprint);
  for (const SessionSegment& old : old_) unlink(old.path().c_str());
  old_.clear();
  for (size_t i = 0; i < own_.size(); ++i)
    report.sessions.Add(core::FinishAdoption(*tables[i], *workers[i], now_ms));
  report.adoption_ns = static_cast<uint64_t>((std::chrono::steady_clock::now() - start).count());
  return report;
}

}  // namespace steelyard
