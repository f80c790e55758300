/* The known bytes, their checksums, and the buckets whose objects are made of them: nothing is stored for an object. */
#include "null.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

int data_file;
const char *data_bytes;
const char *WRITTEN_ON = "2026-03-01T08:00:00.000Z", *CHANGED_ON = "2026-03-02T08:00:00.000Z";

static Bucket buckets[32];
static int bucket_count;
static uint64_t table[8][256];

/* CRC64NVME: polynomial 0xAD93D23594C93659 reflected, all ones before and after (NVM Express, "64b CRC"). */
static void prepare(void) {
    for (int n = 0; n < 256; n++) {
        uint64_t crc = n;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x9A6C9329AC4BC9B5ULL : 0);
        table[0][n] = crc;
    }
    for (int n = 0; n < 256; n++)
        for (int k = 1; k < 8; k++) table[k][n] = table[k - 1][n] >> 8 ^ table[0][table[k - 1][n] & 255];
}

static uint64_t crc64(const char *data, long count) {
    uint64_t crc = ~0ULL, word;
    for (; count >= 8; data += 8, count -= 8) {
        memcpy(&word, data, 8);
        word ^= crc;
        crc = 0;
        for (int k = 0; k < 8; k++) crc ^= table[7 - k][word >> 8 * k & 255];
    }
    while (count-- > 0) crc = crc >> 8 ^ table[0][(crc ^ (unsigned char)*data++) & 255];
    return ~crc;
}

/* Copies by URL ask for the same few ranges again and again: what was computed is kept. */
uint64_t data_crc64(long offset, long count) {
    static struct { long offset, count; uint64_t crc64; } known[4096];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    size_t at = ((size_t)offset / 4096 * 31 + (size_t)count) % 4096;
    pthread_mutex_lock(&lock);
    int there = known[at].count == count && known[at].offset == offset;
    uint64_t crc = known[at].crc64;
    pthread_mutex_unlock(&lock);
    if (there && count) return crc;
    crc = crc64(data_bytes + offset, count);
    pthread_mutex_lock(&lock);
    known[at].offset = offset, known[at].count = count, known[at].crc64 = crc;
    pthread_mutex_unlock(&lock);
    return crc;
}

void data_open(const char *path) {
    struct stat about;
    data_file = open(path, O_RDONLY | O_CLOEXEC);
    if (data_file < 0 || fstat(data_file, &about)) {
        perror(path);
        exit(1);
    }
    data_bytes = mmap(NULL, about.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, data_file, 0);
    prepare();
}

/* Azure writes the eight bytes of a CRC64 with the least first, S3 with the greatest first. */
void base64_of(uint64_t crc, int little, char text[13]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char bytes[9] = {0};
    for (int i = 0; i < 8; i++) bytes[little ? i : 7 - i] = crc >> 8 * i;
    for (int i = 0, out = 0; i < 9; i += 3) {
        unsigned group = bytes[i] << 16 | bytes[i + 1] << 8 | bytes[i + 2];
        for (int k = 18; k >= 0; k -= 6) text[out++] = digits[group >> k & 63];
    }
    text[11] = '=';
    text[12] = 0;
}

Bucket *bucket_add(void) { return bucket_count < 32 ? &buckets[bucket_count++] : NULL; }

Bucket *bucket_named(const char *name) {
    for (int i = 0; i < bucket_count; i++)
        if (!strcmp(buckets[i].name, name)) return &buckets[i];
    return NULL;
}

const Content *content_of(const Bucket *bucket, long number) { return &bucket->contents[number % 100 < bucket->phase]; }

void key_of(long number, char *key) {
    memcpy(key, "part-00000000.bin", 18);
    for (int at = 12; number; number /= 10) key[at--] = '0' + number % 10;
}

long number_of(const Bucket *bucket, const char *key) {
    long number = 0;
    if (strlen(key) != 17 || strncmp(key, "part-", 5) || strcmp(key + 13, ".bin")) return -1;
    for (int i = 5; i < 13; i++) {
        if (key[i] < '0' || key[i] > '9') return -1;
        number = number * 10 + key[i] - '0';
    }
    return number < bucket->count ? number : -1;
}
