/* base/status.c: fills struct err. The reason is cut to the buffer, so reporting cannot fail.
 * Threads: any; a struct err belongs to its caller. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

enum status err_set(struct err *e, enum status st, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(e->reason, sizeof e->reason, fmt, ap);
    va_end(ap);
    e->word = NULL;
    return st;
}

enum status err_word(struct err *e, enum status st, const char *word, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(e->reason, sizeof e->reason, fmt, ap);
    va_end(ap);
    e->word = word;
    return st;
}
