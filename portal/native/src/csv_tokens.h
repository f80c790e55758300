// CSV text to cells. RFC 4180 as Python's csv module reads it in strict mode: a quote means something only where a value begins, doubled
// quotes stand for one, records end with \n, \r\n or \r. Only ASCII bytes are looked for, so that characters of UTF-8 are never cut.
#pragma once

#include <cstdint>
#include <cstring>

#include "arrow.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#endif

extern "C" struct PortalCsvForm {
    uint8_t delimiter, quote, escape, comment;
    uint8_t has_quote, has_escape, has_comment, trim;
};

namespace portal {

// One bit for each of 64 bytes: whether it is one of the four.
#if defined(__SSE2__)
inline uint64_t find_64(const uint8_t* p, uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    const __m128i va = _mm_set1_epi8(static_cast<char>(a)), vb = _mm_set1_epi8(static_cast<char>(b));
    const __m128i vc = _mm_set1_epi8(static_cast<char>(c)), vd = _mm_set1_epi8(static_cast<char>(d));
    uint64_t found = 0;
    for (int i = 0; i < 4; ++i) {
        __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i * 16));
        __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, va), _mm_cmpeq_epi8(v, vb)), _mm_or_si128(_mm_cmpeq_epi8(v, vc), _mm_cmpeq_epi8(v, vd)));
        found |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(hit))) << (i * 16);
    }
    return found;
}
#elif defined(__aarch64__) && defined(__ARM_NEON)
inline uint64_t find_64(const uint8_t* p, uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    const uint8x16_t va = vdupq_n_u8(a), vb = vdupq_n_u8(b), vc = vdupq_n_u8(c), vd = vdupq_n_u8(d);
    const uint8x16_t place = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t hit[4];
    for (int i = 0; i < 4; ++i) {
        uint8x16_t v = vld1q_u8(p + i * 16);
        hit[i] = vandq_u8(vorrq_u8(vorrq_u8(vceqq_u8(v, va), vceqq_u8(v, vb)), vorrq_u8(vceqq_u8(v, vc), vceqq_u8(v, vd))), place);
    }
    uint8x16_t sums = vpaddq_u8(vpaddq_u8(hit[0], hit[1]), vpaddq_u8(hit[2], hit[3]));
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(sums, sums)), 0);
}
#else
inline uint64_t find_64(const uint8_t* p, uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    uint64_t found = 0;
    for (int i = 0; i < 64; ++i) found |= static_cast<uint64_t>(p[i] == a || p[i] == b || p[i] == c || p[i] == d) << i;
    return found;
}
#endif

// Finds the next of four bytes in a text, 64 at a time. Places must be asked for in growing order.
class Finder {
  public:
    Finder(const uint8_t* data, size_t size, uint8_t a, uint8_t b, uint8_t c, uint8_t d) : data(data), size(size), a(a), b(b), c(c), d(d) {
        found = size ? look() : 0;
    }
    // The first place from `place` on; the text's size when there is none.
    size_t next(size_t place) {
        if (place >= size) return size;
        if (place - base >= 64) base = place & ~size_t{63}, found = look();
        uint64_t left = found & (~uint64_t{0} << (place - base));
        while (!left) {
            if (size - base <= 64) return size;
            base += 64;
            left = found = look();
        }
        return base + static_cast<size_t>(__builtin_ctzll(left));
    }

  private:
    const uint8_t* data;
    size_t size, base = 0;
    uint8_t a, b, c, d;
    uint64_t found;

    uint64_t look() const {
        if (size - base >= 64) return find_64(data + base, a, b, c, d);
        uint8_t tail[64] = {};
        size_t left = size - base;
        std::memcpy(tail, data + base, left);
        return find_64(tail, a, b, c, d) & ((uint64_t{1} << left) - 1);
    }
};

// What a cell's text needs before it is a value.
constexpr uint32_t flag = uint32_t{1} << 31, missing_cell = flag - 1;

