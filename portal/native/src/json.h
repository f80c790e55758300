// JSON records to Arrow arrays of any nesting. A record that is not plainly what the schema says (another kind of value, an unknown name, a
// name twice, an escape in a name, half a surrogate pair, a number or text that is not canonical) is handed back as its place in the text:
// whoever reads it decides what it means. See portal/tabular/json_format.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "arrow.h"
#include "cells.h"
#include "json_scan.h"

extern "C" {
struct PortalJsonNode {
    portal::Type type;  // of a leaf
    int32_t form;       // portal::JsonForm
    int32_t takes;      // of a leaf: portal::JsonTakes
    int32_t first;      // its children among all nodes
    int32_t count;
    int32_t name_length;
    int32_t reserved;
    const char* name;  // UTF-8
};

struct PortalJsonResult {
    int64_t rows;
    int64_t n_handed;
    int64_t broken;       // where something stands between the records that may not, -1: nowhere
    ArrowArray array;     // a struct; the caller takes it over
    int64_t* handed;      // of 3 × `n_handed`: start, end, rows before it
    int64_t* long_digits; // of 2 × nodes: start and end of the first number with more than 17 digits, -1 for none
};
}

namespace portal {

enum JsonForm : int32_t { json_leaf, json_struct, json_list, json_raw };
enum JsonTakes : int32_t { takes_strings = 1, takes_numbers = 2, takes_booleans = 4, takes_nested = 8 };
enum JsonShape : int32_t { json_lines, json_array, json_sequence };

constexpr int json_deepest = 100;

// One place of the schema on its way to Arrow. Lengths can be taken back: a record counts as a whole or not at all.
class JsonColumn {
  public:
    const PortalJsonNode& node;
    std::vector<JsonColumn> children;
    int64_t length = 0;
    int64_t long_start = -1, long_end = -1;

    JsonColumn(const PortalJsonNode* nodes, int32_t at) : node(nodes[at]) {
        children.reserve(static_cast<size_t>(node.count));
        for (int32_t i = 0; i < node.count; ++i) children.emplace_back(nodes, node.first + i);
        if (node.form == json_struct && node.count > few) {
            for (int32_t i = 0; i < node.count; ++i) places.emplace(name_of(children[static_cast<size_t>(i)]), i);
        }
        if (has_offsets()) {
            values.reserve(sizeof(int32_t));
            values.as<int32_t>()[0] = 0;
        }
    }

    // The child of a name, `count` when there is none; `likely` is tried first.
    int32_t find(const char* name, size_t size, int32_t likely) const {
        if (likely < node.count && is_named(likely, name, size)) return likely;
        if (node.count > few) {
            auto found = places.find(std::string_view(name, size));
            return found == places.end() ? node.count : found->second;
        }
        for (int32_t i = 0; i < node.count; ++i) {
            if (is_named(i, name, size)) return i;
        }
        return node.count;
    }

    template <class Value> void push(Value value) {
        values.reserve(static_cast<size_t>(length + 1) * sizeof(Value));
        values.as<Value>()[length] = value;
        mark(true);
    }
    void push_null() {
        switch (node.form) {
            case json_struct:
                for (auto& child : children) child.push_null();
                break;
            case json_list: end_offset(static_cast<int32_t>(children[0].length)); break;
            case json_raw: end_offset(used()); break;
            default: push_null_leaf();
        }
        mark(false);
    }
    void push_text(const char* p, size_t n) { mark(append(p, n)); }
    bool append(const char* p, size_t n) {
        char* out = room(n);
        std::memcpy(out, p, n);
        end_offset(used() + static_cast<int32_t>(n));
        return true;
    }
    char* room(size_t n) {
        bytes.reserve(static_cast<size_t>(used()) + n);
        return bytes.as<char>() + used();
    }
    void push_written(size_t n) {
        end_offset(used() + static_cast<int32_t>(n));
        mark(true);
    }
    void push_list() {
        end_offset(static_cast<int32_t>(children[0].length));
        mark(true);
    }
    void push_struct() { mark(true); }

    void cut(int64_t to, int64_t record) {
        if (long_start >= record) long_start = long_end = -1;
        if (node.form == json_struct) {
            for (auto& child : children) child.cut(std::min(to, child.length), record);
        } else if (node.form == json_list) {
            children[0].cut(std::min<int64_t>(values.as<int32_t>()[to], children[0].length), record);
        }
        length = to;
    }

