/* cases.c - the builders of cases.def. */
#include "bed.h"

#include <math.h>

static struct tensor *linear(struct ctx *cx, struct bed *bed, bool bias, enum act act)
{
    int64_t B = bed_dim(bed, 5), T = bed_dim(bed, 17), I = bed_dim(bed, 130), O = bed_dim(bed, 130);
    struct tensor *x = BED_INPUT(bed, B, T, I), *w = BED_INPUT(bed, O, I);
    return op_linear(cx, x, w, bias ? BED_INPUT(bed, O) : NULL, act);
}

static struct tensor *build_linear(struct ctx *cx, struct bed *bed)
{
    return linear(cx, bed, true, ACT_NONE);
}

static struct tensor *build_linear_no_bias(struct ctx *cx, struct bed *bed)
{
    return linear(cx, bed, false, ACT_NONE);
}

static struct tensor *build_linear_relu(struct ctx *cx, struct bed *bed)
{
    return linear(cx, bed, true, ACT_RELU);
}

static struct tensor *build_linear_gelu(struct ctx *cx, struct bed *bed)
{
    return linear(cx, bed, true, ACT_GELU);
}

static struct tensor *build_linear_long(struct ctx *cx, struct bed *bed)
{
    int64_t I = bed_dim(bed, 33), O = 33 + bed_dim(bed, 64);
    return op_linear(cx, BED_INPUT(bed, 390, I), BED_INPUT(bed, O, I), BED_INPUT(bed, O), ACT_GELU);
}

static struct tensor *build_linear_add(struct ctx *cx, struct bed *bed)
{
    int64_t B = bed_dim(bed, 5), T = bed_dim(bed, 17), I = bed_dim(bed, 130), O = bed_dim(bed, 130);
    struct tensor *r = BED_INPUT(bed, B, T, O), *x = BED_INPUT(bed, B, T, I);
    struct tensor *w = BED_INPUT(bed, O, I);
    return op_linear_add(cx, r, x, w, BED_INPUT(bed, O));
}

static struct tensor *build_linear_add_self(struct ctx *cx, struct bed *bed)
{
    int64_t C = bed_dim(bed, 33);
    struct tensor *x = BED_INPUT(bed, bed_dim(bed, 17), C);
    return op_linear_add(cx, x, x, BED_INPUT(bed, C, C), NULL);
}

static struct tensor *build_matmul_nt(struct ctx *cx, struct bed *bed)
{
    int64_t B = bed_dim(bed, 3), M = bed_dim(bed, 33), N = bed_dim(bed, 33), C = bed_dim(bed, 97);
    return op_matmul_nt(cx, BED_INPUT(bed, B, M, C), BED_INPUT(bed, B, N, C), 1.5);
}

struct attention_shape {
    int64_t B, H, Tq, Tk, E;
};

static struct attention_shape attention_shape(struct bed *bed, int64_t most)
{
    struct attention_shape s = {.B = bed_dim(bed, 3), .H = bed_dim(bed, 3)};
    s.Tq = bed_dim(bed, most);
    s.Tk = bed_dim(bed, most);
    s.E = bed_dim(bed, 33);
    return s;
}

static struct tensor *attention(struct ctx *cx, struct bed *bed, struct attention_shape s,
                                const uint8_t *mask, double dropout)
{
    int64_t C = s.H * s.E;
    bool fresh = bed->inputs == 0;
    struct tensor *q = BED_INPUT(bed, s.B, s.Tq, C), *k = BED_INPUT(bed, s.B, s.Tk, C);
    struct tensor *v = BED_INPUT(bed, s.B, s.Tk, C);
    for (int64_t i = 0; fresh && mask && i < s.B * s.Tk * C; i++)
        if (!mask[i / C])
            k->data[i] = v->data[i] = (real)NAN;
    return op_attention(cx, q, k, v, (int)s.H, mask, dropout);
}

static struct tensor *build_attention(struct ctx *cx, struct bed *bed)
{
    return attention(cx, bed, attention_shape(bed, 33), NULL, 0);
}

