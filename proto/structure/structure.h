/* structure.h - the structure as a value: which groups are kept (m) and which are shared (s).
 *
 * No tensors, no I/O: sites, bits, counts, differences, text and drawings. Client, daemon and worker
 * use it alike. Source: "Learning to Jointly Share and Prune Weights for Grounding Based Vision and
 * Language Models" (ICLR 2023); grouping, sharing chains and counting as in docs/internals/method.md.
 *
 * A *site* is (side, layer, part) with N groups of one cost: a head of an MSA, a hidden unit of an FFN.
 * The *frame* is the list of all sites of a model, vision layers first (MSA, FFN, MSA, ...), then text.
 * A *structure* on a frame has a pruning bit m per group (1 = kept) and a sharing bit s (1 = taken from
 * the same group of the site's source); s is 0 where a site has no source.
 */
#ifndef STRUCTURE_STRUCTURE_H
#define STRUCTURE_STRUCTURE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum side { SIDE_VISION, SIDE_TEXT };
enum part { PART_MSA, PART_FFN };

#define SITE_NAME_MAX 24

/* What a frame may be at most; input from outside is held to it before anything is allocated. */
#define FRAME_LAYERS_MAX 256 /* a side */
#define FRAME_WIDTH_MAX 65536
#define FRAME_SITES_MAX (4 * FRAME_LAYERS_MAX)
#define FRAME_GROUPS_MAX (1 << 22)
#define FRAME_PARAMS_MAX (INT64_C(1) << 53) /* counts stay exact in a double */

struct site {
    char name[SITE_NAME_MAX]; /* "vision.3.msa", "text.0.ffn": as the parameters are named */
    enum side side;
    enum part part;
    int layer;             /* 0-based within its side */
    int groups;            /* N */
    int first;             /* index of its first group among all groups of the frame */
    int64_t cost;          /* matrix weights a group: MSA 4*C*e, FFN 2*C */
    int64_t bias;          /* biases a group: MSA 3*e, FFN 1; never shared, dropped with m */
    int source;            /* site it may take groups from, or -1 */
    const char *no_source; /* why not (static text), NULL where source >= 0 */
};

/* What a backbone looks like from here. */
struct side_shape {
    int layers, width, heads, ffn; /* L, C, H, F */
};

/* method.block_size, cross_msa, ... of the job file; method.md 2 */
struct frame_options {
    int block_size;
    bool cross_msa, cross_ffn, block_msa, block_ffn;
    bool prune, share; /* false: m stays 1 / s stays 0 everywhere */
};

struct frame {
    int nsites, ngroups;
    struct site *site; /* owned */
    struct side_shape shape[2];
    struct frame_options options;
    int64_t total;     /* parameters of the dense model, P(1,0) */
    int64_t backbones; /* of them, in the two backbones (matrices, biases, norms, embeddings) */
};

/* total, backbones: parameter counts of the dense model. ST_INVALID for impossible shapes, ST_LIMIT for sizes
 * above the maxima. A source always stands before its users: site[i].source < i.
 * Where the backbones' head counts differ and one divides the other, a group of both is the larger head. */
enum status frame_create(struct frame **ret_frame, const struct side_shape *vision,
                         const struct side_shape *text, const struct frame_options *options,
                         int64_t total, int64_t backbones, struct err *err);
void frame_destroy(struct frame *f);                     /* NULL allowed */
int frame_find(const struct frame *f, const char *name); /* site index or -1 */
bool frame_equal(const struct frame *a, const struct frame *b);
/* ST_OK if they are equal, else ST_INVALID with the first number that differs. */
enum status frame_match(const struct frame *a, const struct frame *b, struct err *err);

struct structure {
    const struct frame *frame; /* borrowed; outlives the structure */
    uint8_t *m, *s;            /* owned; ngroups each, 0 or 1 */
};

/* Starts full: m = 1, s = 0. */
enum status structure_create(struct structure **ret_st, const struct frame *frame, struct err *err);
void structure_destroy(struct structure *st);
void structure_fill(struct structure *st); /* as created: every group kept, none shared */
void structure_copy(struct structure *to, const struct structure *from); /* same frame */
bool structure_equal(const struct structure *a, const struct structure *b);

/* Where the weights of group g (index in the frame) of a site really live: follows s along the chain
 * (text -> base -> vision). Returns the owning group's index in the frame; *ret_site its site.  */
int structure_owner(const struct structure *st, int site, int group, int *ret_site);

/* Whether group g is computed with by its own site (m = 1) or taken by a user that is. */
void structure_needed(const struct structure *st, uint8_t *ret_needed /* ngroups */);
/* Whether group g's weights are stored (by itself or for a user), method.md 3: needed and not taken from elsewhere. */
void structure_stored(const struct structure *st, uint8_t *ret_stored /* ngroups */);

struct structure_count {
    int64_t whole, backbones; /* stored parameters, each unique row once */
    int64_t dense_whole, dense_backbones;
    double kept;             /* whole / dense_whole */
    int groups, pruned;      /* m = 0 */
    int text_groups, shared; /* m = 1 and s = 1 */
};
void structure_count(const struct structure *st, struct structure_count *ret_count);

/* P(m, s) for soft m, s in [0,1] (ngroups each) and, where dm / ds are not NULL, its gradients (overwritten).
 * Equal to structure_count().whole on bits. Never rises as any m falls. method.md 3, union rule. */
double structure_params(const struct frame *f, const double *m, const double *s, double *dm,
                        double *ds);

/* Smallest reachable P: one head and one FFN unit per layer kept, everything shared that may be. */
int64_t frame_smallest(const struct frame *f);

/* The final read-out, method.md 4: keep-scores (o + b) of m and own-scores of the sharing head, one each a
 * group (score_s ignored where a site has no source). One global threshold by bisection to the largest
 * P <= target_params, at least one group of every site kept. ret_st is overwritten.
 * ST_INVALID if target_params < frame_smallest(). */
enum status structure_bisect(struct structure *ret_st, const double *score_m,
                             const double *score_own, int64_t target_params, double *ret_threshold,
                             struct err *err);

/* Differences as counts of bits; both on the same frame. */
struct structure_diff {
    int m_on, m_off, s_on, s_off;
};
void structure_diff(const struct structure *from, const struct structure *to,
                    struct structure_diff *ret_diff);

/* The same of one site. */
void structure_diff_site(const struct structure *from, const struct structure *to, int site,
                         struct structure_diff *ret_diff);

/* docs/spec/structure.md: one JSON object with the frame's shapes and options and a string of 0/1 a site.
 * Reading builds the frame too; the structure borrows it: destroy the structure first. */
void structure_write_json(const struct structure *st, struct buf *out);
enum status structure_read_json(struct frame **ret_frame, struct structure **ret_st,
                                const char *text, size_t len, struct err *err);

/* The map of kept / shared / pruned groups of every layer. Text: at most `columns` wide, a row a site,
 * colour by ANSI codes when `colour`. SVG: a stand-alone document. */
void structure_draw_text(const struct structure *st, int columns, bool colour, struct buf *out);
void structure_draw_svg(const struct structure *st, const char *title, struct buf *out);

/* What changed from one to the other, on equal frames: a row a site that changed, and the totals of both. SVG: every
 * group, the changed ones in their own colours. */
void structure_diff_text(const struct structure *from, const struct structure *to, int columns,
                         bool colour, struct buf *out);
void structure_diff_svg(const struct structure *from, const struct structure *to, const char *title,
                        struct buf *out);

#endif
