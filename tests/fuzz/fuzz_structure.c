/* fuzz_structure.c - any bytes as a structure's JSON, as it comes from a client, a worker or a file. The two counts that
 * the bits give are made right, so that what is behind them is reached. Built by tests/fuzz/build.sh; run by hand:
 *     fuzz_structure -max_len=4096 CORPUS
 * Holds: no crash, no hang; what is accepted is written as JSON that is accepted and is the same, can be drawn, and
 * keeps no more than the whole.
 */
#include "base/json.h"
#include "structure/structure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    struct frame *frame;
    struct structure *st; /* NULL: it was refused */
    struct err err;
};

static struct reading read_json(const char *text, size_t len)
{
    struct reading r = {0};
    enum status st = structure_read_json(&r.frame, &r.st, text, len, &r.err);
    if ((st == ST_OK) != (r.st != NULL) || (st != ST_OK && !r.err.text[0]))
        abort();
    return r;
}

static void forget(struct reading *r)
{
    structure_destroy(r->st);
    frame_destroy(r->frame);
}

/* The sentence says which counts would be right. */
static struct reading read_right(const char *text, size_t len)
{
    struct reading r = read_json(text, len);
    long long whole, backbones;
    struct json_object *root = NULL;
    if (r.st || sscanf(r.err.text, "structure: the bits give %lld parameters (backbones %lld",
                       &whole, &backbones) != 2)
        return r;
    if (json_parse(&root, text, len, "fuzz", NULL) != ST_OK)
        abort();
    struct json_object *counts = json_find(root, "parameters");
    json_object_object_add(counts, "whole", json_object_new_int64(whole));
    json_object_object_add(counts, "backbones", json_object_new_int64(backbones));
    const char *right = json_object_to_json_string(root);
    r = read_json(right, strlen(right));
    json_object_put(root);
    return r;
}

static void draw(const struct structure *st)
{
    struct buf out;
    struct structure_count count;
    structure_count(st, &count);
    if (count.whole > count.dense_whole || count.pruned > count.groups ||
        count.shared > count.text_groups)
        abort();
    buf_init(&out, 64u << 20);
    structure_draw_text(st, 80, true, &out);
    structure_draw_svg(st, "<&>", &out);
    structure_diff_text(st, st, 1, false, &out);
    structure_diff_svg(st, st, "", &out);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reading first = read_right((const char *)data, size);
    if (first.st && first.frame->ngroups <= 4096) {
        struct buf a;
        buf_init(&a, 64u << 20);
        structure_write_json(first.st, &a);
        struct reading second = read_json(buf_str(&a), a.len);
        if (!second.st || !frame_equal(first.frame, second.frame) ||
            memcmp(first.st->m, second.st->m, (size_t)first.frame->ngroups) ||
            memcmp(first.st->s, second.st->s, (size_t)first.frame->ngroups))
            abort();
        draw(first.st);
        forget(&second);
        buf_fini(&a);
    }
    forget(&first);
    return 0;
}