static struct tensor *build_attention_masked(struct ctx *cx, struct bed *bed)
{
    struct attention_shape s = attention_shape(bed, 33);
    uint8_t *mask = bed_bits(cx, bed, s.B * s.Tk, 0.6);
    for (int64_t t = 0; t < s.Tk; t++)
        mask[t] = 0; /* a sample without any valid key */
    return attention(cx, bed, s, mask, 0.2);
}

static struct tensor *build_attention_dropout(struct ctx *cx, struct bed *bed)
{
    return attention(cx, bed, attention_shape(bed, 33), NULL, 0.3);
}

static struct tensor *build_attention_self(struct ctx *cx, struct bed *bed)
{
    struct attention_shape s = attention_shape(bed, 17);
    struct tensor *x = BED_INPUT(bed, s.B, s.Tq, s.H * s.E);
    return op_attention(cx, x, x, x, (int)s.H, NULL, 0);
}

static struct tensor *build_attention_large(struct ctx *cx, struct bed *bed)
{
    struct attention_shape s = {.B = 2, .H = 2, .Tq = 60 + bed_dim(bed, 64), .Tk = 130, .E = 24};
    return attention(cx, bed, s, bed_bits(cx, bed, s.B * s.Tk, 0.9), 0.1);
}

/* q, k and v made by other operators and so large that their gradients are not cleared before this adds to them. */
static struct tensor *build_attention_inner(struct ctx *cx, struct bed *bed)
{
    const int64_t B = 2, T = 180 + bed_dim(bed, 17), C = 48;
    struct tensor *x = BED_INPUT(bed, B, T, C);
    return op_attention(cx, op_scale(cx, x, 2), op_act(cx, x, ACT_RELU), op_scale(cx, x, -1), 2,
                        bed_bits(cx, bed, B * T, 0.7), 0.1);
}

static struct tensor *build_layernorm(struct ctx *cx, struct bed *bed)
{
    int64_t R = bed_dim(bed, 64), C = 1 + bed_dim(bed, 130);
    return op_layernorm(cx, BED_INPUT(bed, R, C), BED_INPUT(bed, C), BED_INPUT(bed, C), 1e-5);
}

static struct tensor *build_layernorm_offset(struct ctx *cx, struct bed *bed)
{
    int64_t R = bed_dim(bed, 17), C = 30 + bed_dim(bed, 130);
    bool fresh = bed->inputs == 0;
    struct tensor *x = BED_INPUT(bed, R, C);
    for (int64_t i = 0; fresh && i < R * C; i++)
        x->data[i] += 100;
    return op_layernorm(cx, x, BED_INPUT(bed, C), BED_INPUT(bed, C), 1e-5);
}

static struct tensor *build_l2norm(struct ctx *cx, struct bed *bed)
{
    return op_l2norm(cx, BED_INPUT(bed, bed_dim(bed, 17), bed_dim(bed, 97)), 1e-12);
}

static struct tensor *build_l2norm_tiny(struct ctx *cx, struct bed *bed)
{
    return op_l2norm(cx, BED_INPUT(bed, bed_dim(bed, 17), bed_dim(bed, 7)), 1e3);
}

static struct tensor *build_add(struct ctx *cx, struct bed *bed)
{
    int64_t a = bed_dim(bed, 97), b = bed_dim(bed, 97);
    return op_add(cx, BED_INPUT(bed, a, b), BED_INPUT(bed, a, b));
}

static struct tensor *build_add_same(struct ctx *cx, struct bed *bed)
{
    struct tensor *x = BED_INPUT(bed, bed_dim(bed, 97));
    return op_add(cx, x, x);
}

static struct tensor *build_add_tail(struct ctx *cx, struct bed *bed)
{
    int64_t B = bed_dim(bed, 7), T = bed_dim(bed, 17), C = bed_dim(bed, 33);
    return op_add_tail(cx, BED_INPUT(bed, B, T, C), BED_INPUT(bed, T, C));
}

