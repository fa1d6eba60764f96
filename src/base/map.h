/* base/map.h: a string map with a seeded hash (clients choose the keys). Keys are copied. Not
 * thread safe. */
#ifndef BASE_MAP_H
#define BASE_MAP_H
#include "base/slice.h"

struct map;
struct map *map_new(void);
void map_free(struct map *m);                                /* values are the caller's */
void *map_get(const struct map *m, struct slice key);        /* NULL when absent */
void *map_put(struct map *m, struct slice key, void *value); /* returns the value it replaced */
void *map_remove(struct map *m, struct slice key);           /* returns the value removed */
size_t map_count(const struct map *m);
/* Visits in no order until fn returns false. fn must not change the map. */
void map_each(const struct map *m, bool (*fn)(void *arg, struct slice key, void *value), void *arg);
#endif