struct Cell {
    uint32_t start;   // the flag: escapes or doubled quotes are in the text
    uint32_t length;  // the flag: the value was quoted; missing_cell: the record was too short
    bool escaped() const { return start & flag; }
    bool quoted() const { return length & flag; }
    size_t at() const { return start & ~flag; }
    size_t size() const { return length & ~flag; }
    bool missing() const { return length == missing_cell; }
};

enum Trouble : int32_t { fine = 0, never_closed = 1, text_after_quote = 2, nothing_escaped = 3 };

// Walks over the records of a text. Its size must be below missing_cell.
class Walker {
  public:
    Walker(const uint8_t* data, size_t size, const PortalCsvForm& form)
        : data(data), size(size), form(form), finder(data, size, form.delimiter, '\n', '\r', form.has_escape ? form.escape : form.delimiter) {}

    size_t place = 0;           // where the next record starts
    size_t record_end = 0;      // where the last one ended, without its line end
    Trouble trouble = fine;     // why no further record can be told
    size_t trouble_place = 0;

    // Pass over blank lines and comments. False: there is no further record.
    bool more() {
        while (place < size) {
            uint8_t c = data[place];
            if (c == '\n' || c == '\r') {
                ++place;
            } else if (form.has_comment && c == form.comment) {
                while (place < size && data[place] != '\n' && data[place] != '\r') ++place;
            } else {
                return true;
            }
        }
        return false;
    }

    // Walk over one record: `take(column, cell)` for each value. Returns how many there were; false in `trouble` when it is broken.
    template <class Take> int64_t record(Take&& take) {
        int64_t column = 0;
        for (;; ++column) {
            Cell cell;
            size_t end = value(cell);
            if (trouble) return column;
            take(column, cell);
            if (end < size && data[end] == form.delimiter) {
                place = end + 1;
                continue;
            }
            record_end = end;
            place = end + (end < size) + (end + 1 < size && data[end] == '\r' && data[end + 1] == '\n');
            return column + 1;
        }
    }

  private:
    const uint8_t* data;
    size_t size;
    PortalCsvForm form;
    Finder finder;

    bool is_blank(uint8_t c) const { return (c == ' ' || c == '\t') && c != form.delimiter; }
    bool ends_value(size_t at) const { return at == size || data[at] == form.delimiter || data[at] == '\n' || data[at] == '\r'; }
    static Cell cell_of(size_t start, size_t end, bool escaped, bool quoted) {
        return {static_cast<uint32_t>(start) | (escaped ? flag : 0), static_cast<uint32_t>(end - start) | (quoted ? flag : 0)};
    }

    // The value at `place`; returns where it ends: at a delimiter, a line end or the end of the text.
    size_t value(Cell& cell) {
        size_t start = place;
        if (form.trim) {
            while (start < size && is_blank(data[start])) ++start;
        }
        if (form.has_quote && start < size && data[start] == form.quote) return quoted(start + 1, cell);
        size_t end = finder.next(start);
        if (form.has_escape && end < size && data[end] == form.escape) return escaped(start, end, cell);
        cell = cell_of(start, form.trim ? trimmed(start, end) : end, false, false);
        return end;
    }

    size_t trimmed(size_t start, size_t end) const {
        while (end > start && is_blank(data[end - 1])) --end;
        return end;
    }

    size_t fail(Trouble why, size_t where) {
        trouble = why, trouble_place = where;
        return size;
    }

    // An unquoted value with an escape at `end`.
    size_t escaped(size_t start, size_t end, Cell& cell) {
        size_t kept = start;
        while (end < size && data[end] == form.escape) {
            if (end + 1 == size) return fail(nothing_escaped, end);
            kept = end + 2;
            end = finder.next(kept);
        }
        cell = cell_of(start, form.trim ? trimmed(kept, end) : end, true, false);
        return end;
    }

