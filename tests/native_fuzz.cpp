// Feeds the kernel with hostile CSV under the sanitizers: texts made of what means something, in memory that ends where they end.
// Arguments: a seed, the number of texts. Ends with 0 when nothing was found.
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "kernel.cpp"

namespace {

using portal::Kind;

std::mt19937_64 chance;

size_t below(size_t limit) { return static_cast<size_t>(chance() % limit); }

const char* const pieces[] = {
    ",", ",", ",", ";", "\n", "\n", "\r", "\r\n", "\"", "\"", "\"\"", "\"a\"", "\\", "\\\"", "\\\n", "#", " ", "\t", "a", "é", "NA", "null", "\\N", "0", "-1", "007", "12.5",
    "1e5", "-1e-400", "1e400", "0.1234567890123456789", "9223372036854775807", "-9223372036854775808", "18446744073709551616", "12345678", "0.12345678", "0.1234567812345678",
    "NaN", "-Infinity", "true", "FALSE", "2024-02-29", "2023-02-29", "0000-01-01", "9999-12-31T23:59:59.999999999Z", "1969-12-31 23:59:59.5-00:30", "2024-01-01T00:00+0530",
    "1677-09-21T00:12:43.145224193", "99999999999999999999999999999999999999", "-0.00", ".", "-", "e", "", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
};

std::string text() {
    std::string out;
    for (size_t left = below(8) ? below(40) : below(below(20) ? 3000 : 60000); left; --left) {
        size_t which = below(sizeof(pieces) / sizeof(*pieces) + 2);
        if (which < sizeof(pieces) / sizeof(*pieces)) {
            out += pieces[which];
        } else if (which % 2) {
            out.push_back(static_cast<char>(below(256)));
        } else {
            out.append(below(200), static_cast<char>('0' + below(10)));
        }
    }
    return out;
}

PortalCsvForm form() {
    PortalCsvForm made{static_cast<uint8_t>(",;\t"[below(3)]), '"', '\\', '#', 1, below(3) == 0, below(3) == 0, below(3) == 0};
    made.has_quote = below(5) != 0;
    return made;
}

const int32_t lengths[] = {0, 2, 4, 2};

PortalCsvColumn column() {
    static const portal::Type types[] = {
        {Kind::text, 0, 0, 0}, {Kind::boolean, 0, 0, 0}, {Kind::integer, 8, 0, 0}, {Kind::integer, 16, 1, 0}, {Kind::integer, 32, 0, 0}, {Kind::integer, 64, 0, 0},
        {Kind::integer, 64, 1, 0}, {Kind::float64, 0, 0, 0}, {Kind::decimal, 38, 10, 0}, {Kind::decimal, 3, 3, 0}, {Kind::date, 0, 0, 0}, {Kind::timestamp, 9, 0, 0},
        {Kind::timestamp, 6, 0, 2}, {Kind::timestamp, 0, -330, 1}, {Kind::unread, 0, 0, 0},
    };
    return {types[below(sizeof(types) / sizeof(*types))], static_cast<int32_t>(below(2)), static_cast<int32_t>(below(5)), "NAnull\\N", lengths};
}

void fail(const char* what) {
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

// Read every byte that an array says it has, so that the sanitizer sees whether it is there.
void touch(const ArrowArray& array, const PortalCsvColumn& spec, bool as_text) {
    volatile uint64_t sum = 0;
    auto* bits = static_cast<const uint8_t*>(array.buffers[0]);
    int64_t missing = 0;
    for (int64_t i = 0; bits && i < array.length; ++i) missing += !(bits[i >> 3] >> (i & 7) & 1);
    if (missing != array.null_count) fail("the number of nulls is wrong");
    if (spec.type.kind == Kind::text || as_text) {
        auto* offsets = static_cast<const int32_t*>(array.buffers[1]);
        auto* bytes = static_cast<const uint8_t*>(array.buffers[2]);
        if (offsets[0] != 0) fail("the first offset is not 0");
        for (int64_t i = 0; i < array.length; ++i) {
            if (offsets[i + 1] < offsets[i]) fail("the offsets fall");
        }
        for (int32_t i = 0; i < offsets[array.length]; ++i) sum = sum + bytes[i];
        return;
    }
    static const size_t sizes[] = {0, 0, 0, 8, 16, 4, 8, 0};
    size_t size = spec.type.kind == Kind::integer ? static_cast<size_t>(spec.type.a) / 8 : sizes[static_cast<size_t>(spec.type.kind)];
    size_t total = spec.type.kind == Kind::boolean ? static_cast<size_t>(array.length + 7) / 8 : size * static_cast<size_t>(array.length);
    for (size_t i = 0; i < total; ++i) sum = sum + static_cast<const uint8_t*>(array.buffers[1])[i];
}

void try_one() {
    std::string made = text();
    // Memory of exactly this size: a byte read beyond it is seen.
    auto* data = static_cast<uint8_t*>(std::malloc(made.size() ? made.size() : 1));
    std::memcpy(data, made.data(), made.size());
    auto size = static_cast<int64_t>(made.size());
    PortalCsvForm how = form();
    std::vector<PortalCsvColumn> specs;
    for (size_t left = below(6); left; --left) specs.push_back(column());
    auto width = static_cast<int32_t>(specs.size());
    int64_t end = 0, part = 0;
    int64_t records = portal_csv_whole(data, size, &how, 1, &end);
    if (end != size) fail("a final text is not whole to its end");
    if (portal_csv_whole(data, size, &how, 0, &part) > records || part > end) fail("a part has more than the whole");
    PortalCsvResult* result = portal_csv_parse(data, size, &how, specs.data(), width, below(2) == 0);
    if (!result) fail("no result");
    if (result->trouble ? result->rows + result->n_ragged > records : result->rows + result->n_ragged != records) fail("the two ways of finding records differ");
    for (int32_t i = 0; i < width; ++i) {
        if (result->arrays[i].length != result->rows) fail("a column has another length");
        touch(result->arrays[i], specs[static_cast<size_t>(i)], result->as_text[i]);
        if (i % 2) result->arrays[i].release(&result->arrays[i]);  // as if it was taken over
    }
    portal_csv_free(result);
    std::free(data);
}

}  // namespace

int main(int, char** arguments) {
    chance.seed(std::stoull(arguments[1]));
    for (int left = std::stoi(arguments[2]); left; --left) try_one();
    return 0;
}
