// CSV text to Arrow arrays, in two steps: all cells first, then column by column. A column in which a value is not canonical comes back as
// text, whole: whoever reads it decides what it means.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow.h"
#include "cells.h"
#include "csv_tokens.h"

extern "C" {
struct PortalCsvColumn {
    portal::Type type;
    int32_t typed_nulls;  // quoted texts can mean 'no value' too
    int32_t n_words;
    const char* words;  // one after the other
    const int32_t* lengths;
};

struct PortalCsvResult {
    int64_t rows;
    int64_t n_ragged;
    int64_t trouble_place;
    int32_t trouble;  // portal::Trouble
    int32_t width;
    ArrowArray* arrays;  // of `width`; the caller takes them over
    uint8_t* as_text;    // of `width`
    int64_t* long_digits;  // of `width`: the first row with a number of more than 17 digits, -1 for none
    int64_t* starts;     // of `rows`
    int64_t* ragged;     // of 3 × `n_ragged`: start, end, cells
};
}

namespace portal {

// The texts that mean 'no value' in one column.
class NullWords {
  public:
    explicit NullWords(const PortalCsvColumn& column) : quoted(column.typed_nulls) {
        const char* word = column.words;
        for (int32_t i = 0; i < column.n_words; ++i) {
            size_t length = static_cast<size_t>(column.lengths[i]);
            words.push_back({word, length});
            if (length) first[static_cast<uint8_t>(*word)] = true;
            empty |= !length;
            word += length;
        }
    }
    const bool quoted;

    bool has(const char* p, size_t n) const {
        if (!n) return empty;
        if (!first[static_cast<uint8_t>(*p)]) return false;
        for (const auto& word : words) {
            if (same(p, n, word.start, word.length)) return true;
        }
        return false;
    }

  private:
    struct Word {
        const char* start;
        size_t length;
    };
    std::vector<Word> words;
    bool first[256] = {};
    bool empty = false;
};

// All cells of a text: those of good rows, row by row, and where the rows are.
struct Cells {
    const uint8_t* data;
    size_t size;
    PortalCsvForm form;
    int64_t width, rows = 0, n_ragged = 0;
    Buffer cells, starts, ragged;
    Trouble trouble = fine;
    size_t trouble_place = 0;

    Cells(const uint8_t* data, size_t size, const PortalCsvForm& form, int64_t width) : data(data), size(size), form(form), width(width) {}

    const Cell& at(int64_t row, int64_t column) const { return cells.as<Cell>()[row * width + column]; }
    const char* text(const Cell& cell) const { return reinterpret_cast<const char*>(data) + cell.at(); }

    // The value of an escaped cell.
    std::string plain(const Cell& cell) const {
        std::string out;
        const char *p = text(cell), *end = p + cell.size();
        for (; p < end; ++p) {
            bool escape = form.has_escape && static_cast<uint8_t>(*p) == form.escape;
            bool doubled = !escape && cell.quoted() && static_cast<uint8_t>(*p) == form.quote;
            p += (escape || doubled) && p + 1 < end;
            out.push_back(*p);
        }
        return out;
    }

    void read(bool pad) {
        Walker walker(data, size, form);
        size_t bytes = static_cast<size_t>(width) * sizeof(Cell);
        while (walker.more()) {
            size_t start = walker.place;
            cells.reserve((static_cast<size_t>(rows) + 1) * bytes);
            Cell* row = cells.as<Cell>() + rows * width;
            int64_t limit = width;
            int64_t count = walker.record([row, limit](int64_t column, const Cell& cell) {
                if (column < limit) row[column] = cell;
            });
            if (walker.trouble) {
                trouble = walker.trouble, trouble_place = walker.trouble_place;
                return;
            }
            if (pad) {
                for (; count < width; ++count) row[count] = {0, missing_cell};
            }
            count == width ? good(start) : odd(start, walker.record_end, count);
        }
    }

  private:
    void good(size_t start) {
        starts.reserve((static_cast<size_t>(rows) + 1) * sizeof(int64_t));
        starts.as<int64_t>()[rows++] = static_cast<int64_t>(start);
    }
    void odd(size_t start, size_t end, int64_t count) {
        ragged.reserve((static_cast<size_t>(n_ragged) + 1) * 3 * sizeof(int64_t));
        int64_t* entry = ragged.as<int64_t>() + 3 * n_ragged++;
        entry[0] = static_cast<int64_t>(start), entry[1] = static_cast<int64_t>(end), entry[2] = count;
    }
};

// One column on its way to Arrow, some rows at a time.
class CsvColumn {
  public:
    CsvColumn(const Cells& cells, const PortalCsvColumn& spec, int64_t column)
        : cells(cells), type(spec.type), nulls(spec), column(column), text(spec.type.kind == Kind::text) {}
    int64_t long_digits = -1;
    bool handed_back = false;

