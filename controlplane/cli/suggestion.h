// SPDX-License-Identifier: Apache-2.0
//
// What somebody may have meant who typed a word that does not exist.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace steelyard::controlplane::cli {

// Insertions, deletions and substitutions between the two (Levenshtein), and swaps of neighbours.
size_t EditDistance(std::string_view a, std::string_view b);

// The candidate nearest to `typed`, empty when none is near.
std::string Nearest(std::string_view typed, std::span<const std::string> candidates);

}  // namespace steelyard::controlplane::cli
