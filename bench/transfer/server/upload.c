/* S3 as a target: buckets that were made here (PUT /bucket) take objects, whole or in parts, and throw their bytes away.

   A bucket is remembered as the blob "bucket/", an upload in parts as the blob "bucket/key?id": neither is ever committed. */
#include "null.h"
#include <stdio.h>

static atomic_long made_count;

static int refuse_taken(const Request *request, const Blob *blob) {
    return !strcmp(field(request, "if-none-match"), "*") && blob && blob->size >= 0;
}

/* What came with the object and is told again: its metadata and the checksums that its sender made. Nothing here compares them. */
static void describe(Blob *blob, const Request *request, long size) {
    Text kept = {0};
    for (int i = 0; i < request->count; i++) {
        const Field *one = &request->fields[i];
        int checksum = !strncmp(one->name, "x-amz-checksum-", 15) && strcmp(one->name, "x-amz-checksum-type");
        if (checksum || !strncmp(one->name, "x-amz-meta-", 11)) add(&kept, "%s: %s\r\n", one->name, one->value);
    }
    free(blob->metadata);
    blob->metadata = kept.text ? realloc(kept.text, kept.length + 1) : NULL;
    blob->size = size;
    blob->commits++;
    snprintf(blob->type, sizeof blob->type, "%s", field(request, "content-type"));
    http_date(blob->modified);
}

/* The ETag is the MD5 where the sender told it; else it looks like that of an object in parts, which nobody takes for an MD5. */
static void name_version(Blob *blob, const char *md5) {
    unsigned char bytes[18] = {0};
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (strlen(md5) != 24) {
        snprintf(blob->md5, sizeof blob->md5, "%024lx-1", atomic_fetch_add(&made_count, 1));
        return;
    }
    for (int i = 0; i < 24; i++) {
        const char *found = strchr(digits, md5[i]);
        unsigned value = found ? found - digits : 0;
        for (int bit = 0; bit < 6; bit++) bytes[(i * 6 + bit) / 8] |= (value >> (5 - bit) & 1) << (7 - (i * 6 + bit) % 8);
    }
    for (int i = 0; i < 16; i++) snprintf(blob->md5 + 2 * i, sizeof blob->md5 - 2 * i, "%02x", bytes[i]);
}

/* Header lines of an answer about the object: its ETag and, where they were told, its checksums and metadata. */
static void about(const Blob *blob, char *fields, size_t room) {
    snprintf(fields, room, "ETag: \"%s\"\r\nx-amz-server-side-encryption: AES256\r\n%s", blob->md5, blob->metadata ? blob->metadata : "");
}

static int put_object(Link *link, Request *request, const char *name) {
    char fields[4096] = "";
    COUNT(s3_put);
    if (!link_discard(link, request->length)) return 0;
    COUNT_MORE(received_bytes, request->length);
    pthread_mutex_lock(&blobs_lock);
    int taken = refuse_taken(request, blob_find(name, 0));
    if (!taken) {
        Blob *blob = blob_find(name, 1);
        describe(blob, request, request->length);
        name_version(blob, field(request, "content-md5"));
        about(blob, fields, sizeof fields);
    }
    pthread_mutex_unlock(&blobs_lock);
    return taken ? refuse(link, request, 412, "PreconditionFailed") : answer(link, request, 200, fields, "", NULL, 0);
}

static int begin_upload(Link *link, Request *request, const char *name) {
    char whole[2048], body[512];
    long id = atomic_fetch_add(&made_count, 1);
    COUNT(s3_other);
    if (!link_discard(link, request->length)) return 0;
    snprintf(whole, sizeof whole, "%s?%ld", name, id);
    pthread_mutex_lock(&blobs_lock);
    Blob *blob = blob_find(whole, 1);
    describe(blob, request, -1);
    pthread_mutex_unlock(&blobs_lock);
    int count = snprintf(body, sizeof body, "<InitiateMultipartUploadResult><UploadId>%ld</UploadId></InitiateMultipartUploadResult>", id);
    return answer(link, request, 200, "", "application/xml", body, count);
}

static int put_part(Link *link, Request *request, const char *name, const char *id) {
    char whole[2048], number[96], fields[512] = "";
    COUNT(s3_put_part);
    if (!link_discard(link, request->length)) return 0;
    COUNT_MORE(received_bytes, request->length);
    option(request, "partNumber", number, sizeof number);
    snprintf(whole, sizeof whole, "%s?%s", name, id);
    pthread_mutex_lock(&blobs_lock);
    Blob *blob = blob_find(whole, 0);
    if (blob) block_stage(blob, number, request->length);
    pthread_mutex_unlock(&blobs_lock);
    if (!blob) return refuse(link, request, 404, "NoSuchUpload");
    int used = snprintf(fields, sizeof fields, "ETag: \"part-%s\"\r\n", number);
    if (*field(request, "x-amz-checksum-crc64nvme"))
        snprintf(fields + used, sizeof fields - used, "x-amz-checksum-crc64nvme: %s\r\n", field(request, "x-amz-checksum-crc64nvme"));
    return answer(link, request, 200, fields, "", NULL, 0);
}

