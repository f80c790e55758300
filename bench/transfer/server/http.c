/* HTTP/1.1 as far as these clients speak it. */
#include "null.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static long take(Link *link, char *into, size_t room) {
    return link->tls ? tls_read(link->tls, into, room) : recv(link->socket, into, room, 0);
}

static int receive(Link *link) {
    if (link->from == link->to) link->from = link->to = 0;
    if (link->from) {
        memmove(link->buffer, link->buffer + link->from, link->to - link->from);
        link->to -= link->from;
        link->from = 0;
    }
    if (link->to >= BUFFER_BYTES - 1) return 0;
    long got = take(link, link->buffer + link->to, BUFFER_BYTES - 1 - link->to);
    if (got <= 0) return 0;
    link->to += got;
    return 1;
}

static void parse(char *text, Request *request) {
    char *line = strsep(&text, "\n");
    request->method = strsep(&line, " ");
    request->path = line ? strsep(&line, " ") : NULL;
    if (!request->path) request->path = request->method + strlen(request->method);
    request->query = strchr(request->path, '?');
    if (request->query) *request->query++ = 0;
    else request->query = "";
    request->count = 0;
    while ((line = strsep(&text, "\n")) && *line && *line != '\r' && request->count < MOST_FIELDS) {
        char *value = strchr(line, ':');
        if (!value) continue;
        *value++ = 0;
        while (*value == ' ') value++;
        value[strcspn(value, "\r")] = 0;
        for (char *c = line; *c; c++) *c = tolower((unsigned char)*c);
        request->fields[request->count++] = (Field){line, value};
    }
    request->length = atol(field(request, "content-length"));
}

int link_next(Link *link, Request *request) {
    char *end;
    while (!(end = memmem(link->buffer + link->from, link->to - link->from, "\r\n\r\n", 4)))
        if (!receive(link)) return 0;
    char *begin = link->buffer + link->from;
    end[2] = 0;
    link->from = end + 4 - link->buffer;
    parse(begin, request);
    if (!strcasecmp(field(request, "expect"), "100-continue")) return link_write(link, "HTTP/1.1 100 Continue\r\n\r\n", 25, 0);
    return 1;
}

static long from_buffer(Link *link, char *into, long count) {
    long there = link->to - link->from;
    if (there > count) there = count;
    if (into) memcpy(into, link->buffer + link->from, there);
    link->from += there;
    return there;
}

int link_discard(Link *link, long count) {
    static _Thread_local char rest[64 << 10];
    for (count -= from_buffer(link, NULL, count); count > 0;) {
        long got = link->tls ? tls_read(link->tls, rest, count < (long)sizeof rest ? count : (long)sizeof rest)
                             : recv(link->socket, NULL, count < 4 << 20 ? count : 4 << 20, MSG_TRUNC);
        if (got <= 0) return 0;
        count -= got;
    }
    return 1;
}

char *link_body(Link *link, long count) {
    char *body = malloc(count + 1);
    for (long have = from_buffer(link, body, count), got; have < count; have += got)
        if ((got = take(link, body + have, count - have)) <= 0) {
            free(body);
            return NULL;
        }
    body[count] = 0;
    return body;
}

