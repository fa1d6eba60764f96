/* app/app.h: the composition root: opens the layers bottom up, stops them top down. */
#ifndef APP_APP_H
#define APP_APP_H
#include "app/config.h"

struct app;
enum status app_start(struct app **out, const struct config *cfg, struct err *e) MUST_CHECK;
void app_stop(struct app *app); /* NULL is fine */
/* `divan check`: the exit code. */
int app_check(const char *data);
/* `divan backup`, `divan backup --verify`, `divan restore`: the exit code, 0 or 1. */
int app_backup(const struct config *cfg);
#endif