static struct tensor *build_scale(struct ctx *cx, struct bed *bed)
{
    return op_scale(cx, BED_INPUT(bed, bed_dim(bed, 97), bed_dim(bed, 7)), -2.5);
}

static struct tensor *build_one_minus(struct ctx *cx, struct bed *bed)
{
    return op_one_minus(cx, BED_INPUT(bed, bed_dim(bed, 97)));
}

static struct tensor *build_mul(struct ctx *cx, struct bed *bed)
{
    int64_t a = bed_dim(bed, 97), b = bed_dim(bed, 97);
    return op_mul(cx, BED_INPUT(bed, a, b), BED_INPUT(bed, a, b));
}

static struct tensor *build_mul_same(struct ctx *cx, struct bed *bed)
{
    struct tensor *x = BED_INPUT(bed, bed_dim(bed, 97));
    return op_mul(cx, x, x);
}

/* Wide enough for the tails of GELU, where one form cancels and the other underflows. */
static struct tensor *wide_input(struct bed *bed)
{
    bool fresh = bed->inputs == 0;
    struct tensor *x = BED_INPUT(bed, bed_dim(bed, 33), bed_dim(bed, 33));
    for (int64_t i = 0; fresh && i < tensor_size(x); i++)
        x->data[i] *= (real)(1 + i % 5);
    return x;
}

static struct tensor *build_relu(struct ctx *cx, struct bed *bed)
{
    return op_act(cx, wide_input(bed), ACT_RELU);
}

static struct tensor *build_gelu(struct ctx *cx, struct bed *bed)
{
    return op_act(cx, wide_input(bed), ACT_GELU);
}

static struct tensor *build_sigmoid(struct ctx *cx, struct bed *bed)
{
    return op_sigmoid(cx, wide_input(bed));
}

static struct tensor *build_tanh(struct ctx *cx, struct bed *bed)
{
    return op_tanh(cx, wide_input(bed));
}

static struct tensor *build_dropout(struct ctx *cx, struct bed *bed)
{
    int64_t B = bed_dim(bed, 5), T = bed_dim(bed, 33), C = bed_dim(bed, 33);
    return op_dropout(cx, BED_INPUT(bed, B, T, C), 0.3);
}

static struct tensor *build_embed(struct ctx *cx, struct bed *bed)
{
    int64_t V = bed_dim(bed, 33), C = bed_dim(bed, 33), B = bed_dim(bed, 5), T = bed_dim(bed, 17);
    return op_embed(cx, BED_INPUT(bed, V, C), bed_indices(cx, bed, B * T, V), B, T);
}

static struct tensor *build_concat_time(struct ctx *cx, struct bed *bed)
{
    int64_t B = bed_dim(bed, 5), C = bed_dim(bed, 33);
    struct tensor *a = BED_INPUT(bed, B, bed_dim(bed, 17), C);
    return op_concat_time(cx, a, BED_INPUT(bed, B, bed_dim(bed, 17), C));
}

static struct tensor *build_slice_time(struct ctx *cx, struct bed *bed)
{
    int64_t B = bed_dim(bed, 5), T = 2 + bed_dim(bed, 17), C = bed_dim(bed, 33);
    return op_slice_time(cx, BED_INPUT(bed, B, T, C), 1, T - 2);
}

static struct tensor *build_concat_last(struct ctx *cx, struct bed *bed)
{
    int64_t R = bed_dim(bed, 17);
    struct tensor *a = BED_INPUT(bed, R, bed_dim(bed, 33));
    return op_concat_last(cx, a, BED_INPUT(bed, R, bed_dim(bed, 33)));
}

static struct tensor *build_slice_last(struct ctx *cx, struct bed *bed)
{
    int64_t R = bed_dim(bed, 17), C = 2 + bed_dim(bed, 33);
    return op_slice_last(cx, BED_INPUT(bed, R, C), 2, C - 2);
}

