/* slurm_parse.c - see slurm_parse.h. */
#include "launch/slurm_parse.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word;
    enum slurm_kind kind;
} words[] = {
    {"PENDING", SLURM_PENDING},       {"CONFIGURING", SLURM_PENDING},
    {"REQUEUED", SLURM_PENDING},      {"REQUEUE_HOLD", SLURM_PENDING},
    {"REQUEUE_FED", SLURM_PENDING},   {"SPECIAL_EXIT", SLURM_PENDING},
    {"RESV_DEL_HOLD", SLURM_PENDING}, {"RUNNING", SLURM_RUNNING},
    {"SUSPENDED", SLURM_RUNNING},     {"STOPPED", SLURM_RUNNING},
    {"SIGNALING", SLURM_RUNNING},     {"RESIZING", SLURM_RUNNING},
    {"COMPLETED", SLURM_COMPLETED},   {"FAILED", SLURM_FAILED},
    {"LAUNCH_FAILED", SLURM_FAILED},  {"RECONFIG_FAIL", SLURM_FAILED},
    {"CANCELLED", SLURM_CANCELLED},   {"REVOKED", SLURM_CANCELLED},
    {"TIMEOUT", SLURM_TIMEOUT},       {"DEADLINE", SLURM_TIMEOUT},
    {"NODE_FAIL", SLURM_NODE_FAIL},   {"BOOT_FAIL", SLURM_NODE_FAIL},
    {"PREEMPTED", SLURM_PREEMPTED},   {"OUT_OF_MEMORY", SLURM_OUT_OF_MEMORY},
    /* COMPLETING and STAGE_OUT are left out on purpose: how it ended is told by what comes after them. */
};

enum slurm_kind slurm_kind_of(const char *word)
{
    size_t n = strcspn(word, " +");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i].word) == n && memcmp(words[i].word, word, n) == 0)
            return words[i].kind;
    return SLURM_OTHER;
}

bool slurm_kind_is_over(enum slurm_kind kind)
{
    return kind >= SLURM_COMPLETED;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

/* Copies printable ASCII; "(null)", "None assigned" and the like are Slurm's ways to say nothing. */
static void copy_text(char *out, size_t size, const char *from, size_t len)
{
    static const char *const nothing[] = {"(null)", "None", "N/A", "None assigned"};
    size_t n = 0;
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++)
        if (strlen(nothing[i]) == len && memcmp(nothing[i], from, len) == 0)
            len = 0;
    for (size_t i = 0; i < len && n + 1 < size; i++)
        out[n++] = from[i] >= ' ' && from[i] < 127 ? from[i] : '?';
    out[n] = '\0';
}

/* A whole number of at most 18 digits at the start; *ret_used: its length. -1 = none. */
static int64_t read_number(const char *text, size_t len, size_t *ret_used)
{
    int64_t v = 0;
    size_t n = 0;
    while (n < len && n < 18 && text[n] >= '0' && text[n] <= '9')
        v = v * 10 + (text[n++] - '0');
    *ret_used = n;
    return n ? v : -1;
}

static bool read_id(const char *text, size_t len, int64_t *ret_id)
{
    size_t used;
    int64_t id = read_number(text, len, &used);
    if (id <= 0 || used != len)
        return false;
    *ret_id = id;
    return true;
}

/* "3:0": exit code and signal. */
static void read_exit(struct slurm_row *row, const char *text, size_t len)
{
    size_t used, more;
    int64_t code = read_number(text, len, &used);
    if (code < 0 || code > 255 || used >= len || text[used] != ':')
        return;
    int64_t sig = read_number(text + used + 1, len - used - 1, &more);
    if (sig < 0 || sig > 127)
        return;
    row->exit_code = (int)code;
    row->signal = (int)sig;
}

static void set_word(struct slurm_row *row, const char *text, size_t len)
{
    copy_text(row->word, sizeof row->word, text, len);
    row->word[strcspn(row->word, " ")] = '\0';
    row->kind = slurm_kind_of(row->word);
}

struct field {
    const char *at;
    size_t len;
};

/* Splits at '|'; the last field keeps what is left. False: too few. */
static bool split(const char *line, size_t len, struct field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *bar = i + 1 < n ? memchr(line, '|', len) : NULL;
        if (!bar && i + 1 < n)
            return false;
        fields[i] = (struct field){line, bar ? (size_t)(bar - line) : len};
        if (bar) {
            len -= fields[i].len + 1;
            line = bar + 1;
        }
    }
    return true;
}

static struct slurm_row blank(void)
{
    return (struct slurm_row){.exit_code = -1, .signal = -1};
}