    void finish(ArrowArray* out) {
        Validity validity;
        const auto* present = valid.as<uint8_t>();
        for (int64_t i = 0; i < length; ++i) {
            if (!present[i]) validity.clear(i, length);
        }
        bool text = is_text();
        if (node.form == json_leaf && node.type.kind == Kind::boolean) pack_bits();
        if (!has_offsets() && node.form == json_leaf && values.empty()) values.reserve(0);
        if (text && bytes.empty()) bytes.reserve(0);
        if (node.form == json_struct) export_array(out, length, validity, 1, nullptr);
        else export_array(out, length, validity, text ? 3 : 2, &values, text ? &bytes : nullptr);
        try {
            finish_children(out);
        } catch (...) {
            out->release(out);
            throw;
        }
    }

    bool is_text() const { return node.form == json_raw || (node.form == json_leaf && node.type.kind == Kind::text); }

  private:
    static constexpr int32_t few = 8;
    Buffer values, bytes, valid;
    std::unordered_map<std::string_view, int32_t> places;

    static std::string_view name_of(const JsonColumn& column) { return {column.node.name, static_cast<size_t>(column.node.name_length)}; }
    bool is_named(int32_t child, const char* name, size_t size) const {
        const PortalJsonNode& other = children[static_cast<size_t>(child)].node;
        return static_cast<size_t>(other.name_length) == size && std::memcmp(other.name, name, size) == 0;
    }
    bool has_offsets() const { return node.form == json_list || is_text(); }
    int32_t used() const { return values.as<int32_t>()[length]; }
    void end_offset(int32_t end) {
        values.reserve(static_cast<size_t>(length + 2) * sizeof(int32_t));
        values.as<int32_t>()[length + 1] = end;
    }
    void mark(bool present) {
        valid.reserve(static_cast<size_t>(length) + 1);
        valid.as<uint8_t>()[length++] = present;
    }
    void push_null_leaf() {
        size_t size = node.type.kind == Kind::decimal ? 16 : node.type.kind == Kind::date ? 4 : node.type.kind == Kind::boolean ? 1 : 8;
        if (node.type.kind == Kind::integer) size = static_cast<size_t>(node.type.a / 8);
        if (node.type.kind == Kind::text) return end_offset(used());
        values.reserve(static_cast<size_t>(length + 1) * size);
        std::memset(values.as<char>() + static_cast<size_t>(length) * size, 0, size);
    }
    void pack_bits() {
        Buffer packed;
        packed.reserve(static_cast<size_t>(length + 7) / 8);
        std::memset(packed.as<uint8_t>(), 0, static_cast<size_t>(length + 7) / 8);
        for (int64_t i = 0; i < length; ++i) packed.as<uint8_t>()[i >> 3] |= static_cast<uint8_t>(values.as<uint8_t>()[i] << (i & 7));
        values = std::move(packed);
    }
    void finish_children(ArrowArray* out) {
        if (children.empty()) return;
        out->children = static_cast<ArrowArray**>(std::calloc(children.size(), sizeof(ArrowArray*)));
        if (!out->children) throw std::bad_alloc();
        for (auto& child : children) {
            auto* place = static_cast<ArrowArray*>(std::calloc(1, sizeof(ArrowArray)));
            if (!place) throw std::bad_alloc();
            out->children[out->n_children++] = place;
            child.finish(place);
        }
    }
};

inline bool hex_four(const char* p, const char* end, uint32_t& out) {
    if (end - p < 4) return false;
    out = 0;
    for (int i = 0; i < 4; ++i) {
        char c = p[i], low = static_cast<char>(c | 0x20);
        if (is_digit(c)) out = out * 16 + static_cast<uint32_t>(c - '0');
        else if (low >= 'a' && low <= 'f') out = out * 16 + static_cast<uint32_t>(low - 'a' + 10);
        else return false;
    }
    return true;
}

inline char* put_utf8(char* out, uint32_t code) {
    auto put = [&out](uint32_t byte) { *out++ = static_cast<char>(byte); };
    if (code < 0x80) return put(code), out;
    if (code < 0x800) return put(0xC0 | code >> 6), put(0x80 | (code & 0x3F)), out;
    if (code < 0x10000) return put(0xE0 | code >> 12), put(0x80 | (code >> 6 & 0x3F)), put(0x80 | (code & 0x3F)), out;
    return put(0xF0 | code >> 18), put(0x80 | (code >> 12 & 0x3F)), put(0x80 | (code >> 6 & 0x3F)), put(0x80 | (code & 0x3F)), out;
}

// Read one escape from behind its backslash; false when it is none, or half a surrogate pair.
inline bool read_escape(const char*& p, const char* end, uint32_t& code) {
    if (p == end) return false;
    switch (char c = *p++) {
        case '"': case '\\': case '/': code = static_cast<uint32_t>(c); return true;
        case 'b': code = '\b'; return true;
        case 'f': code = '\f'; return true;
        case 'n': code = '\n'; return true;
        case 'r': code = '\r'; return true;
        case 't': code = '\t'; return true;
        case 'u': break;
        default: return false;
    }
    if (!hex_four(p, end, code)) return false;
    p += 4;
    if (code < 0xD800 || code > 0xDFFF) return true;
    uint32_t low;
    if (code > 0xDBFF || end - p < 6 || p[0] != '\\' || p[1] != 'u' || !hex_four(p + 2, end, low) || low < 0xDC00 || low > 0xDFFF) return false;
    p += 6;
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    return true;
}

// Reads one record after the other. Each function returns false where the record must be handed back.
class JsonRecords {
  public:
    JsonRecords(const char* data, size_t size, const PortalJsonNode* nodes) : root(nodes, 0), data(data), limit(data + size) {}
    JsonColumn root;
    Buffer handed;
    int64_t n_handed = 0, broken = -1;

