/* pool.h - the threads of the cpu backend.
 *
 * A kernel splits its work by index with pool_run(); each worker takes one contiguous share, so what is computed does
 * not depend on timing. One caller at a time: the thread that runs the step. Idle workers sleep; they spin only for the few
 * microseconds between two kernels, so ranks that share a core do not take it from each other.
 * BLAS itself runs single-threaded inside the shares: two pools of threads on the same cores would fight.
 */
#ifndef ENGINE_POOL_H
#define ENGINE_POOL_H

#include <stddef.h>
#include <stdint.h>

#define POOL_MAX 256                    /* what a job may ask for: resources.threads */
#define POOL_SPACE ((size_t)2688 << 10) /* bytes of a worker's space */

/* Not while a kernel runs. Threads that cannot be started are done without. */
void pool_set_threads(int threads);
int pool_threads(void);

/* Calls fn(arg, from, to, worker) for shares that cover 0..n; worker < pool_threads(). Shares below `grain` indices are
 * not worth a thread. Returns when all are done. */
void pool_run(int64_t n, int64_t grain, void (*fn)(void *, int64_t, int64_t, int), void *arg);

/* Memory of one worker for what it packs within a share: POOL_SPACE bytes, made at its first use and kept. NULL when there is none. */
void *pool_space(int worker);

/* What matrix products did, since the process began: pool_book() by a worker at the end of each, pool_booked() adds all up. */
void pool_book(int worker, double operations, int64_t ns);
void pool_booked(double *ret_operations, double *ret_seconds);

#endif
