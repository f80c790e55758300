// Arrow arrays made by hand: the C data interface (https://arrow.apache.org/docs/format/CDataInterface.html) and buffers that own their memory.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#define PORTAL_EXPORT __attribute__((visibility("default")))

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void** buffers;
    struct ArrowArray** children;
    struct ArrowArray* dictionary;
    void (*release)(struct ArrowArray*);
    void* private_data;
};

namespace portal {

// Growing memory. Throws std::bad_alloc; what is not given away is freed. Reading and writing `slack` bytes beyond its size is safe.
class Buffer {
  public:
    static constexpr size_t slack = 64;

    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    Buffer(Buffer&& other) noexcept : start(other.start), capacity(other.capacity) { other.start = nullptr, other.capacity = 0; }
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(start, other.start), std::swap(capacity, other.capacity);
        return *this;
    }
    ~Buffer() { std::free(start); }

    void reserve(size_t bytes) {
        if (bytes <= capacity && start) return;
        if (bytes > SIZE_MAX / 4) throw std::bad_alloc();
        size_t wanted = bytes > capacity + capacity / 2 ? bytes : capacity + capacity / 2;
        void* moved = std::realloc(start, wanted + slack);
        if (!moved) throw std::bad_alloc();
        start = moved, capacity = wanted;
    }
    bool holds(size_t bytes) const { return start && bytes <= capacity; }
    template <class T> T* as() { return static_cast<T*>(start); }
    template <class T> const T* as() const { return static_cast<const T*>(start); }
    bool empty() const { return !start; }
    void* give() {
        void* given = start;
        start = nullptr, capacity = 0;
        return given;
    }

  private:
    void* start = nullptr;
    size_t capacity = 0;
};

// Which values are there: one bit each, made when the first one is missing.
class Validity {
  public:
    int64_t missing = 0;

    // Mark a value as missing. `length`: how many there will be, as far as is known.
    void clear(int64_t place, int64_t length = 0) {
        if (static_cast<size_t>(place >> 3) >= made) extend(place < length ? length : place + 1);
        bits.as<uint8_t>()[place >> 3] &= static_cast<uint8_t>(~(1u << (place & 7)));
        ++missing;
    }
    void cover(int64_t length) {
        if (missing) extend(length);
    }
    // The bits, of as many values as were covered; nullptr when none is missing.
    void* give() { return bits.give(); }

  private:
    Buffer bits;
    size_t made = 0;  // bytes

    void extend(int64_t length) {
        size_t bytes = static_cast<size_t>(length + 7) / 8;
        if (bytes <= made) return;
        bits.reserve(bytes);
        std::memset(bits.as<uint8_t>() + made, 0xff, bytes - made);
        made = bytes;
    }
};

struct Owned {
    const void* buffers[3];
};

// The release callback of `export_array`: frees buffers and children.
inline void release_array(ArrowArray* array) {
    auto* owned = static_cast<Owned*>(array->private_data);
    for (const void* buffer : owned->buffers) std::free(const_cast<void*>(buffer));
    for (int64_t i = 0; i < array->n_children; ++i) {
        if (array->children[i]->release) array->children[i]->release(array->children[i]);
        std::free(array->children[i]);
    }
    std::free(array->children);
    std::free(owned);
    array->release = nullptr;
}

// Fill `out` with an array that owns its buffers: validity, then the two others (nullptr for one that the type does not have).
inline void export_array(ArrowArray* out, int64_t length, Validity& validity, int64_t n_buffers, Buffer* first, Buffer* second = nullptr) {
    validity.cover(length);
    auto* owned = static_cast<Owned*>(std::malloc(sizeof(Owned)));
    if (!owned) throw std::bad_alloc();
    int64_t missing = validity.missing;
    *owned = {{validity.give(), first ? first->give() : nullptr, second ? second->give() : nullptr}};
    *out = {length, missing, 0, n_buffers, 0, owned->buffers, nullptr, nullptr, release_array, owned};
}

}  // namespace portal
