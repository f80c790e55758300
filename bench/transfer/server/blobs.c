/* What was put into the sink, except for the bytes. */
#include "null.h"
#include <stdio.h>

enum { SLOTS = 1 << 18 };
static Blob *slots[SLOTS], **sorted;
static size_t blob_count, sorted_count, sorted_room;
static int in_order;
pthread_mutex_t blobs_lock = PTHREAD_MUTEX_INITIALIZER;

static size_t slot_of(const char *name) {
    uint64_t hash = 14695981039346656037ULL; /* FNV-1a */
    while (*name) hash = (hash ^ (unsigned char)*name++) * 1099511628211ULL;
    return (hash ^ hash >> 32) % SLOTS;
}

Blob *blob_find(const char *name, int make) {
    Blob **slot = &slots[slot_of(name)], *blob = *slot;
    while (blob && strcmp(blob->name, name)) blob = blob->next;
    if (blob || !make) return blob;
    blob = calloc(1, sizeof *blob);
    blob->name = strdup(name);
    blob->size = -1;
    blob->next = *slot;
    *slot = blob;
    blob_count++;
    in_order = 0;
    return blob;
}

void blocks_free(Block *list) {
    for (Block *next; list; list = next) {
        next = list->next;
        free(list);
    }
}

/* As if it had never been. */
void blob_forget(Blob *blob) {
    Blob **at = &slots[slot_of(blob->name)];
    while (*at != blob) at = &(*at)->next;
    *at = blob->next;
    blocks_free(blob->staged);
    blocks_free(blob->committed);
    free(blob->metadata);
    free(blob->name);
    free(blob);
    blob_count--;
    in_order = 0;
}

void blobs_forget(const char *container) {
    size_t length = strlen(container);
    for (size_t i = 0; i < SLOTS; i++)
        for (Blob *blob = slots[i], *next; blob; blob = next) {
            next = blob->next;
            if (!strncmp(blob->name, container, length) && blob->name[length] == '/') blob_forget(blob);
        }
}

static int by_name(const void *left, const void *right) { return strcmp((*(Blob *const *)left)->name, (*(Blob *const *)right)->name); }

Blob **blobs_sorted(size_t *count) {
    if (!in_order) {
        if (sorted_room < blob_count) sorted = realloc(sorted, (sorted_room = blob_count * 2) * sizeof *sorted);
        sorted_count = 0;
        for (size_t i = 0; i < SLOTS; i++)
            for (Blob *blob = slots[i]; blob; blob = blob->next) sorted[sorted_count++] = blob;
        qsort(sorted, sorted_count, sizeof *sorted, by_name);
        in_order = 1;
    }
    *count = sorted_count;
    return sorted;
}

Block *block_find(Block *list, const char *id) {
    while (list && strcmp(list->id, id)) list = list->next;
    return list;
}

void block_stage(Blob *blob, const char *id, long size) {
    Block *block = block_find(blob->staged, id);
    if (block) blob->blocks_twice++;
    else {
        block = calloc(1, sizeof *block);
        snprintf(block->id, sizeof block->id, "%s", id);
        block->next = blob->staged;
        blob->staged = block;
    }
    block->size = size;
}
