// CSV text to Arrow arrays, some hundred rows at a time: first all their cells, then column by column. A column in which a value is not
// canonical comes back as text, whole: whoever reads it decides what it means.
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
            if (length > longest) longest = length;
            word += length;
        }
    }
    const bool quoted;
    size_t longest = 0;

    PORTAL_HOT bool has(const char* p, size_t n) const {
        if (!n) return empty;
        return first[static_cast<uint8_t>(*p)] && is_word(p, n);
    }

  private:
    bool is_word(const char* p, size_t n) const {
        for (const auto& word : words) {
            if (same(p, n, word.start, word.length)) return true;
        }
        return false;
    }

    struct Word {
        const char* start;
        size_t length;
    };
    std::vector<Word> words;
    bool first[256] = {};
    bool empty = false;
};

// Some rows of a text, cell by cell: few enough to stay in the nearest caches while all columns are read.
struct Block {
    const uint8_t* data;
    size_t size;  // of the whole text
    PortalCsvForm form;
    int64_t width;
    int64_t limit;  // rows
    Buffer cells;
    int64_t first = 0, rows = 0;
    size_t place = 0;  // how much of the text was walked over

    Block(const uint8_t* data, size_t size, const PortalCsvForm& form, int64_t width)
        : data(data), size(size), form(form), width(width), limit(cells_at_once / (width + 1) + 1) {
        cells.reserve(static_cast<size_t>(limit * width) * sizeof(Cell));
    }

    const Cell* column(int64_t number) const { return cells.as<Cell>() + number; }
    const char* text(const Cell& cell) const { return reinterpret_cast<const char*>(data) + cell.at(); }

    // What something that is `used` so far will be at the end, if it goes on so; a little more.
    size_t expected(size_t used) const {
        double share = place ? static_cast<double>(size) / static_cast<double>(place) : 1;
        return used + static_cast<size_t>(static_cast<double>(used) * (share - 1) * 1.05);
    }

    // Write the value of an escaped cell, which is shorter than its text; returns its size.
    size_t unescape(const Cell& cell, char* to) const {
        const char *p = text(cell), *end = p + cell.size(), *start = to;
        const char quote = static_cast<char>(form.quote), escape = static_cast<char>(form.has_escape ? form.escape : form.quote);
        const bool doubled = cell.quoted();
        while (p < end) {
            if ((*p == escape || (doubled && *p == quote)) && p + 1 < end) ++p;
            *to++ = *p++;
        }
        return static_cast<size_t>(to - start);
    }

  private:
    static constexpr int64_t cells_at_once = 8192;
};

// What is told of the rows besides their values.
struct Places {
    Buffer starts, ragged;
    int64_t n_ragged = 0;
    Trouble trouble = fine;
    size_t trouble_place = 0;
};

// Hands out the rows of a text block by block. Records with another number of values are left out.
class Rows {
  public:
    Rows(Block& block, bool pad) : block(block), pad(pad), walker(block.data, block.size, block.form) {}

    // Fill the block with further rows; false when there are none. `places` is told of them, unless it is nullptr.
    bool next(Places* places) {
        block.first += block.rows, block.rows = 0;
        while (block.rows < block.limit && !walker.trouble && walker.more()) record(places);
        block.place = walker.place;
        return block.rows > 0;
    }

  private:
    Block& block;
    const bool pad;
    Walker walker;

    void record(Places* places) {
        size_t start = walker.place;
        const int64_t width = block.width;
        Cell* row = block.cells.as<Cell>() + block.rows * width;
        int64_t count = walker.record([row, width](int64_t column, const Cell& cell) {
            if (column < width) row[column] = cell;
        });
        if (walker.trouble) {
            if (places) places->trouble = walker.trouble, places->trouble_place = walker.trouble_place;
            return;
        }
        if (pad) {
            for (; count < width; ++count) row[count] = {0, missing_cell};
        }
        if (count == width) {
            if (places) good(*places, start);
            ++block.rows;
        } else if (places) {
            odd(*places, start, count);
        }
    }

    void good(Places& places, size_t start) {
        size_t row = static_cast<size_t>(block.first + block.rows);
        places.starts.reserve((row + 1) * sizeof(int64_t));
        places.starts.as<int64_t>()[row] = static_cast<int64_t>(start);
    }

    void odd(Places& places, size_t start, int64_t count) {
        places.ragged.reserve((static_cast<size_t>(places.n_ragged) + 1) * 3 * sizeof(int64_t));
        int64_t* entry = places.ragged.as<int64_t>() + 3 * places.n_ragged++;
        entry[0] = static_cast<int64_t>(start), entry[1] = static_cast<int64_t>(walker.record_end), entry[2] = count;
    }
};

