/* matcher.c - shortest augmenting paths.
 *
 * Works on the wide orientation, n <= m: row i of the problem is a box, column j a query (or the
 * other way round, by strides). u, v are the duals; a path from a free row ends in the nearest free
 * column.
 */
#include "engine/model/matcher.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define EXPENSIVE 1e30

struct problem {
    const double *cost;
    int n, m;
    ptrdiff_t row_stride, col_stride;
    double *u, *v, *shortest; /* [n], [m], [m] */
    int32_t *col_of, *row_of; /* [n], [m]; -1 = free */
    int32_t *before;          /* [m]: the row from which the path reaches column j */
    uint8_t *row_in, *col_in; /* [n], [m]: on the tree of this search */
};

static double cost_at(const struct problem *p, int i, int j)
{
    double c = p->cost[i * p->row_stride + j * p->col_stride];
    return isfinite(c) && c < EXPENSIVE ? c : EXPENSIVE;
}

/* Dijkstra from free row `start`; returns the free column where the shortest path ends, its length
 * in *ret_length. */
static int search(struct problem *p, int start, double *ret_length)
{
    double length = 0;
    int row = start, end = -1;
    memset(p->row_in, 0, (size_t)p->n);
    memset(p->col_in, 0, (size_t)p->m);
    for (int j = 0; j < p->m; j++)
        p->shortest[j] = INFINITY;
    while (end < 0) {
        int nearest = -1;
        p->row_in[row] = 1;
        for (int j = 0; j < p->m; j++) {
            if (p->col_in[j])
                continue;
            double through = length + cost_at(p, row, j) - p->u[row] - p->v[j];
            if (through < p->shortest[j]) {
                p->shortest[j] = through;
                p->before[j] = row;
            }
            if (nearest < 0 || p->shortest[j] < p->shortest[nearest])
                nearest = j;
        }
        length = p->shortest[nearest];
        p->col_in[nearest] = 1;
        row = p->row_of[nearest];
        if (row < 0)
            end = nearest;
    }
    *ret_length = length;
    return end;
}

static void update_duals(struct problem *p, int start, double length)
{
    for (int i = 0; i < p->n; i++)
        if (p->row_in[i] && i != start)
            p->u[i] += length - p->shortest[p->col_of[i]];
    p->u[start] += length;
    for (int j = 0; j < p->m; j++)
        if (p->col_in[j])
            p->v[j] -= length - p->shortest[j];
}

static void augment(struct problem *p, int start, int end)
{
    for (int col = end, row = -1; row != start;) {
        row = p->before[col];
        p->row_of[col] = row;
        int next = p->col_of[row];
        p->col_of[row] = col;
        col = next;
    }
}

size_t matcher_work(int rows, int cols)
{
    size_t n = (size_t)rows + (size_t)cols;
    return 2 * n * sizeof(double) + 2 * n * sizeof(int32_t) + n;
}

static void lay_out(struct problem *p, void *work)
{
    size_t n = (size_t)p->n, m = (size_t)p->m;
    p->u = work;
    p->v = p->u + n;
    p->shortest = p->v + m;
    p->col_of = (int32_t *)(p->shortest + m);
    p->row_of = p->col_of + n;
    p->before = p->row_of + m;
    p->row_in = (uint8_t *)(p->before + m);
    p->col_in = p->row_in + n;
    memset(p->u, 0, (n + m) * sizeof *p->u);
    for (size_t i = 0; i < n + m; i++)
        p->col_of[i] = -1;
}

int matcher_assign(int32_t *ret_col, const double *cost, int rows, int cols, void *work)
{
    bool tall = rows > cols;
    struct problem p = {.cost = cost,
                        .n = tall ? cols : rows,
                        .m = tall ? rows : cols,
                        .row_stride = tall ? 1 : cols,
                        .col_stride = tall ? cols : 1};
    lay_out(&p, work);
    for (int i = 0; i < p.n; i++) {
        double length;
        int end = search(&p, i, &length);
        update_duals(&p, i, length);
        augment(&p, i, end);
    }
    memcpy(ret_col, tall ? p.row_of : p.col_of, (size_t)rows * sizeof *ret_col);
    return p.n;
}
