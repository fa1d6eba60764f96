/* base/assert.h: ASSERT is compiled into every build: abort beats wrong. It is for facts that
 * our own code guarantees, never for input, disk bytes or the network. */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H
_Noreturn void assert_failed(const char *expr, const char *file, int line);
#define ASSERT(x) ((x) ? (void)0 : assert_failed(#x, __FILE__, __LINE__))
#endif