// One column on its way to Arrow, block by block.
class CsvColumn {
  public:
    CsvColumn(const PortalCsvColumn& spec, int64_t column) : type(spec.type), nulls(spec), column(column), is_text(spec.type.kind == Kind::text) {}
    int64_t long_digits = -1;
    bool handed_back = false;

    // Read a block. After a value that is not canonical nothing more is read, and the column waits for `read_again`.
    void read(const Block& block) {
        if (handed_back) return;
        if (is_text) {
            read_texts(block);
        } else if (!read_typed(block)) {
            handed_back = true;
            values = Buffer(), validity = Validity();
            long_digits = -1;
        }
    }
    // The same for a column that was handed back: as text, from the first block on.
    void read_again(const Block& block) {
        is_text = true;
        read_texts(block);
    }

    void finish(ArrowArray* out, int64_t rows) {
        is_text |= handed_back;
        if (values.empty()) {
            values.reserve(sizeof(int64_t));
            *values.as<int64_t>() = 0;
        }
        if (is_text) bytes.reserve(1);
        export_array(out, rows, validity, is_text ? 3 : 2, &values, is_text ? &bytes : nullptr);
    }

  private:
    Type type;
    NullWords nulls;
    int64_t column;
    bool is_text;
    Buffer values, bytes;  // of a text column: offsets, and the texts
    size_t used = 0;
    Validity validity;

    PORTAL_HOT bool is_null(const Block& block, const Cell& cell) const {
        if ((cell.start | cell.length) < flag - 1) return nulls.has(block.text(cell), cell.length);
        return is_odd_null(block, cell);
    }
    // The same for one that is quoted, escaped or missing.
    bool is_odd_null(const Block& block, const Cell& cell) const {
        if (cell.missing()) return true;
        if (cell.quoted() && !nulls.quoted) return false;
        if (!cell.escaped()) return nulls.has(block.text(cell), cell.size());
        if (cell.size() > 2 * nulls.longest) return false;
        std::string plain(cell.size(), '\0');
        plain.resize(block.unescape(cell, &plain[0]));
        return nulls.has(plain.data(), plain.size()) || (!cell.quoted() && nulls.has(block.text(cell), cell.size()));
    }

    void reserve(Buffer& buffer, const Block& block, size_t bytes_needed) {
        if (!buffer.holds(bytes_needed)) buffer.reserve(block.expected(bytes_needed));
    }

    // Call `read(text, length, row, value)` for each cell that is there.
    template <class Read, class Store> bool each(const Block& block, Read&& read, Store&& store) {
        const Cell* cell = block.column(column);
        for (int64_t row = block.first, end = row + block.rows; row < end; ++row, cell += block.width) {
            if (is_null(block, *cell)) {
                store(row);
                validity.clear(row, static_cast<int64_t>(block.expected(static_cast<size_t>(end))));
            } else if (cell->escaped() || !read(block.text(*cell), cell->size(), row)) {
                return false;
            }
        }
        return true;
    }

    template <class Value, class Read> bool numbers(const Block& block, Read&& read) {
        reserve(values, block, static_cast<size_t>(block.first + block.rows) * sizeof(Value));
        Value* out = values.as<Value>();
        return each(block, [out, &read](const char* p, size_t n, int64_t row) { return read(p, n, out[row], row); }, [out](int64_t row) { out[row] = Value{}; });
    }

    template <class Value> bool integers(const Block& block) {
        constexpr int bits = sizeof(Value) * 8;
        if (type.b) {
            return numbers<Value>(block, [](const char* p, size_t n, Value& out, int64_t) {
                uint64_t value;
                if (!read_unsigned(p, n, bits, value)) return false;
                out = static_cast<Value>(value);
                return true;
            });
        }
        return numbers<Value>(block, [](const char* p, size_t n, Value& out, int64_t) {
            int64_t value;
            if (!read_signed(p, n, bits, value)) return false;
            out = static_cast<Value>(value);
            return true;
        });
    }

    bool read_integers(const Block& block) {
        switch (type.a) {
            case 8: return integers<int8_t>(block);
            case 16: return integers<int16_t>(block);
            case 32: return integers<int32_t>(block);
            case 64: return integers<int64_t>(block);
            default: return false;
        }
    }

    bool read_booleans(const Block& block) {
        reserve(values, block, static_cast<size_t>(block.first + block.rows + 7) / 8);
        uint8_t* bits = values.as<uint8_t>();
        auto put = [bits](int64_t row, bool value) {
            if (!(row & 7)) bits[row >> 3] = 0;
            bits[row >> 3] |= static_cast<uint8_t>(value << (row & 7));
        };
        return each(
            block,
            [&put](const char* p, size_t n, int64_t row) {
                bool value;
                if (!read_boolean(p, n, value)) return false;
                put(row, value);
                return true;
            },
            [&put](int64_t row) { put(row, false); });
    }

