/* hosts.h - attempts that span nodes: the hostfile, and what is left of an attempt on other nodes.
 *
 * Every rank carries HOSTS_ATTEMPT_VARIABLE with its attempt's folder in its environment, so that what is left of an
 * attempt on a node can be found there without a list of process numbers. Other nodes are
 * reached by the same command that mpirun uses (its plm_rsh_agent).
 */
#ifndef LAUNCH_HOSTS_H
#define LAUNCH_HOSTS_H

#include "launch/launch.h"

#include <stdbool.h>

#define HOSTS_ATTEMPT_VARIABLE "ESPALIER_ATTEMPT"

/* Whether a rank lies on another node than this one. */
bool hosts_are_needed(const struct launch_spec *spec);
/* One line a node, in the order of its ranks: "HOST slots=N". */
enum status hosts_write(const char *path, const struct launch_spec *spec, struct err *err);

/* Whether the name means this machine: its host name, localhost, or an address of one of its interfaces. Resolves
 * names, so it may block: not on the loop's thread. */
bool host_is_here(const char *host);

/* ---- used by espalier-launcher ---------------------------------------------------------------- */

/* What mpirun's command line says about other nodes; pointers into argv. hostfile NULL: it has none. */
struct reach {
    const char *hostfile, *agent;
};
struct reach reach_of(char *const *argv);

/* Kills every process of this account on this host that belongs to the attempt, until none is left. False: some
 * are still there after a few seconds. */
bool reap_here(const char *attempt_dir);
/* The same on the other nodes of the hostfile: `AGENT HOST LAUNCHER --reap ATTEMPT_DIR`, all at once.
 * ST_UNAVAILABLE: a node did not say that nothing is left. ret_silent: one that could not be reached (the agent ended
 * with 255, as ssh does) or did not answer in time; "" if there is none. */
enum status reap_there(const struct reach *reach, const char *launcher, const char *attempt_dir,
                       char ret_silent[NODE_HOST_MAX], struct err *err);

#endif