    void lines() {
        for (const char* start = data; start < limit;) {
            auto* newline = static_cast<const char*>(std::memchr(start, '\n', static_cast<size_t>(limit - start)));
            const char* next = newline ? newline + 1 : limit;
            end = newline ? newline : limit;
            while (start < end && json_space(*start)) ++start;
            while (start < end && json_space(end[-1])) --end;
            if (start < end && !(record(start) && p == end)) hand_back(start, end);
            start = next;
        }
    }
    void values(bool array) {
        end = limit;
        p = data;
        for (bool first = true;; first = false) {
            space();
            if (p == end) return;
            if (array && !first) {
                if (*p != ',') return stop(p);
                ++p, space();
            }
            const char* start = p;
            if (p == end || (!record(start) && !pass_over(start, array))) return stop(start);
        }
    }

  private:
    const char* data;
    const char* const limit;
    const char *p = nullptr, *end = nullptr;
    std::vector<std::string_view> names;
    int64_t rows_before = 0;

    void stop(const char* at) { broken = at - data; }
    void space() {
        while (p < end && json_space(*p)) ++p;
    }
    bool next_is(char c) {
        if (p < end && *p == c) return ++p, true;
        space();
        return p < end && *p == c && (++p, true);
    }

    bool record(const char* start) {
        rows_before = root.length;
        p = start;
        names.clear();
        if (*p == '{' && object(root, 1)) return true;
        root.cut(rows_before, start - data);
        return false;
    }
    void hand_back(const char* start, const char* stop) {
        if (root.length != rows_before) root.cut(rows_before, start - data);
        handed.reserve(static_cast<size_t>(n_handed + 1) * 3 * sizeof(int64_t));
        int64_t* entry = handed.as<int64_t>() + 3 * n_handed++;
        entry[0] = start - data, entry[1] = stop - data, entry[2] = root.length;
    }
    bool pass_over(const char* start, bool array) {
        PortalJsonScan scan = {array, js_record, 0, 0, -1, -1, -1, 0, -1};
        JsonScan(scan, start, limit).run(true);
        if (scan.broken >= 0 || (!scan.records && scan.open < 0)) return false;
        p = scan.records ? start + scan.end : limit;
        hand_back(start, p);
        return true;
    }

    // From behind the opening quote: the end of the text, `escaped` if it is not plain; p is behind the closing quote.
    bool plain_string(const char*& stop, bool& escaped) {
        stop = string_stop<true>(p, end);
        if (stop == end) return false;
        escaped = *stop == '\\';
        if (escaped) return true;
        if (*stop != '"') return false;
        p = stop + 1;
        return true;
    }
    bool text(JsonColumn& column) {
        const char *start = p, *stop;
        bool escaped;
        if (!plain_string(stop, escaped)) return false;
        if (!escaped) return column.push_text(start, static_cast<size_t>(stop - start)), true;
        return escaped_text(column, start, stop);
    }
    bool escaped_text(JsonColumn& column, const char* start, const char* stop) {
        size_t size = 0;
        for (p = start;; stop = string_stop<true>(p, end)) {
            size_t plain = static_cast<size_t>(stop - p);
            char* out = column.room(size + plain + 4) + size;
            std::memcpy(out, p, plain);
            size += plain;
            if (stop == end) return false;
            p = stop + 1;
            if (*stop == '"') return column.push_written(size), true;
            uint32_t code;
            if (*stop != '\\' || !read_escape(p, end, code)) return false;
            size += static_cast<size_t>(put_utf8(out + plain, code) - (out + plain));
        }
    }
    bool pass_string() {
        for (;;) {
            p = string_stop<true>(p, end);
            if (p == end) return false;
            char c = *p++;
            if (c == '"') return true;
            uint32_t code;
            if (c != '\\' || !read_escape(p, end, code)) return false;
        }
    }