    // A quoted value whose text begins at `start`.
    size_t quoted(size_t start, Cell& cell) {
        bool special = false;
        for (size_t at = start;;) {
            at = next_quote(at);
            if (at == size) return fail(never_closed, start - 1);
            if (data[at] != form.quote) {  // an escape
                if (at + 1 == size) return fail(never_closed, start - 1);
                special = true, at += 2;
                continue;
            }
            if (at + 1 < size && data[at + 1] == form.quote) {
                special = true, at += 2;
                continue;
            }
            cell = cell_of(start, at, special, true);
            size_t end = at + 1;
            if (form.trim) {
                while (end < size && is_blank(data[end])) ++end;
            }
            return ends_value(end) ? end : fail(text_after_quote, end);
        }
    }

    size_t next_quote(size_t at) const {
        uint8_t other = form.has_escape ? form.escape : form.quote;
        // Most values are short.
        for (size_t limit = size - at > 16 ? at + 16 : size; at < limit; ++at) {
            if (data[at] == form.quote || data[at] == other) return at;
        }
        for (; size - at >= 64; at += 64) {
            if (uint64_t found = find_64(data + at, form.quote, other, form.quote, other)) return at + static_cast<size_t>(__builtin_ctzll(found));
        }
        while (at < size && data[at] != form.quote && data[at] != other) ++at;
        return at;
    }
};

// Where the last whole record of a text ends, and how many there are. Without `final` more text may follow.
class Splitter {
  public:
    Splitter(const uint8_t* data, size_t size, const PortalCsvForm& form, bool final)
        : data(data), size(size), form(form), final(final),
          finder(data, size, '\n', '\r', form.has_quote ? form.quote : '\n', form.has_escape ? form.escape : '\n') {}

    size_t end = 0;
    int64_t records = 0;

    void run() {
        size_t place = 0;
        while (place < size) {
            uint8_t c = data[place];
            bool blank = c == '\n' || c == '\r', comment = form.has_comment && c == form.comment;
            size_t at = blank ? place : comment ? line_end(place) : record_end(place);
            if (!final && (at == size || (data[at] == '\r' && at + 1 == size))) return;
            place = at + (at < size) + (at + 1 < size && data[at] == '\r' && data[at + 1] == '\n');
            records += !blank && !comment;
            end = place;
        }
    }

  private:
    const uint8_t* data;
    size_t size;
    PortalCsvForm form;
    bool final;
    Finder finder;

    bool is_blank(uint8_t c) const { return (c == ' ' || c == '\t') && c != form.delimiter; }

    size_t line_end(size_t at) const {
        while (at < size && data[at] != '\n' && data[at] != '\r') ++at;
        return at;
    }

    // Where the record from `start` on ends: at its line end, or at the end of the text.
    size_t record_end(size_t start) {
        size_t literal = start;  // what stands before this place opens no value: it is escaped, or the inside of quotes
        for (size_t at = finder.next(start); at < size; at = finder.next(at)) {
            uint8_t c = data[at];
            if (c == '\n' || c == '\r') return at;
            if (form.has_escape && c == form.escape) {
                at += 2, literal = at;
            } else if (opens(start, literal, at)) {
                at = closing(at + 1), literal = at;
            } else {
                ++at;
            }
        }
        return size;
    }

    bool opens(size_t start, size_t literal, size_t at) const {
        if (form.trim) {
            while (at > literal && is_blank(data[at - 1])) --at;
        }
        return at == start || (at > literal && data[at - 1] == form.delimiter);
    }

    // The place behind the quote that closes a value.
    size_t closing(size_t at) {
        for (at = finder.next(at); at < size; at = finder.next(at)) {
            uint8_t c = data[at];
            if (form.has_escape && c == form.escape) {
                at += 2;
            } else if (c != form.quote) {
                ++at;
            } else if (at + 1 < size && data[at + 1] == form.quote) {
                at += 2;
            } else {
                return at + 1;
            }
        }
        return size;
    }
};

}  // namespace portal
