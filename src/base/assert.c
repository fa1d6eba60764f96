/* base/assert.c: the end of the process when our own code is wrong. Writes by write(2) only: the
 * heap or stdio may be what is broken. Threads: any. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn void assert_failed(const char *expr, const char *file, int line)
{
    char msg[512];
    int n = snprintf(msg, sizeof msg, "%s:%d: assertion failed: %s\n", file, line, expr);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof msg ? (size_t)n : sizeof msg - 1;

    if (write(STDERR_FILENO, msg, len) < 0)
        abort();
    abort();
}
