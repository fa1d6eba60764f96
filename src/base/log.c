/* base/log.c: one line per event to stderr by one write(2), so lines of threads do not mix.
 * Control characters become '?', so that a name from a client cannot forge a line. Threads: any. */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/time.h"

enum { LOG_LINE = 2048 };

static atomic_int log_max = LOG_INFO_;

void log_set_level(enum log_level max)
{
    atomic_store_explicit(&log_max, (int)max, memory_order_relaxed);
}

__attribute__((format(printf, 2, 0))) static void log_line(enum log_level level, const char *fmt,
                                                           va_list ap)
{
    static const char names[][6] = {"error", "warn", "info", "debug"};
    char line[LOG_LINE];
    char when[32];
    size_t n;
    int len;

    if ((int)level > atomic_load_explicit(&log_max, memory_order_relaxed))
        return;
    time_rfc3339(time_wall_ms(), when);
    n = (size_t)snprintf(line, sizeof line, "%s %s ", when, names[level]);
    len = vsnprintf(line + n, sizeof line - n, fmt, ap);
    for (; len > 0 && n < sizeof line - 1; n++, len--)
        if ((unsigned char)line[n] < 0x20 || line[n] == 0x7f)
            line[n] = '?';
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, n) < 0)
        return; /* nowhere to complain */
}

void log_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_line(LOG_ERROR_, fmt, ap);
    va_end(ap);
}

void log_warn(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_line(LOG_WARN_, fmt, ap);
    va_end(ap);
}

void log_info(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_line(LOG_INFO_, fmt, ap);
    va_end(ap);
}

void log_debug(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_line(LOG_DEBUG_, fmt, ap);
    va_end(ap);
}
