/* The sink: the Blob service of Azure Storage, as far as copying needs it. Paths are /account/container/blob. */
#include "null.h"
#include <stdio.h>

static atomic_long etag_count;

/* Header lines of the checksums that came, as Azure gives back those it has compared; this one compares nothing. */
static void echo(const Request *request, char *fields, size_t room) {
    const char *crc64 = field(request, "x-ms-content-crc64"), *md5 = field(request, "content-md5");
    int used = snprintf(fields, room, "x-ms-request-server-encrypted: true\r\n");
    if (*crc64) used += snprintf(fields + used, room - used, "x-ms-content-crc64: %s\r\n", crc64);
    if (*md5) snprintf(fields + used, room - used, "Content-MD5: %s\r\n", md5);
}

/* Whether a write may go on; what is wrong otherwise. */
static const char *objection(const Request *request, const Blob *blob, int *status) {
    int there = blob && blob->size >= 0;
    const char *match = field(request, "if-match");
    if (!strcmp(field(request, "if-none-match"), "*") && there) return *status = 409, "BlobAlreadyExists";
    if (*match && strcmp(match, "*") && !(there && !strcmp(match, blob->etag))) return *status = 412, "ConditionNotMet";
    return NULL;
}

static void describe(Blob *blob, const Request *request, long size, const char *md5) {
    Text metadata = {0};
    for (int i = 0; i < request->count; i++)
        if (!strncmp(request->fields[i].name, "x-ms-meta-", 10)) add(&metadata, "%s: %s\r\n", request->fields[i].name, request->fields[i].value);
    free(blob->metadata);
    blob->metadata = metadata.text ? realloc(metadata.text, metadata.length + 1) : NULL;
    blob->size = size;
    blob->commits++;
    snprintf(blob->md5, sizeof blob->md5, "%s", md5);
    const char *type = field(request, "x-ms-blob-content-type");
    snprintf(blob->type, sizeof blob->type, "%s", *type ? type : "application/octet-stream");
    snprintf(blob->etag, sizeof blob->etag, "\"0x8DE%012lX\"", atomic_fetch_add(&etag_count, 1));
    http_date(blob->modified);
}

static int written(Link *link, const Request *request, const char *etag, const char *more) {
    char fields[640], date[30];
    int used = snprintf(fields, sizeof fields, "ETag: %s\r\nLast-Modified: %s\r\n%s", etag, http_date(date), more);
    echo(request, fields + used, sizeof fields - used);
    return answer(link, request, 201, fields, "", NULL, 0);
}

/* Make the blob, unless a condition forbids it: `size` bytes, or as many as the blocks have that `ids` names. */
static int commit(Link *link, const Request *request, const char *name, long size, Block *blocks, const char *more) {
    const char *md5 = field(request, "x-ms-blob-content-md5"), *code;
    char etag[24];
    int status = 0;
    if (!*md5 && !blocks) md5 = field(request, "content-md5");
    pthread_mutex_lock(&blobs_lock);
    Blob *blob = blob_find(name, 1);
    if ((code = objection(request, blob, &status))) blocks_free(blocks);
    else {
        describe(blob, request, size, md5);
        blocks_free(blob->staged);
        blocks_free(blob->committed);
        blob->staged = NULL;
        blob->committed = blocks;
        strcpy(etag, blob->etag);
    }
    pthread_mutex_unlock(&blobs_lock);
    return code ? refuse(link, request, status, code) : written(link, request, etag, more);
}

static int put_blob(Link *link, Request *request, const char *name) {
    COUNT(put_blob);
    if (strcmp(field(request, "x-ms-blob-type"), "BlockBlob")) return link_discard(link, request->length) && not_made(link, request);
    if (!link_discard(link, request->length)) return 0;
    COUNT_MORE(received_bytes, request->length);
    return commit(link, request, name, request->length, NULL, "");
}

static int stage(Link *link, Request *request, const char *name, long size, const char *more) {
    char id[96], fields[512];
    option(request, "blockid", id, sizeof id);
    pthread_mutex_lock(&blobs_lock);
    block_stage(blob_find(name, 1), id, size);
    pthread_mutex_unlock(&blobs_lock);
    int used = snprintf(fields, sizeof fields, "%s", more);
    echo(request, fields + used, sizeof fields - used);
    return answer(link, request, 201, fields, "", NULL, 0);
}

static int put_block(Link *link, Request *request, const char *name) {
    COUNT(put_block);
    if (!link_discard(link, request->length)) return 0;
    COUNT_MORE(received_bytes, request->length);
    return stage(link, request, name, request->length, "");
}

