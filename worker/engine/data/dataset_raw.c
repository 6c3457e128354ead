/* dataset_raw.c - the streaming reader of annotation JSON: yajl's events, a stack of places, flat
 * arrays.
 *
 * The place on top of the stack says what the next event means; PLACE_SKIP swallows every subtree
 * that nobody asked for. Nothing is kept of the file but the arrays of struct raw.
 */
#include "engine/data/dataset_raw.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yajl/yajl_parse.h>

enum place {
    PLACE_FILE, /* before and after the root object */
    PLACE_ROOT,
    PLACE_INFO,
    PLACE_BLIND, /* info.blind: family -> object */
    PLACE_BLIND_FAMILY,
    PLACE_IMAGES, /* the array */
    PLACE_IMAGE,  /* one of its objects */
    PLACE_ANNOTATIONS,
    PLACE_ANNOTATION,
    PLACE_BBOX,
    PLACE_SPANS,
    PLACE_SPAN,
    PLACE_SKIP,
};

enum field {
    FIELD_OTHER,
    FIELD_ID,
    FIELD_ORIGINAL_ID,
    FIELD_FILE_NAME,
    FIELD_WIDTH,
    FIELD_HEIGHT,
    FIELD_CAPTION,
    FIELD_FAMILY,
    FIELD_IMAGE_ID,
    FIELD_BBOX,
    FIELD_SPANS,
    FIELD_ISCROWD,
    FIELD_IMAGES,
    FIELD_ANNOTATIONS,
    FIELD_INFO,
    FIELD_BLIND,
    FIELD_RANDOM,
    FIELD_HEAD_NOUN,
    FIELD_ATTRIBUTES,
};

static const struct known_key {
    enum place place;
    const char *key;
    enum field field;
    bool needed;
} known_keys[] = {
    {PLACE_ROOT, "info", FIELD_INFO, false},
    {PLACE_ROOT, "images", FIELD_IMAGES, true},
    {PLACE_ROOT, "annotations", FIELD_ANNOTATIONS, true},
    {PLACE_INFO, "blind", FIELD_BLIND, false},
    {PLACE_BLIND_FAMILY, "random", FIELD_RANDOM, false},
    {PLACE_BLIND_FAMILY, "head_noun", FIELD_HEAD_NOUN, false},
    {PLACE_BLIND_FAMILY, "attributes", FIELD_ATTRIBUTES, false},
    {PLACE_IMAGE, "id", FIELD_ID, true},
    {PLACE_IMAGE, "original_id", FIELD_ORIGINAL_ID, false},
    {PLACE_IMAGE, "file_name", FIELD_FILE_NAME, true},
    {PLACE_IMAGE, "width", FIELD_WIDTH, true},
    {PLACE_IMAGE, "height", FIELD_HEIGHT, true},
    {PLACE_IMAGE, "caption", FIELD_CAPTION, true},
    {PLACE_IMAGE, "family", FIELD_FAMILY, false},
    {PLACE_ANNOTATION, "id", FIELD_ID, true},
    {PLACE_ANNOTATION, "image_id", FIELD_IMAGE_ID, true},
    {PLACE_ANNOTATION, "bbox", FIELD_BBOX, true},
    {PLACE_ANNOTATION, "tokens_positive", FIELD_SPANS, false},
    {PLACE_ANNOTATION, "iscrowd", FIELD_ISCROWD, false},
};
#define KNOWN_KEYS ((int)(sizeof known_keys / sizeof known_keys[0]))

struct parser {
    struct raw *raw;
    struct err *err;
    const char *path;
    int64_t consumed;   /* bytes given to yajl before the present chunk */
    int64_t last_event; /* consumed when the last event came: bounds the size of one value */
    enum place stack[RAW_NESTING_MAX];
    int depth;
    enum field field; /* key whose value comes next */
    uint32_t seen;    /* fields of the present image or annotation */
    uint32_t seen_root;
    struct raw_record record;
    struct raw_box box;
    bool crowd;
    int numbers; /* in the present bbox or span */
    struct span span;
    struct dataset_family *blind;
};

static uint32_t bit(enum field f)
{
    return 1u << f;
}

