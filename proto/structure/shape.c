/* shape.c - parameters and multiply-adds of the model `mdetr` by formula (docs/spec/model-mdetr.md
 * 1, 2). Written apart from the engine, so that each checks the other. */
#include "structure/shape.h"

#define WIDTH_MAX 65536
#define COUNT_MAX 65536 /* tokens of a kind; with WIDTH_MAX, no product below passes 2^63 */

struct limit {
    const char *key;
    int64_t value, low, high;
};

static enum status limits_check(const struct limit *limit, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (limit[i].value < limit[i].low || limit[i].value > limit[i].high)
            return err_set(err, ST_INVALID, "model.%s must be %lld to %lld, got %lld", limit[i].key,
                           (long long)limit[i].low, (long long)limit[i].high,
                           (long long)limit[i].value);
    return ST_OK;
}

static int log2_of(int64_t n) /* -1 when n is not a power of two */
{
    int k = 0;
    while ((INT64_C(1) << k) < n)
        k++;
    return (INT64_C(1) << k) == n ? k : -1;
}

static enum status stem_check(const struct model_shape *s, struct err *err)
{
    if (s->image % s->patch)
        return err_set(err, ST_INVALID,
                       "model.patch %lld does not divide model.image %lld into whole patches",
                       (long long)s->patch, (long long)s->image);
    if (s->image / s->patch > 256)
        return err_set(err, ST_INVALID,
                       "model.image %lld in patches of %lld is more than 256 patches a side",
                       (long long)s->image, (long long)s->patch);
    if (s->stem != STEM_CONV)
        return ST_OK;
    int n = log2_of(s->patch);
    if (n < 1)
        return err_set(
            err, ST_INVALID,
            "model.patch must be a power of two from 2 on with model.stem conv, got %lld",
            (long long)s->patch);
    if (s->width % (INT64_C(1) << (n - 1)))
        return err_set(err, ST_INVALID,
                       "model.width %lld must be a multiple of %lld: the stem's %d convolutions "
                       "halve it %d times",
                       (long long)s->width, (long long)1 << (n - 1), n, n - 1);
    return ST_OK;
}

enum status model_shape_check(const struct model_shape *s, struct err *err)
{
    const struct limit limit[] = {
        {"image", s->image, 1, 8192},
        {"patch", s->patch, 1, 256},
        {"width", s->width, 1, WIDTH_MAX},
        {"heads", s->heads, 1, WIDTH_MAX},
        {"ffn", s->ffn, 1, WIDTH_MAX},
        {"vision_layers", s->vision_layers, 1, FRAME_LAYERS_MAX},
        {"text_layers", s->text_layers, 1, FRAME_LAYERS_MAX},
        {"fusion_width", s->fusion_width, 2, WIDTH_MAX},
        {"fusion_heads", s->fusion_heads, 1, WIDTH_MAX},
        {"fusion_ffn", s->fusion_ffn, 1, WIDTH_MAX},
        {"encoder_layers", s->encoder_layers, 1, FRAME_LAYERS_MAX},
        {"decoder_layers", s->decoder_layers, 1, FRAME_LAYERS_MAX},
        {"queries", s->queries, 1, COUNT_MAX},
        {"slots", s->slots, 2, COUNT_MAX},
        {"max_tokens", s->max_tokens, 2, COUNT_MAX},
        {"contrast", s->contrast, 1, WIDTH_MAX},
        {"stem", s->stem, STEM_CONV, STEM_PATCH},
        {"vocabulary", s->vocabulary, 1, 1 << 24},
    };
    TRY(limits_check(limit, sizeof limit / sizeof *limit, err));
    if (s->width % s->heads)
        return err_set(err, ST_INVALID, "model.heads %lld does not divide model.width %lld",
                       (long long)s->heads, (long long)s->width);
    if (s->width % 2)
        return err_set(err, ST_INVALID, "model.width must be even (2-D sine positions), got %lld",
                       (long long)s->width);
    if (s->fusion_width % s->fusion_heads)
        return err_set(err, ST_INVALID,
                       "model.fusion_heads %lld does not divide model.fusion_width %lld",
                       (long long)s->fusion_heads, (long long)s->fusion_width);
    if (s->fusion_width % 2)
        return err_set(err, ST_INVALID,
                       "model.fusion_width must be even (2-D sine positions), got %lld",
                       (long long)s->fusion_width);
    if (s->max_tokens > s->slots)
        return err_set(err, ST_INVALID,
                       "model.max_tokens %lld needs model.slots %lld or more: a slot a token "
                       "position",
                       (long long)s->max_tokens, (long long)s->max_tokens);
    if (!(s->dropout >= 0 && s->dropout < 1))
        return err_set(err, ST_INVALID, "model.dropout must be from 0 to below 1, got %g",
                       s->dropout);
    return stem_check(s, err);
}

/* ---- parameters ------------------------------------------------------------------------------ */

static int64_t linear(int64_t out, int64_t in)
{
    return out * in + out;
}

static int64_t msa(int64_t C)
{
    return 4 * linear(C, C);
}

