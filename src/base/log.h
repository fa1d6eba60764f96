/* base/log.h: one line per event to stderr, with time and level. Never a secret: callers log paths
 * without query values and URLs without user info. Thread safe. */
#ifndef BASE_LOG_H
#define BASE_LOG_H
enum log_level { LOG_ERROR_, LOG_WARN_, LOG_INFO_, LOG_DEBUG_ };
void log_set_level(enum log_level max);
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#endif
