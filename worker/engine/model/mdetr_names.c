/* mdetr_names.c - the rows of docs/spec/model-mdetr.md 2 as data.
 *
 * In a name, # is the layer. Shapes are ours, in letters: C width, F ffn, d fusion width, f fusion
 * ffn, N patches, V words, L tokens, Q queries, S slots, k contrast, 4; s and t: the stem step's
 * output and 9 x input, p: input of vision.patch.
 */
#include "engine/model/names.h"

#include <stdio.h>
#include <string.h>

enum form {
    PLAIN,   /* official = ours */
    PACKED,  /* three of ours stacked */
    LIFTED,  /* + [1,1] behind */
    TABLE,   /* 1 in front: [1,N,C] */
    KERNEL3, /* [s,t] as [s,t/9,3,3] */
    PATCH    /* [C,p] as [C,C,1,1] (conv stem) or [C,3,patch,patch] */
};

enum repeat { ONCE, STEM, VISION, TEXT, ENCODER, DECODER };

struct name_row {
    enum repeat repeat;
    enum form form;
    const char *shape;
    const char *official;
    const char *ours[NAME_PARTS];
};

#define BODY "backbone.0.body."
#define BLOCK BODY "blocks.#."
#define EMB "transformer.text_encoder.embeddings."
#define TLAYER "transformer.text_encoder.encoder.layer.#."
#define ENC "transformer.encoder.layers.#."
#define DEC "transformer.decoder.layers.#."

/* A weight and a bias. */
#define PAIR(repeat, form, wshape, bshape, official, ours, w, b)                                   \
    {repeat, form, wshape, official ".weight", {ours w}},                                          \
    {                                                                                              \
        repeat, PLAIN, bshape, official ".bias",                                                   \
        {                                                                                          \
            ours b                                                                                 \
        }                                                                                          \
    }
#define QKV(ours, x)                                                                               \
    {                                                                                              \
        ours x "q", ours x "k", ours x "v"                                                         \
    }

