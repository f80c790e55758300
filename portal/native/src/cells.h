// The canonical forms: what the kernel may read of a value's text. Everything else is handed back as text.
// Each read_… returns false when the text is not canonical for the type; the texts are not ended by a NUL.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#include "floats.h"

namespace portal {

enum class Kind : int32_t { text = 0, boolean = 1, integer = 2, float64 = 3, decimal = 4, date = 5, timestamp = 6, unread = 7 };
enum Zone : int32_t { no_zone = 0, offset_zone = 1, utc_zone = 2 };

// A column's type. integer: a = bits, b = 1 if unsigned. decimal: a = precision, b = scale. timestamp: a = digits of its fraction
// (0, 3, 6, 9), b = offset of its zone in minutes, c = a Zone. unread: nothing is canonical.
struct Type {
    Kind kind;
    int32_t a, b, c;
};

inline bool same(const char* p, size_t n, const char* word, size_t length) { return n == length && std::memcmp(p, word, n) == 0; }
template <size_t N> bool same(const char* p, size_t n, const char (&word)[N]) { return same(p, n, word, N - 1); }

inline bool read_boolean(const char* p, size_t n, bool& out) {
    out = n == 4;
    if (n == 4) return same(p, n, "true") || same(p, n, "True") || same(p, n, "TRUE");
    return same(p, n, "false") || same(p, n, "False") || same(p, n, "FALSE");
}

// 0 or -?[1-9][0-9]*, its size without the sign; at most 20 digits.
inline bool read_magnitude(const char* p, size_t n, bool& negative, uint64_t& out) {
    const char* end = p + n;
    negative = n && *p == '-';
    p += negative;
    size_t digits = static_cast<size_t>(end - p);
    if (!digits || digits > 20 || (*p == '0' && (digits > 1 || negative))) return false;
    out = 0;
    if (digits < 20) return take_digits(p, end, out) == end;
    if (take_digits(p, end - 1, out) != end - 1 || !is_digit(end[-1])) return false;
    return !__builtin_mul_overflow(out, uint64_t{10}, &out) && !__builtin_add_overflow(out, static_cast<uint64_t>(end[-1] - '0'), &out);
}

inline bool read_signed(const char* p, size_t n, int bits, int64_t& out) {
    bool negative;
    uint64_t size;
    if (!read_magnitude(p, n, negative, size)) return false;
    if (size > (uint64_t{1} << (bits - 1)) - (negative ? 0 : 1)) return false;
    out = static_cast<int64_t>(negative ? uint64_t{0} - size : size);
    return true;
}

inline bool read_unsigned(const char* p, size_t n, int bits, uint64_t& out) {
    bool negative;
    return read_magnitude(p, n, negative, out) && !negative && (bits == 64 || out >> bits == 0);
}

inline bool read_not_finite(const char* p, size_t n, double& out) {
    out = std::numeric_limits<double>::quiet_NaN();
    if (same(p, n, "NaN") || same(p, n, "nan")) return true;
    bool negative = n && *p == '-';
    out = std::numeric_limits<double>::infinity() * (negative ? -1 : 1);
    p += negative, n -= negative;
    return same(p, n, "inf") || same(p, n, "Infinity");
}

// The parts of -?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+).
struct Number {
    bool negative, dot;
    const char *whole, *whole_end, *fraction, *end;
    uint64_t digits;  // all of them as one integer; wrapped around beyond 19 significant ones
    PORTAL_HOT bool read(const char* p, const char* limit) {
        negative = p < limit && *p == '-';
        p += negative;
        digits = 0;
        whole = p;
        whole_end = p = take_digits(p, limit, digits);
        if (whole_end - whole > 1 && *whole == '0') return false;
        dot = p < limit && *p == '.';
        p += dot;
        fraction = p;
        if (dot) p = take_fraction(p, limit);
        end = p;
        return whole_end > whole || end > fraction;
    }
    // As take_digits, without a loop when all that is left are 8 to 23 digits, as most floats have.
    PORTAL_HOT const char* take_fraction(const char* p, const char* limit) {
        static constexpr uint64_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};
        uint64_t first, second = 0, last;
        size_t count = static_cast<size_t>(limit - p);
        bool long_one = count >= 16;
        if (count < 8 || count > 23 || !eight_digits(p, first) || (long_one && !eight_digits(p + 8, second)) || !last_digits(limit, count & 7, last)) {
            return take_digits(p, limit, digits);
        }
        digits = digits * 100000000 + first;
        if (long_one) digits = digits * 100000000 + second;
        digits = digits * powers[count & 7] + last;
        return limit;
    }
    // The digits from the first that is not zero to the last one.
    int64_t significant() const {
        const char* p = whole;
        while (p < end && (*p == '0' || *p == '.')) ++p;
        return end - p - (p < whole_end && dot ? 1 : 0);
    }
    // The same to the last one that is not zero.
    int64_t told() const {
        int64_t count = significant();
        for (const char* p = end; count > 0 && (p[-1] == '0' || p[-1] == '.'); --p) count -= p[-1] == '0';
        return count;
    }
};

inline bool read_exponent(const char* p, const char* end, int64_t& out) {
    bool negative = *p == '-';
    p += negative || *p == '+';
    if (p == end) return false;
    for (out = 0; p < end; ++p) {
        if (!is_digit(*p)) return false;
        if (out < 100000) out = out * 10 + (*p - '0');
    }
    if (negative) out = -out;
    return true;
}

