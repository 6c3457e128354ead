/* random_structure.h - frames and structures for the tests of this folder. */
#ifndef TESTS_RANDOM_STRUCTURE_H
#define TESTS_RANDOM_STRUCTURE_H

#include "base/rng.h"
#include "structure/structure.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* All options of the frame from the low bits of `bits`. */
static inline struct frame_options options_of(unsigned bits, int block_size)
{
    return (struct frame_options){.block_size = block_size,
                                  .cross_msa = bits & 1,
                                  .cross_ffn = bits & 2,
                                  .block_msa = bits & 4,
                                  .block_ffn = bits & 8,
                                  .prune = bits & 16,
                                  .share = bits & 32};
}

/* A frame of two backbones of width C, H heads, F units; `rest` parameters outside the sites. */
static inline struct frame *frame_of(int Lv, int Lt, int C, int H, int F,
                                     struct frame_options options)
{
    struct side_shape vision = {Lv, C, H, F}, text = {Lt, C, H, F};
    int64_t sites = (int64_t)(Lv + Lt) * (4 * C * C + 3 * C + 2 * C * F + F);
    struct frame *f = NULL;
    struct err err = {0};
    if (frame_create(&f, &vision, &text, &options, sites + 1000, sites + 100, &err) != ST_OK) {
        fprintf(stderr, "frame_of: %s\n", err.text);
        abort();
    }
    return f;
}

static inline struct structure *structure_full(const struct frame *f)
{
    struct structure *st = NULL;
    if (structure_create(&st, f, NULL) != ST_OK)
        abort();
    return st;
}

/* Every bit drawn by itself; s only where the site has a source. */
static inline struct structure *structure_random(const struct frame *f, uint64_t seed, double keep,
                                                 double share)
{
    struct structure *st = structure_full(f);
    struct rng rng = {.key = {.seed = seed, .purpose = RNG_TEST}};
    for (int i = 0; i < f->nsites; i++) {
        for (int g = f->site[i].first; g < f->site[i].first + f->site[i].groups; g++) {
            st->m[g] = rng_next_uniform(&rng) < keep;
            st->s[g] = rng_next_uniform(&rng) < share && f->site[i].source >= 0;
        }
    }
    return st;
}

#endif