/* The blocks that a list names, copied; -1 as the size when one of them is not there. */
static long gathered(const Blob *blob, char *list, Block **blocks) {
    long size = 0;
    Block **end = blocks;
    for (char *at = list; blob && (at = strchr(at, '<')); at++) {
        if (strncmp(at, "<Latest>", 8) && strncmp(at, "<Uncommitted>", 13) && strncmp(at, "<Committed>", 11)) continue;
        char id[96], *begin = strchr(at, '>') + 1;
        snprintf(id, sizeof id, "%.*s", (int)strcspn(begin, "<"), begin);
        Block *found = strncmp(at, "<C", 2) ? block_find(blob->staged, id) : NULL;
        if (!found && strncmp(at, "<U", 2)) found = block_find(blob->committed, id);
        if (!found) return -1;
        *end = memcpy(malloc(sizeof **end), found, sizeof **end);
        (*end)->next = NULL;
        end = &(*end)->next;
        size += found->size;
    }
    return size;
}

static int put_block_list(Link *link, Request *request, const char *name) {
    COUNT(put_block_list);
    char *list = link_body(link, request->length);
    if (!list) return 0;
    Block *blocks = NULL;
    pthread_mutex_lock(&blobs_lock);
    long size = gathered(blob_find(name, 0), list, &blocks);
    pthread_mutex_unlock(&blobs_lock);
    free(list);
    if (size >= 0) return commit(link, request, name, size, blocks, "");
    blocks_free(blocks);
    return refuse(link, request, 400, "InvalidBlockList");
}

static void add_blocks(Text *text, const char *kind, const Block *block) {
    add(text, "<%s>", kind);
    for (; block; block = block->next) add(text, "<Block><Name>%s</Name><Size>%ld</Size></Block>", block->id, block->size);
    add(text, "</%s>", kind);
}