/* The size of the parts that a list names; -1 when one of them is not there. */
static long gathered(const Blob *upload, const char *list) {
    long size = 0;
    for (const char *at = list; (at = strstr(at, "<PartNumber>")); at++) {
        char number[96];
        snprintf(number, sizeof number, "%.*s", (int)strcspn(at + 12, "<"), at + 12);
        Block *block = block_find(upload->staged, number);
        if (!block) return -1;
        size += block->size;
    }
    return size;
}

static int complete(Link *link, Request *request, const char *name, const char *id) {
    char whole[2048], body[1024], *list = link_body(link, request->length);
    const char *crc64 = field(request, "x-amz-checksum-crc64nvme"), *code = NULL;
    if (!list) return 0;
    COUNT(s3_other);
    snprintf(whole, sizeof whole, "%s?%s", name, id);
    pthread_mutex_lock(&blobs_lock);
    Blob *upload = blob_find(whole, 0);
    long size = upload ? gathered(upload, list) : -1;
    if (!upload) code = "NoSuchUpload";
    else if (size < 0) code = "InvalidPart";
    else if (refuse_taken(request, blob_find(name, 0))) code = "PreconditionFailed";
    else {
        Blob *blob = blob_find(name, 1);
        char *metadata = upload->metadata;
        upload->metadata = NULL;
        describe(blob, request, size);
        Text both = {0};
        add(&both, "%s%s", blob->metadata ? blob->metadata : "", metadata ? metadata : "");
        free(blob->metadata);
        free(metadata);
        blob->metadata = both.text;
        blob->blocks_twice += upload->blocks_twice;
        name_version(blob, "");
        snprintf(body, sizeof body, "<CompleteMultipartUploadResult><ETag>&quot;%s&quot;</ETag>%s%s%s</CompleteMultipartUploadResult>", blob->md5,
                 *crc64 ? "<ChecksumCRC64NVME>" : "", crc64, *crc64 ? "</ChecksumCRC64NVME>" : "");
        blob_forget(upload);
    }
    pthread_mutex_unlock(&blobs_lock);
    free(list);
    if (code) return refuse(link, request, strcmp(code, "PreconditionFailed") ? 400 : 412, code);
    return answer(link, request, 200, "", "application/xml", body, strlen(body));
}

static int forget(Link *link, Request *request, const char *name) {
    COUNT(s3_other);
    if (!link_discard(link, request->length)) return 0;
    pthread_mutex_lock(&blobs_lock);
    Blob *blob = blob_find(name, 0);
    if (blob) blob_forget(blob);
    pthread_mutex_unlock(&blobs_lock);
    return answer(link, request, 204, "", "", NULL, 0);
}

static int head_object(Link *link, Request *request, const char *name) {
    char fields[4096] = "", type[96] = "";
    long size = -1;
    COUNT(s3_head);
    if (!link_discard(link, request->length)) return 0;
    pthread_mutex_lock(&blobs_lock);
    Blob *blob = blob_find(name, 0);
    if (blob && blob->size >= 0) {
        size = blob->size;
        about(blob, fields, sizeof fields);
        int used = strlen(fields);
        snprintf(fields + used, sizeof fields - used, "Last-Modified: %s\r\n", blob->modified);
        snprintf(type, sizeof type, "%s", blob->type);
    }
    pthread_mutex_unlock(&blobs_lock);
    return size < 0 ? refuse(link, request, 404, "NoSuchKey") : answer(link, request, 200, fields, type, NULL, size);
}

static int of_object(Link *link, Request *request, const char *name) {
    char id[64], value[8], whole[2048];
    int post = !strcmp(request->method, "POST");
    if (post && option(request, "uploads", value, sizeof value)) return begin_upload(link, request, name);
    if (option(request, "uploadId", id, sizeof id)) {
        if (!strcmp(request->method, "PUT")) return put_part(link, request, name, id);
        if (post) return complete(link, request, name, id);
        snprintf(whole, sizeof whole, "%s?%s", name, id);
        if (!strcmp(request->method, "DELETE")) return forget(link, request, whole);
    } else if (!*request->query || !strncmp(request->query, "x-id=", 5)) {
        if (!strcmp(request->method, "PUT") && !*field(request, "x-amz-copy-source")) return put_object(link, request, name);
        if (!strcmp(request->method, "HEAD")) return head_object(link, request, name);
        if (!strcmp(request->method, "DELETE")) return forget(link, request, name);
    }
    return link_discard(link, request->length) && not_made(link, request);
}

