/* record.c - see record.h. */
#include "report/record.h"

#include "base/rng.h"
#include "espalier/v1/report.pb-c.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct record *record_create(uint64_t number, uint64_t series, const uint8_t *bytes, size_t len)
{
    struct record *r = malloc(sizeof *r + len);
    if (!r)
        return NULL;
    *r = (struct record){.number = number, .series = series, .len = len};
    memcpy(r->bytes, bytes, len);
    return r;
}

void record_push(struct record_queue *q, struct record *r)
{
    r->prev = q->last;
    r->next = NULL;
    *(q->last ? &q->last->next : &q->first) = r;
    q->last = r;
    q->n++;
    q->bytes += r->len;
}

void record_drop(struct record_queue *q, struct record *r)
{
    *(r->prev ? &r->prev->next : &q->first) = r->next;
    *(r->next ? &r->next->prev : &q->last) = r->prev;
    q->n--;
    q->bytes -= r->len;
    free(r);
}

void record_drop_to(struct record_queue *q, uint64_t number)
{
    while (q->first && q->first->number <= number) {
        assert(!q->first->prev);
        record_drop(q, q->first);
    }
}

void record_drop_all(struct record_queue *q)
{
    record_drop_to(q, UINT64_MAX);
}

/* The series' row, a new one if need be; NULL when the table is full. */
static bool *find_series(uint64_t names[], bool odd[], size_t *n, uint64_t series)
{
    for (size_t i = 0; i < *n; i++)
        if (names[i] == series)
            return &odd[i];
    if (*n == RECORD_SERIES_MAX)
        return NULL;
    names[*n] = series;
    odd[*n] = false;
    return &odd[(*n)++];
}

void record_thin(struct record_queue *q)
{
    uint64_t names[RECORD_SERIES_MAX];
    bool odd[RECORD_SERIES_MAX];
    size_t n = 0;
    for (struct record *r = q->last, *before; r; r = before) {
        before = r->prev;
        bool *goes = r->series ? find_series(names, odd, &n, r->series) : NULL;
        if (!goes)
            continue;
        if (*goes)
            record_drop(q, r);
        *goes = !*goes;
    }
}

uint64_t record_series(const uint8_t *bytes, size_t len)
{
    uint64_t series = 0;
    Espalier__V1__Record *r = espalier__v1__record__unpack(NULL, len, bytes);
    if (!r)
        return 0;
    if (r->kind_case == ESPALIER__V1__RECORD__KIND_PROGRESS)
        series = rng_hash("");
    else if (r->kind_case == ESPALIER__V1__RECORD__KIND_METRIC)
        series = rng_hash(r->metric->name);
    espalier__v1__record__free_unpacked(r, NULL);
    return series;
}
