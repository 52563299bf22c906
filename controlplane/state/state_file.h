// SPDX-License-Identifier: Apache-2.0
//
// The bytes of one stored generation: a line of text
//   steelyard-state 1 generation 42 bytes 1234 crc32 89abcdef
// and then a DesiredState in protobuf's encoding. Decoding trusts nothing. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model.pb.h"
#include "net/result.h"

namespace steelyard::controlplane {

std::string EncodeStateFile(uint64_t generation, const v1::DesiredState& state);
// An error when the bytes are not exactly what EncodeStateFile made for this generation.
net::Result<v1::DesiredState> DecodeStateFile(std::string_view bytes, uint64_t generation);

std::string StateFileName(uint64_t generation);  // sorts as the numbers do
// 0: no name of a state file.
uint64_t GenerationOfFileName(std::string_view name);

}  // namespace steelyard::controlplane
