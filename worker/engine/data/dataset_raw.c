/* dataset_raw.c - the streaming reader of annotation JSON: the file, yajl's events, a stack of places.
 *
 * The place on top of the stack says what the next event means; PLACE_SKIP swallows every subtree that
 * nobody asked for. Nothing is kept of the file but the arrays of struct raw.
 */
#include "engine/data/dataset_parser.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yajl/yajl_parse.h>

/* ---- yajl's events --------------------------------------------------------------------------- */

/* A value where the place wants a list or an object. */
static int misplaced(struct parser *p)
{
    switch (p->stack[p->depth]) {
    case PLACE_FILE:
        return parser_refuse(p, ST_INVALID,
                             "the file must hold one JSON object with \"images\" and "
                             "\"annotations\" (docs/spec/data.md)");
    case PLACE_ROOT:
        if (p->field == FIELD_OTHER || p->field == FIELD_INFO)
            return 1;
        return parser_refuse(p, ST_INVALID,
                             "\"images\" and \"annotations\" must be lists of objects");
    case PLACE_IMAGES:
    case PLACE_ANNOTATIONS:
        return parser_refuse(p, ST_INVALID,
                             "\"images\" and \"annotations\" must be lists of objects");
    case PLACE_IMAGE:
    case PLACE_ANNOTATION:
        if (p->field == FIELD_OTHER)
            return 1;
        return parser_refuse(p, ST_INVALID, "a known key has a value of the wrong type");
    case PLACE_BBOX:
        return parser_refuse(p, ST_INVALID, "bbox must be four numbers");
    case PLACE_SPANS:
    case PLACE_SPAN:
        return parser_refuse(p, ST_INVALID,
                             "tokens_positive must be a list of [begin, end] integers");
    case PLACE_INFO:
    case PLACE_BLIND:
    case PLACE_BLIND_FAMILY:
    case PLACE_SKIP:
        return 1;
    }
    return 1;
}

static int on_scalar(void *arg)
{
    struct parser *p = arg;
    p->last_event = p->consumed;
    /* null stands for "absent" in files that convert from tables */
    return misplaced(p);
}

static int on_bool(void *arg, int v)
{
    struct parser *p = arg;
    if (p->stack[p->depth] == PLACE_ANNOTATION && p->field == FIELD_ISCROWD) {
        p->crowd = v;
        return 1;
    }
    return on_scalar(arg);
}

static int on_double(void *arg, double v)
{
    struct parser *p = arg;
    p->last_event = p->consumed;
    if (p->stack[p->depth] == PLACE_BBOX)
        return parser_bbox_number(p, v);
    if (p->stack[p->depth] == PLACE_BLIND_FAMILY)
        return parser_blind_number(p, v);
    return misplaced(p);
}

static int on_integer(void *arg, long long v)
{
    struct parser *p = arg;
    p->last_event = p->consumed;
    switch (p->stack[p->depth]) {
    case PLACE_IMAGE:
        return parser_image_integer(p, v);
    case PLACE_ANNOTATION:
        return parser_annotation_integer(p, v);
    case PLACE_SPAN:
        return parser_span_integer(p, v);
    default:
        return on_double(arg, (double)v);
    }
}

static int on_string(void *arg, const unsigned char *s, size_t len)
{
    struct parser *p = arg;
    p->last_event = p->consumed;
    if (p->stack[p->depth] == PLACE_IMAGE)
        return parser_image_text(p, s, len);
    return misplaced(p);
}

static int on_key(void *arg, const unsigned char *s, size_t len)
{
    struct parser *p = arg;
    p->last_event = p->consumed;
    enum place here = p->stack[p->depth];
    if (here == PLACE_BLIND) {
        p->field = FIELD_OTHER;
        p->blind = parser_family(p, s, len);
        return p->blind != NULL;
    }
    p->field = parser_field(here, s, len);
    if (here == PLACE_ROOT)
        p->seen_root |= parser_bit(p->field);
    return 1;
}

static int push(struct parser *p, enum place place)
{
    if (p->depth + 1 == RAW_NESTING_MAX) {
        err_set(p->err, ST_LIMIT, "%s nests deeper than %d levels: not an annotation file", p->path,
                RAW_NESTING_MAX);
        return 0;
    }
    p->stack[++p->depth] = place;
    p->last_event = p->consumed;
    return 1;
}

static int on_map_start(void *arg)
{
    struct parser *p = arg;
    switch (p->stack[p->depth]) {
    case PLACE_FILE:
        return push(p, PLACE_ROOT);
    case PLACE_ROOT:
        if (p->field == FIELD_IMAGES || p->field == FIELD_ANNOTATIONS)
            return misplaced(p);
        return push(p, p->field == FIELD_INFO ? PLACE_INFO : PLACE_SKIP);
    case PLACE_INFO:
        return push(p, p->field == FIELD_BLIND ? PLACE_BLIND : PLACE_SKIP);
    case PLACE_BLIND:
        return push(p, PLACE_BLIND_FAMILY);
    case PLACE_IMAGES:
        p->seen = 0;
        p->record = (struct raw_record){.family = -1};
        return push(p, PLACE_IMAGE);
    case PLACE_ANNOTATIONS:
        p->seen = 0;
        p->box = (struct raw_box){.first_span = p->raw->spans};
        p->crowd = false;
        return push(p, PLACE_ANNOTATION);
    case PLACE_IMAGE:
    case PLACE_ANNOTATION:
    case PLACE_BBOX:
    case PLACE_SPANS:
    case PLACE_SPAN:
        if (!misplaced(p))
            return 0;
        break;
    case PLACE_BLIND_FAMILY:
    case PLACE_SKIP:
        break;
    }
    return push(p, PLACE_SKIP);
}