/* Callbacks end the parse by returning 0; p->err then holds the sentence. */
static int refuse(struct parser *p, enum status st, const char *what)
{
    bool image = p->stack[p->depth] == PLACE_IMAGE;
    bool has_id = p->seen & bit(FIELD_ID);
    if (p->depth < 2 || p->stack[2] == PLACE_SKIP)
        err_set(p->err, st, "%s: %s", p->path, what);
    else if (has_id)
        err_set(p->err, st, "%s: %s %lld: %s", p->path, image ? "record" : "annotation",
                (long long)(image ? p->record.id : p->box.id), what);
    else
        err_set(p->err, st, "%s: entry %lld of \"%s\": %s", p->path,
                (long long)(image ? p->raw->records : p->raw->boxes),
                image ? "images" : "annotations", what);
    return 0;
}

static int no_memory(struct parser *p)
{
    err_set(p->err, ST_NOMEM, "%s: out of memory after %lld records", p->path,
            (long long)p->raw->records);
    return 0;
}

/* Makes room for one more element; false: p->err is set. */
static bool room(struct parser *p, void **array, int64_t used, int64_t *have, size_t item,
                 int64_t max, const char *what)
{
    if (used < *have)
        return true;
    if (used >= max) {
        err_set(p->err, ST_LIMIT, "%s has more than %lld %s; split the file", p->path,
                (long long)max, what);
        return false;
    }
    int64_t n = *have ? *have * 2 : 1024;
    if (n > max)
        n = max;
    void *grown = realloc(*array, (size_t)n * item);
    if (!grown) {
        no_memory(p);
        return false;
    }
    *array = grown;
    *have = n;
    return true;
}

/* Keeps a string; false: p->err is set. */
static bool keep(struct parser *p, size_t *ret_offset, const unsigned char *s, size_t len)
{
    struct raw *r = p->raw;
    if (len + 1 > RAW_TEXT_MAX - r->text_len) {
        err_set(p->err, ST_LIMIT, "%s holds more than 4 GiB of text; split the file", p->path);
        return false;
    }
    if (r->text_len + len + 1 > r->text_room) {
        size_t n = r->text_room ? r->text_room * 2 : 65536;
        while (n < r->text_len + len + 1)
            n *= 2;
        char *grown = realloc(r->text, n);
        if (!grown) {
            no_memory(p);
            return false;
        }
        r->text = grown;
        r->text_room = n;
    }
    memcpy(r->text + r->text_len, s, len);
    r->text[r->text_len + len] = '\0';
    *ret_offset = r->text_len;
    r->text_len += len + 1;
    return true;
}

/* The family of this name, added when it is new; NULL: p->err is set. */
static struct dataset_family *family_of(struct parser *p, const unsigned char *s, size_t len)
{
    struct raw *r = p->raw;
    if (!len || len > DATASET_FAMILY_MAX || memchr(s, 0, len)) {
        refuse(p, ST_INVALID, "a family's name must have 1 to 31 bytes");
        return NULL;
    }
    for (int i = 0; i < r->families; i++)
        if (strlen(r->family[i].name) == len && !memcmp(r->family[i].name, s, len))
            return &r->family[i];
    if (r->families == DATASET_FAMILIES) {
        refuse(p, ST_LIMIT, "more than 15 different families in one file");
        return NULL;
    }
    struct dataset_family *f = &r->family[r->families++];
    *f = (struct dataset_family){.random = NAN, .head_noun = NAN, .attributes = NAN};
    memcpy(f->name, s, len);
    return f;
}

/* ---- values -----------------------------------------------------------------------------------
 */

static int image_text(struct parser *p, const unsigned char *s, size_t len)
{
    struct dataset_family *family;
    if (p->field == FIELD_OTHER)
        return 1;
    if (p->field == FIELD_FAMILY) {
        family = family_of(p, s, len);
        if (!family)
            return 0;
        p->record.family = (int32_t)(family - p->raw->family);
        return 1;
    }
    if (p->field != FIELD_CAPTION && p->field != FIELD_FILE_NAME)
        return refuse(p, ST_INVALID, "id, original_id, width and height must be integers");
    if (!len || memchr(s, 0, len))
        return refuse(p, ST_INVALID, "caption and file_name must be texts without NUL, not empty");
    p->seen |= bit(p->field);
    return keep(p, p->field == FIELD_CAPTION ? &p->record.caption : &p->record.file_name, s, len);
}

