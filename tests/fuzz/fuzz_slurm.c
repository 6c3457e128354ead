/* fuzz_slurm.c - any bytes as what Slurm's commands print. The first byte says which. Holds: no read beyond the line;
 * what is taken has an id and strings that end.
 */
#include "job/slurm_reason.h"
#include "launch/slurm_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef bool (*parse_f)(const char *line, size_t len, struct slurm_row *ret_row);
static const parse_f parsers[] = {slurm_parse_squeue, slurm_parse_show_job, slurm_parse_sacct,
                                  slurm_parse_jobcomp};
#define NODES_MOST 5
#define PARSERS (sizeof parsers / sizeof *parsers)

static void ends(const char *text, size_t size)
{
    if (!memchr(text, '\0', size))
        abort();
}

static void as_line(parse_f parse, const char *line, size_t len)
{
    struct slurm_row row;
    memset(&row, 'x', sizeof row);
    if (!parse(line, len, &row))
        return;
    if (row.id <= 0 || row.kind != slurm_kind_of(row.word))
        abort();
    ends(row.word, sizeof row.word);
    ends(row.reason, sizeof row.reason);
    ends(row.partition, sizeof row.partition);
    ends(row.nodes, sizeof row.nodes);
    ends(row.name, sizeof row.name);
}

static void explained(const char *text)
{
    struct slurm_reason reason;
    memset(&reason, 'x', sizeof reason);
    if (!slurm_reason_find(text, &reason))
        return;
    ends(reason.code, sizeof reason.code);
    ends(reason.words, sizeof reason.words);
    ends(reason.look, sizeof reason.look);
    ends(reason.change, sizeof reason.change);
}

static int count(const char *text, char c)
{
    int n = 0;
    for (; *text; text++)
        n += *text == c;
    return n;
}

static void as_text(const char *data, size_t size)
{
    char *text = strndup(data, size), mpi[32], said[64], nodes[64] = "n1";
    if (slurm_parse_sbatch(text) < 0)
        abort();
    if (slurm_parse_mpi_list(text, mpi))
        ends(mpi, sizeof mpi);
    slurm_trouble_text(text, said, sizeof said);
    ends(said, sizeof said);
    for (const char *p = said; *p; p++)
        if ((unsigned char)*p < ' ')
            abort();
    slurm_add_nodes(nodes, sizeof nodes, NODES_MOST, text);
    ends(nodes, sizeof nodes);
    if (strncmp(nodes, "n1", 2) != 0 || count(nodes, ',') >= NODES_MOST)
        abort();
    explained(text);
    if (slurm_trouble_of(text) > SLURM_NO_ACCOUNTING)
        abort();
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    unsigned which = data[0] % (PARSERS + 1);
    /* A copy of exactly its size: a byte too many is seen. */
    char *copy = malloc(size);
    memcpy(copy, data + 1, size - 1);
    if (which < PARSERS)
        as_line(parsers[which], copy, size - 1);
    else
        as_text(copy, size - 1);
    free(copy);
    return 0;
}
