/* doctor.h - what `espalier doctor` looks at on the client's own side. */
#ifndef CLIENT_DOCTOR_H
#define CLIENT_DOCTOR_H

#include "client/cli.h"

#define DOCTOR_CHECKS_MAX 8

struct finding_side {
    struct {
        char text[400], remedy[300];
        Espalier__V1__Check check; /* points at its two texts */
    } row[DOCTOR_CHECKS_MAX];
    int n;
};

/* Environment and the way to the daemon; connects. False: the daemon cannot be asked. */
bool client_checks(struct cli *cli, struct finding_side *side);
/* Once the daemon has answered. */
void client_check_clock(struct finding_side *side, int64_t daemon_ms);

#endif
