/* diagnose.h - the end of a Diagnose call that is under way when the daemon ends. */
#ifndef SERVICE_DIAGNOSE_H
#define SERVICE_DIAGNOSE_H

struct daemon;

/* Ends the doctor's process and joins the thread; its call is answered by loop_drain(). */
void diagnose_stop(struct daemon *d);

#endif
