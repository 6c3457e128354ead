/* roots.c - are paths where the daemon's owner wants them to be? First by the text, so that nobody learns which files
 * exist elsewhere; then with symbolic links followed, so that a link does not lead out. */
#include "jobfile/parse.h"

#include "base/buf.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* "/a/./b//../c" -> "/a/c", without a look at the disk. False if it is too long. */
static bool normalize(const char *path, char ret_path[PATH_MAX])
{
    size_t n = 0;
    while (*path) {
        path += strspn(path, "/");
        size_t len = strcspn(path, "/");
        if (len == 2 && !memcmp(path, "..", 2)) {
            while (n > 0 && ret_path[--n] != '/')
                ;
        } else if (len > 0 && !(len == 1 && *path == '.')) {
            if (n + len + 2 > PATH_MAX)
                return false;
            ret_path[n++] = '/';
            memcpy(ret_path + n, path, len);
            n += len;
        }
        path += len;
    }
    ret_path[n] = '\0';
    return true;
}

/* Both normal; the root folder is "". */
static bool lies_in(const char *path, const char *root)
{
    size_t n = strlen(root);
    return strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* A root counts by its name and by where it really is. */
static bool in_roots(const struct jobfile_roots *roots, const char *path, bool real)
{
    char root[PATH_MAX], resolved[PATH_MAX];
    for (int i = 0; i < roots->n; i++) {
        if (!real && normalize(roots->dir[i], root) && lies_in(path, root))
            return true;
        if (realpath(roots->dir[i], resolved) && normalize(resolved, root) && lies_in(path, root))
            return true;
    }
    return false;
}

static void refuse(struct parse *p, int key, const char *path, const char *how)
{
    struct buf list;
    buf_init(&list, 4096);
    for (int i = 0; i < p->source->roots.n; i++)
        buf_printf(&list, "%s%s", i ? ", " : "", p->source->roots.dir[i]);
    complain(p, key, false, "%.160s %s the folders that this daemon reads from: %.120s", path, how,
             buf_str(&list));
    buf_fini(&list);
}

bool check_root(struct parse *p, int key, const char *path)
{
    char plain[PATH_MAX], resolved[PATH_MAX];
    if (p->source->roots.n == 0)
        return true;
    if (!normalize(path, plain) || !in_roots(&p->source->roots, plain, false)) {
        refuse(p, key, path, "lies outside");
        return false;
    }
    /* What is not there is said by who looks for the file. */
    if (realpath(path, resolved) && !in_roots(&p->source->roots, resolved, true)) {
        refuse(p, key, path, "is a link that leads out of");
        return false;
    }
    return true;
}
