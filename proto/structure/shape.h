/* shape.h - the numbers of a model as a value, and what they add up to. No tensors.
 * docs/spec/model-mdetr.md gives the letters and the parameters.
 */
#ifndef STRUCTURE_SHAPE_H
#define STRUCTURE_SHAPE_H

#include "structure/structure.h"

enum model_stem { STEM_CONV, STEM_PATCH };

struct model_shape {
    int64_t image, patch, width, heads, ffn, vision_layers, text_layers;
    int64_t fusion_width, fusion_heads, fusion_ffn, encoder_layers, decoder_layers;
    int64_t queries, slots, max_tokens, contrast;
    int stem;           /* enum model_stem */
    int64_t vocabulary; /* V: rows of the word embedding, the four specials included */
    double dropout;
};

/* Parameters by formula; a test compares with the engine's table. macs: multiply-adds of the
 * matrix products of one prediction: one image, max_tokens tokens, the last decoder layer's answer; the
 * contrastive heads serve training alone and are not in it. The shape has passed model_shape_check(). */
struct model_count {
    int64_t whole,
        backbones; /* backbones: all of vision.* and text.* (matrices, biases, norms, embeddings, stem) */
    int64_t backbone_matrices; /* MSA and FFN weights of the two backbones, without biases */
    int64_t macs;
};
void model_shape_count(const struct model_shape *shape, struct model_count *ret_count);
/* The same forward MACs with groups pruned (m = 0). Sharing saves none. */
int64_t model_shape_macs(const struct model_shape *shape, const struct structure *st);

/* ST_INVALID with the sentence: width not a multiple of heads, patch not dividing image, ... */
enum status model_shape_check(const struct model_shape *shape, struct err *err);
enum status model_shape_frame(const struct model_shape *shape, const struct frame_options *options,
                              struct frame **ret_frame, struct err *err);

#endif
