/* main.c: read the configuration, start, wait for a signal, stop. */
#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "base/log.h"
#include "base/signals.h"
#include "version.h"

enum { EXIT_DAMAGED = 74 /* EX_IOERR */ };

static int serve(const struct config *cfg)
{
    struct app *app = NULL;
    struct err e = {0};
    int rc = EXIT_FAILURE;
    enum status st;

    signals_block(); /* before the first thread, so that only main sees signals */
    st = app_start(&app, cfg, &e);
    if (st != ST_OK)
        fprintf(stderr, "divan: cannot start: %s\n", e.reason);
    if (st == ST_CORRUPT) {
        fprintf(stderr,
                "divan: data that was acknowledged is damaged. Bring back a copy of %s, or "
                "start once with --salvage: it keeps all that can be read and lists what "
                "is lost. `divan check` looks without changing anything.\n",
                cfg->data);
        rc = EXIT_DAMAGED;
    }
    if (st != ST_OK)
        goto out;
    log_info("signal %d, stopping", signals_wait());
    rc = EXIT_SUCCESS;
out:
    app_stop(app);
    return rc;
}

static int run(const struct config *cfg)
{
    switch (cfg->command) {
    case CMD_SERVE:
        return serve(cfg);
    case CMD_CHECK:
        return app_check(cfg->data);
    case CMD_BACKUP:
    case CMD_VERIFY:
    case CMD_RESTORE:
        return app_backup(cfg);
    case CMD_VERSION:
        printf("divan %s (CouchDB %s)\n", DIVAN_VERSION, COUCHDB_COMPAT_VERSION);
        return EXIT_SUCCESS;
    case CMD_HELP:
        fputs(config_help, stdout);
        return EXIT_SUCCESS;
    }
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct config cfg = {0};
    struct err e = {0};
    int rc = EXIT_FAILURE;

    if (config_load(&cfg, argc, argv, &e) != ST_OK)
        fprintf(stderr, "divan: %s\n", e.reason);
    else
        rc = run(&cfg);
    config_free(&cfg);
    return rc;
}