#define COPY(to, field) copy_text((to), sizeof(to), (field).at, (field).len)

bool slurm_parse_squeue(const char *line, size_t len, struct slurm_row *ret_row)
{
    struct field f[6];
    struct slurm_row row = blank();
    if (!split(line, len, f, 6) || !read_id(f[0].at, f[0].len, &row.id) || f[1].len == 0)
        return false;
    set_word(&row, f[1].at, f[1].len);
    COPY(row.reason, f[2]);
    COPY(row.partition, f[3]);
    COPY(row.nodes, f[4]);
    COPY(row.name, f[5]);
    *ret_row = row;
    return true;
}

bool slurm_parse_sacct(const char *line, size_t len, struct slurm_row *ret_row)
{
    struct field f[6];
    struct slurm_row row = blank();
    /* Steps are "12.batch", "12.0": their state is not the job's. */
    if (!split(line, len, f, 6) || !read_id(f[0].at, f[0].len, &row.id) || f[1].len == 0)
        return false;
    set_word(&row, f[1].at, f[1].len);
    read_exit(&row, f[2].at, f[2].len);
    COPY(row.partition, f[3]);
    COPY(row.nodes, f[4]);
    COPY(row.name, f[5]);
    *ret_row = row;
    return true;
}

bool slurm_parse_jobcomp(const char *line, size_t len, struct slurm_row *ret_row)
{
    struct field f[5];
    struct slurm_row row = blank();
    if (!split(line, len, f, 5) || !read_id(f[0].at, f[0].len, &row.id) || f[1].len == 0)
        return false;
    set_word(&row, f[1].at, f[1].len);
    COPY(row.partition, f[2]);
    COPY(row.nodes, f[3]);
    COPY(row.name, f[4]);
    *ret_row = row;
    return true;
}

/* ---- scontrol -------------------------------------------------------------------------------- */

/* The value of " KEY=" up to the next blank. Command, WorkDir and Comment may hold blanks, and even "JobState=": but
 * they come after the keys that are asked for, and the first one counts. */
static struct field find_key(const char *line, size_t len, const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i + n < len; i++) {
        if ((i > 0 && line[i - 1] != ' ') || memcmp(line + i, key, n) != 0 || line[i + n] != '=')
            continue;
        const char *value = line + i + n + 1;
        size_t left = len - i - n - 1;
        const char *blank_at = memchr(value, ' ', left);
        return (struct field){value, blank_at ? (size_t)(blank_at - value) : left};
    }
    return (struct field){line, 0};
}

bool slurm_parse_show_job(const char *line, size_t len, struct slurm_row *ret_row)
{
    struct slurm_row row = blank();
    struct field id = find_key(line, len, "JobId"), state = find_key(line, len, "JobState");
    struct field end = find_key(line, len, "ExitCode");
    if (!read_id(id.at, id.len, &row.id) || state.len == 0)
        return false;
    set_word(&row, state.at, state.len);
    read_exit(&row, end.at, end.len);
    struct field reason = find_key(line, len, "Reason");
    struct field partition = find_key(line, len, "Partition");
    struct field nodes = find_key(line, len, "NodeList");
    struct field name = find_key(line, len, "JobName");
    COPY(row.reason, reason);
    COPY(row.partition, partition);
    COPY(row.nodes, nodes);
    COPY(row.name, name);
    *ret_row = row;
    return true;
}

/* ---- lists of nodes -------------------------------------------------------------------------- */

static bool is_in_list(const char *list, const char *name, size_t len)
{
    for (const char *at = list; *at;) {
        size_t n = strcspn(at, ",");
        if (n == len && memcmp(at, name, len) == 0)
            return true;
        at += n + (at[n] == ',');
    }
    return false;
}

static int count_list(const char *list)
{
    int n = *list != '\0';
    for (; *list; list++)
        n += *list == ',';
    return n;
}

void slurm_add_nodes(char *list, size_t size, int max, const char *lines)
{
    for (const char *at = lines; *at;) {
        size_t len = strcspn(at, ",\n"), used = strlen(list);
        if (len > 0 && used + len + 2 <= size && count_list(list) < max &&
            !is_in_list(list, at, len))
            snprintf(list + used, size - used, "%s%.*s", used ? "," : "", (int)len, at);
        at += len + (at[len] != '\0');
    }
}

/* ---- sbatch, srun ---------------------------------------------------------------------------- */

int64_t slurm_parse_sbatch(const char *text)
{
    size_t used;
    int64_t id = read_number(text, strlen(text), &used);
    return id > 0 && strchr(";\n", text[used]) ? id : 0; /* the end counts: strchr finds the NUL */
}

