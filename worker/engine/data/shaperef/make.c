/* make.c - splits, pictures and annotation files of a ShapeRef set. See shaperef.h.
 *
 * Of a scene's attempts the first one that can give an expression of every family it was assigned
 * is taken; families are assigned before anything is drawn, so the mix is the configured one.
 */
#include "base/file.h"
#include "engine/data/image.h"
#include "engine/data/shaperef/draw.h"
#include "engine/data/shaperef/expression.h"
#include "engine/data/shaperef/writer.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ATTEMPTS 100
#define EXPRESSIONS_MAX 32
#define CAPTIONS_MAX 8
#define SCENES_MAX 10000000
#define PROGRESS_EVERY 500

void shaperef_defaults(struct shaperef_config *cfg)
{
    *cfg = (struct shaperef_config){
        .seed = 1,
        .size = 64,
        .objects_min = 3,
        .objects_max = 6,
        .scenes = {20000, 500, 2000, 0},
        .expressions = 6,
        .captions = 1,
    };
    for (int f = 0; f < FAMILY_COUNT; f++)
        cfg->mix[f] = 1;
}

enum status shaperef_check(const struct shaperef_config *cfg, struct err *err)
{
    if (cfg->size < 32 || cfg->size > 1024)
        return err_set(err, ST_INVALID, "size must be 32 to 1024 pixels, got %d", cfg->size);
    if (cfg->objects_min < 2 || cfg->objects_max > SHAPEREF_OBJECTS_MAX ||
        cfg->objects_min > cfg->objects_max)
        return err_set(err, ST_INVALID, "objects must be a range within 2-%d, got %d-%d",
                       SHAPEREF_OBJECTS_MAX, cfg->objects_min, cfg->objects_max);
    for (int i = 0; i < SHAPEREF_SPLITS; i++)
        if (cfg->scenes[i] < 0 || cfg->scenes[i] > SCENES_MAX)
            return err_set(err, ST_INVALID, "%s must have 0 to %d scenes, got %lld",
                           shaperef_split_name[i], SCENES_MAX, (long long)cfg->scenes[i]);
    if (cfg->expressions < 0 || cfg->expressions > EXPRESSIONS_MAX)
        return err_set(err, ST_INVALID, "expressions a scene must be 0 to %d, got %d",
                       EXPRESSIONS_MAX, cfg->expressions);
    if (cfg->captions < 0 || cfg->captions > CAPTIONS_MAX)
        return err_set(err, ST_INVALID, "captions a scene must be 0 to %d, got %d", CAPTIONS_MAX,
                       cfg->captions);
    double sum = 0;
    for (int f = 0; f < FAMILY_COUNT; f++) {
        if (!(cfg->mix[f] >= 0 && cfg->mix[f] <= 1e6))
            return err_set(err, ST_INVALID, "the weight of family %s must be 0 to 1e6, got %g",
                           shaperef_family_name[f], cfg->mix[f]);
        sum += cfg->mix[f];
    }
    if (!(sum > 0))
        return err_set(err, ST_INVALID, "at least one family needs a weight above 0");
    return ST_OK;
}

/* ---- one scene ------------------------------------------------------------------------------- */

struct asked {
    struct expression e;
    int target;
    char text[PHRASE_MAX];
    struct span head;
};

/* A split's work: scratch memory, and the files that grow. */
struct maker {
    const struct shaperef_config *cfg;
    enum shaperef_split split;
    uint8_t *owner;
    struct image image;
    struct asked asked[EXPRESSIONS_MAX];
    int n_asked;
};

/* Systematic sampling: n slots over the weights with one uniform offset, so every family gets its
 * share rounded up or down. */
