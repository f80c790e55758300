// Where the values of a JSON text begin and end, by quotes and brackets alone: the meaning is that of portal/tabular/json_format/scanning.py.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

extern "C" {
// One scan, block by block; all zeros but `array` and `state` at the start. Offsets count from the start of the text, -1: none.
struct PortalJsonScan {
    int32_t array, state;
    int64_t base, depth;
    int64_t open, first, end, records, broken;
};
}

namespace portal {

enum JsonState : int32_t { js_start, js_first, js_record, js_after, js_done, js_nested, js_scalar, js_string, js_escaped };

inline bool json_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// The first quote, backslash or (if asked) control character from p on.
template <bool controls> inline const char* string_stop(const char* p, const char* end) {
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), last = _mm_set1_epi8(0x1f);
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        __m128i stop = _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash));
        if (controls) stop = _mm_or_si128(stop, _mm_cmpeq_epi8(_mm_min_epu8(v, last), v));
        if (int mask = _mm_movemask_epi8(stop)) return p + __builtin_ctz(static_cast<unsigned>(mask));
    }
#endif
    while (p < end && *p != '"' && *p != '\\' && (!controls || static_cast<unsigned char>(*p) > 0x1f)) ++p;
    return p;
}

inline const char* bracket_stop(const char* p, const char* end) {
#if defined(__SSE2__)
    // '[' and '{', ']' and '}' differ in one bit.
    const __m128i quote = _mm_set1_epi8('"'), open = _mm_set1_epi8('{'), close = _mm_set1_epi8('}'), bit = _mm_set1_epi8(0x20);
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), low = _mm_or_si128(v, bit);
        __m128i stop = _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_or_si128(_mm_cmpeq_epi8(low, open), _mm_cmpeq_epi8(low, close)));
        if (int mask = _mm_movemask_epi8(stop)) return p + __builtin_ctz(static_cast<unsigned>(mask));
    }
#endif
    while (p < end && *p != '"' && (*p | 0x20) != '{' && (*p | 0x20) != '}') ++p;
    return p;
}

inline bool ends_scalar(char c) { return json_space(c) || c == ',' || c == '"' || (c | 0x20) == '{' || (c | 0x20) == '}'; }

class JsonScan {
  public:
    JsonScan(PortalJsonScan& scan, const char* data, const char* end) : s(scan), data(data), p(data), end(end) {}

    // Go on to the end of the block, or (`one`) of the first record that ends in it.
    void run(bool one = false) {
        s.first = s.end = s.broken = -1;
        s.records = 0;
        while (p < end && s.broken < 0 && !(one && s.records)) step();
        if (!one) s.base += end - data;
    }

  private:
    PortalJsonScan& s;
    const char *data, *p, *end;

    int64_t here() const { return s.base + (p - data); }

    void step() {
        switch (s.state) {
            case js_escaped: ++p, s.state = js_string; return;
            case js_string: return string();
            case js_nested: return nested();
            case js_scalar:
                while (p < end && !ends_scalar(*p)) ++p;
                if (p < end) close();
                return;
            default:
                while (p < end && json_space(*p)) ++p;
                if (p < end) between(*p);
        }
    }
    void string() {
        p = string_stop<false>(p, end);
        if (p == end) return;
        if (*p++ == '\\') s.state = js_escaped;
        else if (s.depth) s.state = js_nested;
        else close();
    }
    void nested() {
        p = bracket_stop(p, end);
        if (p == end) return;
        char c = *p++;
        if (c == '"') {
            s.state = js_string;
            return;
        }
        s.depth += (c | 0x20) == '{' ? 1 : -1;
        if (!s.depth) close();
    }
    void close() {
        s.end = here(), ++s.records, s.open = -1;
        s.state = s.array ? js_after : js_record;
    }
    void expect(bool right, int32_t state) {
        if (right) ++p, s.state = state;
        else s.broken = here();
    }
    void between(char c) {
        if (s.state == js_start) return expect(c == '[', js_first);
        if (s.state == js_after) return expect(c == ',' || c == ']', c == ',' ? js_record : js_done);
        if (s.state == js_done) return expect(false, 0);
        if (s.state == js_first && c == ']') return expect(true, js_done);
        if (c == ',' || (c | 0x20) == '}') return expect(false, 0);
        s.open = here();
        if (s.first < 0) s.first = s.open;
        if ((c | 0x20) == '{') s.depth = 1, s.state = js_nested;
        else s.state = c == '"' ? js_string : js_scalar;
        ++p;
    }
};

}  // namespace portal
