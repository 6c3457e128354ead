/* slurm_job.c - see slurm_job.h. */
#include "service/slurm_job.h"

#include "base/file.h"
#include "job/folder.h"
#include "job/text.h"

#include <stdio.h>

#define SCRIPT_MAX (64u << 10)

V1(SlurmJob) * wire_slurm_load(const struct daemon *d, const struct job *job, struct wire_slurm *w)
{
    char dir[FOLDER_PATH_MAX], path[FOLDER_PATH_MAX + 16];
    folder_attempt_path(d, job, dir);
    if (!job->in_slurm || slurm_note_read(dir, &w->note, NULL) != ST_OK)
        return NULL;
    snprintf(path, sizeof path, "%s/script.sh", dir);
    buf_init(&w->script, SCRIPT_MAX);
    if (file_read(&w->script, path, NULL) != ST_OK)
        buf_clear(&w->script);
    if (w->script.data)
        text_clean(w->script.data, w->script.len + 1, w->script.data);
    espalier__v1__slurm_job__init(&w->job);
    if (w->note.row.id)
        snprintf(w->id, sizeof w->id, "%lld", (long long)w->note.row.id);
    w->job.id = w->id;
    w->job.state = w->note.row.word;
    w->job.reason = w->note.row.reason;
    w->job.partition = w->note.row.partition;
    w->job.nodes = w->note.row.nodes;
    w->job.name = w->note.row.name;
    w->job.script = (char *)buf_str(&w->script);
    return &w->job;
}

void wire_slurm_fini(struct wire_slurm *w)
{
    buf_fini(&w->script);
}
