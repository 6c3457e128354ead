/* plan_memory.c - see plan_memory.h. What the engine keeps of a layer for backward: docs/internals/engine.md, Memory.
 *
 * A layer is a block: of its inner tensors stay those that backward reads and that cost more than a pass over memory to make again.
 * With recomputing nothing stays but its output, and one layer at a time is there in full.
 */
#include "jobfile/plan_memory.h"

/* Numbers a token or a query. */
struct layer {
    double kept;  /* beside the output */
    double whole; /* all of its tensors, and the gradients that backward holds at a time */
    double out;
};

/* q, k, v, the heads' output, the sums that norms read (two after attention and FFN in a post-norm layer, one in a
 * pre-norm layer, whose other is its input), the FFN's hidden row. */
static struct layer transformer(double C, double F, double H, bool post, double dropout)
{
    double masks = dropout > 0 ? (2 * C + F) / 4 : 0;
    double kept = (post ? 6 : 5) * C + F + H + 4 + masks;
    return (struct layer){.kept = kept, .whole = kept + 6 * C + 2 * F, .out = C};
}

struct step {
    double kept, largest; /* of one layer at a time, while others keep what they keep */
};

static void add_layers(struct step *step, struct layer l, double count, double rows, bool recompute)
{
    double all = l.whole * rows;
    step->kept += count * rows * (l.out + (recompute ? 0 : l.kept));
    if (recompute && all > step->largest)
        step->largest = all;
}

/* The stem's convolutions keep what their norms read; backward holds a gradient of the first and its output twice. */
static void add_stem(struct step *step, const struct model_shape *s, bool recompute)
{
    double side = (double)s->image, width = (double)s->width, inner = 0;
    int steps = 0;
    while (s->stem == STEM_CONV && (int64_t)1 << steps < s->patch)
        steps++;
    for (int i = 0; i < steps; i++) {
        double at = side / (double)((int64_t)2 << i),
               C = width / (double)((int64_t)1 << (steps - 1 - i));
        inner += at * at * C;
    }
    step->kept += 3 * side * side + (recompute ? 0 : inner);
    if (recompute && 3 * inner > step->largest)
        step->largest = 3 * inner;
}

/* What stands between the layers: positions added, norms, projections, the heads of every decoder layer. */
static double between(const struct model_shape *s, double N, double L, bool dense)
{
    double C = (double)s->width, d = (double)s->fusion_width, Q = (double)s->queries;
    double S = (double)s->slots, heads = Q * (4 * d + 2 * S + 2 * (double)s->contrast);
    double x = 3 * N * C + 5 * L * C + N * d + 2 * L * d + 2 * (N + L) * d + N * d;
    x += (double)s->decoder_layers * heads + 2 * L * (double)s->contrast;
    return dense ? x + (N + L) * (d + 4 * S) + 3 * N * d : x;
}

int64_t plan_step_bytes(const struct model_shape *s, int64_t batch, bool dense, bool recompute)
{
    double side = (double)s->image / (double)s->patch, N = side * side, L = (double)s->max_tokens;
    double C = (double)s->width, F = (double)s->ffn, H = (double)s->heads;
    double d = (double)s->fusion_width, f = (double)s->fusion_ffn, h = (double)s->fusion_heads;
    double Q = (double)s->queries;
    struct step step = {0};
    struct layer decoder = transformer(d, f, h, true, s->dropout);
    decoder.kept += 5 * d;
    add_stem(&step, s, recompute);
    add_layers(&step, transformer(C, F, H, false, 0), (double)s->vision_layers, N, recompute);
    add_layers(&step, transformer(C, F, H, true, s->dropout), (double)s->text_layers, L, recompute);
    add_layers(&step, transformer(d, f, h, true, s->dropout), (double)s->encoder_layers, N + L,
               recompute);
    add_layers(&step, decoder, (double)s->decoder_layers, Q, recompute);
    double memory = 2 * d * (N + L); /* keys and values of a decoder layer */
    step.kept += recompute ? 0 : (double)s->decoder_layers * memory;
    if (2 * memory > step.largest)
        step.largest = 2 * memory;
    return (int64_t)(4 * (double)batch * (step.kept + step.largest + between(s, N, L, dense)));
}
