/* manual.h - the client's manual page and the shells' completions, made from the table of commands. */
#ifndef CLIENT_MANUAL_H
#define CLIENT_MANUAL_H

#include "base/buf.h"

void manual_print(struct buf *out); /* espalier(1) */
void completion_bash(struct buf *out);
void completion_zsh(struct buf *out);

#endif
