/* A null source and sink: an S3 that gives known bytes, and an S3 and an Azure Blob service that throw away what they get,
   remembering all the rest.

   One thread a connection, no authentication, nothing on disk. What it says is true: lengths, ETags, checksums, committed blocks, metadata.
   What it does not do, it refuses with 501 and says what was asked. See bench/README.md. */
#ifndef NULL_H
#define NULL_H
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- http.c: a connection, requests and answers ---- */

enum { BUFFER_BYTES = 128 << 10, MOST_FIELDS = 64, HEAD_BYTES = 16 << 10 };

typedef struct {
    int socket;
    void *tls; /* SSL *, or NULL */
    char *buffer;
    size_t from, to; /* what was received and not used yet */
} Link;

typedef struct {
    char *name, *value; /* names in lower case */
} Field;

typedef struct {
    char *method, *path, *query;
    Field fields[MOST_FIELDS];
    int count;
    long length; /* of the body */
} Request;

typedef struct {
    char *text;
    size_t length, room;
} Text;

int link_next(Link *link, Request *request); /* 0: the connection ended */
int link_discard(Link *link, long count);    /* take so many bytes of the body and forget them, in the kernel if possible */
char *link_body(Link *link, long count);     /* the same, kept and ended by a 0; the caller frees it */
int link_write(Link *link, const char *data, size_t count, int more);
int link_file(Link *link, long offset, long count); /* bytes of the data file */
/* `fields` are whole lines; without a body, whoever calls sends `length` bytes then (unless it was HEAD). */
int answer(Link *link, const Request *request, int status, const char *fields, const char *type, const char *body, long length);
int refuse(Link *link, const Request *request, int status, const char *code);
int not_made(Link *link, const Request *request);

const char *field(const Request *request, const char *name);           /* "" when there is none */
int option(const Request *request, const char *name, char *value, size_t room); /* of the query, decoded; 0: there is none */
int is_option(const Request *request, const char *name, const char *value);
void decode(char *text);
int range_of(const char *text, long size, long *first, long *count);   /* "bytes=a-b"; 0: none or not within the object */
const char *http_date(char *text);                                     /* now; 30 bytes */
void add(Text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void add_escaped(Text *text, const char *value);

/* ---- tls.c ---- */

int tls_prepare(const char *certificate, const char *key); /* 0: it cannot */
void *tls_accept(int socket);                              /* NULL: no handshake */
long tls_read(void *tls, char *into, size_t room);
long tls_write(void *tls, const char *data, size_t count);
void tls_end(void *tls);

/* ---- data.c: the known bytes ---- */

typedef struct {
    long offset;    /* in the data file */
    char md5[33];   /* hexadecimal: the ETag */
    uint64_t crc64; /* CRC64NVME, which Azure Storage calls CRC64 */
} Content;

typedef struct {
    char name[64];
    long count, size;
    Content contents[2]; /* as it was, as it is when it has changed */
    atomic_int phase;    /* of 100 objects in a row, so many have changed */
} Bucket;

extern int data_file;
extern const char *data_bytes;
void data_open(const char *path);
uint64_t data_crc64(long offset, long count);
void base64_of(uint64_t crc64, int little, char text[13]);

Bucket *bucket_add(void);
Bucket *bucket_named(const char *name);
const Content *content_of(const Bucket *bucket, long number);
void key_of(long number, char *key); /* 18 bytes */
long number_of(const Bucket *bucket, const char *key); /* -1: there is none */
extern const char *WRITTEN_ON, *CHANGED_ON;

/* ---- s3.c, upload.c, azure.c, control.c: who answers ---- */

int s3_answer(Link *link, Request *request);
int upload_answer(Link *link, Request *request); /* of a bucket that is no source */
int azure_answer(Link *link, Request *request);
int control_answer(Link *link, Request *request);

/* ---- blobs.c: what the sink remembers ---- */

typedef struct Block {
    char id[96];
    long size;
    struct Block *next;
} Block;

typedef struct Blob {
    char *name; /* container/name */
    long size;  /* -1: not committed */
    char etag[24], md5[40], type[96], modified[30]; /* of S3 the ETag is in `md5` */
    char *metadata; /* as header lines */
    Block *staged, *committed;
    int commits, blocks_twice;
    struct Blob *next;
} Blob;

extern pthread_mutex_t blobs_lock; /* held by whoever calls these */
Blob *blob_find(const char *name, int make);
void blob_forget(Blob *blob);
void blobs_forget(const char *container);
Blob **blobs_sorted(size_t *count); /* by name; good until the lock is given back */
Block *block_find(Block *list, const char *id);
void block_stage(Blob *blob, const char *id, long size);
void blocks_free(Block *list);

/* ---- what was asked ---- */

#define COUNTERS(X) \
    X(connections) X(s3_list) X(s3_head) X(s3_get) X(s3_get_bytes) X(s3_put) X(s3_put_part) X(s3_other) \
    X(put_blob) X(put_block) X(put_block_list) X(get_block_list) X(list_blobs) X(head_blob) X(delete_blob) \
    X(from_url) X(from_url_bytes) X(received_bytes) X(azure_other) X(not_made)
extern atomic_long latency_ms; /* how long every request but those of the benchmark waits for its answer */
#define DECLARE(name) extern atomic_long count_##name;
COUNTERS(DECLARE)
#define COUNT(name) atomic_fetch_add_explicit(&count_##name, 1, memory_order_relaxed)
#define COUNT_MORE(name, much) atomic_fetch_add_explicit(&count_##name, (much), memory_order_relaxed)

#endif
