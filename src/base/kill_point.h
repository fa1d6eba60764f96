/* base/kill_point.h: places where tests/kill ends the process as a power cut would: between two
 * steps whose order matters. Compiled in only with -DDIVAN_KILL_POINTS=ON; in every other build a
 * point is nothing at all. Names are lower-case, layer first; tests/kill finds them by grep, so one
 * stands in one place only. Threads: any. */
#ifndef BASE_KILL_POINT_H
#define BASE_KILL_POINT_H
#ifdef DIVAN_KILL_POINTS
/* DIVAN_KILL_POINT=NAME:N in the environment: the Nth pass of NAME is SIGKILL. */
void kill_point(const char *name);
#define KILL_POINT(name) kill_point(name)
#else
#define KILL_POINT(name) ((void)0)
#endif
#endif
