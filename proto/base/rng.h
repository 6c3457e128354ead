/* rng.h - counter-based random numbers: a draw is a pure function of its key.
 *
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11). Because the
 * key names seed, step, purpose and the element's global index, a resumed run draws what the
 * uninterrupted one would have drawn, and the number of ranks changes nothing. No state is kept.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

/* What a draw is for; part of the key, so never renumber. */
enum rng_purpose {
    RNG_INIT = 1, /* parameter initialisation; index = hash of the name */
    RNG_DROPOUT = 2,
    RNG_SHUFFLE = 3, /* order of an epoch */
    RNG_AUGMENT = 4,
    RNG_GUMBEL = 5, /* hypernetwork sampling */
    RNG_HYPER_INPUT = 6,
    RNG_SCENE = 7, /* ShapeRef scenes */
    RNG_CAPTION = 8,
    RNG_TEST = 9,
    RNG_STRUCTURE = 10, /* random structures as baselines */
    RNG_SPLIT = 11,
};

struct rng_key {
    uint64_t seed;
    uint64_t step;    /* training step, epoch, scene number ... */
    uint32_t purpose; /* enum rng_purpose */
    uint32_t stream;  /* which tensor, layer or call inside the step */
};

/* Four random words for element `index` of the stream. */
void rng_words(uint32_t out[4], const struct rng_key *key, uint64_t index);

double rng_uniform(const struct rng_key *key, uint64_t index);             /* (0,1), never 0 or 1 */
double rng_normal(const struct rng_key *key, uint64_t index);              /* N(0,1), Box-Muller */
uint32_t rng_below(const struct rng_key *key, uint64_t index, uint32_t n); /* 0..n-1; n > 0 */

uint64_t rng_hash(const char *text); /* FNV-1a, for keys made from names */

/* A cursor over one stream, for code that draws an unknown number of values (scene generation). */
struct rng {
    struct rng_key key;
    uint64_t next;
};
double rng_next_uniform(struct rng *r);
double rng_next_normal(struct rng *r);
uint32_t rng_next_below(struct rng *r, uint32_t n);

#endif
