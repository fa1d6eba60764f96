/* app/backup.c: `divan backup` and `divan restore`: says what was done. */
#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "base/log.h"
#include "wal/backup.h"

static void tell(const struct config *cfg, const struct backup_report *r)
{
    unsigned long long files = r->files, bytes = r->bytes, stores = r->stores;

    if (cfg->command == CMD_BACKUP)
        printf("%s: %llu stores, %llu files, %llu bytes; copied now: %llu files, %llu bytes; "
               "removed: %llu files\n",
               cfg->backup, stores, files, bytes, (unsigned long long)r->copied_files,
               (unsigned long long)r->copied_bytes, (unsigned long long)r->removed_files);
    else
        printf("%s: %s: %llu stores, %llu files, %llu bytes\n", cfg->backup,
               cfg->command == CMD_VERIFY ? "whole" : "brought back", stores, files, bytes);
}

int app_backup(const struct config *cfg)
{
    struct backup_report r;
    struct err e;
    enum status st;

    log_set_level(LOG_WARN_);
    if (cfg->command == CMD_BACKUP)
        st = backup_run(cfg->data, cfg->backup, &r, &e);
    else if (cfg->command == CMD_VERIFY)
        st = backup_verify(cfg->backup, &r, &e);
    else
        st = backup_restore(cfg->backup, cfg->data, &r, &e);
    if (st != ST_OK) {
        fprintf(stderr, "divan: %s\n", e.reason);
        return EXIT_FAILURE;
    }
    tell(cfg, &r);
    return EXIT_SUCCESS;
}
