/* init.c - see init.h. */
#include "engine/core/init.h"

#include "base/rng.h"

#include <math.h>

static int64_t spec_rows(const struct param_spec *s)
{
    return s->dim[0];
}

static int64_t spec_columns(const struct param_spec *s)
{
    int64_t n = 1;
    for (int i = 1; i < s->dims; i++)
        n *= s->dim[i];
    return n;
}

static int64_t grid_side(int64_t cells)
{
    return (int64_t)llround(sqrt((double)cells));
}

enum status init_check(const struct param_spec *s, struct err *err)
{
    int64_t rows = spec_rows(s), columns = spec_columns(s), side = grid_side(rows);
    if (!isfinite(s->scale))
        return err_set(err, ST_INVALID, "parameter '%s': the scale of its initialisation is %g",
                       s->name, s->scale);
    if (s->init == INIT_ORTHOGONAL && rows > columns)
        return err_set(err, ST_INVALID,
                       "parameter '%s': %lld rows of %lld elements cannot be orthonormal", s->name,
                       (long long)rows, (long long)columns);
    if (s->init == INIT_SINE2D && (s->dims != 2 || side * side != rows || columns % 2))
        return err_set(err, ST_INVALID,
                       "parameter '%s': sine positions need a square number of rows and an even "
                       "width, not %lld x %lld",
                       s->name, (long long)rows, (long long)columns);
    return ST_OK;
}

/* Redrawn until it lies within two sigma; each try is a stream of its own. */
static double truncated_normal(struct rng_key key, uint64_t index)
{
    for (;;) {
        double z = rng_normal(&key, index);
        if (fabs(z) <= 2)
            return z;
        key.stream++;
    }
}

static double draw(const struct param_spec *s, const struct rng_key *key, uint64_t index)
{
    switch (s->init) {
    case INIT_ONE:
        return 1;
    case INIT_NORMAL:
        return s->scale * truncated_normal(*key, index);
    case INIT_NORMAL_FULL:
        return s->scale * rng_normal(key, index);
    case INIT_ORTHOGONAL:
        return rng_normal(key, index);
    case INIT_UNIFORM:
        return s->scale * (2 * rng_uniform(key, index) - 1);
    case INIT_ZERO:
    case INIT_SINE2D:
        break;
    }
    return 0;
}

static double dot(const real *a, const real *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

/* Gram-Schmidt over rows that hold normal draws; twice, because once loses digits on nearly
 * parallel rows. */
static void orthogonalise(real *w, int64_t rows, int64_t columns)
{
    for (int64_t r = 0; r < rows; r++) {
        real *row = w + r * columns;
        for (int pass = 0; pass < 2; pass++) {
            for (int64_t q = 0; q < r; q++) {
                const real *other = w + q * columns;
                double along = dot(row, other, columns);
                for (int64_t c = 0; c < columns; c++)
                    row[c] = (real)(row[c] - along * other[c]);
            }
        }
        double norm = sqrt(dot(row, row, columns));
        for (int64_t c = 0; c < columns; c++)
            row[c] = (real)(row[c] / norm);
    }
}

/* docs/spec/model-mdetr.md 3 without a mask: row Y, column X counted from 1 and scaled to 2 pi. */
static void sine2d(real *w, int64_t cells, int64_t width, double scale)
{
    int64_t side = grid_side(cells), half = width / 2;
    for (int64_t cell = 0; cell < cells; cell++)
        for (int64_t c = 0; c < width; c++) {
            int64_t i = c % half, count = c < half ? cell / side + 1 : cell % side + 1;
            double at = (double)count / ((double)side + 1e-6) * 2 * 3.14159265358979323846;
            double angle = at / pow(10000, 2 * floor((double)i / 2) / (double)half);
            w[cell * width + c] = (real)(scale * (i % 2 ? cos(angle) : sin(angle)));
        }
}

void init_fill(real *to, const struct param_spec *s, uint64_t seed)
{
    struct rng_key key = {.seed = seed, .step = s->key, .purpose = RNG_INIT};
    int64_t rows = spec_rows(s), columns = spec_columns(s);
    for (int64_t i = 0; i < rows * columns; i++)
        to[i] = (real)draw(s, &key, (uint64_t)i);
    if (s->init == INIT_ORTHOGONAL)
        orthogonalise(to, rows, columns);
    else if (s->init == INIT_SINE2D)
        sine2d(to, rows, columns, s->scale);
}
