/* rng.c - see rng.h. */
#include "base/rng.h"

#include <math.h>

static inline void philox_round(uint32_t c[4], const uint32_t k[2])
{
    uint64_t p0 = (uint64_t)0xD2511F53u * c[0];
    uint64_t p1 = (uint64_t)0xCD9E8D57u * c[2];
    uint32_t c1 = c[1], c3 = c[3];
    c[0] = (uint32_t)(p1 >> 32) ^ c1 ^ k[0];
    c[1] = (uint32_t)p1;
    c[2] = (uint32_t)(p0 >> 32) ^ c3 ^ k[1];
    c[3] = (uint32_t)p0;
}

/* splitmix64's finaliser: folds the four key fields into Philox's 64-bit key. */
static inline uint64_t mix64(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

void rng_words(uint32_t out[4], const struct rng_key *key, uint64_t index)
{
    uint64_t folded = mix64(mix64(key->seed) ^ ((uint64_t)key->purpose << 32 | key->stream));
    uint32_t k[2] = {(uint32_t)folded, (uint32_t)(folded >> 32)};
    out[0] = (uint32_t)index;
    out[1] = (uint32_t)(index >> 32);
    out[2] = (uint32_t)key->step;
    out[3] = (uint32_t)(key->step >> 32);
    for (int round = 0; round < 10; round++) {
        philox_round(out, k);
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
}

static inline double unit(uint32_t hi, uint32_t lo)
{
    uint64_t bits = ((uint64_t)hi << 32 | lo) >> 12;
    return ((double)bits + 0.5) * 0x1p-52;
}

double rng_uniform(const struct rng_key *key, uint64_t index)
{
    uint32_t w[4];
    rng_words(w, key, index);
    return unit(w[0], w[1]);
}

double rng_normal(const struct rng_key *key, uint64_t index)
{
    uint32_t w[4];
    rng_words(w, key, index);
    return sqrt(-2 * log(unit(w[0], w[1]))) * cos(2 * 3.14159265358979323846 * unit(w[2], w[3]));
}

uint32_t rng_below(const struct rng_key *key, uint64_t index, uint32_t n)
{
    uint32_t w[4];
    rng_words(w, key, index);
    return (uint32_t)(((uint64_t)w[0] * n) >> 32);
}

uint64_t rng_hash(const char *text)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001B3u;
    return h;
}

double rng_next_uniform(struct rng *r)
{
    return rng_uniform(&r->key, r->next++);
}

double rng_next_normal(struct rng *r)
{
    return rng_normal(&r->key, r->next++);
}

uint32_t rng_next_below(struct rng *r, uint32_t n)
{
    return rng_below(&r->key, r->next++, n);
}
