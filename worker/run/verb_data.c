/* verb_data.c - espalier-worker data: makes ShapeRef sets, checks annotation files, lists their words. See verbs.h. */
#include "run/verbs.h"

#include "base/err.h"
#include "engine/data/dataset.h"
#include "engine/data/loader.h"
#include "engine/data/shaperef/shaperef.h"
#include "engine/data/vocabulary.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: espalier data make shaperef --out DIR [option ...]\n"
    "       espalier data words FILE...\n"
    "       espalier data check FILE [--vocabulary FILE] [--max-tokens N] [--rec]\n"
    "\n"
    "make shaperef: writes pictures, annotations in MDETR's format and vocabulary.txt\n"
    "  --out DIR            folder, made when missing\n"
    "  --seed N             everything follows from it (1)\n"
    "  --size PIXELS        picture side, 32 to 1024 (64)\n"
    "  --objects MIN-MAX    objects a scene, within 2-10 (3-6)\n"
    "  --train N            scenes of each split (20000, 500, 2000);\n"
    "  --val N              0 leaves a split out\n"
    "  --test N\n"
    "  --comp N             scenes of the compositional split; a tenth of the colour-shape\n"
    "                       pairs is then kept out of the others (0)\n"
    "  --expressions N      referring expressions a scene (6)\n"
    "  --captions N         captions a scene that name every object (1)\n"
    "  --mix F=W,...        weights of the families attr, ordinal, rel, rel2, cmp, neg;\n"
    "                       those not named get 0 (all alike)\n"
    "  --quiet              no progress lines\n"
    "\n"
    "words: prints every word of the files' captions, a line each: a vocabulary\n"
    "\n"
    "check: reads an annotation file as a job would, looks at every picture's kind and size,\n"
    "and prints what it holds\n"
    "  --vocabulary FILE    also tokenises every caption, and counts words that FILE lacks\n"
    "  --max-tokens N       longest caption with bos and eos (47)\n"
    "  --rec                every record must have exactly one box\n"
    "\n"
    "examples:\n"
    "  espalier data make shaperef --out shapes --seed 1 --objects 3-4 --train 20000\n"
    "  espalier data words train.json > vocabulary.txt\n"
    "  espalier data check shapes/test_rec.json --vocabulary shapes/vocabulary.txt --rec\n";

/* Prints the sentence and gives the program's exit code. */
static int fail(const struct err *err)
{
    fprintf(stderr, "data: %s\n", err->text);
    return status_exit_code(err->code);
}

static int misuse(const char *what, const char *where)
{
    fprintf(stderr, "data: %s%s%s; see data --help\n", what, where ? ": " : "", where ? where : "");
    return status_exit_code(ST_INVALID);
}

static enum status parse_integer(int64_t *ret, const char *name, const char *text, struct err *err)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end || v < 0)
        return err_set(err, ST_INVALID, "--%s needs a whole number of 0 or more, got '%s'", name,
                       text);
    *ret = v;
    return ST_OK;
}

static enum status parse_int(int *ret, const char *name, const char *text, struct err *err)
{
    int64_t v = 0;
    TRY(parse_integer(&v, name, text, err));
    *ret = v > 1000000 ? 1000000 : (int)v;
    return ST_OK;
}

static enum status parse_objects(struct shaperef_config *cfg, const char *text, struct err *err)
{
    char *end;
    long low = strtol(text, &end, 10), high = low;
    bool number = end != text;
    if (number && *end == '-') {
        const char *second = end + 1;
        high = strtol(second, &end, 10);
        number = end != second;
    }
    if (number && !*end && low >= 0 && high >= 0 && low <= INT_MAX && high <= INT_MAX) {
        cfg->objects_min = (int)low;
        cfg->objects_max = (int)high;
        return ST_OK;
    }
    return err_set(err, ST_INVALID, "--objects needs MIN-MAX, as in 3-6, got '%s'", text);
}

/* One "family=weight". */
static enum status parse_weight(struct shaperef_config *cfg, const char *part, struct err *err)
{
    for (int f = 0; f < FAMILY_COUNT; f++) {
        size_t n = strlen(shaperef_family_name[f]);
        if (strncmp(part, shaperef_family_name[f], n) != 0 || part[n] != '=')
            continue;
        char *end;
        double w = strtod(part + n + 1, &end);
        if (end == part + n + 1 || *end || !isfinite(w))
            break;
        cfg->mix[f] = w;
        return ST_OK;
    }
    return err_set(err, ST_INVALID,
                   "--mix needs family=weight with a family of attr, ordinal, rel, rel2, cmp, neg, "
                   "got '%s'",
                   part);
}

static enum status parse_mix(struct shaperef_config *cfg, const char *text, struct err *err)
{
    char *copy = strdup(text), *rest = NULL;
    if (!copy)
        return err_set(err, ST_NOMEM, "out of memory");
    memset(cfg->mix, 0, sizeof cfg->mix);
    enum status st = ST_OK;
    for (char *part = strtok_r(copy, ",", &rest); part && st == ST_OK;
         part = strtok_r(NULL, ",", &rest))
        st = parse_weight(cfg, part, err);
    free(copy);
    return st;
}

