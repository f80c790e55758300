/* nullsrv CONFIG [CERTIFICATE KEY]: listens on two free ports of 127.0.0.1, plain and TLS, and prints "ready PLAIN TLS" (0: no TLS).

   Lines of CONFIG: `data FILE`, then `bucket NAME COUNT SIZE OFFSET MD5 CRC64 OFFSET MD5 CRC64`: where the bytes of its objects begin in the file,
   their MD5 and CRC64NVME in hexadecimal, and the same for those of them that have changed. It ends with the process that started it. */
#include "null.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    int listener, tls;
} Port;

static int configure(const char *path) {
    char line[4096], file[3072];
    FILE *config = fopen(path, "r");
    while (config && fgets(line, sizeof line, config)) {
        if (sscanf(line, "data %3071[^\n]", file) == 1) {
            data_open(file);
            continue;
        }
        Bucket *bucket = bucket_add();
        Content *was = bucket->contents, *is = was + 1;
        if (!bucket || sscanf(line, "bucket %63s %ld %ld %ld %32s %lx %ld %32s %lx", bucket->name, &bucket->count, &bucket->size, &was->offset, was->md5,
                              &was->crc64, &is->offset, is->md5, &is->crc64) != 9) return 0;
    }
    return config && data_bytes;
}

static int answer_one(Link *link, Request *request) {
    if (!strncmp(request->path, "/-/", 3)) return link_discard(link, request->length) && control_answer(link, request);
    if (latency_ms) usleep(latency_ms * 1000);
    if (*field(request, "transfer-encoding")) return refuse(link, request, 411, "MissingContentLength"), 0;
    return !strncmp(request->path, "/benchaccount", 13) ? azure_answer(link, request) : s3_answer(link, request);
}

static void *serve(void *given) {
    int socket = (int)((long)given >> 1), one = 1;
    Link link = {.socket = socket, .buffer = malloc(BUFFER_BYTES)};
    Request *request = malloc(sizeof *request);
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    COUNT(connections);
    if (!((long)given & 1) || (link.tls = tls_accept(socket)))
        while (link_next(&link, request) && answer_one(&link, request) && strcasecmp(field(request, "connection"), "close")) continue;
    if (link.tls) tls_end(link.tls);
    close(socket);
    free(link.buffer);
    free(request);
    return NULL;
}

static void *accept_all(void *given) {
    const Port *port = given;
    pthread_attr_t kind;
    pthread_t thread;
    pthread_attr_init(&kind);
    pthread_attr_setdetachstate(&kind, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&kind, 512 << 10);
    for (;;) {
        int socket = accept4(port->listener, NULL, NULL, SOCK_CLOEXEC);
        if (socket >= 0 && pthread_create(&thread, &kind, serve, (void *)((long)socket << 1 | port->tls))) close(socket);
    }
    return NULL;
}

static int listen_on_a_free_port(int *listener) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    *listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(*listener, (void *)&address, length) || listen(*listener, 512) || getsockname(*listener, (void *)&address, &length)) {
        perror("listen");
        exit(1);
    }
    return ntohs(address.sin_port);
}

int main(int count, char **given) {
    static Port plain, tls = {.tls = 1};
    pthread_t thread;
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (count < 2 || !configure(given[1])) {
        fprintf(stderr, "nullsrv: the configuration cannot be used\n");
        return 2;
    }
    int has_tls = count == 4 && tls_prepare(given[2], given[3]);
    int number = listen_on_a_free_port(&plain.listener), tls_number = has_tls ? listen_on_a_free_port(&tls.listener) : 0;
    printf("ready %d %d\n", number, tls_number);
    fflush(stdout);
    if (has_tls) pthread_create(&thread, NULL, accept_all, &tls);
    accept_all(&plain);
    return 0;
}