/* Words that stand alone, as in both the old and the new form of the list. */
static bool has_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at++)
        if ((at == text || strchr(" \t\n,:", at[-1])) && strchr(" \t\n,", at[n]))
            return true;
    return false;
}

/* Open MPI from version 4 on speaks PMIx; pmi2 works only where it was built for it, so it is not guessed. */
bool slurm_parse_mpi_list(const char *text, char ret_mpi[32])
{
    static const char *const good[] = {"pmix",    "pmix_v5", "pmix_v4",
                                       "pmix_v3", "pmix_v2", "pmix_v1"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (has_word(text, good[i])) {
            snprintf(ret_mpi, 32, "%s", good[i]);
            return true;
        }
    return false;
}

/* ---- troubles -------------------------------------------------------------------------------- */

/* A line of what a command said without the words that each one begins with. */
struct said {
    const char *at;
    size_t len;
};

static struct said without_noise(const char *line, size_t len)
{
    static const char *const noise[] = {"sbatch: ",
                                        "srun: ",
                                        "squeue: ",
                                        "scancel: ",
                                        "sacct: ",
                                        "scontrol: ",
                                        "error: ",
                                        "fatal: ",
                                        "allocation failure: ",
                                        "Batch job submission failed: "};
    for (size_t i = 0; i < sizeof noise / sizeof *noise; i++) {
        size_t n = strlen(noise[i]);
        if (len > n && memcmp(line, noise[i], n) == 0) {
            line += n;
            len -= n;
        }
    }
    return (struct said){line, len};
}

/* "QOSMaxWallDurationPerJobLimit", alone on its line: which limit a job is above. */
static bool is_limit_code(struct said line)
{
    static const char *const heads[] = {"QOS", "Assoc", "Max"};
    bool head = false;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        head |= line.len > strlen(heads[i]) && memcmp(line.at, heads[i], strlen(heads[i])) == 0;
    for (size_t i = 0; head && i < line.len; i++)
        head = isalpha((unsigned char)line.at[i]);
    return head;
}

/* *ret_last: the last line, which says the most; *ret_limit: the limit's code. Empty = there is none. */
static void read_said(const char *text, struct said *ret_last, struct said *ret_limit)
{
    *ret_last = *ret_limit = (struct said){text, 0};
    while (*text) {
        size_t len = strcspn(text, "\n");
        struct said line = without_noise(text, len);
        if (len > 0)
            *ret_last = line;
        if (is_limit_code(line))
            *ret_limit = line;
        text += len + (text[len] == '\n');
    }
}

enum slurm_trouble slurm_trouble_of(const char *text)
{
    /* In order: a lost answer says "timed out" too, and must not pass for a request that was never taken. */
    static const struct {
        const char *part;
        enum slurm_trouble trouble;
    } known[] = {
        {"Invalid job id", SLURM_NO_SUCH_JOB},
        {"accounting storage is disabled", SLURM_NO_ACCOUNTING},
        {"Only jobcomp", SLURM_NO_ACCOUNTING},
        {"connect failure", SLURM_BUSY},
        {"Unable to contact slurm controller", SLURM_BUSY},
        {"Unable to establish controller machine", SLURM_BUSY},
        {"onnection refused", SLURM_BUSY},
        {"temporarily unable", SLURM_BUSY},
        {"job submit limit", SLURM_BUSY},
        {"Resource temporarily unavailable", SLURM_BUSY},
        {"timed out", SLURM_UNANSWERED},
        {"Zero Bytes were transmitted", SLURM_UNANSWERED},
        {"Transport endpoint", SLURM_UNANSWERED},
        {"Unexpected message received", SLURM_UNANSWERED},
        {"onnection reset", SLURM_UNANSWERED},
    };
    struct said last, limit;
    read_said(text, &last, &limit);
    /* How many may be queued changes, what a single job may ask for does not. */
    if (limit.len)
        return strstr(text, "SubmitJob") ? SLURM_BUSY : SLURM_REFUSED;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strstr(text, known[i].part))
            return known[i].trouble;
    return SLURM_REFUSED;
}

/* "sbatch: error: Batch job submission failed: X" -> "X", after the limit's code if it names one. */
void slurm_trouble_text(const char *text, char *out, size_t size)
{
    struct said last, limit;
    char code[64], line[200];
    read_said(text, &last, &limit);
    copy_text(code, sizeof code, limit.at, limit.len);
    copy_text(line, sizeof line, last.at, last.len);
    bool both = code[0] && limit.at != last.at;
    snprintf(out, size, "%s%s%s", both ? code : "", both ? ": " : "", line);
}
