/* backbone.h - the layers of the two backbones. Their MSA and FFN weights come from the binding, so
 * that a structure acts here and nowhere else; norms are the layer's own.
 *
 * A site of a compact model may have no groups left; its bias bo or b2 still stands.
 */
#ifndef ENGINE_NN_BACKBONE_H
#define ENGINE_NN_BACKBONE_H

#include "engine/nn/norm.h"
#include "engine/nn/scope.h"

struct backbone_layer {
    struct binding *binding;
    int msa, ffn; /* sites of the frame */
    struct norm norm1, norm2;
};

/* Names "name.{norm1,msa,norm2,ffn}"; the binding's frame must have the sites "name.msa" and
 * "name.ffn": false if it has not. */
bool vision_layer_add(struct backbone_layer *l, const struct nn_scope *s, const char *name,
                      int64_t width);
bool text_layer_add(struct backbone_layer *l, const struct nn_scope *s, const char *name,
                    int64_t width);

/* Pre-norm: x += MSA(LN1 x); x += FFN(LN2 x). LN eps 1e-6, no dropout. x [B,N,C]; key_mask [B,N] or
 * NULL. */
struct tensor *vision_layer_forward(struct ctx *cx, const struct backbone_layer *l,
                                    struct tensor *x, const uint8_t *key_mask);
/* Post-norm: x = LN1(x + drop MSA x); x = LN2(x + drop FFN x). LN eps 1e-5. */
struct tensor *text_layer_forward(struct ctx *cx, const struct backbone_layer *l, struct tensor *x,
                                  const uint8_t *key_mask, double dropout);

#endif