static int image_integer(struct parser *p, int64_t v)
{
    switch (p->field) {
    case FIELD_ID:
        p->record.id = v;
        break;
    case FIELD_ORIGINAL_ID:
        p->record.original_id = v;
        break;
    case FIELD_WIDTH:
    case FIELD_HEIGHT:
        if (v < 1 || v > DATASET_SIDE_MAX)
            return refuse(p, ST_INVALID, "width and height must be 1 to 8192 pixels");
        *(p->field == FIELD_WIDTH ? &p->record.width : &p->record.height) = (int32_t)v;
        break;
    case FIELD_CAPTION:
    case FIELD_FILE_NAME:
    case FIELD_FAMILY:
        return refuse(p, ST_INVALID, "caption, file_name and family must be texts");
    default:
        return 1;
    }
    p->seen |= bit(p->field);
    return 1;
}

static int annotation_integer(struct parser *p, int64_t v)
{
    switch (p->field) {
    case FIELD_ID:
        p->box.id = v;
        break;
    case FIELD_IMAGE_ID:
        p->box.image_id = v;
        break;
    case FIELD_ISCROWD:
        p->crowd = v != 0;
        break;
    case FIELD_BBOX:
    case FIELD_SPANS:
        return refuse(p, ST_INVALID, "bbox and tokens_positive must be lists");
    default:
        return 1;
    }
    p->seen |= bit(p->field);
    return 1;
}

static int span_integer(struct parser *p, int64_t v)
{
    if (p->numbers >= 2)
        return refuse(p, ST_INVALID, "a span of tokens_positive must be [begin, end]");
    if (v < 0 || v > DATASET_CAPTION_MAX)
        return refuse(p, ST_INVALID, "a span of tokens_positive lies outside the caption");
    *(p->numbers++ ? &p->span.end : &p->span.begin) = (int32_t)v;
    return 1;
}

static int bbox_number(struct parser *p, double v)
{
    if (p->numbers >= 4)
        return refuse(p, ST_INVALID, "bbox must be [x, y, width, height]");
    p->box.bbox[p->numbers++] = v;
    return 1;
}

static int blind_number(struct parser *p, double v)
{
    if (p->field == FIELD_RANDOM)
        p->blind->random = v;
    else if (p->field == FIELD_HEAD_NOUN)
        p->blind->head_noun = v;
    else if (p->field == FIELD_ATTRIBUTES)
        p->blind->attributes = v;
    return 1;
}

/* ---- yajl's events ----------------------------------------------------------------------------
 */

