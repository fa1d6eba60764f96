/* http/settings.h: how handlers read and change the configuration; app/settings.c does it. What may
 * be read and changed is a list there: nothing that names a file, a program or an address. */
#ifndef HTTP_SETTINGS_H
#define HTTP_SETTINGS_H
#include "base/arena.h"
#include "base/status.h"
#include "json/json.h"

struct setting {
    struct slice section, key;
    struct slice value; /* p NULL: back to what it is without one */
    bool persist;       /* else until the next start */
};
struct settings_ops {
    void *arg;
    /* section -> key -> text of what may be seen. */
    struct json *(*read)(void *arg, struct arena *a);
    /* Effective when it returns, and durable with `persist`. *old: what it was, empty when it was
     * not set. ST_FORBIDDEN: not in the list; ST_BAD_REQUEST: the value makes no sense. May take
     * 100 ms, and writes a file. */
    enum status (*change)(void *arg, const struct setting *s, struct arena *a, struct slice *old,
                          struct err *e);
    /* Reads the file again. */
    enum status (*reload)(void *arg, struct err *e);
};
#endif
