// SPDX-License-Identifier: Apache-2.0
#include "controlplane/state/state_file.h"

#include <array>
#include <boost/crc.hpp>
#include <charconv>
#include <cinttypes>
#include <cstdio>

namespace steelyard::controlplane {
namespace {

constexpr std::string_view kNamePrefix = "generation-";
constexpr std::string_view kNameSuffix = ".state";
constexpr size_t kNumberWidth = 20;  // of the largest 64-bit number

std::string Header(uint64_t generation, std::string_view body) {
  boost::crc_32_type crc;
  crc.process_bytes(body.data(), body.size());
  std::array<char, 128> line;
  std::snprintf(line.data(), line.size(),
                "steelyard-state 1 generation %" PRIu64 " bytes %zu crc32 %08x\n", generation,
                body.size(), static_cast<unsigned>(crc.checksum()));
  return line.data();
}

}  // namespace

std::string EncodeStateFile(uint64_t generation, const v1::DesiredState& state) {
  const std::string body = state.SerializeAsString();
  return Header(generation, body) + body;
}

net::Result<v1::DesiredState> DecodeStateFile(std::string_view bytes, uint64_t generation) {
  const size_t line_end = bytes.find('\n');
  if (line_end == std::string_view::npos || !bytes.starts_with("steelyard-state "))
    return net::Error{"not a state file"};
  if (!bytes.starts_with("steelyard-state 1 "))
    return net::Error{"written in a format that this version does not know"};
  const std::string_view body = bytes.substr(line_end + 1);
  if (bytes.substr(0, line_end + 1) != Header(generation, body))
    return net::Error{"damaged: its content is not what its first line says"};
  v1::DesiredState state;
  if (!state.ParseFromArray(body.data(), static_cast<int>(body.size())))
    return net::Error{"damaged: no desired state in it"};
  return state;
}

std::string StateFileName(uint64_t generation) {
  const std::string digits = std::to_string(generation);
  return std::string(kNamePrefix)
      .append(kNumberWidth - digits.size(), '0')
      .append(digits)
      .append(kNameSuffix);
}

uint64_t GenerationOfFileName(std::string_view name) {
  if (!name.starts_with(kNamePrefix)) return 0;
  uint64_t generation = 0;
  std::from_chars(name.data() + kNamePrefix.size(), name.data() + name.size(), generation);
  return StateFileName(generation) == name ? generation : 0;
}

}  // namespace steelyard::controlplane
