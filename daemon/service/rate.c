/* rate.c - see rate.h. A name that was pushed out comes back with a full bucket: at worst a peer with hundreds of names
 * gets a second's worth for each, which the limits of gRPC bound. */
#include "service/rate.h"

static uint64_t key_of(const char *name)
{
    uint64_t h = 0xcbf29ce484222325;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3;
    return h ? h : 1;
}

static struct rate_bucket *find(struct rates *r, const char *name, int64_t now_ms)
{
    uint64_t key = key_of(name);
    struct rate_bucket *oldest = &r->bucket[0];
    for (int i = 0; i < RATE_NAMES; i++) {
        struct rate_bucket *b = &r->bucket[i];
        if (b->key == key)
            return b;
        if (oldest->key && (!b->key || b->at_ms < oldest->at_ms))
            oldest = b;
    }
    *oldest = (struct rate_bucket){key, r->per_s, now_ms};
    return oldest;
}

bool rate_take(struct rates *r, const char *name, int64_t now_ms)
{
    if (r->per_s <= 0)
        return true;
    struct rate_bucket *b = find(r, name, now_ms);
    double most = r->per_s < 1 ? 1 : r->per_s;
    b->left += (double)(now_ms - b->at_ms) / 1000 * r->per_s;
    b->left = b->left < most ? b->left : most;
    b->at_ms = now_ms;
    if (b->left < 1)
        return false;
    b->left -= 1;
    return true;
}
