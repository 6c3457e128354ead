/* service.h - the daemon's RPCs: one file each, one table (service.c).
 *
 * A call arrives on gRPC's thread, is posted to the inbox and served on the loop's thread. serve_x() either takes
 * the call (owes an answer, opens a stream) and returns ST_OK, or leaves it alone and returns an error: the
 * table's code then fails the call with the sentence. Submit and Validate take a way round by the
 * checker's thread, because a job file is parsed there.
 */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include "base/buf.h"
#include "base/err.h"
#include "daemon.h"
#include "espalier/v1/job.pb-c.h"
#include "espalier/v1/report.pb-c.h"
#include "job/jobs.h"
#include "rpc/rpc.h"

#include <stdint.h>

/* The wire's types, as the handlers use them. */
#define V1(name) Espalier__V1__##name

enum status service_register(struct daemon *d, struct err *err);

enum status serve_get(struct daemon *d, struct rpc_call *call, const V1(GetRequest) * request,
                      struct err *err);
enum status serve_list(struct daemon *d, struct rpc_call *call, const V1(ListRequest) * request,
                       struct err *err);
enum status serve_cancel(struct daemon *d, struct rpc_call *call, const V1(CancelRequest) * request,
                         struct err *err);
enum status serve_pause(struct daemon *d, struct rpc_call *call, const V1(ControlRequest) * request,
                        struct err *err);
enum status serve_resume(struct daemon *d, struct rpc_call *call,
                         const V1(ControlRequest) * request, struct err *err);
enum status serve_hold(struct daemon *d, struct rpc_call *call, const V1(ControlRequest) * request,
                       struct err *err);
enum status serve_release(struct daemon *d, struct rpc_call *call,
                          const V1(ControlRequest) * request, struct err *err);
enum status serve_retry(struct daemon *d, struct rpc_call *call, const V1(RetryRequest) * request,
                        struct err *err);
enum status serve_resolve(struct daemon *d, struct rpc_call *call,
                          const V1(ResolveRequest) * request, struct err *err);
enum status serve_update(struct daemon *d, struct rpc_call *call, const V1(UpdateRequest) * request,
                         struct err *err);
enum status serve_remove(struct daemon *d, struct rpc_call *call, const V1(RemoveRequest) * request,
                         struct err *err);
enum status serve_watch(struct daemon *d, struct rpc_call *call, const V1(WatchRequest) * request,
                        struct err *err);
enum status serve_logs(struct daemon *d, struct rpc_call *call, const V1(LogsRequest) * request,
                       struct err *err);
enum status serve_get_structure(struct daemon *d, struct rpc_call *call,
                                const V1(GetStructureRequest) * request, struct err *err);
enum status serve_list_structures(struct daemon *d, struct rpc_call *call,
                                  const V1(ListStructuresRequest) * request, struct err *err);
enum status serve_list_checkpoints(struct daemon *d, struct rpc_call *call,
                                   const V1(ListCheckpointsRequest) * request, struct err *err);
enum status serve_pin_checkpoint(struct daemon *d, struct rpc_call *call,
                                 const V1(PinCheckpointRequest) * request, struct err *err);
enum status serve_verify_checkpoint(struct daemon *d, struct rpc_call *call,
                                    const V1(VerifyCheckpointRequest) * request, struct err *err);
enum status serve_collect_checkpoints(struct daemon *d, struct rpc_call *call,
                                      const V1(CollectCheckpointsRequest) * request,
                                      struct err *err);
enum status serve_download(struct daemon *d, struct rpc_call *call,
                           const V1(DownloadRequest) * request, struct err *err);
enum status serve_ping(struct daemon *d, struct rpc_call *call, const V1(PingRequest) * request,
                       struct err *err);
enum status serve_report(struct daemon *d, struct rpc_call *call, const V1(ReportRequest) * request,
                         struct err *err);

enum status serve_add_token(struct daemon *d, struct rpc_call *call,
                            const V1(AddTokenRequest) * request, struct err *err);
enum status serve_list_tokens(struct daemon *d, struct rpc_call *call,
                              const V1(ListTokensRequest) * request, struct err *err);
enum status serve_revoke_token(struct daemon *d, struct rpc_call *call,
                               const V1(RevokeTokenRequest) * request, struct err *err);

enum status serve_explain(struct daemon *d, struct rpc_call *call,
                          const V1(ExplainRequest) * request, struct err *err);
enum status serve_nodes(struct daemon *d, struct rpc_call *call, const V1(NodesRequest) * request,
                        struct err *err);
enum status serve_drain_node(struct daemon *d, struct rpc_call *call,
                             const V1(DrainNodeRequest) * request, struct err *err);

enum status serve_diagnose(struct daemon *d, struct rpc_call *call,
                           const V1(DiagnoseRequest) * request, struct err *err);

/* ---- shared by the handlers (lookup.c) -------------------------------------------------------- */

/* "12" or "last", the newest that d->caller may see. ST_INVALID for other text, ST_NOT_FOUND with what to do, ST_DENIED
 * when it is somebody else's. The job itself may be over. */
enum status lookup_job(struct daemon *d, const char *text, struct job *ret_job, struct err *err);

/* Owes a ControlReply with this state. control.c */
enum status answer_state(struct daemon *d, struct rpc_call *call, enum job_state state,
                         struct err *err);

/* A checkpoint by its path, its file's name or its total step. ST_NOT_FOUND with what to do. checkpoints.c */
enum status find_checkpoint_file(struct daemon *d, int64_t job_id, const char *name,
                                 char ret_path[JOB_FILE_MAX], struct err *err);

/* Wire form of what the store knows. Strings are borrowed from job; the buffers of ids are the caller's. */
struct wire_progress {
    V1(Progress) * progress; /* NULL: none yet; free by wire_progress_fini() */
};
void wire_progress_load(struct daemon *d, int64_t job_id, struct wire_progress *ret_progress);
void wire_progress_fini(struct wire_progress *p);

#endif
