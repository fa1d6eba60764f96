/* base/time.h: clocks. Wall time is for people and headers; time never decides safety. */
#ifndef BASE_TIME_H
#define BASE_TIME_H
#include <stddef.h>
#include <stdint.h>

uint64_t time_wall_ms(void);
uint64_t time_wall_us(void);
uint64_t time_mono_us(void);
void time_sleep_us(uint64_t us);
void time_http(uint64_t wall_ms, char out[32]);    /* RFC 1123: "Sun, 06 Nov 1994 08:49:37 GMT" */
void time_rfc3339(uint64_t wall_ms, char out[32]); /* 1994-11-06T08:49:37Z */
#endif
