/* backup.h - `espalierd backup FILE` and `espalierd restore FILE`. */
#ifndef DAEMON_BACKUP_H
#define DAEMON_BACKUP_H

/* argv from the verb on: FILE, then the daemon's options, which say where its home is. Returns the exit code. */
int backup_command(int argc, char **argv);
int restore_command(int argc, char **argv);

#endif
