/* base/time.c: clocks and the two texts of a time. Threads: any. */
#include "base/time.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/assert.h"

static uint64_t clock_us(clockid_t id)
{
    struct timespec t;

    ASSERT(clock_gettime(id, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t time_wall_ms(void)
{
    return clock_us(CLOCK_REALTIME) / 1000;
}

uint64_t time_wall_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

uint64_t time_mono_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

void time_sleep_us(uint64_t us)
{
    struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};

    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR)
        continue;
}

static struct tm time_split(uint64_t wall_ms)
{
    time_t t = (time_t)(wall_ms / 1000);
    struct tm tm = {0};

    if (gmtime_r(&t, &tm) == NULL || tm.tm_year > 9999 - 1900)
        tm = (struct tm){.tm_mday = 1, .tm_year = 70, .tm_wday = 4}; /* a clock gone mad */
    return tm;
}

void time_http(uint64_t wall_ms, char out[32])
{
    /* Not strftime: its day names follow the locale. */
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm = time_split(wall_ms);

    (void)snprintf(out, 32, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[tm.tm_wday % 7],
                   (unsigned)tm.tm_mday % 100, months[tm.tm_mon % 12],
                   (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
                   (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

void time_rfc3339(uint64_t wall_ms, char out[32])
{
    struct tm tm = time_split(wall_ms);

    (void)snprintf(out, 32, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)(tm.tm_year + 1900) % 10000,
                   (unsigned)(tm.tm_mon + 1) % 100, (unsigned)tm.tm_mday % 100,
                   (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
                   (unsigned)tm.tm_sec % 100);
}
