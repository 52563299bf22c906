// SPDX-License-Identifier: Apache-2.0
#include "slot_journal.h"

#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/service.h"

namespace steelyard {

using net::Error;
using net::Ok;
using net::Result;
using net::Status;

namespace {

constexpr char kMagic[8] = {'S', 'T', 'L', 'Y', 'S', 'L', 'O', '\n'};
constexpr uint32_t kVersion = 1;
constexpr char kFileName[] = "/slots";
constexpr size_t kFirstBytes = 1u << 20;

struct Entry {
  uint32_t slot;
  uint16_t name_bytes;
  SlotJournal::Kind kind;
  uint8_t reserved;
};

}  // namespace

struct SlotJournal::Header {
  char magic[8];
  uint32_t version;
  uint32_t reserved;
  char boot_id[40];
  std::atomic<uint64_t> end;  // bytes of the file that count
};

SlotJournal::Header& SlotJournal::header() const {
  return *reinterpret_cast<Header*>(file_.bytes().data());
}

Result<SlotJournal> SlotJournal::Create(const std::string& directory) {
  Result<MappedFile> file = MappedFile::Create(directory + kFileName, kFirstBytes);
  if (!file) return file.error();
  SlotJournal journal(directory + kFileName, std::move(*file));
  Header& header = journal.header();
  header.version = kVersion;
  BootId().copy(header.boot_id, sizeof header.boot_id - 1);
  header.end = sizeof(Header);
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  return journal;
}

Result<SlotJournal> SlotJournal::Open(const std::string& directory) {
  const std::string path = directory + kFileName;
  if (!std::filesystem::exists(path)) return Create(directory);
  Result<MappedFile> file = MappedFile::Open(path);
  if (!file) return Error{path + " " + file.error().message};
  SlotJournal journal(path, std::move(*file));
  if (const Status status = journal.Read(); !status)
    return Error{path + " " + status.error().message};
  return journal;
}

Status SlotJournal::Read() {
  const std::span<std::byte> bytes = file_.bytes();
  if (bytes.size() < sizeof(Header)) return Error{"is too short for a list of names"};
  Header& head = header();
  if (std::memcmp(head.magic, kMagic, sizeof kMagic) != 0) return Error{"is no list of names"};
  if (head.version != kVersion) return Error{"is of another version"};
  head.boot_id[sizeof head.boot_id - 1] = '\0';
  if (head.boot_id != BootId()) return Error{"is from before the last boot"};
  const uint64_t end = head.end;
  if (end > bytes.size()) return Error{"is cut short"};
  uint64_t at = sizeof(Header);
  while (at < end) {
    Entry entry;
    if (end - at < sizeof entry) return Error{"is damaged"};
    std::memcpy(&entry, bytes.data() + at, sizeof entry);
    at += sizeof entry;
    if (static_cast<size_t>(entry.kind) >= kKindCount || end - at < entry.name_bytes ||
        entry.slot >= (entry.kind == Kind::kService ? core::kMaxServices : core::kMaxBackends))
      return Error{"is damaged"};
    names_[static_cast<size_t>(entry.kind)][entry.slot] =
        std::string(reinterpret_cast<const char*>(bytes.data() + at), entry.name_bytes);
    at += entry.name_bytes;
  }
  return Ok{};
}

bool SlotJournal::Record(Kind kind, uint32_t slot, const std::string& name) {
  if (name.size() > UINT16_MAX) return false;
  auto& names = names_[static_cast<size_t>(kind)];
  const auto at = names.find(slot);
  if (at != names.end() && at->second == name) return true;
  if (!Append(kind, slot, name) && !(Rewrite() && Append(kind, slot, name))) return false;
  names[slot] = name;
  return true;
}

bool SlotJournal::Append(Kind kind, uint32_t slot, std::string_view name) {
  const uint64_t at = header().end;
  const Entry entry{slot, static_cast<uint16_t>(name.size()), kind, 0};
  if (file_.bytes().size() - at < sizeof entry + name.size()) return false;
  std::byte* const out = file_.bytes().data() + at;
  std::memcpy(out, &entry, sizeof entry);
  std::memcpy(out + sizeof entry, name.data(), name.size());
  header().end.store(at + sizeof entry + name.size(), std::memory_order_release);
  return true;
}

bool SlotJournal::Rewrite() {
  Result<MappedFile> file = MappedFile::Create(path_ + ".new", file_.bytes().size() * 2);
  if (!file) return false;
  SlotJournal next(path_, std::move(*file));
  std::memcpy(static_cast<void*>(&next.header()), &header(), sizeof(Header));
  next.header().end = sizeof(Header);
  for (size_t kind = 0; kind < kKindCount; ++kind)
    for (const auto& [slot, name] : names_[kind])
      if (!next.Append(static_cast<Kind>(kind), slot, name)) return false;
  if (std::rename((path_ + ".new").c_str(), path_.c_str()) != 0) return false;
  file_ = std::move(next.file_);
  return true;
}

}  // namespace steelyard