static struct tensor *build_expand(struct ctx *cx, struct bed *bed)
{
    return op_expand(cx, BED_INPUT(bed, bed_dim(bed, 17), bed_dim(bed, 33)), bed_dim(bed, 17));
}

static struct tensor *build_stack(struct ctx *cx, struct bed *bed)
{
    int64_t C = bed_dim(bed, 33);
    struct tensor *row[3] = {BED_INPUT(bed, C), BED_INPUT(bed, C), NULL};
    row[2] = row[0];
    return op_stack(cx, row, 3);
}

static struct tensor *build_im2col(struct ctx *cx, struct bed *bed)
{
    int k = 1 + (int)bed_dim(bed, 3), stride = (int)bed_dim(bed, 3), pad = (int)bed_dim(bed, 2);
    int64_t H = 3 + bed_dim(bed, 8), W = 3 + bed_dim(bed, 8), C = bed_dim(bed, 17);
    return op_im2col(cx, BED_INPUT(bed, bed_dim(bed, 3), H, W, C), k, stride, pad);
}

static struct tensor *build_im2col_stem(struct ctx *cx, struct bed *bed)
{
    return op_im2col(cx, BED_INPUT(bed, 2, 16, 16, 3 + bed_dim(bed, 8)), 3, 2, 1);
}

static struct tensor *conv(struct ctx *cx, struct bed *bed, int64_t side, int64_t C,
                           struct op_window w)
{
    int64_t B = bed_dim(bed, 2), H = side + bed_dim(bed, 8), W = side + bed_dim(bed, 8);
    int64_t O = bed_dim(bed, 17);
    struct tensor *x = BED_INPUT(bed, B, H, W, C), *k = BED_INPUT(bed, O, w.k * w.k * C);
    return op_conv(cx, x, k, O % 2 ? BED_INPUT(bed, O) : NULL, w);
}

static struct tensor *build_conv(struct ctx *cx, struct bed *bed)
{
    struct op_window w = {.k = (int)bed_dim(bed, 5), .stride = (int)bed_dim(bed, 3), .dilation = 1};
    w.pad = (int)bed_dim(bed, 3) - 1;
    return conv(cx, bed, 5, bed_dim(bed, 7), w);
}

static struct tensor *build_conv_dilated(struct ctx *cx, struct bed *bed)
{
    struct op_window w = {
        .k = 3, .stride = (int)bed_dim(bed, 2), .dilation = 1 + (int)bed_dim(bed, 3)};
    w.pad = w.dilation * ((int)bed_dim(bed, 2) - 1); /* none, or as large as the dilation */
    return conv(cx, bed, 8, bed_dim(bed, 8), w);
}

static struct tensor *build_conv_point(struct ctx *cx, struct bed *bed)
{
    struct op_window w = {.k = 1, .stride = (int)bed_dim(bed, 2), .dilation = 1};
    return conv(cx, bed, 1, bed_dim(bed, 33), w);
}

/* Every tap at some place outside; padding wider than the image. */
static struct tensor *build_conv_wide(struct ctx *cx, struct bed *bed)
{
    return conv(cx, bed, 0, bed_dim(bed, 8),
                (struct op_window){.k = 5, .stride = 2, .pad = 4, .dilation = 2});
}

/* More patches than are in memory at a time, and the border of two images among them. */
static struct tensor *build_conv_large(struct ctx *cx, struct bed *bed)
{
    struct tensor *x = BED_INPUT(bed, 2, 20, 24, 40), *w = BED_INPUT(bed, 2, 9 * 40);
    return op_conv(cx, x, w, BED_INPUT(bed, 2),
                   (struct op_window){.k = 3, .stride = 1, .pad = 1, .dilation = 1});
}

static struct tensor *build_max_pool(struct ctx *cx, struct bed *bed)
{
    int64_t H = 3 + bed_dim(bed, 8), W = 3 + bed_dim(bed, 8), C = bed_dim(bed, 33);
    struct op_window w = {
        .k = 1 + (int)bed_dim(bed, 2), .stride = (int)bed_dim(bed, 3), .dilation = 1};
    w.pad = w.k / 2 * ((int)bed_dim(bed, 2) - 1);
    return op_max_pool(cx, BED_INPUT(bed, bed_dim(bed, 3), H, W, C), w);
}

