/* slurm_note.c - see slurm_note.h. */
#include "launch/slurm_note.h"

#include "base/file.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>

#define NOTE_PATH_MAX 4096
#define NOTE_BYTES_MAX (64u << 10)

static const char *note_path(char out[NOTE_PATH_MAX], const char *attempt_dir)
{
    snprintf(out, NOTE_PATH_MAX, "%s/slurm.json", attempt_dir);
    return out;
}

static void add_text(struct json_object *obj, const char *key, const char *text)
{
    if (text[0])
        json_object_object_add(obj, key, json_object_new_string(text));
}

enum status slurm_note_write(const char *attempt_dir, const struct slurm_note *note,
                             struct err *err)
{
    char path[NOTE_PATH_MAX];
    const struct slurm_row *r = &note->row;
    struct json_object *obj = json_object_new_object();
    json_object_object_add(obj, "id", json_object_new_int64(r->id));
    json_object_object_add(obj, "submitted_ms", json_object_new_int64(note->submitted_ms));
    json_object_object_add(obj, "priority", json_object_new_int(note->priority));
    add_text(obj, "name", r->name);
    add_text(obj, "state", r->word);
    add_text(obj, "reason", r->reason);
    add_text(obj, "partition", r->partition);
    add_text(obj, "nodes", r->nodes);
    add_text(obj, "excluded", note->excluded);
    add_text(obj, "lost", note->lost);
    const char *text = json_object_to_json_string_ext(obj, JSON_C_TO_STRING_NOSLASHESCAPE);
    enum status st =
        text ? file_write_atomic(note_path(path, attempt_dir), text, strlen(text), 0600, err)
             : err_set(err, ST_NOMEM, "out of memory for %s/slurm.json", attempt_dir);
    json_object_put(obj);
    return st;
}

#define GET_TEXT(to, key) snprintf((to), sizeof(to), "%s", json_get_str(obj, key, ""))

enum status slurm_note_read(const char *attempt_dir, struct slurm_note *ret_note, struct err *err)
{
    char path[NOTE_PATH_MAX];
    struct json_object *obj = NULL;
    if (!file_exists(note_path(path, attempt_dir)))
        return err_set(err, ST_NOT_FOUND, "%s is not there", path);
    enum status st = json_read_file(&obj, path, NOTE_BYTES_MAX, err);
    if (st != ST_OK)
        return st == ST_NOT_FOUND ? ST_IO : st; /* missing is an answer of its own */
    struct slurm_note n = {.row = {.exit_code = -1, .signal = -1}};
    n.row.id = json_get_int(obj, "id", 0);
    n.submitted_ms = json_get_int(obj, "submitted_ms", 0);
    n.priority = (int)json_get_int(obj, "priority", 0);
    GET_TEXT(n.row.name, "name");
    GET_TEXT(n.row.word, "state");
    GET_TEXT(n.row.reason, "reason");
    GET_TEXT(n.row.partition, "partition");
    GET_TEXT(n.row.nodes, "nodes");
    GET_TEXT(n.excluded, "excluded");
    GET_TEXT(n.lost, "lost");
    n.row.kind = slurm_kind_of(n.row.word);
    json_object_put(obj);
    *ret_note = n;
    return ST_OK;
}
