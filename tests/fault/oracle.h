/* tests/fault/oracle.h: what a recovered store may hold, from the marks of a trace (driver.h).
 *
 * Requests are answered in the order in which they were made, so what is there after a crash is the
 * state after some first k of them (those refused left out), and k is at least what was
 * acknowledged.
 */
#ifndef FAULT_ORACLE_H
#define FAULT_ORACLE_H
#include "model.h"

struct oracle;
struct oracle *oracle_new(void);
struct oracle *oracle_copy(const struct oracle *o);
void oracle_free(struct oracle *o);
/* false: a reading (D) that cannot be; *why is the oracle's. */
bool oracle_mark(struct oracle *o, struct slice mark, const char **why);
/* All marks before operation `prefix` and those right behind it. */
bool oracle_feed(struct oracle *o, const struct model *m, size_t prefix, const char **why);
/* NULL: a store with these lines is right. Otherwise what is wrong; the oracle's. */
const char *oracle_objects(struct oracle *o, struct slice dump);
/* From now on exactly these lines. */
void oracle_set(struct oracle *o, struct slice dump);
uint64_t oracle_window(const struct oracle *o); /* changes when what it accepts changes */
#endif
