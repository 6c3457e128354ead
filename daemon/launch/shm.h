/* shm.h - a folder of its own in /dev/shm for each attempt's shared memory segments.
 *
 * Open MPI leaves its segments behind when mpirun or ranks are killed, and /dev/shm is small in containers. The folder's
 * name follows from the launcher's record, so that whoever finds the attempt dead can remove it.
 */
#ifndef LAUNCH_SHM_H
#define LAUNCH_SHM_H

#include "launch/record.h"

#define SHM_PATH_MAX 96
/* The environment variable by which Open MPI is told. */
#define SHM_VARIABLE "OMPI_MCA_btl_vader_backing_directory"

void shm_path(const struct launcher_record *r, char ret_path[SHM_PATH_MAX]);
/* False: there is no /dev/shm, or it cannot be written; then Open MPI finds a place by itself. */
bool shm_create(const struct launcher_record *r);
void shm_remove(const struct launcher_record *r); /* with what is in it; may be repeated */

#endif
