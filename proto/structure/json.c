/* json.c - a structure as JSON, docs/spec/structure.md. The text may come from anywhere: every
 * number is held to the frame's limits before anything is allocated, and what contradicts itself is
 * refused. */
#include "structure/structure.h"

#include "base/json.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

#define FORMAT "espalier-structure"
#define TEXT_MAX ((size_t)64 << 20)

/* ---- writing --------------------------------------------------------------------------------- */

static void write_shape(struct buf *out, const char *key, const struct side_shape *sh)
{
    buf_printf(out, " \"%s\": {\"layers\": %d, \"width\": %d, \"heads\": %d, \"ffn\": %d},\n", key,
               sh->layers, sh->width, sh->heads, sh->ffn);
}

static const char *truth(bool b)
{
    return b ? "true" : "false";
}

static void write_bits(struct buf *out, const char *key, const uint8_t *bit, int n)
{
    char part[256];
    buf_printf(out, ", \"%s\": \"", key);
    for (int at = 0; at < n;) {
        int k = 0;
        while (at < n && k < (int)sizeof part)
            part[k++] = bit[at++] ? '1' : '0';
        buf_add(out, part, (size_t)k);
    }
    buf_puts(out, "\"");
}

void structure_write_json(const struct structure *st, struct buf *out)
{
    const struct frame *f = st->frame;
    const struct frame_options *o = &f->options;
    struct structure_count c;
    structure_count(st, &c);
    buf_puts(out, "{\"format\": \"" FORMAT "\", \"version\": 1,\n");
    write_shape(out, "vision", &f->shape[SIDE_VISION]);
    write_shape(out, "text", &f->shape[SIDE_TEXT]);
    buf_printf(out,
               " \"options\": {\"block_size\": %d, \"cross_msa\": %s, \"cross_ffn\": %s, "
               "\"block_msa\": %s, \"block_ffn\": %s, \"prune\": %s, \"share\": %s},\n",
               o->block_size, truth(o->cross_msa), truth(o->cross_ffn), truth(o->block_msa),
               truth(o->block_ffn), truth(o->prune), truth(o->share));
    buf_printf(out,
               " \"parameters\": {\"dense_whole\": %" PRId64 ", \"dense_backbones\": %" PRId64
               ", \"whole\": %" PRId64 ", \"backbones\": %" PRId64 "},\n \"sites\": [\n",
               c.dense_whole, c.dense_backbones, c.whole, c.backbones);
    for (int i = 0; i < f->nsites; i++) {
        const struct site *t = &f->site[i];
        buf_printf(out, "  {\"site\": \"%s\"", t->name);
        write_bits(out, "m", st->m + t->first, t->groups);
        if (t->source >= 0)
            write_bits(out, "s", st->s + t->first, t->groups);
        buf_puts(out, i + 1 < f->nsites ? "},\n" : "}\n");
    }
    buf_puts(out, " ]}\n");
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum status read_int(int64_t *ret, struct json_object *obj, const char *where,
                            const char *key, struct err *err)
{
    struct json_object *v = json_find(obj, key);
    if (!json_object_is_type(v, json_type_int))
        return err_set(err, ST_CORRUPT, "structure: %s.%s must be a whole number", where, key);
    *ret = json_object_get_int64(v);
    return ST_OK;
}

/* As read_int, held to what an int takes; frame_create() says what is sensible. */
static enum status read_small(int *ret, struct json_object *obj, const char *where, const char *key,
                              struct err *err)
{
    int64_t v = 0;
    TRY(read_int(&v, obj, where, key, err));
    if (v < 0 || v > INT_MAX)
        return err_set(err, ST_CORRUPT, "structure: %s.%s is out of range: %" PRId64, where, key,
                       v);
    *ret = (int)v;
    return ST_OK;
}

static enum status read_truth(bool *ret, struct json_object *obj, const char *key, struct err *err)
{
    struct json_object *v = json_find(obj, key);
    if (!json_object_is_type(v, json_type_boolean))
        return err_set(err, ST_CORRUPT, "structure: options.%s must be true or false", key);
    *ret = json_object_get_boolean(v);
    return ST_OK;
}

static enum status read_shape(struct side_shape *ret, struct json_object *root, const char *key,
                              struct err *err)
{
    struct json_object *obj = json_find(root, key);
    TRY(read_small(&ret->layers, obj, key, "layers", err));
    TRY(read_small(&ret->width, obj, key, "width", err));
    TRY(read_small(&ret->heads, obj, key, "heads", err));
    return read_small(&ret->ffn, obj, key, "ffn", err);
}

static enum status read_options(struct frame_options *ret, struct json_object *root,
                                struct err *err)
{
    struct json_object *obj = json_find(root, "options");
    TRY(read_small(&ret->block_size, obj, "options", "block_size", err));
    TRY(read_truth(&ret->cross_msa, obj, "cross_msa", err));
    TRY(read_truth(&ret->cross_ffn, obj, "cross_ffn", err));
    TRY(read_truth(&ret->block_msa, obj, "block_msa", err));
    TRY(read_truth(&ret->block_ffn, obj, "block_ffn", err));
    TRY(read_truth(&ret->prune, obj, "prune", err));
    return read_truth(&ret->share, obj, "share", err);
}

static enum status read_frame(struct frame **ret_frame, struct json_object *root, struct err *err)
{
    const char *format = json_get_str(root, "format", "");
    if (strcmp(format, FORMAT) != 0)
        return err_set(err, ST_CORRUPT, "not a structure: \"format\" is not \"" FORMAT "\"");
    int64_t version = json_get_int(root, "version", 0), total = 0, backbones = 0;
    if (version != 1)
        return err_set(err, ST_UNSUPPORTED,
                       "structure: version %" PRId64 " is not known here, only version 1", version);
    struct side_shape vision = {0}, text = {0};
    struct frame_options options = {0};
    struct json_object *params = json_find(root, "parameters");
    TRY(read_shape(&vision, root, "vision", err));
    TRY(read_shape(&text, root, "text", err));
    TRY(read_options(&options, root, err));
    TRY(read_int(&total, params, "parameters", "dense_whole", err));
    TRY(read_int(&backbones, params, "parameters", "dense_backbones", err));
    enum status st = frame_create(ret_frame, &vision, &text, &options, total, backbones, err);
    return st == ST_OK ? st : err_prefix(err, "structure");
}

static enum status read_bits(uint8_t *bit, struct json_object *site, const struct site *t,
                             const char *key, struct err *err)
{
    struct json_object *v = json_find(site, key);
    if (!json_object_is_type(v, json_type_string))
        return err_set(err, ST_CORRUPT, "structure: site %s has no string \"%s\"", t->name, key);
    const char *text = json_object_get_string(v);
    int len = json_object_get_string_len(v);
    if (len != t->groups)
        return err_set(err, ST_CORRUPT, "structure: \"%s\" of %s must have %d characters, got %d",
                       key, t->name, t->groups, len);
    for (int g = 0; g < len; g++) {
        if (text[g] != '0' && text[g] != '1')
            return err_set(err, ST_CORRUPT,
                           "structure: \"%s\" of %s must hold 0 and 1 only, see character %d", key,
                           t->name, g + 1);
        bit[g] = text[g] == '1';
    }
    return ST_OK;
}

static enum status read_site(struct structure *st, struct json_object *obj, const struct site *t,
                             struct err *err)
{
    const char *name = json_get_str(obj, "site", "");
    if (strcmp(name, t->name) != 0)
        return err_set(err, ST_CORRUPT, "structure: site %s expected, got \"%.40s\"", t->name,
                       name);
    TRY(read_bits(st->m + t->first, obj, t, "m", err));
    if (t->source >= 0)
        return read_bits(st->s + t->first, obj, t, "s", err);
    if (json_find(obj, "s"))
        return err_set(err, ST_CORRUPT, "structure: %s has no source, but sharing bits", t->name);
    return ST_OK;
}

static enum status read_sites(struct structure *st, struct json_object *root, struct err *err)
{
    const struct frame *f = st->frame;
    struct json_object *sites = json_find(root, "sites");
    if (!json_object_is_type(sites, json_type_array) ||
        json_object_array_length(sites) != (size_t)f->nsites)
        return err_set(err, ST_CORRUPT, "structure: \"sites\" must be a list of %d", f->nsites);
    for (int i = 0; i < f->nsites; i++)
        TRY(read_site(st, json_object_array_get_idx(sites, (size_t)i), &f->site[i], err));
    int64_t whole = 0, backbones = 0;
    struct json_object *params = json_find(root, "parameters");
    TRY(read_int(&whole, params, "parameters", "whole", err));
    TRY(read_int(&backbones, params, "parameters", "backbones", err));
    struct structure_count c;
    structure_count(st, &c);
    if (whole != c.whole || backbones != c.backbones)
        return err_set(err, ST_CORRUPT,
                       "structure: the bits give %" PRId64 " parameters (backbones %" PRId64
                       "), the file says %" PRId64 " (%" PRId64 ")",
                       c.whole, c.backbones, whole, backbones);
    return ST_OK;
}

enum status structure_read_json(struct frame **ret_frame, struct structure **ret_st,
                                const char *text, size_t len, struct err *err)
{
    struct json_object *root = NULL;
    struct frame *frame = NULL;
    struct structure *st = NULL;
    if (len > TEXT_MAX)
        return err_set(err, ST_LIMIT, "a structure of %zu bytes is over the limit of %zu", len,
                       TEXT_MAX);
    enum status rc = json_parse(&root, text, len, "structure", err);
    if (rc == ST_OK)
        rc = read_frame(&frame, root, err);
    if (rc == ST_OK)
        rc = structure_create(&st, frame, err);
    if (rc == ST_OK)
        rc = read_sites(st, root, err);
    json_object_put(root);
    if (rc != ST_OK) {
        structure_destroy(st);
        frame_destroy(frame);
        return rc;
    }
    *ret_frame = frame;
    *ret_st = st;
    return ST_OK;
}
