/* The source: ListObjectsV2, HEAD and GET of objects as S3 answers them. */
#include "null.h"
#include <stdio.h>

static const char *XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/";

/* The number of the first key that is not before `text` or, with `past`, that begins with something after it. */
static long first_from(const Bucket *bucket, const char *text, int past) {
    long low = 0, high = bucket->count;
    size_t length = strlen(text);
    while (low < high) {
        char key[18];
        long middle = (low + high) / 2;
        key_of(middle, key);
        int order = past ? strncmp(key, text, length) : strcmp(key, text);
        if (order < 0 || (past && order == 0)) low = middle + 1;
        else high = middle;
    }
    return low;
}

static int list(Link *link, Request *request, const Bucket *bucket) {
    char prefix[1100], token[64], after[1100], limit[16];
    option(request, "prefix", prefix, sizeof prefix);
    option(request, "start-after", after, sizeof after);
    long first = first_from(bucket, prefix, 0), end = *prefix ? first_from(bucket, prefix, 1) : bucket->count;
    if (*after) {
        long next = first_from(bucket, after, 0) + (number_of(bucket, after) >= 0);
        if (next > first) first = next;
    }
    if (option(request, "continuation-token", token, sizeof token)) first = atol(token);
    long most = option(request, "max-keys", limit, sizeof limit) ? atol(limit) : 1000;
    long last = first + (most < 1000 ? most : 1000);
    if (last > end) last = end;
    if (last < first) last = first;
    Text text = {0};
    add(&text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"%s\"><Name>%s</Name><Prefix>%s</Prefix><KeyCount>%ld</KeyCount>"
        "<MaxKeys>%ld</MaxKeys>%s<IsTruncated>%s</IsTruncated>", XMLNS, bucket->name, prefix, last - first, most,
        is_option(request, "encoding-type", "url") ? "<EncodingType>url</EncodingType>" : "", last < end ? "true" : "false");
    if (last < end) add(&text, "<NextContinuationToken>%ld</NextContinuationToken>", last);
    for (long number = first; number < last; number++) {
        char key[18];
        const Content *content = content_of(bucket, number);
        key_of(number, key);
        add(&text, "<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>"
            "<ChecksumType>FULL_OBJECT</ChecksumType><Size>%ld</Size><StorageClass>STANDARD</StorageClass></Contents>",
            key, content == bucket->contents ? WRITTEN_ON : CHANGED_ON, content->md5, bucket->size);
    }
    add(&text, "</ListBucketResult>");
    COUNT(s3_list);
    int sent = answer(link, request, 200, "", "application/xml", text.text, text.length);
    free(text.text);
    return sent;
}

static int of_bucket(Link *link, Request *request, const Bucket *bucket) {
    char value[8];
    if (is_option(request, "list-type", "2")) return list(link, request, bucket);
    COUNT(s3_other);
    if (!strcmp(request->method, "HEAD")) return answer(link, request, 200, "x-amz-bucket-region: us-east-1\r\n", "", NULL, 0);
    if (strcmp(request->method, "GET")) return not_made(link, request);
    char body[256] = "";
    if (option(request, "location", value, sizeof value)) snprintf(body, sizeof body, "<LocationConstraint xmlns=\"%s\"/>", XMLNS);
    else if (option(request, "versioning", value, sizeof value)) snprintf(body, sizeof body, "<VersioningConfiguration xmlns=\"%s\"/>", XMLNS);
    else return not_made(link, request);
    return answer(link, request, 200, "", "application/xml", body, strlen(body));
}

static int wanted(const Request *request, const Content *content) {
    const char *match = field(request, "if-match");
    return !*match || (!strncmp(match + (*match == '"'), content->md5, 32));
}

static int of_object(Link *link, Request *request, const Bucket *bucket, long number) {
    const Content *content = content_of(bucket, number);
    long first = 0, count = bucket->size;
    int head = !strcmp(request->method, "HEAD"), status = 200, used = 0;
    char fields[1024], crc64[13], date[] = "Sun, 01 Mar 2026 08:00:00 GMT";
    if (!head && strcmp(request->method, "GET")) return not_made(link, request);
    if (!wanted(request, content)) return refuse(link, request, 412, "PreconditionFailed");
    if (content != bucket->contents) memcpy(date, "Mon, 02", 7);
    if (*field(request, "range")) {
        if (!range_of(field(request, "range"), bucket->size, &first, &count)) return refuse(link, request, 416, "InvalidRange");
        status = 206;
        used = snprintf(fields, sizeof fields, "Content-Range: bytes %ld-%ld/%ld\r\n", first, first + count - 1, bucket->size);
    } else if (!strcasecmp(field(request, "x-amz-checksum-mode"), "enabled")) {
        base64_of(content->crc64, 0, crc64);
        used = snprintf(fields, sizeof fields, "x-amz-checksum-crc64nvme: %s\r\nx-amz-checksum-type: FULL_OBJECT\r\n", crc64);
    }
    snprintf(fields + used, sizeof fields - used, "Accept-Ranges: bytes\r\nLast-Modified: %s\r\nETag: \"%s\"\r\n", date, content->md5);
    if (head) {
        COUNT(s3_head);
        return answer(link, request, status, fields, "application/octet-stream", NULL, count);
    }
    COUNT(s3_get);
    COUNT_MORE(s3_get_bytes, count);
    return answer(link, request, status, fields, "application/octet-stream", NULL, count) && link_file(link, content->offset + first, count);
}

int s3_answer(Link *link, Request *request) {
    char *name = request->path + 1, *key = strchr(name, '/'), value[8];
    if (key) *key = 0;
    Bucket *bucket = bucket_named(name);
    if (key) *key = '/';
    if (!bucket) return upload_answer(link, request);
    if (request->length && !link_discard(link, request->length)) return 0;
    if (key) *key++ = 0;
    if (!key || !*key) return of_bucket(link, request, bucket);
    decode(key);
    long number = number_of(bucket, key);
    if (number < 0) return refuse(link, request, 404, "NoSuchKey");
    if (!option(request, "tagging", value, sizeof value)) return of_object(link, request, bucket, number);
    const char *none = "<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet/></Tagging>";
    COUNT(s3_other);
    return answer(link, request, 200, "", "application/xml", none, strlen(none));
}
