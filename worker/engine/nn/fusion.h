/* fusion.h - the dense multimodal layers: attention and FFN with weights of their own, the fusion
 * encoder layer and the decoder layer (post-norm, LN eps 1e-5, ReLU). docs/spec/model-mdetr.md 1.
 */
#ifndef ENGINE_NN_FUSION_H
#define ENGINE_NN_FUSION_H

#include "engine/nn/norm.h"
#include "engine/nn/position.h"
#include "engine/nn/scope.h"

struct mha {
    struct tensor *wq, *wk, *wv, *wo, *bq, *bk, *bv, *bo; /* [d,d] x4, [d] x4 */
    int heads;
};
/* How a layer starts (docs/spec/model-mdetr.md 2). */
enum mha_start {
    MHA_PLAIN,
    MHA_LIKENESS, /* wq = wk: rows attend to what they resemble */
    MHA_FROM_NOTHING /* its values are 0: bo is drawn from N(0,1), or the norm after it sees a zero vector */
};
/* Wq, Wk, Wv drawn as parts of one packed Xavier matrix [3d,d]. */
void mha_add(struct mha *m, const struct nn_scope *s, const char *name, int64_t width, int heads,
             enum mha_start start);
/* r + dropout(attention): r [B,Tq,d]; q [B,Tq,d], k and v [B,Tk,d] before projection; key_mask [B,Tk] or NULL. */
struct tensor *mha_forward(struct ctx *cx, const struct mha *m, struct tensor *r, struct tensor *q,
                           struct tensor *k, struct tensor *v, const uint8_t *key_mask,
                           double dropout);

struct fusion_ffn {
    struct tensor *w1, *b1, *w2, *b2;
};
void fusion_ffn_add(struct fusion_ffn *f, const struct nn_scope *s, const char *name, int64_t width,
                    int64_t hidden);
/* x + dropout(the two linears) */
struct tensor *fusion_ffn_forward(struct ctx *cx, const struct fusion_ffn *f, struct tensor *x,
                                  double dropout);

struct encoder_layer {
    struct mha msa;
    struct fusion_ffn ffn;
    struct norm norm1, norm2;
};
void encoder_layer_add(struct encoder_layer *l, const struct nn_scope *s, const char *name,
                       int64_t width, int heads, int64_t hidden, bool first);
/* x [B,T,d]; pos added to queries and keys, never to values. */
struct tensor *encoder_layer_forward(struct ctx *cx, const struct encoder_layer *l,
                                     struct tensor *x, struct tensor *pos, const uint8_t *key_mask,
                                     double dropout);

struct decoder_layer {
    struct mha self, cross;
    struct fusion_ffn ffn;
    struct norm norm1, norm3, norm4;
};
void decoder_layer_add(struct decoder_layer *l, const struct nn_scope *s, const char *name,
                       int64_t width, int heads, int64_t hidden, bool first);
/* t [B,Q,d]; query [Q,d]; memory [B,T,d] and keys = memory + pos (made once for all layers). */
struct tensor *decoder_layer_forward(struct ctx *cx, const struct decoder_layer *l,
                                     struct tensor *t, struct tensor *query, struct tensor *memory,
                                     struct tensor *keys, const uint8_t *key_mask, double dropout);

#endif
