/* doctor.c - see doctor.h. */
#include "client/doctor.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SKEW_WARNING_MS 2000
#define SKEW_FAULT_MS 60000

#define RESULT(name) ESPALIER__V1__CHECK_RESULT__CHECK_RESULT_##name

static void say(struct finding_side *side, const char *name, Espalier__V1__CheckResult result,
                const char *remedy, const char *fmt, ...) BASE_PRINTF(5, 6);
static void say(struct finding_side *side, const char *name, Espalier__V1__CheckResult result,
                const char *remedy, const char *fmt, ...)
{
    int i = side->n < DOCTOR_CHECKS_MAX ? side->n++ : DOCTOR_CHECKS_MAX - 1;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(side->row[i].text, sizeof side->row[i].text, fmt, ap);
    va_end(ap);
    snprintf(side->row[i].remedy, sizeof side->row[i].remedy, "%s", remedy);
    espalier__v1__check__init(&side->row[i].check);
    side->row[i].check.name = (char *)name;
    side->row[i].check.result = result;
    side->row[i].check.text = side->row[i].text;
    side->row[i].check.remedy = side->row[i].remedy;
}

/* gRPC itself goes by these where the daemon is reached over TCP. */
static void check_proxies(const struct cli *cli, struct finding_side *side)
{
    static const char *const names[] = {"grpc_proxy", "https_proxy", "http_proxy"};
    bool network = strncmp(cli->target, "unix:", 5) != 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (!value || !*value)
            continue;
        say(side, "client proxy", network ? RESULT(WARNING) : RESULT(OK),
            network ? "put the daemon's host into no_proxy, or unset the proxy" : "",
            "%s is '%.100s'%s", names[i], value,
            network ? ": gRPC calls the daemon through it" : "; it is not used for a Unix socket");
        return;
    }
}

static void check_version(struct cli *cli, struct finding_side *side,
                          const Espalier__V1__PingReply *p)
{
    if (strcmp(p->version, ESPALIER_VERSION) == 0)
        say(side, "daemon", RESULT(OK), "", "espalierd %s answers at %.200s", p->version,
            cli->target);
    else
        say(side, "daemon", RESULT(WARNING), "install the same version of both",
            "espalierd %.60s answers at %.150s, this is espalier %s", p->version, cli->target,
            ESPALIER_VERSION);
}

bool client_checks(struct cli *cli, struct finding_side *side)
{
    struct err err;
    Espalier__V1__PingRequest request = ESPALIER__V1__PING_REQUEST__INIT;
    Espalier__V1__PingReply *reply = NULL;
    enum status st = cli_connect(cli, &err);
    if (st == ST_OK) {
        check_proxies(cli, side);
        st = cli_call(cli, "Ping", &request.base, &espalier__v1__ping_reply__descriptor, CALL_MS,
                      &reply, &err);
    }
    if (st == ST_OK)
        check_version(cli, side, reply);
    else
        say(side, "daemon", RESULT(FAULT),
            "start it (espalierd, or systemctl --user start espalierd), or say where it is: "
            "--server ADDRESS or $ESPALIER_SERVER; on its host `espalierd doctor` checks the rest",
            "%s", err.text);
    reply_free(reply);
    return st == ST_OK;
}

void client_check_clock(struct finding_side *side, int64_t daemon_ms)
{
    const struct clock *clock = clock_system();
    int64_t off = clock->wall_ms(clock) - daemon_ms;
    int64_t size = off < 0 ? -off : off;
    if (size > SKEW_WARNING_MS)
        say(side, "clock", size > SKEW_FAULT_MS ? RESULT(FAULT) : RESULT(WARNING),
            "run NTP on both hosts (chrony or systemd-timesyncd); times of events and the end of "
            "tokens go by them",
            "the clock here is %lld s %s of the daemon's", (long long)(size / 1000),
            off > 0 ? "ahead" : "behind");
    else
        say(side, "clock", RESULT(OK), "", "clocks of client and daemon agree");
}