    bool digits() {
        const char* start = p;
        while (p < end && is_digit(*p)) ++p;
        return p > start;
    }
    bool word(const char* letters, size_t size) {
        if (static_cast<size_t>(end - p) < size || std::memcmp(p, letters, size) != 0) return false;
        p += size;
        return true;
    }
    // A number as RFC 8259 writes it, or one of the three words that some writers add.
    bool number() {
        if (*p == 'N') return word("NaN", 3);
        if (*p == '-') ++p;
        if (p == end) return false;
        if (*p == 'I') return word("Infinity", 8);
        if (*p == '0') ++p;
        else if (!digits()) return false;
        if (p < end && *p == '.' && (++p, !digits())) return false;
        if (p < end && (*p | 0x20) == 'e') {
            ++p;
            if (p < end && (*p == '+' || *p == '-')) ++p;
            return digits();
        }
        return true;
    }

    bool object(JsonColumn& column, int depth) {
        ++p;
        if (depth > json_deepest) return false;
        int64_t row = column.length;
        int32_t seen = 0, likely = 0;
        if (!next_is('}')) {
            do {
                if (!next_is('"')) return false;
                const char *name = p, *stop;
                bool escaped;
                if (!plain_string(stop, escaped) || escaped) return false;
                int32_t found = column.find(name, static_cast<size_t>(stop - name), likely);
                if (found == column.node.count || !next_is(':')) return false;
                JsonColumn& child = column.children[static_cast<size_t>(found)];
                if (child.length != row) return false;  // a name twice
                space();
                if (p == end || !value(child, depth)) return false;
                ++seen;
                likely = found + 1;
            } while (next_is(','));
            if (!next_is('}')) return false;
        }
        if (seen < column.node.count) {
            for (auto& child : column.children) {
                if (child.length == row) child.push_null();
            }
        }
        column.push_struct();
        return true;
    }
    bool array(JsonColumn& column, int depth) {
        ++p;
        if (depth > json_deepest) return false;
        if (!next_is(']')) {
            do {
                space();
                if (p == end || !value(column.children[0], depth)) return false;
            } while (next_is(','));
            if (!next_is(']')) return false;
        }
        column.push_list();
        return true;
    }
    bool value(JsonColumn& column, int depth) {
        if (*p == 'n') return word("null", 4) && (column.push_null(), true);
        switch (column.node.form) {
            case json_struct: return *p == '{' && object(column, depth + 1);
            case json_list: return *p == '[' && array(column, depth + 1);
            case json_raw: return raw(column, depth);
            default: return leaf(column, depth);
        }
    }

    bool raw(JsonColumn& column, int depth) {
        const char* start = p;
        if (!pass(depth)) return false;
        column.push_text(start, static_cast<size_t>(p - start));
        return true;
    }
    // Pass over any value, everything in it checked.
    bool pass(int depth) {
        switch (*p) {
            case '"': return ++p, pass_string();
            case '{': return pass_object(depth + 1);
            case '[': return pass_array(depth + 1);
            case 't': return word("true", 4);
            case 'f': return word("false", 5);
            case 'n': return word("null", 4);
            default: return number();
        }
    }
    bool pass_object(int depth) {
        ++p;
        if (depth > json_deepest) return false;
        size_t base = names.size();
        if (!next_is('}')) {
            do {
                if (!next_is('"')) return false;
                const char *name = p, *stop;
                bool escaped;
                if (!plain_string(stop, escaped) || escaped) return false;
                names.emplace_back(name, static_cast<size_t>(stop - name));
                if (!next_is(':')) return false;
                space();
                if (p == end || !pass(depth)) return false;
            } while (next_is(','));
            if (!next_is('}')) return false;
        }
        auto first = names.begin() + static_cast<std::ptrdiff_t>(base);
        std::sort(first, names.end());
        if (std::adjacent_find(first, names.end()) != names.end()) return false;
        names.resize(base);
        return true;
    }
    bool pass_array(int depth) {
        ++p;
        if (depth > json_deepest) return false;
        if (next_is(']')) return true;
        do {
            space();
            if (p == end || !pass(depth)) return false;
        } while (next_is(','));
        return next_is(']');
    }

