// Decimal numbers to 64-bit floats, correctly rounded: what is canonical is decided on the way, see cells.h.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <version>

#if defined(__cpp_lib_to_chars) && __cpp_lib_to_chars >= 201611L
#include <charconv>
#else
#include <clocale>
#include <cstdlib>
#endif

#include "powers.h"

namespace portal {

// What runs for every value: the compiler must not make calls of it.
#define PORTAL_HOT inline __attribute__((always_inline))

inline bool is_digit(char c) { return static_cast<unsigned char>(c - '0') <= 9; }

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
PORTAL_HOT bool eight_digits(const char* p, uint64_t& value) {
    uint64_t v;
    std::memcpy(&v, p, 8);
    if (((v & 0xF0F0F0F0F0F0F0F0) | (((v + 0x0606060606060606) & 0xF0F0F0F0F0F0F0F0) >> 4)) != 0x3333333333333333) return false;
    v -= 0x3030303030303030;
    v = v * 10 + (v >> 8);
    value = (((v & 0x000000FF000000FF) * 0x000F424000000064) + (((v >> 16) & 0x000000FF000000FF) * 0x0000271000000001)) >> 32;
    return true;
}
#else
PORTAL_HOT bool eight_digits(const char*, uint64_t&) { return false; }
#endif

// Take digits from p on: the end is returned, `value` grows, wrapping around beyond 19 digits.
PORTAL_HOT const char* take_digits(const char* p, const char* end, uint64_t& value) {
    uint64_t eight;
    while (end - p >= 8 && eight_digits(p, eight)) value = value * 100000000 + eight, p += 8;
    for (; p < end && is_digit(*p); ++p) value = value * 10 + static_cast<uint64_t>(*p - '0');
    return p;
}

// The last `count` (0 to 7) digits before `end`, of eight bytes that can be read there; false when one is none.
PORTAL_HOT bool last_digits(const char* end, size_t count, uint64_t& value) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    char eight[8];
    uint64_t v, mask = ~(~uint64_t{0} >> (count * 8));
    std::memcpy(&v, end - 8, 8);
    v = (v & mask) | (0x3030303030303030 & ~mask);
    std::memcpy(eight, &v, 8);
    return eight_digits(eight, value);
#else
    value = 0;
    return take_digits(end - count, end, value) == end;
#endif
}

// w · 10^q by 128 bits of the power; false: leave it to the slow way. (Eisel and Lemire, as in fast_float's compute_float.)
PORTAL_HOT bool multiply(uint64_t w, int64_t q, double& out) {
    if (q < lowest_power || q > highest_power) return false;
    int zeros = __builtin_clzll(w);
    w <<= zeros;
    const uint64_t* power = powers_of_five[q - lowest_power];
    auto first = static_cast<unsigned __int128>(w) * power[0];
    uint64_t high = static_cast<uint64_t>(first >> 64), low = static_cast<uint64_t>(first);
    if ((high & 0x1FF) == 0x1FF) {
        uint64_t more = static_cast<uint64_t>((static_cast<unsigned __int128>(w) * power[1]) >> 64);
        low += more;
        if (more > low) ++high;
    }
    if (low == UINT64_MAX && (q < -27 || q > 55)) return false;
    int upper = static_cast<int>(high >> 63), shift = upper + 9;
    uint64_t mantissa = high >> shift;
    int64_t exponent = ((217706 * q) >> 16) + 63 + upper - zeros + 1023;
    if (exponent <= 0) return false;
    if (low <= 1 && q >= -4 && q <= 23 && (mantissa & 3) == 1 && (mantissa << shift) == high) mantissa &= ~uint64_t{1};
    mantissa = (mantissa + (mantissa & 1)) >> 1;
    if (mantissa >= uint64_t{2} << 52) mantissa = uint64_t{1} << 52, ++exponent;
    if (exponent >= 0x7FF) return false;
    uint64_t bits = (mantissa & ~(uint64_t{1} << 52)) | (static_cast<uint64_t>(exponent) << 52);
    std::memcpy(&out, &bits, 8);
    return true;
}

// The slow way, for any number of digits. The text is a number already known to be well-formed. False: it overflows or vanishes.
inline bool slow_float(const char* p, const char* end, double& out) {
#if defined(__cpp_lib_to_chars) && __cpp_lib_to_chars >= 201611L
    auto read = std::from_chars(p, end, out);
    return read.ec == std::errc() && read.ptr == end && std::isfinite(out);
#else
    static const locale_t plain = newlocale(LC_ALL_MASK, "C", nullptr);
    std::string text(p, end);
    out = strtod_l(text.c_str(), nullptr, plain);
    return std::isfinite(out);
#endif
}

}  // namespace portal