/* ---- data make shaperef ---------------------------------------------------------------------------------- */

enum {
    OPT_OUT = 1000,
    OPT_SEED,
    OPT_SIZE,
    OPT_OBJECTS,
    OPT_TRAIN,
    OPT_VAL,
    OPT_TEST,
    OPT_COMP,
    OPT_EXPRESSIONS,
    OPT_CAPTIONS,
    OPT_MIX,
    OPT_QUIET,
};

static const struct option make_options[] = {
    {"out", required_argument, NULL, OPT_OUT},
    {"seed", required_argument, NULL, OPT_SEED},
    {"size", required_argument, NULL, OPT_SIZE},
    {"objects", required_argument, NULL, OPT_OBJECTS},
    {"train", required_argument, NULL, OPT_TRAIN},
    {"val", required_argument, NULL, OPT_VAL},
    {"test", required_argument, NULL, OPT_TEST},
    {"comp", required_argument, NULL, OPT_COMP},
    {"expressions", required_argument, NULL, OPT_EXPRESSIONS},
    {"captions", required_argument, NULL, OPT_CAPTIONS},
    {"mix", required_argument, NULL, OPT_MIX},
    {"quiet", no_argument, NULL, OPT_QUIET},
    {NULL, 0, NULL, 0},
};

static void print_progress(void *arg, enum shaperef_split split, int64_t done, int64_t total)
{
    (void)arg;
    printf("%s: %" PRId64 " of %" PRId64 " scenes\n", shaperef_split_name[split], done, total);
    fflush(stdout);
}

static enum status make_option(struct shaperef_config *cfg, const char **out, int option,
                               const char *value, struct err *err)
{
    int64_t seed = 0;
    switch (option) {
    case OPT_OUT:
        *out = value;
        return ST_OK;
    case OPT_SEED:
        TRY(parse_integer(&seed, "seed", value, err));
        cfg->seed = (uint64_t)seed;
        return ST_OK;
    case OPT_SIZE:
        return parse_int(&cfg->size, "size", value, err);
    case OPT_OBJECTS:
        return parse_objects(cfg, value, err);
    case OPT_TRAIN:
    case OPT_VAL:
    case OPT_TEST:
    case OPT_COMP:
        return parse_integer(&cfg->scenes[option - OPT_TRAIN],
                             shaperef_split_name[option - OPT_TRAIN], value, err);
    case OPT_EXPRESSIONS:
        return parse_int(&cfg->expressions, "expressions", value, err);
    case OPT_CAPTIONS:
        return parse_int(&cfg->captions, "captions", value, err);
    case OPT_MIX:
        return parse_mix(cfg, value, err);
    case OPT_QUIET:
        cfg->progress = NULL;
        return ST_OK;
    default:
        return err_set(err, ST_INTERNAL, "option %d has no case", option);
    }
}

static int make_shaperef(int argc, char **argv)
{
    struct shaperef_config cfg;
    struct err err = {0};
    const char *out = NULL;
    shaperef_defaults(&cfg);
    cfg.progress = print_progress;
    optind = 1;
    opterr = 0;
    for (int o; (o = getopt_long(argc, argv, "", make_options, NULL)) != -1;) {
        if (o == '?')
            return misuse("unknown option or missing value", argv[optind - 1]);
        if (make_option(&cfg, &out, o, optarg, &err) != ST_OK)
            return fail(&err);
    }
    if (optind < argc)
        return misuse("make shaperef takes options only", argv[optind]);
    if (!out)
        return misuse("make shaperef needs --out DIR", NULL);
    if (shaperef_make(&cfg, out, &err) != ST_OK)
        return fail(&err);
    return 0;
}

/* ---- data check ------------------------------------------------------------------------------------------- */

struct check {
    const char *path, *vocabulary;
    int max_tokens;
    bool rec;
};

static const struct option check_options[] = {
    {"vocabulary", required_argument, NULL, 'v'},
    {"max-tokens", required_argument, NULL, 'm'},
    {"rec", no_argument, NULL, 'r'},
    {NULL, 0, NULL, 0},
};

static void print_set(const struct dataset *set)
{
    printf("%s: %" PRId64 " records, %" PRId64 " boxes, %" PRId32 " pictures\n", dataset_path(set),
           dataset_count(set), dataset_boxes(set), dataset_images(set));
    for (int f = 0; f < dataset_families(set); f++) {
        const struct dataset_family *x = dataset_family(set, f);
        printf("  %-10s %8" PRId64 " records", x->name, x->records);
        if (!isnan(x->random))
            printf("; blind: random %.3f, head noun %.3f, attributes %.3f", x->random, x->head_noun,
                   x->attributes);
        putchar('\n');
    }
}

/* Code points [begin, end) of a valid text. */
static void print_points(const char *text, struct span at)
{
    uint32_t code;
    for (int32_t i = 0; i < at.end; i++) {
        int bytes = utf8_next(text, &code);
        if (i >= at.begin)
            printf("%.*s", bytes, text);
        text += bytes;
    }
}