    bool leaf(JsonColumn& column, int depth) {
        int32_t takes = column.node.takes;
        bool is_text = column.node.type.kind == Kind::text;
        if (*p == '"') {
            if (!(takes & takes_strings)) return false;
            ++p;
            if (is_text) return text(column);
            const char *start = p, *stop;
            bool escaped;
            return plain_string(stop, escaped) && !escaped && typed(column, start, static_cast<size_t>(stop - start));
        }
        int32_t kind = *p == '{' || *p == '[' ? takes_nested : *p == 't' || *p == 'f' ? takes_booleans : takes_numbers;
        if (!(takes & kind)) return false;
        const char* start = p;
        if (!pass(depth)) return false;
        size_t size = static_cast<size_t>(p - start);
        return is_text ? (column.push_text(start, size), true) : typed(column, start, size);
    }
    template <class Value> bool integer(JsonColumn& column, const char* start, size_t size) {
        constexpr int bits = sizeof(Value) * 8;
        if (column.node.type.b) {
            uint64_t value;
            return read_unsigned(start, size, bits, value) && (column.push(static_cast<Value>(value)), true);
        }
        int64_t value;
        return read_signed(start, size, bits, value) && (column.push(static_cast<Value>(value)), true);
    }
    bool typed(JsonColumn& column, const char* start, size_t size) {
        const Type& type = column.node.type;
        switch (type.kind) {
            case Kind::boolean: {
                bool value;
                return read_boolean(start, size, value) && (column.push<uint8_t>(value), true);
            }
            case Kind::integer:
                if (type.a == 64) return integer<int64_t>(column, start, size);
                if (type.a == 32) return integer<int32_t>(column, start, size);
                return type.a == 16 ? integer<int16_t>(column, start, size) : integer<int8_t>(column, start, size);
            case Kind::float64: return real(column, start, size);
            case Kind::decimal: {
                __int128 value;
                return read_decimal(start, size, type.a, type.b, value) && (push_wide(column, value), true);
            }
            case Kind::date: {
                int32_t value;
                return read_date(start, size, value) && (column.push(value), true);
            }
            case Kind::timestamp: {
                int64_t value;
                return read_timestamp(start, size, type, value) && (column.push(value), true);
            }
            default: return false;
        }
    }
    bool real(JsonColumn& column, const char* start, size_t size) {
        double value;
        bool long_digits = false;
        if (!read_float(start, size, value, long_digits)) return false;
        if (long_digits && column.long_start < 0) {
            column.long_start = start - data;
            column.long_end = column.long_start + static_cast<int64_t>(size);
        }
        column.push(value);
        return true;
    }
    static void push_wide(JsonColumn& column, __int128 value) {
        struct Words {
            uint64_t low, high;
        };
        column.push(Words{static_cast<uint64_t>(value), static_cast<uint64_t>(value >> 64)});
    }
};

inline void tell_long_digits(const JsonColumn& column, const PortalJsonNode* nodes, int64_t* out) {
    auto at = &column.node - nodes;
    out[2 * at] = column.long_start, out[2 * at + 1] = column.long_end;
    for (const auto& child : column.children) tell_long_digits(child, nodes, out);
}

}  // namespace portal

extern "C" {

__attribute__((visibility("default"))) void portal_json_scan(const char* data, int64_t size, PortalJsonScan* scan) {
    portal::JsonScan(*scan, data, data + size).run();
}

__attribute__((visibility("default"))) void portal_json_free(PortalJsonResult* result) {
    if (!result) return;
    if (result->array.release) result->array.release(&result->array);
    std::free(result->handed);
    std::free(result->long_digits);
    std::free(result);
}

// Read the records of a chunk under the nodes, the first of which is the record itself. nullptr: no memory.
__attribute__((visibility("default"))) PortalJsonResult* portal_json_parse(
    const char* data, int64_t size, int32_t shape, const PortalJsonNode* nodes, int32_t n_nodes) {
    auto* result = static_cast<PortalJsonResult*>(std::calloc(1, sizeof(PortalJsonResult)));
    if (!result) return nullptr;
    try {
        portal::JsonRecords records(data, static_cast<size_t>(size), nodes);
        shape == portal::json_lines ? records.lines() : records.values(shape == portal::json_array);
        result->long_digits = static_cast<int64_t*>(std::malloc(static_cast<size_t>(n_nodes) * 2 * sizeof(int64_t)));
        if (!result->long_digits) throw std::bad_alloc();
        portal::tell_long_digits(records.root, nodes, result->long_digits);
        result->rows = records.root.length, result->n_handed = records.n_handed, result->broken = records.broken;
        records.root.finish(&result->array);
        result->handed = static_cast<int64_t*>(records.handed.give());
        return result;
    } catch (...) {
        portal_json_free(result);
        return nullptr;
    }
}

}