static struct tensor *upsample(struct ctx *cx, struct bed *bed, bool bilinear)
{
    int64_t B = bed_dim(bed, 3), H = bed_dim(bed, 8), W = bed_dim(bed, 8), C = bed_dim(bed, 33);
    struct tensor *x = BED_INPUT(bed, B, H, W, C);
    return op_upsample(cx, x, bed_dim(bed, 17), bed_dim(bed, 17), bilinear);
}

static struct tensor *build_upsample_nearest(struct ctx *cx, struct bed *bed)
{
    return upsample(cx, bed, false);
}

static struct tensor *build_upsample_bilinear(struct ctx *cx, struct bed *bed)
{
    return upsample(cx, bed, true);
}

static struct tensor *frozen_norm(struct ctx *cx, struct bed *bed, enum act act)
{
    const int64_t C = bed_dim(bed, 33);
    struct tensor *x = BED_INPUT(bed, bed_dim(bed, 3), 3, bed_dim(bed, 8), C), *fixed[4];
    for (int i = 0; i < 4; i++)
        fixed[i] = ctx_constant(cx, bed_constant(cx, bed, C), 1, &C);
    return op_frozen_norm(cx, x, fixed[0], fixed[1], fixed[2], fixed[3], 1e-2, act);
}

static struct tensor *build_frozen_norm(struct ctx *cx, struct bed *bed)
{
    return frozen_norm(cx, bed, ACT_NONE);
}

static struct tensor *build_frozen_norm_relu(struct ctx *cx, struct bed *bed)
{
    return frozen_norm(cx, bed, ACT_RELU);
}

static struct tensor *build_group_norm(struct ctx *cx, struct bed *bed)
{
    int64_t groups = bed_dim(bed, 5), C = groups * bed_dim(bed, 17), H = 1 + bed_dim(bed, 8);
    struct tensor *x = BED_INPUT(bed, bed_dim(bed, 3), H, 2, C);
    return op_group_norm(cx, x, BED_INPUT(bed, C), BED_INPUT(bed, C), (int)groups, 1e-5);
}

static struct tensor *build_sum(struct ctx *cx, struct bed *bed)
{
    return op_sum(cx, BED_INPUT(bed, bed_dim(bed, 64), bed_dim(bed, 33)));
}

static struct tensor *build_weighted_sum(struct ctx *cx, struct bed *bed)
{
    struct tensor *a = op_sum(cx, BED_INPUT(bed, bed_dim(bed, 8)));
    struct tensor *b = op_sum(cx, BED_INPUT(bed, bed_dim(bed, 8)));
    return op_weighted_sum(cx, (struct tensor *[]){a, b, a}, (double[]){0.5, -2, 3}, 3);
}

static struct tensor *build_soft_ce(struct ctx *cx, struct bed *bed)
{
    int64_t R = bed_dim(bed, 33), S = bed_dim(bed, 97);
    struct tensor *x = BED_INPUT(bed, R, S);
    real *y = bed_constant(cx, bed, R * S), *w = bed_constant(cx, bed, R);
    for (int64_t i = 0; i < R * S; i++)
        y[i] = y[i] < (real)0.7 ? 0 : y[i];
    return op_soft_ce(cx, x, y, w, 0.25);
}

static struct tensor *build_l1_rows(struct ctx *cx, struct bed *bed)
{
    int64_t R = bed_dim(bed, 17), n = bed_dim(bed, 17);
    struct tensor *x = bed_boxes(bed, R);
    return op_l1_rows(cx, x, bed_indices(cx, bed, n, R), bed_constant(cx, bed, 4 * n), (int)n, 0.5);
}