/* A value where the place wants a list or an object. */
static int misplaced(struct parser *p)
{
    switch (p->stack[p->depth]) {
    case PLACE_FILE:
        return refuse(p, ST_INVALID,
                      "the file must hold one JSON object with \"images\" and "
                      "\"annotations\" (docs/spec/data.md)");
    case PLACE_ROOT:
        if (p->field == FIELD_OTHER || p->field == FIELD_INFO)
            return 1;
        return refuse(p, ST_INVALID, "\"images\" and \"annotations\" must be lists of objects");
    case PLACE_IMAGES:
    case PLACE_ANNOTATIONS:
        return refuse(p, ST_INVALID, "\"images\" and \"annotations\" must be lists of objects");
    case PLACE_IMAGE:
        if (p->field == FIELD_OTHER)
            return 1;
        return refuse(p, ST_INVALID, "a known key has a value of the wrong type");
    case PLACE_ANNOTATION:
        if (p->field == FIELD_OTHER)
            return 1;
        return refuse(p, ST_INVALID, "a known key has a value of the wrong type");
    case PLACE_BBOX:
        return refuse(p, ST_INVALID, "bbox must be four numbers");
    case PLACE_SPANS:
    case PLACE_SPAN:
        return refuse(p, ST_INVALID, "tokens_positive must be a list of [begin, end] integers");
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
        return bbox_number(p, v);
    if (p->stack[p->depth] == PLACE_BLIND_FAMILY)
        return blind_number(p, v);
    return misplaced(p);
}

static int on_integer(void *arg, long long v)
{
    struct parser *p = arg;
    p->last_event = p->consumed;
    switch (p->stack[p->depth]) {
    case PLACE_IMAGE:
        return image_integer(p, v);
    case PLACE_ANNOTATION:
        return annotation_integer(p, v);
    case PLACE_SPAN:
        return span_integer(p, v);
    default:
        return on_double(arg, (double)v);
    }
}

static int on_string(void *arg, const unsigned char *s, size_t len)
{
    struct parser *p = arg;
    p->last_event = p->consumed;
    if (p->stack[p->depth] == PLACE_IMAGE)
        return image_text(p, s, len);
    return misplaced(p);
}

static int on_key(void *arg, const unsigned char *s, size_t len)
{
    struct parser *p = arg;
    p->last_event = p->consumed;
    enum place here = p->stack[p->depth];
    p->field = FIELD_OTHER;
    if (here == PLACE_BLIND) {
        p->blind = family_of(p, s, len);
        return p->blind != NULL;
    }
    for (int i = 0; i < KNOWN_KEYS; i++)
        if (known_keys[i].place == here && strlen(known_keys[i].key) == len &&
            !memcmp(known_keys[i].key, s, len))
            p->field = known_keys[i].field;
    if (here == PLACE_ROOT)
        p->seen_root |= bit(p->field);
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

/* The first needed key that the object at `place` lacks; NULL when none. */
static const char *lacking(enum place place, uint32_t seen)
{
    for (int i = 0; i < KNOWN_KEYS; i++)
        if (known_keys[i].place == place && known_keys[i].needed &&
            !(seen & bit(known_keys[i].field)))
            return known_keys[i].key;
    return NULL;
}

static int complete(struct parser *p, enum place place, uint32_t seen)
{
    const char *key = lacking(place, seen);
    if (!key)
        return 1;
    char text[64];
    snprintf(text, sizeof text, "the key \"%s\" is missing", key);
    return refuse(p, ST_INVALID, text);
}

static int end_image(struct parser *p)
{
    struct raw *r = p->raw;
    if (!complete(p, PLACE_IMAGE, p->seen) ||
        !room(p, (void **)&r->record, r->records, &r->record_room, sizeof *r->record,
              RAW_RECORDS_MAX, "records"))
        return 0;
    if (!(p->seen & bit(FIELD_ORIGINAL_ID)))
        p->record.original_id = p->record.id;
    if (p->record.family >= 0)
        r->family[p->record.family].records++;
    r->record[r->records++] = p->record;
    return 1;
}

static int end_annotation(struct parser *p)
{
    struct raw *r = p->raw;
    if (!complete(p, PLACE_ANNOTATION, p->seen))
        return 0;
    if (p->crowd) {
        r->spans = p->box.first_span;
        return 1;
    }
    if (!room(p, (void **)&r->box, r->boxes, &r->box_room, sizeof *r->box, RAW_BOXES_MAX,
              "annotations"))
        return 0;
    p->box.spans = (int32_t)(r->spans - p->box.first_span);
    r->box[r->boxes++] = p->box;
    return 1;
}

static int on_map_end(void *arg)
{
    struct parser *p = arg;
    p->last_event = p->consumed;
    enum place here = p->stack[p->depth];
    if ((here == PLACE_IMAGE && !end_image(p)) || (here == PLACE_ANNOTATION && !end_annotation(p)))
        return 0;
    p->depth--;
    p->field = FIELD_OTHER;
    return here != PLACE_ROOT || complete(p, PLACE_ROOT, p->seen_root);
}

static int on_array_end(void *arg)
{
    struct parser *p = arg;
    struct raw *r = p->raw;
    p->last_event = p->consumed;
    enum place here = p->stack[p->depth--];
    if (here == PLACE_BBOX) {
        p->seen |= bit(FIELD_BBOX);
        if (p->numbers != 4)
            return refuse(p, ST_INVALID, "bbox must be [x, y, width, height]");
    }
    if (here == PLACE_SPAN) {
        if (p->numbers != 2)
            return refuse(p, ST_INVALID, "a span of tokens_positive must be [begin, end]");
        if (!room(p, (void **)&r->span, r->spans, &r->span_room, sizeof *r->span, RAW_SPANS_MAX,
                  "spans"))
            return 0;
        r->span[r->spans++] = p->span;
    }
    return 1;
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

/* ---- the file ---------------------------------------------------------------------------------
 */

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
                   (long long)(p->consumed + (int64_t)yajl_get_bytes_consumed(y)), reason);
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
