/* wire_server.c - the test service as a program: wire_server ADDRESS serves until SIGTERM, then
 * stops with half a second's grace. For tests that drive it with clients nobody here wrote. */
#include "service.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    static struct service service;
    struct err err;
    sigset_t ends;
    int signal, port = 0;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    if (argc != 2 || service_start(&service, argv[1], &port, &err) != ST_OK) {
        fprintf(stderr, "wire_server: %s\n", argc == 2 ? err.text : "usage: wire_server ADDRESS");
        return EXIT_FAILURE;
    }
    printf("%d\n", port);
    fflush(stdout);
    sigwait(&ends, &signal);
    service_stop(&service, 500);
    service_release(&service);
    return EXIT_SUCCESS;
}