static const struct name_row rows[] = {
    PAIR(STEM, KERNEL3, "st", "s", BODY "patch_embed.stem.#", "vision.stem.#", ".w", ".b"),
    PAIR(STEM, PLAIN, "s", "s", BODY "patch_embed.stem.#.norm", "vision.stem.#.norm", ".w", ".b"),
    PAIR(ONCE, PATCH, "Cp", "C", BODY "patch_embed.proj", "vision.patch", ".w", ".b"),
    {ONCE, TABLE, "NC", BODY "pos_embed", {"vision.pos"}},
    PAIR(VISION, PLAIN, "C", "C", BLOCK "norm1", "vision.#.norm1", ".w", ".b"),
    {VISION, PACKED, "CC", BLOCK "attn.qkv.weight", QKV("vision.#.msa.", "w")},
    {VISION, PACKED, "C", BLOCK "attn.qkv.bias", QKV("vision.#.msa.", "b")},
    PAIR(VISION, PLAIN, "CC", "C", BLOCK "attn.proj", "vision.#.msa.", "wo", "bo"),
    PAIR(VISION, PLAIN, "C", "C", BLOCK "norm2", "vision.#.norm2", ".w", ".b"),
    PAIR(VISION, PLAIN, "FC", "F", BLOCK "mlp.fc1", "vision.#.ffn.", "w1", "b1"),
    PAIR(VISION, PLAIN, "CF", "C", BLOCK "mlp.fc2", "vision.#.ffn.", "w2", "b2"),
    PAIR(ONCE, PLAIN, "C", "C", BODY "norm", "vision.norm", ".w", ".b"),
    {ONCE, PLAIN, "VC", EMB "word_embeddings.weight", {"text.embed.word"}},
    {ONCE, PLAIN, "LC", EMB "position_embeddings.weight", {"text.embed.pos"}},
    PAIR(ONCE, PLAIN, "C", "C", EMB "LayerNorm", "text.embed.norm", ".w", ".b"),
    PAIR(TEXT, PLAIN, "CC", "C", TLAYER "attention.self.query", "text.#.msa.", "wq", "bq"),
    PAIR(TEXT, PLAIN, "CC", "C", TLAYER "attention.self.key", "text.#.msa.", "wk", "bk"),
    PAIR(TEXT, PLAIN, "CC", "C", TLAYER "attention.self.value", "text.#.msa.", "wv", "bv"),
    PAIR(TEXT, PLAIN, "CC", "C", TLAYER "attention.output.dense", "text.#.msa.", "wo", "bo"),
    PAIR(TEXT, PLAIN, "C", "C", TLAYER "attention.output.LayerNorm", "text.#.norm1", ".w", ".b"),
    PAIR(TEXT, PLAIN, "FC", "F", TLAYER "intermediate.dense", "text.#.ffn.", "w1", "b1"),
    PAIR(TEXT, PLAIN, "CF", "C", TLAYER "output.dense", "text.#.ffn.", "w2", "b2"),
    PAIR(TEXT, PLAIN, "C", "C", TLAYER "output.LayerNorm", "text.#.norm2", ".w", ".b"),
    PAIR(ONCE, PLAIN, "dC", "d", "transformer.resizer.fc", "fusion.resizer", ".w", ".b"),
    PAIR(ONCE, PLAIN, "d", "d", "transformer.resizer.layer_norm", "fusion.resizer.norm", ".w",
         ".b"),
    PAIR(ONCE, LIFTED, "dC", "d", "input_proj", "fusion.input", ".w", ".b"),
    {ENCODER, PACKED, "dd", ENC "self_attn.in_proj_weight", QKV("fusion.enc.#.msa.", "w")},
    {ENCODER, PACKED, "d", ENC "self_attn.in_proj_bias", QKV("fusion.enc.#.msa.", "b")},
    PAIR(ENCODER, PLAIN, "dd", "d", ENC "self_attn.out_proj", "fusion.enc.#.msa.", "wo", "bo"),
    PAIR(ENCODER, PLAIN, "fd", "f", ENC "linear1", "fusion.enc.#.ffn.", "w1", "b1"),
    PAIR(ENCODER, PLAIN, "df", "d", ENC "linear2", "fusion.enc.#.ffn.", "w2", "b2"),
    PAIR(ENCODER, PLAIN, "d", "d", ENC "norm1", "fusion.enc.#.norm1", ".w", ".b"),
    PAIR(ENCODER, PLAIN, "d", "d", ENC "norm2", "fusion.enc.#.norm2", ".w", ".b"),
    {DECODER, PACKED, "dd", DEC "self_attn.in_proj_weight", QKV("fusion.dec.#.self.", "w")},
    {DECODER, PACKED, "d", DEC "self_attn.in_proj_bias", QKV("fusion.dec.#.self.", "b")},
    PAIR(DECODER, PLAIN, "dd", "d", DEC "self_attn.out_proj", "fusion.dec.#.self.", "wo", "bo"),
    {DECODER, PACKED, "dd", DEC "cross_attn_image.in_proj_weight", QKV("fusion.dec.#.cross.", "w")},
    {DECODER, PACKED, "d", DEC "cross_attn_image.in_proj_bias", QKV("fusion.dec.#.cross.", "b")},
    PAIR(DECODER, PLAIN, "dd", "d", DEC "cross_attn_image.out_proj", "fusion.dec.#.cross.", "wo",
         "bo"),
    PAIR(DECODER, PLAIN, "fd", "f", DEC "linear1", "fusion.dec.#.ffn.", "w1", "b1"),
    PAIR(DECODER, PLAIN, "df", "d", DEC "linear2", "fusion.dec.#.ffn.", "w2", "b2"),
    PAIR(DECODER, PLAIN, "d", "d", DEC "norm1", "fusion.dec.#.norm1", ".w", ".b"),
    PAIR(DECODER, PLAIN, "d", "d", DEC "norm3", "fusion.dec.#.norm3", ".w", ".b"),
    PAIR(DECODER, PLAIN, "d", "d", DEC "norm4", "fusion.dec.#.norm4", ".w", ".b"),
    PAIR(ONCE, PLAIN, "d", "d", "transformer.decoder.norm", "fusion.dec.norm", ".w", ".b"),
    {ONCE, PLAIN, "Qd", "query_embed.weight", {"fusion.query"}},
    PAIR(ONCE, PLAIN, "Sd", "S", "class_embed", "head.class", ".w", ".b"),
    PAIR(ONCE, PLAIN, "dd", "d", "bbox_embed.layers.0", "head.box.0", ".w", ".b"),
    PAIR(ONCE, PLAIN, "dd", "d", "bbox_embed.layers.1", "head.box.1", ".w", ".b"),
    PAIR(ONCE, PLAIN, "4d", "4", "bbox_embed.layers.2", "head.box.2", ".w", ".b"),
    PAIR(ONCE, PLAIN, "kd", "k", "contrastive_align_projection_image", "head.contrast_image", ".w",
         ".b"),
    PAIR(ONCE, PLAIN, "kd", "k", "contrastive_align_projection_text", "head.contrast_text", ".w",
         ".b"),
};

