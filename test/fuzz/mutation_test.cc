// SPDX-License-Identifier: Apache-2.0
//
// The fuzz targets over their corpus and over random mutations of it: what libFuzzer does, without
// its feedback, wherever the tests run. STEELYARD_FUZZ_CORPUS is the folder of the corpora.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "fuzz/targets.h"
#include "packet/random.h"

namespace steelyard::test {
namespace {

using Input = std::vector<uint8_t>;

struct Target {
  const char* name;  // the corpus' folder
  void (*run)(std::span<const uint8_t>);
  std::vector<Input> (*seeds)();
  int mutations;
};

constexpr Target kTargets[] = {
    {"parse_packet", FuzzParsePacket, ParsePacketSeeds, 200'000},
    {"pipeline", FuzzPipeline, PipelineSeeds, 20'000},
};

std::vector<Input> CorpusOf(const Target& target) {
  std::vector<std::filesystem::path> files;
  const std::filesystem::path folder = std::filesystem::path(STEELYARD_FUZZ_CORPUS) / target.name;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<Input> corpus = target.seeds();
  for (const auto& file : files) {
    std::ifstream stream(file, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
  }
  return corpus;
}

Input Mutated(const std::vector<Input>& corpus, Random& random) {
  Input input = corpus[random() % corpus.size()];
  for (uint32_t left = 1 + random() % 6; left > 0 && !input.empty(); --left) {
    const auto at = input.begin() + random() % static_cast<uint32_t>(input.size());
    switch (random() % 6) {
      case 0:
        *at = static_cast<uint8_t>(random());
        break;
      case 1:
        *at = static_cast<uint8_t>(*at ^ 1u << random() % 8);
        break;
      case 2:
        *at = random() % 2 ? 0xff : 0;
        break;
      case 3:
        input.erase(at, std::min(at + random() % 8, input.end()));
        break;
      case 4:
        input.insert(at, random() % 8, static_cast<uint8_t>(random()));
        break;
      default: {
        const Input& other = corpus[random() % corpus.size()];
        if (other.empty()) break;
        const auto from = other.begin() + random() % static_cast<uint32_t>(other.size());
        std::copy(from, std::min(from + std::min<long>(input.end() - at, 64), other.end()), at);
      }
    }
  }
  return input;
}

class Mutation : public testing::TestWithParam<Target> {};
INSTANTIATE_TEST_SUITE_P(Targets, Mutation, testing::ValuesIn(kTargets),
                         [](const auto& param) { return std::string(param.param.name); });

TEST_P(Mutation, TheCorpusKeepsTheLaws) {
  for (const Input& input : CorpusOf(GetParam())) GetParam().run(input);
}

TEST_P(Mutation, MutationsKeepTheLaws) {
  const std::vector<Input> corpus = CorpusOf(GetParam());
  Random random(1);
  for (int i = 0; i < GetParam().mutations; ++i) GetParam().run(Mutated(corpus, random));
}

}  // namespace
}  // namespace steelyard::test