static int get_block_list(Link *link, Request *request, const char *name) {
    char kind[16], fields[128] = "";
    Text text = {0};
    COUNT(get_block_list);
    if (!option(request, "blocklisttype", kind, sizeof kind)) strcpy(kind, "committed");
    pthread_mutex_lock(&blobs_lock);
    Blob *blob = blob_find(name, 0);
    add(&text, "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    if (strcmp(kind, "uncommitted")) add_blocks(&text, "CommittedBlocks", blob ? blob->committed : NULL);
    if (strcmp(kind, "committed")) add_blocks(&text, "UncommittedBlocks", blob ? blob->staged : NULL);
    add(&text, "</BlockList>");
    int there = blob && (blob->size >= 0 || blob->staged);
    if (there) snprintf(fields, sizeof fields, "x-ms-blob-content-length: %ld\r\n%s%s%s", blob->size < 0 ? 0 : blob->size,
                        *blob->etag ? "ETag: " : "", blob->etag, *blob->etag ? "\r\n" : "");
    pthread_mutex_unlock(&blobs_lock);
    int sent = there ? answer(link, request, 200, fields, "application/xml", text.text, text.length) : refuse(link, request, 404, "BlobNotFound");
    free(text.text);
    return sent;
}

static int head_blob(Link *link, Request *request, const char *name) {
    Text fields = {0};
    COUNT(head_blob);
    pthread_mutex_lock(&blobs_lock);
    Blob *blob = blob_find(name, 0);
    long size = blob ? blob->size : -1;
    char type[96] = "";
    if (size >= 0) {
        strcpy(type, blob->type);
        add(&fields, "ETag: %s\r\nLast-Modified: %s\r\nx-ms-creation-time: %s\r\nx-ms-blob-type: BlockBlob\r\nx-ms-access-tier: Hot\r\n"
            "x-ms-server-encrypted: true\r\nAccept-Ranges: bytes\r\n", blob->etag, blob->modified, blob->modified);
        if (*blob->md5) add(&fields, "Content-MD5: %s\r\n", blob->md5);
        if (blob->metadata) add(&fields, "%s", blob->metadata);
    }
    pthread_mutex_unlock(&blobs_lock);
    int sent = size < 0 ? refuse(link, request, 404, "BlobNotFound") : answer(link, request, 200, fields.text, type, NULL, size);
    free(fields.text);
    return sent;
}

static int delete_blob(Link *link, Request *request, const char *name) {
    const char *code = NULL;
    int status = 404;
    COUNT(delete_blob);
    pthread_mutex_lock(&blobs_lock);
    Blob *blob = blob_find(name, 0);
    if (!blob || blob->size < 0) code = "BlobNotFound";
    else if (!(code = objection(request, blob, &status))) blob_forget(blob);
    pthread_mutex_unlock(&blobs_lock);
    return code ? refuse(link, request, status, code) : answer(link, request, 202, "", "", NULL, 0);
}

static void add_metadata(Text *text, const char *lines) {
    add(text, "<Metadata>");
    while (lines && *lines) {
        char name[256], value[9000];
        if (sscanf(lines, "x-ms-meta-%255[^:]: %8999[^\r]", name, value) == 2) {
            add(text, "<%s>", name);
            add_escaped(text, value);
            add(text, "</%s>", name);
        }
        lines = strchr(lines, '\n') + 1;
    }
    add(text, "</Metadata>");
}

static void add_blob(Text *text, const Blob *blob, const char *name, int metadata) {
    add(text, "<Blob><Name>");
    add_escaped(text, name);
    add(text, "</Name><Properties><Creation-Time>%s</Creation-Time><Last-Modified>%s</Last-Modified><Etag>%.*s</Etag><Content-Length>%ld</Content-Length>"
        "<Content-Type>%s</Content-Type><Content-MD5>%s</Content-MD5><BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier>"
        "<AccessTierInferred>true</AccessTierInferred><ServerEncrypted>true</ServerEncrypted></Properties>",
        blob->modified, blob->modified, (int)strlen(blob->etag) - 2, blob->etag + 1, blob->size, blob->type, blob->md5);
    if (metadata) add_metadata(text, blob->metadata);
    add(text, "</Blob>");
}

/* The first blob of the sorted that is not before the name. */
static size_t first_of(Blob **sorted, size_t count, const char *name) {
    size_t low = 0;
    while (low < count) {
        size_t middle = (low + count) / 2;
        if (strcmp(sorted[middle]->name, name) < 0) low = middle + 1;
        else count = middle;
    }
    return low;
}

typedef struct {
    char container[128], prefix[1200], marker[1200], delimiter[4];
    long most;
    int metadata;
} Listing;

/* One page; returns the name that the next begins with, or NULL. */
static const char *add_page(Text *text, const Listing *asked) {
    char from[1400];
    size_t count, skip = strlen(asked->container) + 1, length = strlen(asked->prefix);
    Blob **sorted = blobs_sorted(&count);
    long given = 0;
    snprintf(from, sizeof from, "%s/%s", asked->container, *asked->marker ? asked->marker : asked->prefix);
    for (size_t at = first_of(sorted, count, from); at < count; at++) {
        const char *name = sorted[at]->name + skip, *cut;
        if (strncmp(sorted[at]->name, from, skip) || strncmp(name, asked->prefix, length)) return NULL;
        if (sorted[at]->size < 0) continue;
        if (given++ == asked->most) return name;
        if (!*asked->delimiter || !(cut = strstr(name + length, asked->delimiter))) {
            add_blob(text, sorted[at], name, asked->metadata);
            continue;
        }
        size_t whole = cut - name + strlen(asked->delimiter);
        add(text, "<BlobPrefix><Name>%.*s</Name></BlobPrefix>", (int)whole, name);
        while (at + 1 < count && !strncmp(sorted[at + 1]->name, sorted[at]->name, skip + whole)) at++;
    }
    return NULL;
}

static int list_blobs(Link *link, Request *request, const char *container) {
    Listing asked = {0};
    char include[64], most[16];
    Text text = {0};
    COUNT(list_blobs);
    snprintf(asked.container, sizeof asked.container, "%s", container);
    option(request, "prefix", asked.prefix, sizeof asked.prefix);
    option(request, "marker", asked.marker, sizeof asked.marker);
    option(request, "delimiter", asked.delimiter, sizeof asked.delimiter);
    option(request, "include", include, sizeof include);
    asked.metadata = strstr(include, "metadata") != NULL;
    asked.most = option(request, "maxresults", most, sizeof most) ? atol(most) : 5000;
    if (asked.most > 5000) asked.most = 5000;
    add(&text, "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"http://127.0.0.1/\" ContainerName=\"%s\"><Prefix>", container);
    add_escaped(&text, asked.prefix);
    add(&text, "</Prefix><MaxResults>%ld</MaxResults><Delimiter>%s</Delimiter><Blobs>", asked.most, asked.delimiter);
    pthread_mutex_lock(&blobs_lock);
    const char *next = add_page(&text, &asked);
    add(&text, "</Blobs><NextMarker>");
    add_escaped(&text, next ? next : "");
    pthread_mutex_unlock(&blobs_lock);
    add(&text, "</NextMarker></EnumerationResults>");
    int sent = answer(link, request, 200, "", "application/xml", text.text, text.length);
    free(text.text);
    return sent;
}

/* The object of our own source that a URL names: the sink "fetches" it without moving a byte. */
static const Content *copied(const char *url, Bucket **bucket) {
    char path[2048], *at = strstr(url, "://");
    at = at ? strchr(at + 3, '/') : NULL;
    if (!at) return NULL;
    snprintf(path, sizeof path, "%.*s", (int)strcspn(at + 1, "?"), at + 1);
    char *key = strchr(path, '/');
    if (!key) return NULL;
    *key++ = 0;
    decode(key);
    *bucket = bucket_named(path);
    long number = *bucket ? number_of(*bucket, key) : -1;
    return number < 0 ? NULL : content_of(*bucket, number);
}

static int from_url(Link *link, Request *request, const char *name, int block) {
    Bucket *bucket;
    char crc64[13], more[64];
    const char *expected = field(request, "x-ms-source-content-crc64"), *range = field(request, "x-ms-source-range");
    const Content *content = copied(field(request, "x-ms-copy-source"), &bucket);
    COUNT(from_url);
    if (!link_discard(link, request->length)) return 0;
    if (!content) return refuse(link, request, 404, "CannotVerifyCopySource");
    long first = 0, count = bucket->size;
    if (*range && !range_of(range, bucket->size, &first, &count)) return refuse(link, request, 416, "InvalidRange");
    base64_of(data_crc64(content->offset + first, count), 1, crc64);
    if (*expected && strcmp(expected, crc64)) return refuse(link, request, 400, "Crc64Mismatch");
    COUNT_MORE(from_url_bytes, count);
    snprintf(more, sizeof more, "x-ms-content-crc64: %s\r\n", crc64);
    return block ? stage(link, request, name, count, more) : commit(link, request, name, count, NULL, "x-ms-copy-status: success\r\nx-ms-copy-id: 0\r\n");
}

static int of_container(Link *link, Request *request, const char *container) {
    if (!link_discard(link, request->length)) return 0;
    if (is_option(request, "comp", "list") && *container) return list_blobs(link, request, container);
    COUNT(azure_other);
    if (!strcmp(request->method, "PUT")) return answer(link, request, 201, "ETag: \"0x8DC\"\r\n", "", NULL, 0);
    if (!strcmp(request->method, "DELETE")) {
        pthread_mutex_lock(&blobs_lock);
        blobs_forget(container);
        pthread_mutex_unlock(&blobs_lock);
        return answer(link, request, 202, "", "", NULL, 0);
    }
    if (is_option(request, "comp", "properties") || is_option(request, "restype", "container"))
        return answer(link, request, 200, "ETag: \"0x8DC\"\r\nLast-Modified: Sun, 01 Mar 2026 08:00:00 GMT\r\nx-ms-sku-name: Standard_LRS\r\n"
                      "x-ms-account-kind: StorageV2\r\nx-ms-is-hns-enabled: false\r\n", "", NULL, 0);
    return not_made(link, request);
}

static int of_blob(Link *link, Request *request, const char *name) {
    int put = !strcmp(request->method, "PUT"), url = *field(request, "x-ms-copy-source") != 0;
    char part[24];
    option(request, "comp", part, sizeof part);
    if (put && !*part) return url ? from_url(link, request, name, 0) : put_blob(link, request, name);
    if (put && !strcmp(part, "block")) return url ? from_url(link, request, name, 1) : put_block(link, request, name);
    if (put && !strcmp(part, "blocklist")) return put_block_list(link, request, name);
    if (!link_discard(link, request->length)) return 0;
    if (!strcmp(request->method, "GET") && !strcmp(part, "blocklist")) return get_block_list(link, request, name);
    if (!strcmp(request->method, "HEAD") && !*part) return head_blob(link, request, name);
    if (!strcmp(request->method, "DELETE")) return delete_blob(link, request, name);
    return not_made(link, request);
}

int azure_answer(Link *link, Request *request) {
    char *container = strchr(request->path + 1, '/');
    container = container ? container + 1 : "";
    decode(container);
    char *blob = strchr(container, '/');
    if (blob && blob[1]) return of_blob(link, request, container);
    if (blob) *blob = 0;
    return of_container(link, request, container);
}
