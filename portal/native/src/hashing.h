// Hashes of values for checksums that do not depend on the order of rows. What they are is told in portal/tabular/proving/hashing.py, which gives
// the same numbers without this. All sizes are those of Arrow arrays that the caller holds; nothing is allocated, nothing can fail.
#pragma once

#include <cstdint>
#include <cstring>

#include "arrow.h"

namespace portal {

constexpr uint64_t hash_golden = 0x9E3779B97F4A7C15u, hash_length = 0xD6E8FEB86659FD93u, hash_again = 0xA0761D6478BD642Fu;

inline uint64_t hash_mix(uint64_t word) {
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
    word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
    return word ^ (word >> 31);
}

// Hash bytes as little-endian words, the last filled up with zeros; without their number.
inline uint64_t hash_words(const uint8_t* data, size_t size) {
    uint64_t sum = 0, step = hash_golden;
    for (; size >= 8; data += 8, size -= 8, step += hash_golden) {
        uint64_t word;
        std::memcpy(&word, data, 8);
        sum += hash_mix(word + step);
    }
    if (size) {
        uint64_t word = 0;
        std::memcpy(&word, data, size);
        sum += hash_mix(word + step);
    }
    return sum;
}

}  // namespace portal

extern "C" {

// Values of `width` bytes each.
PORTAL_EXPORT void portal_hash_fixed(const uint8_t* data, int64_t width, int64_t count, uint64_t* found) {
    if (width == 8) {
        for (int64_t row = 0; row < count; ++row) found[row] = portal::hash_mix(portal::hash_words(data + row * 8, 8));
        return;
    }
    for (int64_t row = 0; row < count; ++row) found[row] = portal::hash_mix(portal::hash_words(data + row * width, static_cast<size_t>(width)));
}

// Texts or binaries, `ends` being one more offset than values.
PORTAL_EXPORT void portal_hash_texts(const uint8_t* data, const int32_t* ends, int64_t count, uint64_t* found) {
    for (int64_t row = 0; row < count; ++row) {
        const uint64_t size = static_cast<uint64_t>(ends[row + 1] - ends[row]);
        found[row] = portal::hash_mix(portal::hash_words(data + ends[row], size) + size * portal::hash_length);
    }
}

// Lists of so many elements each, one after the other.
PORTAL_EXPORT void portal_hash_lists(const uint64_t* items, const int32_t* sizes, int64_t count, uint64_t* found) {
    for (int64_t row = 0; row < count; ++row) {
        uint64_t sum = 0, step = portal::hash_golden;
        for (int32_t place = 0; place < sizes[row]; ++place, step += portal::hash_golden) sum += portal::hash_mix(*items++ + step);
        found[row] = portal::hash_mix(sum + static_cast<uint64_t>(sizes[row]) * portal::hash_length);
    }
}

// Add the hashes of the column at `place` (from 0) to the sums of rows.
PORTAL_EXPORT void portal_hash_add(uint64_t* sums, const uint64_t* words, uint64_t place, int64_t count) {
    const uint64_t step = (place + 1) * portal::hash_golden;
    for (int64_t row = 0; row < count; ++row) sums[row] += portal::hash_mix(words[row] + step);
}

PORTAL_EXPORT void portal_hash_mix(uint64_t* words, int64_t count) {
    for (int64_t row = 0; row < count; ++row) words[row] = portal::hash_mix(words[row]);
}

// The two sums of a column's hashes.
PORTAL_EXPORT void portal_hash_sums(const uint64_t* words, int64_t count, uint64_t* sums) {
    uint64_t first = 0, second = 0;
    for (int64_t row = 0; row < count; ++row) {
        first += words[row];
        second += portal::hash_mix(words[row] ^ portal::hash_again);
    }
    sums[0] = first;
    sums[1] = second;
}
}