    // Read rows from `start` to `end`; after a value that is not canonical the column is left for `finish`.
    void read(int64_t start, int64_t end) {
        if (handed_back) return;
        if (text ? (read_texts(start, end), true) : read_typed(start, end)) return;
        handed_back = true;
        values = Buffer(), validity = Validity();
        long_digits = -1;
    }

    void finish(ArrowArray* out) {
        if (handed_back) {
            text = true;
            read_texts(0, cells.rows);
        }
        if (text && values.empty()) start_texts();
        if (values.empty()) values.reserve(0);
        export_array(out, cells.rows, validity, text ? 3 : 2, &values, text ? &bytes : nullptr);
    }

  private:
    const Cells& cells;
    const Type type;
    const NullWords nulls;
    const int64_t column;
    bool text;
    Buffer values, bytes;  // of a text column: offsets, and the texts
    int64_t used = 0;
    Validity validity;

    bool is_null(const Cell& cell) const {
        if (cell.missing()) return true;
        if (cell.quoted() && !nulls.quoted) return false;
        if (!cell.escaped()) return nulls.has(cells.text(cell), cell.size());
        std::string plain = cells.plain(cell);
        return nulls.has(plain.data(), plain.size()) || (!cell.quoted() && nulls.has(cells.text(cell), cell.size()));
    }

    template <class Value, class Read> bool each(int64_t start, int64_t end, Read&& read) {
        if (values.empty()) values.reserve(static_cast<size_t>(cells.rows) * sizeof(Value));
        Value* out = values.as<Value>();
        for (int64_t row = start; row < end; ++row) {
            const Cell& cell = cells.at(row, column);
            if (is_null(cell)) {
                out[row] = Value{};
                validity.clear(row, cells.rows);
            } else if (cell.escaped() || !read(cells.text(cell), cell.size(), out[row], row)) {
                return false;
            }
        }
        return true;
    }

    template <class Value> bool integers(int64_t start, int64_t end) {
        constexpr int bits = sizeof(Value) * 8;
        if (type.b) {
            return each<Value>(start, end, [](const char* p, size_t n, Value& out, int64_t) {
                uint64_t value;
                if (!read_unsigned(p, n, bits, value)) return false;
                out = static_cast<Value>(value);
                return true;
            });
        }
        return each<Value>(start, end, [](const char* p, size_t n, Value& out, int64_t) {
            int64_t value;
            if (!read_signed(p, n, bits, value)) return false;
            out = static_cast<Value>(value);
            return true;
        });
    }

    bool read_integers(int64_t start, int64_t end) {
        switch (type.a) {
            case 8: return integers<int8_t>(start, end);
            case 16: return integers<int16_t>(start, end);
            case 32: return integers<int32_t>(start, end);
            case 64: return integers<int64_t>(start, end);
            default: return false;
        }
    }

    bool read_booleans(int64_t start, int64_t end) {
        if (values.empty()) {
            size_t size = static_cast<size_t>(cells.rows + 7) / 8;
            values.reserve(size);
            std::memset(values.as<uint8_t>(), 0, size);
        }
        uint8_t* bits = values.as<uint8_t>();
        for (int64_t row = start; row < end; ++row) {
            const Cell& cell = cells.at(row, column);
            bool value = false;
            if (is_null(cell)) {
                validity.clear(row, cells.rows);
            } else if (cell.escaped() || !read_boolean(cells.text(cell), cell.size(), value)) {
                return false;
            }
            bits[row >> 3] |= static_cast<uint8_t>(value << (row & 7));
        }
        return true;
    }

    bool read_typed(int64_t start, int64_t end) {
        const Type& t = type;
        switch (t.kind) {
            case Kind::boolean: return read_booleans(start, end);
            case Kind::integer: return read_integers(start, end);
            case Kind::float64:
                return each<double>(start, end, [this](const char* p, size_t n, double& out, int64_t row) {
                    bool many = false;
                    if (!read_float(p, n, out, many)) return false;
                    if (many && long_digits < 0) long_digits = row;
                    return true;
                });
            case Kind::decimal:
                return each<__int128>(start, end, [&t](const char* p, size_t n, __int128& out, int64_t) { return read_decimal(p, n, t.a, t.b, out); });
            case Kind::date:
                return each<int32_t>(start, end, [](const char* p, size_t n, int32_t& out, int64_t) { return read_date(p, n, out); });
            case Kind::timestamp:
                return each<int64_t>(start, end, [&t](const char* p, size_t n, int64_t& out, int64_t) { return read_timestamp(p, n, t, out); });
            default: return false;
        }
    }

    void start_texts() {
        values.reserve((static_cast<size_t>(cells.rows) + 1) * sizeof(int32_t));
        values.as<int32_t>()[0] = 0;
        bytes.reserve(0);
    }

