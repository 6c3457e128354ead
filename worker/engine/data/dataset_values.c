/* dataset_values.c - what a value of an annotation file means where it stands: types, ranges, needed keys, and
 * the arrays that it goes into. See dataset_parser.h. */
#include "engine/data/dataset_parser.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

uint32_t parser_bit(enum field f)
{
    return 1u << f;
}

/* Callbacks end the parse by returning 0; p->err then holds the sentence. */
int parser_refuse(struct parser *p, enum status st, const char *what)
{
    enum place list = p->depth >= 2 ? p->stack[2] : PLACE_FILE;
    bool image = list == PLACE_IMAGES;
    if (!image && list != PLACE_ANNOTATIONS)
        err_set(p->err, st, "%s: %s", p->path, what);
    else if (p->depth >= 3 && (p->seen & parser_bit(FIELD_ID)))
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
struct dataset_family *parser_family(struct parser *p, const unsigned char *s, size_t len)
{
    struct raw *r = p->raw;
    if (!len || len > DATASET_FAMILY_MAX || memchr(s, 0, len)) {
        parser_refuse(p, ST_INVALID, "a family's name must have 1 to 31 bytes");
        return NULL;
    }
    for (int i = 0; i < r->families; i++)
        if (strlen(r->family[i].name) == len && !memcmp(r->family[i].name, s, len))
            return &r->family[i];
    if (r->families == DATASET_FAMILIES) {
        parser_refuse(p, ST_LIMIT, "more than 15 different families in one file");
        return NULL;
    }
    struct dataset_family *f = &r->family[r->families++];
    *f = (struct dataset_family){.random = NAN, .head_noun = NAN, .attributes = NAN};
    memcpy(f->name, s, len);
    return f;
}

/* ---- values ---------------------------------------------------------------------------------- */

int parser_image_text(struct parser *p, const unsigned char *s, size_t len)
{
    struct dataset_family *family;
    if (p->field == FIELD_OTHER)
        return 1;
    if (p->field == FIELD_FAMILY) {
        family = parser_family(p, s, len);
        if (!family)
            return 0;
        p->record.family = (int32_t)(family - p->raw->family);
        return 1;
    }
    if (p->field != FIELD_CAPTION && p->field != FIELD_FILE_NAME)
        return parser_refuse(p, ST_INVALID, "id, original_id, width and height must be integers");
    if (!len || memchr(s, 0, len))
        return parser_refuse(p, ST_INVALID,
                             "caption and file_name must be texts without NUL, not empty");
    p->seen |= parser_bit(p->field);
    return keep(p, p->field == FIELD_CAPTION ? &p->record.caption : &p->record.file_name, s, len);
}

int parser_image_integer(struct parser *p, int64_t v)
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
            return parser_refuse(p, ST_INVALID, "width and height must be 1 to 8192 pixels");
        *(p->field == FIELD_WIDTH ? &p->record.width : &p->record.height) = (int32_t)v;
        break;
    case FIELD_CAPTION:
    case FIELD_FILE_NAME:
    case FIELD_FAMILY:
        return parser_refuse(p, ST_INVALID, "caption, file_name and family must be texts");
    default:
        return 1;
    }
    p->seen |= parser_bit(p->field);
    return 1;
}

int parser_annotation_integer(struct parser *p, int64_t v)
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
        return parser_refuse(p, ST_INVALID, "bbox and tokens_positive must be lists");
    default:
        return 1;
    }
    p->seen |= parser_bit(p->field);
    return 1;
}

int parser_span_integer(struct parser *p, int64_t v)
{
    if (p->numbers >= 2)
        return parser_refuse(p, ST_INVALID, "a span of tokens_positive must be [begin, end]");
    if (v < 0 || v > DATASET_CAPTION_MAX)
        return parser_refuse(p, ST_INVALID, "a span of tokens_positive lies outside the caption");
    *(p->numbers++ ? &p->span.end : &p->span.begin) = (int32_t)v;
    return 1;
}

int parser_bbox_number(struct parser *p, double v)
{
    if (p->numbers >= 4)
        return parser_refuse(p, ST_INVALID, "bbox must be [x, y, width, height]");
    p->box.bbox[p->numbers++] = v;
    return 1;
}

int parser_blind_number(struct parser *p, double v)
{
    if (p->field == FIELD_RANDOM)
        p->blind->random = v;
    else if (p->field == FIELD_HEAD_NOUN)
        p->blind->head_noun = v;
    else if (p->field == FIELD_ATTRIBUTES)
        p->blind->attributes = v;
    return 1;
}

/* The first needed key that the object at `place` lacks; NULL when none. */
static const char *lacking(enum place place, uint32_t seen)
{
    for (int i = 0; i < KNOWN_KEYS; i++)
        if (known_keys[i].place == place && known_keys[i].needed &&
            !(seen & parser_bit(known_keys[i].field)))
            return known_keys[i].key;
    return NULL;
}

int parser_complete(struct parser *p, enum place place, uint32_t seen)
{
    const char *key = lacking(place, seen);
    if (!key)
        return 1;
    char text[64];
    snprintf(text, sizeof text, "the key \"%s\" is missing", key);
    return parser_refuse(p, ST_INVALID, text);
}

int parser_end_image(struct parser *p)
{
    struct raw *r = p->raw;
    if (!parser_complete(p, PLACE_IMAGE, p->seen) ||
        !room(p, (void **)&r->record, r->records, &r->record_room, sizeof *r->record,
              RAW_RECORDS_MAX, "records"))
        return 0;
    if (!(p->seen & parser_bit(FIELD_ORIGINAL_ID)))
        p->record.original_id = p->record.id;
    if (p->record.family >= 0)
        r->family[p->record.family].records++;
    r->record[r->records++] = p->record;
    return 1;
}

int parser_end_annotation(struct parser *p)
{
    struct raw *r = p->raw;
    if (!parser_complete(p, PLACE_ANNOTATION, p->seen))
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

int parser_end_bbox(struct parser *p)
{
    p->seen |= parser_bit(FIELD_BBOX);
    if (p->numbers != 4)
        return parser_refuse(p, ST_INVALID, "bbox must be [x, y, width, height]");
    return 1;
}

int parser_end_span(struct parser *p)
{
    struct raw *r = p->raw;
    if (p->numbers != 2)
        return parser_refuse(p, ST_INVALID, "a span of tokens_positive must be [begin, end]");
    if (!room(p, (void **)&r->span, r->spans, &r->span_room, sizeof *r->span, RAW_SPANS_MAX,
              "spans"))
        return 0;
    r->span[r->spans++] = p->span;
    return 1;
}

enum field parser_field(enum place place, const unsigned char *key, size_t len)
{
    for (int i = 0; i < KNOWN_KEYS; i++)
        if (known_keys[i].place == place && strlen(known_keys[i].key) == len &&
            !memcmp(known_keys[i].key, key, len))
            return known_keys[i].field;
    return FIELD_OTHER;
}
