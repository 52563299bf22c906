// SPDX-License-Identifier: Apache-2.0
//
// The algebra of kAffine. With bits numbered from a byte's highest, as the hash numbers them, bit o
// of the hash is the XOR over all input bits b of input[b] & key[b + o]. Taken by bytes, output
// byte j (of four) is
//
//   XOR over i of M[i + j] * input byte i
//
// over GF(2), where M[k] is the 8x8 bit matrix with the key's bits 8k + r + c in row r, column c:
// which matrix it is depends on i + j alone. So lane k, of eight bytes, multiplies M[k] with the
// input bytes k - 3 to k, in this order, and its lowest four bytes are a part of the hash as it
// stands in memory, lowest byte first; the XOR of all lanes is the hash. GF2P8AFFINEQB multiplies
// eight lanes of eight bytes at once (Intel, "Galois Field New Instructions (GFNI)", 2018; DPDK's
// rte_thash_gfni rests on the same). IPv4 takes 15 lanes and IPv6 39.
#include "core/toeplitz.h"

#if defined(__x86_64__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12 warns about its own header
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

namespace steelyard::core {
namespace {

// The 32 key bits that begin at `bit`.
uint32_t KeyWindow(const ToeplitzKey& key, size_t bit) {
  uint64_t bits = 0;
  for (size_t i = 0; i < 5; ++i) {
    const size_t at = bit / 8 + i;
    bits = bits << 8 | (at < key.size() ? key[at] : 0);
  }
  return static_cast<uint32_t>(bits >> (8 - bit % 8));
}

}  // namespace

Toeplitz::Toeplitz(const ToeplitzKey& key, Way way) {
  for (size_t bit = 0; bit < 8 * kToeplitzKeyBytes; ++bit)
    matrices_[bit / 8][bit % 8] = static_cast<uint8_t>(KeyWindow(key, bit) >> 24);
  if (way == Way::kAffine) return;
  table_ = std::make_unique<Table>();
  for (size_t byte = 0; byte < kMaxInputBytes; ++byte)
    for (uint32_t value = 0; value < 256; ++value) {
      uint32_t hash = 0;
      for (size_t bit = 0; bit < 8; ++bit)
        if (value & (0x80u >> bit)) hash ^= KeyWindow(key, byte * 8 + bit);
      (*table_)[byte][value] = hash;
    }
}

template <size_t kInputBytes>
uint32_t Toeplitz::HashByTable(const uint8_t* input) const {
  uint32_t hash = 0;
  for (size_t i = 0; i < kInputBytes; ++i) hash ^= (*table_)[i][input[i]];
  return hash;
}

#if defined(__x86_64__)

#define STEELYARD_AFFINE __attribute__((target("gfni,avx512bw,avx512vbmi")))

namespace {

constexpr size_t kLanesAtOnce = 8;

// Which input byte each byte of the first eight lanes takes. Modulo 64 what lies before the input
// lies behind it, where there are zeros.
alignas(64) constexpr std::array<uint8_t, 64> kOrder = [] {
  std::array<uint8_t, 64> order{};
  for (size_t lane = 0; lane < kLanesAtOnce; ++lane)
    for (size_t byte = 0; byte < 8; ++byte)
      order[lane * 8 + byte] = static_cast<uint8_t>(lane + byte - 3) % 64;
  return order;
}();

STEELYARD_AFFINE inline uint32_t XorOfLanes(__m512i lanes) {
  const __m256i four =
      _mm256_xor_si256(_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64(lanes, 1));
  const __m128i two =
      _mm_xor_si128(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(_mm_xor_si128(two, _mm_unpackhi_epi64(two, two))));
}

}  // namespace

bool Toeplitz::HasAffine() {
  return __builtin_cpu_supports("gfni") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vbmi");
}

template <size_t kInputBytes>
STEELYARD_AFFINE uint32_t Toeplitz::HashByAffine(const uint8_t* input) const {
  constexpr size_t kLanes = kInputBytes + 3;
  static_assert(kLanes <= kToeplitzKeyBytes && kLanes + 3 < 64);
  const __m512i bytes = _mm512_maskz_loadu_epi8((uint64_t{1} << kInputBytes) - 1, input);
  __m512i order = _mm512_load_si512(kOrder.data());
  __m512i sum = _mm512_setzero_si512();
  for (size_t lane = 0; lane < kLanes; lane += kLanesAtOnce) {
    const __m512i operands = _mm512_permutexvar_epi8(order, bytes);
    const __m512i matrices = _mm512_load_si512(&matrices_[lane]);
    sum = _mm512_xor_si512(sum, _mm512_gf2p8affine_epi64_epi8(operands, matrices, 0));
    order = _mm512_add_epi8(order, _mm512_set1_epi8(kLanesAtOnce));
  }
  return XorOfLanes(sum);
}

#else

bool Toeplitz::HasAffine() {
  return false;
}

template <size_t kInputBytes>
uint32_t Toeplitz::HashByAffine(const uint8_t* input) const {
  return HashByTable<kInputBytes>(input);
}

#endif

uint32_t Toeplitz::Hash(const net::FlowKey4& key) const {
  // The key's bytes stand in the order of the hash's input.
  static_assert(offsetof(net::FlowKey4, protocol) == 12);
  const auto* input = reinterpret_cast<const uint8_t*>(&key);
  return table_ == nullptr ? HashByAffine<12>(input) : HashByTable<12>(input);
}

uint32_t Toeplitz::Hash(const net::FlowKey6& key) const {
  static_assert(offsetof(net::FlowKey6, protocol) == 36);
  const auto* input = reinterpret_cast<const uint8_t*>(&key);
  return table_ == nullptr ? HashByAffine<36>(input) : HashByTable<36>(input);
}

}  // namespace steelyard::core
