/* manual.c - espalier(1); see manual.h. */
#include "client/manual.h"

#include "base/roff.h"
#include "client/commands.h"

#include <stdio.h>
#include <string.h>

static void print_options(struct buf *out, const struct option_row *table)
{
    for (const struct option_row *o = table; o && o->name; o++) {
        char tag[80];
        if (o->letter)
            snprintf(tag, sizeof tag, "-%c, --%s", o->letter, o->name);
        else
            snprintf(tag, sizeof tag, "--%s", o->name);
        roff_tagged(out, tag, o->value, o->help);
    }
}

static void print_command(struct buf *out, const struct command *c)
{
    char usage[512], summary[256];
    snprintf(usage, sizeof usage, "espalier %s%s%s\n", c->name, c->usage[0] ? " " : "", c->usage);
    snprintf(summary, sizeof summary, "%s.", c->summary);
    if (summary[0] >= 'a' && summary[0] <= 'z')
        summary[0] = (char)(summary[0] - 'a' + 'A');
    roff_subheading(out, c->name);
    roff_text(out, summary);
    roff_lines(out, usage);
    if (c->details[0]) {
        buf_puts(out, ".PP\n");
        roff_text(out, c->details);
    }
    print_options(out, c->options);
    if (c->examples[0])
        roff_lines(out, c->examples);
}

static const struct {
    const char *name, *help;
} variables[] = {
    {"ESPALIER_SERVER",
     "The daemon, where --server does not name one: a socket's path, unix:/path or tls:HOST:PORT."},
    {"NO_COLOR", "Set to anything: no colours."},
    {"XDG_RUNTIME_DIR, XDG_STATE_HOME, HOME",
     "Where the daemon's socket is looked for: $XDG_RUNTIME_DIR/espalier/espalierd.sock, then "
     "$XDG_STATE_HOME/espalier/run/espalierd.sock (~/.local/state without the variable), then "
     "/run/espalier/espalierd.sock, that of the machine's service."},
};

void manual_print(struct buf *out)
{
    roff_begin(out, "espalier", 1, ESPALIER_VERSION,
               "train vision-language models against a frame: prune, share, fine-tune");
    roff_heading(out, "SYNOPSIS");
    buf_puts(out, "\\fBespalier\\fR [\\fB\\-\\-server\\fR \\fIADDR\\fR] \\fICOMMAND\\fR "
                  "[\\fIARGUMENTS\\fR]\n");
    roff_heading(out, "DESCRIPTION");
    roff_text(
        out,
        "`espalier` sends jobs to the coordinator `espalierd`, follows them and fetches what "
        "they made. It keeps nothing itself: jobs go on without it.\n\n"
        "Data goes to standard output, everything else to standard error. With `--json` standard "
        "output holds JSON and nothing else. An ID is the number that `submit` prints; `last` is "
        "the newest job.\n");
    roff_heading(out, "COMMANDS");
    for (int i = 0; command_at(i); i++)
        print_command(out, command_at(i));
    roff_heading(out, "COMMON OPTIONS");
    print_options(out, global_options);
    roff_heading(out, "ENVIRONMENT");
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        roff_tagged(out, variables[i].name, NULL, variables[i].help);
    roff_heading(out, "EXIT STATUS");
    for (int i = 0, code; exits_at(i, &code); i++) {
        char tag[16];
        snprintf(tag, sizeof tag, "%d", code);
        roff_tagged(out, tag, NULL, exits_at(i, &code));
    }
    roff_heading(out, "SEE ALSO");
    buf_puts(
        out,
        "\\fBespalier\\-job\\-file\\fR(5), \\fBespalierd\\fR(8), \\fBespalier\\-worker\\fR(1)\n");
}
