/* text.h - text that goes over the wire later. */
#ifndef JOB_TEXT_H
#define JOB_TEXT_H

#include <stddef.h>

/* Copies text as valid UTF-8: cut at a character's border when it does not fit, '?' for each byte that is none. A
 * reply with anything else could not be sent. NULL gives "". */
void text_clean(char *out, size_t size, const char *text);

#endif
