/* app/config_auth.h: the options of identity, rights and other origins. */
#ifndef APP_CONFIG_AUTH_H
#define APP_CONFIG_AUTH_H
#include "app/config.h"

void config_auth_default(struct config *c);
/* *known: whether the option is one of these. */
enum status config_auth_set(struct config *c, struct slice section, const char *key,
                            struct slice value, bool *known, struct err *e) MUST_CHECK;
struct slice config_auth_get(const struct config *c, const char *section, const char *key,
                             struct arena *a);
#endif
