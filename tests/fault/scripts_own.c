/* tests/fault/scripts_own.c: databases with stores of their own. See scripts.c. */
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "driver.h"

/* Until the folder of store 1 is gone. */
static void wait_removed(struct drive *d)
{
    char path[4096];

    (void)snprintf(path, sizeof path, "%s/1", d->dir);
    for (int i = 0; fs_exists(path) && i < 100; i++)
        usleep(10000);
}

/* Made, written, dropped, and the name made again in store 0; the first store is removed while the
 * server runs. */
void script_own_store(struct drive *d)
{
    struct db *db = drive_own_db(d, "phoenix");

    drive_put(d, drive_db(d, "db"), "a", 50);
    drive_put(d, db, "same", 100);
    drive_put(d, db, "own", 100);
    drive_drop(d, "phoenix");
    drive_put(d, drive_db(d, "phoenix"), "same", 60);
    drive_forget(d);
    wait_removed(d);
    drive_put(d, drive_db(d, "phoenix"), "same", 70);
}

/* Own after own; the first store is still there at the restart, which removes it. */
void script_own_again(struct drive *d)
{
    drive_put(d, drive_own_db(d, "phoenix"), "same", 100);
    drive_drop(d, "phoenix");
    drive_put(d, drive_own_db(d, "phoenix"), "same", 50);
    drive_close(d);
    drive_open(d);
    drive_put(d, drive_own_db(d, "phoenix"), "same", 70);
    drive_put(d, drive_own_db(d, "second"), "same", 70);
}
