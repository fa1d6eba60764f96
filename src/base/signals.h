/* base/signals.h: signals reach the main thread only, as return values. */
#ifndef BASE_SIGNALS_H
#define BASE_SIGNALS_H
void signals_block(void); /* before the first thread; also ignores SIGPIPE */
int signals_wait(void);   /* SIGTERM or SIGINT */
#endif