static enum status print_unknown(const struct dataset *set, const struct tokenizer *tokenizer,
                                 struct err *err)
{
    static struct tokens tokens; /* 6 KiB */
    int64_t words = 0, unknown = 0, first = 0;
    struct span where = {0, 0};
    struct record r;
    for (int64_t i = 0; i < dataset_count(set); i++) {
        dataset_get(set, i, &r);
        TRY(tokenizer_encode(tokenizer, &tokens, r.caption, err));
        words += tokens.n - 2;
        for (int32_t k = 1; k < tokens.n - 1; k++)
            if (tokens.id[k] == TOKEN_UNK && !unknown++) {
                first = i;
                where = tokens.at[k];
            }
    }
    printf("  %" PRId64 " words, %" PRId64 " of them not in the vocabulary", words, unknown);
    if (unknown) {
        dataset_get(set, first, &r);
        printf(", the first \"");
        print_points(r.caption, where);
        printf("\" in record %" PRId64, r.id);
    }
    putchar('\n');
    return ST_OK;
}

/* A loader checks every caption when it is created. */
static enum status check_captions(const struct dataset *set, const struct check *c, struct err *err)
{
    struct tokenizer *tokenizer;
    struct loader *loader;
    TRY(tokenizer_open_words(&tokenizer, c->vocabulary, err));
    struct loader_config cfg = {.source = {{.set = set}},
                                .sources = 1,
                                .tokenizer = tokenizer,
                                .max_tokens = c->max_tokens,
                                .batch = 1,
                                .ranks = 1,
                                .sequential = true};
    enum status st = loader_create(&loader, &cfg, err);
    if (st == ST_OK) {
        loader_destroy(loader);
        print_set(set);
        st = print_unknown(set, tokenizer, err);
    }
    tokenizer_destroy(tokenizer);
    return st;
}

static enum status check_set(const struct check *c, struct err *err)
{
    struct dataset *set;
    struct dataset_config cfg = {.path = c->path, .check_images = true};
    TRY(dataset_open(&set, &cfg, err));
    enum status st = c->rec ? dataset_require_one_box(set, err) : ST_OK;
    if (st == ST_OK && c->vocabulary)
        st = check_captions(set, c, err);
    else if (st == ST_OK)
        print_set(set);
    dataset_close(set);
    return st;
}

static int check_file(int argc, char **argv)
{
    struct check c = {.max_tokens = 47};
    struct err err = {0};
    optind = 1;
    opterr = 0;
    for (int o; (o = getopt_long(argc, argv, "", check_options, NULL)) != -1;) {
        if (o == 'v')
            c.vocabulary = optarg;
        else if (o == 'r')
            c.rec = true;
        else if (o != 'm')
            return misuse("unknown option or missing value", argv[optind - 1]);
        else if (parse_int(&c.max_tokens, "max-tokens", optarg, &err) != ST_OK)
            return fail(&err);
    }
    if (argc - optind != 1)
        return misuse("check needs one annotation file", NULL);
    c.path = argv[optind];
    return check_set(&c, &err) == ST_OK ? 0 : fail(&err);
}

/* ---- data words ------------------------------------------------------------------------------------------- */

static enum status add_file(struct vocabulary *v, const char *path, struct err *err)
{
    struct dataset *set;
    const struct dataset_config cfg = {.path = path};
    TRY(dataset_open(&set, &cfg, err));
    enum status st = vocabulary_add(v, set, err);
    dataset_close(set);
    return st;
}

static int print_words(int files, char **file)
{
    struct vocabulary v = {0};
    struct buf text;
    struct err err = {0};
    enum status st = ST_OK;
    if (!files || file[0][0] == '-')
        return misuse("words takes annotation files only", files ? file[0] : NULL);
    buf_init(&text, 64u << 20);
    for (int i = 0; i < files && st == ST_OK; i++)
        st = add_file(&v, file[i], &err);
    vocabulary_print(&v, &text);
    if (st == ST_OK && !buf_ok(&text))
        st = err_set(&err, ST_LIMIT, "the words of the captions take more than 64 MiB");
    if (st == ST_OK && (fwrite(text.data, 1, text.len, stdout) != text.len || fflush(stdout)))
        st = err_errno(&err, "cannot write the words");
    vocabulary_fini(&v);
    buf_fini(&text);
    return st == ST_OK ? 0 : fail(&err);
}

int verb_data(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            return 0;
        }
    if (argc >= 3 && !strcmp(argv[1], "make") && !strcmp(argv[2], "shaperef"))
        return make_shaperef(argc - 2, argv + 2);
    if (argc >= 2 && !strcmp(argv[1], "check"))
        return check_file(argc - 1, argv + 1);
    if (argc >= 2 && !strcmp(argv[1], "words"))
        return print_words(argc - 2, argv + 2);
    fputs(usage, stderr);
    return status_exit_code(ST_INVALID);
}
