/* dataset_parser.h - the state of the streaming annotation reader, shared by its two halves: dataset_raw.c (the
 * file, yajl's events, the stack of places) and dataset_values.c (what a value means where it stands).
 * Private to engine/data. */
#ifndef ENGINE_DATA_DATASET_PARSER_H
#define ENGINE_DATA_DATASET_PARSER_H

#include "engine/data/dataset_raw.h"

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

/* All of these return 0 when the parse must end (p->err holds the sentence), else 1: yajl's convention. */
int parser_refuse(struct parser *p, enum status st, const char *what);
int parser_image_text(struct parser *p, const unsigned char *s, size_t len);
int parser_image_integer(struct parser *p, int64_t v);
int parser_annotation_integer(struct parser *p, int64_t v);
int parser_span_integer(struct parser *p, int64_t v);
int parser_bbox_number(struct parser *p, double v);
int parser_blind_number(struct parser *p, double v);
int parser_end_image(struct parser *p);
int parser_end_annotation(struct parser *p);
int parser_end_bbox(struct parser *p);
int parser_end_span(struct parser *p);
/* The object at `place` has all keys it needs. */
int parser_complete(struct parser *p, enum place place, uint32_t seen);

/* What a key is at this place; FIELD_OTHER when nobody asked for it. */
enum field parser_field(enum place place, const unsigned char *key, size_t len);
uint32_t parser_bit(enum field f);
/* The family of this name, added when it is new; NULL ends the parse. */
struct dataset_family *parser_family(struct parser *p, const unsigned char *s, size_t len);

#endif
