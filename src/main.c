/* main.c: read the configuration, start, wait for a signal, stop. */
#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "base/log.h"
#include "base/signals.h"
#include "version.h"

static int serve(const struct config *cfg)
{
    struct app *app = NULL;
    struct err e = {0};
    int rc = EXIT_FAILURE;

    signals_block(); /* before the first thread, so that only main sees signals */
    if (app_start(&app, cfg, &e) != ST_OK) {
        fprintf(stderr, "divan: cannot start: %s\n", e.reason);
        goto out;
    }
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
