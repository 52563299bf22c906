// SPDX-License-Identifier: Apache-2.0
#include "slot_journal.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace steelyard {
namespace {

using Kind = SlotJournal::Kind;

class SlotJournalTest : public testing::Test {
 protected:
  SlotJournalTest() {
    std::string name = testing::TempDir() + "steelyard-journal-XXXXXX";
    directory = mkdtemp(name.data());
  }
  ~SlotJournalTest() override { std::filesystem::remove_all(directory); }
  SlotJournal Open() { return std::move(*SlotJournal::Open(directory)); }
  void Overwrite(size_t offset, char byte) const {
    std::fstream file(directory + "/slots", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(byte);
  }
  std::string directory;
};

TEST_F(SlotJournalTest, TheNextProcessReadsWhatWasRecordedLast) {
  std::map<uint32_t, std::string> services, backends;
  for (uint32_t round = 0; round < 20; ++round) {
    SlotJournal journal = Open();
    EXPECT_EQ(journal.assignments(Kind::kService), services);
    EXPECT_EQ(journal.assignments(Kind::kBackend), backends);
    for (uint32_t i = 0; i < 300; ++i) {
      const uint32_t slot = (round * 7919 + i * 104729) % 500;
      const std::string name = "name " + std::to_string(i % 40) + std::string(i % 90, 'x');
      const bool is_service = i % 3 == 0;
      ASSERT_TRUE(journal.Record(is_service ? Kind::kService : Kind::kBackend, slot, name));
      (is_service ? services : backends)[slot] = name;
    }
  }
}

TEST_F(SlotJournalTest, AFullFileIsReplacedByALongerOneOfWhatCounts) {
  const std::string long_name(60'000, 'n');
  {
    SlotJournal journal = Open();
    for (uint32_t i = 0; i < 200; ++i)
      ASSERT_TRUE(journal.Record(Kind::kBackend, i % 50, long_name + std::to_string(i)));
  }
  const SlotJournal journal = Open();
  ASSERT_EQ(journal.assignments(Kind::kBackend).size(), 50u);
  for (const auto& [slot, name] : journal.assignments(Kind::kBackend))
    EXPECT_EQ(name, long_name + std::to_string(150 + slot));
  EXPECT_FALSE(std::filesystem::exists(directory + "/slots.new"));
}

TEST_F(SlotJournalTest, WhatIsNoJournalOfThisBootIsRefused) {
  const auto refused = [&](size_t offset, char byte) {
    ASSERT_TRUE(SlotJournal::Create(directory));
    { ASSERT_TRUE(Open().Record(Kind::kService, 3, "web")); }
    Overwrite(offset, byte);
    const auto journal = SlotJournal::Open(directory);
    ASSERT_FALSE(journal) << offset;
    EXPECT_NE(journal.error().message.find(directory + "/slots "), std::string::npos);
  };
  refused(0, 'X');    // magic
  refused(8, 9);      // version
  refused(16, '!');   // boot
  refused(62, 0x7f);  // length: beyond the file
  refused(56, 70);    // length: within an entry
  refused(67, 0x7f);  // a slot that there is not
  std::filesystem::resize_file(directory + "/slots", 10);
  EXPECT_FALSE(SlotJournal::Open(directory));
}

}  // namespace
}  // namespace steelyard