// `long_digits` is set when the number has more than 17 significant digits.
inline bool read_float(const char* p, size_t n, double& out, bool& long_digits) {
    const char* end = p + n;
    Number number;
    if (!number.read(p, end)) return read_not_finite(p, n, out);
    int64_t exponent = 0;
    bool scientific = number.end < end;
    if (scientific) {
        if ((*number.end | 0x20) != 'e' || number.end + 1 == end || !read_exponent(number.end + 1, end, exponent)) return false;
    }
    exponent -= number.end - number.fraction;
    bool few = number.end - number.whole <= 19 || number.significant() <= 19;
    if (!number.dot && !scientific) {  // an integer must be exact
        if (!few) return false;
        out = static_cast<double>(number.digits);
        if (out >= 18446744073709551616.0 || static_cast<uint64_t>(out) != number.digits) return false;
    } else if (few && number.digits == 0) {
        out = 0;
    } else if (!few || !multiply(number.digits, exponent, out)) {
        if (!slow_float(number.whole, end, out)) return false;
        if (out == 0 && number.told() > 0) return false;
    }
    if ((!few || number.digits >= 100000000000000000) && number.told() > 17) long_digits = true;
    if (number.negative) out = -out;
    return true;
}

// The unscaled value. A negative zero is left to others: a decimal has none.
inline bool read_decimal(const char* p, size_t n, int precision, int scale, __int128& out) {
    Number number;
    if (!number.read(p, p + n) || number.end != p + n) return false;
    int64_t fraction = number.dot ? number.end - number.fraction : 0;
    int64_t significant = number.significant();
    if (fraction > scale || (significant && significant + scale - fraction > precision)) return false;
    out = static_cast<__int128>(number.digits);
    if (significant > 19) {
        out = 0;
        for (p = number.whole; p < number.end; ++p) {
            if (*p != '.') out = out * 10 + (*p - '0');
        }
    }
    if (out == 0) return !number.negative;
    for (; fraction < scale; ++fraction) out *= 10;
    if (number.negative) out = -out;
    return true;
}

inline bool two_digits(const char* p, int& out) {
    out = (p[0] - '0') * 10 + (p[1] - '0');
    return is_digit(p[0]) && is_digit(p[1]);
}

// Days since 1970-01-01 of YYYY-MM-DD, ten bytes. (Howard Hinnant, https://howardhinnant.github.io/date_algorithms.html#days_from_civil)
inline bool read_day(const char* p, int64_t& out) {
    static constexpr int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int century, rest, month, day;
    if (!two_digits(p, century) || !two_digits(p + 2, rest) || p[4] != '-' || !two_digits(p + 5, month) || p[7] != '-' || !two_digits(p + 8, day)) return false;
    int year = century * 100 + rest;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > lengths[month - 1] + (month == 2 && leap)) return false;
    int y = year - (month <= 2), era = y / 400, of_era = y - era * 400;
    int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    out = int64_t{era} * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
    return true;
}

inline bool read_date(const char* p, size_t n, int32_t& out) {
    int64_t days;
    if (n != 10 || !read_day(p, days)) return false;
    out = static_cast<int32_t>(days);
    return true;
}

// Z, ±HH:MM or ±HHMM, exactly the one of the type, -00:00 never.
inline bool read_zone(const char* p, const char* end, const Type& type) {
    if (type.c == no_zone) return p == end;
    if (end - p == 1) return type.c == utc_zone && *p == 'Z';
    int hours, minutes;
    bool colon = end - p == 6;
    if ((end - p != 5 && !colon) || (*p != '+' && *p != '-') || (colon && p[3] != ':')) return false;
    if (!two_digits(p + 1, hours) || !two_digits(p + (colon ? 4 : 3), minutes) || minutes > 59) return false;
    int offset = hours * 60 + minutes;
    return (*p == '-' ? offset != 0 && -offset == type.b : offset == type.b);
}

// YYYY-MM-DD[T ]HH:MM[:SS[.f{1,9}]] and the zone, as the type's unit since 1970.
inline bool read_timestamp(const char* p, size_t n, const Type& type, int64_t& out) {
    static constexpr int64_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};
    int64_t days, fraction = 0, places = 0;
    int hours, minutes, seconds = 0;
    if (n < 16 || !read_day(p, days) || (p[10] != 'T' && p[10] != ' ') || !two_digits(p + 11, hours) || p[13] != ':' || !two_digits(p + 14, minutes)) return false;
    const char* end = p + n;
    p += 16;
    if (p < end && *p == ':') {
        if (end - p < 3 || !two_digits(p + 1, seconds)) return false;
        p += 3;
        if (p < end && *p == '.') {
            for (++p; p < end && is_digit(*p) && places < 9; ++p, ++places) fraction = fraction * 10 + (*p - '0');
            if (!places) return false;
        }
    }
    if (hours > 23 || minutes > 59 || seconds > 59 || places > type.a || !read_zone(p, end, type)) return false;
    int64_t moment = days * 86400 + hours * 3600 + minutes * 60 + seconds - (type.c == no_zone ? 0 : int64_t{type.b} * 60);
    // In 128 bits, as before 1970 the parts have different signs: the sum can fit though the product alone does not.
    __int128 whole = static_cast<__int128>(moment) * powers[type.a] + fraction * powers[type.a - places];
    out = static_cast<int64_t>(whole);
    return whole == out;
}

}  // namespace portal