int link_write(Link *link, const char *data, size_t count, int more) {
    while (count) {
        long sent = link->tls ? tls_write(link->tls, data, count) : send(link->socket, data, count, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
        if (sent <= 0) return 0;
        data += sent;
        count -= sent;
    }
    return 1;
}

int link_file(Link *link, long offset, long count) {
    if (link->tls) return link_write(link, data_bytes + offset, count, 0);
    for (off_t at = offset; count > 0;) {
        long sent = sendfile(link->socket, data_file, &at, count);
        if (sent <= 0) return 0;
        count -= sent;
    }
    return 1;
}

int answer(Link *link, const Request *request, int status, const char *fields, const char *type, const char *body, long length) {
    char head[HEAD_BYTES], date[30];
    int count = snprintf(head, sizeof head,
                         "HTTP/1.1 %d %s\r\nServer: null\r\nDate: %s\r\nx-ms-version: 2026-10-06\r\nx-ms-request-id: 0\r\nx-amz-request-id: 0\r\n"
                         "%s%s%s%sContent-Length: %ld\r\n\r\n",
                         status, status < 400 ? "OK" : "Refused", http_date(date), *type ? "Content-Type: " : "", type, *type ? "\r\n" : "", fields, length);
    if (count >= (int)sizeof head) return 0;
    int follows = length && strcmp(request->method, "HEAD");
    return link_write(link, head, count, follows) && (!follows || !body || link_write(link, body, length, 0));
}

int refuse(Link *link, const Request *request, int status, const char *code) {
    char body[512], fields[160];
    int count = snprintf(body, sizeof body, "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>%s</Code><Message>%s</Message></Error>", code, code);
    snprintf(fields, sizeof fields, "x-ms-error-code: %s\r\n", code);
    return answer(link, request, status, fields, "application/xml", body, count);
}

int not_made(Link *link, const Request *request) {
    COUNT(not_made);
    fprintf(stderr, "not made: %s %s?%s\n", request->method, request->path, request->query);
    return refuse(link, request, 501, "NotImplemented");
}

const char *field(const Request *request, const char *name) {
    for (int i = 0; i < request->count; i++)
        if (!strcmp(request->fields[i].name, name)) return request->fields[i].value;
    return "";
}

void decode(char *text) {
    char *to = text, digits[3] = "";
    for (char *from = text; *from; from++, to++) {
        if (*from == '%' && isxdigit((unsigned char)from[1]) && isxdigit((unsigned char)from[2])) {
            memcpy(digits, from + 1, 2);
            *to = (char)strtol(digits, NULL, 16);
            from += 2;
        } else *to = *from;
    }
    *to = 0;
}

int option(const Request *request, const char *name, char *value, size_t room) {
    size_t length = strlen(name);
    for (const char *at = request->query; *at; at += *at == '&') {
        size_t whole = strcspn(at, "&");
        if (!strncmp(at, name, length) && (at[length] == '=' || length == whole)) {
            size_t skip = length + (at[length] == '=');
            snprintf(value, room, "%.*s", (int)(whole - skip), at + skip);
            for (char *c = value; *c; c++) if (*c == '+') *c = ' ';
            decode(value);
            return 1;
        }
        at += whole;
    }
    *value = 0;
    return 0;
}

int is_option(const Request *request, const char *name, const char *value) {
    char found[64];
    return option(request, name, found, sizeof found) && !strcmp(found, value);
}

int range_of(const char *text, long size, long *first, long *count) {
    long last = size - 1;
    if (sscanf(text, "bytes=%ld-%ld", first, &last) < 1 || *first < 0 || *first >= size) return 0;
    if (last >= size) last = size - 1;
    *count = last - *first + 1;
    return 1;
}

const char *http_date(char *text) {
    time_t now = time(NULL);
    struct tm parts;
    strftime(text, 30, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &parts));
    return text;
}

void add(Text *text, const char *format, ...) {
    if (text->room - text->length < 16384) {
        text->room = text->room * 2 + 65536;
        text->text = realloc(text->text, text->room);
    }
    va_list values;
    va_start(values, format);
    int count = vsnprintf(text->text + text->length, text->room - text->length, format, values);
    va_end(values);
    size_t left = text->room - text->length - 1;
    text->length += (size_t)count < left ? (size_t)count : left;
}

void add_escaped(Text *text, const char *value) {
    for (; *value; value++) {
        size_t plain = strcspn(value, "&<>\"");
        add(text, "%.*s", (int)(plain < 4000 ? plain : 4000), value);
        value += plain < 4000 ? plain : 4000;
        if (!*value) return;
        add(text, *value == '&' ? "&amp;" : *value == '<' ? "&lt;" : *value == '>' ? "&gt;" : "&quot;");
    }
}
