/* app/settings.h: options that can be changed while the server runs, over HTTP, and the file that
 * keeps them: DATA/local.ini, written as a whole and atomically. They win over the command line,
 * the environment and the --config file, which make the base. The list of them is in settings.c.
 * Threads: changes by one at a time (others wait), reading by any.
 */
#ifndef APP_SETTINGS_H
#define APP_SETTINGS_H
#include "app/config.h"
#include "http/settings.h"

struct settings;
/* Makes base and file effective, in auth, store and *web. cfg outlives the settings. */
enum status settings_start(const struct config *cfg, struct auth *auth, struct stores *stores,
                           struct web *web, struct settings **out, struct err *e) MUST_CHECK;
void settings_free(struct settings *s); /* NULL is fine */
const struct settings_ops *settings_ops(const struct settings *s);
#endif
