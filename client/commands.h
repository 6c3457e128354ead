/* commands.h - the commands: one file each, one descriptor each; main.c lists them. */
#ifndef CLIENT_COMMANDS_H
#define CLIENT_COMMANDS_H

#include "client/cli.h"

extern const struct command command_submit, command_plan, command_jobs, command_show, command_watch,
    command_wait, command_logs, command_cancel, command_structure, command_ckpt, command_pull,
    command_data, command_pause, command_resume, command_hold, command_release, command_retry,
    command_resolve, command_update, command_rm, command_events, command_metrics, command_explain,
    command_nodes, command_doctor, command_ping, command_token, command_version, command_help_topic;

#endif