static struct tensor *build_giou_rows(struct ctx *cx, struct bed *bed)
{
    int64_t R = bed_dim(bed, 17), n = bed_dim(bed, 17);
    struct tensor *x = bed_boxes(bed, R);
    real *y = bed_constant(cx, bed, 4 * n);
    for (int64_t i = 0; i < 4 * n; i++)
        y[i] = (real)(i % 4 < 2 ? y[i] : 0.05 + 0.6 * y[i]);
    return op_giou_rows(cx, x, bed_indices(cx, bed, n, R), y, (int)n, 0.5);
}

static struct tensor *build_align_loss(struct ctx *cx, struct bed *bed)
{
    int64_t B = bed_dim(bed, 5), Q = bed_dim(bed, 8), L = bed_dim(bed, 17);
    struct tensor *z = BED_INPUT(bed, B, Q, L);
    return op_align_loss(cx, z, bed_bits(cx, bed, B * Q * L, 0.1), 0.5);
}

static struct tensor *mix(struct ctx *cx, struct bed *bed, int axis, int64_t width)
{
    int64_t N = bed_dim(bed, 8), other = bed_dim(bed, 33);
    int64_t rows = axis == 0 ? N * width : other, cols = axis == 0 ? other : N * width;
    struct tensor *own = BED_INPUT(bed, rows, cols), *src = BED_INPUT(bed, rows, cols);
    return op_mix(cx, own, src, BED_INPUT(bed, N),
                  (struct group_layout){.axis = axis, .width = (int)width});
}

static struct tensor *build_mix_rows(struct ctx *cx, struct bed *bed)
{
    return mix(cx, bed, 0, bed_dim(bed, 8));
}

static struct tensor *build_mix_columns(struct ctx *cx, struct bed *bed)
{
    return mix(cx, bed, 1, bed_dim(bed, 8));
}

static struct tensor *build_mix_vector(struct ctx *cx, struct bed *bed)
{
    int64_t N = bed_dim(bed, 33);
    return op_mix(cx, BED_INPUT(bed, 3 * N), BED_INPUT(bed, 3 * N), BED_INPUT(bed, N),
                  (struct group_layout){.axis = 0, .width = 3});
}

static struct tensor *mask(struct ctx *cx, struct bed *bed, int axis, int64_t width)
{
    int64_t N = bed_dim(bed, 33), other = bed_dim(bed, 33);
    struct tensor *w =
        axis == 0 ? BED_INPUT(bed, N * width, other) : BED_INPUT(bed, other, N * width);
    return op_mask(cx, w, BED_INPUT(bed, N),
                   (struct group_layout){.axis = axis, .width = (int)width});
}

static struct tensor *build_mask_rows(struct ctx *cx, struct bed *bed)
{
    return mask(cx, bed, 0, bed_dim(bed, 8));
}

static struct tensor *build_mask_columns(struct ctx *cx, struct bed *bed)
{
    return mask(cx, bed, 1, 1 + bed_dim(bed, 8));
}

static struct tensor *build_mask_units(struct ctx *cx, struct bed *bed)
{
    return mask(cx, bed, 1, 1);
}

static struct tensor *assemble(struct ctx *cx, struct bed *bed, int axis)
{
    int64_t width = bed_dim(bed, 3), other = bed_dim(bed, 17), n = 3 + bed_dim(bed, 13);
    struct tensor *a =
        axis == 0 ? BED_INPUT(bed, 4 * width, other) : BED_INPUT(bed, other, 4 * width);
    struct tensor *b =
        axis == 0 ? BED_INPUT(bed, 2 * width, other) : BED_INPUT(bed, other, 2 * width);
    int32_t *pick = bed_indices(cx, bed, n, 6);
    struct group_ref *from = ctx_host(cx, (size_t)n * sizeof *from);
    for (int64_t i = 0; i < n; i++)
        from[i] = pick[i] < 4 ? (struct group_ref){a, pick[i]} : (struct group_ref){b, pick[i] - 4};
    from[0] = (struct group_ref){a, 1}; /* a run of two */
    from[1] = (struct group_ref){a, 2};
    return op_assemble(cx, from, (int)n, (struct group_layout){.axis = axis, .width = (int)width});
}