    void read_texts(int64_t start, int64_t end) {
        if (values.empty()) start_texts();
        int32_t* offsets = values.as<int32_t>();
        size_t needed = 0;
        for (int64_t row = start; row < end; ++row) needed += cells.at(row, column).missing() ? 0 : cells.at(row, column).size();
        bytes.reserve(static_cast<size_t>(used) + needed);
        for (int64_t row = start; row < end; ++row) {
            const Cell& cell = cells.at(row, column);
            if (is_null(cell)) {
                validity.clear(row, cells.rows);
            } else {
                used += put(cell, bytes.as<char>() + used);
            }
            offsets[row + 1] = static_cast<int32_t>(used);
        }
    }

    // Copy a value. Short ones are copied in one piece of 16 bytes: the buffer has room behind its end, the source is looked at.
    int64_t put(const Cell& cell, char* to) const {
        size_t length = cell.size();
        if (cell.escaped()) {
            std::string plain = cells.plain(cell);
            std::memcpy(to, plain.data(), plain.size());
            return static_cast<int64_t>(plain.size());
        }
        if (length <= 16 && cells.size - cell.at() >= 16) {
            std::memcpy(to, cells.text(cell), 16);
        } else {
            std::memcpy(to, cells.text(cell), length);
        }
        return static_cast<int64_t>(length);
    }
};

template <class T> T* new_array(size_t count) {
    void* made = std::calloc(count ? count : 1, sizeof(T));
    if (!made) throw std::bad_alloc();
    return static_cast<T*>(made);
}

inline void free_result(PortalCsvResult* result) {
    for (int32_t i = 0; result->arrays && i < result->width; ++i) {
        if (result->arrays[i].release) result->arrays[i].release(&result->arrays[i]);
    }
    std::free(result->arrays), std::free(result->as_text), std::free(result->long_digits);
    std::free(result->starts), std::free(result->ragged), std::free(result);
}

struct FreeResult {
    void operator()(PortalCsvResult* result) const { free_result(result); }
};

constexpr int64_t rows_at_once = 512;  // their text and cells stay in the nearest caches while all columns are read

inline PortalCsvResult* parse_csv(const uint8_t* data, size_t size, const PortalCsvForm& form, const PortalCsvColumn* specs, int32_t width, bool pad) {
    std::unique_ptr<PortalCsvResult, FreeResult> result(new_array<PortalCsvResult>(1));
    Cells cells(data, size, form, width);
    cells.read(pad);
    std::vector<CsvColumn> columns;
    columns.reserve(static_cast<size_t>(width));
    for (int32_t i = 0; i < width; ++i) columns.emplace_back(cells, specs[i], i);
    for (int64_t row = 0; row < cells.rows; row += rows_at_once) {
        int64_t end = cells.rows - row < rows_at_once ? cells.rows : row + rows_at_once;
        for (CsvColumn& column : columns) column.read(row, end);
    }
    result->width = width;
    result->arrays = new_array<ArrowArray>(static_cast<size_t>(width));
    result->as_text = new_array<uint8_t>(static_cast<size_t>(width));
    result->long_digits = new_array<int64_t>(static_cast<size_t>(width));
    for (int32_t i = 0; i < width; ++i) {
        CsvColumn& column = columns[static_cast<size_t>(i)];
        column.finish(&result->arrays[i]);
        result->as_text[i] = column.handed_back;
        result->long_digits[i] = column.long_digits;
    }
    result->rows = cells.rows, result->n_ragged = cells.n_ragged;
    result->trouble = cells.trouble, result->trouble_place = static_cast<int64_t>(cells.trouble_place);
    result->starts = static_cast<int64_t*>(cells.starts.give());
    result->ragged = static_cast<int64_t*>(cells.ragged.give());
    return result.release();
}

}  // namespace portal

extern "C" {

// Set `end` behind the last whole record and return how many there are.
PORTAL_EXPORT int64_t portal_csv_whole(const uint8_t* data, int64_t size, const PortalCsvForm* form, int32_t final, int64_t* end) {
    portal::Splitter splitter(data, static_cast<size_t>(size), *form, final != 0);
    splitter.run();
    *end = static_cast<int64_t>(splitter.end);
    return splitter.records;
}

// Return a result for `portal_csv_free`, or nullptr when there is not enough memory. `size` is below 2^31 - 1.
PORTAL_EXPORT PortalCsvResult* portal_csv_parse(
    const uint8_t* data, int64_t size, const PortalCsvForm* form, const PortalCsvColumn* specs, int32_t width, int32_t pad) {
    try {
        if (size < 0 || size >= portal::missing_cell || width < 0) return nullptr;
        return portal::parse_csv(data, static_cast<size_t>(size), *form, specs, width, pad != 0);
    } catch (...) {
        return nullptr;
    }
}

// Free a result, and those of its arrays that nobody took over.
PORTAL_EXPORT void portal_csv_free(PortalCsvResult* result) {
    portal::free_result(result);
}
}