static void assign_families(const struct shaperef_config *cfg, uint64_t number,
                            enum shaperef_split split, enum shaperef_family out[EXPRESSIONS_MAX])
{
    struct rng_key key = {
        .seed = cfg->seed, .step = number, .purpose = RNG_CAPTION, .stream = (uint32_t)split};
    double sum = 0, upto = 0, offset = rng_uniform(&key, 0);
    for (int f = 0; f < FAMILY_COUNT; f++)
        sum += cfg->mix[f];
    int n = 0, last = FAMILY_COUNT;
    while (last > 0 && cfg->mix[last - 1] <= 0)
        last--;
    for (int f = 0; f < last; f++) {
        upto += cfg->mix[f] / sum * cfg->expressions;
        int end = f == last - 1 ? cfg->expressions : (int)floor(upto + offset);
        while (n < end && n < cfg->expressions)
            out[n++] = (enum shaperef_family)f;
    }
}

static bool is_new(const struct maker *m, const char *text)
{
    for (int i = 0; i < m->n_asked; i++)
        if (!strcmp(m->asked[i].text, text))
            return false;
    return true;
}

/* Asks as many of the assigned families as the scene gives. */
static void ask_all(struct maker *m, const struct scene *s,
                    const enum shaperef_family family[EXPRESSIONS_MAX], int attempt)
{
    struct rng rng = {.key = {.seed = m->cfg->seed,
                              .step = s->number,
                              .purpose = RNG_CAPTION,
                              .stream = (uint32_t)m->split | (uint32_t)(attempt + 1) << 8}};
    m->n_asked = 0;
    for (int k = 0; k < m->cfg->expressions; k++) {
        struct asked *a = &m->asked[m->n_asked];
        if (!expression_draw(s, family[k], &rng, &a->e, &a->target))
            continue;
        expression_text(&a->e, a->text, &a->head);
        if (is_new(m, a->text))
            m->n_asked++;
    }
}

/* The scene and its expressions. ST_INVALID when the objects never found room. */
static enum status make_scene(struct maker *m, uint64_t number, struct scene *s, struct err *err)
{
    enum shaperef_family family[EXPRESSIONS_MAX];
    assign_families(m->cfg, number, m->split, family);
    int best = -1, most = -1;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        if (!scene_make(s, m->cfg, m->split, number, attempt, m->owner))
            continue;
        ask_all(m, s, family, attempt);
        if (m->n_asked == m->cfg->expressions)
            return ST_OK;
        if (m->n_asked > most) {
            most = m->n_asked;
            best = attempt;
        }
    }
    if (best < 0)
        return err_set(err, ST_INVALID,
                       "%s scene %llu: %d objects find no room in %d tries; ask for fewer objects",
                       shaperef_split_name[m->split], (unsigned long long)number,
                       m->cfg->objects_max, ATTEMPTS);
    scene_make(s, m->cfg, m->split, number, best, m->owner);
    ask_all(m, s, family, best);
    return ST_OK;
}

/* ---- records --------------------------------------------------------------------------------- */

static void write_expressions(struct maker *m, struct writer *w, const struct scene *s)
{
    for (int i = 0; i < m->n_asked; i++) {
        const struct asked *a = &m->asked[i];
        struct blind b = expression_blind(s, &a->e, a->target);
        writer_record(w, s, a->text, shaperef_family_name[a->e.family]);
        writer_box(w, &s->thing[a->target], a->head);
        writer_blind(w, a->e.family, &b);
    }
}