static struct tensor *build_assemble_rows(struct ctx *cx, struct bed *bed)
{
    return assemble(cx, bed, 0);
}

static struct tensor *build_assemble_columns(struct ctx *cx, struct bed *bed)
{
    return assemble(cx, bed, 1);
}

static struct tensor *build_assemble_vector(struct ctx *cx, struct bed *bed)
{
    struct tensor *a = BED_INPUT(bed, 6), *b = BED_INPUT(bed, 4);
    struct group_ref from[] = {{b, 1}, {a, 0}, {a, 1}, {a, 0}};
    return op_assemble(cx, from, 4, (struct group_layout){.axis = 0, .width = 2});
}

static struct tensor *build_group_norms(struct ctx *cx, struct bed *bed)
{
    int64_t e = bed_dim(bed, 5), d = bed_dim(bed, 17);
    struct tensor *q = BED_INPUT(bed, 3 * e, d), *o = BED_INPUT(bed, d, 3 * e);
    struct tensor *q2 = BED_INPUT(bed, 3 * e, d), *o2 = BED_INPUT(bed, d, 3 * e);
    struct group_layout rows = {.axis = 0, .width = (int)e}, columns = {.axis = 1, .width = (int)e};
    struct group_slice slices[] = {
        {q, NULL, rows, 0},  {o, NULL, columns, 0}, {q, q2, rows, 2},
        {o, o2, columns, 2}, {q2, q, rows, 1},
    };
    return op_group_norms(cx, slices, (int[]){0, 2, 4, 5}, 3, 0.2);
}

static struct tensor *build_gru_cell(struct ctx *cx, struct bed *bed)
{
    int64_t I = bed_dim(bed, 33), D = bed_dim(bed, 33);
    struct tensor *x = BED_INPUT(bed, I), *h = BED_INPUT(bed, D);
    struct tensor *w_ih = BED_INPUT(bed, 3 * D, I), *w_hh = BED_INPUT(bed, 3 * D, D);
    return op_gru_cell(cx, x, h, w_ih, w_hh, BED_INPUT(bed, 3 * D), BED_INPUT(bed, 3 * D));
}

static struct tensor *build_gumbel_sigmoid(struct ctx *cx, struct bed *bed)
{
    return op_gumbel_sigmoid(cx, BED_INPUT(bed, bed_dim(bed, 97)), 0.5, 0.4);
}

/* Activations so large that their gradients' memory is handed on, with every way a gradient can travel: several
 * users, a sum's heir, a view, a branch that does not reach the result. */
static struct tensor *build_graph(struct ctx *cx, struct bed *bed)
{
    const int64_t R = 200 + bed_dim(bed, 64), C = 97;
    struct tensor *x = BED_INPUT(bed, R, C), *w = BED_INPUT(bed, C, C);
    struct tensor *h = op_scale(cx, op_linear(cx, x, w, NULL, ACT_NONE), 0.1);
    struct tensor *a = op_add(cx, h, op_act(cx, h, ACT_GELU));
    struct tensor *flat = a ? ctx_view(cx, a, 1, (int64_t[]){R * C}) : NULL;
    struct tensor *b = op_add(cx, a, a);
    op_tanh(cx, op_add(cx, b, h));
    struct tensor *c = op_mul(cx, op_add(cx, b, h), op_add(cx, x, b));
    struct tensor *square = op_mul(cx, flat, flat);
    struct tensor *back = square ? ctx_view(cx, square, 2, (int64_t[]){R, C}) : NULL;
    struct tensor *d = op_linear_add(cx, c, op_linear_add(cx, h, h, w, NULL), w, NULL);
    return op_add(cx, op_add(cx, d, back), op_dropout(cx, h, 0.2));
}

const struct bed_case bed_cases[] = {
#define CASE(name, tolerance) {#name, build_##name, tolerance},
#include "cases.def"
#undef CASE
};
const int bed_case_count = (int)(sizeof bed_cases / sizeof *bed_cases);
