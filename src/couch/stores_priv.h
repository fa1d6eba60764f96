/* couch/stores_priv.h: what stores.c (opening, finding, asking) and stores_own.c (making a store
 * for a database, and removing it) share. Only for these two.
 */
#ifndef COUCH_STORES_PRIV_H
#define COUCH_STORES_PRIV_H
#include "couch/store_priv.h"
#include "couch/stores.h"

struct own {
    struct store *s;
    struct db *db; /* referenced; NULL while the store is being made */
    struct own *next;
};

struct stores {
    struct store *main;
    struct store_options opt;
    struct seg_store *segs;
    bool owns_segs;

    struct mutex mu;                     /* RANK_CATALOG */
    struct own *list GUARDED_BY(mu);     /* every own store that is open */
    struct map *names GUARDED_BY(mu);    /* name -> struct own */
    size_t count GUARDED_BY(mu);         /* being made, serving, or dropped and not yet closed */
    uint64_t next_number GUARDED_BY(mu); /* never used twice in the life of a server */
    atomic_bool any;                     /* there may be own stores: look into names */

    struct store_observer observers[STORE_OBSERVERS_MAX];
    size_t nobservers;
    uint64_t max_att GUARDED_BY(mu);
    uint32_t max_doc GUARDED_BY(mu);
    doc_validator_fn validate; /* NULL: none */
    void *validate_arg;

    struct mutex janitor_mu; /* RANK_LEAF */
    struct cond janitor_cond;
    bool stopping GUARDED_BY(janitor_mu);
    bool dropped GUARDED_BY(janitor_mu); /* since it last looked */
    struct thread janitor;
};

/* Unless its database was dropped: then the name is free. NULL: no own store has it. */
struct own *stores_find_locked(struct stores *all, struct slice name) REQUIRES(all->mu);
enum status stores_open_number(struct stores *all, uint64_t number, struct store **out,
                               struct err *e) MUST_CHECK;
/* Closes a store that has no database, and removes it if that may be done now. */
void stores_close_empty(struct stores *all, struct store *s);
/* The observer of own stores: wakes the janitor. */
void stores_see_drop(void *arg, const struct commit_event *ev, size_t n);
void stores_janitor(void *arg); /* the thread */
#endif