    bool read_floats(const Block& block) {
        return numbers<double>(block, [this](const char* p, size_t n, double& out, int64_t row) {
            bool many = false;
            if (!read_float(p, n, out, many)) return false;
            if (many && long_digits < 0) long_digits = row;
            return true;
        });
    }

    bool read_typed(const Block& block) {
        const Type& t = type;
        switch (t.kind) {
            case Kind::boolean: return read_booleans(block);
            case Kind::integer: return read_integers(block);
            case Kind::float64: return read_floats(block);
            case Kind::decimal:
                return numbers<__int128>(block, [&t](const char* p, size_t n, __int128& out, int64_t) { return read_decimal(p, n, t.a, t.b, out); });
            case Kind::date: return numbers<int32_t>(block, [](const char* p, size_t n, int32_t& out, int64_t) { return read_date(p, n, out); });
            case Kind::timestamp:
                return numbers<int64_t>(block, [&t](const char* p, size_t n, int64_t& out, int64_t) { return read_timestamp(p, n, t, out); });
            default: return false;
        }
    }

    void read_texts(const Block& block) {
        const Cell *cell = block.column(column), *end = cell + block.rows * block.width;
        size_t needed = used;
        for (const Cell* c = cell; c < end; c += block.width) needed += c->missing() ? 0 : c->size();
        reserve(bytes, block, needed);
        reserve(values, block, static_cast<size_t>(block.first + block.rows + 1) * sizeof(int32_t));
        int32_t* offset = values.as<int32_t>() + block.first;
        *offset = static_cast<int32_t>(used);
        for (int64_t row = block.first; cell < end; ++row, cell += block.width) {
            if (is_null(block, *cell)) {
                validity.clear(row, static_cast<int64_t>(block.expected(static_cast<size_t>(block.first + block.rows))));
            } else {
                used += put(block, *cell, bytes.as<char>() + used);
            }
            *++offset = static_cast<int32_t>(used);
        }
    }

    // Copy a value, a short one in pieces of a fixed size: the buffer has room behind its end, and the text is looked at.
    static size_t put(const Block& block, const Cell& cell, char* to) {
        size_t length = cell.size();
        if (cell.escaped()) return block.unescape(cell, to);
        const char* from = block.text(cell);
        if (length > 64 || block.size - cell.at() < 64) {
            std::memcpy(to, from, length);
            return length;
        }
        std::memcpy(to, from, 16);
        if (length > 16) std::memcpy(to + 16, from + 16, 16);
        if (length > 32) std::memcpy(to + 32, from + 32, 32);
        return length;
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

// Walk over the text once more for the columns that were handed back.
inline void read_again(Block& block, std::vector<CsvColumn>& columns, bool pad) {
    std::vector<CsvColumn*> left;
    for (CsvColumn& column : columns) {
        if (column.handed_back) left.push_back(&column);
    }
    if (left.empty()) return;
    block.first = block.rows = 0;
    Rows rows(block, pad);
    while (rows.next(nullptr)) {
        for (CsvColumn* column : left) column->read_again(block);
    }
}

inline PortalCsvResult* parse_csv(const uint8_t* data, size_t size, const PortalCsvForm& form, const PortalCsvColumn* specs, int32_t width, bool pad) {
    std::unique_ptr<PortalCsvResult, FreeResult> result(new_array<PortalCsvResult>(1));
    std::vector<CsvColumn> columns;
    columns.reserve(static_cast<size_t>(width));
    for (int32_t i = 0; i < width; ++i) columns.emplace_back(specs[i], i);
    Places places;
    Block block(data, size, form, width);
    Rows rows(block, pad);
    while (rows.next(&places)) {
        for (CsvColumn& column : columns) column.read(block);
    }
    int64_t count = block.first;
    read_again(block, columns, pad);
    result->width = width;
    result->arrays = new_array<ArrowArray>(static_cast<size_t>(width));
    result->as_text = new_array<uint8_t>(static_cast<size_t>(width));
    result->long_digits = new_array<int64_t>(static_cast<size_t>(width));
    for (size_t i = 0; i < columns.size(); ++i) {
        columns[i].finish(&result->arrays[i], count);
        result->as_text[i] = columns[i].handed_back;
        result->long_digits[i] = columns[i].long_digits;
    }
    result->rows = count, result->n_ragged = places.n_ragged;
    result->trouble = places.trouble, result->trouble_place = static_cast<int64_t>(places.trouble_place);
    result->starts = static_cast<int64_t*>(places.starts.give());
    result->ragged = static_cast<int64_t*>(places.ragged.give());
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
