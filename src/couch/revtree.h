/* couch/revtree.h: the revision forest of one document. Pure: no I/O, no locks, no clock.
 *
 * Nodes lie in one array, a parent before its children; `parent` is an index or REVTREE_ROOT.
 * A node with a body carries the pointer to it. Leaf order and winner: couchdb-surface C.1; merge
 * C.4, stemming C.5, reads C.6.
 * Ownership: a tree and its ids live in an arena; ids given to it are copied there.
 */
#ifndef COUCH_REVTREE_H
#define COUCH_REVTREE_H
#include "base/arena.h"
#include "base/bytes.h"
#include "couch/rev.h"
#include "wal/seg_store.h"

enum { REVTREE_ROOT = -1 };
struct revnode {
    struct rev rev;
    int32_t parent;
    bool deleted;
    bool has_body;      /* ptr is set; a placeholder above a replicated leaf has none */
    bool leaf;          /* kept true by every call here */
    struct seg_ptr ptr; /* the body region (docinfo.h); SEG_SELF: in the record being written */
};
struct revtree {
    struct arena *arena;
    struct revnode *nodes;
    uint32_t n, cap;
};

void revtree_init(struct revtree *t, struct arena *a);
/* ---- look; indexes are into nodes, -1 for none ---- */
int revtree_find(const struct revtree *t, const struct rev *r);
int revtree_winner(const struct revtree *t); /* -1 only when empty */
/* Leaves in order, winner first; arena array. */
uint32_t revtree_leaves(const struct revtree *t, struct arena *a, uint32_t **out);
bool revtree_is_deleted(const struct revtree *t);   /* every leaf is */
bool revtree_has_conflict(const struct revtree *t); /* more than one leaf */
/* Indexes from node i up to its root, node i first. */
uint32_t revtree_path(const struct revtree *t, int i, struct arena *a, uint32_t **out);
/* Leaves at or below node i, in leaf order. */
uint32_t revtree_leaves_below(const struct revtree *t, int i, struct arena *a, uint32_t **out);
/* Nearest node that has a body on the way up from i, i included; -1. */
int revtree_body_above(const struct revtree *t, int i);
/* ---- change ---- */
/* A new node under parent (REVTREE_ROOT for a first revision); returns its index. The parent must
 * be a leaf or REVTREE_ROOT: interactive edits never branch. -1, and nothing changes, when the
 * forest has the revision already (it was replicated here without its ancestry). */
int revtree_add_child(struct revtree *t, int parent, const struct rev *r, bool deleted);
/* Merges one path, newest first: revs[0] is the leaf (C.4). *leaf: index of revs[0]. Returns false
 * when revs[0] was in the tree already (nothing changed). Generations must fall by one and end at 1
 * or above: the caller has checked that. Indexes change. */
bool revtree_merge(struct revtree *t, const struct rev *revs, uint32_t n, bool deleted, int *leaf);
/* Keeps at most limit nodes on each leaf's path (C.5). Returns true when something changed:
 * nodes went away, or a node lost a parent that stays for another leaf. Indexes change. */
bool revtree_stem(struct revtree *t, uint32_t limit);
/* Takes away the leaves for which gone is set, and with each what only it kept: its ancestors up to
 * the next fork. What was no leaf never becomes one. Indexes change. */
void revtree_remove_leaves(struct revtree *t, const bool *gone);
/* ---- bytes (docs/format.md "Revision tree") ---- */
void revtree_encode(const struct revtree *t, struct buf *out);
/* Reads one tree, checks every bound; ST_CORRUPT. Ids are borrowed from the input. */
enum status revtree_decode(struct rd *r, struct revtree *t, struct err *e) MUST_CHECK;
/* ---- self-inspection ---- */
bool revtree_valid(const struct revtree *t); /* parents first, generations, leaf flags, no twin */
#endif
