/* trivial_worker.c - stands in for espalier-worker under a real mpirun: does what DIR/behave says.
 *
 * Words of behave: "say TEXT" prints it; "sleep MS"; "wait FILE" until DIR/FILE is there; "deaf" ignores SIGTERM; "exit N"; "signal N" raises it;
 * "count FILE" appends a byte to DIR/FILE; "env NAME" prints the rank and that variable. Each rank does all of them in order.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void append_byte(const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1)
        exit(90);
    close(fd);
}

static void wait_for(const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    while (access(path, F_OK) != 0)
        usleep(20000);
}

static void do_word(const char *dir, const char *word, const char *value)
{
    if (strcmp(word, "say") == 0) {
        printf("%s\n", value);
        fflush(stdout);
    } else if (strcmp(word, "sleep") == 0) {
        usleep((useconds_t)strtoul(value, NULL, 10) * 1000);
    } else if (strcmp(word, "wait") == 0) {
        wait_for(dir, value);
    } else if (strcmp(word, "deaf") == 0) {
        signal(SIGTERM, SIG_IGN);
    } else if (strcmp(word, "count") == 0) {
        append_byte(dir, value);
    } else if (strcmp(word, "signal") == 0) {
        raise(atoi(value));
    } else if (strcmp(word, "env") == 0) {
        const char *rank = getenv("OMPI_COMM_WORLD_RANK"), *text = getenv(value);
        printf("rank %s %s=%s\n", rank ? rank : "?", value, text ? text : "");
        fflush(stdout);
    } else if (strcmp(word, "exit") == 0) {
        exit(atoi(value));
    }
}

int main(int argc, char **argv)
{
    char path[4096], line[256];
    if (argc != 4 || strcmp(argv[1], "run") != 0 || strcmp(argv[2], "--job-dir") != 0)
        return 91;
    snprintf(path, sizeof path, "%s/behave", argv[3]);
    FILE *f = fopen(path, "r");
    if (!f)
        return 92;
    while (fgets(line, sizeof line, f)) {
        char *rest = line, *word = strsep(&rest, " \n");
        do_word(argv[3], word, rest ? strsep(&rest, "\n") : "");
    }
    fclose(f);
    return 0;
}