static int stem_steps(const struct model_shape *s)
{
    int steps = 0;
    while (s->stem == STEM_CONV && (int64_t)1 << steps < s->patch)
        steps++;
    return steps;
}

static int64_t repeats(enum repeat repeat, const struct model_shape *s)
{
    switch (repeat) {
    case STEM:
        return stem_steps(s);
    case VISION:
        return s->vision_layers;
    case TEXT:
        return s->text_layers;
    case ENCODER:
        return s->encoder_layers;
    case DECODER:
        return s->decoder_layers;
    case ONCE:
        break;
    }
    return 1;
}

static int64_t stem_width(const struct model_shape *s, int64_t step)
{
    return step < 0 || step >= stem_steps(s) ? 3 : s->width >> (stem_steps(s) - 1 - step);
}

static int64_t letter(char c, const struct model_shape *s, int64_t layer)
{
    int64_t side = s->image / s->patch;
    const struct {
        char letter;
        int64_t size;
    } sizes[] = {
        {'C', s->width},
        {'F', s->ffn},
        {'d', s->fusion_width},
        {'f', s->fusion_ffn},
        {'N', side * side},
        {'V', s->vocabulary},
        {'L', s->max_tokens},
        {'Q', s->queries},
        {'S', s->slots},
        {'k', s->contrast},
        {'4', 4},
        {'s', stem_width(s, layer)},
        {'t', 9 * stem_width(s, layer - 1)},
        {'p', s->stem == STEM_CONV ? s->width : 3 * s->patch * s->patch},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].letter == c)
            return sizes[i].size;
    return 0;
}

/* pattern with # replaced by the layer. */
static void put_name(char *to, const char *pattern, int64_t layer)
{
    const char *hash = strchr(pattern, '#');
    if (hash)
        snprintf(to, NAME_MAX_LEN, "%.*s%lld%s", (int)(hash - pattern), pattern, (long long)layer,
                 hash + 1);
    else
        snprintf(to, NAME_MAX_LEN, "%s", pattern);
}

static void set_dim(struct name_map *m, int dims, int64_t a, int64_t b, int64_t c, int64_t d)
{
    m->dims = dims;
    m->dim[0] = a;
    m->dim[1] = b;
    m->dim[2] = c;
    m->dim[3] = d;
}

static void official_shape(struct name_map *m, enum form form, const struct model_shape *s,
                           int dims, int64_t a, int64_t b)
{
    switch (form) {
    case PLAIN:
        set_dim(m, dims, a, b, 0, 0);
        break;
    case PACKED:
        set_dim(m, dims, 3 * a, b, 0, 0);
        break;
    case LIFTED:
        set_dim(m, 4, a, b, 1, 1);
        break;
    case TABLE:
        set_dim(m, 3, 1, a, b, 0);
        break;
    case KERNEL3:
        set_dim(m, 4, a, b / 9, 3, 3);
        m->layout = NAME_KERNEL;
        break;
    case PATCH:
        if (s->stem == STEM_CONV) {
            set_dim(m, 4, a, b, 1, 1);
        } else {
            set_dim(m, 4, a, 3, s->patch, s->patch);
            m->layout = NAME_KERNEL;
        }
        break;
    }
}

static void add_row(struct names *to, const struct name_row *row, const struct model_shape *s,
                    int64_t layer)
{
    struct name_map *m = names_add(to);
    if (!m)
        return;
    int dims = (int)strlen(row->shape);
    int64_t a = letter(row->shape[0], s, layer), b = dims > 1 ? letter(row->shape[1], s, layer) : 0;
    put_name(m->official, row->official, layer);
    official_shape(m, row->form, s, dims, a, b);
    m->parts = row->form == PACKED ? 3 : 1;
    for (int i = 0; i < m->parts; i++) {
        put_name(m->part[i].ours, row->ours[i], layer);
        m->part[i].rows = m->dim[0] / m->parts;
        m->part[i].row = i * m->part[i].rows;
    }
}

void mdetr_names(struct names *to, const struct model_shape *shape)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int64_t l = 0; l < repeats(rows[i].repeat, shape); l++)
            add_row(to, &rows[i], shape, l);
}