static int on_array_start(void *arg)
{
    struct parser *p = arg;
    enum place here = p->stack[p->depth];
    if (here == PLACE_ROOT && p->field == FIELD_IMAGES)
        return push(p, PLACE_IMAGES);
    if (here == PLACE_ROOT && p->field == FIELD_ANNOTATIONS)
        return push(p, PLACE_ANNOTATIONS);
    if (here == PLACE_ANNOTATION && p->field == FIELD_BBOX) {
        p->numbers = 0;
        return push(p, PLACE_BBOX);
    }
    if (here == PLACE_ANNOTATION && p->field == FIELD_SPANS)
        return push(p, PLACE_SPANS);
    if (here == PLACE_SPANS) {
        p->numbers = 0;
        return push(p, PLACE_SPAN);
    }
    return misplaced(p) && push(p, PLACE_SKIP);
}

static int on_map_end(void *arg)
{
    struct parser *p = arg;
    p->last_event = p->consumed;
    enum place here = p->stack[p->depth];
    if ((here == PLACE_IMAGE && !parser_end_image(p)) ||
        (here == PLACE_ANNOTATION && !parser_end_annotation(p)))
        return 0;
    p->depth--;
    p->field = FIELD_OTHER;
    return here != PLACE_ROOT || parser_complete(p, PLACE_ROOT, p->seen_root);
}

static int on_array_end(void *arg)
{
    struct parser *p = arg;
    p->last_event = p->consumed;
    switch (p->stack[p->depth--]) {
    case PLACE_BBOX:
        return parser_end_bbox(p);
    case PLACE_SPAN:
        return parser_end_span(p);
    default:
        return 1;
    }
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_scalar,
    .yajl_boolean = on_bool,
    .yajl_integer = on_integer,
    .yajl_double = on_double,
    .yajl_string = on_string,
    .yajl_start_map = on_map_start,
    .yajl_map_key = on_key,
    .yajl_end_map = on_map_end,
    .yajl_start_array = on_array_start,
    .yajl_end_array = on_array_end,
};

/* ---- the file -------------------------------------------------------------------------------- */

/* yajl's one-line reason for a syntax error, with the byte. */
static enum status syntax_error(struct parser *p, yajl_handle y, const unsigned char *chunk,
                                size_t len)
{
    char reason[160] = "syntax error";
    unsigned char *text = yajl_get_error(y, 0, chunk, len);
    if (text) {
        snprintf(reason, sizeof reason, "%s", (char *)text);
        reason[strcspn(reason, "\n")] = '\0';
        yajl_free_error(y, text);
    }
    return err_set(p->err, ST_CORRUPT, "%s is not valid JSON at byte %lld: %s", p->path,
                   (long long)p->consumed + (long long)yajl_get_bytes_consumed(y), reason);
}

static enum status feed(struct parser *p, yajl_handle y, const unsigned char *chunk, size_t len)
{
    yajl_status st = yajl_parse(y, chunk, len);
    if (st == yajl_status_client_canceled)
        return p->err->code;
    if (st != yajl_status_ok)
        return syntax_error(p, y, chunk, len);
    p->consumed += (int64_t)len;
    if (p->consumed - p->last_event > RAW_VALUE_MAX)
        return err_set(p->err, ST_LIMIT,
                       "%s: a single value before byte %lld is longer than 16 MiB: not an "
                       "annotation file",
                       p->path, (long long)p->consumed);
    return ST_OK;
}

static enum status finish(struct parser *p, yajl_handle y)
{
    if (!p->consumed)
        return err_set(p->err, ST_CORRUPT, "%s is empty (0 bytes); fetch or make it again",
                       p->path);
    yajl_status st = yajl_complete_parse(y);
    if (st == yajl_status_client_canceled)
        return p->err->code;
    if (st != yajl_status_ok || p->depth)
        return err_set(p->err, ST_CORRUPT,
                       "%s is cut off: the JSON is not complete at its end (byte %lld); fetch or "
                       "make it again",
                       p->path, (long long)p->consumed);
    return ST_OK;
}

static enum status parse_fd(struct parser *p, yajl_handle y, int fd)
{
    static const size_t chunk = 65536;
    unsigned char *data = malloc(chunk);
    if (!data)
        return err_set(p->err, ST_NOMEM, "out of memory reading %s", p->path);
    enum status st = ST_OK;
    while (st == ST_OK) {
        ssize_t n = read(fd, data, chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            st = err_errno(p->err, "reading %s", p->path);
        if (n <= 0)
            break;
        st = feed(p, y, data, (size_t)n);
    }
    free(data);
    return st == ST_OK ? finish(p, y) : st;
}

enum status raw_read(struct raw *ret_raw, const char *path, struct err *err)
{
    struct raw raw = {0};
    struct err own = {0};
    struct parser p = {.raw = &raw, .err = &own, .path = path};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "annotation file %s", path);
    enum status st;
    yajl_handle y = yajl_alloc(&callbacks, NULL, &p);
    if (y)
        st = parse_fd(&p, y, fd);
    else
        st = err_set(&own, ST_NOMEM, "out of memory reading %s", path);
    if (y)
        yajl_free(y);
    close(fd);
    if (st == ST_OK) {
        *ret_raw = raw;
        return ST_OK;
    }
    raw_fini(&raw);
    return err_set(err, st, "%s", own.text);
}

void raw_fini(struct raw *raw)
{
    free(raw->record);
    free(raw->box);
    free(raw->span);
    free(raw->text);
    *raw = (struct raw){0};
}
