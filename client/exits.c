/* exits.c - see exits.h. */
#include "client/exits.h"

static const struct {
    int code;
    const char *meaning;
} table[] = {
    {0, "Done. For `wait`, `watch` and `submit --follow`: the job is COMPLETED"},
    {2, "Invalid input: the command line, the job file, a value; nothing was changed"},
    {3, "Not found: no such job, file, result or structure version"},
    {4, "Already there"},
    {5, "Not possible in the job's present state, such as cancelling a job that has ended"},
    {6, "Over a limit: file or message too large, disk full"},
    {7, "Permission denied"},
    {8, "Cannot reach the daemon"},
    {9,
     "Timed out: the daemon did not answer in time, or `wait --timeout` is over; the job goes on"},
    {10, "The call was cancelled"},
    {11, "Input or output failed"},
    {12, "Corrupt data: a download does not match its SHA-256, an answer does not parse"},
    {13, "Out of memory"},
    {14, "Numerical failure (offline verbs of the worker)"},
    {15, "Not supported by this build or this daemon, or the worker is not installed"},
    {16, "Internal error; please report it"},
    {EXIT_JOB_FAILED, "The job is FAILED (`wait`, `watch`, `submit --follow`)"},
    {EXIT_JOB_CANCELLED, "The job is CANCELLED (the same)"},
    {EXIT_JOB_TIMEOUT, "The job is TIMEOUT: its own time limit ended it (the same)"},
    {EXIT_UNWELL, "Something is at fault (`doctor`, `espalierd doctor`)"},
    {EXIT_INTERRUPTED, "Interrupted by Ctrl-C while following; the job goes on"},
};

int exit_of_state(Espalier__V1__JobState state)
{
    switch ((int)state) {
    case ESPALIER__V1__JOB_STATE__JOB_STATE_COMPLETED:
        return 0;
    case ESPALIER__V1__JOB_STATE__JOB_STATE_FAILED:
        return EXIT_JOB_FAILED;
    case ESPALIER__V1__JOB_STATE__JOB_STATE_CANCELLED:
        return EXIT_JOB_CANCELLED;
    case ESPALIER__V1__JOB_STATE__JOB_STATE_TIMEOUT:
        return EXIT_JOB_TIMEOUT;
    default:
        return -1;
    }
}

const char *exits_at(int i, int *ret_code)
{
    if (i >= (int)(sizeof table / sizeof *table))
        return NULL;
    *ret_code = table[i].code;
    return table[i].meaning;
}

void exits_help(struct buf *out, bool markdown)
{
    if (markdown)
        buf_puts(
            out,
            "# Exit codes\n\n"
            "<!-- Made from client/exits.c by `espalier help exit-codes --markdown`; a test "
            "compares. -->\n\n"
            "Normative for `espalier`; `espalierd` and `espalier-worker` use 0 and 2 to 16 alike "
            "(proto/base/err.h).\n"
            "Codes from 20 on are results of a job, not failures of the command.\n\n"
            "| code | meaning |\n|---|---|\n");
    else
        buf_puts(out, "Exit codes of espalier; from 20 on, results of a job:\n\n");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        buf_printf(out, markdown ? "| %d | %s |\n" : "  %3d  %s\n", table[i].code,
                   table[i].meaning);
}