/* A random order, so that a query's place tells nothing. */
static void shuffle(int *order, int n, struct rng *rng)
{
    for (int i = 0; i < n; i++)
        order[i] = i;
    for (int i = n - 1; i > 0; i--) {
        int j = (int)rng_next_below(rng, (uint32_t)i + 1), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

static void write_caption(struct writer *w, const struct scene *s, struct rng *rng)
{
    char text[PHRASE_MAX];
    int order[SHAPEREF_OBJECTS_MAX], len = 0;
    struct span span[SHAPEREF_OBJECTS_MAX];
    shuffle(order, s->n, rng);
    for (int k = 0; k < s->n; k++) {
        struct phrase p;
        phrase_draw(s, order[k], rng, &p);
        if (k) {
            memcpy(text + len, " ;", 3);
            len += 2;
        }
        span[k].begin = k ? len + 1 : 0;
        len = phrase_text(&p, text, len);
        span[k].end = len;
    }
    writer_record(w, s, text, NULL);
    for (int k = 0; k < s->n; k++)
        writer_box(w, &s->thing[order[k]], span[k]);
}

static void write_captions(struct maker *m, struct writer *w, const struct scene *s)
{
    struct rng rng = {.key = {.seed = m->cfg->seed,
                              .step = s->number,
                              .purpose = RNG_CAPTION,
                              .stream = 0x10000u + (uint32_t)m->split}};
    for (int i = 0; i < m->cfg->captions; i++)
        write_caption(w, s, &rng);
}

/* ---- a split --------------------------------------------------------------------------------- */

static enum status write_picture(struct maker *m, const char *dir, const struct scene *s,
                                 struct err *err)
{
    char name[WRITER_NAME_MAX];
    writer_picture_name(name, s);
    char *path = path_join(dir, name);
    if (!path)
        return err_set(err, ST_NOMEM, "out of memory writing %s", name);
    draw_scene(s, &m->image);
    enum status st = image_write_png(path, &m->image, 1, err);
    free(path);
    return st;
}

static enum status make_scenes(struct maker *m, const char *dir, struct writer *captions,
                               struct writer *rec, struct err *err)
{
    int64_t total = m->cfg->scenes[m->split];
    for (int64_t k = 0; k < total; k++) {
        struct scene s;
        TRY(make_scene(m, (uint64_t)k, &s, err));
        TRY(write_picture(m, dir, &s, err));
        write_captions(m, captions, &s);
        write_expressions(m, rec, &s);
        if (m->cfg->progress && ((k + 1) % PROGRESS_EVERY == 0 || k + 1 == total))
            m->cfg->progress(m->cfg->progress_arg, m->split, k + 1, total);
    }
    return ST_OK;
}

/* One sync for all pictures: an fsync each would cost more than making them. */
static enum status sync_pictures(const char *dir, struct err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "folder %s", dir);
    enum status st = syncfs(fd) ? err_errno(err, "writing the pictures of %s", dir) : ST_OK;
    close(fd);
    return st;
}

static enum status make_split(struct maker *m, const char *dir, struct err *err)
{
    struct writer captions, rec;
    writer_init(&captions, m->cfg, m->split, "captions");
    writer_init(&rec, m->cfg, m->split, "rec");
    char *pictures = path_join(dir, shaperef_split_name[m->split]);
    enum status st = pictures ? file_mkdirs(pictures, 0777, err)
                              : err_set(err, ST_NOMEM, "out of memory making %s", dir);
    /* an old annotation file must not describe new pictures */
    if (st == ST_OK)
        st = writer_remove_old(&captions, dir, err);
    if (st == ST_OK)
        st = writer_remove_old(&rec, dir, err);
    if (st == ST_OK)
        st = make_scenes(m, dir, &captions, &rec, err);
    if (st == ST_OK)
        st = sync_pictures(dir, err);
    if (st == ST_OK && m->cfg->captions)
        st = writer_commit(&captions, dir, err);
    if (st == ST_OK && m->cfg->expressions)
        st = writer_commit(&rec, dir, err);
    writer_fini(&captions);
    writer_fini(&rec);
    free(pictures);
    return st;
}

enum status shaperef_make(const struct shaperef_config *cfg, const char *dir, struct err *err)
{
    TRY(shaperef_check(cfg, err));
    TRY(file_mkdirs(dir, 0777, err));
    struct maker *m = calloc(1, sizeof *m);
    uint8_t *owner = malloc((size_t)cfg->size * (size_t)cfg->size);
    enum status st = ST_OK;
    if (!m || !owner)
        st = err_set(err, ST_NOMEM, "out of memory for pictures of %d pixels", cfg->size);
    else
        *m = (struct maker){.cfg = cfg, .owner = owner};
    if (st == ST_OK)
        st = image_create(&m->image, cfg->size, cfg->size, err);
    if (st == ST_OK)
        st = writer_vocabulary(dir, err);
    for (int split = 0; split < SHAPEREF_SPLITS && st == ST_OK; split++) {
        m->split = (enum shaperef_split)split;
        if (cfg->scenes[split])
            st = make_split(m, dir, err);
    }
    if (m)
        image_fini(&m->image);
    free(owner);
    free(m);
    return st;
}
