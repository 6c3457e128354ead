/* verbs.h - the offline verbs of espalier-worker: programs in themselves, called by main() with
 * their own argv (argv[0] = the verb). They print, and return the process's exit code. */
#ifndef RUN_VERBS_H
#define RUN_VERBS_H

int verb_data(int argc, char **argv);   /* data make shaperef | data check */
int verb_report(int argc, char **argv); /* report FILE: result.json as a table */
int verb_probe(int argc, char **argv);  /* probe: what a rank finds here */

#endif