static int list(Link *link, Request *request, const char *bucket) {
    char prefix[1100], after[1100], token[1100], limit[16], from[1300];
    size_t count, at = 0, skip = strlen(bucket) + 1;
    Text text = {0};
    option(request, "prefix", prefix, sizeof prefix);
    option(request, "start-after", after, sizeof after);
    if (option(request, "continuation-token", token, sizeof token)) memcpy(after, token, sizeof after);
    long most = option(request, "max-keys", limit, sizeof limit) ? atol(limit) : 1000, given = 0;
    snprintf(from, sizeof from, "%s/%s", bucket, prefix);
    COUNT(s3_list);
    pthread_mutex_lock(&blobs_lock);
    Blob **sorted = blobs_sorted(&count);
    const char *last = NULL, *next = NULL;
    Text found = {0};
    for (; at < count; at++) {
        const char *key = sorted[at]->name + skip;
        if (strncmp(sorted[at]->name, from, strlen(from)) || sorted[at]->size < 0 || strcmp(key, after) <= 0) continue;
        if (given == most) { next = last; break; }
        given++;
        add(&found, "<Contents><Key>");
        add_escaped(&found, last = key);
        add(&found, "</Key><LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag><Size>%ld</Size><StorageClass>STANDARD</StorageClass></Contents>",
            CHANGED_ON, sorted[at]->md5, sorted[at]->size);
    }
    add(&text, "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>%s</Name><KeyCount>%ld</KeyCount><MaxKeys>%ld</MaxKeys>"
        "<IsTruncated>%s</IsTruncated>", bucket, given, most, next ? "true" : "false");
    if (next) {
        add(&text, "<NextContinuationToken>");
        add_escaped(&text, next);
        add(&text, "</NextContinuationToken>");
    }
    pthread_mutex_unlock(&blobs_lock);
    Text whole = {0};
    whole.text = malloc(whole.room = text.length + found.length + 64);
    whole.length = snprintf(whole.text, whole.room, "%s%s</ListBucketResult>", text.text, found.text ? found.text : "");
    int sent = answer(link, request, 200, "", "application/xml", whole.text, whole.length);
    free(text.text), free(found.text), free(whole.text);
    return sent;
}

static int of_bucket(Link *link, Request *request, const char *bucket, int there) {
    char marker[128], value[8];
    if (!link_discard(link, request->length)) return 0;
    if (there && is_option(request, "list-type", "2")) return list(link, request, bucket);
    COUNT(s3_other);
    snprintf(marker, sizeof marker, "%s/", bucket);
    if (!strcmp(request->method, "PUT")) {
        pthread_mutex_lock(&blobs_lock);
        blob_find(marker, 1);
        pthread_mutex_unlock(&blobs_lock);
        return answer(link, request, 200, "", "", NULL, 0);
    }
    if (!there) return refuse(link, request, 404, "NoSuchBucket");
    if (!strcmp(request->method, "DELETE")) {
        pthread_mutex_lock(&blobs_lock);
        blobs_forget(bucket);
        pthread_mutex_unlock(&blobs_lock);
        return answer(link, request, 204, "", "", NULL, 0);
    }
    if (!strcmp(request->method, "HEAD")) return answer(link, request, 200, "x-amz-bucket-region: us-east-1\r\n", "", NULL, 0);
    const char *kind = option(request, "location", value, sizeof value) ? "LocationConstraint" : "VersioningConfiguration";
    if (strcmp(request->method, "GET") || (*kind == 'V' && !option(request, "versioning", value, sizeof value))) return not_made(link, request);
    char body[160];
    int count = snprintf(body, sizeof body, "<%s xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"/>", kind);
    return answer(link, request, 200, "", "application/xml", body, count);
}

int upload_answer(Link *link, Request *request) {
    char *name = request->path + 1, *key = strchr(name, '/'), marker[128];
    decode(name);
    snprintf(marker, sizeof marker, "%.*s/", (int)strcspn(name, "/"), name);
    pthread_mutex_lock(&blobs_lock);
    int there = blob_find(marker, 0) != NULL;
    pthread_mutex_unlock(&blobs_lock);
    if (key && key[1] && there) return of_object(link, request, name);
    if (key && key[1]) return link_discard(link, request->length) && refuse(link, request, 404, "NoSuchBucket");
    if (key) *key = 0;
    return of_bucket(link, request, name, there);
}
