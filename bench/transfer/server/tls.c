/* TLS by OpenSSL, where its headers are: without them (-DNO_TLS) there is no TLS port. */
#include "null.h"
#ifdef NO_TLS
int tls_prepare(const char *certificate, const char *key) { (void)certificate, (void)key; return 0; }
void *tls_accept(int socket) { (void)socket; return NULL; }
long tls_read(void *tls, char *into, size_t room) { (void)tls, (void)into, (void)room; return -1; }
long tls_write(void *tls, const char *data, size_t count) { (void)tls, (void)data, (void)count; return -1; }
void tls_end(void *tls) { (void)tls; }
#else
#include <openssl/ssl.h>

static SSL_CTX *context;

int tls_prepare(const char *certificate, const char *key) {
    context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    return SSL_CTX_use_certificate_chain_file(context, certificate) == 1 && SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1;
}

void *tls_accept(int socket) {
    SSL *tls = SSL_new(context);
    SSL_set_fd(tls, socket);
    if (SSL_accept(tls) == 1) return tls;
    SSL_free(tls);
    return NULL;
}

long tls_read(void *tls, char *into, size_t room) { return SSL_read(tls, into, room < 1 << 30 ? (int)room : 1 << 30); }

long tls_write(void *tls, const char *data, size_t count) { return SSL_write(tls, data, count < 1 << 30 ? (int)count : 1 << 30); }

void tls_end(void *tls) { SSL_free(tls); }
#endif