static int64_t ffn(int64_t C, int64_t F)
{
    return linear(F, C) + linear(C, F);
}

static int64_t norm(int64_t C)
{
    return 2 * C;
}

static int64_t patches(const struct model_shape *s)
{
    return (s->image / s->patch) * (s->image / s->patch);
}

/* Parameters of stem and patch projection, and their multiply-adds for one image. */
static int64_t stem_count(const struct model_shape *s, int64_t *ret_macs)
{
    int64_t C = s->width, N = patches(s);
    if (s->stem == STEM_PATCH) {
        int64_t in = 3 * s->patch * s->patch;
        *ret_macs = N * C * in;
        return linear(C, in);
    }
    int n = log2_of(s->patch);
    int64_t in = 3, side = s->image, params = 0, macs = 0;
    for (int i = 0; i < n; i++) {
        int64_t out = C >> (n - 1 - i);
        side /= 2;
        params += linear(out, 9 * in) + norm(out);
        macs += side * side * out * 9 * in;
        in = out;
    }
    *ret_macs = macs + N * C * C;
    return params + linear(C, C);
}

/* Multiply-adds of an attention with Tq queries on Tk keys, and of an FFN. */
static int64_t msa_macs(int64_t Tq, int64_t Tk, int64_t C)
{
    return 2 * Tq * C * C + 2 * Tk * C * C + 2 * Tq * Tk * C;
}

static int64_t ffn_macs(int64_t T, int64_t C, int64_t F)
{
    return 2 * T * C * F;
}

static int64_t heads_params(const struct model_shape *s)
{
    int64_t d = s->fusion_width;
    return linear(s->slots, d) + 2 * linear(d, d) + linear(4, d) + 2 * linear(s->contrast, d);
}

static int64_t fusion_params(const struct model_shape *s)
{
    int64_t C = s->width, d = s->fusion_width, F = s->fusion_ffn;
    int64_t enc = msa(d) + ffn(d, F) + 2 * norm(d);
    int64_t dec = 2 * msa(d) + ffn(d, F) + 3 * norm(d);
    return linear(d, C) + norm(d) + linear(d, C) + s->encoder_layers * enc +
           s->decoder_layers * dec + norm(d) + s->queries * d;
}

static int64_t fusion_macs(const struct model_shape *s)
{
    int64_t C = s->width, d = s->fusion_width, F = s->fusion_ffn, Q = s->queries;
    int64_t N = patches(s), L = s->max_tokens, T = N + L;
    int64_t enc = msa_macs(T, T, d) + ffn_macs(T, d, F);
    int64_t dec = msa_macs(Q, Q, d) + msa_macs(Q, T, d) + ffn_macs(Q, d, F);
    int64_t answer = Q * d * (s->slots + 2 * d + 4);
    return T * C * d + s->encoder_layers * enc + s->decoder_layers * dec + answer;
}

void model_shape_count(const struct model_shape *s, struct model_count *ret_count)
{
    int64_t C = s->width, F = s->ffn, N = patches(s), L = s->max_tokens;
    int64_t layers = s->vision_layers + s->text_layers, macs = 0;
    int64_t backbones = stem_count(s, &macs) + N * C + norm(C) /* vision's ends */
                        + (s->vocabulary + L) * C + norm(C)    /* text's embedding */
                        + layers * (msa(C) + ffn(C, F) + 2 * norm(C));
    macs += s->vision_layers * (msa_macs(N, N, C) + ffn_macs(N, C, F)) +
            s->text_layers * (msa_macs(L, L, C) + ffn_macs(L, C, F));
    *ret_count = (struct model_count){
        .whole = backbones + fusion_params(s) + heads_params(s),
        .backbones = backbones,
        .backbone_matrices = layers * (4 * C * C + 2 * C * F),
        .macs = macs + fusion_macs(s),
    };
}

int64_t model_shape_macs(const struct model_shape *s, const struct structure *st)
{
    const struct frame *f = st->frame;
    struct model_count count;
    model_shape_count(s, &count);
    int64_t macs = count.macs, C = s->width;
    for (int i = 0; i < f->nsites; i++) {
        const struct site *t = &f->site[i];
        int64_t T = t->side == SIDE_VISION ? patches(s) : s->max_tokens;
        int64_t scores = t->part == PART_MSA ? 2 * T * T * (C / t->groups) : 0;
        for (int g = t->first; g < t->first + t->groups; g++)
            macs -= st->m[g] ? 0 : T * t->cost + scores;
    }
    return macs;
}

enum status model_shape_frame(const struct model_shape *s, const struct frame_options *options,
                              struct frame **ret_frame, struct err *err)
{
    TRY(model_shape_check(s, err));
    struct model_count count;
    model_shape_count(s, &count);
    struct side_shape vision = {(int)s->vision_layers, (int)s->width, (int)s->heads, (int)s->ffn};
    struct side_shape text = vision;
    text.layers = (int)s->text_layers;
    return frame_create(ret_frame, &vision, &text, options, count.whole, count.backbones, err);
}
