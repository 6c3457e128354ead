/* command.h - `espalierd doctor [--json] [the daemon's options]`. */
#ifndef DOCTOR_COMMAND_H
#define DOCTOR_COMMAND_H

#define DOCTOR_EXIT_FAULT 23 /* docs/spec/exit-codes.md */

/* argv from "doctor" on; it is changed. Returns the exit code: 0, or 23 when something is at fault. */
int doctor_command(int argc, char **argv);

#endif
