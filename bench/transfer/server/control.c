/* What only the benchmark asks: /-/counters, /-/zero, /-/phase?bucket=B&changed=N, /-/latency?ms=N,
   /-/container?name=C. */
#include "null.h"
#include <stdio.h>

atomic_long latency_ms;
#define DEFINE(name) atomic_long count_##name;
COUNTERS(DEFINE)

static void add_counters(Text *text) {
    add(text, "{");
#define TELL(name) add(text, "\"%s\": %ld, ", #name, atomic_load(&count_##name));
    COUNTERS(TELL)
    add(text, "\"end\": 0}");
}

static void zero(void) {
#define ZERO(name) atomic_store(&count_##name, 0);
    COUNTERS(ZERO)
}

/* What became of a container: what is committed in it, and what was done twice. */
static void add_container(Text *text, const char *container) {
    long blobs = 0, bytes = 0, again = 0, blocks_twice = 0, staged = 0, with_md5 = 0;
    size_t count, length = strlen(container);
    pthread_mutex_lock(&blobs_lock);
    Blob **sorted = blobs_sorted(&count);
    for (size_t i = 0; i < count; i++) {
        const Blob *blob = sorted[i];
        if (strncmp(blob->name, container, length) || blob->name[length] != '/') continue;
        blocks_twice += blob->blocks_twice;
        for (const Block *block = blob->staged; block; block = block->next) staged += block->size;
        if (blob->size < 0) continue;
        blobs++, bytes += blob->size, again += blob->commits - 1, with_md5 += *blob->md5 != 0;
    }
    pthread_mutex_unlock(&blobs_lock);
    add(text, "{\"blobs\": %ld, \"bytes\": %ld, \"committed_again\": %ld, \"blocks_twice\": %ld, \"staged_bytes\": %ld, \"with_md5\": %ld}",
        blobs, bytes, again, blocks_twice, staged, with_md5);
}

int control_answer(Link *link, Request *request) {
    char name[128], number[16];
    Text text = {0};
    if (!strcmp(request->path, "/-/counters")) add_counters(&text);
    else if (!strcmp(request->path, "/-/zero")) zero();
    else if (!strcmp(request->path, "/-/latency") && option(request, "ms", number, sizeof number)) latency_ms = atoi(number);
    else if (!strcmp(request->path, "/-/container") && option(request, "name", name, sizeof name)) add_container(&text, name);
    else if (!strcmp(request->path, "/-/phase") && option(request, "bucket", name, sizeof name) && bucket_named(name)) {
        option(request, "changed", number, sizeof number);
        bucket_named(name)->phase = atoi(number);
    } else return not_made(link, request);
    int sent = answer(link, request, 200, "", "application/json", text.text, text.length);
    free(text.text);
    return sent;
}
